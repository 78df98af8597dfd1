"""Range and grid of the finite volumes, found by a coarse run.

The range ends at the walls of the problem; where there is none, it reaches as far as there is mass.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from wgf.problem.base import Law
from wgf.problem.domain import Domain
from wgf.problem.equations import Problem
from wgf.problem.laws import Barenblatt
from wgf.reference_solutions.base import Grid, Unresolved
from wgf.reference_solutions.finite_volumes.evolution import evolved, integrate
from wgf.reference_solutions.finite_volumes.schemes import Monotone, differences, jumps, product

SEEN = np.array([0.01, 0.03, 0.1, 0.3, 0.6, 1.0])  # shares of the end time at which the coarse run looks at the law
TAIL = 1e-12  # mass that may lie outside the range
SCOUT = 200  # cells of the run that finds the range
SPILL = 1e-10  # mass near an open end that shows that the range is too small
EXTENSIONS = 8
FULL = 1e-7  # mass in an outermost cell at an open end that shows that the adapted range is too small
EMPTY = 1e-14  # mass of a cell that counts as none in the coarse run


def scout(problem: Problem, times: np.ndarray, early: bool = True) -> Grid:
    """The range that holds all but TAIL of the mass, and where on it the law is finest, by a coarse run.

    Args:
        early: whether the finest place counts at all times, or only at the last one.
    """
    law = problem.law
    tail = torch.tensor([TAIL], dtype=torch.float64)
    ends = np.array([float(law.quantile(tail)), float(law.upper_quantile(tail))]) - law.mean
    low, high = law.mean + np.sign(ends) * _reach(problem, np.abs(ends), times[-1])
    walls = problem.domain.walls
    low, high = (end if wall is None else wall for end, wall in zip((low, high), walls, strict=True))
    for _ in range(EXTENSIONS):
        grid = Grid(low, high, law.mean, 100 * (high - low), SCOUT)
        cells = _scout_cells(problem, times, grid)
        left, right = np.cumsum(cells, axis=1), np.cumsum(cells[:, ::-1], axis=1)
        margin, width = SCOUT // 25, high - low
        spill = walls[0] is None and left[:, margin].max() > SPILL, walls[1] is None and right[:, margin].max() > SPILL
        if not any(spill):
            break
        low, high = low - 0.3 * width * spill[0], high + 0.3 * width * spill[1]
    else:
        raise Unresolved("the law spreads beyond all bounds")
    for _ in range(2):  # twice: the first pass smears what is much finer than its cells
        grid = _adapted(grid, cells, law, problem.domain, early)
        for _ in range(EXTENSIONS):
            cells = _scout_cells(problem, times, grid)
            if not any(full := crowded(cells, problem.domain)):
                break
            grid = widened(grid, full)
    return _adapted(grid, cells, law, problem.domain, early)


def _reach(problem: Problem, ends: np.ndarray, t: float) -> np.ndarray:
    """Distances from the law's mean [2] that its tails at the distances `ends` [2] reach by the time t (length)."""
    u, v = problem.internal, problem.potential.parabola()
    diffusion = None if u is None else u.power_diffusion()
    if diffusion is None:
        return np.hypot(ends, 0.05 * problem.law.std)
    kappa, g = diffusion
    normal = 7 * math.sqrt(2 * kappa * problem.law.std ** (1 - g) * t)  # diffusivity at densities like the law's
    if g == 1:
        return np.hypot(ends, normal)
    if v is not None and v.stiffness > 0:  # a source solution in this potential stops spreading
        t = min(t, 1 / ((g + 1) * v.stiffness))
    return np.hypot(ends, min(normal, 3 * Barenblatt(g, kappa * t).radius))


def crowded(cells: np.ndarray, domain: Domain) -> tuple[bool, bool]:
    """Whether the outermost cells at the open ends hold mass at any time. cells: masses [k, N]."""
    left, right = (wall is None for wall in domain.walls)
    return left and bool(cells[:, 0].max() > FULL), right and bool(cells[:, -1].max() > FULL)


def widened(grid: Grid, ends: tuple[bool, bool]) -> Grid:
    """The grid with more room beyond these ends, its smallest cells where they were."""
    room = 0.3 * (grid.high - grid.low)
    return Grid(grid.low - room * ends[0], grid.high + room * ends[1], grid.centre, grid.stretch, grid.cells)


def _adapted(grid: Grid, cells: np.ndarray, law: Law, domain: Domain, early: bool) -> Grid:
    """The range without its empty open ends, its smallest cells where the density changes fastest. cells: [k, N].

    What the coarse run knows has its errors, which rounding decides, so its numbers are rounded to a few, counted from
    the law's mean in its standard deviations: the grid is the same in other units, shifted and reflected.
    """
    x, (left_wall, right_wall) = grid.x(grid.s)[0], domain.walls
    low = min(_tail(x[1:], np.cumsum(masses)) for masses in cells)
    high = max(-_tail(-x[-2::-1], np.cumsum(masses[::-1])) for masses in cells)
    mean, std, edge = law.mean, law.std, 0.03 * (high - low)
    step = std * 2.0 ** (np.floor(np.log2((high - low) / std)) - 5)
    low = max(grid.low, mean + step * np.floor((low - edge - mean) / step)) if left_wall is None else grid.low
    high = min(grid.high, mean + step * np.ceil((high + edge - mean) / step)) if right_wall is None else grid.high
    rho, y = (cells if early else cells[-1:]) / np.diff(x), 0.5 * (x[1:] + x[:-1])
    slope = np.diff(rho, axis=1) / np.diff(y)
    scale = rho.max(1) / np.abs(slope).max(1)  # over which the density changes (length)
    k = int(scale.argmin())
    stretch = std * 2.0 ** (np.round(4 * np.log2(3 * scale[k] / std)) / 4)
    weight = slope[k] ** 2
    offset = weight @ (x[1:-1] - mean) / weight.sum()
    return Grid(low, high, mean + 0.125 * stretch * np.round(8 * offset / stretch), stretch, SCOUT)


def _tail(x: np.ndarray, mass: np.ndarray) -> float:
    """Where there is a mass TAIL on the left (length); `mass` [n] is that on the left of x [n]."""
    return float(np.interp(math.log(TAIL), np.log(np.maximum(np.maximum.accumulate(mass), 1e-300)), x))


def _scout_cells(problem: Problem, times: np.ndarray, grid: Grid) -> np.ndarray:
    """Masses of the cells at t = 0 and at the times [1 + k, N], each with the same relative accuracy: for the tails."""
    scheme, law, x = Monotone(problem, grid), problem.law, torch.from_numpy(grid.x(grid.s)[0])

    def velocity(t: float, cells: np.ndarray) -> np.ndarray:
        return scheme.velocity(t, np.cumsum(cells)[:-1])

    def rate(cells: np.ndarray, v: np.ndarray) -> np.ndarray:
        return jumps(scheme.flux(cells, v), 0.0, 0.0)

    def bands(t: float, cells: np.ndarray) -> np.ndarray:
        v = velocity(t, cells)
        return differences(lambda bumped: rate(bumped, v), cells, reach)

    start, reach = law.mass(x[:-1], x[1:]).numpy(), 1 if scheme.linear else scheme.reach + 1
    start = np.maximum(start, 0.0) / start.sum()
    function, jacobian = lambda t, cells: rate(cells, velocity(t, cells)), bands
    if scheme.linear:
        columns = differences(lambda cells: rate(cells, scheme.drift), np.zeros(grid.cells), reach, 1.0)
        exact = evolved(columns, np.zeros(grid.cells), start, times)
        if exact.min() > -EMPTY:  # else A is far from normal: the contour integral multiplies rounding
            return np.vstack([start, exact])
        function, jacobian = product(columns), lambda t, cells: columns
    found, _ = integrate(function, jacobian, start, times, 1e-5, EMPTY, reach, problem.pace(1e-5).stretches)
    return np.vstack([start, found])
