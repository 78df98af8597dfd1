"""Explicit Runge-Kutta methods. The last stage is the field at the new state: s stages cost s evaluations a step."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.integrators.base import Field, Integrator, State, Step
from wgf.integrators.controller import Adaptive
from wgf.projection.field import Evaluation, Projection
from wgf.settings.ranges import Count, Positive, Switch, checked


class RungeKutta(Integrator):
    """Explicit Runge-Kutta method with stages theta_i = theta + dt sum_j a_ij k_j.

    Attributes:
        tableau: rows a_2, ..., a_s, then the weights of the step.
    """

    tableau: tuple[tuple[float, ...], ...] = ()

    def stages(self, field: Field, dt: float, state: State) -> tuple[Tensor, list[Evaluation]]:
        """New parameters [p], and the field at the stages 1, ..., s and at the new parameters."""
        found, theta = [state.evaluation], state.theta
        for row, share in zip(self.tableau, self.shares(), strict=True):
            theta = state.theta
            for a, stage in zip(row, found, strict=True):
                if a:
                    theta = theta.add(stage.velocity, alpha=dt * a)
            found.append(field.stage(share)(theta))
        return theta, found

    @classmethod
    @cache
    def shares(cls) -> tuple[float, ...]:
        """Times of the stages in shares of the step: the sums of the rows, exactly 1 for the last."""
        return (*(math.fsum(row) for row in cls.tableau[:-1]), 1.0)

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
        strict: whether a step that folds the map or raises the energy ends the run. With false the run goes on, as the
            paper's program does, and `doubts` says since when its numbers may be wrong.
    """

    @checked
    def __init__(self, dt: Positive = 1e-3, max_steps: Count = 1_000_000, strict: Switch = True) -> None:
        self.dt, self.max_steps, self.strict = dt, max_steps, strict


class Euler(FixedStep):
    """Explicit Euler, the paper's method; order 1."""

    order, tableau = 1, ((1.0,),)


class Heun(FixedStep):
    """Heun's method (explicit trapezoid); order 2."""

    order, tableau = 2, ((1.0,), (0.5, 0.5))


class RK4(FixedStep):
    """The classical Runge-Kutta method; order 4."""

    order, tableau = 4, ((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6))


class Alternating(FixedStep):
    """Alternating Euler steps: each part of the parameters moves in turn, the others stand still; order 1.

    A step of a network with the parts weights and biases is w += dt/2 v_w(w, b), then b += dt/2 v_b(w, b), where v_w
    and v_b are the projections with the other part fixed, -G_ww^+ dF/dw and -G_bb^+ dF/db. Either approximates the
    velocity of the map, so time passes with both. For dt -> 0 the steps follow theta' = (v_w, v_b)/2, the velocity that
    other explicit methods see.

    Source: the notebook in the history of the authors' program, where segments of steps move the weights or the biases.
    """

    order = 1

    def on(self, field: Projection) -> Alternating:
        if not field.map.parts:
            raise ConfigError(
                "integrator=alternating does not fit the network, use network=two_sided_relu network.train=alternating"
            )
        return self

    def step(self, field: Field, dt: float, state: State) -> Step:
        parts = field.map.parts
        velocity, theta = state.evaluation.velocity[parts[0]], state.theta
        for k, part in enumerate(parts):
            if k > 0:
                velocity = field.stage(k / len(parts)).velocity_of(theta, part) / len(parts)
            moved = torch.zeros_like(theta)
            moved[part] = velocity
            theta = theta.add(moved, alpha=dt)
        return Step(State(theta, field.stage(1.0)(theta)), evaluations=len(parts))


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
