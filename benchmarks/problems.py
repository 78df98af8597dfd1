"""The four problems of the benchmark, how an error is measured, and the maps it is measured against.

rho_t = (rho V')_x + (rho (W * rho)_x)_x + D (rho^g)_xx,   W = 2 chi log|x|,   rho(0) = p = N(0, 1)
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1] / "tests"
Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """A flow from N(0, 1).

    Attributes:
        name: for tables.
        t_end: end (time).
        potential, derivative: V, up to a constant, and V' of an array or a tensor (energy, length/time); None
            for V = 0.
        diffusion: D (length^2/time for g = 1).
        exponent: g; 1 is linear diffusion. The porous medium, g > 1, has V = 0 and chi = 0.
        chi: sensitivity (length^2/time).
        euler_dt: the paper's step for explicit Euler (time).
    """

    name: str
    t_end: float
    potential: Callable[[Any], Any] | None = None
    derivative: Callable[[Any], Any] | None = None
    diffusion: float = 1.0
    exponent: float = 1.0
    chi: float = 0.0
    euler_dt: float = 1e-3


QUARTIC = Problem(
    "quartic Fokker-Planck, t = 0.2",
    0.2,
    lambda x: ((x - 1) ** 2 - 1) ** 2 / 4,
    lambda x: (x - 1) ** 3 - (x - 1),
    euler_dt=2e-4,
)
SEXTIC = Problem(
    "sextic Fokker-Planck, t = 1e-3", 1e-3, lambda x: ((x - 4) ** 2) ** 3 / 6, lambda x: (x - 4) ** 5, euler_dt=1e-6
)
POROUS = Problem("porous medium g = 2, t = 1", 1.0, exponent=2)
KELLER_SEGEL = Problem("Keller-Segel chi = 0.5, t = 0.3", 0.3, chi=0.5, euler_dt=3e-4)
PROBLEMS = (QUARTIC, SEXTIC, POROUS, KELLER_SEGEL)


def quadrature(bound: float = 5.5, panels: int = 22, nodes: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Nodes z and weights p(z) dz [panels * nodes] on (-bound, bound): Gauss-Legendre on equal panels, p = N(0, 1)."""
    s, weight = np.polynomial.legendre.leggauss(nodes)
    half = bound / panels
    z = (np.linspace(-bound + half, bound - half, panels)[:, None] + half * s).ravel()
    return z, np.tile(half * weight, panels) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def wasserstein_1(map_one: np.ndarray, map_two: np.ndarray) -> float:
    """W1 = ∫ |T_1 - T_2| p dz (length) of two maps given at the nodes of `quadrature`."""
    return float(quadrature()[1] @ np.abs(map_one - map_two))


def _oracle() -> Callable[..., np.ndarray]:
    """Chebyshev collocation of the density, which shares nothing with any competitor."""
    sys.path.insert(0, str(TESTS / "helpers"))
    try:
        from chebyshev import fokker_planck_map
    finally:
        sys.path.remove(str(TESTS / "helpers"))
    return fokker_planck_map


def stored_map(name: str, key: str, z: np.ndarray) -> tuple[np.ndarray, float]:
    """A map kept at Chebyshev points of (-5.5, 5.5), at z [k], and its error in W1 (length)."""
    stored = np.load(TESTS / "data" / f"{name}_reference.npz")
    values = stored[key]
    curve = np.polynomial.Chebyshev.fit(stored["z"], values, len(values) - 1, domain=[-5.5, 5.5])
    return curve(z), float(stored["error"].max())


@cache
def reference_map(problem: Problem) -> tuple[np.ndarray, float]:
    """The map at the nodes of `quadrature` and its estimated error in W1 (length).

    Fokker-Planck: collocation on two grids, whose distance is the error. Porous medium: the stored reference.
    Keller-Segel: finite volumes of order 8 on two grids, the distance of which is the error.
    """
    z, _ = quadrature()
    if problem.exponent > 1:
        return stored_map("porous_medium", f"map_{problem.exponent:g}", z)
    if problem.chi:
        from finite_volume import Settings, solve

        grids = [Settings(-8, 8, cells, order=8, integrator="vode", tolerance=1e-11) for cells in (160, 320)]
        coarse, fine = (solve(problem, settings).map(z) for settings in grids)
    else:
        domain, degrees = ((-7, 7), (200, 240)) if problem is QUARTIC else ((-6.5, 7), (800, 1000))
        call = (problem.derivative, problem.diffusion, problem.t_end, *domain)
        coarse, fine = (_oracle()(*call, degree, z) for degree in degrees)
    return fine, wasserstein_1(coarse, fine)
