"""Bound of the W2 error of any run by the triangle inequality: W2(run, exact) <= W2(run, rich) + bound(rich).

The rich run solves the same problem with a spline of degree 5 or 3 and as many breakpoints per length or up to twice as
many, on a wider range, with steps as fine as the own bound of the run asks for, and carries its own bound. The
inequality holds for every network and method.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field, replace

from torch import Tensor

from wgf.certificates.certificate import Certificate, spread
from wgf.certificates.distances import Distances
from wgf.certificates.own_bound import COARSE, FOLDED, Bound, OwnBound
from wgf.certificates.rich_settings import Folds, Unknown, richer
from wgf.certificates.unseen import account, unseen
from wgf.errors import ConfigError, in_one_line
from wgf.integrators.base import Integrator, State
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.status import Status
from wgf.integrators.time_loop import Clock, LoopCallback, run
from wgf.networks.base import TransportMap
from wgf.process import threads_of_torch
from wgf.projection.field import Projection

ORDER = 4  # nodes per cell of its bound; cells are narrower than those of the run
REJECTED, MORE = 8, 0.02  # most rejected steps, and as many more per accepted one, of a map that folds seldom
BLURRED, CLEAR = 0.25, 0.1  # of its distance from the run: bound that hides the error, and that of a second run
MOST, WORTH = 2.5, 0.3  # most steps of both, relative to the run's, and largest ratio of their tolerances
DUE = 20.0  # times the tolerance, grown by the flow: bound that finer steps can make smaller


@dataclass(frozen=True)
class RichRun:
    """A rich run with its bounds.

    Attributes:
        states: its states at the saved times.
        recorder: computes its bounds.
        tame: whether it took the place of one whose map folds.
        rtol: relative tolerance of its steps.
        steps: their number, with those that were rejected.
    """

    states: SavedStates
    recorder: OwnBound
    tame: bool = False
    rtol: float = 0.0
    steps: int = 0
    _distances: Distances = field(default_factory=lambda: Distances(ORDER))

    def bound(self, t: float) -> Bound:
        """Bound of its error at a saved time."""
        return self.recorder.at(t)

    def distance(self, t: float, map: TransportMap, theta: Tensor) -> float:
        """Bound of the W2 distance at a saved time to a map of the same base with parameters theta [p] (length)."""
        return self._distances.between(map, theta, *self.states[self.states.times.index(t)])

    def total(self, saved: SavedStates, t: float) -> float:
        """Bound of the error of a run with these states at a saved time (length); infinite for none."""
        value = self.bound(t).value
        return math.inf if value is None else value + self.distance(t, *saved[saved.times.index(t)])


class Both(LoopCallback):
    """Saves the states of a run and bounds their error."""

    def __init__(self, states: SavedStates, recorder: OwnBound) -> None:
        self.states, self.recorder = states, recorder

    def step(self, clock: Clock, state: State, energy: float) -> None:
        self.recorder.step(clock, state, energy)

    def stop(self, clock: Clock, state: State) -> None:
        self.recorder.stop(clock, state)
        self.states.stop(clock, state)


class Watched(Both):
    """Gives up a run of which too many steps are rejected, mostly where the map folds.

    A tame run costs less than one that is rejected seldom, and no run less than a tame one that is rejected often.
    """

    def __init__(self, states: SavedStates, recorder: OwnBound, tame: bool) -> None:
        super().__init__(states, recorder)
        self._most, self._more = (100, 0.5) if tame else (REJECTED, MORE)

    def step(self, clock: Clock, state: State, energy: float) -> None:
        if clock.rejected > self._most + self._more * clock.steps:
            tried = clock.rejected + clock.steps
            raise Folds(f"{clock.rejected} of the first {tried} steps of the richer run were rejected")
        super().step(clock, state, energy)


def rich_run(
    projection: Projection,
    integrator: Integrator,
    stops: list[float],
    own: float | None = None,
    saved: SavedStates | None = None,
) -> RichRun:
    """Run the rich run of a run; where its map folds, a tame one; where its tolerance hides the error, with another.

    Args:
        projection: problem and network of the run.
        integrator: its method.
        stops: saved times after t = 0 (time).
        own: bound of its error by itself (length), to which the tolerance of the rich steps is suited; None for none.
        saved: the states of the run at these times; None for no second look.

    Raises:
        Unknown: it fails or does not reach the last of `stops`.
    """
    found = _increasing_run(projection, integrator, stops, own)
    wanted = None if saved is None else _finer_tolerance(found, saved, stops[-1])
    if saved is None or wanted is None:
        return found
    with suppress(Unknown):
        second = _run(projection, integrator, stops, own, found.tame, wanted, below=found.rtol)
        if second.total(saved, stops[-1]) < found.total(saved, stops[-1]):
            return second
    return found


def _finer_tolerance(found: RichRun, saved: SavedStates, t: float) -> float | None:
    """Tolerance with which the bound of a rich run at t (time) should hide the error of a run no more; None where it
    does not, where steps are not what makes the bound, or where that costs too much."""
    k = saved.times.index(t)
    value, _, unknown = found.bound(t)
    if (value is None and unknown != COARSE) or len(saved.clocks) != len(saved.times):  # of an old checkpoint
        return None
    away = 0.0 if value is None else found.distance(t, *saved[k])
    growth = math.exp(min(max(0.0, -(found.recorder.convexity or 0.0) * t), 700.0))
    by_steps = found.rtol * found.recorder.projection.problem.law.std * growth
    if value is not None and not BLURRED * away < value < DUE * by_steps:
        return None
    clock = saved.clocks[k]
    room = MOST * (clock.steps + clock.rejected) - found.steps  # steps left; their number is like tolerance^(-1/4)
    least = (found.steps / room) ** 4 if room > 0 else math.inf
    wanted = max(CLEAR * away / value if value else 0.0, least)
    return wanted * found.rtol if wanted < WORTH else None


def _increasing_run(projection: Projection, integrator: Integrator, stops: list[float], own: float | None) -> RichRun:
    found: RichRun | Folds
    try:
        found = _run(projection, integrator, stops, own, tame=False)
        if found.bound(stops[-1]).unknown != FOLDED:
            return found
    except Folds as why:
        found = why
    try:
        return _run(projection, integrator, stops, own, tame=True)
    except Unknown:
        if isinstance(found, Folds):
            raise found from None
        return found


def _run(
    projection: Projection,
    integrator: Integrator,
    stops: list[float],
    own: float | None,
    tame: bool,
    wanted: float | None = None,
    below: float = math.inf,
) -> RichRun:
    try:
        finer, method = richer(projection, integrator, len(stops), own, tame, wanted)
        if not method.rtol < below:
            raise Unknown(f"there is no tolerance below {below:g}")
        both = Watched(SavedStates(finer.map), OwnBound(finer, order=ORDER), tame)
        end = run(finer, method, finer.initial, stops, both)
    except Unknown:
        raise
    except Exception as error:  # a failed certificate must not lose the result of the run
        raise Unknown(f"the richer run failed: {in_one_line(error)}") from error
    if end.status is not Status.completed:
        kind = Folds if end.status in (Status.folded, Status.step_too_small) else Unknown
        raise kind(f"the richer run ended as {end.status} at t = {end.clock.t:g}")
    account(both.recorder, both.states, unseen(finer, both.states))
    return RichRun(both.states, both.recorder, tame, method.rtol, end.clock.steps + end.clock.rejected)


@threads_of_torch(1)
def certified(projection: Projection, integrator: Integrator, saved: SavedStates, t: float, rich: bool) -> Certificate:
    """Computable upper bound of the W2 error of a finished flow; it needs no reference solution.

    The flow runs again to bound its own error, and a rich run bounds it by the triangle inequality.

    Args:
        projection: problem and network.
        integrator: the method.
        saved: the states of the flow.
        t: a saved time (time).
        rich: whether to compute the rich run, which takes one to three times as long as the flow.

    Raises:
        ConfigError: t is no saved time.
    """
    if t not in saved.times:
        raise ConfigError(f"t={t!r} is not allowed: expected a saved time, one of {saved.times}")
    state, stops = saved[saved.times.index(t)], [time for time in saved.times if 0 < time <= t]
    width = spread(*state)
    recorder, states = OwnBound(projection), SavedStates(projection.map)
    if recorder.unknown is None and stops:
        both = Both(states, recorder)
        end = run(projection, integrator, projection.initial, stops, both)
        if end.status is not Status.completed:
            recorder.unknown = f"the run ended as {end.status} at t = {end.clock.t:g} when repeated"
        account(recorder, states, unseen(projection, states))
    own = recorder.at(t)
    if own.value is not None and stops:  # the repeated run may differ on another machine
        own = own._replace(value=own.value + RichRun(states, recorder).distance(t, *state))
    if not (rich and stops):
        return Certificate.of(own, recorder.convexity).within(width, t)
    try:
        finer = rich_run(projection, integrator, stops, own.value, saved)
    except Unknown as why:
        found = Certificate.of(own, recorder.convexity).within(width, t)
        return replace(found, unknown="; ".join(filter(None, (found.unknown, str(why)))))
    return Certificate.of(own, finer.recorder.convexity, finer.bound(t), finer.distance(t, *state)).within(width, t)
