"""Maps of a circle: T(z) = z + a periodic spline, so that T(z + L) = T(z) + L.

Positions count turns: a particle at x + L has gone around once more than a particle at x. On n breakpoints there are n
periodic B-splines of degree k. In the order 0, n-1, 1, n-2, ... neighbours on the circle are close, so that matrices
have 2k diagonals on either side of the main one.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from wgf.errors import ConfigError
from wgf.networks.base import Adaptation, TransportMap
from wgf.networks.spline_space import SplineSpace, bsplines
from wgf.problem.base import Base

FEWEST = 8  # breakpoints with which adaptive ones begin, beyond those that a periodic spline needs


class PeriodicSpace(SplineSpace):
    """Periodic splines on breakpoints from 0 to L.

    Args:
        points: breakpoints [n + 1], increasing; the first and the last are the same point of the circle (length).
        degree: k.
    """

    def __init__(self, points: Tensor, degree: int) -> None:
        super().__init__(points, degree)
        self.size, self.bandwidth = len(points) - 1, 2 * degree
        if self.size <= self.bandwidth:
            raise ConfigError(
                f"network.width={self.size + 1} is too small for a circle: expected at least {self.bandwidth + 2} "
                f"breakpoints for degree {degree}"
            )
        i = torch.arange(self.size, device=points.device)
        self._place = torch.where(2 * i < self.size, 2 * i, 2 * (self.size - 1 - i) + 1)
        self._order = self._place.argsort()

    @property
    def coordinates(self) -> Tensor:
        """Places [n] of the functions around the circle in the order of the coordinates."""
        return self._place

    @property
    def length(self) -> Tensor:
        """L, scalar (length)."""
        return self.points[-1] - self.points[0]

    def basis(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """B-splines that are not zero at z [n] (length), any number of turns from 0; see `bsplines`."""
        k, points, length = self.degree, self.points, self.length
        y = points[0] + (z - points[0]).remainder(length)
        cell = torch.searchsorted(points[1:-1].contiguous(), y.detach(), right=True)
        knots = torch.cat([points[-k - 1 : -1] - length, points, points[1 : k + 1] + length])
        return cell, *bsplines(knots, k, y, cell + k)

    def columns(self, first: Tensor) -> Tensor:
        around = first[:, None] + torch.arange(self.degree + 1, device=first.device)
        return self._place[around.remainder(self.size)]

    def identity(self, z: Tensor) -> Tensor:
        return z

    def on(self, points: Tensor) -> PeriodicSpace:
        return PeriodicSpace(points, self.degree)

    def coefficients(self, theta: Tensor) -> Tensor:
        return theta[self._order]

    def change(self, displacement: Tensor) -> Tensor:
        return displacement[self._order]

    def lift(self, coefficients: Tensor) -> Tensor:
        return coefficients[self._place]

    def jumps(self, coefficients: Tensor) -> Tensor:
        """Jumps of the k-th derivative at the breakpoints without the last [n]."""
        k, points = self.degree, self.points
        knots = torch.cat([points[-k - 1 : -1] - self.length, points, points[1:-1] + self.length])
        rising, n = coefficients[self._place], self.size
        rising = torch.cat([rising, rising])[: n + k + 1]  # natural order; function i begins at knot i
        for r in range(1, k + 1):
            i = torch.arange(len(rising) - 1, device=points.device)
            rising = rising.diff() * (k - r + 1) / (knots[i + k + 1] - knots[i + r])
        return rising[:n] - rising[:n].roll(1)

    def greville(self) -> Tensor:
        """Means of k neighbouring breakpoints [n] (length), in the order of the coordinates: of coefficients T(g) - g
        is a map that increases with T."""
        k, points = self.degree, self.points
        knots = torch.cat([points[-k - 1 : -1] - self.length, points])
        return knots[1:].unfold(0, k, 1).mean(1)[: self.size][self._order]


class PeriodicSpline(TransportMap):
    """Spline map of a circle; the identity at the start. Its parameters are the coefficients of T(z) - z [n].

    Args:
        points: breakpoints [n + 1] from 0 to L (length).
        degree: k.
        base: the uniform law on (0, L).
        adaptation: how the breakpoints follow the solution, or None.
    """

    points: Tensor
    any_start = True

    def __init__(self, points: Tensor, degree: int, base: Base, adaptation: Adaptation | None = None) -> None:
        super().__init__(base)
        self.degree, self.least_order, self.adaptation = degree, degree + 1, adaptation
        self.register_buffer("points", points)
        self.theta = nn.Parameter(points.new_zeros(PeriodicSpace(points, degree).size))

    def on_breakpoints(self, points: Tensor) -> PeriodicSpline:
        """Network on other breakpoints [n + 1] from 0 to L (length); the identity at the start."""
        other = copy.copy(self)
        other._buffers, other._parameters = dict(self._buffers), dict(self._parameters)
        other.points = points
        other.theta = nn.Parameter(points.new_zeros(len(points) - 1))
        return other

    def adapted(self, adaptation: Adaptation) -> PeriodicSpline:
        few = torch.linspace(0.0, 1.0, 2 * self.degree + FEWEST, dtype=self.points.dtype, device=self.points.device)
        return PeriodicSpline(self.period * few, self.degree, self.base, adaptation)

    @property
    def period(self) -> float:
        return float(self.points[-1])

    def on_circle(self, length: float) -> PeriodicSpline:
        return self

    def space(self) -> PeriodicSpace:
        return PeriodicSpace(self.points, self.degree)

    def knots(self, theta: Tensor) -> Tensor:
        return self.points

    def f(self, theta: Tensor, z: Tensor) -> Tensor:
        return self.evaluate(theta, z)[0]

    def evaluate(self, theta: Tensor, z: Tensor, cell: Tensor | None = None) -> tuple[Tensor, Tensor]:
        space = PeriodicSpace(self.points.to(theta.dtype), self.degree)
        first, values, slopes = space.basis(z)
        local = space.coefficients(theta)[space.columns(first)]
        return z + (values * local).sum(1), 1 + (slopes * local).sum(1)
