"""What a rule does not feel of an interaction kernel: structure of W that is finer than the distances of its points.

Particles are points x(s) with the mass dF/ds, in cells of length 1 in s. A place at the end of a cell feels every cell
by a rule, such as its middle. Gauss nodes in all cells tell the velocity W' * rho there, after those in which W' is
rough have been cut again and again: the cells beside the place, towards it, and those where arithmetic with the formula
of W shows a narrow structure. Levels of refinement that all miss the same structure agree: their changes do not show
what it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.polynomial import legendre

from wgf.problem.interaction import Interaction
from wgf.problem.kernels import Expressed
from wgf.reference_solutions.base import Computed, Unresolved
from wgf.settings.formulas.discs import Roughness
from wgf.settings.formulas.enclosure import has_jumps

PLACES = 16  # of equal mass, at which velocities are compared
NODES = 8  # of Gauss in a cell, and in each piece of one
CUT, ROUNDS = 8, 11  # pieces of a piece, and how often: the last ones are as long as rounding errors
MOST = 1 << 18  # pieces of one round
TOLERANCE = 1e-10  # displacement by which all pieces may be wrong, relative to the law's width
SAFE = 2.0  # stated errors relative to those by the velocities at some places and two times
LARGE = 0.1  # W1 error, relative to the law's width, of what is no solution
TINY = 1e-300  # mass
MIDDLE = np.array([0.5]), np.array([1.0])  # the rule of the middles

Known = TypeVar("Known", bound=Computed)
Function = Callable[[np.ndarray], np.ndarray]
Rule = tuple[np.ndarray, np.ndarray]  # places and weights in a cell (0, 1)


@dataclass(frozen=True)
class Points:
    """Particles in order, by a parameter s.

    Attributes:
        x: positions at s [n] (length).
        density: mass by s there [n].
        count: of the cells, which begin at s = 0, 1, ...
        turns: whether they close a circle; x and the density continue by half a turn on either side then.
    """

    x: Function
    density: Function
    count: int
    turns: bool = False

    def felt(self, at: np.ndarray) -> np.ndarray:
        """Where the cells begin that places at s [P] feel [P, count]: on a circle those within half a turn."""
        first = at[:, None] - self.count // 2 if self.turns else np.zeros((len(at), 1))
        return first + np.arange(self.count)

    def places(self) -> np.ndarray:
        """Ends of cells in the middles of parts of equal mass [P]."""
        mass = np.maximum(self.density(np.arange(self.count) + 0.5), 0.0).cumsum()
        return np.searchsorted(mass, (np.arange(PLACES) + 0.5) / PLACES * mass[-1]).astype(float)


def missed(
    kernel: Interaction, points: Points, at: np.ndarray, tolerance: float, rule: Rule = MIDDLE
) -> tuple[np.ndarray, np.ndarray]:
    """The part of W' * rho that a rule misses at places, and its error beyond a tolerance, each [P] (length/time).

    Args:
        kernel: W. Sums of |x|, x^2 and log |x| have no length: they hide nothing.
        points: the particles.
        at: places, ends of cells [P].
        tolerance: of the velocity (length/time).
        rule: by which the solution sums over its particles.
    """
    _, force = kernel.split()
    if force is None or kernel.elementary is not None:
        return np.zeros(len(at)), np.zeros(len(at))
    here, cells, fine = points.x(at), points.felt(at), gauss(NODES)
    parts, sums = (_sums(force, here, points, cells, each) for each in (fine, rule))
    found, rest, rough = (parts - sums).sum(1), np.zeros(len(at)), _rough(kernel)
    share = tolerance / points.count  # of a cell, and of each of its pieces: few are cut
    cut = _beside(at[:, None], cells, 1.0) if rough is None else _narrow(rough, here, points, cells, share)
    place, low, size, value = np.nonzero(cut)[0], cells[cut], 1.0, parts[cut]
    for turn in range(ROUNDS + 1):
        beside = _beside(at[place], low, size)
        loose = np.where(beside, np.inf, 0.0)
        if rough is not None:
            loose = _loose(rough, here[place], points, low, size, share)
        again = ~(loose <= share)
        if turn == ROUNDS or CUT * again.sum() > MOST:
            rest = np.bincount(place, np.where(again & ~beside, loose, 0.0), len(at))
            break
        place, low, before, size = place[again].repeat(CUT), low[again], value[again], size / CUT
        low = (low[:, None] + size * np.arange(CUT)).ravel()
        value = _pulls(force, here[place], points, low, size, fine)
        found += np.bincount(place, value - before.repeat(CUT) / CUT, len(at))
    return found, rest


def gauss(order: int) -> Rule:
    """Gauss nodes and weights on (0, 1)."""
    s, w = legendre.leggauss(order)
    return 0.5 * (s + 1), 0.5 * w


def _sums(force: Callable, here: np.ndarray, points: Points, cells: np.ndarray, rule: Rule) -> np.ndarray:
    """int W' dF over cells from `cells` [P, C] on at the positions here [P], by a rule [P, C] (length/time)."""
    first, last = int(cells.min()), int(cells.max())
    s, number = (np.arange(first, last + 1)[:, None] + rule[0]), (cells - first).astype(int)
    x, masses = points.x(s.ravel()).reshape(s.shape), points.density(s.ravel()).reshape(s.shape) * rule[1]
    return (force(torch.from_numpy(here[:, None, None] - x[number])).numpy() * masses[number]).sum(2)


def _pulls(force: Callable, here: np.ndarray, points: Points, low: np.ndarray, size: float, rule: Rule) -> np.ndarray:
    """int W' dF over pieces of a size from low [m] on at the positions here [m], by a rule (length/time)."""
    s = low[:, None] + size * rule[0]
    x, density = (each(s.ravel()).reshape(s.shape) for each in (points.x, points.density))
    return (force(torch.from_numpy(here[:, None] - x)).numpy() * density) @ rule[1] * size


def _beside(at: np.ndarray, low: np.ndarray, size: float) -> np.ndarray:
    """Whether pieces touch places."""
    return (low <= at) & (at <= low + size)


def _rough(kernel: Interaction) -> Roughness | None:
    """What knows where W' is no polynomial; None without a formula: then W' is taken to be rough near 0 only."""
    if not isinstance(kernel, Expressed) or has_jumps(kernel.expression):
        return None
    rough = Roughness(kernel.expression, NODES)
    return rough if rough.terms else None


def _loose(
    rough: Roughness, here: np.ndarray, points: Points, low: np.ndarray, size: float, share: float
) -> np.ndarray:
    """By how much Gauss nodes may be wrong in pieces from low [m] on, at the positions here [m] (length/time)."""
    ends = np.abs(here - points.x(np.concatenate([low, low + size])).reshape(2, -1))
    mass = np.abs(points.density(low + 0.5 * size)) * size + TINY
    return rough(ends.min(0), ends.max(0), share / mass) * mass


def _narrow(rough: Roughness, here: np.ndarray, points: Points, cells: np.ndarray, share: float) -> np.ndarray:
    """Whether W' may be rough between the positions here [P] and cells from `cells` [P, C] on.

    All distances are looked at once, in intervals as long as the longest cell with a mass that matters.
    """
    s = np.arange(points.count + 1.0)
    x, mass = points.x(s), np.abs(points.density(s[:-1] + 0.5)) + TINY
    far = x[-1] - x[0]
    heavy = ~(mass * rough(np.zeros(1), np.array([far]), np.zeros(1)) <= share)
    ends = np.linspace(0.0, far, math.ceil(far / np.diff(x)[heavy].max(initial=far / len(mass))) + 1)
    allowed = np.full(len(ends) - 1, share / mass.max())
    before = np.append(0, np.cumsum(~(rough(ends[:-1], ends[1:], allowed) <= allowed)))  # rough ones
    if not before[-1]:
        return np.zeros(cells.shape, dtype=bool)
    number = [np.abs(here[:, None] - points.x((cells + end).ravel()).reshape(cells.shape)) / ends[1] for end in (0, 1)]
    low, high = (f(*number).astype(int).clip(max=len(allowed)) for f in (np.minimum, np.maximum))
    return heavy[(cells % points.count).astype(int)] & (before[(high + 1).clip(max=len(allowed))] > before[low])


def with_unfelt(
    known: Known, kernel: Interaction, ends: Sequence[Sequence[Points]], widths: np.ndarray, share: float = 0.0
) -> Known:
    """A solution whose errors are no less than those by what its points do not feel of a kernel.

    A displacement is taken to grow no faster than the law's width, and the velocity is interpolated in time:

        |error of T(t)| <= width(t) / width(0) int_0^t |missed velocity| ds.

    Args:
        known: the solution.
        kernel: W.
        ends: its points at t = 0, and at the last time: those of the finest level, or of the two finest.
        widths: of the law at t = 0 and at the times [1 + k] (length).
        share: the solution is fine + share (fine - coarse).

    Raises:
        Unresolved: the points miss so much that this is no solution.
    """
    times, unit = known.times, widths.max()
    growth = np.maximum(widths[1:] / widths[0], 1.0)[:, None]
    w1 = w2 = np.zeros(len(times))
    for beyond in dict.fromkeys((0.0, share)):  # the coarser level only where the finest one misses something
        first, last = (_velocity(kernel, levels, TOLERANCE * unit / times[-1], beyond) for levels in ends)
        moved = SAFE * growth * times[:, None] * (first + 0.5 * (times / times[-1])[:, None] * (last - first))
        w1, w2 = moved.mean(1), np.sqrt((moved**2).mean(1))
        if (w1 <= known.errors).all() and (w2 <= known.w2_errors).all():
            return known
    if not w1.max() < LARGE * unit:
        raise Unresolved("the points do not feel the interaction: its range is too short")
    return replace(known, errors=np.maximum(known.errors, w1), w2_errors=np.maximum(known.w2_errors, w2))


def _velocity(kernel: Interaction, levels: Sequence[Points], tolerance: float, share: float) -> np.ndarray:
    """Size of the velocity that a solution misses at some places [P] (length/time)."""
    fine, coarse = levels[-1], levels[0]
    at = coarse.places()
    found, rest = missed(kernel, fine, at * (fine.count // coarse.count), tolerance)
    if not share:
        return np.abs(found) + rest
    before, others = missed(kernel, coarse, at, tolerance)
    return np.abs(found + share * (found - before)) + (1 + share) * rest + share * others
