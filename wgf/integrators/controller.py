"""Adaptive integration: an embedded pair and the controller of its step."""

from __future__ import annotations

import torch

from wgf.integrators.base import Field, State, Step
from wgf.integrators.explicit import RungeKutta
from wgf.ranges import Count, NonNegative, Positive, PositiveOrNone, checked

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0


class Dopri5(RungeKutta):
    """Dormand and Prince's pair of orders 5 and 4 (J. Comput. Appl. Math. 6 (1980), 19-26) with a PI controller.

    The error of a step is measured in the root mean square over the parameters, against atol + rtol |theta|.

    Args:
        rtol, atol: tolerances per step, relative and absolute.
        dt: first step (time); null lets t_end / 500 begin.
        dt_min: smallest step (time); below it the run stops.
        max_steps: most attempts.
    """

    order, adaptive = 5, True
    tableau = (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    )
    # weights of order 5 less those of order 4
    defect = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)

    @checked
    def __init__(
        self,
        rtol: Positive = 1e-6,
        atol: NonNegative = 1e-8,
        dt: PositiveOrNone = None,
        dt_min: Positive = 1e-12,
        max_steps: Count = 1_000_000,
    ) -> None:
        self.rtol, self.atol, self.dt, self.dt_min, self.max_steps = rtol, atol, dt, dt_min, max_steps

    def first_dt(self, t_end: float) -> float:
        return self.dt or t_end / 500

    def step(self, field: Field, dt: float, state: State) -> Step:
        new, velocities = self.stages(field, dt, state)
        defect = torch.zeros_like(new.theta)
        for d, k in zip(self.defect, velocities, strict=True):
            if d:
                defect = defect.add(k, alpha=dt * d)
        scale = self.atol + self.rtol * torch.maximum(state.theta.abs(), new.theta.abs())
        # a parameter that is 0 with atol = 0 must not divide by zero
        error = defect / scale.clamp(min=torch.finfo(scale.dtype).tiny)
        return Step(new, error.square().mean().sqrt())

    def next_dt(self, dt: float, error: float, previous: float) -> float:
        error = max(error, 1e-10)
        if error > 1:
            factor = SAFETY * error ** (-1 / self.order)
        else:  # proportional and integral part (Hairer and Wanner, section IV.2)
            factor = SAFETY * error ** (-0.7 / self.order) * max(previous, 1e-4) ** (0.4 / self.order)
        return dt * min(GROW, max(SHRINK, factor))
