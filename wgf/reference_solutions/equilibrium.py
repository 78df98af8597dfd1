"""Equilibrium of a Fokker-Planck equation, the Gibbs law exp(-V/D)/Z, as a map from the initial law.

The Gibbs law is resolved by mass: a scan over sixty decades finds the wells of V on either side of every barrier, and
cells are halved until each holds little mass and halving it once more does not change that mass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from wgf.problem.base import Base, Law
from wgf.problem.equations import Problem
from wgf.reference_solutions.roots import roots

ROUGH = 1e12  # |V/D| at its lowest beyond which rounding hides differences of 1e-3
FINE, FINE_RATIO, FAR, FAR_RATIO = 1e6, 1.02, 1e60, 1.25  # the scan's distances from a centre (standard deviations)
NEAR, SAMPLES = 10.0, 2001  # its equidistant part (standard deviations) and the number of points there
FLAT, GROWTH = 0.5, 1.5  # change of V/D around a well's lowest point that is resolved, and the growth of cells from it
PASSES, WELLS = 5, 400  # searches for wells, and wells in one search at most
EMPTY = 60.0  # logarithm of a share of the mass that is negligible
SHARE, TAIL_SHARE = 5e-4, 0.1  # of the whole mass and of the mass beyond it that a cell holds at most
RATIO = 0.5  # logarithm of the ratio of the masses in the two halves of a cell
EXACT = 1e-18  # share of the variance below which it does not matter where in a cell its mass is
ERROR, LARGEST_ERROR = 1e-10, 1e-3  # relative error of a cell's mass, where rounding does not hide it and where it does
TOTAL_ERROR = 1e-4  # relative error of the whole mass that is accepted
ROUNDS, CELLS = 80, 40_000  # of halving, and cells at most
SEEN, UNSEEN = 1e-38, 1e-5  # tail that the cells do not resolve, and the share of the second moment that may lie there
LOST = 1e-15  # share of the mass that may lie at distances where the scan ends
PERIODIC = 1e-9  # largest rise of V around a circle, relative to D
GAUSS = np.polynomial.legendre.leggauss(8)

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Quantiles:
    """The quantile function of masses in cells that follow each other, by cubics in every cell.

    Args:
        begin, end: of the cells [N] in the order in which mass is counted (length).
        mass: of the cells [N].
        slopes: densities at begin and end, times the cell's width over its mass [2, N].
    """

    begin: np.ndarray
    end: np.ndarray
    mass: np.ndarray
    slopes: np.ndarray

    @cached_property
    def behind(self) -> np.ndarray:
        """The mass up to each cell's end [N]."""
        return np.cumsum(self.mass)

    def __call__(self, rank: np.ndarray) -> np.ndarray:
        """The positions [n] before which the masses `rank` [n] lie (length)."""
        k = np.minimum(np.searchsorted(self.behind, rank), len(self.mass) - 1)
        mass = self.mass[k]
        target = np.clip((rank - np.where(k > 0, self.behind[k - 1], 0.0)) / mass, 0.0, 1.0)
        one, two = self.slopes[:, k]
        weights = np.stack([one + two - 2, 3 - 2 * one - two, one, np.zeros_like(one)])
        place = roots(weights, target, target)
        return self.begin[k] + place * (self.end - self.begin)[k]


@dataclass(frozen=True)
class ByRank:
    """The map T = quantile o cdf_p from the base p to a law given by masses in cells.

    Args:
        base: p.
        left, right: quantiles of the law by the mass on their left and on their right.
    """

    base: Base
    left: Quantiles
    right: Quantiles

    @classmethod
    def of(cls, base: Base, low: np.ndarray, high: np.ndarray, mass: np.ndarray, density: np.ndarray) -> ByRank:
        """The map to the law with masses [N] in cells from low to high [N] (length), and with these densities at both
        ends of the cells [2, N] (mass/length)."""
        full = mass > 0
        low, high, mass, density = low[full], high[full], mass[full], density[:, full]
        slopes = np.clip(np.nan_to_num(density * (high - low) / mass, nan=1.0), 0.0, 3.0)
        backwards = (values[..., ::-1] for values in (high, low, mass, slopes[::-1]))
        return cls(base, Quantiles(low, high, mass, slopes), Quantiles(*backwards))

    def __call__(self, z: Tensor) -> Tensor:
        """T(z) [n] at z [n] (length). Each point is matched by the mass on its nearer side."""
        points = z.detach().cpu().double()
        low, high = self.base.cdf(points).numpy(), self.base.survival(points).numpy()
        return torch.from_numpy(np.where(low < 0.5, self.left(low), self.right(high))).to(z)


@dataclass(frozen=True)
class Equilibrium:
    """The map from the base to the Gibbs law, at any time.

    Args:
        map: T.
    """

    map: ByRank
    name = "exact: equilibrium"
    quick = True

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """T(z) [n] at z [n] (length)."""
        return self.map(z)


def equilibrium(problem: Problem) -> Equilibrium | None:
    """The map to the Gibbs law of a Fokker-Planck equation, to about 1e-8 of its width.

    Returns None where the equation is another one, where exp(-V/D) has no finite mass or no finite second moment (the
    W2 distance to it is infinite), and where double precision does not resolve it.
    """
    v, diffusion, walls = problem.potential, problem.linear_diffusion, problem.domain.support
    if not diffusion or not problem.interaction.vanishes or v.moves:
        return None
    if (length := problem.domain.period) is not None:
        rise = v.value_at(torch.tensor([0.3 * length, 1.3 * length], dtype=torch.float64)).diff().abs()
        if float(rise) > PERIODIC * diffusion:
            return None  # a constant force drives a current for ever

    def logs(x: np.ndarray) -> np.ndarray:
        """-V/D between the walls, and -inf where V is not a number."""
        value = -v.value_at(torch.from_numpy(x)).numpy() / diffusion
        return np.where(np.isnan(value), -np.inf, value)

    with np.errstate(all="ignore"):
        x = _scan(logs, problem.law, walls)
        return None if x is None else _resolved(logs, problem, x)


def _scan(logs: Function, law: Law, walls: tuple[float | None, float | None]) -> np.ndarray | None:
    """Points [n] between which exp(logs) has no well that is narrow, from wall to wall; None where logs is not bounded
    (length)."""
    fine = np.geomspace(1 / FINE, FINE, round(2 * np.log(FINE) / np.log(FINE_RATIO)))
    far = np.geomspace(FINE, FAR, round(np.log(FAR / FINE) / np.log(FAR_RATIO)))[1:]
    distances = law.std * np.concatenate([fine, far])
    distances = np.concatenate([-distances[::-1], [0.0], distances])
    near = law.mean + law.std * np.linspace(-NEAR, NEAR, SAMPLES)
    low, high = (end if wall is None else wall for end, wall in zip((-np.inf, np.inf), walls, strict=True))
    at_walls = [wall + distances for wall in walls if wall is not None]
    x = np.unique(np.clip(np.concatenate([law.mean + distances, distances, near, *at_walls]), low, high))
    for _ in range(PASSES):
        y = logs(x)
        if not y.max() < ROUGH:
            return None
        peak = (y[1:-1] >= y[:-2]) & (y[1:-1] >= y[2:]) & (y[1:-1] - np.minimum(y[:-2], y[2:]) > FLAT)
        k = 1 + np.flatnonzero(peak & np.isfinite(y[1:-1]))
        k = np.sort(k[np.argsort(-y[k], kind="stable")[:WELLS]])
        if not len(k):
            break
        left, place, right = _zoom(logs, x[k - 1], x[k + 1])
        weights = logs(place) + np.log(right - left)
        new = [place]
        for well in np.flatnonzero(weights > weights.max() - EMPTY):
            reach, step = x[k[well] + 1] - x[k[well] - 1], right[well] - left[well]
            steps = step * GROWTH ** np.arange(1 + max(0.0, np.log(reach / step) / np.log(GROWTH)))
            new += [place[well] - steps, place[well] + steps]
        size = len(x)
        x = np.unique(np.clip(np.concatenate([x, *new]), low, high))
        if len(x) == size:
            break
    return x


def _zoom(logs: Function, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brackets [n] of the highest points between low and high [n] in which logs hardly changes: low, place, high."""
    low, high = low.copy(), high.copy()
    place, active = 0.5 * (low + high), np.arange(len(low))
    share, rows = np.linspace(0.0, 1.0, 13), np.arange(len(low))
    for _ in range(ROUNDS):
        points = low[active, None] + (high - low)[active, None] * share
        values = logs(points.ravel()).reshape(points.shape)
        best = np.clip(values.argmax(1), 1, len(share) - 2)
        row = rows[: len(active)]
        below, place[active], above = points[row, best - 1], points[row, best], points[row, best + 1]
        around = np.stack([values[row, best - 1], values[row, best], values[row, best + 1]])
        steep = ~(np.ptp(around, axis=0) < FLAT) & (below < place[active]) & (place[active] < above)
        shrunk = (below > low[active]) | (above < high[active])
        wide = steep | (np.ptp(around, axis=0) < FLAT)
        low[active[wide]], high[active[wide]] = below[wide], above[wide]
        active = active[steep & shrunk]
        if not len(active):
            break
    return low, place, high


def _masses(weight: Function, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Integrals [n] of the weight from low to high [n]."""
    half = 0.5 * (high - low)
    nodes = (0.5 * (low + high))[:, None] + half[:, None] * GAUSS[0]
    return half * (weight(nodes.ravel()).reshape(nodes.shape) @ GAUSS[1])


def _resolved(logs: Function, problem: Problem, x: np.ndarray) -> Equilibrium | None:
    """Halve the cells between the points x until each resolves its mass; None where that does not succeed."""
    y, law = logs(x), problem.law
    top = y.max()
    if not abs(top) < ROUGH:
        return None

    def weight(x: np.ndarray) -> np.ndarray:
        return np.exp(logs(x) - top)

    masses, distance = np.maximum(y[1:], y[:-1]) + np.log(np.diff(x)), np.abs(x - law.mean)
    moments = masses + 2 * np.log(np.maximum(distance[1:], distance[:-1]))
    if masses[distance[1:] > FAR / FINE * law.std].max(initial=-np.inf) > masses.max() + np.log(LOST):
        return None
    inside = (masses > masses.max() - EMPTY) | (moments > moments.max() - EMPTY)
    low, high = x[:-1][inside], x[1:][inside]
    mass, active = _masses(weight, low, high), np.ones(len(low), dtype=bool)
    error, rounding = np.zeros(len(low)), 64 * np.finfo(float).eps
    for _ in range(ROUNDS):
        k = np.flatnonzero(active)
        middle = 0.5 * (low[k] + high[k])
        left, right = _masses(weight, low[k], middle), _masses(weight, middle, high[k])
        error[k], mass[k] = np.abs(left + right - mass[k]), left + right
        total, width = mass.sum(), high[k] - low[k]
        places = 0.5 * (low + high) - middle[mass[k].argmax()]
        variance = mass @ places**2 - (mass @ places) ** 2 / total
        tail = np.minimum(np.cumsum(mass), np.cumsum(mass[::-1])[::-1])[k]
        ratio = np.abs(np.log(left / right))  # of the weight in the two halves, which the rounding of x changes, too
        tolerance = np.clip(rounding * (abs(top) + np.abs(middle) * 2 * ratio / width), ERROR, LARGEST_ERROR)
        matters = mass[k] * width**2 > EXACT * variance
        coarse = (error[k] > tolerance * total) | ((error[k] > tolerance * tail) & matters)
        large = (mass[k] > SHARE * total) | (((mass[k] > TAIL_SHARE * tail) | (ratio > RATIO)) & matters)
        again = (coarse | large) & (low[k] < middle) & (middle < high[k])
        active[:] = False
        active[k] = again
        if not again.any():
            break
        repeats = 1 + active
        first = (np.cumsum(repeats) - repeats)[active]  # places of the left halves
        low, high, mass, error, active = (np.repeat(a, repeats) for a in (low, high, mass, error, active))
        high[first], low[first + 1] = middle[again], middle[again]
        mass[first], mass[first + 1] = left[again], right[again]
        if len(low) > CELLS:
            return None
    total = mass.sum()
    if not 0 < total < np.inf or not error.sum() < TOTAL_ERROR * total or mass.max() > 2 * SHARE * total:
        return None
    distance = np.abs(0.5 * (low + high) - law.mean)
    moment, tail = mass * distance**2, np.minimum(np.cumsum(mass), np.cumsum(mass[::-1])[::-1]) / total
    far = distance > FAR / FINE * law.std
    if mass[far].sum() > LOST * total or not moment[far | (tail < SEEN)].sum() <= UNSEEN * moment.sum():
        return None
    return Equilibrium(ByRank.of(problem.base, low, high, mass / total, weight(np.stack([low, high])) / total))
