"""Explicit Runge-Kutta methods. The last stage is the field at the new state: s stages cost s evaluations a step."""

from __future__ import annotations

import torch

from wgf.integrators.base import Field, Integrator, State, Step
from wgf.integrators.controller import Adaptive
from wgf.settings.ranges import Count, Positive, checked


class RungeKutta(Integrator):
    """Explicit Runge-Kutta method with stages theta_i = theta + dt sum_j a_ij k_j.

    Attributes:
        tableau: rows a_2, ..., a_s, then the weights of the step.
    """

    tableau: tuple[tuple[float, ...], ...]

    def stages(self, field: Field, dt: float, state: State) -> tuple[State, list]:
        """New state, and velocities k_1, ..., k_s, k(new)."""
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
        return Step(self.stages(field, dt, state)[0], evaluations=len(self.tableau))


class FixedStep(RungeKutta):
    """Explicit method with a constant step.

    Args:
        dt: the step (time); the time loop shortens it only to meet a saved time or the end exactly.
        max_steps: largest number of steps.
    """

    @checked
    def __init__(self, dt: Positive = 1e-3, max_steps: Count = 1_000_000) -> None:
        self.dt, self.max_steps = dt, max_steps


class Euler(FixedStep):
    """Explicit Euler, the paper's method; order 1."""

    order, tableau = 1, ((1.0,),)


class Heun(FixedStep):
    """Heun's method (explicit trapezoid); order 2."""

    order, tableau = 2, ((1.0,), (0.5, 0.5))


class RK4(FixedStep):
    """The classical Runge-Kutta method; order 4."""

    order, tableau = 4, ((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6))


class Dopri5(Adaptive, RungeKutta):
    """Dormand and Prince's pair of orders 5 and 4 (J. Comput. Appl. Math. 6 (1980), 19-26); settings of `Adaptive`."""

    order = 5
    tableau = (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    )
    # weights of order 5 minus weights of order 4
    defect = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)

    def step(self, field: Field, dt: float, state: State) -> Step:
        new, velocities = self.stages(field, dt, state)
        defect = torch.zeros_like(new.theta)
        for d, k in zip(self.defect, velocities, strict=True):
            if d:
                defect = defect.add(k, alpha=dt * d)
        return Step(new, self.relative(defect, new.evaluation), evaluations=len(self.tableau))
