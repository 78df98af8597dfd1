"""The law at a saved time as differentiable tensors."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from wgf.carried_law import CarriedLaw
from wgf.gradients.history import History
from wgf.problem.base import Base, Law
from wgf.problem.laws.convert import law_of

if TYPE_CHECKING:
    from wgf.projection.chart import Chart


class DifferentiableLaw:
    """The law of a flow at a saved time. All numbers are tensors with derivatives in the tensors of the problem.

    Args:
        history: the flow.
        c: coordinates of the map [M], differentiable.

    Attributes:
        coordinates: c.
    """

    def __init__(self, history: History, c: Tensor) -> None:
        self._history, self.coordinates = history, c

    @property
    def _chart(self) -> Chart:
        return self._history.landscape.chart

    @property
    def base(self) -> Base:
        """Reference measure of the map; it has no derivatives."""
        return self._history.projection.map.base

    @property
    def theta(self) -> Tensor:
        """Parameters of the map [p]."""
        initial = self._history.projection.initial
        return initial + self._chart.lift(self.coordinates - self._chart.coordinates(initial))

    def _evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """T and T' [n] at z [n]."""
        first, values, slopes = self._chart.basis(z)
        local = self.coordinates[self._chart.space.columns(first)]
        return (values * local).sum(1), (slopes * local).sum(1)

    def map(self, z: Any) -> Tensor:
        """Positions T(z) [...] of the particles that start at z [...] in the base (length)."""
        z = torch.as_tensor(z, dtype=torch.float64)
        return self._evaluate(z.reshape(-1))[0].reshape(z.shape)

    def quantile(self, u: Any) -> Tensor:
        """Positions [...] with mass u [...] to their left (length)."""
        u = torch.as_tensor(u, dtype=torch.float64)
        return self.map(self.base.at_rank(u, 1 - u))

    @cached_property
    def _at_nodes(self) -> Tensor:
        return self._evaluate(self._chart.nodes.z)[0]

    def moment(self, order: int) -> Tensor:
        """int x^order rho dx, scalar (length^order)."""
        return torch.dot(self._chart.nodes.w, self._at_nodes**order)

    @property
    def mean(self) -> Tensor:
        """Mean, scalar (length)."""
        return self.moment(1)

    @property
    def std(self) -> Tensor:
        """Standard deviation, scalar (length)."""
        return torch.dot(self._chart.nodes.w, (self._at_nodes - self.mean) ** 2).sqrt()

    def squared_w2(self, other: Any) -> Tensor:
        """Square of the distance W2 to another law, scalar (length^2).

        Args:
            other: a `DifferentiableLaw` with the same base, a law, or what makes one: samples [n], a density, a frozen
                law of scipy.stats.
        """
        nodes = self._chart.nodes
        if isinstance(other, DifferentiableLaw):
            theirs = other.map(nodes.z) if other.base is self.base else other.quantile(self.base.cdf(nodes.z))
        else:
            theirs = self._positions(law_of(other))
        return torch.dot(nodes.w, (self._at_nodes - theirs) ** 2)

    def _positions(self, law: Law) -> Tensor:
        z = self._chart.nodes.z
        return law.at_rank(self.base.cdf(z), self.base.survival(z))

    def w2(self, other: Any) -> Tensor:
        """Distance W2 to another law, scalar (length); it has no derivative where it is 0. See `squared_w2`."""
        return self.squared_w2(other).sqrt()

    def log_density(self, x: Any) -> Tensor:
        """log rho(x) [...] at points x [...] (length), also differentiable in x; -inf outside the particles."""
        x = torch.as_tensor(x, dtype=torch.float64)
        flat = x.reshape(-1)
        projection = self._history.projection
        z = CarriedLaw(projection.map, self.theta.detach(), projection.problem.domain).inverse(flat.detach())
        inside = z.isfinite()
        place, slope = self._evaluate(z.where(inside, self.base.mean))
        z = z.where(inside, self.base.mean) + (flat - place) / slope.detach()  # moves with x and with the map
        value = self.base.log_density(z) - self._evaluate(z)[1].log()
        return value.where(inside, -torch.inf).reshape(x.shape)
