"""Laws on a circle of length 2 pi by Fourier collocation: an oracle that shares nothing with the package.

rho_t = d/dx (rho (V' - f + A n (q cos(n x) - p sin(n x)) ...)) + D rho_xx in the grid points, DOP853 in time.
"""

from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp


def density(
    start: Callable[[np.ndarray], np.ndarray],
    slope: Callable[[np.ndarray], np.ndarray],
    diffusion: float,
    t: float,
    strength: float = 0.0,
    n: int = 64,
) -> np.ndarray:
    """Fourier coefficients [n] of rho(t, .), in numpy's order.

    Args:
        start: rho(0, .).
        slope: V' - f.
        diffusion: D (length^2/time).
        t: time.
        strength: A of the kernel W = A cos(r).
        n: grid points.
    """
    x, k = 2 * np.pi * np.arange(n) / n, np.fft.fftfreq(n, 1 / n)
    k[n // 2] = 0

    def d(y: np.ndarray) -> np.ndarray:
        return np.fft.ifft(1j * k * np.fft.fft(y)).real

    def rate(t: float, rho: np.ndarray) -> np.ndarray:
        c, s = ((rho * wave).mean() * 2 * np.pi for wave in (np.cos(x), np.sin(x)))
        pull = -strength * (np.sin(x) * c - np.cos(x) * s)  # W' * rho
        return d(rho * (slope(x) + pull) + diffusion * d(rho))

    path = solve_ivp(rate, (0.0, t), start(x), method="DOP853", rtol=1e-11, atol=1e-13)
    return np.fft.fft(path.y[:, -1]) / n


def at(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A function at points x [m] by its Fourier coefficients [n]."""
    n = len(coefficients)
    return (np.exp(1j * np.outer(x, np.fft.fftfreq(n, 1 / n))) @ coefficients).real
