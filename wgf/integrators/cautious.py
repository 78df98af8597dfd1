"""Proximal steps with an error estimate: they take over where a faster method folds the map again and again.

At a jump of the initial law the velocity is singular, and a Rosenbrock method folds the map for every dt. The proximal
map of a diffusion never folds it.
"""

from __future__ import annotations

from torch import Tensor

from wgf.integrators.base import Field, Integrator, State, Step
from wgf.integrators.controller import Adaptive
from wgf.integrators.proximal import proximal
from wgf.projection.chart_energy import Landscape
from wgf.projection.field import Point, Projection


def chart_state(field: Field, state: State) -> tuple[Landscape, Point]:
    """Chart energy and chart coordinates of a state; call `needs_chart` first."""
    point, landscape = state.evaluation.point, field.landscape
    if landscape is None or point is None:
        raise TypeError("this state is not in a chart")
    return landscape, point


def displaced(field: Field, landscape: Landscape, state: State, displacement: Tensor) -> State:
    """State at the end of a step that displaces the coordinates by [M]."""
    theta = state.theta + landscape.chart.lift(displacement)
    return State(theta, field.stage(1.0)(theta))


class Cautious(Adaptive):
    """Two proximal steps of dt/2; their distance from one step of dt estimates the error. Order 1, adaptive."""

    implicit = True
    order = 1

    def step(self, field: Field, dt: float, state: State) -> Step:
        (landscape, point), (middle, _) = chart_state(field.stage(1.0), state), chart_state(field.stage(0.5), state)
        one = proximal(landscape, point.c, dt, point.c)
        half = proximal(middle, point.c, 0.5 * dt, point.c)
        two = proximal(landscape, half.c, 0.5 * dt, half.c)
        count = one.iterations + half.iterations + two.iterations + 1
        if failure := one.failure or half.failure or two.failure:
            return Step(state, failure=failure, evaluations=count)
        new = displaced(field, landscape, state, two.c - point.c)
        return Step(
            new, self.of_length(landscape.chart.length(two.c - one.c), new.evaluation, field), evaluations=count
        )


def falls_back(projection: Projection, integrator: Integrator) -> bool:
    """Whether a diffusion keeps the maps of proximal steps increasing where those of an adaptive method in a chart
    fold."""
    problem = projection.problem
    return projection.by_chart and integrator.adaptive and problem.internal is not None and not problem.collapses


def fallback_of(projection: Projection, integrator: Integrator) -> Integrator | None:
    """Proximal steps where `falls_back`; else None."""
    return integrator.fallback() if falls_back(projection, integrator) else None
