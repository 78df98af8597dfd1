"""The scheme of Jordan, Kinderlehrer and Otto (SIAM J. Math. Anal. 29 (1998), 1-17), backward Euler as a minimisation:

    theta+ = argmin  |f(theta, .) - f(theta_k, .)|^2_p / (2 dt) + F(f(theta, .)).

The energy falls and the map stays increasing for every dt. With a chart, a step is one proximal map, solved to
rounding. Without a chart, a step is a chain of damped Gauss-Newton steps on the same objective.
"""

from __future__ import annotations

from wgf.integrators.base import Field, State, Step
from wgf.integrators.gauss_newton import descend
from wgf.integrators.implicit import DiagonallyImplicit
from wgf.projection.field import Projection


class JKO(DiagonallyImplicit):
    """The JKO scheme; order 1, settings of `DiagonallyImplicit`."""

    order, gamma = 1, 1.0

    def on(self, field: Projection) -> JKO:
        """This integrator; it accepts every map. Without a chart `descend` takes the steps."""
        return self

    def step(self, field: Field, dt: float, state: State) -> Step:
        if state.evaluation.point is None:
            return descend(field, state, dt)
        return super().step(field, dt, state)
