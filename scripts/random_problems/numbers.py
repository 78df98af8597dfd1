"""Every number of a result against its judge.

A verdict says how much of what is allowed a number uses: the error that the result itself states, the error of the
judge, and rounding. A number that uses more than 1 is false.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.interpolate import BSpline
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from random_problems import moving
from random_problems.gibbs import gibbs
from random_problems.judges import Truth, masses, mean_logarithm
from random_problems.problem import Posed
from wgf.flow import Flow

PANELS, ORDER, REACH = 3000, 4, 20.0  # of an integral over ranks, in the coordinate of a normal law
GRADED = np.outer((-1, 1), 0.02 * 4.0 ** -np.arange(10)).ravel()  # cuts beside a place where a map may be singular
PIECES, BULK = 400, 1e-6  # of the base, but for so much mass on either side
CUTS = 4  # pieces of a cell between knots
PAIRS = 601  # ranks of a double integral
LOOKS = 2001  # places in a cell at which slopes are looked at
CLOSE, EXACT = 1e-3, 1e-6  # relative differences that are allowed: of distances, of moments
ENERGY = 1e-4  # of energies, which are those of the run's own quadrature
SHARP = 1.2  # times the stated error of an energy
PLACES = 1e-13  # rounding of places, relative to them: the cells of characteristics have 14 digits
TINY = 1e-16  # mass of which scipy knows no place for some beta laws
ROUNDING = {"float64": 1e-9, "float32": 1e-4}  # in standard deviations


@dataclass(frozen=True)
class Verdict:
    """A number against its judge.

    Attributes:
        number: its name in result.json.
        by: the judge.
        used: share of what is allowed that the difference uses; above 1 the number is false.
        printed, right: the number, and what the judge says.
    """

    number: str
    by: str
    used: float
    printed: float
    right: float


@dataclass(frozen=True)
class Carried:
    """Where a run has its particles of some ranks.

    Attributes:
        left, right, mass: of the particles [n].
        z, x, slope: their starts, places and slopes of the map [n].
        log_p: logarithm of the base's density at z [n].
    """

    left: np.ndarray
    right: np.ndarray
    mass: np.ndarray
    z: np.ndarray
    x: np.ndarray
    slope: np.ndarray
    log_p: np.ndarray

    @classmethod
    def of(cls, flow: Flow, t: float, left: np.ndarray, right: np.ndarray, mass: np.ndarray | None = None) -> Carried:
        z = flow.base.at_rank(torch.from_numpy(left), torch.from_numpy(right))
        x, slope = flow.map(t, z), flow.slope(t, z)
        mass = masses(left, right) if mass is None else mass
        return cls(left, right, mass, z.numpy(), x, slope, flow.base.log_density(z).numpy())

    @classmethod
    def fine(cls, flow: Flow, t: float, law: Any, seams: np.ndarray, panels: int = PANELS) -> Carried:
        """Gauss's rule on equal panels in the coordinate of a normal law, cut where the integrands are not smooth, and
        between equal pieces of the base: where it has a gap, a panel is long.

        Args:
            flow, t: the map.
            law, seams: the initial law, and places where its map may not be smooth [n] (length).
            panels: their number.
        """
        map, theta = flow.state(t)
        knots = map.knots(theta).detach().double().cpu().sort().values
        share = (
            torch.arange(CUTS, dtype=torch.float64)[:, None] / CUTS
        )  # cells between knots may be thinner than panels
        most = flow.base.quantile(torch.tensor([BULK, 1 - BULK], dtype=torch.float64))
        pieces = torch.lerp(most[0], most[1], torch.linspace(0, 1, PIECES + 1, dtype=torch.float64))
        knots = torch.cat([(knots[:-1] + share * knots.diff()).flatten(), knots[-1:], pieces])
        cuts = normal(flow.base.cdf(knots).numpy(), flow.base.survival(knots).numpy())
        singular = (normal(law.cdf(seams), law.sf(seams))[:, None] + GRADED).ravel()
        here = torch.from_numpy(flow.inverse(t, seams))  # kinks of V act where the particles are
        moved = normal(flow.base.cdf(here).numpy(), flow.base.survival(here).numpy())
        cuts = np.clip(np.concatenate([cuts, singular, moved[~np.isnan(moved)]]), -REACH, REACH)
        edges = np.unique(np.concatenate([np.linspace(-REACH, REACH, panels + 1), cuts]))
        nodes, shares = np.polynomial.legendre.leggauss(ORDER)
        middles, halves = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
        s = (middles[:, None] + halves[:, None] * nodes).ravel()
        return cls.of(flow, t, ndtr(s), ndtr(-s), (halves[:, None] * shares).ravel() * norm.pdf(s))

    def w(self, other: np.ndarray, power: int) -> float:
        """Wasserstein distance of other places of the particles."""
        return float((self.mass @ np.abs(self.x - other) ** power) ** (1 / power))


def normal(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Places of a standard normal law with these masses on either side [n]."""
    return np.where(left < 0.5, ndtri(left), -ndtri(right))


class Judge:
    """Judges the result of a completed run.

    Args:
        flow: the run.
        result: content of result.json.
        problem: what it should have solved.
        truth: the true solution at the end, or None.

    Attributes:
        unjudged: why some judges know nothing about this run, by their names.
    """

    def __init__(self, flow: Flow, result: dict[str, Any], problem: Posed, truth: Truth | None) -> None:
        self.flow, self.result, self.problem, self.truth = flow, result, problem, truth
        self.unjudged: dict[str, str] = {} if truth else {"true solution": "no way to it is accurate"}
        self.t = float(flow.t[-1])
        self.at = self._fine(self.t)
        self.std, self.rounding = self._size(self.at.mass, self.at.x)

    def _size(self, mass: np.ndarray, x: np.ndarray) -> tuple[float, float]:
        """The standard deviation of particles [n] and the rounding of their places (length)."""
        mean, rounding = float(mass @ x), ROUNDING[self.problem.settings["dtype"]]
        std = math.sqrt(float(mass @ (x - mean) ** 2))
        return std, rounding * std + PLACES * abs(mean) * (1e9 * rounding)

    def verdicts(self) -> list[Verdict]:
        """All of them."""
        parts = (self.distances, self.references, self.bounds, self.best, self.equilibrium, self.moments, self.energies,
                 self.slopes, self.plain)  # fmt: skip
        return [verdict for part in parts for verdict in part()]

    def _verdict(self, number: str, by: str, right: float, allowed: float) -> Iterator[Verdict]:
        printed = self.result[number]
        if printed is not None:
            yield Verdict(number, by, abs(printed - right) / (allowed + 1e-300), printed, right)

    def distances(self) -> Iterator[Verdict]:
        """The integrals of the errors, by another quadrature; the errors, by the true solution."""
        known = self.flow.reference_solution
        if known is not None and self.result["w2_error"] is not None:
            for q, name in ((1, "w1_error"), (2, "w2_error")):
                right = self._gap(known, self.at, q)
                allowed = CLOSE * right + self.rounding
                if abs(self.result[name] - right) > allowed:
                    right, before = self._gap(known, self.finer, q), right
                    allowed += abs(right - before)
                if math.isfinite(right):
                    yield from self._verdict(name, "quadrature", right, allowed)
        if self.truth is not None and known is not None:
            mine = self._at_truth()
            y = known(self.t, torch.from_numpy(mine.z)).numpy()
            rights, doubts = self.truth.distances(mine.x), self.truth.uncertainty(mine.x)
            stated = self.result["reference_error"] or 0.0, self.result["reference_w2_error"] or 0.0
            for q, name in ((1, "w1_error"), (2, "w2_error")):
                printed, right, doubt = self.result[name], rights[q - 1], doubts[q - 1]
                if printed is None:
                    continue
                hidden = abs(printed - mine.w(y, q))  # in tails that the judge does not see
                allowed = stated[q - 1] + hidden + CLOSE * right + self.rounding
                if doubt < max(allowed, 0.1 * right):
                    yield from self._verdict(name, self.truth.by, right, allowed + doubt)

    def references(self) -> Iterator[Verdict]:
        """The stated error of the reference solution."""
        known = self.flow.reference_solution
        if self.truth is None or known is None:
            return
        y = known(self.t, torch.from_numpy(self._at_truth().z)).numpy()
        names = "reference_error", "reference_w2_error"
        for name, right, doubt in zip(names, self.truth.distances(y), self.truth.uncertainty(y), strict=True):
            stated = self.result[name] or 0.0
            if doubt < max(stated, 0.3 * right):
                used = max(right - doubt, 0.0) / (stated + self.rounding)
                yield Verdict(name, self.truth.by, used, stated, right)
        bound, name = self.result.get("reference_w2_bound"), "reference_w2_bound"
        if bound is not None and doubt < max(bound, 0.3 * right):  # of W2
            used = max(right - doubt, 0.0) / (bound * (1 + CLOSE) + self.rounding)
            yield Verdict(name, self.truth.by, used, bound, right)

    def bounds(self) -> Iterator[Verdict]:
        """Bounds are no less than the error; there is none in a potential that moves."""
        if self.problem.moves:
            for name in moving.STILL:
                if (printed := self.result[name]) is not None:
                    yield Verdict(name, "a potential that moves", 2.0, printed, math.nan)
        names = ("w2_bound", "w2_bound_own")
        if self.truth is not None:
            mine, known = self._at_truth(), self.flow.reference_solution
            right, doubt = self.truth.distances(mine.x)[1], self.truth.uncertainty(mine.x)[1]
            by = self.truth.by
            if known is not None and self.result["w2_error"] is not None:  # what the judge's few particles do not see
                y = known(self.t, torch.from_numpy(mine.z)).numpy()
                doubt += abs(self.result["w2_error"] - mine.w(y, 2))
        elif self.result["w2_error"] is not None:
            right, doubt, by = self.result["w2_error"], self.result["reference_w2_error"] or 0.0, "reference solution"
        else:
            return
        for name in names:
            if (bound := self.result[name]) is not None and doubt < max(bound, 0.3 * right):
                used = max(right - doubt - self.rounding, 0.0) / (bound * (1 + CLOSE) + 1e-300)
                yield Verdict(name, by, used, bound, right)
        convexity = self.result["w2_bound_lambda"]
        if convexity is not None and self.problem.log == 0 and not self.problem.moves:
            size = np.abs(self.at.x).max()  # V'' of a law that is a point is not told by V
            std, h = max(self.std, 1e-5 * size), max(1e-3 * self.std, 1e-6 * size)
            x = self.at.x.mean() + np.linspace(-6, 6, 40001) * std
            v = self.problem.potential
            bends = ((v(x + h) - 2 * v(x) + v(x - h)) / h**2).min()
            least = bends + 1e-5 * (1 + abs(bends)) + 1e-14 * np.abs(v(x)).max() / h**2
            yield Verdict("w2_bound_lambda", "samples of V''", 2.0 if convexity > least else 0.0, convexity, bends)

    def best(self) -> Iterator[Verdict]:
        """The best map by least squares over splines of scipy."""
        best, known = self.result["w2_best"], self.flow.reference_solution
        if best is None or known is None:
            return
        w2 = self.result["w2_error"]
        yield Verdict("w2_best", "W2 error", best / w2 if w2 else 0.0, best, w2)
        space = self.flow.state(self.t)[0].space()
        if space is None or (right := self._least_squares(space, self.at)) is None:
            return
        y = known(self.t, torch.from_numpy(self.at.z)).numpy()
        doubt = CLOSE * (self.result["reference_w2_error"] or 0.0)  # places where the reference may be anything
        allowed = 5 * CLOSE * right + doubt + max(self.rounding, self._size(self.at.mass, y)[1])
        if abs(best - min(right, w2)) > allowed:  # a narrow well moves places of few nodes only
            right, before = self._least_squares(space, self.finer) or right, right
            allowed += abs(right - before)
        yield from self._verdict("w2_best", "least squares", min(right, w2), allowed)

    def _least_squares(self, space: Any, at: Carried) -> float | None:
        """The distance of the known map to the best spline; None where the known map is not finite."""
        y = self.flow.reference_solution(self.t, torch.from_numpy(at.z)).numpy()
        if not np.isfinite(y).all():
            return None
        points, k = space.points.double().numpy(), space.degree
        spline = BSpline(np.concatenate([[points[0]] * k, points, [points[-1]] * k]), np.eye(len(points) + k - 1), k)
        inside = np.clip(at.z, points[0], points[-1])
        margin = 1e-12 * (points[-1] - points[0])  # at the ends a derivative may be that of outside
        near = np.clip(inside, points[0] + margin, points[-1] - margin)
        design = spline(near) + (at.z - inside)[:, None] * spline(near, 1)
        root = np.sqrt(at.mass)[:, None]
        fit = design @ np.linalg.lstsq(root * design, root[:, 0] * y, rcond=1e-13)[0]
        return float(np.sqrt(at.mass @ (y - fit) ** 2))

    def equilibrium(self) -> Iterator[Verdict]:
        """The distance to the Gibbs law, integrated on a grid of its own."""
        printed = self.result["w2_to_equilibrium"]
        if printed is None or (y := gibbs(self.problem, self.at.left, self.at.right)) is None:
            return
        right = self.at.w(y, 2)
        allowed = CLOSE * right + 1e-6 * self.std + self.rounding
        if abs(printed - right) > allowed:  # between two wells places jump inside a panel
            y = gibbs(self.problem, self.finer.left, self.finer.right)
            right, before = self.finer.w(y, 2), right
            allowed += abs(right - before)
        yield from self._verdict("w2_to_equilibrium", "quadrature", right, allowed)

    def moments(self) -> Iterator[Verdict]:
        mass, x = self.at.mass, self.at.x
        square = float(mass @ x**2)
        yield from self._verdict("mass", "quadrature", 1.0, 1e-6)
        yield from self._verdict("mean", "quadrature", float(mass @ x), EXACT * self.std + self.rounding)
        allowed = EXACT * square + self.rounding * (self.std + abs(float(mass @ x)))
        yield from self._verdict("second_moment", "quadrature", square, allowed)
        begin = self._fine(0.0)
        places = self.problem.quantiles(begin.left, begin.right)
        lost = np.isnan(places) & (np.minimum(begin.left, begin.right) < TINY)
        start = begin.w(np.where(lost, begin.x, places), 2)
        std, rounding = self._size(begin.mass, begin.x)
        yield from self._verdict("initial_w2", "quadrature", start, 10 * CLOSE * start + EXACT * std + rounding)
        if self.truth is not None and self.problem.settings["law"] not in ("student", "lognormal"):
            (right, change), doubt = self.truth.second_moment(), self.truth.error
            allowed = 2 * math.sqrt(right) * doubt + doubt**2 + change + 1e-5 * right
            yield from self._verdict("second_moment_law", self.truth.by, right, allowed)

    def energies(self) -> Iterator[Verdict]:
        """Energies of the last map by a fine quadrature; the energy lost, and the work of a potential that moves,
        against that dissipated."""
        if self.problem.settings.get("quadrature") == "monte_carlo":
            self.unjudged["energies"] = "the particles of the run are few and random"
            return
        (last, doubts), (finer, _), (finest, _) = (self._energies(self.t, k * PANELS) for k in (1, 2, 4))
        first, _ = self._energies(0.0)
        scale = sum(map(abs, last.values())) + self.problem.diffusion * self.std ** (1 - self.problem.exponent)
        rounding = 1e4 * ROUNDING[self.problem.settings["dtype"]] * scale * 1e-3
        for name, value in last.items():
            yield from self._verdict(f"energy_{name}", "quadrature", value, ENERGY * scale + rounding + doubts[name])
        if (stated := self.result["energy_error"]) is not None:
            errors = {name: abs(self.result[f"energy_{name}"] - value) for name, value in finest.items()}
            blurred = {k: max(abs(finer[k] - last[k]), abs(finest[k] - finer[k])) for k in finest}  # erratic at layers
            shares = [
                (error - doubts[name] - 4 * blurred[name]) / (SHARP * stated + 1e-3 * rounding + 1e-300)
                for name, error in errors.items()
            ]
            yield Verdict("energy_error", "quadrature", float(np.max([0.0, *shares])), stated, max(errors.values()))
        total, doubt = sum(last.values()), sum(doubts.values())
        yield from self._verdict("energy", "quadrature", total, ENERGY * scale + rounding + doubt)
        lost = sum(first.values()) - total
        gap = self.result["dissipation_gap"]
        if self.problem.moves:
            begin = self._fine(0.0)
            if (found := moving.work(self.flow, self.problem, begin.mass, begin.z)) is None:
                self.unjudged["work"] = "the run cannot be repeated step by step"
                return
            work, size = found
            lost, scale = lost + work, scale + size
            allowed = (gap or 0.0) * abs(lost) + ENERGY * scale + rounding
            yield from self._verdict("work", "quadrature", work, allowed)
        if gap is not None and math.isfinite(lost):
            allowed = gap * abs(lost) * (1 + 1e-3) + ENERGY * scale + rounding + 2 * doubt
            yield from self._verdict("dissipated", "quadrature", lost, allowed)

    def _energies(self, t: float, panels: int = PANELS) -> tuple[dict[str, float], dict[str, float]]:
        """The terms of the energy, and how uncertain those of pairs are."""
        p, at = self.problem, self._fine(t, panels)
        found: dict[str, float] = {}
        inside = at.mass > 0
        mass, x = at.mass[inside], at.x[inside]
        with np.errstate(all="ignore"):
            log_rho = at.log_p[inside] - np.log(at.slope[inside])
        if p.settings["potential"] != "none":
            found["potential"] = float(mass @ p.potential(x, t))
        if p.diffusion:
            g = p.exponent
            name = "entropy" if g == 1 else "power_law"
            values = log_rho if g == 1 else np.exp((g - 1) * log_rho) / (g - 1)
            found[name] = p.diffusion * float(mass @ np.where(np.isfinite(values), values, 0.0))
        doubts = dict.fromkeys(found, 0.0)
        if p.settings.get("interaction") == "quadratic":
            centred = x - float(mass @ x)
            found["interaction"] = 0.5 * p.settings["interaction.strength"] * float(mass @ centred**2)
            doubts["interaction"] = 0.0
        elif p.kink or p.force is not None:
            one, two, other = (self._pairs(t, count) for count in (PAIRS, 2 * PAIRS - 1, 3 * PAIRS // 2))
            value, doubt = two + (two - one) / 3, 3 * max(abs(two - one), abs(two - other))
            if t == self.t and abs(value - self.result["energy_interaction"]) > doubt:
                finer = self._pairs(t, 4 * PAIRS - 3)  # layers and gaps of the law make the order erratic
                value, doubt = finer + (finer - two) / 3, 3 * max(abs(finer - two), abs(finer - one))
            found["interaction"], doubts["interaction"] = value, doubt
        return {key: value for key, value in found.items() if f"energy_{key}" in self.result}, doubts

    def _pairs(self, t: float, count: int) -> float:
        """1/2 int int W by the pairs of cells of equal mass coordinates."""
        p, s = self.problem, np.linspace(-1, 1, count)
        edges = 8 * s + 4 * s**5  # to ranks of 1e-33: the last 1e-16 of a law with heavy tails may hold 1e-3 of it
        ends = Carried.of(self.flow, t, ndtr(edges), ndtr(-edges))
        middles = 0.5 * (edges[1:] + edges[:-1])
        at = Carried.of(self.flow, t, ndtr(middles), ndtr(-middles))
        mass = np.where(ends.left[1:] < 0.5, np.diff(ends.left), -np.diff(ends.right))
        total = p.kink * float(mass @ (at.x * (at.left - at.right)))
        if p.log:
            # rounding may turn edges around that lie beside the end of a law
            return total + 0.5 * p.log * mean_logarithm(np.maximum.accumulate(ends.x), mass)
        r = np.abs(at.x[:, None] - at.x)
        return total + (0.5 * float(mass @ p.kernel(r) @ mass) if p.kernel else 0.0)

    def slopes(self) -> Iterator[Verdict]:
        """No slope between the nodes is negative without a doubt, and the smallest is neither above nor below all."""
        seen = (self.at.left > 1e-11) & (self.at.right > 1e-11)
        least, printed = float(self.at.slope[seen].min()), self.result["min_slope"]
        nearest = min(max(printed, self._least()), least)
        folded = least < -1e-9 and printed > 0
        used = abs(printed - nearest) / (0.1 * abs(nearest) + self.rounding / self.std)
        yield Verdict("min_slope", "samples", 2.0 if folded else used, printed, nearest)

    def _least(self) -> float:
        """The smallest slope at all samples, at places in all cells, and at the edges of the base."""
        saved = self.flow.saved
        map, theta = saved[len(saved.times) - 1]
        edges = [e for e in (map.base.lower, map.base.upper) if math.isfinite(e)]
        knots = sorted(z for z in map.knots(theta.double()).tolist() if map.base.lower < z < map.base.upper)
        beyond = [k + side * map.base.std for k, side in zip(knots[:: max(len(knots) - 1, 1)], (-1, 1), strict=False)]
        cells = itertools.pairwise(sorted({*edges, *knots, *np.clip(beyond, map.base.lower, map.base.upper).tolist()}))
        inside = [np.linspace(a, b, LOOKS + 2)[1:-1] for a, b in cells]
        places = torch.from_numpy(np.concatenate([edges, *inside]).astype(float))
        slopes = map.evaluate(theta.double(), places)[1].tolist() if len(places) else []
        return min([float(self.at.slope.min()), *slopes])

    def plain(self) -> Iterator[Verdict]:
        """Times and counts."""
        result = self.result
        yield from self._verdict("t_end", "setting", self.problem.settings["t_end"], 1e-9 * self.t)
        yield from self._verdict("t_wanted", "setting", self.problem.settings["t_end"], 1e-9 * self.t)
        yield from self._verdict("parameters", "count", self.flow.parameters(self.t).numel(), 0.5)
        latest = result["blow_up_bound"]
        if latest is not None:
            yield Verdict("t_end", "blow-up", 2.0 if latest < self.t * (1 - 1e-6) else 0.0, self.t, latest)

    def _gap(self, known: Any, at: Carried, q: int) -> float:
        """W_q distance to the reference solution."""
        return at.w(known(self.t, torch.from_numpy(at.z)).numpy(), q)

    @cached_property
    def finer(self) -> Carried:
        """The run on four times the panels: tells how far `at` is off where a number seems to be false."""
        return self._fine(self.t, 4 * PANELS)

    def _fine(self, t: float, panels: int = PANELS) -> Carried:
        return Carried.fine(self.flow, t, self.problem.law, self.problem.seams, panels)

    def _at_truth(self) -> Carried:
        return Carried.of(self.flow, self.t, self.truth.left, self.truth.right)
