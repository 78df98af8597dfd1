"""A problem as its judges know it: laws of scipy, potentials and kernels of numpy, from settings and not from wgf."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special, stats

from random_problems import formulas

Function = Callable[[np.ndarray], np.ndarray]
BISECTIONS = 200
NEAR = 1e-3  # distance of the points from which the slope of V is computed, in units of the law


class Sum:
    """A mixture of normal laws."""

    def __init__(self, means: list[float], stds: list[float], weights: list[float]) -> None:
        shares = np.array(weights) / sum(weights)
        self.parts = list(zip(shares, map(stats.norm, means, stds), strict=True))
        self.ends = min(means) - 40 * max(stds), max(means) + 40 * max(stds)
        inside = np.linspace(min(means), max(means), 1001)
        self.gap = inside[np.argmin(sum(share * part.pdf(inside) for share, part in self.parts))]  # least density

    def cdf(self, x: np.ndarray) -> np.ndarray:
        return sum(share * part.cdf(x) for share, part in self.parts)

    def sf(self, x: np.ndarray) -> np.ndarray:
        return sum(share * part.sf(x) for share, part in self.parts)

    def ppf(self, u: np.ndarray) -> np.ndarray:
        return bisected(lambda x: self.cdf(x) < u, *self.ends, len(u))

    def isf(self, u: np.ndarray) -> np.ndarray:
        return bisected(lambda x: self.sf(x) > u, *self.ends, len(u))


class Trapezoids:
    """A density that is linear between points."""

    def __init__(self, x: list[float], density: list[float]) -> None:
        self.x, p = np.array(x), np.array(density)
        masses = 0.5 * np.diff(self.x) * (p[1:] + p[:-1])
        self.p, self.below = p / masses.sum(), np.append(0, np.cumsum(masses)) / masses.sum()

    def cdf(self, x: np.ndarray) -> np.ndarray:
        x = np.clip(x, self.x[0], self.x[-1])
        k = np.clip(np.searchsorted(self.x, x, side="right") - 1, 0, len(self.x) - 2)
        t, slope = x - self.x[k], np.diff(self.p)[k] / np.diff(self.x)[k]
        return np.clip(self.below[k] + t * (self.p[k] + 0.5 * slope * t), 0.0, 1.0)  # rounding may exceed 1

    def sf(self, x: np.ndarray) -> np.ndarray:
        return 1 - self.cdf(x)

    def ppf(self, u: np.ndarray) -> np.ndarray:
        return bisected(lambda x: self.cdf(x) < u, self.x[0], self.x[-1], len(u))

    def isf(self, u: np.ndarray) -> np.ndarray:
        return self.ppf(1 - u)


def bisected(short: Callable[[np.ndarray], np.ndarray], low: float, high: float, n: int) -> np.ndarray:
    """The places [n] up to which `short` holds."""
    below, above = np.full(n, low), np.full(n, high)
    for _ in range(BISECTIONS):
        middle = 0.5 * (below + above)
        left = short(middle)
        below, above = np.where(left, middle, below), np.where(left, above, middle)
    return 0.5 * (below + above)


def barenblatt(exponent: float, t0: float) -> Any:
    """The source solution of rho_t = (rho^g)_xx at the time t0: rho = t^-b (C - k x^2 t^-2b)_+^(1/(g-1))."""
    g = exponent
    k, a = (g - 1) / (2 * g * (g + 1)), g / (g - 1)
    radius = (k ** (1 / (g - 1)) * special.beta(0.5, a)) ** (-(g - 1) / (g + 1)) * t0 ** (1 / (g + 1))
    return stats.beta(a, a, -radius, 2 * radius)


def law_of(settings: dict[str, Any]) -> Any:
    """The initial law as an object of scipy; None for samples."""
    s = {key.removeprefix("law."): value for key, value in settings.items() if key.startswith("law.")}
    match settings["law"]:
        case "gaussian":
            return stats.norm(s["mean"], s["std"])
        case "uniform":
            return stats.uniform(s["low"], s["high"] - s["low"])
        case "laplace":
            return stats.laplace(s["loc"], s["scale"])
        case "semicircle":
            return stats.beta(1.5, 1.5, -s["radius"], 2 * s["radius"])
        case "barenblatt":
            return barenblatt(s["exponent"], s["t0"])
        case "mixture":
            return Sum(s["means"], s["stds"], s["weights"])
        case "student":
            return stats.t(s["df"], s["loc"], s["scale"])
        case "lognormal":
            return stats.lognorm(s["sigma"], s["low"], s["scale"])
        case "gamma":
            return stats.gamma(s["shape"], s["low"], s["scale"])
        case "exponential":
            return stats.expon(s["low"], s["scale"])
        case "beta":
            return stats.beta(s["a"], s["b"], s["low"], s["high"] - s["low"])
        case "truncated_normal":
            low, high = (
                math.nan if s.get(end) is None else (s[end] - s["loc"]) / s["scale"] for end in ("low", "high")
            )
            ends = -math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high
            return stats.truncnorm(*ends, s["loc"], s["scale"])
        case "table":
            return Trapezoids(s["x"], s["density"])
        case "histogram":
            edges, heights = s["edges"], np.array(s["counts"]) / np.diff(s["edges"])
            return Trapezoids(np.repeat(edges, 2)[1:-1].tolist(), np.repeat(heights, 2).tolist())
    return None


@dataclass(frozen=True)
class Posed:
    """A problem.

    Attributes:
        law: with cdf, sf, ppf and isf.
        potential: V of places and the time, vectorised.
        moves: whether V depends on the time.
        diffusion, exponent: of rho_t = diffusion (rho^exponent)_xx; no diffusion: 0.
        kink: kappa of W = kappa |r| + w(r); half the jump of W'.
        force, kernel: w' and w; None for w = 0.
        log: strength of log|r| in W.
        kinks: where V or the law's distribution function is not smooth (length).
    """

    settings: dict[str, Any]
    law: Any
    potential: formulas.Potential
    moves: bool
    diffusion: float
    exponent: float
    kink: float
    force: Function | None
    kernel: Function | None
    log: float
    kinks: np.ndarray

    def slope(self, x: np.ndarray, t: float = 0.0, near: float = NEAR) -> np.ndarray:
        """V' by central differences of fourth order, from points so near (in units of the law)."""
        h = near * self.unit
        v = self.potential
        return (8 * (v(x + h, t) - v(x - h, t)) - (v(x + 2 * h, t) - v(x - 2 * h, t))) / (12 * h)

    @property
    def nearer(self) -> float:
        """Distance of the points of another slope, which differs where V bends or a kink that moves meets particles."""
        return NEAR / 8 if self.moves and len(self.kinks) else NEAR / 2

    @cached_property
    def unit(self) -> float:
        """Distance between the quartiles of the law (length)."""
        u = np.array([0.25])
        return float((self.law.isf(u) - self.law.ppf(u))[0])

    @property
    def seams(self) -> np.ndarray:
        """Kinks, and where between two peaks, or halfway between two samples, there may be hardly any mass (length)."""
        x = np.unique(self.settings.get("samples", []))
        return np.concatenate([self.kinks, 0.5 * (x[1:] + x[:-1]), np.atleast_1d(getattr(self.law, "gap", []))])

    @property
    def edges(self) -> np.ndarray:
        """Where the density of the law jumps or has a kink, as far as the settings say (length)."""
        settings = self.settings
        ends = [settings.get(f"law.{name}") for name in ("low", "high")]
        known = [*settings.get("law.x", []), *settings.get("law.edges", []), *(end for end in ends if end is not None)]
        return np.array(known, dtype=float)

    def quantiles(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Places [n] with these masses on either side."""
        return np.where(left < 0.5, self.law.ppf(left), self.law.isf(right))


def posed(settings: dict[str, Any], law: Any) -> Posed:
    """The problem of some settings. law: of the samples, where the settings have samples."""
    law = law_of(settings) or law
    pde = settings["pde"]
    diffusion = settings.get("pde.diffusion", 0.0)
    kink, force, kernel, log = interaction(settings)
    if pde == "keller_segel":
        log = 2 * settings["pde.chi"]
        force, kernel = (lambda r: log / r), None
    v, kinked = potential(settings)
    quarter = np.array([0.25])
    quartiles = float(law.ppf(quarter)[0]), float(law.isf(quarter)[0])
    bent = corners(v, 0.5 * sum(quartiles), quartiles[1] - quartiles[0]) if kinked else np.empty(0)
    edges = getattr(law, "x", None)
    if edges is None and hasattr(law, "support"):
        edges = [end for end in law.support() if math.isfinite(end)]
    if settings["law"] == "laplace":
        edges = [settings["law.loc"]]
    kinks = np.unique(np.concatenate([np.asarray(edges if edges is not None else [], dtype=float), bent]))
    moves = formulas.moves(settings.get("potential.expr", ""))
    return Posed(settings, law, v, moves, diffusion, settings.get("pde.exponent", 1.0), kink, force, kernel, log, kinks)


def potential(settings: dict[str, Any]) -> tuple[formulas.Potential, bool]:
    """V of places and the time, and whether it may have kinks."""
    c = settings.get("potential.center", 0.0)
    match settings["potential"]:
        case "none":
            return (lambda x, t=0.0: np.zeros_like(x)), False
        case "quadratic":
            return (lambda x, t=0.0: 0.5 * settings["potential.stiffness"] * (x - c) ** 2), False
        case "quartic":
            return (lambda x, t=0.0: (x - c) ** 4 / 4 - (x - c) ** 2 / 2), False
        case "sextic":
            return (lambda x, t=0.0: (x - c) ** 6 / 6), False
        case "table":
            return formulas.table(settings["potential.x"], settings["potential.values"]), False
    return formulas.potential(settings["potential.expr"]), "abs" in settings["potential.expr"]


def corners(v: Function, centre: float, unit: float) -> np.ndarray:
    """Kinks of V within 400 units of the centre: where the jump of V' does not shrink with the distance (length)."""
    places = []
    for h in NEAR * unit * np.array([1.0, 8.0, 64.0]):
        x = centre + h * np.arange(-6000, 6000.5, 0.5)
        bends = np.abs(v(x + h) - 2 * v(x) + v(x - h)) / h
        k = np.arange(4, len(x) - 4)
        sharp = bends[k] > 3 * np.maximum(bends[k - 4], bends[k + 4])
        for place in x[k[sharp & (bends[k] >= bends[k - 1]) & (bends[k] > bends[k + 1])]]:
            places.extend(_corner(v, place, h, unit))
    return np.unique(places)


def _corner(v: Function, place: float, step: float, unit: float) -> Iterator[float]:
    """The kink of V within a step, if there is one."""
    while step > 1e-12 * unit:
        near = place + step * np.linspace(-1, 1, 9)
        place = near[np.argmax(np.abs(v(near + step) - 2 * v(near) + v(near - step)))]
        step *= 0.5
    far, close = (abs(v(place + s) - 2 * v(place) + v(place - s)) / s for s in (1e-4 * unit, 1e-6 * unit))
    if close > max(0.5 * far, 1e-4 * unit):
        yield round(float(place), 6 - math.floor(math.log10(unit)))


def interaction(settings: dict[str, Any]) -> tuple[float, Function | None, Function | None, float]:
    """kappa, w', w and the strength of the logarithm."""
    s = {key.removeprefix("interaction."): value for key, value in settings.items() if key.startswith("interaction.")}
    match settings.get("interaction", "none"):
        case "log":
            return 0.0, (lambda r: s["strength"] / r), None, s["strength"]
        case "newtonian":
            return 0.5 * s["strength"], None, None, 0.0
        case "quadratic":
            return 0.0, (lambda r: s["strength"] * r), (lambda r: 0.5 * s["strength"] * r * r), 0.0
        case "power_law":
            c, a, b = s["strength"], s["attraction"], s["repulsion"]

            def power(r: np.ndarray) -> np.ndarray:
                return c * np.sign(r) * (np.abs(r) ** (a - 1) - (np.abs(r) ** (b - 1) if b > 1 else 0))

            kernel = lambda r: c * (np.abs(r) ** a / a - (np.abs(r) ** b / b if b > 1 else 0))  # noqa: E731
            return (-c if b == 1 else 0.0), power, kernel, 0.0
        case "morse":
            a, b, la, lb = s["attraction"], s["repulsion"], s["attraction_length"], s["repulsion_length"]
            kink = a / la - b / lb

            def waves(r: np.ndarray) -> np.ndarray:
                return b * np.exp(-np.abs(r) / lb) - a * np.exp(-np.abs(r) / la) - kink * np.abs(r)

            def pull(r: np.ndarray) -> np.ndarray:
                d = np.abs(r)
                return np.sign(r) * (-b / lb * np.exp(-d / lb) + a / la * np.exp(-d / la) - kink)

            return kink, pull, waves, 0.0
        case "expression":
            kink, slope, waves = formulas.kernel(s["expr"])
            return kink, slope, waves, 0.0
    return 0.0, None, None, 0.0
