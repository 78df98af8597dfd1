"""Derivative of the start: coordinates of T(0), the map that carries the base to an initial law with tensors.

The base stays where it is, see `wgf.gradients.positions`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wgf.gradients.positions import motion
from wgf.problem.base import Law
from wgf.projection.chart import Chart
from wgf.projection.field import Projection
from wgf.projection.start import fit


class Projected(torch.autograd.Function):
    """Coordinates [M] of the L2(p) projection of values [n] at the nodes of a chart."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, chart: Chart) -> Tensor:
        ctx.chart = chart
        return chart.project(chart.load(chart.nodes.w * values, torch.zeros_like(values)))

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor, None]:
        chart, (bar,) = ctx.chart, bars
        return chart.nodes.w * chart.change(chart.project(bar)).x, None


def first_coordinates(projection: Projection, law: Law) -> Tensor:
    """Coordinates at t = 0 [M], differentiable in the tensors of the law.

    Raises:
        ConfigError: the law has no derivatives.
    """
    assert projection.landscape is not None
    chart = projection.landscape.chart
    c = chart.coordinates(projection.initial)
    start = projection.start
    if start.is_identity:
        return c + Projected.apply(motion(law, start.law, chart.nodes.z), chart)
    own = fit(chart.space, start, projection.problem.domain).chart
    moved = Projected.apply(motion(law, start.law, start(own.nodes.z)), own)
    return c + chart.displacement(own.lift(moved))
