"""Explicit Runge-Kutta methods. The last stage is the field at the new state: s stages cost s evaluations a step."""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.integrators.base import Field, Integrator, State, Step
from wgf.integrators.controller import Adaptive
from wgf.projection.field import Evaluation
from wgf.settings.ranges import Count, Positive, checked


class RungeKutta(Integrator):
    """Explicit Runge-Kutta method with stages theta_i = theta + dt sum_j a_ij k_j.

    Attributes:
        tableau: rows a_2, ..., a_s, then the weights of the step.
    """

    tableau: tuple[tuple[float, ...], ...]

    def stages(self, field: Field, dt: float, state: State) -> tuple[Tensor, list[Evaluation]]:
        """New parameters [p], and the field at the stages 1, ..., s and at the new parameters."""
        found, theta = [state.evaluation], state.theta
        for row in self.tableau:
            theta = state.theta
            for a, stage in zip(row, found, strict=True):
                if a:
                    theta = theta.add(stage.velocity, alpha=dt * a)
            found.append(field(theta))
        return theta, found

    def dissipated(self, dt: float, stages: list[Evaluation]) -> Tensor | None:
        """Energy dissipated in the step, by its weights; None for a method of order 1, where a trapezoid is better."""
        if self.order == 1:
            return None
        rates = [b * stage.dissipation for b, stage in zip(self.tableau[-1], stages, strict=False) if b]
        return dt * torch.stack(rates).sum()

    def step(self, field: Field, dt: float, state: State) -> Step:
        theta, stages = self.stages(field, dt, state)
        lost = self.dissipated(dt, stages)
        return Step(State(theta, stages[-1]), dissipated=lost, evaluations=len(self.tableau))


class FixedStep(RungeKutta):
    """Explicit method with a constant step.

    Args:
        dt: the step (time); the time loop takes equal steps between the saved times, none longer, and says so if they
            are shorter.
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
        theta, stages = self.stages(field, dt, state)
        defect = torch.zeros_like(theta)
        for d, stage in zip(self.defect, stages, strict=True):
            if d:
                defect = defect.add(stage.velocity, alpha=dt * d)
        error, lost = self.relative(defect, stages[-1], field), self.dissipated(dt, stages)
        return Step(State(theta, stages[-1]), error, dissipated=lost, evaluations=len(self.tableau))
