"""Reference maps of the porous medium equation rho_t = (rho^g)_xx from N(0, 1) at t = 1, for g = 2 and g = 3.

The unknown is the map T: rho(T(z)) = p(z)/T'(z) and T_t = -d/dx [g/(g-1) rho^(g-1)] o T give, for p = N(0, 1),

    T_t = g p^(g-1) (z T' + T'') / T'^(g+1),   T(0, z) = z,

solved by Chebyshev collocation in z on (-6, 6) and Radau IIA of order 5 in t. The ends stay put: p^(g-1) <= 6e-9 there.

`OMP_NUM_THREADS=1 python benchmarks/porous_medium_reference.py` writes tests/data/porous_medium_reference.npz:

    z [240]: Chebyshev points of (-5.5, 5.5), ascending (length)
    map_2, map_3 [240]: T(1, z) for g = 2 and g = 3 (length)
    error [2]: estimated error in W1 = ∫ |.| p dz of each map (length)

`reference_maps.interpolant` gives the map between the points. The script prints its distance to maps of other degrees,
ends and tolerances, and to maps of an independent solver, the finite volumes on two fine grids; `error` is the largest
of these distances.
"""

import finite_volume
import numpy as np
from problems import Problem
from reference_maps import POROUS_MEDIUM, TESTS, interpolant, quadrature, wasserstein_1
from scipy.integrate import solve_ivp

POINTS = 240


def lagrangian_map(
    exponent: float, degree: int = 400, bound: float = 6.0, tolerance: float = 1e-11
) -> np.polynomial.Chebyshev:
    """T(1, .) (length), a polynomial of the given degree on (-bound, bound).

    Args:
        exponent: g.
        degree: of the polynomial; degree + 1 collocation points.
        bound: end of the interval of labels z (length).
        tolerance: of the integration in t, relative and absolute.
    """
    angle = np.pi * np.arange(degree + 1) / degree
    nodes, g = bound * np.cos(angle), exponent
    # columns: the Chebyshev coefficients of the interpolants that are 1 at one node and 0 at the others
    basis = np.polynomial.chebyshev.chebvander(np.cos(angle), degree)
    unit = np.linalg.inv(basis)
    first = basis[:, :-1] @ np.polynomial.chebyshev.chebder(unit) / bound
    first -= np.diag(first.sum(axis=1))  # the slope of a constant is exactly 0
    second = first @ first
    mobility = g * (np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)) ** (g - 1)
    mobility[[0, -1]] = 0  # the ends stay

    def field(t: float, values: np.ndarray) -> np.ndarray:
        slope = first @ values
        return mobility * (nodes * slope + second @ values) / slope ** (g + 1)

    def jacobian(t: float, values: np.ndarray) -> np.ndarray:
        slope = first @ values
        by_slope = (nodes - (g + 1) * (nodes * slope + second @ values) / slope) / slope ** (g + 1)
        return (mobility * by_slope)[:, None] * first + (mobility / slope ** (g + 1))[:, None] * second

    run = solve_ivp(field, (0, 1), nodes, method="Radau", jac=jacobian, rtol=tolerance, atol=tolerance, t_eval=[1])
    return np.polynomial.Chebyshev(unit @ run.y[:, -1], domain=[-bound, bound])


def main() -> None:
    """Write the file and print the distances that state its accuracy."""
    z = 5.5 * np.sin(np.pi * (np.arange(POINTS) - (POINTS - 1) / 2) / POINTS)
    nodes, _ = quadrature()
    stored, errors = {}, []
    for g in (2, 3):
        values = lagrangian_map(g)(z)
        stored[f"map_{g}"] = values
        kept = interpolant(z, values)(nodes)
        print(f"g = {g}: W1 from the stored map to")
        distances = []
        for options in (
            {"degree": 300},
            {"degree": 400},
            {"degree": 400, "bound": 5.5},
            {"degree": 400, "bound": 6.5},
            {"degree": 400, "tolerance": 1e-10},
        ):
            distances.append(wasserstein_1(lagrangian_map(g, **options)(nodes), kept))
            print(f"  collocation {options}: {distances[-1]:.1e}")
        for cells in (400, 800):
            fine = finite_volume.Settings(-6.5, 6.5, cells, order=8, integrator="vode", tolerance=1e-11)
            independent = finite_volume.run(Problem("porous medium", 1.0, exponent=g), fine)
            distances.append(wasserstein_1(independent(nodes), kept))
            print(f"  finite volumes, {cells} cells: {distances[-1]:.1e}")
        errors.append(max(distances))
    POROUS_MEDIUM.parent.mkdir(exist_ok=True)
    np.savez(POROUS_MEDIUM, z=z, error=np.array(errors), **stored)
    print(f"{POROUS_MEDIUM.relative_to(TESTS.parent)}: {POROUS_MEDIUM.stat().st_size} bytes")


if __name__ == "__main__":
    main()
