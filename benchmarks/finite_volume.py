"""A finite-volume code tuned by hand, problem by problem: the time wgf has to beat.

    rho_t = (rho V')_x + D (rho^g)_xx,   rho(0) = N(0, 1)

The unknown is the mass left of each cell edge, F(t, x_j) = ∫_{x < x_j} rho dx, whose differences are the cell masses.
Its equation is the flux through the edge,

    F_t = V' F_x + D g F_x^(g-1) F_xx,

so every discretisation of it conserves mass, and the central differences of order 4 of F are the fluxes of order 4 that
the primitive of the cell averages gives. With grids x(s), s = 0, 1, 2, ...:

    F_x = F_s / x',   F_xx = F_ss / x'^2 - x'' F_s / x'^3

The tuned part:

- the grid is uniform, or x = centre + stretch sinh(s) where the law ends up in a narrow place;
- V' F_x may lean upwind (a difference of one order less), which clears the waves a fast drift leaves behind;
- banded Jacobians in closed form, band times vector by BLAS, LSODA or VODE's BDF without an adapter around them;
- order, ends, number of cells and tolerance: the fastest found by a random search among those with W1 <= 0.95e-6.

A time is that of `solve`, from the problem to F at the edges: set-up included, evaluation of the map not.

`OMP_NUM_THREADS=1 python benchmarks/finite_volume.py` prints settings, W1 and times, three rows per problem: `plain`
(order 4, uniform grid, solve_ivp), `order 4` (the same order but for a little upwinding of the sextic, all else tuned),
`best` (everything tuned).
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.integrate import ode, odeint, solve_ivp
from scipy.interpolate import make_interp_spline
from scipy.linalg.blas import dgbmv
from scipy.special import ndtr

TESTS = Path(__file__).resolve().parents[1] / "tests"
TAIL = 0.5  # length over which the mass beyond an end of the domain is spread inside
BISECTIONS = 45
STEPS = 20_000  # most steps of an integrator

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
class Problem:
    """rho_t = (rho V')_x + D (rho^g)_xx on (0, t_end), rho(0) = N(0, 1).

    Attributes:
        name: for tables.
        t_end: end (time).
        derivative: V' (length/time); None for V = 0. The porous medium, g > 1, has V = 0.
        diffusion: D (length^2/time for g = 1).
        exponent: g; 1 is linear diffusion.
    """

    name: str
    t_end: float
    derivative: Callable[[np.ndarray], np.ndarray] | None = None
    diffusion: float = 1.0
    exponent: float = 1.0


QUARTIC = Problem("quartic Fokker-Planck, t = 0.2", 0.2, lambda x: (x - 1) ** 3 - (x - 1))
SEXTIC = Problem("sextic Fokker-Planck, t = 1e-3", 1e-3, lambda x: (x - 4) ** 5)
POROUS = Problem("porous medium g = 2, t = 1", 1.0, exponent=2)


@dataclass(frozen=True)
class Settings:
    """What is tuned.

    Attributes:
        low, high: ends of the domain (length).
        cells: number of cells N.
        order: of the central differences, 4, 6 or 8.
        upwind: 0 for a central V' F_x, 1 for a fully upwind one.
        centre, stretch: the grid is x = centre + stretch sinh(s) (length); stretch = inf is the uniform grid.
        integrator: lsoda (odeint), vode (its BDF), or solve_ivp (its LSODA, Jacobian by differences).
        tolerance: relative and absolute, of a mass in (0, 1).
    """

    low: float
    high: float
    cells: int
    order: Literal[4, 6, 8] = 4
    upwind: float = 0.0
    centre: float = 0.0
    stretch: float = np.inf
    integrator: Literal["lsoda", "vode", "solve_ivp"] = "lsoda"
    tolerance: float = 1e-7

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
        offset: b [n], what the values 1 right of the domain add; those left of it are 0.
    """

    bands: np.ndarray
    offset: np.ndarray

    @classmethod
    def from_rows(cls, rows: np.ndarray) -> "Banded":
        """From the weights rows[i, k] [n, 2m + 1] of F at edge i + k - m."""
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
        raise ValueError("the porous medium is solved without a potential")
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
        if g != 2:  # far tails dip below 0 by the error of the scheme
            size = np.abs(density)
            density, across = size ** (g - 1), (g - 1) * size ** (g - 2) * np.sign(density) * across
        return slope.scaled(across) + curvature.scaled(density)

    return field, jacobian


def initial_mass(edges: np.ndarray) -> np.ndarray:
    """F(0) [N + 1] at the edges [N + 1]: N(0, 1), what lies beyond an end moved smoothly to just inside it."""
    low, high = edges[0], edges[-1]
    left = ndtr(low) * np.exp(-(((edges - low) / TAIL) ** 2))
    right = ndtr(-high) * np.exp(-(((edges - high) / TAIL) ** 2))
    return ndtr(edges) - left + right


def integrate(field: Field, jacobian: Field, start: np.ndarray, t_end: float, settings: Settings) -> np.ndarray:
    """F(t_end) [n] from F(0) = start [n]."""
    tolerance, m = settings.tolerance, settings.order // 2
    if settings.integrator == "lsoda":
        options = {"Dfun": jacobian, "ml": m, "mu": m, "rtol": tolerance, "atol": tolerance, "mxstep": STEPS}
        return odeint(field, start, [0.0, t_end], tfirst=True, **options)[-1]
    if settings.integrator == "vode":
        options = {"method": "bdf", "with_jacobian": True, "rtol": tolerance, "atol": tolerance, "nsteps": STEPS}
        solver = ode(field, jacobian).set_integrator("vode", lband=m, uband=m, **options)
        return solver.set_initial_value(start, 0.0).integrate(t_end)
    options = {"lband": m, "uband": m, "rtol": tolerance, "atol": tolerance}
    return solve_ivp(field, (0.0, t_end), start, method="LSODA", t_eval=[t_end], **options).y[:, -1]


@dataclass(frozen=True)
class Solution:
    """Cell edges [N + 1] (length) and the mass left of each [N + 1]: 0 at the first, 1 at the last."""

    edges: np.ndarray
    mass: np.ndarray

    def map(self, z: np.ndarray) -> np.ndarray:
        """T = quantile o cdf_p [k] (length) at z [k] of p = N(0, 1).

        The cdf is exact at the edges up to the error of the solution; between them it and the grid are quintic splines
        in s, errors O(h^6).
        """
        cells = len(self.edges) - 1
        s, target = np.arange(cells + 1.0), ndtr(z)
        cdf, grid = make_interp_spline(s, self.mass, k=5), make_interp_spline(s, self.edges, k=5)
        cell = np.searchsorted(np.maximum.accumulate(self.mass), target, side="right") - 1
        below = np.clip(cell, 0, cells - 1).astype(float)
        above = below + 1
        for _ in range(BISECTIONS):
            middle = (below + above) / 2
            short = cdf(middle) < target
            below, above = np.where(short, middle, below), np.where(short, above, middle)
        return grid((below + above) / 2)


def solve(problem: Problem, settings: Settings) -> Solution:
    """The law at t_end: edges and the mass left of each."""
    edges = settings.grid()[0]
    build = fokker_planck_field if problem.exponent == 1 else porous_medium_field
    inner = integrate(*build(problem, settings), initial_mass(edges)[1:-1], problem.t_end, settings)
    return Solution(edges, np.concatenate([[0.0], inner, [1.0]]))


def quadrature(bound: float = 5.5, panels: int = 22, nodes: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Nodes z and weights p(z) dz [panels * nodes] on (-bound, bound): Gauss-Legendre on equal panels, p = N(0, 1)."""
    s, weight = np.polynomial.legendre.leggauss(nodes)
    half = bound / panels
    z = (np.linspace(-bound + half, bound - half, panels)[:, None] + half * s).ravel()
    return z, np.tile(half * weight, panels) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def wasserstein_1(map_one: np.ndarray, map_two: np.ndarray) -> float:
    """W1 = ∫ |T_1 - T_2| p dz (length) of two maps given at the nodes of `quadrature`."""
    return float(quadrature()[1] @ np.abs(map_one - map_two))


def reference_map(problem: Problem, z: np.ndarray) -> np.ndarray:
    """The map of one of the three problems at z [k] in (-5.5, 5.5), to better than 1e-8 in W1, by another method.

    Fokker-Planck: Chebyshev collocation of the density. Porous medium: the stored reference.
    """
    sys.path.insert(0, str(TESTS))
    try:
        from chebyshev import fokker_planck_map
    finally:
        sys.path.remove(str(TESTS))
    if problem.derivative is None:
        stored = np.load(TESTS / "data" / "porous_medium_reference.npz")
        values = stored[f"map_{problem.exponent:g}"]
        return np.polynomial.Chebyshev.fit(stored["z"], values, len(values) - 1, domain=[-5.5, 5.5])(z)
    domain = (-7, 7, 240) if problem is QUARTIC else (-6.5, 7, 1000)
    return fokker_planck_map(problem.derivative, problem.diffusion, problem.t_end, *domain, z)


TUNED: dict[Problem, dict[str, Settings]] = {
    QUARTIC: {
        "plain": Settings(-4.7, 5, 240, integrator="solve_ivp", tolerance=1e-6),
        "order 4": Settings(-5, 4.8, 180, stretch=3, integrator="vode"),
        "best": Settings(-5.2, 4.8, 88, order=8, stretch=3, integrator="vode", tolerance=5e-7),
    },
    SEXTIC: {
        "plain": Settings(-4.8, 5, 1200, integrator="solve_ivp", tolerance=2e-7),
        "order 4": Settings(-4.6, 5, 290, upwind=0.1, centre=0.05, stretch=0.2, tolerance=2e-7),
        "best": Settings(-4.2, 5, 120, order=8, upwind=1, centre=0.05, stretch=0.2, tolerance=2e-7),
    },
    POROUS: {
        "plain": Settings(-5, 5, 120, integrator="solve_ivp"),
        "order 4": Settings(-5.2, 5.2, 110, integrator="vode", tolerance=2e-7),
        "best": Settings(-5, 5, 84, order=6, integrator="vode", tolerance=2e-7),
    },
}


def best_time(call: Callable[[], object], repeats: int = 5) -> float:
    """The least wall-clock time of `call` (s)."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Prints settings, W1 and the best of five times of every problem."""
    z, _ = quadrature()
    for problem, rows in TUNED.items():
        exact = reference_map(problem, z)
        print(problem.name)
        for name, settings in rows.items():
            error = wasserstein_1(solve(problem, settings).map(z), exact)
            duration = best_time(lambda problem=problem, settings=settings: solve(problem, settings))
            print(f"  {name:8s} W1 {error:.2e}  {1e3 * duration:7.2f} ms  {settings}")


if __name__ == "__main__":
    main()
