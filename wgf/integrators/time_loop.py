"""The time loop: it advances the time, accepts or rejects every proposed step, and reports why it stopped."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wgf.integrators.base import Field, Integrator, Judged, State, Step, attempt, equal_steps, judge, verdict
from wgf.integrators.cautious import fallback_of
from wgf.integrators.controller import pace_of
from wgf.integrators.status import Status
from wgf.networks.base import TransportMap
from wgf.problem.changes.pace import Pace
from wgf.projection.field import Projection
from wgf.projection.remesh import Change, Mesh, mesh_of
from wgf.projection.transfer import Contact, contact_of, touching

FOLDS = 3  # folds in a row after which the fallback of the integrator takes the step
COLLAPSE = 1e-3  # smallest slope, relative to the start, below which an attraction has concentrated mass in a point


@dataclass
class Clock:
    """Progress of a run. With the parameters, it is all the loop needs to resume with the same bits.

    Attributes:
        t: time. dt: last accepted step (time). steps, rejected, evaluations: counts so far.
        dissipated: integral of the dissipation over the accepted steps, by the integrator or the trapezoid rule
            (energy).
        work: integral of the power of a moving potential over the accepted steps (energy).
        next_dt: the step to try next (time). error: of the last accepted step, relative to the tolerances.
        target: number of stops already met. transfers: number of times the breakpoints changed.
        transferred: sum of the W2 distances that these changes moved the map (length).
        mesh_error: largest estimated W2 distance between a state and the splines on its breakpoints (length).
        folds: proposed steps in a row that folded the map. size: largest one of the energy so far (energy).
        folded_at, raised_at: first time at which a step that folded the map, or raised the energy, was accepted because
            the integrator is not strict; None for none (time).
        last_stop, since_stop: fixed steps compute t = last_stop + since_stop dt, free of accumulated rounding; in
            each interval between stops they are equal.
    """

    t: float = 0.0
    dt: float = 0.0
    steps: int = 0
    rejected: int = 0
    evaluations: int = 0
    dissipated: float = 0.0
    work: float = 0.0
    next_dt: float = 0.0
    error: float = 1.0
    target: int = 0
    transfers: int = 0
    transferred: float = 0.0
    mesh_error: float = 0.0
    folds: int = 0
    last_stop: float = 0.0
    since_stop: int = 0
    folded_at: float | None = None
    raised_at: float | None = None
    size: float = 0.0


@dataclass
class End:
    """How and where the loop stopped, with the last good state, and its map if the breakpoints changed."""

    status: Status
    clock: Clock
    state: State
    detail: str = ""
    map: TransportMap | None = None


class LoopCallback:
    """Base class of callbacks; ignores all events. `clock` and `state` are those of the last accepted step."""

    def step(self, clock: Clock, state: State, energy: float) -> None:
        """The loop calls this after every accepted step; it must be cheap."""

    def remesh(self, map: TransportMap) -> None:
        """The loop calls this when the breakpoints change, before the `step` whose state is the first on them."""

    def stop(self, clock: Clock, state: State) -> None:
        """The loop calls this at t = 0 and at every stop."""


def sized(now: Judged, clock: Clock) -> Judged:
    """An accepted state's numbers, with the largest size so far: a difference may vanish, its rounding does not."""
    clock.size = max(clock.size, now.size)
    return replace(now, size=clock.size)


def tolerated(fault: Status | None, then: Judged, clock: Clock, t: float) -> Status | None:
    """Reason to reject a step of an integrator that is not strict; notes at t in the clock what the run accepts."""
    if fault not in (Status.folded, Status.energy_rise) or not (then.finite and then.solved):
        folded_before = fault is Status.folded and clock.folded_at is not None
        return Status.not_finite if folded_before and not then.finite else fault
    if then.slope <= 0 and clock.folded_at is None:
        clock.folded_at = t
    if fault is Status.energy_rise and clock.raised_at is None:
        clock.raised_at = t
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
    mesh: Mesh | None = None,
    steady: float = -1.0,
    contact: Contact | None = None,
    pace: Pace | None = None,
) -> End:
    """Integrate theta' = velocity(theta) from t = 0, or from the time of a clock, to the last of `stops`.

    The loop accepts a step if it is finite, keeps the map increasing (min slope > 0), does not raise the energy beyond
    rounding (and beyond the work of a potential that moves), and has an error within the tolerances. After a rejected
    step an adaptive integrator tries a smaller one; with a fixed step the loop ends with the status that says why,
    unless the integrator is not strict.

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
        mesh: proposes other breakpoints after a step; None for fixed ones.
        steady: the loop ends at a stop with at most this dissipation (energy/time).
        contact: walls that hold the ends of the map while they are there; None for none.
        pace: of a potential that moves, for adaptive steps; None for no limit.
    """
    begins = clock is None
    clock = clock or Clock(evaluations=1, next_dt=integrator.first_dt(stops[-1]))
    state = State(theta, velocity.over(clock.t, clock.t)(theta))
    clock.size = max(clock.size, velocity.problem.least_size)
    now = sized(judge(Step(state)), clock)
    map: TransportMap | None = None

    def ended(status: Status, detail: str = "") -> End:
        return End(status, clock, state, detail, map)

    tolerance = torch.finfo(theta.dtype).eps * velocity.problem.rounding + noise
    if (fault := verdict(now, now, tolerance)) is not None:
        return ended(fault, "at the start")
    try:  # Ctrl-C comes at any time, also while the callback works
        if begins:
            callback.stop(clock, state)
        while True:
            if attractive and integrator.strict and now.slope < COLLAPSE * first_slope:
                return ended(Status.blow_up)
            if clock.target == len(stops):
                return ended(Status.completed)
            if clock.t == clock.last_stop > 0 and now.dissipation <= steady:
                return ended(Status.steady, f"W2 speed {math.sqrt(max(now.dissipation, 0.0)):.2g}")
            if clock.steps + clock.rejected >= integrator.max_steps:
                return ended(Status.max_steps)
            goal, dt = stops[clock.target], clock.next_dt
            if integrator.adaptive:
                # land on a goal within rounding; take two equal steps to a goal less than 2 dt away
                most = dt if pace is None else min(dt, pace.longest(clock.t))
                lands = clock.t + most * (1 + 1e-9) >= goal
                trial = goal - clock.t if lands else min(most, 0.5 * (goal - clock.t))
            else:
                count = equal_steps(goal - clock.last_stop, dt)
                trial, lands = (goal - clock.last_stop) / count, clock.since_stop + 1 == count
            begin, count = (clock.t, 1) if integrator.adaptive else (clock.last_stop, clock.since_stop + 1)
            reached = goal if lands else begin + count * trial
            field = velocity.over(clock.t, reached)
            proposed, then, fault, work = attempt(integrator, field, trial, state, now, tolerance)
            clock.evaluations += proposed.evaluations
            method, clock.folds = integrator, clock.folds + 1 if fault is Status.folded else 0
            if clock.folds >= FOLDS and fallback is not None:
                method = fallback
                proposed, then, fault, work = attempt(fallback, field, trial, state, now, tolerance)
                clock.evaluations += proposed.evaluations
            if not integrator.strict:
                fault = tolerated(fault, then, clock, reached)
            if fault is not None or then.error > 1:
                clock.rejected += 1
                why = f"dt = {trial:.3g}" + (f", {proposed.failure}" if proposed.failure else "")
                why += ", where the energy is not finite" if fault is Status.folded and not integrator.strict else ""
                if not integrator.adaptive:
                    return ended(fault or Status.step_too_small, why)
                clock.next_dt = 0.25 * trial if fault else method.next_dt(trial, then.error, 1.0)
                if clock.next_dt < integrator.least_dt(stops[-1]):
                    collapsed = attractive and now.slope < math.sqrt(COLLAPSE) * first_slope
                    cause = proposed.failure or (fault.value if fault else "its error exceeds the tolerances")
                    reason = Status.folded if fault is Status.folded else Status.step_too_small
                    why = why if reason is fault else f"the last step tried: {cause}"
                    return ended(Status.blow_up if collapsed else reason, why)
                continue
            if isinstance(velocity, Projection) and contact is not None:
                share = contact.share(velocity, state.theta, proposed.state.theta)
                if share < 1:
                    clock.rejected, clock.next_dt = clock.rejected + 1, share * trial
                    continue
            change = accepted(mesh, field, state, proposed.state, now, tolerance, work.most)
            if change is not None and change.again:
                clock.rejected, clock.evaluations = clock.rejected + 1, clock.evaluations + 1
                state, now, velocity, map = _moved(change, clock)
                callback.remesh(map)
                continue
            if integrator.adaptive:
                grown = method.next_dt(trial, then.error, clock.error)
                dt = max(dt, grown) if trial < dt else grown  # a step shortened to meet a stop must not reduce dt
            # no calls from here to the new state, so that no signal can separate a time from its state
            by_trapezoid = 0.5 * trial * (now.dissipation + then.dissipation)
            clock.dissipated += by_trapezoid if math.isnan(then.dissipated) else then.dissipated
            clock.work += work.done
            clock.steps += 1
            clock.dt, clock.next_dt, clock.error = trial, dt, then.error
            clock.t = reached
            if lands:
                clock.last_stop, clock.since_stop, clock.target = goal, 0, clock.target + 1
            elif not integrator.adaptive:
                clock.since_stop += 1
            state, now = proposed.state, sized(then, clock)
            if mesh is not None:
                clock.mesh_error = max(clock.mesh_error, mesh.error)
            if change is not None:
                clock.evaluations += 1
                state, now, velocity, map = _moved(change, clock)
                callback.remesh(map)
            touched = None
            here = field.stage(1.0) if change is None else velocity
            if isinstance(here, Projection) and contact is not None:
                touched = contact.change(here, state.theta)
            if touched is not None:
                velocity, state = touched.projection, State(touched.theta, touched.evaluation)
                now = sized(judge(Step(state)), clock)
            callback.step(clock, state, now.energy)
            if lands:
                callback.stop(clock, state)
    except KeyboardInterrupt:
        return ended(Status.interrupted)


def accepted(
    mesh: Mesh | None, field: Field, before: State, after: State, now: Judged, tolerance: float, gain: float
) -> Change | None:
    """The first change of the breakpoints that keeps the map increasing and lets the energy rise by `gain` at most."""
    if mesh is None or not isinstance(field, Projection):
        return None
    for change in mesh.changes(field, before.theta, after.theta):
        moved = judge(Step(State(change.transfer.theta, change.transfer.evaluation)))
        if verdict(now, moved, tolerance, 0.0 if change.again else gain) is None:
            return change
    return None


def _moved(change: Change, clock: Clock) -> tuple[State, Judged, Projection, TransportMap]:
    """State, its numbers, field and map after a change, which this function counts."""
    found = change.transfer
    clock.transfers, clock.transferred = clock.transfers + 1, clock.transferred + found.distance
    state = State(found.theta, found.evaluation)
    return state, sized(judge(Step(state)), clock), found.projection, found.projection.map


def run(
    projection: Projection,
    integrator: Integrator,
    theta: Tensor,
    stops: list[float],
    callback: LoopCallback,
    clock: Clock | None = None,
) -> End:
    """Call `evolve` with the settings that the problem and its quadrature require."""
    begin = clock.t if clock else 0.0
    return evolve(
        touching(projection.over(begin, begin), theta),
        integrator,
        theta,
        stops,
        callback,
        clock=clock,
        noise=projection.noise,
        attractive=projection.problem.collapses,
        first_slope=projection.first_slope,
        fallback=fallback_of(projection, integrator),
        mesh=mesh_of(projection),
        steady=projection.problem.steady_dissipation or -1.0,
        contact=contact_of(projection),
        pace=pace_of(projection.problem, integrator),
    )
