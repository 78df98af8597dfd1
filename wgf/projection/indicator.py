"""Estimate, cell by cell, of the distance between a flow and the splines on its breakpoints.

On a cell of width h with mass P, the best spline of degree k misses a smooth map T by about

    e^2 = |B_{2k+2}| / (2k+2)! h^(2k+2) P max |T^(k+1)|^2     (B: Bernoulli numbers),

the error of an interpolating spline on equal cells. T^(k+1) at a breakpoint is the jump of the k-th derivative, divided
by the mean width of the cells beside it. Beyond the outer breakpoints maps are linear: there e^2 = T''^2 int (z -
end)^4 p / 4, with T'' at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from wgf.networks.periodic import PeriodicSpace
from wgf.networks.spline_space import SplineSpace
from wgf.projection.chart import Chart

BERNOULLI = {1: 1 / 30, 2: 1 / 42, 3: 1 / 30, 4: 5 / 66, 5: 691 / 2730}  # |B_{2k+2}| for the degree k


@dataclass(frozen=True)
class Errors:
    """Squared errors of a map on the cells of its mesh.

    Attributes:
        cells: on the m - 1 cells between breakpoints (length^2).
        tails: beyond the outer breakpoints [2] (length^2).
        bends: largest |T^(k+1)| on the cells [m - 1] (length^-k).
    """

    cells: Tensor
    tails: Tensor
    bends: Tensor


class Indicator:
    """Estimates errors on the mesh of a chart.

    Args:
        chart: coordinates of a spline, with nodes in its cells.

    Attributes:
        h: widths of the cells [m - 1] (length).
        mass: their masses [m - 1].
    """

    def __init__(self, chart: Chart) -> None:
        self.space, nodes = chart.space, chart.nodes
        points = self.space.points
        self.h = points.diff()
        self.mass = nodes.base.mass(points[:-1], points[1:]).clamp(min=0.0)
        beyond = torch.stack([(points[0] - nodes.z).clamp(min=0), (nodes.z - points[-1]).clamp(min=0)])
        self._fourth = beyond**4 @ nodes.w / 4

    @cached_property
    def factor(self) -> float:
        """|B_{2k+2}| / (2k+2)!."""
        k = self.space.degree
        return BERNOULLI[k] / math.factorial(2 * k + 2)

    def errors(self, coefficients: Tensor) -> Errors:
        """Estimate the errors of the spline with these coefficients [M]."""
        k = self.space.degree
        if isinstance(self.space, PeriodicSpace):
            jumps = self.space.jumps(coefficients).abs() / (0.5 * (self.h + self.h.roll(1)))
            bends = torch.maximum(jumps, jumps.roll(-1))
            return Errors(self.predicted(self.h, self.mass, bends), torch.zeros_like(self._fourth), bends)
        jumps = derivative(self.space, coefficients, k).diff().abs() / (0.5 * (self.h[1:] + self.h[:-1]))
        bends = torch.maximum(pad(jumps, (1, 0)), pad(jumps, (0, 1)))
        second = derivative(self.space, coefficients, 2)[[0, -1]] if k > 1 else bends[[0, -1]]
        return Errors(self.predicted(self.h, self.mass, bends), self._fourth * second**2, bends)

    def predicted(self, h: Tensor, mass: Tensor, bends: Tensor) -> Tensor:
        """Squared errors on cells of widths h, masses and largest |T^(k+1)| [n] (length^2)."""
        return self.factor * h ** (2 * self.space.degree + 2) * mass * bends**2


def derivative(space: SplineSpace, coefficients: Tensor, order: int) -> Tensor:
    """Coefficients [M - order] of a derivative of a spline, as a spline of a lower degree; its values in the cells for
    order = degree."""
    k, points = space.degree, space.points
    knots = torch.cat([points[:1].expand(k + 1), points[1:-1], points[-1:].expand(k + 1)])
    for r in range(1, order + 1):
        coefficients = coefficients.diff()
        n = len(coefficients)
        coefficients = coefficients * (k - r + 1) / (knots[k + 1 : k + 1 + n] - knots[r : r + n])
    return coefficients
