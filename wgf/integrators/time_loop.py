"""The time loop: it advances the time, accepts or rejects every proposed step, and reports why it stopped."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wgf.integrators.base import Field, Integrator, State, Step, equal_steps
from wgf.integrators.status import Status
from wgf.projection.field import Projection

FOLDS = 3  # folds in a row after which the fallback of the integrator takes the step
COLLAPSE = 1e-3  # smallest slope, relative to the start, below which an attraction has concentrated mass in a point


@dataclass
class Clock:
    """Progress of a run. With the parameters, it is all the loop needs to resume with the same bits.

    Attributes:
        t: time. dt: last accepted step (time).
        steps, rejected, evaluations: counts so far.
        dissipated: integral of the dissipation over the accepted steps, by the integrator or the trapezoid rule
            (energy).
        next_dt: the step to try next (time).
        error: error of the last accepted step, relative to the tolerances.
        target: number of stops already met.
        folds: proposed steps in a row that folded the map.
        last_stop, since_stop: fixed steps compute t = last_stop + since_stop dt, free of accumulated rounding; in
            each interval between stops they are equal.
    """

    t: float = 0.0
    dt: float = 0.0
    steps: int = 0
    rejected: int = 0
    evaluations: int = 0
    dissipated: float = 0.0
    next_dt: float = 0.0
    error: float = 1.0
    target: int = 0
    folds: int = 0
    last_stop: float = 0.0
    since_stop: int = 0


@dataclass
class End:
    """How and where the loop stopped, with the last good state."""

    status: Status
    clock: Clock
    state: State
    detail: str = ""


class LoopCallback:
    """Base class of callbacks; ignores all events. `clock` and `state` are those of the last accepted step."""

    def step(self, clock: Clock, state: State, energy: float) -> None:
        """The loop calls this after every accepted step; it must be cheap."""

    def stop(self, clock: Clock, state: State) -> None:
        """The loop calls this at t = 0 and at every stop."""


@dataclass(frozen=True)
class Judged:
    """Numbers of a proposed step that decide whether the loop accepts it, on the host."""

    energy: float
    dissipated: float  # over the step; NaN if the integrator does not say
    size: float  # sum |terms| of the energy, the scale of its rounding
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


def verdict(now: Judged, then: Judged, tolerance: float) -> Status | None:
    """Reason to reject a step from `now` to `then`, or None."""
    if then.slope <= 0:
        return Status.folded
    if not then.finite:
        return Status.not_finite
    if not then.solved:
        return Status.solver_failed
    if then.energy > now.energy + tolerance * (1 + max(now.size, then.size)):
        return Status.energy_rise
    return None


def evolve(
    velocity: Field,
    integrator: Integrator,
    theta: Tensor,
    stops: list[float],
    callback: LoopCallback,
    *,
    clock: Clock | None = None,
    noise: float = 0.0,
    attractive: bool = False,
    first_slope: float = 1.0,
    fallback: Integrator | None = None,
) -> End:
    """Integrate theta' = velocity(theta) from t = 0, or from the time of a clock, to the last of `stops`.

    The loop accepts a step if it is finite, keeps the map increasing (min slope > 0), does not raise the energy beyond
    rounding, and has an error within the tolerances. After a rejected step an adaptive integrator tries a smaller one;
    with a fixed step the loop ends with the status that says why.

    Args:
        velocity: the field.
        integrator: the method.
        theta: start [p].
        stops: increasing times > 0 that the loop meets exactly (time).
        callback: receives every step and stop.
        clock: clock of a run to resume from theta; None for a new run.
        noise: relative rise of the energy that sampling can cause.
        attractive: whether an interaction can concentrate the law into a point within finite time.
        first_slope: smallest slope of the map at t = 0.
        fallback: takes a step after FOLDS folds in a row; None for no other method.
    """
    state = State(theta, velocity(theta))
    now = judge(Step(state))
    begins = clock is None
    clock = clock or Clock(evaluations=1, next_dt=integrator.first_dt(stops[-1]))
    if (fault := verdict(now, now, 0.0)) is not None:
        return End(fault, clock, state, "at the start")
    tolerance = 64 * torch.finfo(theta.dtype).eps + noise
    try:  # Ctrl-C comes at any time, also while the callback works
        if begins:
            callback.stop(clock, state)
        while True:
            if attractive and now.slope < COLLAPSE * first_slope:
                return End(Status.blow_up, clock, state)
            if clock.target == len(stops):
                return End(Status.completed, clock, state)
            if clock.steps + clock.rejected >= integrator.max_steps:
                return End(Status.max_steps, clock, state)
            goal, dt = stops[clock.target], clock.next_dt
            if integrator.adaptive:
                # land on a goal within rounding; take two equal steps to a goal less than 2 dt away
                lands = clock.t + dt * (1 + 1e-9) >= goal
                trial = goal - clock.t if lands else min(dt, 0.5 * (goal - clock.t))
            else:
                count = equal_steps(goal - clock.last_stop, dt)
                trial, lands = (goal - clock.last_stop) / count, clock.since_stop + 1 == count
            proposed = integrator.step(velocity, trial, state)
            then = judge(proposed)
            clock.evaluations += proposed.evaluations
            fault = Status.solver_failed if proposed.failure else verdict(now, then, tolerance)
            method, clock.folds = integrator, clock.folds + 1 if fault is Status.folded else 0
            if clock.folds >= FOLDS and fallback is not None:
                method, proposed = fallback, fallback.step(velocity, trial, state)
                then = judge(proposed)
                clock.evaluations += proposed.evaluations
                fault = Status.solver_failed if proposed.failure else verdict(now, then, tolerance)
            if fault is not None or then.error > 1:
                clock.rejected += 1
                if not integrator.adaptive:
                    why = f"dt = {trial:.3g}" + (f", {proposed.failure}" if proposed.failure else "")
                    return End(fault or Status.step_too_small, clock, state, why)
                clock.next_dt = 0.25 * trial if fault else method.next_dt(trial, then.error, 1.0)
                if clock.next_dt < integrator.dt_min:
                    collapsed = attractive and now.slope < math.sqrt(COLLAPSE) * first_slope
                    cause = proposed.failure or (fault.value if fault else "its error exceeds the tolerances")
                    reason = Status.folded if fault is Status.folded else Status.step_too_small
                    why = f"dt = {trial:.3g}" if reason is fault else f"the last step tried: {cause}"
                    return End(Status.blow_up if collapsed else reason, clock, state, why)
                continue
            if integrator.adaptive:
                grown = method.next_dt(trial, then.error, clock.error)
                dt = max(dt, grown) if trial < dt else grown  # a step shortened to meet a stop must not reduce dt
            # no calls from here to the new state, so that no signal can separate a time from its state
            by_trapezoid = 0.5 * trial * (now.dissipation + then.dissipation)
            clock.dissipated += by_trapezoid if math.isnan(then.dissipated) else then.dissipated
            clock.steps += 1
            clock.dt, clock.next_dt, clock.error = trial, dt, then.error
            if lands:
                clock.t = clock.last_stop = goal
                clock.since_stop, clock.target = 0, clock.target + 1
            elif integrator.adaptive:
                clock.t += trial
            else:
                clock.since_stop += 1
                clock.t = clock.last_stop + clock.since_stop * trial
            state, now = proposed.state, then
            callback.step(clock, state, now.energy)
            if lands:
                callback.stop(clock, state)
    except KeyboardInterrupt:
        return End(Status.interrupted, clock, state)


def fallback_of(projection: Projection, integrator: Integrator) -> Integrator | None:
    """Proximal steps for an adaptive method in a chart, if a diffusion keeps their maps increasing; else None."""
    problem = projection.problem
    if not (projection.by_chart and integrator.adaptive and problem.internal is not None and not problem.collapses):
        return None
    return integrator.fallback()


def run(
    projection: Projection,
    integrator: Integrator,
    theta: Tensor,
    stops: list[float],
    callback: LoopCallback,
    clock: Clock | None = None,
) -> End:
    """Call `evolve` with the settings that the problem and its quadrature require."""
    return evolve(
        projection,
        integrator,
        theta,
        stops,
        callback,
        clock=clock,
        noise=projection.noise,
        attractive=projection.problem.collapses,
        first_slope=projection.first_slope,
        fallback=fallback_of(projection, integrator),
    )
