"""The interface of an integrator, and the states and steps it works on."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.integrators.status import Status
from wgf.networks.base import TransportMap
from wgf.problem.energy import MapAtNodes
from wgf.problem.equations import Problem
from wgf.projection.chart_energy import Landscape, rates
from wgf.projection.field import Evaluation, Projection
from wgf.projection.knots import KnotFlow

ROUNDING = 64 * np.finfo(float).eps  # of V at the particles: a jump of V in time that is less is none
SHORTEST = 1e-14  # step of an adaptive method, relative to the end time: t + dt has few digits more
MANY_STEPS = 1_000_000  # more fixed steps than this require a larger max_steps


class Field(Protocol):
    """Velocity field of a projected flow, as integrators need it; `Projection` implements it."""

    problem: Problem
    map: TransportMap
    landscape: Landscape | None
    knots: KnotFlow | None

    def __call__(self, theta: Tensor) -> Evaluation:
        """Evaluate the field at theta [p]."""

    def over(self, begin: float, end: float) -> Field:
        """The field at `begin` of a step that ends at `end` (time); itself if the potential does not move."""

    def stage(self, share: float) -> Field:
        """The field at a share of the step, 1 for its end; itself if the potential does not move."""

    def velocity_of(self, theta: Tensor, part: slice) -> Tensor:
        """Velocity of a part of the parameters while the others stand still."""

    def at_nodes(self, theta: Tensor) -> MapAtNodes:
        """The map at the quadrature nodes."""

    def terms(self, at: MapAtNodes) -> Tensor:
        """Values of all terms of F [k] (energy)."""

    def gradient(self, theta: Tensor) -> tuple[Tensor, Tensor, MapAtNodes]:
        """grad F [p], the terms of F [k] and the map at the nodes."""


@dataclass(frozen=True)
class State:
    """A point of the flow with the field there. The field is the first stage of the next step.

    Attributes:
        theta: parameters [p].
        evaluation: the field at theta.
    """

    theta: Tensor
    evaluation: Evaluation

    @property
    def terms(self) -> Tensor:
        """Values of the energy terms [k] (energy)."""
        return self.evaluation.terms


@dataclass(frozen=True)
class Step:
    """A proposed step.

    Attributes:
        state: state after the step; the old state if the step failed.
        error: estimated error of the step relative to the tolerances, scalar; None without an estimate.
        dissipated: integral of the dissipation over the step, scalar (energy); None for the trapezoid rule.
        failure: why the step failed, or None.
        evaluations: number of evaluations of the field or of its derivatives.
        fault: the status of a run that ends with this failure.
    """

    state: State
    error: Tensor | None = None
    dissipated: Tensor | None = None
    failure: str | None = None
    evaluations: int = 1
    fault: Status = Status.solver_failed


class Work(NamedTuple):
    """Work of a potential that moves over a step: dF/dt = -D + P along the flow, with the power P = int dV/dt rho.

    The power does not show where V jumps in time. By how much V rises over a step, at the places of the particles in
    its middle, less Simpson's rule of the power at these places, is the work of the jump.

    Attributes:
        done: integral of P by Simpson's rule, and jumps of V (energy).
        doubt: distance to the trapezoid rule, which estimates an error, and the size of the jumps (energy).
    """

    done: float = 0.0
    doubt: float = 0.0

    @property
    def most(self) -> float:
        """Energy that the flow can have gained (energy)."""
        return self.done + self.doubt

    @classmethod
    def over(cls, field: Field, dt: float, before: State, after: State) -> Work:
        """Work over a step of length dt (time); 0 if the potential does not move.

        The state in the middle is that of the cubic Hermite interpolation, so the integral has order 4.
        """
        if field.stage(1.0) is field:
            return cls()
        bend = before.evaluation.velocity - after.evaluation.velocity
        middle = 0.5 * (before.theta + after.theta) + dt / 8 * bend
        places = (before.theta, middle, after.theta)
        stages = [field.stage(share) for share in (0.0, 0.5, 1.0)]
        with torch.no_grad():
            at = [stage.at_nodes(theta) for stage, theta in zip(stages, places, strict=True)]
        v, (w, x) = [stage.problem.potential for stage in stages], (at[1].w, at[1].x)
        moving = [torch.dot(each.w, rates(potential, each.x)[0]) for potential, each in zip(v, at, strict=True)]
        still = [torch.dot(w, rates(potential, x)[0]) for potential in (v[0], v[2])]
        low, high = v[0].value_at(x), v[2].value_at(x)
        rise, size = torch.dot(w, high - low), torch.dot(w, low.abs() + high.abs())
        first, half, last, begin, end, rose, scale = torch.stack([*moving, *still, rise, size]).tolist()
        simpson, trapezoid = dt / 6 * (first + 4 * half + last), dt / 2 * (first + last)
        jump, doubt = rose - dt / 6 * (begin + 4 * half + end), abs(simpson - trapezoid)
        if abs(jump) <= doubt + ROUNDING * scale:
            jump = 0.0
        return cls(simpson + jump, doubt + abs(jump))


@dataclass(frozen=True)
class Judged:
    """Numbers of a proposed step that decide whether the loop accepts it, on the host."""

    energy: float
    dissipated: float  # over the step; NaN if the integrator does not say
    size: float  # sum |terms| of the energy, of an accepted step the largest so far: the scale of its rounding
    slope: float
    dissipation: float
    finite: bool
    solved: bool
    error: float


def judge(step: Step) -> Judged:
    """Fetch the numbers that decide about a step, in one transfer from the device."""
    e = step.state.evaluation
    error = step.error if step.error is not None else e.min_slope.new_zeros(())
    dissipated = step.dissipated if step.dissipated is not None else e.min_slope.new_full((), torch.nan)
    # NaN or infinity in any entry shows in these sums
    values = [
        e.terms.sum(),
        e.terms.abs().sum(),
        e.min_slope,
        e.dissipation,
        step.state.theta.sum(),
        e.velocity.sum(),
        error,
        dissipated,
    ]
    energy, size, slope, dissipation, theta, velocity, err, lost = torch.stack(values).tolist()
    finite = all(map(math.isfinite, (energy, slope, theta)))
    return Judged(energy, lost, size, slope, dissipation, finite, math.isfinite(velocity) and math.isfinite(err), err)


def verdict(now: Judged, then: Judged, tolerance: float, gain: float = 0.0) -> Status | None:
    """Reason to reject a step from `now` to `then`, or None. gain: energy that a moving potential can have added."""
    if then.slope <= 0:
        return Status.folded
    if not then.finite:
        return Status.not_finite
    if not then.solved:
        return Status.solver_failed
    if not then.energy <= now.energy + gain + tolerance * max(now.size, then.size):
        return Status.energy_rise
    return None


def attempt(
    method: Integrator, field: Field, dt: float, state: State, now: Judged, tolerance: float
) -> tuple[Step, Judged, Status | None, Work]:
    """A proposed step, its numbers, the reason to reject it if there is one, and the work of a moving potential."""
    proposed = method.step(field, dt, state)
    then, work = judge(proposed), Work.over(field, dt, state, proposed.state)
    fault = proposed.fault if proposed.failure else verdict(now, then, tolerance, work.most)
    return proposed, then, fault, work


def equal_steps(length: float, dt: float) -> int:
    """Number of equal steps in an interval, none longer than dt but for rounding."""
    return max(1, math.ceil(length / dt * (1 - 1e-9)))


class Integrator(ABC):
    """A one-step method for the flow theta' = field(theta), at the times `field.stage` if the potential moves.

    Attributes:
        order: order of the error at a fixed time.
        max_steps: largest number of attempts, including rejected ones.
        dt_min: smallest step of an adaptive method (time); None means `SHORTEST` of the end time.
        adaptive: whether the loop retries a rejected step with a smaller dt.
        implicit: whether a step uses second derivatives of the energy.
        dt: the step, for an adaptive method the first step (time); None lets the method choose it.
        strict: whether the loop ends at a step that folds the map or raises the energy.
    """

    order: int
    max_steps: int
    adaptive = False
    dt_min: float | None = None
    implicit = False
    dt: float | None = None
    strict = True

    def on(self, field: Projection) -> Integrator:
        """Method that takes the steps on this field: the integrator itself, or the method that `Auto` chooses."""
        return self

    def check(self, t_end: float) -> None:
        """Check that the steps fit the end time.

        Raises:
            ConfigError: the steps are too long, too short or too many.
        """
        dt, least, most = self.dt, self.dt_min, self.max_steps
        if dt is not None and dt > t_end:
            raise ConfigError(
                f"integrator.dt={dt:g} with t_end={t_end:g} is impossible: a step cannot be longer than the run, use "
                f"integrator.dt={t_end / 100:.0e} or less"
            )
        if least is not None and least > (dt or t_end):
            which = f"integrator.dt={dt:g}" if dt else f"t_end={t_end:g}"
            raise ConfigError(f"integrator.dt_min={least:g} with {which} is impossible: decrease integrator.dt_min")
        if not self.adaptive and dt is not None and t_end / dt > max(most, MANY_STEPS) * (1 + 1e-9):
            raise ConfigError(
                f"integrator.dt={dt:g} with t_end={t_end:g} is impossible: {t_end / dt:.2g} steps are more than "
                f"integrator.max_steps={most:g}; increase integrator.dt or integrator.max_steps, or decrease t_end"
            )

    def shortened(self, stops: list[float]) -> str | None:
        """How fixed steps differ from dt so that they meet the stops, in words; None if they do not."""
        if self.adaptive or self.dt is None:
            return None
        gaps = [b - a for a, b in pairwise([0.0, *stops])]
        least = min(gap / equal_steps(gap, self.dt) for gap in gaps)
        if least > self.dt * (1 - 1e-6):
            return None
        return (
            f"integrator.dt: steps of {least:.6g} instead of {self.dt:g}, equal ones between the saved times; choose "
            "integrator.dt and saves so that it divides t_end/saves"
        )

    def fallback(self) -> Integrator | None:
        """Method that takes a step after this one has folded the map several times in a row; None for none."""
        return None

    def tighter(self, factor: float) -> Integrator:
        """The same method with errors about `factor` times as large."""
        other = copy.copy(self)
        if self.adaptive:
            other.__dict__ |= {name: factor * getattr(self, name) for name in ("rtol", "atol")}
        elif self.dt is not None:
            other.dt = self.dt * factor ** (1 / self.order)
        return other

    @abstractmethod
    def step(self, field: Field, dt: float, state: State) -> Step:
        """Propose the state at t + dt. Pure: `state` and the integrator do not change."""

    def first_dt(self, t_end: float) -> float:
        """First step (time)."""
        return self.dt or t_end / 100

    def least_dt(self, t_end: float) -> float:
        """Smallest step of an adaptive method (time)."""
        return SHORTEST * t_end if self.dt_min is None else self.dt_min

    def next_dt(self, dt: float, error: float, previous: float) -> float:
        """Next step (time), from the last step dt, its relative error, and that of the accepted step before it."""
        return dt
