"""Particles between which the mass stays the same: a judge for all equations, in mass coordinates instead of x.

The particles x_i hold the masses u_i on their left. Between two of them the density is that mass over their distance:

    x_i' = - (P_{i+1/2} - P_{i-1/2}) / mass_i - int V' hat_i du / mass_i - W' * rho,   P = D rho or kappa rho^g,

hat_i being the linear hat function of the ranks; without diffusion x_i' = -V'(x_i) - W' * rho. V' is a function of
places and the time. Second order in the ranks, extrapolated from two numbers of particles.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import ode
from scipy.special import betainc, ndtr

GAUSS, SHARES = np.array([0.5 - math.sqrt(3 / 20), 0.5, 0.5 + math.sqrt(3 / 20)]), np.array([5, 8, 5]) / 18

Function = Callable[[np.ndarray], np.ndarray]


def ranks(n: int, exponent: float) -> tuple[np.ndarray, np.ndarray]:
    """The masses on the left and on the right of n particles [n], of which the first has none on its left for g > 1.

    Equal distances of a Gaussian law (g = 1) or of a Barenblatt law: towards edges x is then smooth in the index.
    """
    s = np.linspace(-1, 1, n)
    if exponent == 1:
        return ndtr(8 * s), ndtr(-8 * s)
    a = exponent / (exponent - 1)
    return betainc(a, a, (1 + s) / 2), betainc(a, a, (1 - s) / 2)


def positions(
    x: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    t: float,
    slope: Callable[[np.ndarray, float], np.ndarray],
    diffusion: float,
    exponent: float = 1.0,
    force: Function | None = None,
    kink: float = 0.0,
    tolerance: float = 1e-10,
) -> np.ndarray:
    """The particles at time t [n] (length).

    Args:
        x: at t = 0 [n], increasing (length).
        left, right: masses on either side [n].
        t: time.
        slope: V' of places and the time.
        diffusion, exponent: P = diffusion rho^exponent.
        force: W', without its part kink sign(x).
        kink: of W.
        tolerance: relative, of the integration in time.
    """
    cells = np.where(left[1:] < 0.5, np.diff(left), -np.diff(right))
    mass = 0.5 * (np.append(cells, right[-1] + right[-1]) + np.append(left[0] + left[0], cells))
    rank = left - right

    def pressure(gaps: np.ndarray) -> np.ndarray:
        return np.pad(diffusion * (cells / gaps) ** exponent, 1)

    def local(x: np.ndarray, t: float) -> np.ndarray:
        if diffusion == 0:
            return -slope(x, t)
        points = x[:-1, None] + np.diff(x)[:, None] * GAUSS
        pull = slope(points.ravel(), t).reshape(points.shape) * cells[:, None] * SHARES
        drift = np.pad((pull * (1 - GAUSS)).sum(1), (0, 1)) + np.pad((pull * GAUSS).sum(1), (1, 0))
        ends = np.zeros_like(x)
        ends[0], ends[-1] = left[0] * slope(x[:1], t)[0], right[-1] * slope(x[-1:], t)[0]
        return -(np.diff(pressure(np.diff(x))) + drift + ends) / mass

    def velocity(t: float, x: np.ndarray) -> np.ndarray:
        v = local(x, t) - kink * rank
        if force is not None:
            v -= force(x[:, None] - 0.5 * (x[1:] + x[:-1])) @ cells
        return v

    def bands(t: float, x: np.ndarray) -> np.ndarray:
        """The Jacobian of the local part, J[i, j] at [1 + i - j, j]. In differences of the whole velocity, forces
        between all particles fall into the bands, and Newton's method ends anywhere."""
        gaps, found = np.diff(x), np.zeros((3, len(x)))
        steps, here = 1e-6 * np.minimum(np.append(gaps, gaps[-1:]), np.append(gaps[:1], gaps)), local(x, t)
        for first in range(3):
            mine = np.arange(first, len(x), 3)
            bumped = x.copy()
            bumped[mine] += steps[mine]
            change = np.pad(local(bumped, t) - here, 1)
            for row in range(3):
                found[row, mine] = change[mine + row] / steps[mine]
        return found

    solver = ode(velocity, bands)
    tolerances = {"rtol": tolerance, "atol": tolerance, "nsteps": 200_000}
    solver.set_integrator("vode", method="bdf", with_jacobian=True, lband=1, uband=1, **tolerances)
    solver.set_initial_value(x, 0.0)
    result = solver.integrate(t)
    assert solver.successful()
    return result


def solution(
    quantiles: Callable[[np.ndarray, np.ndarray], np.ndarray], t: float, n: int = 400, exponent: float = 1.0, **terms
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masses on the left [n], positions [n] and how far the extrapolation moved them; `terms` as in `positions`."""
    found = []
    for count in (n, 2 * n - 1):
        left, right = ranks(count, exponent)
        found.append(positions(quantiles(left, right), left, right, t, exponent=exponent, **terms))
    coarse, fine = found[0], found[1][::2]
    return ranks(n, exponent)[0], fine + (fine - coarse) / 3, np.abs(fine - coarse)
