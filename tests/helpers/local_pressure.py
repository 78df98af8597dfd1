"""Laws under a local pressure, by central differences of F: what a kernel W of tiny range does.

W * rho tends to c rho with c = int W, so that F, the mass on the left, obeys F_t = V' F_x + (D + c F_x) F_xx.
"""

from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import make_interp_spline

FIRST, SECOND = np.array([1, -8, 0, 8, -1]) / 12, np.array([-1, 16, -30, 16, -1]) / 12  # of order 4


def positions(
    x: np.ndarray,
    start: np.ndarray,
    slope: Callable[[np.ndarray], np.ndarray],
    diffusion: float,
    pressure: float,
    t: float,
    ranks: np.ndarray,
    turns: bool = False,
) -> np.ndarray:
    """Where at the time t the mass `ranks` [n] lies to the left.

    Args:
        x: equal distances, on the line as far as there is mass, on a circle once around [N].
        start: F at t = 0 there [N].
        slope: V'.
        diffusion, pressure: D and c.
        turns: whether x is a circle.
    """
    h, drift = x[1] - x[0], slope(x)

    def rate(t: float, mass: np.ndarray) -> np.ndarray:
        ends = (mass[-2:] - 1, mass[:2] + 1) if turns else (np.zeros(2), np.ones(2))
        padded = np.concatenate([ends[0], mass, ends[1]])
        first, second = (np.convolve(padded, w[::-1], "valid") for w in (FIRST / h, SECOND / h**2))
        return drift * first + (diffusion + pressure * first) * second

    mass = solve_ivp(rate, (0.0, t), start, "RK45", rtol=1e-9, atol=1e-11).y[:, -1]
    if turns:
        length = h * len(x)
        x, mass = np.concatenate([x - length, x, x + length]), np.concatenate([mass - 1, mass, mass + 1])
    inside = (mass > 1e-6) & (mass < 1 - 1e-6) if not turns else np.ones(len(x), bool)
    return make_interp_spline(mass[inside], x[inside], k=5)(ranks)
