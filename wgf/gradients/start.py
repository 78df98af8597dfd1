"""Derivative of the start: coordinates of T(0), the map that carries the base to an initial law with tensors.

The base stays where it is. At x = T(0, z) a change of a number q of the law moves the particle by
dx/dq = -(dP/dq)(x) / rho(x), with P the cdf and rho the density of the law.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.base import Base, Law
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
    if projection.start.is_identity:
        return c + Projected.apply(_moved(projection, law, chart.nodes.z), chart)
    found = fit(chart.space, projection.start, projection.problem.domain)
    own = found.chart
    motion = own.lift(Projected.apply(_moved(projection, law, own.nodes.z), own))
    return c + chart.displacement(motion)


def _moved(projection: Projection, law: Law, z: Tensor) -> Tensor:
    """Zeros [n] with the derivatives of T(0, z) in the tensors of the law."""
    plain = projection.problem.law
    if not isinstance(law, Base) or not isinstance(plain, Base):
        raise ConfigError(f"law={type(law).__name__}(...) has no derivatives: it has no density")
    x = projection.start(z)
    below = plain.cdf(x) < 0.5
    mass = torch.where(below, law.cdf(x), -law.survival(x))
    return -(mass - mass.detach()) / plain.density(x)
