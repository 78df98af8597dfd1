"""Reference maps of the benchmark's problems, and the W1 distance of a map to them."""

import sys
from functools import cache
from pathlib import Path

import finite_volume
import numpy as np
from problems import QUARTIC, Problem

TESTS = Path(__file__).resolve().parents[1] / "tests"
POROUS_MEDIUM = TESTS / "data" / "porous_medium_reference.npz"


def quadrature(bound: float = 5.5, panels: int = 22, nodes: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Nodes z and weights p(z) dz [panels * nodes] on (-bound, bound): Gauss-Legendre on equal panels, p = N(0, 1)."""
    s, weight = np.polynomial.legendre.leggauss(nodes)
    half = bound / panels
    z = (np.linspace(-bound + half, bound - half, panels)[:, None] + half * s).ravel()
    return z, np.tile(half * weight, panels) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def wasserstein_1(map_one: np.ndarray, map_two: np.ndarray) -> float:
    """W1 = ∫ |T_1 - T_2| p dz (length) of two maps given at the nodes of `quadrature`."""
    return float(quadrature()[1] @ np.abs(map_one - map_two))


def interpolant(z: np.ndarray, values: np.ndarray) -> np.polynomial.Chebyshev:
    """The polynomial through the values [k] at the k Chebyshev points z of (-5.5, 5.5)."""
    return np.polynomial.Chebyshev.fit(z, values, len(z) - 1, domain=[-5.5, 5.5])


def _collocation(problem: Problem, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maps at z of a Fokker-Planck equation on two grids, by a program that no competitor uses."""
    sys.path.insert(0, str(TESTS / "helpers"))
    try:
        from chebyshev import fokker_planck_map
    finally:
        sys.path.remove(str(TESTS / "helpers"))
    domain, degrees = ((-7, 7), (200, 240)) if problem is QUARTIC else ((-6.5, 7), (800, 1000))
    coarse, fine = (
        fokker_planck_map(problem.derivative, problem.diffusion, problem.t_end, *domain, degree, z)
        for degree in degrees
    )
    return coarse, fine


@cache
def reference_map(problem: Problem) -> tuple[np.ndarray, float]:
    """The map at the nodes of `quadrature` and its estimated error in W1 (length).

    Fokker-Planck: collocation of the density on two grids; their distance is the error. Keller-Segel: finite volumes
    of order 8 on two grids; their distance is the error. Porous medium: the file of `porous_medium_reference.py`.
    """
    z, _ = quadrature()
    if problem.exponent > 1:
        with np.load(POROUS_MEDIUM) as stored:
            curve = interpolant(stored["z"], stored[f"map_{problem.exponent:g}"])
            return curve(z), float(stored["error"].max())
    if problem.chi:
        grids = [finite_volume.Settings(-8, 8, n, order=8, integrator="vode", tolerance=1e-11) for n in (160, 320)]
        coarse, fine = (finite_volume.run(problem, grid)(z) for grid in grids)
    else:
        coarse, fine = _collocation(problem, z)
    return fine, wasserstein_1(coarse, fine)
