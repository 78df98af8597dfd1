"""The laws at saved times as differentiable tensors."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from wgf.carried_law import CarriedLaw
from wgf.gradients.history import History
from wgf.problem.base import Base, Law
from wgf.problem.laws.convert import law_of
from wgf.problem.laws.inverse import inverse

if TYPE_CHECKING:
    from wgf.projection.chart import Chart

EDGE = 1e-12  # of the base, where particles end (length)


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
        """Positions T(z) of the particles that start at z in the base (length)."""
        z = torch.as_tensor(z, dtype=torch.float64)
        found = self._evaluate(z.reshape(-1))[0]
        return found.reshape((*found.shape[:-1], *z.shape))

    def quantile(self, u: Any) -> Tensor:
        """Positions with mass u to their left (length)."""
        u = torch.as_tensor(u, dtype=torch.float64)
        return self.map(self.base.at_rank(u, 1 - u))

    @cached_property
    def _at_nodes(self) -> Tensor:
        return self._evaluate(self._chart.nodes.z)[0]

    def moment(self, order: int) -> Tensor:
        """int x^order rho dx (length^order)."""
        return self._at_nodes**order @ self._chart.nodes.w

    @property
    def mean(self) -> Tensor:
        """Mean (length)."""
        return self.moment(1)

    @property
    def std(self) -> Tensor:
        """Standard deviation (length)."""
        return ((self._at_nodes - self.mean[..., None]) ** 2 @ self._chart.nodes.w).sqrt()

    def squared_w2(self, other: Any) -> Tensor:
        """Square of the distance W2 to another law (length^2).

        Args:
            other: differentiable laws, one or one for each; or a law, or what makes one: samples [n], a density, a
                frozen law of scipy.stats.
        """
        nodes = self._chart.nodes
        if isinstance(other, DifferentiableLaws):
            theirs = other.map(nodes.z) if other.base is self.base else other.quantile(self.base.cdf(nodes.z))
        else:
            theirs = self._positions(law_of(other))
        return (self._at_nodes - theirs) ** 2 @ nodes.w

    def _positions(self, law: Law) -> Tensor:
        z = self._chart.nodes.z
        return law.at_rank(self.base.cdf(z), self.base.survival(z))

    def w2(self, other: Any) -> Tensor:
        """Distance W2 to another law (length); it has no derivative where it is 0. See `squared_w2`."""
        return self.squared_w2(other).sqrt()

    def log_density(self, x: Any) -> Tensor:
        """log rho(x) at points x (length), also differentiable in x; -inf outside the particles."""
        x = torch.as_tensor(x, dtype=torch.float64)
        flat = x.reshape(-1)
        z = self._inverse(flat.detach())
        inside, outside, mean = z.isfinite(), torch.where(z.isnan(), torch.nan, -torch.inf), self.base.mean
        z = z.where(inside, mean)
        place, slope = self._evaluate(z)
        z = (z + (flat - place) / slope.detach().where(inside, 1.0)).where(inside, mean)  # moves with x and the map
        value = (self.base.log_density(z) - self._evaluate(z)[1].log()).where(inside, outside)
        return value.reshape((*value.shape[:-1], *x.shape))

    def _inverse(self, x: Tensor) -> Tensor:
        """T^-1(x) [..., q] at x [q], infinite outside the particles; NaN for a flow that failed."""
        x = x.where(~self.coordinates.isnan().any(-1, keepdim=True), torch.nan)
        ends = self.base.panels()
        z = inverse(self._evaluate, x, torch.full_like(x, ends[0]), torch.full_like(x, ends[-1]))
        inside = (z > ends[0] + EDGE) & (z < ends[-1] - EDGE)
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
