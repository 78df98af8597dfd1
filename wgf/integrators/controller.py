"""Adaptive integration: error tolerances and choice of the next step."""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.integrators.base import Field, Integrator
from wgf.problem.changes.pace import Pace
from wgf.problem.equations import Problem
from wgf.projection.field import Evaluation
from wgf.settings.ranges import Count, NonNegative, Positive, PositiveOrNone, checked

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0


class Adaptive(Integrator):
    """Integrator with an error estimate and a PI controller (Hairer and Wanner, Solving ODEs II, section IV.2).

    The error of a step is the W2 length of the defect, divided by the tolerance atol s(0) + rtol s, where s is the
    standard deviation of the solution: a shift or another unit of length changes no step.

    Args:
        rtol, atol: tolerances per step, in standard deviations of the solution and of the initial law (no unit).
        dt: first step (time); null means t_end / 100.
        dt_min: smallest step (time); the run stops if it needs a smaller one. Null means 1e-14 t_end.
        max_steps: largest number of attempts.
    """

    adaptive = True

    @checked
    def __init__(
        self,
        rtol: Positive = 1e-6,
        atol: NonNegative = 1e-8,
        dt: PositiveOrNone = None,
        dt_min: PositiveOrNone = None,
        max_steps: Count = 1_000_000,
    ) -> None:
        self.rtol, self.atol, self.dt, self.dt_min, self.max_steps = rtol, atol, dt, dt_min, max_steps

    def relative(self, defect: Tensor, new: Evaluation, field: Field) -> Tensor:
        """Error of the parameters [p] after a step divided by its tolerance, scalar."""
        return self.of_length(new.length(defect), new, field)

    def of_length(self, length: Tensor, new: Evaluation, field: Field) -> Tensor:
        """W2 length of an error divided by its tolerance, scalar."""
        tolerated = self.atol * field.problem.law.std + self.rtol * new.scale
        return length / tolerated.clamp(min=torch.finfo(new.scale.dtype).tiny)

    def next_dt(self, dt: float, error: float, previous: float) -> float:
        error = max(error, 1e-10)
        if error > 1:
            factor = SAFETY * error ** (-1 / self.order)
        else:  # proportional and integral part
            factor = SAFETY * error ** (-0.7 / self.order) * max(previous, 1e-4) ** (0.4 / self.order)
        return dt * min(GROW, max(SHRINK, factor))


def pace_of(problem: Problem, integrator: Integrator) -> Pace | None:
    """How long adaptive steps may be in a potential that moves; None for other steps and potentials."""
    if not (problem.potential.moves and isinstance(integrator, Adaptive)):
        return None
    return problem.pace(integrator.rtol + integrator.atol)
