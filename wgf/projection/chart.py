"""A chart: coordinates c in which a map is linear, f = sum_i c_i B_i, with B-splines that make every matrix banded.

`spline` is its own chart, but for its tails. For the weights of `two_sided_relu` it is the space of continuous
piecewise linear functions with kinks at the knots and linear tails: hat functions, two of them on ghost points beyond
the outer knots. In either basis the mass matrix, scaled to a unit diagonal, has a condition number that does not grow
with m (8, 12, 25, 55, 150 for k = 1..5), where the metric of the neurons is singular.
"""

from __future__ import annotations

import warnings
from functools import cached_property

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.networks.base import TransportMap
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import TAIL_MASS, Spline, basis
from wgf.problem.domain import Line
from wgf.problem.energy import MapAtNodes
from wgf.problem.quadrature import Nodes
from wgf.projection.linalg.banded import Banded, Cholesky


def _rows(columns: Tensor, entries: Tensor, width: int) -> scipy.sparse.csr_matrix:
    """The matrix [r, width] whose row i holds entries[i, :] in columns[i, :]; both [r, e]."""
    starts = np.arange(0, entries.numel() + 1, entries.shape[1])
    index = np.int32 if max(entries.numel(), width) < 2**31 else np.int64
    parts = entries.cpu().numpy().ravel(), columns.cpu().numpy().astype(index).ravel(), starts.astype(index)
    return scipy.sparse.csr_matrix(parts, shape=(len(entries), width))


def _on(like: Tensor, matrix: scipy.sparse.csr_matrix) -> Tensor:
    """A sparse matrix as torch multiplies fastest, in the dtype and on the device of `like`."""
    starts, columns, entries = (
        torch.from_numpy(a).to(like.device) for a in (matrix.indptr, matrix.indices, matrix.data)
    )
    with warnings.catch_warnings():  # torch announces once that these tensors are new
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(starts, columns, entries.to(like.dtype), matrix.shape, check_invariants=False)


class Chart:
    """Coordinates of a map at fixed quadrature nodes.

    Everything is a product with one of three sparse matrices, made once: evaluation c -> (f, f'), its transpose, and
    assembly (second derivatives at the nodes) -> banded matrix.

    Args:
        map: a spline network; see `chart_of` for others.
        points: breakpoints [m] (length).
        degree: k.
        nodes: quadrature of the energy.
        metric_nodes: quadrature of the mass matrix.
        domain: decides where the map has tails.

    Attributes:
        size: M = m + k - 1 coordinates.
        mass: int B_i B_j p, banded.
    """

    truncated = 0

    def __init__(
        self, map: TransportMap, points: Tensor, degree: int, nodes: Nodes, metric_nodes: Nodes, domain: Line
    ) -> None:
        self.map, self.points, self.degree, self.nodes = map, points, degree, nodes
        self.size = len(points) + degree - 1
        left, right = domain.tails(map.base, points)
        beyond = (left, right and self.size > 2)
        self._tails = [end for end, mass in zip((0, -1), beyond, strict=True) if mass]
        self._ends = torch.tensor([range(self.size)[end] for end in self._tails], device=points.device).long()
        self._inner = torch.tensor([range(self.size)[1 + 3 * end] for end in self._tails], device=points.device).long()
        self._basis = self._tailored(nodes.z)
        first, values, slopes = self._basis
        columns = first[:, None] + torch.arange(degree + 1, device=first.device)
        evaluate = _rows(torch.cat([columns, columns]), torch.cat([values, slopes]), self.size)
        self._evaluate, self._load = _on(values, evaluate), _on(values, evaluate.T.tocsr())
        other = self._basis if metric_nodes is nodes else self._tailored(metric_nodes.z)
        mass = torch.mv(self._assembly(other[0], [(other[1], other[1])]), metric_nodes.w)
        self.mass = Banded(mass.reshape(degree + 1, self.size))
        self._mass_factor = Cholesky(self.mass.band)
        if not self._mass_factor.positive:
            raise ConfigError(
                "a cell of the network's mesh sees no mass of the base: network.width=, network.bound= or "
                "network.knots=quantile must give a mesh without such cells"
            )

    def _tailored(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The basis with an end that has a tail changed from (B_1, B_0) to (B_1 + B_0, B_0): 1 and a slope there.

        In the tail B_0 and B_1 grow in opposite directions, almost parallel where the cells are short.
        """
        first, values, slopes = basis(self.points, self.degree, z)
        for end in self._tails:
            cell = first == (0 if end == 0 else len(self.points) - 2)
            outer, inner = (0, 1) if end == 0 else (self.degree, self.degree - 1)
            for part in (values, slopes):
                part[:, inner] += part[:, outer] * cell
        return first, values, slopes

    def _assembly(self, first: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The matrix [(k + 1) M, len(pairs) n] which sends weights w at the nodes to the band of sum w u_a v_b."""
        k = self.degree
        diagonal, left = torch.tensor([(d, a) for d in range(k + 1) for a in range(k + 1 - d)]).to(first.device).T
        blocks = []
        for u, v in pairs:
            both = u[:, left] * v[:, left + diagonal]
            blocks.append(both if u is v else 0.5 * (both + v[:, left] * u[:, left + diagonal]))
        columns = first[:, None] + (diagonal * self.size + left)
        spread = _rows(torch.cat([columns] * len(pairs)), torch.cat(blocks), (k + 1) * self.size)
        return _on(blocks[0], spread.T.tocsr())

    @cached_property
    def _assemble(self) -> Tensor:
        first, values, slopes = self._basis
        return self._assembly(first, [(values, values), (slopes, slopes)])

    @cached_property
    def _assemble_mixed(self) -> Tensor:
        first, values, slopes = self._basis
        return 2 * self._assembly(first, [(values, slopes)])

    def at_nodes(self, c: Tensor) -> MapAtNodes:
        """The map with coordinates c [M] at the nodes."""
        both = torch.mv(self._evaluate, c)
        n = len(self.nodes.z)
        return MapAtNodes(self.nodes, both[:n], both[n:])

    def load(self, force: Tensor, stress: Tensor) -> Tensor:
        """sum_i force_i B(z_i) + stress_i B'(z_i) for every B-spline [M]."""
        return torch.mv(self._load, torch.cat([force, stress]))

    def loads(self, columns: Tensor) -> Tensor:
        """sum_i columns_ij B(z_i) [M, b] for columns [n, b]."""
        padded = torch.cat([columns, torch.zeros_like(columns)])
        return self._load @ padded

    def band(self, xx: Tensor, dd: Tensor, xd: Tensor | None = None) -> Tensor:
        """The band [k + 1, M] of sum_i xx_i B B + dd_i B' B' + xd_i (B B' + B' B) at the nodes."""
        band = torch.mv(self._assemble, torch.cat([xx, dd]))
        if xd is not None:
            band = band + torch.mv(self._assemble_mixed, xd)
        return band.reshape(self.degree + 1, self.size)

    def project(self, load: Tensor) -> Tensor:
        """mass^-1 load [M]."""
        return self._mass_factor.solve(load)

    def min_slope(self, theta: Tensor, at: MapAtNodes) -> Tensor:
        """The smallest f' at the nodes."""
        return at.dx.min()

    def _from_splines(self, coefficients: Tensor) -> Tensor:
        """c [M] from the coefficients of B-splines."""
        return coefficients.index_add(0, self._ends, coefficients[self._inner], alpha=-1)

    def _to_splines(self, c: Tensor) -> Tensor:
        """The coefficients of B-splines [M]."""
        return c.index_add(0, self._ends, c[self._inner])

    def coordinates(self, theta: Tensor) -> Tensor:
        """c [M] of parameters theta [p]."""
        return self._from_splines(theta)

    def displacement(self, theta: Tensor) -> Tensor:
        """The change of c [M] along a displacement of the parameters [p]."""
        return self._from_splines(theta)

    def length(self, c: Tensor) -> Tensor:
        """sqrt(c^T mass c), the W2 length of a displacement of the coordinates [M] (length)."""
        return torch.dot(c, self.mass.matvec(c)).sqrt()

    def lift(self, c: Tensor) -> Tensor:
        """The smallest displacement of the parameters [p] that moves the coordinates by c [M]; linear."""
        return self._to_splines(c)


class ReLUChart(Chart):
    """The chart of the weights of a two-sided ReLU network.

    Knots with next to no mass beyond them are not bent: they belong to the linear tails.

    Attributes:
        truncated: how many these are.
    """

    def __init__(self, map: TwoSidedReLU, nodes: Nodes, metric_nodes: Nodes, domain: Line) -> None:
        base, self.width, self._offset = map.base, map.width, map.offset
        self.knots = map.knots(map.theta.detach())[: map.width].contiguous()
        tails = torch.minimum(base.cdf(self.knots), base.survival(self.knots))
        bent = (tails > TAIL_MASS).nonzero()[:, 0]
        first, last = int(bent[0]), int(bent[-1])
        self.active = slice(first, last + 1)
        inner = self.knots[self.active]
        spacing = inner.diff() if len(inner) > 1 else inner.new_tensor([base.std])
        points = torch.cat([inner[:1] - spacing[:1], inner, inner[-1:] + spacing[-1:]])
        super().__init__(map, points, 1, nodes, metric_nodes, domain)
        self.truncated = map.width - len(inner)
        # minimum-norm return: q = B^T (B B^T)^-1 r with B = [1; b_i - b_1]
        self._reach = self.knots - self.knots[0]
        rows = torch.stack([torch.ones_like(self._reach), self._reach])
        self._return = rows.T @ torch.linalg.inv(rows @ rows.T)
        self._widths = points.diff()

    def _slopes(self, theta: Tensor) -> Tensor:
        """All slopes of f [m + 1], from the neurons, O(m)."""
        pad = torch.nn.functional.pad
        w, wt = theta.reshape(2, self.width)
        return (pad(w.cumsum(0), (1, 0)) - wt.sum() + pad(wt.cumsum(0), (1, 0))) / self.width

    def min_slope(self, theta: Tensor, at: MapAtNodes) -> Tensor:
        return self._slopes(theta).min()

    def coordinates(self, theta: Tensor) -> Tensor:
        return self._from_splines(self._offset + self._values(theta))

    def displacement(self, theta: Tensor) -> Tensor:
        return self._from_splines(self._values(theta))

    def _values(self, theta: Tensor) -> Tensor:
        """f at the breakpoints [M], less the constant, from the neurons."""
        slopes, a = self._slopes(theta), self.active
        start = torch.dot(theta[self.width :], self._reach) / self.width  # f(b_1): only left-facing neurons reach it
        inner = start + torch.nn.functional.pad((slopes[1:-1] * self.knots.diff()).cumsum(0), (1, 0))
        inner = inner[a]
        ends = self._widths[[0, -1]] * slopes[[a.start, a.stop]]
        return torch.cat([inner[:1] - ends[:1], inner, inner[-1:] + ends[1:]])

    def lift(self, c: Tensor) -> Tensor:
        """O(m). Slope jumps J_i = m [f']_i, left tail slope s_0 and value u_1 at b_1; w = J/2 + q, wt = J/2 - q,
        q = B^T (B B^T)^-1 r, r = (sum J/2 + m s_0, sum J (b - b_1)/2 - m u_1)."""
        c = self._to_splines(c)
        slope = c.diff() / self._widths
        jump = self.width * torch.nn.functional.pad(slope.diff(), (self.active.start, self.width - self.active.stop))
        left = slope[0]
        value = c[1] - left * (self.points[1] - self.knots[0])
        r = torch.stack([0.5 * jump.sum() + self.width * left, 0.5 * torch.dot(jump, self._reach) - self.width * value])
        q = self._return @ r
        return torch.cat([0.5 * jump + q, 0.5 * jump - q])


def has_chart(map: TransportMap) -> bool:
    """Whether a map is linear in what it trains, in a way this project knows."""
    return isinstance(map, Spline) or (isinstance(map, TwoSidedReLU) and map.train_part == "weights")


def chart_of(map: TransportMap, nodes: Nodes, metric_nodes: Nodes, domain: Line) -> Chart | None:
    """The chart of a map, or None where it has none."""
    if isinstance(map, Spline):
        return Chart(map, map.points, map.degree, nodes, metric_nodes, domain)
    if isinstance(map, TwoSidedReLU) and map.train_part == "weights":
        return ReLUChart(map, nodes, metric_nodes, domain)
    return None
