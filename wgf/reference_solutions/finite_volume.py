"""Reference solutions by another method: finite volumes in x, turned into a map by T = quantile o cdf_p.

Grids of doubling fineness are compared as maps: their differences say how far the finest is from the truth, and
Richardson's extrapolation removes most of that.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.integrate import ode
from scipy.interpolate import PchipInterpolator, PPoly, make_interp_spline

from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.reference_solutions.base import Computed, Unresolved, yardstick
from wgf.reference_solutions.finite_volume_schemes import Central, Grid, Monotone, Scheme, differences

EARLY = np.array([0.01, 0.03, 0.1, 0.3])  # shares of the end time at which the law may be finer than later
TAIL = 1e-12  # mass that may lie outside the domain
LAST = 1e-9  # mass at either end that the integration's tolerances leave no digit of
SCOUT = 200  # cells of the run that finds the domain
SPILL = 1e-10  # mass near an end that shows that the domain is too small
EXTENSIONS = 8
LEVELS = {False: (128, 256, 512, 1024, 2048, 4096), True: (96, 192, 384, 768, 1536)}  # cells; True: coupled
DIP = 1e-5  # W1 distance of what was computed to masses that do not fall, on the third grid: a hopeless case
GOOD = 5e-6  # W1 error with which `Central` is taken without a look at `Monotone`, and either without the last grid
EVALUATIONS, STEPS = 40_000, 8000  # of the field on one grid, between two times
COUPLED = 768  # cells beyond which coupled ones have fewer evaluations: they cost their number squared
CROWD = 0.1  # mass in one cell that shows that a law is not resolved, or no longer there
BISECTIONS = 45
COARSEST, FINEST = 1e-8, 1e-10  # tolerances in time
TAILS = 4  # times the W2 change by tails that begin with ten times the mass that their error may be
FLOOR = 5e-9  # W1 error of the integration in time at the tightest tolerance


Field = Callable[[float, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Volumes:
    """The masses left of the faces of a grid at some times.

    Attributes:
        grid: the faces.
        mass: F [k, N + 1], from 0 to 1 and nowhere falling: no cell is negative.
        dips: W1 distances [k] to what was computed, which may fall where the law is not resolved (length).
        smooth: whether F is a smooth function of s; if not, it is interpolated without overshoot.
    """

    grid: Grid
    mass: np.ndarray
    dips: np.ndarray
    smooth: bool

    def map(self, k: int, law: Base, z: np.ndarray, last: float = LAST) -> np.ndarray:
        """T = quantile o cdf_p at time number k and z [n] (length), linear where less mass than `last` is left."""
        tails = torch.tensor([last, 100 * last], dtype=torch.float64)
        (a, b), (d, c) = law.quantile(tails).numpy(), law.upper_quantile(tails).numpy()
        inside = np.clip(z, a, d)
        with np.errstate(all="ignore"):  # of scipy's interpolation, where the law is flat
            *x, one, two, three, four = self._inverse(k, law, np.append(inside, [a, b, c, d]))
        slopes = np.where(z < a, (two - one) / (b - a), (four - three) / (d - c))
        return np.array(x) + slopes * (z - inside)

    def _inverse(self, k: int, law: Base, z: np.ndarray) -> np.ndarray:
        """The x [n] with as much mass to the left as z [n] has."""
        s, points = self.grid.s, torch.from_numpy(z)
        low, high = law.cdf(points).numpy(), law.survival(points).numpy()
        mass = self.mass[k]
        curve = PPoly.from_spline(make_interp_spline(s, mass, k=5)) if self.smooth else PchipInterpolator(s, mass)
        target = np.where(low < 0.5, low, 1 - high)
        cell = np.clip(np.searchsorted(mass, target, side="right") - 1, 0, len(s) - 2)
        piece = np.clip(np.searchsorted(curve.x, cell + 0.5, side="right") - 1, 0, curve.c.shape[1] - 1)
        weights = curve.c[:, piece]
        below, above = cell - curve.x[piece], cell + 1 - curve.x[piece]
        for _ in range(BISECTIONS):
            middle, value = 0.5 * (below + above), weights[0]
            for weight in weights[1:]:
                value = value * middle + weight
            short = value < target
            below, above = np.where(short, middle, below), np.where(short, above, middle)
        return self.grid.x(curve.x[piece] + 0.5 * (below + above))[0]


@dataclass(frozen=True)
class Reference(Computed):
    """The map of a problem by finite volumes.

    Attributes:
        law: the initial law p.
        coarse, fine: the two finest grids.
        share: the limit is fine + share (fine - coarse).
    """

    name = "finite volumes"

    law: Base
    coarse: Volumes
    fine: Volumes
    share: float

    def map(self, k: int, z: np.ndarray, last: float = LAST) -> np.ndarray:
        """T at time number k and z [n] (length); `last`: see `Volumes.map`."""
        fine = self.fine.map(k, self.law, z, last)
        return fine + self.share * (fine - self.coarse.map(k, self.law, z, last)) if self.share else fine


def solve(problem: Problem, times: Sequence[float]) -> Reference:
    """The map at increasing times > 0.

    Raises:
        ArithmeticError: the solution, or what it needs, is not finite or too stiff.
        NotImplementedError: the problem has a term of its own.
    """
    at = np.array(times, dtype=float)
    with np.errstate(all="ignore"):
        grid = _scout(problem, np.union1d(at, at[-1] * EARLY))
        found: list[Reference] = []
        for kind in (Central, Monotone):
            try:
                found.append(_refine(kind, problem, at, grid))
            except Unresolved:
                continue
            if found[-1].error < GOOD:
                break
    if not found:
        raise Unresolved("the finite volumes do not converge")
    return min(found, key=lambda reference: reference.error)


def _refine(kind: type[Scheme], problem: Problem, times: np.ndarray, grid: Grid) -> Reference:
    """Refine until the goal or the finest level; the two finest grids and the estimate their differences give."""
    law = problem.base  # maps act on the base; only ranks link it to the initial law
    z, w = yardstick(law)
    levels = LEVELS[kind(problem, _with(grid, 16)).dense]
    best: Reference | None = None
    runs: list[Volumes] = []
    maps: list[np.ndarray] = []
    for level, cells in enumerate(levels):
        try:  # time is resolved better on finer grids, so that its errors show in the differences too
            runs.append(_run(kind, problem, times, _with(grid, cells), max(FINEST, COARSEST / 10**level)))
        except Unresolved:
            if runs or level > 1:
                break
            continue  # too coarse: try a finer one
        if level > 1 and runs[-1].dips.max() > DIP:
            raise Unresolved("the scheme oscillates")
        maps.append(np.stack([runs[-1].map(k, law, z) for k in range(len(times))]))
        if len(maps) > 2:
            old, new = maps[-2] - maps[-3], maps[-1] - maps[-2]
            gain = (np.abs(old) @ w).max() / max((np.abs(new) @ w).max(), 1e-300)
            share = 1 / (min(gain, kind.gain) - 1) if gain > 2 else 0.0
            # how far two extrapolations are apart, or two grids where the rate is no rate
            change = (1 + share) * new - share * old if share else 2 * new
            errors = 2 * np.abs(change) @ w + runs[-1].dips + FLOOR
            squares = 2 * (1 + share) * np.sqrt(new**2 @ w) + FLOOR  # coarse tails are wrong by far more than W1 shows
            best = Reference(times, errors, squares, law, runs[-2], runs[-1], share)
            if best.errors.max() < (GOOD if cells == levels[-2] else kind.goal):  # the last grid is for hard cases
                break
    if best is None or not np.isfinite(best.errors).all():
        raise Unresolved("no three grids")
    # no grid sees how wrong straight tails are: by what it changes to begin them earlier
    earlier = np.stack([best.map(k, z) - best.map(k, z, 10 * LAST) for k in range(len(times))])
    return replace(best, w2_errors=best.w2_errors + TAILS * np.sqrt(earlier**2 @ w))


def _with(grid: Grid, cells: int) -> Grid:
    return Grid(grid.low, grid.high, grid.centre, grid.stretch, cells)


def _run(kind: type[Scheme], problem: Problem, times: np.ndarray, grid: Grid, tolerance: float) -> Volumes:
    """F at the times.

    Raises:
        Unresolved: the integration fails, or mass gathers in a point.
    """
    scheme, faces = kind(problem, grid), torch.from_numpy(grid.x(grid.s)[0])
    start = problem.law.cdf(faces).numpy()
    start = (start - start[0]) / (start[-1] - start[0])  # what lies outside is less than TAIL
    left = EVALUATIONS if not scheme.dense else int(EVALUATIONS * min(1.0, (COUPLED / grid.cells) ** 2))
    inner = _integrate(scheme, scheme.bands, start[1:-1], times, tolerance, 0.1 * tolerance, scheme.reach, left)
    raw = np.pad(inner, ((0, 0), (1, 1)))
    raw[:, -1] = 1.0
    if np.diff(raw, axis=1).max() > CROWD:
        raise Unresolved("mass gathers in a point")
    mass = np.maximum.accumulate(np.clip(raw, 0.0, 1.0), axis=1)
    return Volumes(grid, mass, np.abs(mass - raw) @ grid.x(grid.s)[1], kind is Central)


def _integrate(
    function: Field,
    jacobian: Field,
    y: np.ndarray,
    times: np.ndarray,
    relative: float,
    absolute: float,
    reach: int,
    left: int = EVALUATIONS,
) -> np.ndarray:
    """y [n] at the times [k, n], by backward differentiation formulas of variable order.

    Args:
        function, jacobian: of (t, y); the Jacobian by its bands, J[i, j] at [reach + i - j, j].
        y: at t = 0.
        relative, absolute: tolerances.
        reach: bands of the Jacobian on either side.
        left: evaluations of the function that it may cost.
    """

    def counted(t: float, y: np.ndarray) -> np.ndarray:
        nonlocal left
        left -= 1
        return function(t, y) if left > 0 else np.full_like(y, np.nan)

    solver = ode(counted, jacobian)
    tolerances = {"rtol": relative, "atol": absolute, "nsteps": STEPS}
    solver.set_integrator("vode", method="bdf", with_jacobian=True, lband=reach, uband=reach, **tolerances)
    solver.set_initial_value(y, 0.0)
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a failure is told by `successful`
        for t in times:
            rows.append(solver.integrate(t).copy())
            if not solver.successful() or not np.isfinite(rows[-1]).all():
                raise Unresolved(f"the integration stopped before t = {t:g}")
    return np.stack(rows)


def _scout(problem: Problem, times: np.ndarray) -> Grid:
    """The domain that holds all but TAIL of the mass, and where on it the law is finest, by a coarse run."""
    law, u = problem.law, problem.internal
    tail = torch.tensor([TAIL], dtype=torch.float64)
    diffusion = None if u is None else u.power_diffusion()
    spread = 0.05 * law.std if diffusion is None else 7 * math.sqrt(2 * diffusion.coefficient * times[-1])
    ends = np.array([float(law.quantile(tail)), float(law.upper_quantile(tail))]) - law.mean
    low, high = law.mean + np.sign(ends) * np.hypot(ends, spread)
    for _ in range(EXTENSIONS):
        grid = Grid(low, high, law.mean, 100 * (high - low), SCOUT)
        cells = _scout_cells(problem, times, grid)
        left, right = np.cumsum(cells, axis=1), np.cumsum(cells[:, ::-1], axis=1)
        margin, width = SCOUT // 25, high - low
        spill = left[:, margin].max() > SPILL, right[:, margin].max() > SPILL
        if not any(spill):
            break
        low, high = low - 0.3 * width * spill[0], high + 0.3 * width * spill[1]
    else:
        raise Unresolved("the law spreads beyond all bounds")
    for _ in range(2):  # twice: the first pass smears what is much finer than its cells
        grid = _adapted(grid, cells)
        cells = _scout_cells(problem, times, grid)
    return _adapted(grid, cells)


def _adapted(grid: Grid, cells: np.ndarray) -> Grid:
    """The domain without its empty ends, its smallest cells where the density changes fastest. cells: [k, N]."""
    x, left, right = grid.x(grid.s)[0], np.cumsum(cells, axis=1), np.cumsum(cells[:, ::-1], axis=1)
    y, low, high = 0.5 * (x[1:] + x[:-1]), grid.low, grid.high
    inside = ((left > TAIL) & (right[:, ::-1] > TAIL)).any(0)
    edge = 0.03 * (y[inside][-1] - y[inside][0])
    low, high = max(low, y[inside][0] - edge), min(high, y[inside][-1] + edge)
    rho = cells / np.diff(x)
    slope = np.diff(rho, axis=1) / np.diff(y)
    scale = rho.max(1) / np.abs(slope).max(1)  # over which the density changes (length)
    k = int(scale.argmin())
    weight = slope[k] ** 2
    return Grid(low, high, float(weight @ x[1:-1] / weight.sum()), 3 * float(scale[k]), SCOUT)


def _scout_cells(problem: Problem, times: np.ndarray, grid: Grid) -> np.ndarray:
    """Masses of the cells at t = 0 and at the times [1 + k, N], each with the same relative accuracy: for the tails."""
    scheme, law, x = Monotone(problem, grid), problem.law, torch.from_numpy(grid.x(grid.s)[0])

    def velocity(cells: np.ndarray) -> np.ndarray:
        return scheme.velocity(np.cumsum(cells)[:-1])

    def rate(cells: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.diff(scheme.flux(cells, v), prepend=0.0, append=0.0)

    def bands(t: float, cells: np.ndarray) -> np.ndarray:
        v = velocity(cells)
        return differences(lambda bumped: rate(bumped, v), cells, reach)

    start, reach = law.mass(x[:-1], x[1:]).numpy(), scheme.reach + 1
    start = np.maximum(start, 0.0) / start.sum()
    cells = _integrate(lambda _, cells: rate(cells, velocity(cells)), bands, start, times, 1e-5, 1e-14, reach)
    return np.vstack([start, cells])
