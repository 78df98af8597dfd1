"""Quadrature mesh of a certificate, with the values, slopes and second derivatives of splines at its nodes."""

from __future__ import annotations

import math
import warnings
from functools import cache, cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from wgf.networks.spline_space import SplineSpace, basis
from wgf.problem.base import Base
from wgf.problem.domain import Domain
from wgf.projection.chart import Chart

REACH = 1.5  # the mesh reaches so many times the range of the law's panels
TAIL_CELL = 1 / 56  # width of a cell beyond the breakpoints, relative to the mesh
EDGE = 1e-10, 1e-6  # distances from an end at which p is compared, relative to the range
PARTICLES = 5  # whose ways are recorded
NEWTON = 12  # steps to where a map takes a value
SAME = 1e-12  # distance of places that count as one, relative to the law's width and to their distance from its mean


class _Combination:
    """sum_j shape_j c_(first + j) at nodes, for rows of coefficients c [r, size].

    Args:
        first: index of the first function at the nodes [n], or [r, n] where each map has its own.
        shape: the functions there [n, k] or [r, n, k].
        size: number of coefficients.
    """

    def __init__(self, first: Tensor, shape: Tensor, size: int) -> None:
        self._columns, self._shape = first[..., None] + torch.arange(shape.shape[-1], device=first.device), shape
        self._matrix: Tensor | None = None
        if first.dim() == 1:  # the sparse product is several times as fast
            n, k = shape.shape
            starts = torch.arange(0, n * k + 1, k, device=first.device)
            with warnings.catch_warnings():  # torch warns once that its CSR tensors are beta
                warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
                self._matrix = torch.sparse_csr_tensor(
                    starts, self._columns.reshape(-1), shape.reshape(-1), (n, size), check_invariants=False
                )

    def __call__(self, rows: Tensor) -> Tensor:
        if self._matrix is not None:
            return (self._matrix @ rows.T).T.contiguous()
        found = rows.gather(1, self._columns.flatten(1)).view_as(self._shape)
        return (found * self._shape).sum(-1)


class Mesh:
    """Gauss nodes on cells between the breakpoints of a spline space, the panels of the base, and in the tails.

    All maps share the cells, or each of r maps has its own: then every array begins with a dimension r.

    Args:
        base: the reference measure p.
        space: splines of the map.
        order: nodes per cell.
        domain: where the map lives.
        cells: ends of the cells [c + 1] or [r, c + 1] (length); None for those above.

    Attributes:
        cells: ends of the cells [c + 1] (length).
        order: nodes per cell.
        s: nodes of a cell from 0 to 1 [order].
        z, dz: nodes and Lebesgue weights [n] (length).
        w: weights p dz [n] (mass).
        p, log_p, dlog_p: density of the base, its logarithm, and the derivative of that [n].
        middle: the cell that holds the mean of the base, twice, or the cells on either side of it if it is a face; each
            [1] or [r, 1].
        walls: at which ends the map is fixed at a wall, so that a flux need not vanish there.
        open: at which other ends p does not vanish, so that only an equilibrated flux vanishes there.
    """

    def __init__(self, base: Base, space: SplineSpace, order: int, domain: Domain, cells: Tensor | None = None) -> None:
        points = space.points.double()
        self.walls = tuple(wall is not None for wall in domain.walls)
        self.base, self.space, self.points, self.order, self.domain = base, space, points, order, domain
        self.cells = _cells(base, points) if cells is None else cells
        x, w = np.polynomial.legendre.leggauss(order)
        self.s, half = torch.from_numpy(0.5 * (x + 1)).to(points), torch.from_numpy(0.5 * w).to(points)
        self.widths = self.cells.diff()
        self.z = (self.cells[..., :-1, None] + self.widths[..., None] * self.s).flatten(-2)
        self.dz = (self.widths[..., None] * half).flatten(-2)
        self._primitives = torch.from_numpy(_primitives(order)).to(points)
        with torch.enable_grad():
            z = self.z.detach().reshape(-1).requires_grad_()
            log_p = base.log_density(z)
            slope = torch.autograd.grad(log_p.sum(), z)[0] if log_p.requires_grad else torch.zeros_like(z)
        self.log_p, self.dlog_p = log_p.detach().view_as(self.z), slope.view_as(self.z)
        self.p = self.log_p.exp()
        self.w = self.dz * self.p
        self.middle = self._middle(base.mean)
        self.open = tuple(not wall and jump for wall, jump in zip(self.walls, _jumps(base), strict=True))
        first, *parts = self._basis(space.degree)
        self._values, self._slopes = (_Combination(first, part, space.size) for part in parts)
        self._bends: _Combination | None = None
        if space.degree > 1:
            _, _, bends = self._basis(space.degree - 1, first)
            tail = (self.z < points[0]) | (self.z > points[-1])
            self._bends = _Combination(first, bends.masked_fill(tail[..., None], 0.0), space.size - 1)
            k = space.degree
            knots = torch.cat([points[:1].expand(k), points, points[-1:].expand(k)])
            self._spacing = (knots[k + 1 : -1] - knots[1 : -k - 1]) / k
        else:
            self._smooth = self._between_middles()

    @cached_property
    def particles(self) -> Tensor:
        """The nodes that stand for equal shares of the mass [PARTICLES]."""
        shares = (torch.arange(PARTICLES, dtype=self.w.dtype, device=self.w.device) + 0.5) / PARTICLES
        return torch.searchsorted(self.w.cumsum(0), shares).clamp(max=len(self.w) - 1)

    def _middle(self, mean: float) -> tuple[Tensor, Tensor]:
        """The cells left and right of a face at `mean`, or twice the cell that holds it: a reflected mesh has the
        reflected ones."""
        near = torch.full_like(self.cells[..., -1:], SAME * self.base.std)
        left, right = (torch.searchsorted(self.cells, mean + shift) for shift in (-near, near))
        return tuple(end.clamp(1, self.widths.shape[-1]) - 1 for end in (left, right))  # type: ignore[return-value]

    def _basis(self, degree: int, first: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        found = basis(self.points, degree, self.z.reshape(-1), first if first is None else first.reshape(-1))
        return tuple(part.view(*self.z.shape, *part.shape[1:]) for part in found)  # type: ignore[return-value]

    def split(self, c: Tensor, at: Tensor) -> Mesh:
        """Cells of their own for maps with coefficients c [r, M], cut where a map takes a value of `at` [K] (length).

        Where it does not, the cell in the middle is cut, so that all maps have as many cells.
        """
        goal = at.to(c).expand(len(c), -1).contiguous()
        right = torch.searchsorted(self.values(c), goal)
        inside = (right > 0) & (right < len(self.z))
        low, high = self.z[(right - 1).clamp(min=0)], self.z[right.clamp(max=len(self.z) - 1)]
        z = 0.5 * (low + high)
        columns = torch.arange(self.space.degree + 1, device=c.device)
        for _ in range(NEWTON):
            first, values, slopes = basis(self.points, self.space.degree, z.reshape(-1))
            own = c.gather(1, (first[:, None] + columns).view(len(c), -1)).view(*z.shape, -1)
            gap = (own * values.view_as(own)).sum(-1) - goal
            low, high = torch.where(gap < 0, z, low), torch.where(gap < 0, high, z)
            z = z - gap / (own * slopes.view_as(own)).sum(-1)
            z = torch.where((z >= low) & (z <= high), z, 0.5 * (low + high))
        share = torch.arange(1, len(at) + 1, dtype=c.dtype, device=c.device) / (len(at) + 1)
        elsewhere = self.cells[self.middle[1]] + share * self.widths[self.middle[1]]
        cells = torch.cat([self.cells.expand(len(c), -1), torch.where(inside, z, elsewhere)], 1)
        return Mesh(self.base, self.space, self.order, self.domain, cells.sort(1).values)

    def values(self, c: Tensor) -> Tensor:
        """Splines at the nodes [r, n] from their coefficients c [r, M]."""
        return self._values(c)

    def slopes(self, c: Tensor) -> Tensor:
        """First derivatives [r, n]."""
        return self._slopes(c)

    def bends(self, c: Tensor) -> Tensor:
        """Second derivatives [r, n] between the breakpoints; 0 in the tails."""
        if self._bends is None:
            return c.new_zeros(len(c), self.z.shape[-1])
        return self._bends(c.diff(dim=1) / self._spacing)

    def _between_middles(self) -> list[_Combination]:
        """Slopes of piecewise linear maps that are linear between the middles of their cells, and their derivatives."""
        middles = 0.5 * (self.points[1:] + self.points[:-1])
        if len(middles) == 1:  # one slope
            first, ones = torch.zeros_like(self.z, dtype=torch.long), torch.ones_like(self.z)[..., None]
            return [_Combination(first, shape, 1) for shape in (ones, 0 * ones)]
        cell = torch.searchsorted(middles[1:-1].contiguous(), self.z)
        along = (self.z - middles[cell]) / middles.diff()[cell]
        rise = ((along > 0) & (along < 1)) / middles.diff()[cell]
        along = along.clamp(0, 1)
        shapes = torch.stack([1 - along, along], -1), torch.stack([-rise, rise], -1)
        return [_Combination(cell, shape, len(middles)) for shape in shapes]

    def smooth_slopes(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """Continuous slopes of piecewise linear maps [r, n], and their derivatives."""
        levels = c.diff(dim=1) / self.points.diff()
        slopes, bends = self._smooth
        return slopes(levels), bends(levels)

    def integral(self, f: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """int factor f p dz [r] for f [r, n] and a factor that all maps share."""
        w = self.w * factor
        return f @ w if w.dim() == 1 else (f * w).sum(-1)

    def norm(self, f: Tensor) -> Tensor:
        """Norm of f [r, n] in L2(p), [r]."""
        return self.integral(f * f).sqrt()

    def flux(self, f: Tensor) -> Tensor:
        """-int_{-inf}^z f p of a function f [r, n] with mean 0, integrated from the nearer end; [r, n].

        At walls the integral does not begin there, and the mean may be any: with one wall it begins at the other end.
        """
        rows = (f * self.p).reshape(len(f), -1, self.order)
        total = (rows * self.dz.unflatten(-1, (-1, self.order))).sum(-1)
        local = (rows @ self._primitives.T) * self.widths[..., None]
        left = total.cumsum(1) - total
        right = -total.flip(1).cumsum(1).flip(1)
        from_left = torch.arange(self.widths.shape[-1], device=f.device) < self.middle[1]
        if any(self.walls):
            from_left = torch.full_like(from_left, self.walls[1])
        begin = torch.where(from_left, left, right)
        return -(begin[..., None] + local).reshape(f.shape)


_meshes: WeakKeyDictionary[Chart, dict[int, Mesh]] = WeakKeyDictionary()


def mesh_of(chart: Chart, base: Base, order: int, domain: Domain) -> Mesh:
    """The mesh for the maps of a chart, made once for it: its base and its domain belong to it."""
    known = _meshes.setdefault(chart, {})
    if order not in known:
        known[order] = Mesh(base, chart.space, order, domain)
    return known[order]


def _jumps(base: Base) -> tuple[bool, bool]:
    """At which ends p does not vanish: there it is as large as nearby, and a vanishing p ~ distance^a is not.

    The value at an end itself says nothing: rounding of (1 - y^2)^a leaves 1e-8 for a = 1/2.
    """
    span = base.upper - base.lower if math.isfinite(base.upper - base.lower) else base.std
    near, nearby = (torch.tensor([base.lower + h * span, base.upper - h * span], dtype=torch.float64) for h in EDGE)
    return tuple((base.density(near) > 0.5 * base.density(nearby)).tolist())


def _cells(base: Base, points: Tensor) -> Tensor:
    panels = torch.tensor(base.panels(), dtype=points.dtype, device=points.device)
    low, high = panels[0], panels[-1]
    if left := math.isinf(base.lower):
        low = base.mean + REACH * (low - base.mean)
    if right := math.isinf(base.upper):
        high = base.mean + REACH * (high - base.mean)
    width = TAIL_CELL * (high - low)
    # breakpoints may reach beyond all mass, on one side of a skew law by far
    tails = [_divided(low, points[0].clamp(low, high), width)] if left else []
    tails += [_divided(points[-1].clamp(low, high), high, width)] if right else []
    inner = points[(points >= low) & (points <= high)]
    mesh = torch.cat([panels, *tails, inner]).sort().values
    near = SAME * (base.std + (mesh[1:] - base.mean).abs())  # heavy tails reach 10^14 times as far as the law
    wide = torch.nn.functional.pad(mesh.diff() > near, (1, 0), value=True)
    return mesh[wide]


def _divided(low: Tensor, high: Tensor, width: Tensor) -> Tensor:
    """Ends of equal cells of at most this width."""
    return low + (high - low) * torch.linspace(0, 1, int((high - low) / width) + 2, dtype=low.dtype, device=low.device)


@cache
def _primitives(order: int) -> np.ndarray:
    """Matrix [order, order] from values at Gauss nodes to integrals from the left end of a cell of width 1."""
    legendre = np.polynomial.legendre
    x, _ = legendre.leggauss(order)
    columns = [0.5 * legendre.legval(x, legendre.legint(row, lbnd=-1)) for row in np.eye(order)]
    return np.stack(columns, 1) @ np.linalg.inv(legendre.legvander(x, order - 1))
