"""Bound of the W2 error of any run by the triangle inequality: W2(run, exact) <= W2(run, rich) + bound(rich).

The rich run solves the same problem with a spline of degree 5 or 3 and as many breakpoints per length or up to twice as
many, on a wider range, with steps as fine as the own bound of the run asks for, and carries its own bound. The
inequality holds for every network and method.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from wgf.certificates.certificate import Certificate, spread
from wgf.certificates.conditions import conditions
from wgf.certificates.distances import Distances
from wgf.certificates.own_bound import COARSE, FOLDED, Bound, OwnBound
from wgf.errors import ConfigError, in_one_line
from wgf.integrators.base import Field, Integrator, State, Step
from wgf.integrators.cautious import Cautious
from wgf.integrators.implicit import Rodas4
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.status import Status
from wgf.integrators.time_loop import Clock, LoopCallback, run
from wgf.networks.base import TransportMap
from wgf.networks.spline import Spline
from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Gauss
from wgf.process import threads_of_torch
from wgf.projection.chart import Chart
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.projection.start import on_domain

log = logging.getLogger("wgf")

DEGREE, TAME = 5, 3  # of the rich spline, and where degree 5 folds in the tails of nonlinear diffusion
BOUND = 7.0  # standard deviations up to which its breakpoints reach on either side, at least
BREAKPOINTS, PAIRED = 64, 32  # at least, and where the kernel needs sums over pairs
FINER, CLOSER = 2.0, 1.4  # breakpoints per length, relative to the run, where degree 5 alone helps little; for pairs
MANY = 160  # breakpoints from which it is
NEAR, FEW = 4.5, 48  # reach and breakpoints of a tame spline, at least
LEAST = 1e-17  # mass beyond which there are no breakpoints
ORDER = 4  # nodes per cell, which are narrower than those of the run
RTOL, TIGHTER = 1e-7, 10.0  # tolerance of its steps for an accurate run, and ratio of the tolerances
LOOSE, SHARE = 2e-5, 2e-3  # largest tolerance; for other runs, relative to their own bound
CALM, NOISE = 112, 6  # breakpoints from which it falls, like this power: stiff modes fill the residual with noise
STEPS = 5_000  # besides one to every saved time: a law that is a point to all digits would go on for hours
PROXIMAL = 250  # iterations of its proximal steps: their order is 1, too low for more than a jump of the initial law
FUTILE = 60  # where each needs sums over pairs, or where tails of nonlinear diffusion fold again and again
BLURRED, BLIND = 0.5, 0.05  # bound of a rich run that hides the error, relative to its distance from the run, and that
# its tolerance can have caused, relative to the own bound of the run


class Unknown(Exception):
    """There is no rich run; the message says why."""


class Folds(Unknown):
    """The map of the rich run folds; a tame one may not."""


class Few(Cautious):
    """`Cautious` for few iterations."""

    taken = 0

    def step(self, field: Field, dt: float, state: State) -> Step:
        tails = conditions(field.problem).exponent > 1
        most = FUTILE if tails or needs_pairs(field.problem) else PROXIMAL
        if self.taken > most:
            raise Folds(
                f"the map of the richer run folds again and again, {most} proximal iterations did not help: increase "
                "network.width for a closer bound by the run itself"
            )
        found = super().step(field, dt, state)
        self.taken += found.evaluations
        return found


class Rich(Rodas4):
    """The method of a rich run: nobody needs its dissipation."""

    def dissipated(self, chart: Chart, dt: float, g: Tensor, pull: Tensor) -> None:
        return None

    def fallback(self) -> Cautious:
        return Few(self.rtol, self.atol, self.dt, self.dt_min, self.max_steps)


@dataclass(frozen=True)
class RichRun:
    """A rich run with its bounds.

    Attributes:
        states: its states at the saved times.
        recorder: computes its bounds.
        tame: whether it took the place of one whose map folds.
    """

    states: SavedStates
    recorder: OwnBound
    tame: bool = False
    _distances: Distances = field(default_factory=lambda: Distances(ORDER))

    def bound(self, t: float) -> Bound:
        """Bound of its error at a saved time."""
        return self.recorder.at(t)

    def distance(self, t: float, map: TransportMap, theta: Tensor) -> float:
        """Bound of the W2 distance at a saved time to a map of the same base with parameters theta [p] (length)."""
        return self._distances.between(map, theta, *self.states[self.states.times.index(t)])


class Both(LoopCallback):
    """Saves the states of a run and bounds their error."""

    def __init__(self, states: SavedStates, recorder: OwnBound) -> None:
        self.states, self.recorder = states, recorder

    def step(self, clock: Clock, state: State, energy: float) -> None:
        self.recorder.step(clock, state, energy)

    def stop(self, clock: Clock, state: State) -> None:
        self.recorder.stop(clock, state)
        self.states.stop(clock, state)


def needs_pairs(problem: Problem) -> bool:
    """Whether a force is a sum over pairs of nodes."""
    kernel = problem.interaction.elementary
    return kernel is None or bool(kernel.logarithm)


def rich_run(
    projection: Projection,
    integrator: Integrator,
    stops: list[float],
    own: float | None = None,
    state: tuple[TransportMap, Tensor] | None = None,
) -> RichRun:
    """Run the rich run of a run; where its map folds, a tame one; where its tolerance hides the error, with another.

    Args:
        projection: problem and network of the run.
        integrator: its method.
        stops: saved times after t = 0 (time).
        own: bound of its error by itself (length), to which the tolerance of the rich steps is suited; None for none.
        state: network and parameters [p] of the run at the last of `stops`; None for no second look.

    Raises:
        Unknown: it fails or does not reach the last of `stops`.
    """
    found = _increasing_run(projection, integrator, stops, own)
    value, _, unknown = found.bound(stops[-1])
    if own is None or state is None or (value is None and unknown != COARSE):
        return found
    away = 0.0 if value is None else found.distance(stops[-1], *state)
    if value is not None and (value <= BLURRED * away or value > min(BLIND * own, spread(*state))):
        return found
    with suppress(Unknown):
        second = _run(projection, integrator, stops, away, found.tame)
        other = second.bound(stops[-1]).value
        if other is not None and (value is None or other + second.distance(stops[-1], *state) < value + away):
            return second
    return found


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


def _run(projection: Projection, integrator: Integrator, stops: list[float], own: float | None, tame: bool) -> RichRun:
    try:
        finer, method = richer(projection, integrator, len(stops), own, tame)
        both = Both(SavedStates(finer.map), OwnBound(finer, order=ORDER))
        end = run(finer, method, finer.initial, stops, both)
    except Unknown:
        raise
    except Exception as error:  # a failed certificate must not lose the result of the run
        raise Unknown(f"the richer run failed: {in_one_line(error)}") from error
    if end.status is not Status.completed:
        kind = Folds if end.status in (Status.folded, Status.step_too_small) else Unknown
        raise kind(f"the richer run ended as {end.status} at t = {end.clock.t:g}")
    return RichRun(both.states, both.recorder, tame)


@threads_of_torch(1)
def certified(projection: Projection, integrator: Integrator, saved: SavedStates, t: float, rich: bool) -> Certificate:
    """Computable upper bound of the W2 error of a finished flow; it needs no reference solution.

    The flow runs again to bound its own error, and a rich run bounds it by the triangle inequality.

    Args:
        projection: problem and network.
        integrator: the method.
        saved: the states of the flow.
        t: a saved time (time).
        rich: whether to compute the rich run, one to three times the cost of the flow.

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
    own = recorder.at(t)
    if own.value is not None and stops:  # the repeated run may differ on another machine
        own = own._replace(value=own.value + RichRun(states, recorder).distance(t, *state))
    if not (rich and stops):
        return Certificate.of(own, recorder.convexity).within(width, t)
    try:
        finer = rich_run(projection, integrator, stops, own.value, state)
    except Unknown as why:
        found = Certificate.of(own, recorder.convexity).within(width, t)
        return replace(found, unknown="; ".join(filter(None, (found.unknown, str(why)))))
    return Certificate.of(own, finer.recorder.convexity, finer.bound(t), finer.distance(t, *state)).within(width, t)


def richer(
    projection: Projection, integrator: Integrator, saves: int = 1, own: float | None = None, tame: bool = False
) -> tuple[Projection, Integrator]:
    """Rich spline and method for a problem with so many saved times.

    Args:
        projection, integrator, own: of the run, as of `rich_run`.
        saves: number of saved times.
        tame: whether to choose a spline that folds less easily in tails.

    Raises:
        ConfigError: the problem cannot be solved in this way.
    """
    map, problem = projection.map, projection.problem
    space = map.space()
    degree = DEGREE if space is None else space.degree
    points = map.breakpoints() if space is None else space.points
    low = tame or (degree == 1 and conditions(problem).exponent > 1)
    pairs = needs_pairs(problem)
    width, bound = (FEW, NEAR) if tame else (PAIRED if pairs else BREAKPOINTS, BOUND)
    if len(points) > 1:
        reach = float((points[-1] - points[0]) / (2 * map.base.std))
        bound = max(bound, reach if tame else reach + 1)
        alike = math.ceil((len(points) - 1) * _range(map.base, bound) / _range(map.base, reach)) + 1
        better = tame or (degree == 1 and not low) or (pairs and degree < DEGREE)
        width = max(width, alike, 0 if better else min(math.ceil((CLOSER if pairs else FINER) * alike), MANY))
    rtol, atol = (getattr(integrator, name, None) for name in ("rtol", "atol"))
    tight = min(RTOL, (rtol or 1.0) / TIGHTER)
    wide = SHARE * (own or 0.0) / problem.law.std * min(1.0, CALM / width) ** NOISE
    rtol = min(max(tight, wide), max(LOOSE, tight))
    atol = min(1e-2 * rtol, (atol or 1.0) / TIGHTER) if rtol == tight else 1e-2 * rtol
    method = Rich(rtol=rtol, atol=atol, max_steps=STEPS + saves)

    finer = _within_the_mass(Spline(width=width, degree=TAME if low else DEGREE, bound=bound, base=map.base))
    richer = Projection(problem, on_domain(finer, problem.domain).to(map.theta.device), Gauss(), Auto())
    return richer, method.on(richer)


def _within_the_mass(spline: Spline) -> TransportMap:
    """The spline on as many equal cells, none of them beyond all mass: nothing holds the map increasing there."""
    points, least = spline.breakpoints(), torch.tensor([LEAST], dtype=torch.float64)
    low, high = float(spline.base.quantile(least)), float(spline.base.upper_quantile(least))
    low, high = (low if points[1] < low else float(points[0])), (high if points[-2] > high else float(points[-1]))
    if (low, high) == (float(points[0]), float(points[-1])):
        return spline
    return spline.on_breakpoints(torch.linspace(low, high, len(points), dtype=points.dtype))


def _range(base: Base, bound: float) -> float:
    """Length of the range of breakpoints within a bounded or unbounded support, in standard deviations."""
    low, high = max(base.lower, base.mean - bound * base.std), min(base.upper, base.mean + bound * base.std)
    return (high - low) / base.std
