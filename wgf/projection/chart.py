"""Charts: coordinates c in which a map is linear, f = sum_i c_i B_i. The B-splines B_i make every matrix banded.

Maps that are linear in their parameters have a chart: `spline`, and `two_sided_relu` with train = "weights". The mass
matrix, scaled to a unit diagonal, has a condition number independent of m (8, 12, 25, 55, 150 for k = 1..5). The metric
of the neurons is singular.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache, cached_property

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.networks.spline_space import SplineSpace
from wgf.problem.domain import Domain
from wgf.problem.energy import MapAtNodes
from wgf.problem.quadrature import Nodes
from wgf.projection.linalg.banded import Banded, Cholesky


def _rows(columns: Tensor, entries: Tensor, width: int) -> scipy.sparse.csr_matrix:
    """Sparse matrix [r, width] whose row i holds entries[i, :] in columns[i, :]; both [r, e]."""
    starts = np.arange(0, entries.numel() + 1, entries.shape[1])
    index = np.int32 if max(entries.numel(), width) < 2**31 else np.int64
    parts = entries.cpu().numpy().ravel(), columns.cpu().numpy().astype(index).ravel(), starts.astype(index)
    return scipy.sparse.csr_matrix(parts, shape=(len(entries), width))


def _on(like: Tensor, matrix: scipy.sparse.csr_matrix) -> Tensor:
    """Convert a sparse matrix to torch CSR (the fastest product), in the dtype and on the device of `like`."""
    starts, columns, entries = (
        torch.from_numpy(a).to(like.device) for a in (matrix.indptr, matrix.indices, matrix.data)
    )
    with warnings.catch_warnings():  # torch warns once that its CSR tensors are beta, and that it does not check them
        warnings.filterwarnings("ignore", "Sparse (CSR tensor support|invariant checks)", UserWarning)
        return torch.sparse_csr_tensor(starts, columns, entries.to(like.dtype), matrix.shape, check_invariants=False)


BLOCK = 1 << 16  # nodes whose products are in memory at once
Basis = tuple[Tensor, Tensor, Tensor]


@cache
def _pairs(degree: int) -> list[list[int]]:
    """Pairs a <= b of the k + 1 functions of a cell, by their distance [2, .]."""
    lefts = [(a, d) for d in range(degree + 1) for a in range(degree + 1 - d)]
    return [[a for a, _ in lefts], [a + d for a, d in lefts]]


def with_tails(basis: Basis, tails: Sequence[int], last: int) -> Basis:
    """Basis of a chart from B-splines, see `Chart.basis`.

    Args:
        basis: index of the first B-spline [n], values and slopes [n, k + 1].
        tails: 0 and -1, the ends at which the map has tails.
        last: index of the last cell.
    """
    first, values, slopes = basis
    degree = values.shape[1] - 1
    for end in tails:
        cell = (first == (0 if end == 0 else last))[:, None]
        outer, inner = (0, 1) if end == 0 else (degree, degree - 1)
        place = torch.tensor([inner], device=first.device)
        values, slopes = (part.index_add(1, place, part[:, outer : outer + 1] * cell) for part in (values, slopes))
    return first, values, slopes


class Chart:
    """Coordinates of a map at fixed quadrature nodes.

    At a wall the outermost coefficient is the position of the wall. It does not move: every load is 0 there, and so are
    the matrices but for the diagonal of the mass.

    All operations multiply by one of three sparse matrices that are made when first used: evaluation c -> (f, f'), its
    transpose, and assembly (second derivatives at the nodes) -> banded matrix.

    Args:
        space: splines in which the map is linear.
        nodes: quadrature of the energy.
        metric_nodes: quadrature of the mass matrix.
        domain: decides at which ends the map has tails or is fixed.

    Attributes:
        size: M = m + k - 1 coordinates.
        mass: int B_i B_j p, banded.
        tails: 0 and -1, the ends at which the map has tails.
        pairs: coordinates of a tail and of its neighbour, for each tail: c_end = s_end - s_neighbour.
        free: which coordinates are free, not held at a wall [M].
        walls: coordinates [M] that hold the positions of the walls, 0 elsewhere (length).
    """

    def __init__(self, space: SplineSpace, nodes: Nodes, metric_nodes: Nodes, domain: Domain) -> None:
        self.space, self.size = space, space.size
        self.nodes, self.metric_nodes = nodes, metric_nodes
        points = space.points
        left, right = domain.tails(nodes.base, points)
        beyond = (left, right and self.size > 2)
        self.tails = [end for end, mass in zip((0, -1), beyond, strict=True) if mass]
        self.pairs = [(range(self.size)[end], range(self.size)[1 + 3 * end]) for end in self.tails]
        self._ends, self._inner = (
            torch.tensor([pair[k] for pair in self.pairs]).long().to(points.device) for k in (0, 1)
        )
        self.free, self.walls = self._held(domain)
        self._identity = space.identity(nodes.z)
        self.mass = Banded(self._mass(metric_nodes))
        factor = Cholesky(self.mass.band)
        if len(nodes.z) <= BLOCK:
            self._mass_factor = factor
        if not factor.positive:
            raise ConfigError(
                "a cell of the network's mesh contains no mass of the base: change network.width or network.bound, or "
                "use network.knots=quantile"
            )

    @cached_property
    def _mass_factor(self) -> Cholesky:
        return Cholesky(self.mass.band)

    def _held(self, domain: Domain) -> tuple[Tensor, Tensor]:
        """Which coordinates are free [M], and the values of the others [M] (length)."""
        points = self.space.points
        free, held = points.new_ones(self.size, dtype=torch.bool), points.new_zeros(self.size)
        for end, wall in zip((0, -1), domain.held, strict=True):
            if wall is not None:
                free[end], held[end] = False, wall
        return free, held

    def __deepcopy__(self, _: dict) -> Chart:
        """The chart itself: it never changes, and torch cannot copy its sparse matrices."""
        return self

    def basis(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Basis at z in which an end with a tail has (B_1 + B_0, B_0) instead of (B_1, B_0): a constant and a slope.

        In the tail B_0 and B_1 grow in opposite directions; if the cells are short, they are almost parallel.
        """
        return with_tails(self.space.basis(z), self.tails, len(self.space.points) - 2)

    def matrix(self, z: Tensor) -> Tensor:
        """Sparse matrix [n, M] that maps coordinates to the map at z."""
        first, values, _ = self.basis(z)
        return _on(values, _rows(self.space.columns(first), values, self.size))

    @cached_property
    def basis_at_nodes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Index of the first basis function [n], values and slopes [n, k + 1] at the nodes."""
        z = self.nodes.z
        values, slopes = z.new_empty(2, len(z), self.space.degree + 1)
        first = torch.empty_like(z, dtype=torch.long)
        for start in range(0, len(z), BLOCK):
            part = slice(start, start + BLOCK)
            first[part], values[part], slopes[part] = self.basis(z[part])
        return first, values, slopes

    def _mass(self, nodes: Nodes) -> Tensor:
        """Band [b + 1, M] of sum w B B; the mean of its diagonal for coordinates that are held."""
        z, w = nodes.z, nodes.w
        band, few = w.new_zeros((self.space.bandwidth + 1) * self.size), len(z) <= BLOCK and nodes is self.nodes
        for start in range(0, len(w), BLOCK):
            part = slice(start, start + BLOCK)
            first, values, _ = self.basis_at_nodes if few else self.basis(z[part])
            places, products = self._products(first, values, values)
            band.index_put_((places,), products * w[part, None], accumulate=True)
        band = band.reshape(-1, self.size)
        band[0, ~self.free] = band[0].mean()
        return band

    @cached_property
    def _evaluate(self) -> Tensor:
        """Matrix [2 n, M] that maps coordinates to the map and its slope at the nodes, without the identity."""
        columns, entries = self._stacked
        return _on(entries, _rows(columns, entries, self.size))

    @cached_property
    def _load(self) -> Tensor:
        columns, entries = self._stacked
        return _on(entries, _rows(columns, entries * self.free[columns], self.size).T.tocsr())

    @property
    def _stacked(self) -> tuple[Tensor, Tensor]:
        first, values, slopes = self.basis_at_nodes
        columns = self.space.columns(first)
        return torch.cat([columns, columns]), torch.cat([values, slopes])

    def _products(self, first: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Places in a band, and the symmetric products of u and v [n, k + 1] that belong there."""
        left, right = torch.tensor(_pairs(self.space.degree), device=first.device)
        columns, free = self.space.columns(first).T.contiguous(), self.free
        one, other = columns[left], columns[right]  # by pairs: whole rows are copied faster than single entries
        a, b = u.T.contiguous(), v.T.contiguous()
        both = a[left] * b[right]
        both = both if u is v else 0.5 * (both + b[left] * a[right])
        places = (one - other).abs() * self.size + torch.minimum(one, other)
        both = both if bool(free.all()) else both * free[one] * free[other]
        return places.T, both.T

    def _assembly(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Matrix [(b + 1) M, len(pairs) n] that maps weights w at the nodes to the band of sum w u_a v_b."""
        places, blocks = zip(*(self._products(self.basis_at_nodes[0], u, v) for u, v in pairs), strict=True)
        spread = _rows(torch.cat(places), torch.cat(blocks), (self.space.bandwidth + 1) * self.size)
        return _on(blocks[0], spread.T.tocsr())

    @cached_property
    def _assemble(self) -> Tensor:
        _, values, slopes = self.basis_at_nodes
        return self._assembly([(values, values), (slopes, slopes)])

    @cached_property
    def _assemble_mixed(self) -> Tensor:
        _, values, slopes = self.basis_at_nodes
        return 2 * self._assembly([(values, slopes)])

    def at_nodes(self, c: Tensor) -> MapAtNodes:
        """The map with coordinates c [M] at the nodes."""
        change = self.change(c)
        if self._identity is None:
            return change
        return MapAtNodes(self.nodes, self._identity + change.x, 1 + change.dx)

    def change(self, c: Tensor) -> MapAtNodes:
        """Change of the map and of its slope at the nodes for a displacement of the coordinates c [M]."""
        both = torch.mv(self._evaluate, c)
        n = len(self.nodes.z)
        return MapAtNodes(self.nodes, both[:n], both[n:])

    def rows_at_nodes(self, c: Tensor) -> MapAtNodes:
        """Maps with coordinates c [r, M] at the nodes, one after another [r n]."""
        changes, nodes, r = self.changes(c), self.nodes, len(c)
        if self._identity is not None:
            changes = changes + torch.stack([self._identity, torch.ones_like(self._identity)])
        x, dx = changes.unbind(1)
        return MapAtNodes(Nodes(nodes.z.repeat(r), nodes.w.repeat(r), nodes.base), x.flatten(), dx.flatten())

    def changes(self, c: Tensor) -> Tensor:
        """As `change`, for displacements c [r, M]: [r, 2, n]."""
        return (self._evaluate @ c.T).T.unflatten(1, (2, -1))

    def load(self, force: Tensor, stress: Tensor) -> Tensor:
        """Load vector sum_i force_i B(z_i) + stress_i B'(z_i) for every B-spline [M] that is free, 0 for the others."""
        return torch.mv(self._load, torch.cat([force, stress]))

    def load_rows(self, force: Tensor, stress: Tensor) -> Tensor:
        """The same for rows [r, n]: [r, M]."""
        return (self._load @ torch.cat([force, stress], 1).T).T

    def loads(self, columns: Tensor) -> Tensor:
        """Load vectors sum_i columns_ij B(z_i) [M, b] for columns [n, b]."""
        padded = torch.cat([columns, torch.zeros_like(columns)])
        return self._load @ padded

    def band(self, xx: Tensor, dd: Tensor, xd: Tensor | None = None) -> Tensor:
        """Band [b + 1, M] of sum_i xx_i B B + dd_i B' B' + xd_i (B B' + B' B) at the nodes."""
        band = torch.mv(self._assemble, torch.cat([xx, dd]))
        if xd is not None:
            band = band + torch.mv(self._assemble_mixed, xd)
        return band.reshape(self.space.bandwidth + 1, self.size)

    def project(self, load: Tensor) -> Tensor:
        """Coordinates mass^-1 load [M] of the L2(p) projection, or [M, r] of r loads [M, r]."""
        return self._mass_factor.solve(load)

    def nearest(self, goal: Tensor) -> Tensor:
        """Coordinates [M] of the map next to the positions `goal` at the nodes [n] in L2(p) (length)."""
        gap = goal - self.at_nodes(self.walls).x
        return self.walls + self.project(self.load(self.nodes.w * gap, torch.zeros_like(gap)))

    def from_splines(self, coefficients: Tensor) -> Tensor:
        """Coordinates c [..., M] from the coefficients of B-splines [..., M]."""
        return coefficients.index_add(-1, self._ends, coefficients[..., self._inner], alpha=-1)

    def to_splines(self, c: Tensor) -> Tensor:
        """Coefficients of B-splines [..., M] from the coordinates c [..., M]."""
        return c.index_add(-1, self._ends, c[..., self._inner])

    def coordinates(self, theta: Tensor) -> Tensor:
        """Coordinates c [M] of the parameters theta [p]."""
        return self.from_splines(self.space.coefficients(theta))

    def displacement(self, theta: Tensor) -> Tensor:
        """Change of c [M] for a displacement of the parameters [p]."""
        return self.from_splines(self.space.change(theta))

    def constant(self) -> Tensor:
        """Coordinates [M] of the map that is 1 everywhere."""
        return self.from_splines(torch.ones_like(self.mass.band[0]))

    def length(self, c: Tensor) -> Tensor:
        """W2 length sqrt(c^T mass c) of a displacement c of the coordinates [M] (length)."""
        return torch.dot(c, self.mass.matvec(c)).sqrt()

    def lift(self, c: Tensor) -> Tensor:
        """Smallest displacement of the parameters [p] that moves the coordinates by c [M]; linear."""
        return self.space.lift(self.to_splines(c))
