"""Finite volumes on a circle: the fluxes of `Monotone` on equal cells, turned into a map that counts turns.

The unknowns are F_j, the mass between the first particle and the face x_j = j h, so that F_N = F_0 + 1: each changes by
the flux through its face alone. T(t, z) is the point up to which there is as much mass as z/L.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # its modules are loaded when they are first used
import torch

from wgf.problem.equations import Problem
from wgf.problem.potential import Potential
from wgf.reference_solutions.base import Computed, Grid, Unresolved
from wgf.reference_solutions.finite_volumes.evolution import ABSOLUTE, integrate
from wgf.reference_solutions.finite_volumes.pressure import pressure_of
from wgf.reference_solutions.finite_volumes.schemes import PIECES, Monotone, differences, means
from wgf.reference_solutions.unfelt import Points, with_unfelt

LEVELS = {
    False: (128, 256, 512, 1024, 2048),
    True: (64, 128, 256, 512, 1024),
}  # cells; True: an interaction couples them
POINTS = 400  # at which maps are compared
GOAL = 2e-8  # W1 error relative to the length that is worth no further refinement
RATE = 3.0, 5.0  # gains of a halving of the cells with which the limit is extrapolated
LEAST = 0.05  # share of the change by the last halving that an error is at least
HIDDEN = 1e-15  # rise of F in a cell that is rounding
FLOOR, W2_FLOOR = 5e-9, 5e-8  # errors of the integration in time, relative to the length


class Ring(Monotone):
    """The system dF/dt = f(F) at the faces of N equal cells of a circle, in the order 0, N-1, 1, N-2, ..."""

    def __init__(self, problem: Problem, cells: int) -> None:
        length = problem.domain.period
        assert length is not None
        self.pressure = None if problem.internal is None else pressure_of(problem.internal)
        h = length / cells
        self.width = self.gap = np.full(1, h)
        self.faces = torch.arange(cells, dtype=torch.float64) * h
        self.potential, self.grid = problem.potential, Grid(0.0, length, 0.0, length, cells)
        self.drift = self.slopes(problem.potential, self.grid)
        _, force = problem.interaction.split()
        self.matrix = None if force is None else force(self.faces[:, None] - (self.faces + 0.5 * h)).numpy()
        i = np.arange(cells)
        self.place = np.where(2 * i < cells, 2 * i, 2 * (cells - 1 - i) + 1)
        self.order = np.argsort(self.place)

    def slopes(self, potential: Potential, grid: Grid) -> np.ndarray:
        """Differences of V between cells at the faces [N] (length/time)."""
        h = grid.high / grid.cells
        faces = h * np.arange(-1.0, grid.cells + 1)
        return np.diff(means(potential, faces, PIECES[self.potential.moves])) / h

    def _cells(self, mass: np.ndarray) -> np.ndarray:
        return np.diff(mass, append=mass[0] + 1)

    def velocity(self, t: float, mass: np.ndarray) -> np.ndarray:
        drift = self.drift_at(t)
        return drift if self.matrix is None else drift + self.matrix @ self._cells(mass)

    def rate(self, mass: np.ndarray, v: np.ndarray) -> np.ndarray:
        cells = self._cells(mass)
        around = np.concatenate([cells[-2:], cells, cells[:2]])
        return self.flux(around, np.concatenate([v[-1:], v, v[:2]]))[1:-2]

    def __call__(self, t: float, y: np.ndarray) -> np.ndarray:
        mass = y[self.place]
        return self.rate(mass, self.velocity(t, mass))[self.order]

    def bands(self, t: float, y: np.ndarray) -> np.ndarray:
        v = self.velocity(t, y[self.place])
        return differences(lambda bumped: self.rate(bumped[self.place], v)[self.order], y, 2 * self.reach)


@dataclass(frozen=True)
class Turned:
    """Masses F [k, N + 1] up to the faces of equal cells of a circle at some times; the last is the first plus 1.

    Attributes:
        mass: F.
        length: of the circle.
    """

    mass: np.ndarray
    length: float

    @cached_property
    def _positions(self) -> list[scipy.interpolate.PchipInterpolator]:
        """Position by mass, over three turns, for every time (length)."""
        x = np.linspace(0.0, self.length, self.mass.shape[1])[:-1]
        around = np.concatenate([x - self.length, x, x + self.length])
        rows = []
        for row in self.mass:
            mass = np.concatenate([row[:-1] - 1, row[:-1], row[:-1] + 1])
            rising = np.append(True, np.diff(np.maximum.accumulate(mass)) > HIDDEN)  # else slopes are not finite
            rows.append(scipy.interpolate.PchipInterpolator(mass[rising], around[rising]))
        return rows

    def map(self, k: int, z: np.ndarray) -> np.ndarray:
        """T at time number k and z [n] (length)."""
        rank = z / self.length
        turns = np.floor(rank - self.mass[k, 0])
        return self._positions[k](rank - turns) + turns * self.length


@dataclass(frozen=True)
class Around(Computed):
    """The map of a problem on a circle by finite volumes.

    Attributes:
        coarse, fine: the two finest grids.
        share: the limit is fine + share (fine - coarse).
    """

    name = "finite volumes"

    coarse: Turned
    fine: Turned
    share: float

    def map(self, k: int, z: np.ndarray) -> np.ndarray:
        fine = self.fine.map(k, z)
        return fine + self.share * (fine - self.coarse.map(k, z)) if self.share else fine


def solve(problem: Problem, times: Sequence[float]) -> Around:
    """The map at increasing times > 0.

    Raises:
        ArithmeticError: the solution is not finite or too stiff.
        NotImplementedError: the problem has a term of its own.
    """
    at, length = np.array(times, dtype=float), problem.domain.period
    assert length is not None
    z = (np.arange(POINTS) + 0.5) * length / POINTS
    grids: list[Turned] = []
    maps: list[np.ndarray] = []
    best: Around | None = None
    with np.errstate(all="ignore"):
        for cells in LEVELS[not problem.interaction.vanishes]:
            grids.append(_run(problem, at, cells, length))
            maps.append(np.stack([grids[-1].map(k, z) for k in range(len(at))]))
            if len(maps) < 3:
                continue
            old, new = maps[-2] - maps[-3], maps[-1] - maps[-2]
            gain = np.abs(old).mean(1).max() / max(np.abs(new).mean(1).max(), 1e-300)
            share = 1 / 3 if RATE[0] < gain < RATE[1] else 0.0
            change = (1 + share) * new - share * old if share else 2 * new
            w1 = 2 * np.abs(change).mean(1) + LEAST * np.abs(new).mean(1) + FLOOR * length
            w2 = 4 * np.sqrt((new**2).mean(1)) + W2_FLOOR * length
            best = Around(at, w1, w2, grids[-2], grids[-1], share)
            if best.errors.max() < GOAL * length:
                break
    if best is None or not np.isfinite(best.errors).all():
        raise Unresolved("the finite volumes do not converge")
    return best if problem.interaction.split()[1] is None else _felt(problem, best)


def _felt(problem: Problem, found: Around) -> Around:
    """A solution whose errors count what its cells do not feel of the interaction."""
    length, levels = found.fine.length, (found.coarse, found.fine) if found.share else (found.fine,)
    start = [_points(_start(problem, each.mass.shape[1] - 1), length) for each in levels]
    end = [_points(each.mass[-1], length) for each in levels]
    return with_unfelt(found, problem.interaction, (start, end), np.full(len(found.times) + 1, length), found.share)


def _points(mass: np.ndarray, length: float) -> Points:
    """The faces as places, the middles of the cells as the points that they feel. mass: F at the faces [N + 1]."""
    cells = len(mass) - 1
    around = np.concatenate([mass[:-1] - 1, mass[:-1], mass[:-1] + 1, mass[:1] + 2])
    density = scipy.interpolate.make_interp_spline(np.arange(-cells, 2 * cells + 1.0), around, k=5).derivative()
    return Points(lambda s: s * length / cells, density, cells, turns=True)


def _run(problem: Problem, times: np.ndarray, cells: int, length: float) -> Turned:
    """F at the times on a grid."""
    scheme, start, stretches = Ring(problem, cells), _start(problem, cells)[:-1], problem.pace(ABSOLUTE).stretches
    found, _ = integrate(scheme, scheme.bands, start[scheme.order], times, 0.0, ABSOLUTE, 2 * scheme.reach, stretches)
    mass = found[:, scheme.place]
    return Turned(np.hstack([mass, mass[:, :1] + 1]), length)


def _start(problem: Problem, cells: int) -> np.ndarray:
    """F at t = 0 [N + 1]."""
    length = problem.domain.period
    assert length is not None
    start = problem.law.cdf(torch.arange(cells, dtype=torch.float64) * (length / cells)).numpy()
    return np.append(start, start[0] + 1)
