"""Reference solutions by another method: finite volumes in x, turned into a map by T = quantile o cdf_p.

Grids of doubling fineness are compared as maps: their differences say how far the finest is from the truth, and
Richardson's extrapolation removes most of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import scipy  # its modules are loaded when they are first used
import torch
from torch import Tensor

from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.reference_solutions.base import Computed, Grid, Starts, Unresolved, extrapolation, tails, width, yardstick
from wgf.reference_solutions.finite_volumes.evolution import ABSOLUTE, EVALUATIONS, evolved, integrate, stepped
from wgf.reference_solutions.finite_volumes.far_out import far_out
from wgf.reference_solutions.finite_volumes.initial import at_start, off
from wgf.reference_solutions.finite_volumes.masses import Volumes
from wgf.reference_solutions.finite_volumes.range import EXTENSIONS, SEEN, crowded, scout, widened
from wgf.reference_solutions.finite_volumes.schemes import Central, Monotone, Scheme
from wgf.reference_solutions.unfelt import Points, with_unfelt

# W1 and W2 errors are relative to the width of the law
LAST = 1e-9  # mass at either end that the integration's tolerances leave no digit of
CORE = 1e-6  # mass further out of the places that tell whether changes belong to one error: rounding of F moves others
LEVELS = {False: (128, 256, 512, 1024, 2048, 4096), True: (96, 192, 384, 768, 1536)}  # cells; True: coupled
LINEAR_LEVELS = (*LEVELS[False], 8192, 16384)  # of schemes that are linear: they cost little
FALL = 1e-8  # of an F that should rise: it shows a wrong contour integral
DIP = 1e-5  # W1 distance of what was computed to masses that do not fall, on the third grid: a hopeless case
GOOD = 5e-6  # W1 error with which `Central` is taken without a look at `Monotone`, and either without the last grid
COUPLED = 768  # cells beyond which coupled ones have fewer evaluations: they cost their number squared
GROWTH = 1.5  # of the evaluations from one grid to the next that is foreseen, at most
CROWD = 0.1  # mass in one cell that shows that a law is not resolved, or no longer there
TAILS = 8  # times the W2 change by tails that begin with ten times the mass that their error may be
ROUNDED = 2  # times the distance between neighbours among the floating-point numbers, whose mass may be all at one
SLOWEST = 0.25  # slowest gain in W2, less 1
FLOOR, W2_FLOOR = 5e-9, 5e-8  # W1 and W2 error of the integration in time


@dataclass(frozen=True)
class Reference(Computed):
    """The map of a problem by finite volumes.

    Attributes:
        law: the base p of the map.
        coarse, fine: the two finest grids.
        share: the limit is fine + share (fine - coarse).
    """

    name = "finite volumes"

    law: Base
    coarse: Volumes
    fine: Volumes
    share: float

    @property
    def kinks(self) -> list[float]:
        """Where the linear tails begin (length)."""
        first, *_, last = tails(self.law, LAST)
        return [first, last]

    def map(self, k: int, z: np.ndarray) -> np.ndarray:
        return self.at(np.full(len(z), k), z)

    def at(self, k: np.ndarray, z: np.ndarray, last: float = LAST) -> np.ndarray:
        """T at the times number k [n], which do not fall, and z [n] (length), linear where less mass than `last` is
        left."""
        starts = Starts.of(self.law, z, last)
        fine = self.fine.map(k, starts)
        return fine + self.share * (fine - self.coarse.map(k, starts)) if self.share else fine

    def at_times(self, times: Sequence[float], parts: Sequence[Tensor]) -> Tensor:
        numbers = [self._number(t) for t in times]
        known = [part for k, part in zip(numbers, parts, strict=True) if k is not None]
        if not known:
            return super().at_times(times, parts)
        sizes = [len(part) for part in known]
        k = np.repeat([k for k in numbers if k is not None], sizes)
        found = iter(torch.from_numpy(self.at(k, torch.cat(known).numpy())).split(sizes))
        each = zip(numbers, times, parts, strict=True)
        return torch.cat([self(t, part) if k is None else next(found) for k, t, part in each])


def solve(problem: Problem, times: Sequence[float]) -> Reference:
    """The map at increasing times > 0.

    Raises:
        ArithmeticError: the solution, or what it needs, is not finite or too stiff.
        NotImplementedError: the problem has a term of its own.
    """
    at = np.array(times, dtype=float)
    seen = at[-1] * SEEN
    with np.errstate(all="ignore"):
        grid = scout(problem, seen)
        try:
            return _felt(problem, _within(problem, at, grid))
        except Unresolved:
            if not Monotone(problem, grid).linear:
                raise
        # the finest cells lie at an edge of the initial law that soon vanishes; a layer elsewhere needs them
        return _felt(problem, _within(problem, at, scout(problem, seen, early=False)))


def _felt(problem: Problem, found: Reference) -> Reference:
    """A solution whose errors count what its cells do not feel of the interaction."""
    if problem.interaction.split()[1] is None:
        return found
    levels, (z, w) = (found.coarse, found.fine) if found.share else (found.fine,), yardstick(found.law)
    start = [_points(each.grid, at_start(problem, each.grid)) for each in levels]
    end = [_points(each.grid, each.mass[-1]) for each in levels]
    widths = [width(problem.law, found.map(k, z)[None], w) for k in range(len(found.times))]
    return with_unfelt(found, problem.interaction, (start, end), np.array([problem.law.std, *widths]), found.share)


def _points(grid: Grid, mass: np.ndarray) -> Points:
    """The faces as places, the middles of the cells as the points that they feel. mass: left of the faces [N + 1]."""
    density = scipy.interpolate.make_interp_spline(grid.s, mass, k=5).derivative()
    return Points(grid.place, density, grid.cells)


def _within(problem: Problem, times: np.ndarray, grid: Grid) -> Reference:
    """The solution on a range that is widened until its open ends are empty."""
    for _ in range(EXTENSIONS):
        found = _best(problem, times, grid)
        full = crowded(np.diff(found.fine.mass, axis=1), problem.domain)
        if not any(full):
            return found
        grid = widened(grid, full)
    raise Unresolved("mass stands at the ends of the range")


def _best(problem: Problem, times: np.ndarray, grid: Grid) -> Reference:
    """The more accurate one of the two schemes' solutions; `Central` alone where it is good enough.

    The differences of `Central` reach beyond the ends, where F is constant: at a wall that holds for `Monotone` only.
    """
    found: list[Reference] = []
    for kind in (Central, Monotone) if problem.domain.is_line else (Monotone,):
        try:
            found.append(_refine(kind, problem, times, grid))
        except Unresolved:
            continue
        if found[-1].error < GOOD * problem.law.std:
            break
    if not found:
        raise Unresolved("the finite volumes do not converge")
    return min(found, key=lambda reference: reference.error)


def _refine(kind: type[Scheme], problem: Problem, times: np.ndarray, grid: Grid) -> Reference:
    """Refine until the goal or the finest level; the two finest grids and the estimate their differences give."""
    law = problem.base  # maps act on the base; only ranks link it to the initial law
    z, w = yardstick(law)
    number, starts = np.arange(len(times)), Starts.of(law, z, LAST).tiled(len(times))
    k, left = number.repeat(len(z)), starts.mass[: len(z)]
    core = np.where(np.minimum(left, 1 - left) > CORE, w, 0.0)
    scheme = kind(problem, replace(grid, cells=16))
    levels = LINEAR_LEVELS if scheme.linear else LEVELS[scheme.dense]
    best: Reference | None = None
    runs: list[Volumes] = []
    spent: list[int] = []
    maps: list[np.ndarray] = []
    gains: list[float] = []
    cosines: list[float] = []
    offs: list[np.ndarray] = []
    for level, cells in enumerate(levels):
        if len(spent) > 1 and spent[-2]:  # both integrated
            expected = spent[-1] * min(GROWTH, spent[-1] / spent[-2])
            if expected > _affordable(scheme.dense, cells):
                break  # it would stop before the end
        try:
            run, evaluations = _run(kind, problem, times, replace(grid, cells=cells))
        except Unresolved:
            if runs or level > 1:
                break
            continue  # too coarse: try a finer one
        runs.append(run)
        spent.append(evaluations)
        offs.append(off(problem, runs[-1].grid))
        maps.append(runs[-1].map(k, starts).reshape(len(times), -1))
        unit = width(problem.law, maps[-1], w)
        if level > 1 and runs[-1].dips.max() > DIP * unit:
            raise Unresolved("the scheme oscillates")
        if len(maps) > 2:
            old, new = maps[-2] - maps[-3], maps[-1] - maps[-2]
            gains.append((np.abs(old) @ w).max() / max((np.abs(new) @ w).max(), 1e-300))
            long, short = (np.sqrt(change**2 @ w) for change in (old, new))
            product, norms = ((old * new) @ core).sum(), (old**2 @ core).sum() * (new**2 @ core).sum()
            cosines.append(float(product / max(math.sqrt(norms), 1e-300)))
            share, doubt = extrapolation(gains, kind.gain, cosines)
            # the distance of two extrapolations, or of two grids where no rate is known
            change = (1 + share) * new - share * old if share else 2 * new
            errors = np.maximum(2 * np.abs(change) @ w, (kind.least + doubt) * np.abs(new) @ w)
            # where an edge of the law lies in its cell changes with every grid, and no extrapolation removes it
            moved = abs((1 + share) * offs[-1] - share * offs[-2])
            errors += max(moved[0], moved[1:].sum()) + runs[-1].dips + FLOOR * unit
            # coarse tails and edges are wrong by far more than W1 shows
            slow = 1 / np.maximum(long / np.maximum(short, 1e-300) - 1, SLOWEST)
            squares = 4 * np.maximum(1 + share, slow) * short + W2_FLOOR * unit
            best = Reference(times, errors, squares, law, runs[-2], runs[-1], share)
            goal = GOOD if cells == levels[-2] else scheme.goal  # the last grid is for hard cases
            if best.errors.max() < goal * unit:
                break
    if best is None or not np.isfinite(best.errors).all():
        raise Unresolved("no three grids")
    # no grid sees how wrong straight tails are: by what it changes to begin them earlier
    moved = Starts.of(law, z, 10 * LAST).beyond != 0
    others = best.at(number.repeat(moved.sum()), np.tile(z[moved], len(times)), 10 * LAST)
    limit = maps[-1] + best.share * (maps[-1] - maps[-2])
    changes = limit[:, moved] - others.reshape(len(times), -1)
    w1, w2 = far_out(problem, times, limit, LAST)
    spread = _spread(best, z)
    w1, w2 = w1 + ROUNDED * spread @ w, w2 + TAILS * np.sqrt(changes**2 @ w[moved]) + ROUNDED * np.sqrt(spread**2 @ w)
    return replace(best, errors=best.errors + w1, w2_errors=best.w2_errors + w2)


def _spread(found: Reference, z: np.ndarray) -> np.ndarray:
    """How far apart the neighbours of places z [n] among the floating-point numbers end [k, n] (length): far at an edge
    with infinite density, where much mass is at one number."""
    first, *_, last = found.law.panels()
    low, high = (np.clip(np.nextafter(z, end), first, last) for end in (-math.inf, math.inf))
    k = np.arange(len(found.times)).repeat(len(z))
    ends = [found.at(k, np.tile(each, len(found.times))).reshape(-1, len(z)) for each in (low, high)]
    return ends[1] - ends[0]


def _affordable(dense: bool, cells: int) -> int:
    """How many evaluations a run with so many cells may take."""
    return int(EVALUATIONS * min(1.0, (COUPLED / cells) ** 2)) if dense else EVALUATIONS


def _run(kind: type[Scheme], problem: Problem, times: np.ndarray, grid: Grid) -> tuple[Volumes, int]:
    """F at the times, and how many evaluations it took.

    Raises:
        Unresolved: the integration fails, or mass gathers in a point.
    """
    scheme, start = kind(problem, grid), at_start(problem, grid)
    inner: np.ndarray | None = None
    used = 0
    if scheme.linear:
        bands, b = scheme.operator
        inner = evolved(bands[scheme.reach - 1 : scheme.reach + 2], b, start[1:-1], times)
        inner = inner if _fall(inner) <= FALL else None
    elif kind is Central and scheme.affine:  # the limiter of the other scheme is not linear
        with suppress(Unresolved):
            inner = stepped(*scheme.operator, start[1:-1], times)
    if inner is None:
        limits = problem.pace(ABSOLUTE).stretches, _affordable(scheme.dense, grid.cells)
        inner, used = integrate(scheme, scheme.bands, start[1:-1], times, 0.0, ABSOLUTE, scheme.reach, *limits)
    raw = np.pad(inner, ((0, 0), (1, 1)))
    raw[:, -1] = 1.0
    if np.diff(raw, axis=1).max() > CROWD:
        raise Unresolved("mass gathers in a point")
    inside = np.clip(raw, 0.0, 1.0)  # the mean of the least bound from the left and from the right prefers no side
    mass = 0.5 * (np.maximum.accumulate(inside, 1) + np.minimum.accumulate(inside[:, ::-1], 1)[:, ::-1])
    return Volumes(grid, mass, np.abs(mass - raw) @ grid.x(grid.s)[1], kind is Central), used


def _fall(inner: np.ndarray) -> float:
    """By how much F [k, n] falls where it should rise from 0 to 1.

    Where drift outweighs diffusion by far, the matrix is far from normal, and the contour integral multiplies rounding.
    """
    whole = np.pad(inner, ((0, 0), (1, 1)), constant_values=(0.0, 1.0))
    return float((np.maximum.accumulate(whole, 1) - whole).max())
