"""The law at a saved time as differentiable tensors."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from wgf.carried_law import CarriedLaw
from wgf.errors import ConfigError
from wgf.gradients.history import History
from wgf.gradients.positions import positions
from wgf.gradients.tensors import number, points
from wgf.problem.base import Base
from wgf.problem.laws.convert import law_of
from wgf.settings.ranges import fault

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
        """Positions T(z) [...] of the particles that start at z [...] in the base (length), differentiable in z."""
        z = points("z", z)
        finite = z.isfinite()
        inner = z.where(finite, self.base.mean)
        return self._evaluate(inner.reshape(-1))[0].reshape(z.shape).where(finite, z)

    def quantile(self, u: Any) -> Tensor:
        """Positions [...] with mass u [...] to their left (length), differentiable in u between 0 and 1.

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
    def _at_nodes(self) -> Tensor:
        return self._evaluate(self._chart.nodes.z)[0]

    def moment(self, order: int) -> Tensor:
        """int x^order rho dx, scalar (length^order)."""
        return torch.dot(self._chart.nodes.w, self._at_nodes ** number("order", order))

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
            other: a `DifferentiableLaw`, a law, whose numbers may be tensors, or what makes one: samples [n], a
                density, a frozen law of scipy.stats.

        Raises:
            ConfigError: a derivative would be lost.
        """
        nodes = self._chart.nodes
        ranks = self.base.cdf(nodes.z), self.base.survival(nodes.z)
        if isinstance(other, DifferentiableLaw):
            theirs = other.map(other.base.at_rank(*ranks))
        else:
            theirs = positions(law_of(other), *ranks)
        seen = (nodes.w > 0) & ~theirs.isinf()  # at an edge the last 1e-16 of the mass has no rank
        return torch.dot(nodes.w[seen], (self._at_nodes[seen] - theirs[seen]) ** 2)

    def w2(self, other: Any) -> Tensor:
        """Distance W2 to another law, scalar (length); it has no derivative where it is 0. See `squared_w2`."""
        return self.squared_w2(other).sqrt()

    def log_density(self, x: Any) -> Tensor:
        """log rho(x) [...] at points x [...] (length), also differentiable in x; -inf outside the particles."""
        x = points("x", x)
        flat = x.reshape(-1)
        projection = self._history.projection
        start = CarriedLaw(projection.map, self.theta.detach(), projection.problem.domain).inverse(flat.detach())
        inside = start.isfinite()
        z = start.where(inside, self.base.mean)
        goal = flat.where(inside, self._evaluate(z)[0].detach())
        for _ in range(2):  # Newton's steps from the solution: with each the order of right derivatives doubles
            place, slope = self._evaluate(z)
            z = z + (goal - place) / slope
        value = self.base.log_density(z) - self._evaluate(z)[1].log()
        return value.where(inside, flat.detach().where(flat.isnan(), -torch.inf)).reshape(x.shape)
