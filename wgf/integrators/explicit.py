"""Explicit Runge-Kutta methods. The last stage is the field at the new state: s stages cost s evaluations a step."""

from __future__ import annotations

from wgf.integrators.base import Field, Integrator, State, Step
from wgf.ranges import Count, Positive, checked


class RungeKutta(Integrator):
    """theta_i = theta + dt sum_j a_ij k_j; the last row of the tableau are the weights of the step.

    Attributes:
        tableau: rows a_2, ..., a_s and then the weights.
    """

    tableau: tuple[tuple[float, ...], ...]

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return len(self.tableau)

    def stages(self, field: Field, dt: float, state: State) -> tuple[State, list]:
        """The new state and the velocities k_1, ..., k_s, k(new)."""
        evaluation, velocities = state.evaluation, [state.evaluation.velocity]
        theta = state.theta
        for row in self.tableau:
            theta = state.theta
            for a, k in zip(row, velocities, strict=True):
                if a:
                    theta = theta.add(k, alpha=dt * a)
            evaluation = field(theta)
            velocities.append(evaluation.velocity)
        return State(theta, evaluation), velocities

    def step(self, field: Field, dt: float, state: State) -> Step:
        return Step(self.stages(field, dt, state)[0])


class FixedStep(RungeKutta):
    """A method with a constant step.

    Args:
        dt: the step (time); shortened only to meet a saved time or the end exactly.
        max_steps: most steps.
    """

    @checked
    def __init__(self, dt: Positive = 1e-3, max_steps: Count = 1_000_000) -> None:
        self.dt, self.max_steps = dt, max_steps

    def first_dt(self, t_end: float) -> float:
        return self.dt


class Euler(FixedStep):
    """Explicit Euler, the paper's method; order 1."""

    order, tableau = 1, ((1.0,),)


class Heun(FixedStep):
    """Heun's method (explicit trapezoid); order 2."""

    order, tableau = 2, ((1.0,), (0.5, 0.5))


class RK4(FixedStep):
    """The classical Runge-Kutta method; order 4."""

    order, tableau = 4, ((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
