"""What grids make of the initial law: masses at their faces, and edges that lie within cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.reference_solutions.base import Grid

PARTS, FINER = 32, 8  # of a grid, of which each may hold an edge of the initial law; what finer cells show its share


def at_start(problem: Problem, grid: Grid) -> np.ndarray:
    """F at t = 0 [N + 1]."""
    start = problem.law.cdf(torch.from_numpy(grid.x(grid.s)[0])).numpy()
    return (start - start[0]) / (start[-1] - start[0])  # what lies outside is less than TAIL


def off(problem: Problem, grid: Grid) -> np.ndarray:
    """By how much a grid moves the mean of the initial law, and by which shares each of its parts does [1 + PARTS]
    (length); nothing for a law without edges, kinks and jumps.

    The trapezoid rule shows it: it is exact to all digits for smooth laws. Without diffusion masses move with the
    faces, and none is smeared.
    """
    law = problem.law
    if problem.internal is None or (isinstance(law, Base) and law.is_regular):
        return np.zeros(1)
    below, finer = _below(problem, grid), _below(problem, replace(grid, cells=FINER * grid.cells))
    mean = grid.place(grid.s[-1]) - below[-1] - law.mean
    return np.append(mean, np.diff((below - finer[::FINER])[:: grid.cells // PARTS]))


def _below(problem: Problem, grid: Grid) -> np.ndarray:
    """int F dx up to the faces at t = 0 [N + 1] (length), by the trapezoid rule with its terms at the end."""
    mass, (_, dx, bend) = at_start(problem, grid), grid.x(grid.s)
    sums = np.append(0.0, np.cumsum(0.5 * (mass * dx)[1:] + 0.5 * (mass * dx)[:-1]))
    return sums - (np.gradient(mass) * dx + mass * bend) / 12
