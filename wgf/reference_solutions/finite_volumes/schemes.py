"""Fluxes of the finite volumes: what passes the faces of cells in x, for every equation of wgf/problem/equations.py.

The unknowns are the masses F_j left of the faces x_j. A cell holds F_{j+1} - F_j, so the rate of F_j is the flux
through its face and mass is conserved to the last bit:

    dF/dt = v rho + d/dx P(rho),   v = V' + W' * rho,   P = D rho or kappa rho^g,   F = 0 and 1 at the two ends.

The faces are x(s_j), s_j = j, for a smooth x(s); cell j lies between the faces j and j + 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property

import numpy as np
import scipy  # its modules are loaded when they are first used
import torch

from wgf.problem.equations import Problem
from wgf.problem.potential import Potential
from wgf.reference_solutions.base import Grid
from wgf.reference_solutions.finite_volumes.pressure import pressure_of

# central weights of order 8 for F_s and F_ss, and the damping that turns F_s into its upwind difference of order 7
FIRST = np.array([3, -32, 168, -672, 0, 672, -168, 32, -3]) / 840
SECOND = np.array([-9, 128, -1008, 8064, -14350, 8064, -1008, 128, -9]) / 5040
TINY = 1e-100  # a density (mass/length)
CHEAP, COSTLY = 2e-8, 1e-6  # goals of schemes that reach a further digit by few cells, and of those that need many
PIECES = 16, 4  # of a cell for its mean of V, where V rests and where it moves; errors by kinks fall by their square
DAMPING = np.array([-1, 8, -28, 56, -70, 56, -28, 8, -1]) / 280
MIDDLE = np.array([5 / 7168, -49 / 5120, 245 / 3072, -1225 / 1024, 1225 / 1024, -245 / 3072, 49 / 5120, -5 / 7168])


class Scheme(ABC):
    """The system dF/dt = f(F) for F at the inner faces [N - 1].

    Attributes:
        middle: weights [8] of rho dx in the middle of two faces, four on either side.
        gain: by how much halving the cells should reduce the error, at most.
        least: share of the change by the last halving that an error is at least.
        reach: how many neighbours on either side a rate depends on, but for the interaction.
        dense: whether the interaction couples all faces.
    """

    gain: float
    least: float
    reach: int
    middle: np.ndarray

    def __init__(self, problem: Problem, grid: Grid) -> None:
        x, kernel, u = grid.x(grid.s)[0], problem.interaction, problem.internal
        self.pressure = None if u is None else pressure_of(u)
        inner = torch.from_numpy(x[1:-1])
        self.potential, self.grid = problem.potential, grid
        self.drift = self.slopes(problem.potential, grid)  # the part of v that does not depend on the masses, at t = 0
        self.kink, force = kernel.split()
        self.matrix: np.ndarray | None = None
        if force is not None:
            # sum over the middles of the cells: for a smooth law this alternating rule is spectrally accurate, even for
            # the principal value of a kernel 1/r
            middles = torch.from_numpy(grid.x(grid.s[:-1] + 0.5)[0])
            forces, n = force(inner[:, None] - middles).numpy(), grid.cells
            sums = np.zeros((n - 1, n + 7))  # by F at the faces -3, ..., n + 3: cell i uses i - 3, ..., i + 4
            for k, weight in enumerate(self.middle):
                sums[:, k : k + n] += weight * forces
            self.matrix = np.ascontiguousarray(sums[:, 4 : n + 3])
            self.drift = self.drift + sums[:, n + 3 :].sum(1)  # beyond the last face F = 1
        if not np.isfinite(self.drift).all():
            raise FloatingPointError("the velocity is not finite")

    def slopes(self, potential: Potential, grid: Grid) -> np.ndarray:
        """V' at the inner faces [N - 1] (length/time)."""
        return potential.derivative(torch.from_numpy(grid.x(grid.s)[0][1:-1])).numpy().copy()

    @property
    def dense(self) -> bool:
        return self.matrix is not None

    @property
    def affine(self) -> bool:
        """Whether a rate is A F + b with a constant A where the formula of the scheme is."""
        diffuses_linearly = self.pressure is None or self.pressure.linear is not None
        return diffuses_linearly and not self.dense and not self.kink and not self.potential.moves

    @property
    def linear(self) -> bool:
        """Whether a rate is A F + b with a tridiagonal A of real spectrum."""
        return False

    @cached_property
    def operator(self) -> tuple[np.ndarray, np.ndarray]:
        """A, by its bands as those of `bands`, and b [N - 1] of a rate A F + b."""
        zero = np.zeros(self.grid.cells - 1)
        return differences(lambda mass: self.rate(mass, self.drift), zero, self.reach, 1.0), self.rate(zero, self.drift)

    @property
    @abstractmethod
    def goal(self) -> float:
        """W1 error, relative to the width of the law, that is worth no further refinement."""

    @abstractmethod
    def rate(self, mass: np.ndarray, v: np.ndarray) -> np.ndarray:
        """dF/dt [N - 1] at F [N - 1] for the velocities v [N - 1] (length/time)."""

    def drift_at(self, t: float) -> np.ndarray:
        """The part of v that does not depend on the masses, at the time t (length/time)."""
        v, grid = self.potential, self.grid
        return self.drift + (self.slopes(v.at(t), grid) - self._first) if v.moves else self.drift

    @cached_property
    def _first(self) -> np.ndarray:
        """V' at t = 0 [N - 1] (length/time)."""
        return self.slopes(self.potential.at(0.0), self.grid)

    def velocity(self, t: float, mass: np.ndarray) -> np.ndarray:
        """v at the inner faces [N - 1] (length/time)."""
        v = self.drift_at(t) if self.matrix is None else self.drift_at(t) + self.matrix @ mass
        return v + self.kink * (2 * mass - 1) if self.kink else v

    def __call__(self, t: float, mass: np.ndarray) -> np.ndarray:
        return self.rate(mass, self.velocity(t, mass))

    def bands(self, t: float, mass: np.ndarray) -> np.ndarray:
        """The Jacobian within `reach` of its diagonal, J[i, j] at [reach + i - j, j], shape [2 reach + 1, N - 1].

        What the interaction couples beyond is smooth in space, so Newton's method does without it.
        """
        v = self.velocity(t, mass)
        result = differences(lambda bumped: self.rate(bumped, v), mass, self.reach)
        step = 1e-7 * (np.abs(v) + np.abs(v).max()) + TINY
        along = (self.rate(mass, v + step) - self.rate(mass, v)) / step
        n, m = len(mass), self.reach
        result[m] += along * 2 * self.kink
        if self.matrix is not None:
            for k in range(-m, m + 1):  # i - j
                result[m + k, max(-k, 0) : n - max(k, 0)] += (along[:, None] * self.matrix).diagonal(-k)
        return result


def differences(function: Callable[[np.ndarray], np.ndarray], y: np.ndarray, reach: int, h: float = 1e-7) -> np.ndarray:
    """The bands [2 reach + 1, n] of the Jacobian at y [n], column j in [:, j], by differences with y + h."""
    n, width = len(y), 2 * reach + 1
    base, rows, result = function(y), np.arange(n), np.zeros((width, n))
    for color in range(width):
        change = (function(y + h * (rows % width == color)) - base) / h
        columns = rows + (color - rows + reach) % width - reach  # every row sees one column of this colour
        inside = (columns >= 0) & (columns < n)
        result[reach + rows[inside] - columns[inside], columns[inside]] = change[inside]
    return result


def product(bands: np.ndarray, b: np.ndarray | float = 0.0) -> Callable[[float, np.ndarray], np.ndarray]:
    """The function (t, y) -> A y + b of an A by its bands [2 reach + 1, n]."""
    reach, n = len(bands) // 2, bands.shape[1]
    columns, shift = np.asfortranarray(bands), np.zeros(n) + b
    return lambda t, y: scipy.linalg.blas.dgbmv(n, n, reach, reach, 1.0, columns, y, beta=1.0, y=shift)


class Central(Scheme):
    """Differences of order 8, those of the transport turned upwind: for laws that the grid resolves."""

    reach, middle, gain, least, goal = 4, MIDDLE, 256.0, 0.1, CHEAP

    def __init__(self, problem: Problem, grid: Grid) -> None:
        super().__init__(problem, grid)
        _, self.dx, self.ddx = (values[1:-1] for values in grid.x(grid.s))

    def __call__(self, t: float, mass: np.ndarray) -> np.ndarray:
        if not self.affine:
            return super().__call__(t, mass)
        return self._product(t, mass)

    @cached_property
    def _product(self) -> Callable[[float, np.ndarray], np.ndarray]:
        return product(*self.operator)

    def bands(self, t: float, mass: np.ndarray) -> np.ndarray:
        return self.operator[0] if self.affine else super().bands(t, mass)

    def rate(self, mass: np.ndarray, v: np.ndarray) -> np.ndarray:
        padded = np.concatenate([np.zeros(4), mass, np.ones(4)])
        first, second, damping = (np.convolve(padded, w[::-1], "valid") for w in (FIRST, SECOND, DAMPING))
        rate = (v * first + np.abs(v) * damping) / self.dx
        if self.pressure is not None:
            bend = (second - self.ddx / self.dx * first) / self.dx**2  # rho_x
            linear, rho = self.pressure.linear, np.maximum(np.abs(first / self.dx), TINY)
            rate += bend * (self.pressure.derivatives(rho)[1] if linear is None else linear)
        return rate


class Monotone(Scheme):
    """Fluxes of second order that keep every cell positive: for laws with edges, and wherever `Central` oscillates.

    Linear diffusion: Scharfetter and Gummel, exact for a constant flux. Otherwise: Carrillo, Chertock and Huang, "A
    finite-volume method for nonlinear nonlocal equations with a gradient flow structure" (2015): upwind with the
    velocity of the discrete chemical potential, rho limited in the cells.
    """

    reach, middle, gain, least = 3, np.array([0, 0, 0, -1, 1, 0, 0, 0]), 4.0, 1.0

    def __init__(self, problem: Problem, grid: Grid) -> None:
        super().__init__(problem, grid)
        self.width = np.diff(grid.x(grid.s)[0])
        self.gap = np.diff(grid.x(grid.s[:-1] + 0.5)[0])

    def slopes(self, potential: Potential, grid: Grid) -> np.ndarray:
        """Differences of V between cells [N - 1]: a kink costs h^2, where V' at a face costs h."""
        slopes = super().slopes(potential, grid)
        if self.pressure is not None:  # only what diffuses feels the mean of V
            values = means(potential, grid.place(grid.s), PIECES[self.potential.moves])
        else:
            values = potential.value_at(torch.from_numpy(grid.x(grid.s[:-1] + 0.5)[0])).numpy()
        gap = np.diff(grid.x(grid.s[:-1] + 0.5)[0])
        rounding = 8 * np.finfo(float).eps * (np.abs(values[1:]) + np.abs(values[:-1])) / gap
        differences = np.diff(values) / gap
        return np.where(np.abs(differences - slopes) > rounding, differences, slopes)

    def rate(self, mass: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.flux(jumps(mass, 0.0, 1.0), v)

    def flux(self, cells: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The same [N - 1] from the masses of the cells [N], which may be tiny."""
        rho = cells / self.width
        left, right = rho[:-1], rho[1:]
        linear = self._diffusivity(left, right)
        if linear is not None:
            peclet = v * self.gap / linear
            return linear / self.gap * (bernoulli(-peclet) * right - bernoulli(peclet) * left)
        if self.pressure is not None:
            v = v + np.diff(self.pressure.derivatives(np.maximum(rho, TINY))[0]) / self.gap
        jump = jumps(rho, rho[0], rho[-1])
        low, high = np.minimum(jump[:-1], jump[1:]), np.maximum(jump[:-1], jump[1:])
        tilt = 0.5 * (np.maximum(low, 0) + np.minimum(high, 0))  # the flatter one of two slopes of one sign, else 0
        return np.maximum(v, 0) * (right - tilt[1:]) + np.minimum(v, 0) * (left + tilt[:-1])

    @property
    def linear(self) -> bool:
        return self.affine and self.pressure is not None

    @property
    def goal(self) -> float:
        return CHEAP if self.linear else COSTLY

    def _diffusivity(self, left: np.ndarray, right: np.ndarray) -> np.ndarray | float | None:
        """P' at the inner faces where the flux between two cells is that of a linear diffusion, else None."""
        if self.pressure is None:
            return None
        if self.pressure.power is not None:
            return self.pressure.linear
        return np.maximum(self.pressure.derivatives(np.maximum(0.5 * (left + right), TINY))[1], TINY)


def means(potential: Potential, faces: np.ndarray, pieces: int) -> np.ndarray:
    """V in the cells between faces [N + 1] (length), its mean over the middles of so many equal pieces of each [N].

    In the middle of the cell, V lacks q m^2/(2h) of its mean where V' jumps by q at the distance m from the nearer
    face. On two grids this may be the same, which looks like convergence.
    """
    shares = torch.from_numpy((np.arange(pieces) + 0.5) / pieces)
    low, high = torch.from_numpy(faces[:-1, None]), torch.from_numpy(faces[1:, None])
    return potential.value_at((low + shares * (high - low)).flatten()).view(-1, pieces).mean(1).numpy()


def jumps(values: np.ndarray, first: float, last: float) -> np.ndarray:
    """The changes [n + 1] from `first` to each of the values [n] and to `last`."""
    # `np.diff` with ends takes several times as long
    return np.concatenate([[values[0] - first], values[1:] - values[:-1], [last - values[-1]]])


def bernoulli(y: np.ndarray) -> np.ndarray:
    """y / (e^y - 1)."""
    small = np.abs(y) < 1e-4
    safe = np.where(small, 1.0, np.clip(y, -500, 500))
    return np.where(small, 1 - y / 2 + y * y / 12, np.where(y < -500, -y, safe / np.expm1(safe)))
