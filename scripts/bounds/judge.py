"""Judges the bounds of a problem beside its error, which is known from a formula or from two fine runs."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from random_problems.draw import Settings, composed

from bounds.draw import STEPS, drawn
from wgf.certificates.certificate import spread
from wgf.certificates.own_bound import OwnBound
from wgf.certificates.rich import Both, certified
from wgf.certificates.rich_settings import needs_pairs
from wgf.engine.compiled import run
from wgf.errors import ConfigError
from wgf.integrators.implicit import Rodas4
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.status import Status
from wgf.networks.spline import Spline
from wgf.problem.equations import Problem
from wgf.problem.laws import Mixture
from wgf.problem.potential import Quadratic
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.projection.start import on_domain
from wgf.reference_solutions.choose import exact_until
from wgf.reference_solutions.wasserstein import Carried, distance
from wgf.run.build import build

FINE = (129, 5, 8.0, 1e-7), (193, 3, 9.0, 3e-8)  # breakpoints, degree, bound, rtol of the fine runs
PAIRED = 2  # as many times fewer breakpoints where forces are sums over pairs
KNOWN = 0.02  # an error is known if its doubt is smaller, relative to it
DOUBT = 2.0  # doubt of a fine run, in distances to the finer one; at order 1 the limit is so far away
LIMIT = 25.0  # CPU time of a problem (s)
ROUNDING = 1e-11  # of a bound, relative to the width of the law


@dataclass(frozen=True)
class Judged:
    """A random problem.

    Attributes:
        k: its number.
        kind: of the problem.
        network: spline or two_sided_relu.
        status: of the run, "refused", or "completed".
        error, doubt: W2 error of the run and how uncertain that is (length); None if unknown.
        by: how the error is known.
        own, least: own and least bound (length); None for no bound.
        unknown: why there is none, or no rich bound.
        cpu: times of the run, and of the run with both bounds (s).
    """

    k: int
    kind: str
    network: str
    status: str
    error: float | None = None
    doubt: float | None = None
    by: str | None = None
    own: float | None = None
    least: float | None = None
    unknown: str | None = None
    std: float = 1.0
    cpu: tuple[float, float] = (0.0, 0.0)

    @property
    def is_false(self) -> bool:
        """Whether a bound lies below the error, beyond doubt and rounding."""
        if self.error is None or self.doubt is None:
            return False
        least = (self.error - self.doubt) * (1 - 1e-6) - ROUNDING * self.std
        return any(bound is not None and bound < least for bound in (self.own, self.least))

    @property
    def is_known(self) -> bool:
        """Whether bound/error is a number to speak of."""
        return self.error is not None and self.doubt is not None and self.doubt <= KNOWN * self.error


def fine(problem: Problem, width: int, degree: int, bound: float, rtol: float) -> tuple[Carried, float] | None:
    """The law at the end of a fine run and the bound of its error (length), infinite for none; None if it stops."""
    width = width // PAIRED if needs_pairs(problem) else width
    map = on_domain(Spline(width, degree, bound, base=problem.base), problem.domain)
    field = Projection(problem, map, Gauss(), Auto())
    both = Both(SavedStates(map), OwnBound(field))
    method = Rodas4(rtol, 1e-2 * rtol, max_steps=2 * STEPS).on(field)
    end = run(field, method, field.initial, [problem.t_end], both)
    if end.status is not Status.completed:
        return None
    value = both.recorder.at(problem.t_end).value
    return Carried.by(*both.states[-1]), math.inf if value is None else value


def mixed(problem: Problem) -> Carried | None:
    """The exact law at the end of a mixture in a parabola, whose components stay Gaussian; None for other problems."""
    law, well, spreads = problem.law, problem.potential, problem.internal and problem.internal.power_diffusion()
    if not (isinstance(law, Mixture) and isinstance(well, Quadratic) and spreads and spreads.exponent == 1):
        return None
    if not problem.interaction.vanishes:
        return None
    k, t, base = well.stiffness, problem.t_end, problem.base
    shrunk = math.exp(-k * t)
    grown = spreads.coefficient * (-math.expm1(-2 * k * t) / k if k else 2 * t)
    means = [well.center + (part.mean - well.center) * shrunk for part in law.parts]
    stds = [math.sqrt((part.std * shrunk) ** 2 + grown) for part in law.parts]
    return Carried.law(Mixture(means, stds, law.weights), base)


def known(problem: Problem, mine: Carried) -> tuple[float, float, str]:
    """Error and doubt of a law at the end time (length), and how they are known; infinite if nobody knows."""
    exact = mixed(problem)
    if exact is None and (formula := exact_until(problem.t_end, problem, "auto")) is not None:
        exact = Carried.of(problem.base, formula, problem.t_end)
    if exact is not None:
        found = distance(mine, exact)
        return found.w2, found.w2_error + 1e-12 * problem.law.std, "formula"
    one = fine(problem, *FINE[0])
    if one is None:
        return math.inf, math.inf, "a fine run stops"
    found = distance(mine, one[0])
    if one[1] <= KNOWN * found.w2:
        return found.w2, one[1] + found.w2_error, "its own bound"
    two = fine(problem, *FINE[1])
    if two is None:
        return math.inf, math.inf, "a fine run stops"
    found = distance(mine, two[0])
    return found.w2, min(two[1], DOUBT * distance(one[0], two[0]).w2) + found.w2_error, "two fine runs"


class TooLong(BaseException):
    """A problem takes more than LIMIT; no `except Exception` catches it."""


@contextmanager
def limited() -> Iterator[None]:
    """Raise TooLong after LIMIT of CPU time."""

    def late(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judged(seed: int, k: int) -> Judged:
    """Run and judge problem number k of a seed."""
    kind, settings = drawn(seed, k)
    about = {"k": k, "kind": kind, "network": settings["network"]}
    try:
        with limited():
            return _judged(about, settings)
    except TooLong:
        return Judged(**about, status=f"more than {LIMIT} s")


def _judged(row: dict[str, Any], settings: Settings) -> Judged:
    try:
        experiment = build(composed(settings))
    except ConfigError as error:
        return Judged(**row, status="refused", unknown=error.lines[0])
    problem, times = experiment.problem, [time.process_time()]
    saved = SavedStates(experiment.map)
    end = experiment.run(experiment.theta, saved)
    if end.status is not Status.completed:
        return Judged(**row, status=end.status.name)
    times.append(time.process_time())
    found = certified(experiment.projection, experiment.integrator, saved, problem.t_end, rich=True)
    times.append(time.process_time())
    one, all = (round(after - before, 3) for before, after in pairwise(times))
    mine = Carried.by(*saved[-1])
    error, doubt, by = known(problem, mine)
    row |= {"error": error, "doubt": doubt} if math.isfinite(error + doubt) else {}
    std = spread(*saved[-1])
    return Judged(
        **row,
        status="completed",
        by=by,
        own=found.own,
        least=found.bound,
        unknown=found.unknown,
        std=std,
        cpu=(one, all),
    )
