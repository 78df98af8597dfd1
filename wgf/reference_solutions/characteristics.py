"""Characteristics: the map T(t, .) of particles x' = -V'(t, x), which nothing but a potential moves.

An error is an integral over thousands of particles at many times, and the map is smooth where V is. So the particles at
the Chebyshev points of some cells are followed once, and polynomials say where the others are. Particles in a cell
whose polynomial is not accurate are followed one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import scipy  # its modules are loaded when they are first used
import torch
from torch import Tensor

from wgf.problem.base import Law
from wgf.problem.changes.pace import Pace
from wgf.problem.potential import Potential
from wgf.reference_solutions.trajectory import Trajectory

TOLERANCE, MOST_EVALUATIONS = 1e-13, 6_000  # of V' in one integration; beyond them the characteristics are NaN
POINTS, CELLS, HALVINGS, MOST_ROUGH = 20, 34, 8, 100
WIDEST = 11.5  # of the edges of the first cells on the axis of the standard normal law: 1e-30 of the mass
Cells = tuple[np.ndarray, np.ndarray, np.ndarray]  # left and right ends [n], coefficients of polynomials [n, POINTS]
NOISE = 1e-10  # of positions, in standard deviations of the law
ACCURATE = 1e-14  # of the positions: the last coefficients of a polynomial that is used


@dataclass
class Characteristics:
    """The exact map, by the potential's own formula, else by a Runge-Kutta method of order 8 at rtol 1e-13.

    Args:
        potential: V.
        law: the initial law.
        t_end: the time at which the cells are made small enough.
        pace: how long steps in time may be.
    """

    potential: Potential
    law: Law = field(repr=False)
    t_end: float
    pace: Pace = field(repr=False)
    name = "exact: characteristics"

    @property
    def noise(self) -> float:
        """Roughness of the positions, which each cell and each lone particle integrates by itself (length)."""
        return 0.0 if self.quick else NOISE * self.law.std

    @property
    def quick(self) -> bool:
        return self.potential.characteristic(0.0, torch.zeros(0)) is not None

    def __call__(self, t: float, z: Tensor) -> Tensor:
        known = self.potential.characteristic(t, z)
        if known is not None:
            return known
        if t == 0:
            return z
        return torch.from_numpy(self._table(t, z.detach().cpu().double().numpy())).to(z)

    def reaches(self, t: float) -> bool:
        """Whether the method follows particles up to a time: not where they come to rest at infinite V''."""
        return bool(self(t, torch.tensor([self.law.mean], dtype=torch.float64)).isfinite())

    @cached_property
    def _table(self) -> Table:
        s = np.linspace(-WIDEST, WIDEST, CELLS + 1)
        ranks = torch.from_numpy(scipy.special.ndtr(s)), torch.from_numpy(scipy.special.ndtr(-s))
        edges = np.unique([*self.law.at_rank(*ranks).tolist(), *self.law.reach()])
        return Table(self.potential, self.law, edges[np.isfinite(edges)], self.t_end, self.pace)


class Table:
    """Positions of particles by a polynomial in each cell of their starts.

    Most cells serve all times: their particles are followed from one time to the next. Neither they nor the cells that
    one time needs depend on the times asked for before, so a resumed run finds the same bits.

    Args:
        potential: V.
        law: the initial law.
        edges: of the first cells, increasing [n + 1] (length).
        t_end: the end time.
        pace: how long steps in time may be.
    """

    def __init__(self, potential: Potential, law: Law, edges: np.ndarray, t_end: float, pace: Pace) -> None:
        self._followed = partial(Path, potential, law, pace, t_end)
        k = np.arange(POINTS)
        angles = (k + 0.5) * math.pi / POINTS
        self._points = np.cos(angles)
        self._transform = 2 / POINTS * np.cos(k[:, None] * angles)  # values at the points -> coefficients
        self._transform[0] /= 2
        self._left, self._right, _ = self._refined(
            edges[:-1], edges[1:], self._followed(self._starts(edges[:-1], edges[1:]))(t_end), t_end
        )
        self._path = self._followed(self._starts(self._left, self._right))
        self._cells: tuple[float, Cells] | None = None

    def __call__(self, t: float, z: np.ndarray) -> np.ndarray:
        """Positions [n] at time t > 0 of particles that start at z [n] (length)."""
        if self._cells is None or self._cells[0] != t:
            if t < self._path.since:
                self._path = self._followed(self._starts(self._left, self._right))
            self._cells = t, self._refined(self._left, self._right, self._path(t), t)
        left, right, polynomials = self._cells[1]
        if np.isnan(polynomials).all():  # the integration has failed
            return np.full_like(z, math.nan)
        cell = np.clip(np.searchsorted(left, z, "right") - 1, 0, len(left) - 1)
        place = (2 * z - left[cell] - right[cell]) / (right - left)[cell]
        known = _accurate(polynomials)[cell] & (np.abs(place) <= 1)
        x = np.empty_like(z)
        x[known] = np.polynomial.chebyshev.chebval(place[known], polynomials[cell[known]].T, tensor=False)
        if not known.all():
            x[~known] = self._followed(z[~known])(t)
        return x

    def _starts(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return (0.5 * (left + right)[:, None] + 0.5 * (right - left)[:, None] * self._points).ravel()

    def _refined(self, left: np.ndarray, right: np.ndarray, x: np.ndarray, t: float) -> Cells:
        """Cells, halved where their polynomials are not accurate at time t; x: positions of their particles."""
        c = x.reshape(-1, POINTS) @ self._transform.T
        for _ in range(HALVINGS):
            rough = ~_accurate(c)
            if not rough.any() or rough.all() or rough.sum() > MOST_ROUGH:
                break
            middle = 0.5 * (left + right)[rough]
            low, high = np.concatenate([left[rough], middle]), np.concatenate([middle, right[rough]])
            new = self._followed(self._starts(low, high))(t).reshape(-1, POINTS) @ self._transform.T
            if np.isnan(new).any():
                break
            left, right = np.concatenate([left[~rough], low]), np.concatenate([right[~rough], high])
            c, order = np.concatenate([c[~rough], new]), np.argsort(left)
            left, right, c = left[order], right[order], c[order]
        return left, right, c


def _accurate(c: np.ndarray) -> np.ndarray:
    """Whether polynomials with coefficients c [cells, POINTS] are."""
    with np.errstate(invalid="ignore"):
        return np.abs(c[:, -3:]).max(1) <= ACCURATE * np.abs(c[:, :2]).sum(1)  # false for NaN


class Path:
    """Trajectories of particles that start at some points, integrated as far as a caller asks.

    Their tolerances are relative to the distance from the law's mean, and to its standard deviation.

    Args:
        potential: V.
        law: the initial law.
        pace: how long steps may be.
        t_end: time beyond which V is not looked at unless a caller asks (time).
        z: the points [n] (length).
    """

    def __init__(self, potential: Potential, law: Law, pace: Pace, t_end: float, z: np.ndarray) -> None:
        self._mean, self._std = mean, std = law.mean, law.std

        def velocity(t: float, y: np.ndarray) -> np.ndarray:
            return -potential.at(t).derivative(torch.from_numpy(mean + std * y)).numpy() / std

        self._trajectory = Trajectory(velocity, (z - mean) / std, TOLERANCE, pace, t_end, MOST_EVALUATIONS)

    @property
    def since(self) -> float:
        """Begin of the last step, before which the trajectories are no longer known (time)."""
        return self._trajectory.since

    def __call__(self, t: float) -> np.ndarray:
        """Positions [n] at time t > 0 (length); NaN where the method fails."""
        return self._mean + self._std * self._trajectory(t)
