"""Finite volumes tuned by hand for each problem: the time that wgf has to beat.

The unknown is the mass left of each cell edge, F(t, x_j) = ∫_{x < x_j} rho dx. Its differences are the cell masses, and
its time derivative is the flux through the edge:

    F_t = (V' + W' * rho) F_x + D g F_x^(g-1) F_xx.

Every discretisation of it conserves mass; central differences of F equal the fluxes of the same order that are computed
from cell averages. On a grid x(s), s = 0, 1, 2, ...:

    F_x = F_s / x',   F_xx = F_ss / x'^2 - x'' F_s / x'^3

What makes it fast:

- The grid is uniform, or x = centre + stretch sinh(s) if the law contracts into a narrow place.
- V' F_x can be an upwind difference of one order less, which damps the waves behind a fast drift.
- W' * rho, W = 2 chi log|x|, is the midpoint rule with nodes halfway between the edges: spectrally accurate, no pole.
- Jacobians are banded and in closed form, with W' * rho frozen; BLAS multiplies band and vector; LSODA and VODE's BDF
  are called directly.
- Order, ends, number of cells, tolerance and first step are the fastest of a search for each error.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from competitor import Competitor, inverse
from problems import KELLER_SEGEL, POROUS, QUARTIC, SEXTIC, Map, Problem
from scipy.integrate import ode, odeint
from scipy.interpolate import make_interp_spline
from scipy.linalg.blas import dgbmv
from scipy.special import ndtr

TAIL = 0.5  # length over which the mass beyond an end of the domain is spread inside
STEPS = 20_000  # most steps of an integrator

# order: weights of F_s halfway between two edges
MIDDLE = {
    4: np.array([1, -27, 27, -1]) / 24,
    6: np.array([-9, 125, -2250, 2250, -125, 9]) / 1920,
    8: np.array([75, -1029, 8575, -128625, 128625, -8575, 1029, -75]) / 107520,
}
# order: central weights of F_s, of F_ss, and the damping that turns F_s into its upwind difference of order one less
STENCILS = {
    4: (
        np.array([1, -8, 0, 8, -1]) / 12,
        np.array([-1, 16, -30, 16, -1]) / 12,
        np.array([-1, 4, -6, 4, -1]) / 12,
    ),
    6: (
        np.array([-1, 9, -45, 0, 45, -9, 1]) / 60,
        np.array([2, -27, 270, -490, 270, -27, 2]) / 180,
        np.array([1, -6, 15, -20, 15, -6, 1]) / 60,
    ),
    8: (
        np.array([3, -32, 168, -672, 0, 672, -168, 32, -3]) / 840,
        np.array([-9, 128, -1008, 8064, -14350, 8064, -1008, 128, -9]) / 5040,
        np.array([-1, 8, -28, 56, -70, 56, -28, 8, -1]) / 280,
    ),
}


@dataclass(frozen=True)
class Settings:
    """Grid, scheme and tolerance.

    Attributes:
        low, high: ends of the domain (length).
        cells: number of cells N.
        order: of the central differences, 4, 6 or 8.
        upwind: 0 for a central V' F_x, 1 for a fully upwind one.
        centre, stretch: the grid is x = centre + stretch sinh(s) (length); stretch = inf is the uniform grid.
        integrator: lsoda (odeint) or vode (its BDF).
        tolerance: relative and absolute, of a mass in (0, 1).
        first: how many first steps the whole time would take; 0 for the first step that the integrator chooses.
    """

    low: float
    high: float
    cells: int
    order: Literal[4, 6, 8] = 4
    upwind: float = 0.0
    centre: float = 0.0
    stretch: float = np.inf
    integrator: Literal["lsoda", "vode"] = "lsoda"
    tolerance: float = 1e-7
    first: float = 0.0

    def grid(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The edges x, x' and x'' [N + 1] (length) at s = 0, ..., N."""
        if self.stretch == np.inf:
            h = (self.high - self.low) / self.cells
            edges = np.linspace(self.low, self.high, self.cells + 1)
            return edges, np.full_like(edges, h), np.zeros_like(edges)
        first, last = np.arcsinh((np.array([self.low, self.high]) - self.centre) / self.stretch)
        s, h = np.linspace(first, last, self.cells + 1), (last - first) / self.cells
        sinh, cosh = self.stretch * np.sinh(s), self.stretch * np.cosh(s)
        return self.centre + sinh, cosh * h, sinh * h**2


@dataclass(frozen=True)
class Banded:
    """F -> A F + b on the inner edges [n], A with m bands on either side of the diagonal.

    Attributes:
        bands: A[i, j] at [m + i - j, j], of shape [2m + 1, n], in Fortran order.
        offset: b [n], the contribution of F = 1 right of the domain; left of it F = 0.
    """

    bands: np.ndarray
    offset: np.ndarray

    @classmethod
    def from_rows(cls, rows: np.ndarray) -> "Banded":
        """Build A and b from rows [n, 2m + 1]: rows[i, k] is the weight of F at edge i + k - m."""
        n, m = len(rows), rows.shape[1] // 2
        bands, offset, i = np.zeros((2 * m + 1, n), order="F"), np.zeros(n), np.arange(n)
        for k in range(2 * m + 1):
            j = i + k - m
            inside = (j >= 0) & (j < n)
            bands[2 * m - k, j[inside]] = rows[inside, k]
            offset[j >= n] += rows[j >= n, k]
        return cls(bands, offset)

    def __call__(self, mass: np.ndarray) -> np.ndarray:
        """A F + b [n] at F [n]."""
        n, m = len(mass), len(self.bands) // 2
        return dgbmv(n, n, m, m, 1.0, self.bands, mass, beta=1.0, y=self.offset)

    def scaled(self, factor: np.ndarray) -> np.ndarray:
        """The bands [2m + 1, n] of diag(factor) A, factor [n]: row i = j + k - m of the matrix is at [k, j]."""
        m = len(self.bands) // 2
        padded = np.zeros(len(factor) + 2 * m)
        padded[m : m + len(factor)] = factor
        return np.lib.stride_tricks.sliding_window_view(padded, len(factor)) * self.bands


Field = Callable[[float, np.ndarray], np.ndarray]


def fokker_planck_field(problem: Problem, settings: Settings) -> tuple[Field, Field]:
    """F_t = V' F_x + D F_xx [N - 1] and its Jacobian's bands [2m + 1, N - 1], both functions of (t, F)."""
    first, second, damping = STENCILS[settings.order]
    x, dx, ddx = (values[1:-1, None] for values in settings.grid())
    speed = -problem.diffusion * ddx / dx**3
    if problem.derivative is not None:
        speed = speed + problem.derivative(x) / dx
    rows = speed * first + settings.upwind * np.abs(speed) * damping + problem.diffusion / dx**2 * second
    matrix = Banded.from_rows(rows)
    return lambda t, mass: matrix(mass), lambda t, mass: matrix.bands


def porous_medium_field(problem: Problem, settings: Settings) -> tuple[Field, Field]:
    """F_t = D g F_x^(g-1) F_xx [N - 1] and its Jacobian's bands [2m + 1, N - 1], both functions of (t, F)."""
    if problem.derivative is not None:
        raise ValueError("the porous medium with a potential is not implemented: expected derivative=None")
    first, second, _ = STENCILS[settings.order]
    _, dx, ddx = (values[1:-1, None] for values in settings.grid())
    g = problem.exponent
    slope = Banded.from_rows(first / dx)
    curvature = Banded.from_rows(problem.diffusion * g * (second / dx**2 - ddx / dx**3 * first))

    def field(t: float, mass: np.ndarray) -> np.ndarray:
        density = slope(mass)
        return (density if g == 2 else np.abs(density) ** (g - 1)) * curvature(mass)

    def jacobian(t: float, mass: np.ndarray) -> np.ndarray:
        density, across = slope(mass), curvature(mass)
        if g != 2:  # in the far tails the error of the scheme can make the density negative
            size = np.abs(density)
            density, across = size ** (g - 1), (g - 1) * size ** (g - 2) * np.sign(density) * across
        return slope.scaled(across) + curvature.scaled(density)

    return field, jacobian


def keller_segel_field(problem: Problem, settings: Settings) -> tuple[Field, Field]:
    """F_t = (W' * rho) F_x + D F_xx [N - 1] and the bands [2m + 1, N - 1] of its Jacobian for a given W' * rho."""
    first, second, _ = STENCILS[settings.order]
    x, dx, ddx = settings.grid()
    inner, dx, ddx = x[1:-1], dx[1:-1, None], ddx[1:-1, None]
    slope = Banded.from_rows(first / dx)
    curvature = Banded.from_rows(problem.diffusion * (second / dx**2 - ddx / dx**3 * first))
    weights, n = MIDDLE[settings.order], settings.cells
    reach = len(weights) // 2
    masses = np.zeros((n, n + 2 * reach - 1))  # of the cells, from F at the edges 1 - reach, ..., n + reach - 1
    for k, weight in enumerate(weights):
        masses[np.arange(n), np.arange(n) + k] = weight
    s = make_interp_spline(np.arange(n + 1.0), x, k=5)(np.arange(n) + 0.5)
    sums = 2 * problem.chi / (inner[:, None] - s) @ masses
    matrix, constant = np.ascontiguousarray(sums[:, reach : reach + n - 1]), sums[:, reach + n - 1 :].sum(1)

    def field(t: float, mass: np.ndarray) -> np.ndarray:
        return (matrix @ mass + constant) * slope(mass) + curvature(mass)

    def jacobian(t: float, mass: np.ndarray) -> np.ndarray:
        return slope.scaled(matrix @ mass + constant) + curvature.bands

    return field, jacobian


def initial_mass(edges: np.ndarray) -> np.ndarray:
    """F(0) [N + 1] of N(0, 1) at the edges [N + 1]; the mass beyond an end is moved smoothly to just inside it."""
    low, high = edges[0], edges[-1]
    left = ndtr(low) * np.exp(-(((edges - low) / TAIL) ** 2))
    right = ndtr(-high) * np.exp(-(((edges - high) / TAIL) ** 2))
    return ndtr(edges) - left + right


def integrate(field: Field, jacobian: Field, start: np.ndarray, t_end: float, settings: Settings) -> np.ndarray:
    """Integrate from F(0) = start [n] to F(t_end) [n]."""
    tolerance, m = settings.tolerance, settings.order // 2
    first = t_end / settings.first if settings.first else 0.0
    if settings.integrator == "lsoda":
        options = {"Dfun": jacobian, "ml": m, "mu": m, "mxstep": STEPS, "h0": first}
        return odeint(field, start, [0.0, t_end], rtol=tolerance, atol=tolerance, tfirst=True, **options)[-1]
    options = {"method": "bdf", "with_jacobian": True, "lband": m, "uband": m, "nsteps": STEPS, "first_step": first}
    solver = ode(field, jacobian).set_integrator("vode", rtol=tolerance, atol=tolerance, **options)
    return solver.set_initial_value(start, 0.0).integrate(t_end)


def run(problem: Problem, settings: Settings) -> Map:
    """Compute the map at t_end, T = quantile o cdf_p.

    The cdf is exact at the edges up to the error of F; between the edges F and the grid are quintic splines in s,
    errors O(h^6).
    """
    edges, cells = settings.grid()[0], settings.cells
    build = keller_segel_field if problem.chi else fokker_planck_field if problem.exponent == 1 else porous_medium_field
    inner = integrate(*build(problem, settings), initial_mass(edges)[1:-1], problem.t_end, settings)
    mass = np.concatenate([[0.0], inner, [1.0]])

    def map(z: np.ndarray) -> np.ndarray:
        s, target = np.arange(cells + 1.0), ndtr(z)
        cdf, grid = make_interp_spline(s, mass, k=5), make_interp_spline(s, edges, k=5)
        cell = np.searchsorted(np.maximum.accumulate(mass), target, side="right") - 1
        below = np.clip(cell, 0, cells - 1).astype(float)
        return grid(inverse(cdf, target, below, below + 1))

    return map


# for each error the fastest of some thousand random settings, see `search.py`
LADDER = {
    QUARTIC: [
        Settings(-6.76, 5.76, 19, 4, 1.0, stretch=1, integrator="vode", tolerance=2.2e-2),
        Settings(-6.76, 4.44, 25, 4, 1.0, stretch=1, integrator="vode", tolerance=1.8e-3),
        Settings(-5.65, 4.85, 40, 8, integrator="vode", tolerance=1e-4),
        Settings(-6.04, 5.49, 162, 8, 1.0, stretch=3, integrator="vode", tolerance=4.3e-9),
        Settings(-6.9, 5.8, 22, 4, 1.0, stretch=1, integrator="vode", tolerance=1.5e-2),
        Settings(-7.3, 4.85, 29, 4, 1.0, stretch=1, integrator="vode", tolerance=1.5e-3),
        Settings(-5.38, 5.03, 42, 8, integrator="vode", tolerance=1.2e-4),
        Settings(-4.42, 4.46, 73, 6, integrator="vode", tolerance=1.1e-5),
        Settings(-5.85, 5.18, 97, 8, 1.0, stretch=1, integrator="vode", tolerance=1.8e-6),
        Settings(-5.7, 5.7, 189, 8, 1.0, stretch=3, integrator="vode", tolerance=2.6e-9),
        Settings(-5.53, 6.63, 245, 8, 1.0, stretch=3, tolerance=1.1e-10),
        Settings(-6.3, 5.5, 40, 4, 1.0, stretch=1, integrator="vode", tolerance=9.5e-5),
        Settings(-5.4, 5.4, 44, 8, integrator="vode", tolerance=5.6e-5),
        Settings(-4.5, 4.2, 52, 8, integrator="vode", tolerance=1.1e-5),
        Settings(-5.4, 4.9, 84, 8, 1.0, stretch=1, integrator="vode", tolerance=9e-7),
        Settings(-5, 5.1, 104, 8, 1.0, stretch=1, integrator="vode", tolerance=1.8e-6),
        Settings(-5.9, 5.2, 130, 8, 1.0, stretch=1, integrator="vode", tolerance=9.2e-8),
        Settings(-5.75, 5.75, 220, 8, 1.0, stretch=3, integrator="vode", tolerance=2.6e-9),
        Settings(-5.7, 6.1, 268, 8, 1.0, stretch=3, tolerance=3.8e-11),
        Settings(-5.456, 5.0, 42, 8, integrator="vode", tolerance=4.43e-4, first=16.1),
        Settings(-5.384, 5.637, 265, 8, 1.0, integrator="vode", tolerance=1.59e-10),
        Settings(-5.706, 6.314, 227, 8, stretch=3, integrator="vode", tolerance=3.6e-11),
    ],
    SEXTIC: [
        Settings(-5.89, 5.86, 18, 4, 1.0, 0.05, 0.3, "vode", 1e-2),
        Settings(-5.09, 5.08, 37, 4, 1.0, 0.05, 0.3, "vode", 6.5e-4),
        Settings(-4.24, 6.52, 117, 8, 1.0, 0.05, 0.2, tolerance=1.2e-7),
        Settings(-5.03, 6.32, 236, 8, 1.0, 0.05, 0.3, "vode", 4.6e-10),
        Settings(-5.92, 5.55, 32, 4, 1.0, 0.05, 0.3, "vode", 5.5e-3),
        Settings(-5.31, 5.5, 46, 4, 1.0, 0.05, 0.3, "vode", 4.9e-4),
        Settings(-4.1, 5.16, 49, 8, 1.0, 0.05, 0.2, tolerance=7.4e-6),
        Settings(-4.54, 6.96, 124, 8, 1.0, 0.05, 0.2, tolerance=4.15e-8),
        Settings(-5.32, 6.28, 244, 8, 1.0, 0.05, 0.3, "vode", 6.5e-10),
        Settings(-5.3, 6.4, 30, 4, 1.0, 0.05, 0.2, tolerance=2.4e-5),
        Settings(-5.8, 5.5, 44, 4, 1.0, 0.05, 0.3, "vode", 9.5e-5),
        Settings(-4.2, 5.2, 50, 8, 1.0, 0.05, 0.2, tolerance=1.8e-6),
        Settings(-4.1, 5.7, 60, 8, 1.0, 0.05, 0.3, tolerance=1.5e-6),
        Settings(-3.9, 5.8, 100, 8, 1.0, 0.05, 0.3, tolerance=1e-6),
        Settings(-4.7, 6.5, 146, 8, 1.0, 0.05, 0.2, tolerance=8e-9),
        Settings(-4.87, 5.27, 178, 8, 1.0, 0.05, 0.2, tolerance=4.7e-8),
        Settings(-5.2, 5.9, 256, 8, 1.0, 0.05, 0.3, "vode", 4.5e-10),
        Settings(-5.04, 6.16, 304, 8, 1.0, 0.05, 0.2, tolerance=5.4e-11),
        Settings(-4.889, 5.569, 35, 4, 1.0, 0.05, 0.3, "vode", 6.46e-4, 517),
        Settings(-5.21, 6.217, 234, 8, 1.0, 0.05, 0.3, "vode", 4.69e-10),
    ],
    POROUS: [
        Settings(-9.35, 9.35, 16, 4, tolerance=2.7e-3),
        Settings(-6.17, 6.17, 20, 4, tolerance=3.3e-3),
        Settings(-5.39, 5.39, 26, 6, tolerance=3.5e-5),
        Settings(-6.02, 6.02, 157, 8, integrator="vode", tolerance=7.7e-9),
        Settings(-7.27, 7.27, 213, 8, stretch=3, integrator="vode", tolerance=1.2e-11),
        Settings(-8.43, 8.43, 16, 4, tolerance=2.6e-2),
        Settings(-6.23, 6.23, 20, 4, tolerance=6.5e-4),
        Settings(-5.46, 5.46, 26, 6, tolerance=8e-6),
        Settings(-5.18, 5.18, 69, 8, integrator="vode", tolerance=8.2e-8),
        Settings(-6.29, 6.29, 147, 8, integrator="vode", tolerance=3.1e-10),
        Settings(-6.59, 6.59, 243, 8, stretch=3, tolerance=2.8e-10),
        Settings(-6.65, 6.65, 32, 4, tolerance=3.2e-5),
        Settings(-5.37, 5.37, 34, 6, tolerance=5.2e-5),
        Settings(-5.38, 5.38, 74, 4, integrator="vode", tolerance=1e-6),
        Settings(-4.9, 4.9, 82, 8, integrator="vode", tolerance=2e-7),
        Settings(-5.91, 5.91, 130, 6, integrator="vode", tolerance=7.7e-8),
        Settings(-6.8, 6.8, 138, 8, integrator="vode", tolerance=3.5e-9),
        Settings(-6.14, 6.14, 172, 8, integrator="vode", tolerance=1e-10),
        Settings(-6.36, 6.36, 282, 8, stretch=3, tolerance=1e-10),
    ],
    KELLER_SEGEL: [
        Settings(-5.53, 5.53, 16, 4, stretch=3, tolerance=1.1e-3),
        Settings(-5.32, 5.32, 28, 4, stretch=3, tolerance=1.6e-5),
        Settings(-7.82, 7.82, 38, 8, stretch=3, tolerance=4.7e-7),
        Settings(-7.74, 7.74, 70, 8, stretch=3, integrator="vode", tolerance=8.2e-11),
        Settings(-7.76, 7.76, 99, 8, stretch=1, integrator="vode", tolerance=6.2e-11),
        Settings(-5.57, 5.57, 16, 4, stretch=3, tolerance=2.9e-4),
        Settings(-5.39, 5.39, 30, 4, stretch=3, tolerance=7e-6),
        Settings(-7.7, 7.7, 41, 8, stretch=3, tolerance=1.28e-7),
        Settings(-7.74, 7.74, 73, 8, stretch=3, integrator="vode", tolerance=4.4e-10),
        Settings(-8.45, 8.45, 111, 8, stretch=1, integrator="vode", tolerance=7.8e-11),
        Settings(-5.5, 5.5, 26, 4, stretch=3, tolerance=1.3e-5),
        Settings(-5.2, 5.2, 28, 6, tolerance=9.3e-6),
        Settings(-6.6, 6.6, 28, 8, stretch=3, tolerance=6.2e-7),
        Settings(-7.4, 7.4, 38, 8, stretch=3, tolerance=4.4e-8),
        Settings(-7.1, 7.1, 70, 8, tolerance=2.5e-9),
        Settings(-7.2, 7.2, 92, 8, stretch=3, integrator="vode", tolerance=2.3e-9),
        Settings(-7.2, 7.2, 148, 8, stretch=1, integrator="vode", tolerance=1e-10),
    ],
}
FINITE_VOLUMES = Competitor("finite volumes, tuned by hand", run, LADDER)
