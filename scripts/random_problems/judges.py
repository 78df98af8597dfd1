"""True solutions by ways that share nothing with wgf: closed forms, finite elements, particles of equal mass.

Each is computed on three resolutions; what the last changes the extrapolated limit is the judge's own error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from finite_elements import Diffusion
from lagrangian import positions, ranks
from scipy.integrate import solve_ivp
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from random_problems.problem import NEAR, Posed

POINTS, CELLS, STEPS, PARTICLES = 641, 500, 48, 81
IN_TIME, FINE_IN_TIME = 1e-8, 1e-10  # tolerances of the particles; the coarsest are computed with both
LOOKS = 400  # steps in time that see what a potential does for a short while
EVALUATIONS = 6000  # of the velocities of particles
STEEPEST = 600.0  # range of V/D for which exp(-V/D) of the finite elements is a number
FALL = 1e-9  # of a distribution function, which shows a wrong one
FARTHEST = 1e5  # widths of the initial law within which finite elements solve
MARGIN = 0.02  # share of a domain, at its ends, without mass: a distribution function shows its rounding there
LOST, MOST_LOST = 30.0, 1e-6  # ranks that are unknown, relative to this rounding, and at most
OUTERMOST = 1e-12  # mass beyond which a distribution function has no digits
ADJACENT, NARROW = 8, 1e-6  # cells whose pairs are integrated exactly, unless one is so narrow relative to both


@dataclass(frozen=True)
class Truth:
    """The true solution at one time.

    Attributes:
        left, right: masses on either side of some particles [n].
        mass: of the particles [n].
        x: where they are [n] (length).
        errors: how uncertain that is [n] (length).
        by: the judge.
    """

    left: np.ndarray
    right: np.ndarray
    mass: np.ndarray
    x: np.ndarray
    errors: np.ndarray
    by: str

    @classmethod
    def of(cls, left: np.ndarray, right: np.ndarray, x: np.ndarray, errors: np.ndarray, by: str) -> Truth:
        return cls(left, right, masses(left, right), x, np.abs(errors), by)

    def distances(self, x: np.ndarray) -> tuple[float, float]:
        """W1 and W2 of other places of the particles [n]."""
        gap = np.abs(x - self.x)
        return norm_of(gap, self.mass, 1), norm_of(gap, self.mass, 2)

    def uncertainty(self, x: np.ndarray) -> tuple[float, float]:
        """Errors of these: those of the judge's particles, and what fewer of the particles change."""
        gap, found = np.abs(x - self.x), self.distances(x)
        changes = (max(abs(norm_of(gap[::n], m, q) - found[q - 1]) for n, m in self._fewer()) for q in (1, 2))
        one, two = (norm_of(self.errors, self.mass, q) + change for q, change in enumerate(changes, 1))
        return one, two

    def second_moment(self) -> tuple[float, float]:
        """The second moment, and what fewer of the particles change (length^2)."""
        right = float(self.mass @ self.x**2)
        return right, max(abs(float(m @ self.x[::n] ** 2) - right) for n, m in self._fewer())

    def _fewer(self) -> list[tuple[int, np.ndarray]]:
        """Masses of every second and of every fourth particle: where quantiles jump, half of them may by chance change
        nothing."""
        return [(n, masses(self.left[::n], self.right[::n])) for n in (2, 4)]

    @property
    def error(self) -> float:
        """W2 error of the particles."""
        return norm_of(self.errors, self.mass, 2)


def norm_of(gap: np.ndarray, mass: np.ndarray, q: int) -> float:
    """(int gap^q)^(1/q) by gap >= 0 and masses [n]."""
    return float(mass @ gap**q) ** (1 / q)


def masses(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Weights [n] of an integral over ranks.

    Where the ranks are those of equidistant places of a normal law, the trapezoid rule on that line is accurate to all
    digits for smooth functions.
    """
    s = np.where(left < 0.5, ndtri(left), -ndtri(right))
    steps = np.diff(s)
    if np.ptp(steps) < 1e-6 * abs(steps[0]):
        return norm.pdf(s) * steps.mean()
    cells = np.where(left[1:] < 0.5, np.diff(left), -np.diff(right))
    weights = 0.5 * (np.append(cells, 0) + np.append(0, cells))
    return np.where((left > 0) & (right > 0), weights, 0.0)  # the outermost place carries no mass


def truth(p: Posed, t: float) -> Truth | None:
    """The true solution at t; None where no judge knows it."""
    s = np.linspace(-7, 7, POINTS)
    left, right = ndtr(s), ndtr(-s)
    with np.errstate(all="ignore"):
        if p.diffusion == 0 and p.force is None and not p.kink:
            return _transported(p, t, left, right)
        if not (p.diffusion and p.exponent == 1 and p.force is None and not p.kink):
            return _particles(p, t)
        closed = _driven if p.moves else _ornstein
        return closed(p, t, left, right) or _diffused(p, t, left, right) or _particles(p, t)


def _ornstein(p: Posed, t: float, left: np.ndarray, right: np.ndarray) -> Truth | None:
    settings = p.settings
    if settings["law"] != "gaussian" or settings["potential"] not in ("none", "quadratic"):
        return None
    k, c = settings.get("potential.stiffness", 0.0), settings.get("potential.center", 0.0)
    spread = t if k == 0 else -math.expm1(-2 * k * t) / (2 * k)
    mean = c + (settings["law.mean"] - c) * math.exp(-k * t)
    std = math.sqrt(settings["law.std"] ** 2 * math.exp(-2 * k * t) + 2 * p.diffusion * spread)
    x = np.where(left < 0.5, norm.ppf(left, mean, std), norm.isf(right, mean, std))
    return Truth.of(left, right, x, 1e-13 * (np.abs(x) + std), "closed form")


def _driven(p: Posed, t: float, left: np.ndarray, right: np.ndarray) -> Truth | None:
    """A Gaussian law in a potential of degree 2 that moves: the equations of its mean and its variance."""
    if p.settings["law"] != "gaussian":
        return None
    x = p.settings["law.mean"] + p.unit * np.arange(-9.0, 10.0)
    for now in np.linspace(0, t, 7):
        if np.abs(np.diff(p.potential(x, now), 3)).max() > 1e-9 * np.ptp(p.potential(x, now)):
            return None
    h = p.unit

    def rates(t: float, y: np.ndarray) -> tuple[float, float]:
        below, here, above = p.potential(y[0] + h * np.array([-1.0, 0.0, 1.0]), t)  # exact differences of a parabola
        force, bend = (below - above) / (2 * h), (above - 2 * here + below) / h**2
        return force, 2 * p.diffusion - 2 * bend * y[1]

    start = (p.settings["law.mean"], p.settings["law.std"] ** 2)
    path = solve_ivp(rates, (0, t), start, "DOP853", rtol=1e-12, atol=1e-12 * p.unit**2, max_step=t / LOOKS)
    mean, variance = path.y[:, -1]
    std = math.sqrt(variance)
    x = np.where(left < 0.5, norm.ppf(left, mean, std), norm.isf(right, mean, std))
    return Truth.of(left, right, x, 1e-9 * (np.abs(x) + std), "moments")


def _transported(p: Posed, t: float, left: np.ndarray, right: np.ndarray) -> Truth | None:
    """Characteristics. A particle that reaches a minimum of V at a kink stays there; until then the slope beside the
    kink moves it on. A kink that moves is smoothed."""
    x0 = p.quantiles(left, right)
    beside = 3 * NEAR * p.unit  # differences of V from here do not reach across the kink
    fixed = p.kinks[:0] if p.moves else p.kinks
    traps = fixed[(p.slope(fixed - beside) < 0) & (p.slope(fixed + beside) > 0)]
    place = np.searchsorted(traps, x0)
    low, high = np.append(-np.inf, traps)[place], np.append(traps, np.inf)[place]
    found = []
    for tolerance, near in ((1e-8, NEAR), (1e-11, p.nearer)):
        calls = 0

        def velocity(t: float, x: np.ndarray, near: float = near) -> np.ndarray:
            nonlocal calls
            calls += 1
            inside = np.clip(x, low + beside, high - beside)
            return -p.slope(inside, t, near) if calls < 20 * LOOKS else np.full_like(x, np.nan)

        longest = t / LOOKS if p.moves else np.inf
        path = solve_ivp(
            velocity, (0, t), x0, "DOP853", t_eval=[t], rtol=tolerance, atol=tolerance * p.unit, max_step=longest
        )
        if not path.success:
            return None
        found.append(np.clip(path.y[:, -1], low, high))
    return Truth.of(left, right, found[1], found[1] - found[0], "characteristics")


def _diffused(p: Posed, t: float, left: np.ndarray, right: np.ndarray) -> Truth | None:
    """Finite elements on a domain that holds all mass; V rests during each of the steps if it moves."""
    tiny = np.array([1e-14])
    ends = np.array([p.law.ppf(tiny)[0], p.law.isf(tiny)[0]])
    middle = 0.5 * ends.sum()
    low, high = _drifted(p, t, ends)
    if not high - low < FARTHEST * p.unit:
        return None
    room = 8 * math.sqrt(2 * p.diffusion * t)
    v, times = p.potential, np.linspace(0, t, 9 if p.moves else 1)
    for sign, reach in ((-1, low), (1, high)):  # no farther than diffusion climbs
        x = reach + sign * np.linspace(0, room, 4001)
        rise = np.min([v(x, now) - v(x[:1], now) for now in times], 0)
        steep = np.flatnonzero(rise > 45 * p.diffusion)
        far = x[steep[0]] if len(steep) and (np.diff(rise[steep[0] :]) > 0).all() else x[-1]
        low, high = min(low, far), max(high, far)
    low, high = _drifted(p, t, np.array([low, high]))  # what has climbed a hill falls beyond it
    if not high - low < FARTHEST * p.unit:
        return None
    if max(np.ptp(v(np.linspace(low, high, 4001), now)) for now in times) > STEEPEST * p.diffusion:
        return None
    seams = np.concatenate([p.kinks, p.edges])
    rounding = 1e-6 * (high - low)
    inner = np.unique(seams[(seams > low + rounding) & (seams < high - rounding)])
    breaks = np.concatenate([[low], inner[np.diff(inner, prepend=low) > rounding], [high]])
    seen = (left > OUTERMOST) & (right > OUTERMOST)
    scale = max(p.unit, 0.02 * (high - low))
    equation = Diffusion(v, p.diffusion, breaks, float(np.clip(middle, low, high)), scale)
    for steps in (STEPS,) if p.moves else (1, STEPS):  # the contour integral multiplies rounding in long steps
        found = []
        for level in (1, 2, 4):
            x, count = equation.mesh(CELLS, level), level * steps if steps > 1 else 1
            f = p.law.cdf(x)
            for k in range(count):
                still = replace(equation, potential=partial(v, t=(k + 0.5) * t / count))
                f = still.distribution(f, t / count, x)
            if np.diff(f).min() < -FALL:
                break
            found.append(equation._quantile(f, x, left[seen]))
        else:
            # no mass is near the ends: what is there is rounding, and ranks that are hardly more are unknown
            near = MARGIN * (x[-1] - x[0])
            lost = LOST * max(np.abs(f[x < x[0] + near]).max(), np.abs(1 - f[x > x[-1] - near]).max())
            known = (left[seen] > lost) & (right[seen] > lost)
            if lost < MOST_LOST:
                ranks_known = left[seen][known], right[seen][known]
                return _limit(*ranks_known, [x[known] for x in found], "finite elements")
    return None


def _drifted(p: Posed, t: float, ends: np.ndarray) -> tuple[float, float]:
    """The interval that particles from two ends see while V alone moves them (length)."""
    path = solve_ivp(lambda t, x: -p.slope(x, t), (0, t), ends, "LSODA", rtol=1e-6, atol=1e-6 * p.unit).y
    return float(np.nanmin(path)), float(np.nanmax(path))


def _particles(p: Posed, t: float) -> Truth | None:
    """Particles of equal mass, in units of the law's width."""
    unit, g, left_over = p.unit, p.exponent if p.diffusion else 1.0, EVALUATIONS
    found = []

    def slope(x: np.ndarray, t: float, near: float) -> np.ndarray:
        nonlocal left_over
        left_over -= 1
        return p.slope(unit * x, t, near) / unit if left_over > 0 else np.full_like(x, np.nan)

    force = None if p.force is None else lambda r: p.force(unit * r) / unit
    levels = (0, FINE_IN_TIME, p.nearer), (0, IN_TIME, NEAR), (1, IN_TIME, NEAR), (2, IN_TIME, NEAR)
    for level, tolerance, near in levels:
        left, right = ranks((PARTICLES - 1) * 2**level + 1, g)
        x = p.quantiles(left, right) / unit
        if not np.isfinite(x).all() or np.diff(x).min() < 0 or (p.diffusion and np.diff(x).min() == 0):
            return None
        try:
            terms = {"force": force, "kink": p.kink / unit, "tolerance": tolerance}
            x = positions(x, left, right, t, partial(slope, near=near), p.diffusion / unit ** (g + 1), g, **terms)
        except AssertionError:
            return None
        found.append(unit * x[:: 2**level])
    exact, *found = found
    return _limit(*ranks(PARTICLES, g), found, "particles of equal mass", found[0] - exact)


def _limit(
    left: np.ndarray, right: np.ndarray, found: list[np.ndarray], by: str, in_time: np.ndarray | float = 0.0
) -> Truth:
    """The limit of three resolutions of second order. in_time: error in time [n], the same of all (length)."""
    one, two = (fine + (fine - coarse) / 3 for coarse, fine in pairwise(found))
    return Truth.of(left, right, two, np.abs(two - one) + np.abs(in_time), by)


def mean_logarithm(edges: np.ndarray, mass: np.ndarray) -> float:
    """int int log|x - y| of a law with constant density in cells: exact for near ones, two terms in 1/r for the others.

    Args:
        edges: of the cells [n + 1] (length).
        mass: in the cells [n].
    """
    low, high = edges[:-1], edges[1:]
    width, middle = high - low, 0.5 * (low + high)
    least = np.maximum(0.5 * (width[:, None] + width), 1e-150)  # the square of 1e-150 is a number
    r = np.maximum(np.abs(middle[:, None] - middle), least)  # rounding may move the middles of tiny cells together
    means = np.log(r) - (width[:, None] ** 2 + width**2) / (24 * r * r)
    for k in range(ADJACENT):
        i = np.arange(len(mass) - k)
        a, b, c, d = low[i], high[i], low[i + k], high[i + k]
        wide = np.minimum(b - a, d - c) > NARROW * (d - a)
        whole = _twice(d - a) - _twice(d - b) - _twice(c - a) + _twice(c - b)
        exact = (whole / np.where(wide, (b - a) * (d - c), 1.0))[wide]
        means[i[wide], i[wide] + k] = means[i[wide] + k, i[wide]] = exact
    return float(mass @ means @ mass)


def _twice(r: np.ndarray) -> np.ndarray:
    """The function whose second derivative is log|r|."""
    return 0.5 * r * r * (np.log(np.maximum(np.abs(r), np.finfo(float).tiny)) - 1.5)
