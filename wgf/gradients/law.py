"""The laws at saved times as differentiable tensors."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from wgf.carried_law import CarriedLaw
from wgf.errors import ConfigError
from wgf.gradients.cells import resolved, squared_gap
from wgf.gradients.history import History
from wgf.gradients.positions import motion_of_gap, without_tensors
from wgf.gradients.tensors import number, points
from wgf.problem.base import Base, Law, Start
from wgf.problem.laws.convert import compared_law
from wgf.problem.laws.data import Empirical
from wgf.problem.laws.inverse import inverse
from wgf.problem.quadrature import Gauss, Nodes
from wgf.reference_solutions.wasserstein import smooth_cells
from wgf.settings.ranges import fault

if TYPE_CHECKING:
    from wgf.projection.chart import Chart

EDGE = 1e-12  # of the base, where particles end, in its standard deviations


class DifferentiableLaws:
    """Laws of flows on one chart. All numbers are tensors with derivatives, of one entry for each flow [...].

    Args:
        chart: the coordinates.
        base: reference measure of the maps; it has no derivatives.
        c: coordinates of the maps [..., M], differentiable; NaN for a flow that failed, all of whose numbers are NaN.

    Attributes:
        base, coordinates: base and c.
    """

    def __init__(self, chart: Chart, base: Base, c: Tensor) -> None:
        self._chart, self.base, self.coordinates = chart, base, c

    def _evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """T and T' [..., q] at z [q] of all flows, or at points z [..., q] of each."""
        first, *rows = self._chart.basis(z.reshape(-1))
        columns = self._chart.space.columns(first).reshape(*z.shape, -1)
        if z.dim() == 1:
            local = self.coordinates[..., columns]
        else:
            local = self.coordinates[..., None, :].expand(*z.shape, -1).gather(-1, columns)
        values, slopes = ((row.reshape(columns.shape) * local).sum(-1) for row in rows)
        return values, slopes

    def map(self, z: Any) -> Tensor:
        """Positions T(z) of the particles that start at z in the base (length), differentiable in z."""
        z = points("z", z)
        finite = z.isfinite()
        found = self._evaluate(z.where(finite, self.base.mean).reshape(-1))[0]
        found = found.reshape((*found.shape[:-1], *z.shape))
        return found.where(finite, z + 0 * found.detach())  # NaN after a failure

    def quantile(self, u: Any) -> Tensor:
        """Positions with mass u to their left (length), differentiable in u between 0 and 1.

        Raises:
            ConfigError: u < 0 or u > 1, or an end of the support has no derivative in u.
        """
        u = points("u", u)
        level = u.detach()
        if not bool(((level >= 0) & (level <= 1)).all()):
            raise ConfigError(fault("u", level.tolist(), "masses from 0 to 1"))
        z = self.base.at_rank(level, 1 - level)
        if u.requires_grad:
            if not bool(((level > 0) & (level < 1)).all()):
                raise ConfigError("u requires grad and holds 0 or 1, where a quantile has no derivative: detach it")
            z = z + (u - level) / self.base.density(z)
        return self.map(z)

    @cached_property
    def _nodes(self) -> Nodes:
        """Nodes of the numbers below: the few of the dynamics may miss edges and tails."""
        nodes = Gauss().nodes(self.base, self._chart.space.points)
        return replace(nodes, w=nodes.w / nodes.w.sum())

    @cached_property
    def _at_nodes(self) -> Tensor:
        return self._evaluate(self._nodes.z)[0]

    def moment(self, order: int) -> Tensor:
        """int x^order rho dx (length^order)."""
        return self._at_nodes ** number("order", order) @ self._nodes.w

    @property
    def mean(self) -> Tensor:
        """Mean (length)."""
        return self.moment(1)

    @property
    def std(self) -> Tensor:
        """Standard deviation (length)."""
        return ((self._at_nodes - self.mean[..., None]) ** 2 @ self._nodes.w).sqrt()

    def squared_w2(self, other: Any) -> Tensor:
        """Square of the distance W2 to another law (length^2).

        Args:
            other: differentiable laws, one or one for each; a law, whose numbers may be tensors, or what makes one, a
                density or a frozen law of scipy.stats; samples [n], which count as they are, not smoothed.

        Raises:
            ConfigError: a derivative would be lost.
        """
        return self._from_laws(other) if isinstance(other, DifferentiableLaws) else self._from_law(compared_law(other))

    @cached_property
    def _mesh(self) -> Tensor:
        """Ends of cells between which base and maps are smooth [m] (length)."""
        return smooth_cells(self.base, self._chart.space.points)

    def _places(self, z: Tensor) -> Tensor:
        """T [..., q] of all flows at z [q], by one product."""
        rows = self.coordinates.reshape(-1, self._chart.size)
        return (self._chart.matrix(z) @ rows.T).T.reshape(*self.coordinates.shape[:-1], len(z))

    def _from_laws(self, other: DifferentiableLaws) -> Tensor:
        """Squares of W2 to other differentiable laws."""
        base, theirs, ends = self.base, other.base, other._mesh
        if theirs is not base:
            ends = base.at_rank(theirs.cdf(ends), theirs.survival(ends))
        mesh = torch.cat([self._mesh, ends[ends.isfinite()]]).unique()

        def places(z: Tensor) -> tuple[Tensor, Tensor]:
            same_rank = z if theirs is base else theirs.at_rank(base.cdf(z), base.survival(z))
            return self._places(z), other.map(same_rank)

        flows = torch.broadcast_shapes(self.coordinates.shape[:-1], other.coordinates.shape[:-1]).numel()
        return squared_gap(base, places, *resolved(base, places, mesh, flows), flows)

    def _from_law(self, law: Law) -> Tensor:
        """Squares of W2 to a law."""
        own = without_tensors(law)
        start, flows = Start(own, self.base), self.coordinates.shape[:-1].numel()
        mesh = torch.cat([self._mesh, start.kinks]).unique()

        def places(z: Tensor) -> tuple[Tensor, Tensor]:
            return self._places(z), start(z)

        # samples lie still between their ranks, where maps are smooth
        cells = mesh[:-1], mesh[1:]
        if not isinstance(own, Empirical):
            cells = resolved(self.base, places, mesh, flows)
        value = squared_gap(self.base, places, *cells, flows)
        if own is law or not torch.is_grad_enabled():
            return value
        return value + motion_of_gap(law, own, self.base, self._places, *cells)

    def w2(self, other: Any) -> Tensor:
        """Distance W2 to another law (length); it has no derivative where it is 0. See `squared_w2`."""
        return self.squared_w2(other).sqrt()

    def log_density(self, x: Any) -> Tensor:
        """log rho(x) at points x (length), also differentiable in x; -inf outside the particles."""
        x = points("x", x)
        flat = x.reshape(-1)
        start = self._inverse(flat.detach())
        inside = start.isfinite()
        z = start.where(inside, self.base.mean)
        goal = flat.where(inside, self._evaluate(z)[0].detach())
        for _ in range(2):  # Newton's steps from the solution: with each the order of right derivatives doubles
            place, slope = self._evaluate(z)
            z = z + (goal - place) / slope
        value = self.base.log_density(z) - self._evaluate(z)[1].log()
        value = value.where(inside, start.where(start.isnan(), -torch.inf))
        return value.reshape((*value.shape[:-1], *x.shape))

    def _inverse(self, x: Tensor) -> Tensor:
        """T^-1(x) [..., q] at x [q], infinite outside the particles; NaN for a flow that failed."""
        x = x.where(~self.coordinates.isnan().any(-1, keepdim=True), torch.nan)
        ends = self.base.panels()
        z = inverse(self._evaluate, x, torch.full_like(x, ends[0]), torch.full_like(x, ends[-1]))
        edge = EDGE * self.base.std
        inside = (z > ends[0] + edge) & (z < ends[-1] - edge)
        return torch.where(x.isnan(), torch.nan, torch.where(inside, z, torch.inf))


class DifferentiableLaw(DifferentiableLaws):
    """The law of a flow at a saved time; its numbers are scalars.

    Args:
        history: the flow.
        c: coordinates of the map [M], differentiable.
    """

    def __init__(self, history: History, c: Tensor) -> None:
        super().__init__(history.landscape.chart, history.projection.map.base, c)
        self._projection = history.projection

    @property
    def theta(self) -> Tensor:
        """Parameters of the map [p]."""
        initial = self._projection.initial
        return initial + self._chart.lift(self.coordinates - self._chart.coordinates(initial))

    def _inverse(self, x: Tensor) -> Tensor:
        return CarriedLaw(self._projection.map, self.theta.detach(), self._projection.problem.domain).inverse(x)
