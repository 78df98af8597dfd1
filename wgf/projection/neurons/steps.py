"""The tangent space of the biases of a ReLU network and its closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from wgf.networks.base import Neurons
from wgf.problem.base import Base


class StepSpace:
    """Tangent space of the biases: d f/d b_i = -a_i 1{z > b_i}, or a_i 1{z < b_i} for a neuron that faces left:
    piecewise constants on the cells between the knots.

    The projection of a velocity is its average over each cell. With cell masses P_k and K = Gram matrix of the steps,
    K^-1 is tridiagonal (differences of 1/P), so the solve is O(m) after sorting. A cell with less mass than `rcond`
    times the largest is closed: its knots form a cluster that moves together, with shares of minimum norm in the joint
    jump. If no cluster mixes right-facing and left-facing neurons, the velocity satisfies one constraint,
    v_0 + sum_left [v] = 0, because only left-facing neurons contribute to the leftmost value v_0; without any, v_0 = 0.

    The tails are cells like the others. At a closed tail, knots that face outwards do not move; knots that face inwards
    all move the map by the same constant.

    Args:
        base: p.
        neurons: k neurons.
        rcond: relative mass below which a cell is closed.
    """

    def __init__(self, base: Base, neurons: Neurons, rcond: float) -> None:
        knots, order = neurons.biases.sort(stable=True)
        self.order, self.weight = order, neurons.weights[order]
        ends = pad(pad(knots, (1, 0), value=-math.inf), (0, 1), value=math.inf)
        masses = base.mass(ends[:-1], ends[1:])  # [k + 1]
        opened = masses > rcond * masses.max()
        split, head, tail = opened[1:-1], ~opened[0], ~opened[-1]  # split: whether knot i + 1 starts a new cluster
        self.truncated = (~opened).sum()
        self.cluster = pad(split.cumsum(0), (1, 0))  # [k]
        # cell c lies left of cluster c; closed cells keep mass 0. Clusters that do not exist have weight 0
        cell = torch.cat([self.cluster, self.cluster[-1:] + 1])
        self.mass = torch.zeros_like(masses).index_add(0, cell, masses * opened)
        leading, trailing = head & (self.cluster == 0), tail & (self.cluster == self.cluster[-1])
        self.inner = (~(leading | trailing)).to(knots)
        is_left = neurons.faces_left[order].to(knots)
        self.lift = torch.where(leading, is_left - 1, is_left)  # v_0 = sum_i lift_i a_i b_i', v_0 the leftmost value
        square = self.weight**2
        self.s = self._sum(square * self.inner)
        left = self._sum(square * self.inner * is_left)
        self.share = left / torch.where(self.s > 0, self.s, 1.0)
        self.share[:1] += head  # the value is the same on both sides of a closed tail
        self.mixed = torch.dot(left, 1 - self.share) + torch.dot(square * (1 - self.inner), self.lift**2)
        self.left = left

    def _sum(self, values: Tensor) -> Tensor:
        """Sums over the knots of every cluster [k]."""
        return torch.zeros_like(values).index_add(0, self.cluster, values)

    def solve(self, gradient: Tensor) -> Tensor:
        """Velocity -G^+ gradient [k] from the derivatives of F with respect to the biases [k]."""
        g, w, share = gradient[self.order], self.weight, self.share
        s = torch.where(self.s > 0, self.s, 1.0)
        a = self._sum(g * w * self.inner)
        # dF of the steps: Q_c = sum of dF over the cells right of cluster c, N = dF(1)
        free = self.mixed > 1e-14 * self.s.max()
        mixed = torch.where(free, self.mixed, 1.0)
        total = torch.where(free, (torch.dot(g * w, self.lift) - torch.dot(a, share)) / mixed, 0.0)
        q = total * share - a / s
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
        balance = torch.where(free, (v[0] + torch.dot(share, jump)) / mixed, 0.0)
        alpha = torch.where(self.s > 0, -(jump + balance * self.left) / s, 0.0)
        velocity = w * (alpha[self.cluster] + balance * self.lift)
        return torch.zeros_like(velocity).scatter(0, self.order, velocity)
