"""The flow of continuous piecewise linear maps with moving knots, in y = (s_L, b_1, u_1, ..., b_K, u_K, s_R):

    (G + R) y' = -dF,   G = int J J^T p,   J = df/dy,

where R keeps cells open and stops knots that hardly matter (moving finite elements call it internodal regularisation):

    R = drag sum_k P_k c_k^2 b_k'^2  +  viscosity c0 sum_k ((b'_{k+1} - b'_k) / h_k)^2.

P_k is half the mass of the two cells at knot k, c_k^2 the mean of both squared slopes, c0 the mean of P h^2 over the
cells at the start. All matrices are banded with 3 diagonals on either side of the main one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from wgf.networks.knot_space import Broken, KnotSpace
from wgf.problem.base import Base
from wgf.problem.energy import Local, MapAtNodes, covector, jumps
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Nodes, Quadrature
from wgf.projection.linalg.banded import Banded, Cholesky


@cache
def _lower(device: torch.device) -> Tensor:
    """Places [d, j] of the entries (j + d, j) of a flattened 4 x 4 block; 16 for those outside the block."""
    d, j = torch.arange(4, device=device)[:, None], torch.arange(4, device=device)
    return torch.where(j + d < 4, 4 * (j + d) + j, 16)


@dataclass(frozen=True)
class Frame:
    """Derivative of a map in its coordinates, cell by cell: J = constant + xi linear, J' = linear / width.

    xi = (z - origin) / width; in a tail the width is 1. A cell has 4 coordinates: knot and value at its left end, and
    at its right end. In a tail one of them is the slope and another one, at the outside, does not exist.

    Attributes:
        constant, linear: [K + 1, 4].
        origin, width: [K + 1] (length).
    """

    constant: Tensor
    linear: Tensor
    origin: Tensor
    width: Tensor

    @classmethod
    def of(cls, map: Broken) -> Frame:
        """The frame of a map."""
        inner, h = map.slopes[1:-1], map.h
        one, zero = torch.ones_like(inner), torch.zeros_like(inner)
        start = torch.stack([-inner, one, zero, zero], dim=1)
        rise = torch.stack([inner, -one, -inner, one], dim=1)
        left, right, o, i = map.slopes[:1], map.slopes[-1:], zero[:1], one[:1]
        return cls(
            torch.cat([torch.stack([o, o, -left, i], dim=1), start, torch.stack([-right, i, o, o], dim=1)]),
            torch.cat([torch.stack([o, i, o, o], dim=1), rise, torch.stack([o, o, i, o], dim=1)]),
            torch.cat([map.b[:1], map.b]),
            pad(h, (1, 1), value=1.0),
        )

    def vector(self, zeroth: Tensor, first: Tensor) -> Tensor:
        """sum over the cells of zeroth constant + first linear [N]; both factors [K + 1]."""
        cells = zeroth[:, None] * self.constant + first[:, None] * self.linear
        flat = pad(cells[:, :2].reshape(-1), (0, 2)) + pad(cells[:, 2:].reshape(-1), (2, 0))
        return flat[1:-1]

    def band(self, zeroth: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Band [4, N] of the matrix of the quadratic form sum of w (J v)^2 with the moments sum w xi^k [K + 1] of w."""
        a, b = self.constant, self.linear
        left = zeroth[:, None] * a + first[:, None] * b
        right = first[:, None] * a + second[:, None] * b
        blocks = left[:, :, None] * a[:, None, :] + right[:, :, None] * b[:, None, :]  # 4 x 4 for every cell
        diagonals = pad(blocks.reshape(-1, 16), (0, 1)).T[_lower(a.device)]  # [4, 4, K + 1], 0 outside the block
        inner = diagonals.mT.reshape(4, len(a), 4)
        band = pad(inner[:, :, :2].reshape(4, -1), (0, 2)) + pad(inner[:, :, 2:].reshape(4, -1), (2, 0))
        return band[:, 1:-1].contiguous()


class Cells:
    """Sums over the quadrature nodes of every cell.

    Args:
        nodes: the nodes. map: the map. frame: its frame.

    Attributes:
        cell: cell of every node [n]. xi: local coordinate of every node [n].
    """

    def __init__(self, nodes: Nodes, map: Broken, frame: Frame) -> None:
        self.nodes, self.count = nodes, len(map.slopes)
        self.cell = nodes.cell if nodes.cell is not None else torch.searchsorted(map.b, nodes.z, right=True)
        self.distance = nodes.z - frame.origin[self.cell]
        self.xi = self.distance / frame.width[self.cell]

    def sum(self, values: Tensor) -> Tensor:
        """Sums [K + 1] of values [n]."""
        return values.new_zeros(self.count).index_add(0, self.cell, values)

    def moments(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sums of w, w xi and w xi^2 [K + 1] for weights w [n]."""
        first = weights * self.xi
        return self.sum(weights), self.sum(first), self.sum(first * self.xi)


@dataclass(frozen=True)
class KnotPoint:
    """The flow at one map.

    Attributes:
        y: coordinates [N].
        map: the map.
        at: the map at the nodes.
        gradient: derivative of F [N].
        mass: G, banded.
        metric: G + R, banded.
    """

    y: Tensor
    map: Broken
    at: MapAtNodes
    gradient: Tensor
    mass: Banded
    metric: Banded
    _cells: Cells
    _frame: Frame
    _local: tuple[Local, ...]

    @cached_property
    def curvature(self) -> Tensor:
        """Band [4, N] of the positive semidefinite part sum max(e_xx, 0) J J^T + max(e_dd, 0) J' J'^T of the second
        derivative of the local energies (Gauss-Newton). The exact one nearly cancels the drag."""
        xx, dd = torch.zeros_like(self.at.x), torch.zeros_like(self.at.x)
        for term in self._local:
            curvature = term.curvature(self.at)
            xx = xx if curvature.xx is None else xx + curvature.xx
            dd = dd if curvature.dd is None else dd + curvature.dd
        zeroth, first, second = self._cells.moments(xx.clamp(min=0))
        stretch = self._cells.sum(dd.clamp(min=0)) / self._frame.width**2
        return self._frame.band(zeroth, first, second + stretch)

    def displacement(self, tau: float) -> Tensor:
        """Displacement d [N] of one linearly implicit Euler step, (G + R + tau H) d = -tau dF; NaN if it has none."""
        return self._solve(torch.add(self.metric.band, self.curvature, alpha=tau), -tau * self.gradient)

    @cached_property
    def velocity(self) -> Tensor:
        """Velocity y' = -(G + R)^-1 dF [N]; NaN if the metric is singular."""
        return self._solve(self.metric.band, -self.gradient)

    def _solve(self, band: Tensor, rhs: Tensor) -> Tensor:
        factor = Cholesky(band)
        return factor.solve(rhs) if factor.positive else torch.full_like(rhs, torch.nan)

    def length(self, d: Tensor) -> Tensor:
        """W2 length sqrt(d^T G d) of a small displacement d [N] (length)."""
        return torch.dot(d, self.mass.matvec(d)).clamp(min=0).sqrt()


class KnotFlow:
    """The regularised flow of the maps of a knot space.

    Args:
        problem: law and energies.
        space: coordinates of the maps.
        base: the reference measure p.
        quadrature: for forces and stresses. metric_rule: for the metric.
        drag, viscosity: factors of R (no unit).
    """

    def __init__(
        self,
        problem: Problem,
        space: KnotSpace,
        base: Base,
        quadrature: Quadrature,
        metric_rule: Quadrature,
        drag: float,
        viscosity: float,
    ) -> None:
        self.problem, self.space, self.base = problem, space, base
        self.quadrature, self.metric_rule = quadrature, metric_rule
        self.drag, self.viscosity = drag, viscosity
        self._local = tuple(term for term in problem.terms if isinstance(term, Local))
        start = space.identity
        map = Broken.of(start)
        self._fixed = quadrature.nodes(base, map.b) if quadrature.fixed else None
        mass = Cells(metric_rule.nodes(base, map.b), map, Frame.of(map))
        self.c0 = (mass.sum(mass.nodes.w)[1:-1] * map.h**2).mean()

    def of(self, problem: Problem) -> KnotFlow:
        """The flow of another problem with the same regularisation."""
        other = copy.copy(self)
        other.problem, other._local = problem, tuple(term for term in problem.terms if isinstance(term, Local))
        return other

    def is_increasing(self, y: Tensor) -> bool:
        """Whether y [N] is an increasing map with ordered knots inside the support of the base."""
        map = Broken.of(y)
        inside = torch.minimum(map.b[0] - self.base.lower, self.base.upper - map.b[-1])
        return bool(torch.minimum(map.min_slope, inside) > 0) and bool(y.isfinite().all())

    def at(self, y: Tensor) -> KnotPoint:
        """The flow at the map with coordinates y [N]."""
        map = Broken.of(y)
        frame = Frame.of(map)
        nodes = self._fixed or self.quadrature.nodes(self.base, map.b)
        cells = Cells(nodes, map, frame)
        dx = map.slopes[cells.cell]
        at = MapAtNodes(nodes, torch.cat([map.u[:1], map.u])[cells.cell] + dx * cells.distance, dx)
        if self.metric_rule is self.quadrature:
            metric_cells = cells
        else:
            metric_cells = Cells(self.metric_rule.nodes(self.base, map.b), map, frame)
        moments = metric_cells.moments(metric_cells.nodes.w)
        mass = frame.band(*moments)
        gradient = self._gradient(at, map, frame, cells)
        metric = mass + self._regularisation(map, moments[0])
        return KnotPoint(y, map, at, gradient, Banded(mass), Banded(metric), cells, frame, self._local)

    def _gradient(self, at: MapAtNodes, map: Broken, frame: Frame, cells: Cells) -> Tensor:
        """Derivative of F in y [N]: sum force J + stress J', and p(b) [e(b-) - e(b+)] at the knots for local terms.

        Nodes that move with the knots would also change the sums over nodes. That change vanishes with the quadrature
        error for local terms; for interactions it is an artefact. Force and stress do not contain it.
        """
        force, stress = covector(self.problem.terms, at)
        stretch = cells.sum(force * cells.xi) + cells.sum(stress) / frame.width
        gradient = frame.vector(cells.sum(force), stretch)
        gradient[1:-1:2] += jumps(self.problem.terms, self.base, map.b, map.u, map.slopes)
        return gradient

    def _regularisation(self, map: Broken, masses: Tensor) -> Tensor:
        """Band of R [4, N]. masses: of the cells [K + 1]."""
        band = masses.new_zeros(4, 2 * len(masses))
        squares = map.slopes**2
        shares, means = 0.5 * (masses[:-1] + masses[1:]), 0.5 * (squares[:-1] + squares[1:])
        spring = self.viscosity * self.c0 / map.h**2
        band[0, 1:-1:2] = self.drag * shares * means + pad(spring, (1, 0)) + pad(spring, (0, 1))
        band[2, 1:-3:2] = -spring
        return band
