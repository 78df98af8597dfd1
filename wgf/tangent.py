"""The tangent space of a map with its metric G = int (d_theta f)(d_theta f)^T p dz, dense or in the basis that makes it
well conditioned: hat functions for the weights of the two-sided ReLU network, cell-wise constants for its biases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from wgf.energies.base import Record
from wgf.linalg.banded import Tridiagonal
from wgf.networks.base import TransportMap
from wgf.networks.relu import TwoSidedReLU
from wgf.quadrature import Gauss, Nodes
from wgf.reference import Law

TAIL_MASS = 1e-12  # a knot with less mass beyond it is not bent: nothing there can be seen or resolved


@dataclass(frozen=True)
class Tangent:
    """The span of d_theta f at one theta, by quadrature.

    Attributes:
        map: the network.
        theta: where [p].
        nodes: quadrature for the metric.
    """

    map: TransportMap
    theta: Tensor
    nodes: Nodes

    @cached_property
    def features(self) -> Tensor:
        """sqrt(w) J [n, p], so that features^T features = G."""
        with torch.no_grad():
            jacobian = self.map.jacobian(self.theta, self.nodes.z, self.nodes.cell)
            return jacobian * self.nodes.w.sqrt()[:, None]

    @cached_property
    def metric(self) -> Tensor:
        """G [p, p]."""
        return self.features.T @ self.features

    def apply(self, v: Tensor) -> Tensor:
        """G v [p] for v [p], by one derivative of the map forwards and one backwards: no matrix is formed."""
        z, cell, w = self.nodes.z, self.nodes.cell, self.nodes.w

        def f(theta: Tensor) -> Tensor:
            return self.map.evaluate(theta, z, cell)[0]

        along = torch.func.jvp(f, (self.theta,), (v,))[1]
        return torch.func.vjp(f, self.theta)[1](w * along)[0]


class Interpolation:
    """Continuous piecewise linear functions on breakpoints u_0 < ... < u_{M-1}, linear beyond, seen from fixed nodes.

    Args:
        points: [M], M >= 2 (length); the outer intervals extend to infinity.
        nodes: quadrature, increasing in z.
    """

    def __init__(self, points: Tensor, nodes: Nodes) -> None:
        self.cell = torch.searchsorted(points[1:-1].contiguous(), nodes.z, right=True)
        self.lengths = torch.bincount(self.cell, minlength=len(points) - 1)
        self.inverse_width = 1 / points.diff()
        self.fraction = (nodes.z - points[self.cell]) * self.inverse_width[self.cell]

    def evaluate(self, nodal: Tensor) -> tuple[Tensor, Tensor]:
        """Values and slopes [n] at the nodes from nodal values [M]."""
        rise = nodal.diff()
        steps = rise[self.cell]
        return nodal[self.cell] + self.fraction * steps, (rise * self.inverse_width)[self.cell]

    def load(self, force: Tensor, stress: Tensor) -> Tensor:
        """dF of every hat function [M] from a covector at the nodes."""
        integrals = torch.stack([force, self.fraction * force, stress], dim=1)
        total, upper, slope = torch.segment_reduce(integrals, "sum", lengths=self.lengths, axis=0, initial=0.0).T
        upper = upper + slope * self.inverse_width
        pad = torch.nn.functional.pad
        return pad(total - upper, (0, 1)) + pad(upper, (1, 0))


class HatSpace:
    """Tangent space of the weights (mathematics of the paper's weights-only scheme in O(m)).

    span{(z - b_i)_+, (b_i - z)_+} are the continuous piecewise linear functions with kinks at the knots and linear
    tails. A basis are m + 2 hat functions, two of them on ghost points beyond the outer knots; their mass matrix is
    tridiagonal and, scaled to a unit diagonal, has a condition number of a few units for every m.

    Args:
        map: a two-sided ReLU network with train = "weights".
        nodes: quadrature for the energy, fixed.
    """

    def __init__(self, map: TwoSidedReLU, nodes: Nodes) -> None:
        law, theta = map.law, map.theta.detach()
        self.knots = map.knots(theta)[: map.width].contiguous()
        self.width, self.offset = map.width, map.offset
        tails = torch.minimum(law.cdf(self.knots), law.survival(self.knots))
        bent = (tails > TAIL_MASS).nonzero()[:, 0]
        first, last = int(bent[0]), int(bent[-1])
        self.active = slice(first, last + 1)
        inner = self.knots[self.active]
        spacing = inner.diff() if len(inner) > 1 else inner.new_tensor([law.std])
        self.points = torch.cat([inner[:1] - spacing[:1], inner, inner[-1:] + spacing[-1:]])
        self.truncated = map.width - len(inner)
        self.nodes = nodes
        self.interpolation = Interpolation(self.points, nodes)
        self.mass = self._mass_matrix(law)
        # minimum-norm return: q = B^T (B B^T)^-1 r with B = [1; b_i - b_1]
        reach = self.knots - self.knots[0]
        basis = torch.stack([torch.ones_like(reach), reach])
        self._reach, self._return = reach, basis.T @ torch.linalg.inv(basis @ basis.T)

    def _mass_matrix(self, law: Law) -> Tridiagonal:
        """Always by Gauss quadrature: the metric is exact even where the energy is sampled by particles."""
        nodes = Gauss().nodes(law, self.points[1:-1])
        hats = Interpolation(self.points, nodes)
        s, w = hats.fraction, nodes.w
        parts = torch.stack([w * (1 - s) ** 2, w * s * (1 - s), w * s**2], dim=1)
        low, cross, high = torch.segment_reduce(parts, "sum", lengths=hats.lengths, axis=0, initial=0.0).T
        pad = torch.nn.functional.pad
        return Tridiagonal(pad(low, (0, 1)) + pad(high, (1, 0)), cross.contiguous())

    def nodal(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Values of f at the breakpoints [M] and all slopes of f [m + 1], from the neurons, O(m)."""
        w, wt = theta.reshape(2, self.width)
        slopes = (
            torch.nn.functional.pad(w.cumsum(0), (1, 0)) - wt.sum() + torch.nn.functional.pad(wt.cumsum(0), (1, 0))
        ) / self.width
        start = self.offset + torch.dot(wt, self._reach) / self.width  # f(b_1): only left-facing neurons reach it
        inner = start + torch.nn.functional.pad((slopes[1:-1] * self.knots.diff()).cumsum(0), (1, 0))
        inner, a = inner[self.active], self.active
        ends = self.points.diff()[[0, -1]] * slopes[[a.start, a.stop]]
        return torch.cat([inner[:1] - ends[:1], inner, inner[-1:] + ends[1:]]), slopes

    def lift(self, velocity: Tensor) -> Tensor:
        """The minimum-norm parameter velocity [2m] of a nodal velocity [M], O(m).

        Source: J_i = m [u']_i, s_0 the left tail slope, u_1 the value at b_1; w' = J/2 + q, wt' = J/2 - q,
        q = B^T (B B^T)^-1 r, r = (sum J/2 + m s_0, sum J (b - b_1)/2 - m u_1).
        """
        slope = velocity.diff() * self.interpolation.inverse_width
        jump = self.width * torch.nn.functional.pad(slope.diff(), (self.active.start, self.width - self.active.stop))
        left = slope[0]
        value = velocity[1] - left * (self.points[1] - self.knots[0])
        r = torch.stack([0.5 * jump.sum() + self.width * left, 0.5 * torch.dot(jump, self._reach) - self.width * value])
        q = self._return @ r
        return torch.cat([0.5 * jump + q, 0.5 * jump - q])

    def record(self, theta: Tensor) -> tuple[Record, Tensor]:
        """The map at the nodes and its smallest slope."""
        nodal, slopes = self.nodal(theta)
        return Record(self.nodes, *self.interpolation.evaluate(nodal)), slopes.min()


class StepSpace:
    """Tangent space of the biases: d f/d b_i = -w_i 1{z > b_i}/m, piecewise constants on the cells between the knots.

    The projection of a velocity is its average over each cell. With cell masses P_k and K = Gram matrix of the steps,
    K^-1 is tridiagonal (differences of 1/P), so everything is O(m) after sorting. Knots closer than a mass of
    `rcond` times the largest cell move as one; the shares in a joint jump are those of minimum norm. Knots of one
    kind only (or none coincident) leave one constraint, v_0 + sum_left [v] = 0: the leftmost value is carried by the
    left-facing neurons alone.

    The tails are cells like the others. The knots at a closed tail bend nothing that can be seen: those that face
    outwards are at rest, those that face inwards all move the map by the same constant.

    Args:
        map: a two-sided ReLU network with train = "biases".
        theta: biases [2m].
        rcond: relative mass below which a cell is closed.
    """

    def __init__(self, map: TwoSidedReLU, theta: Tensor, rcond: float) -> None:
        weights, biases = map.parameters_of(theta)
        self.m = map.width
        knots, order = biases.sort(stable=True)
        self.order, self.weight = order, weights[order]
        ends = torch.cat([knots.new_tensor([-math.inf]), knots, knots.new_tensor([math.inf])])
        masses = map.law.mass(ends[:-1], ends[1:])  # [2m + 1]
        opened = masses > rcond * masses.max()
        split, head, tail = opened[1:-1], ~opened[0], ~opened[-1]  # split: whether knot i + 1 starts a new cluster
        self.truncated = (~opened).sum()
        self.cluster = torch.nn.functional.pad(split.cumsum(0), (1, 0))  # [2m]
        # cell c lies left of cluster c; those of closed cells stay 0. Clusters that do not exist have weight 0
        cell = torch.cat([self.cluster, self.cluster[-1:] + 1])
        self.mass = torch.zeros_like(masses).index_add(0, cell, masses * opened)
        leading, trailing = head & (self.cluster == 0), tail & (self.cluster == self.cluster[-1])
        self.inner = (~(leading | trailing)).to(theta)
        is_left = (order >= map.width).to(theta)
        self.lift = torch.where(leading, is_left - 1, is_left)  # m v_0 = sum_i lift_i w_i b_i', v_0 the leftmost value
        square = self.weight**2
        self.s = self._sum(square * self.inner)
        left = self._sum(square * self.inner * is_left)
        self.share = left / torch.where(self.s > 0, self.s, 1.0)
        self.share[:1] += head  # the value left of a closed tail is that right of it
        self.mixed = torch.dot(left, 1 - self.share) + torch.dot(square * (1 - self.inner), self.lift**2)
        self.left = left

    def _sum(self, values: Tensor) -> Tensor:
        """Sums over the knots of every cluster [2m]."""
        return torch.zeros_like(values).index_add(0, self.cluster, values)

    def solve(self, gradient: Tensor) -> Tensor:
        """-G^+ gradient [2m] from the derivatives of F along the biases [2m]."""
        m, g, w, share = self.m, gradient[self.order], self.weight, self.share
        s = torch.where(self.s > 0, self.s, 1.0)
        a = self._sum(g * w * self.inner)
        # dF of the steps: Q_c = sum of dF over the cells right of cluster c, N = dF(1)
        free = self.mixed > 1e-14 * self.s.max()
        mixed = torch.where(free, self.mixed, 1.0)
        total = torch.where(free, m * (torch.dot(g * w, self.lift) - torch.dot(a, share)) / mixed, 0.0)
        q = total * share - m * a / s
        right = torch.cat([total[None], q])
        r = right - torch.cat([q, q.new_zeros(1)])  # dF of every cell
        inverse = torch.where(self.mass > 0, 1 / torch.where(self.mass > 0, self.mass, 1.0), 0.0)
        v = -r * inverse
        # the constraint a . v = 0, a from v_0 + sum_c share_c [v]_c
        normal = torch.cat([share.new_zeros(1), share]) - torch.cat([share, share.new_zeros(1)])
        normal = torch.cat([normal[:1] + 1, normal[1:]])
        norm = torch.dot(normal, inverse * normal)
        correction = torch.dot(normal, v) / torch.where(norm > 0, norm, 1.0) * inverse * normal
        v = torch.where(free, v, v - correction)
        jump = v.diff()
        balance = torch.where(free, m * (v[0] + torch.dot(share, jump)) / mixed, 0.0)
        alpha = torch.where(self.s > 0, -(m * jump + balance * self.left) / s, 0.0)
        velocity = w * (alpha[self.cluster] + balance * self.lift)
        return torch.zeros_like(velocity).scatter(0, self.order, velocity)
