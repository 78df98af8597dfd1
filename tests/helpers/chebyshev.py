"""An oracle for Fokker-Planck equations from N(0, 1) that shares nothing with the package: it solves for the density.

rho_t = (rho V')_x + D rho_xx on (low, high) with rho = 0 at both ends: Chebyshev collocation in x, the exponential of
the resulting matrix in t. The transport map follows from the two tails: T = quantile o cdf_p.

Source: L. N. Trefethen, Spectral Methods in MATLAB (2000), chapter 6, for the differentiation matrix.
"""

from collections.abc import Callable

import numpy as np
from numpy.polynomial import chebyshev
from scipy.linalg import expm
from scipy.special import ndtr

BISECTIONS = 60


def differentiation(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of d/ds [n + 1, n + 1] at the Chebyshev points s_i = cos(pi i/n) [n + 1], and these points."""
    angle = np.pi * np.arange(n + 1) / n
    # s_i - s_j as a product of sines, free of cancellation
    plus, minus = np.add.outer(angle, angle) / 2, np.subtract.outer(angle, angle) / 2
    gap = -2 * np.sin(plus) * np.sin(minus) + np.eye(n + 1)
    scale = (-1.0) ** np.arange(n + 1)
    scale[[0, -1]] *= 2
    matrix = np.outer(scale, 1 / scale) / gap
    return matrix - np.diag(matrix.sum(axis=1)), np.cos(angle)


def fokker_planck_density(
    derivative: Callable[[np.ndarray], np.ndarray], diffusion: float, t: float, low: float, high: float, n: int
) -> chebyshev.Chebyshev:
    """The density rho(t, .) that starts from N(0, 1), a polynomial of degree n on (low, high).

    Args:
        derivative: V'.
        diffusion: D > 0 (length^2/time).
        t: time.
        low, high: ends of the domain, beyond which next to no mass may lie during (0, t) (length).
        n: degree; more until the answer stands still.
    """
    d, s = differentiation(n)
    x, d = low + (high - low) * (s + 1) / 2, d * 2 / (high - low)
    generator = (d * derivative(x) + diffusion * d @ d)[1:-1, 1:-1]
    rho = np.zeros(n + 1)
    rho[1:-1] = expm(t * generator) @ (np.exp(-(x[1:-1] ** 2) / 2) / np.sqrt(2 * np.pi))
    return chebyshev.Chebyshev(np.linalg.solve(chebyshev.chebvander(s, n), rho), domain=[low, high])


def fokker_planck_map(
    derivative: Callable[[np.ndarray], np.ndarray],
    diffusion: float,
    t: float,
    low: float,
    high: float,
    n: int,
    z: np.ndarray,
) -> np.ndarray:
    """The increasing map T [k] at z [k] (length) that carries N(0, 1) to rho(t, .); see `fokker_planck_density`.

    For the quartic at t = 0.2: (-7, 7), n = 240; for the sextic about 4 at t = 1e-3: (-6.5, 7), n = 1000.
    """
    cdf = fokker_planck_density(derivative, diffusion, t, low, high, n).integ(lbnd=low)
    left, total = z < 0, cdf(high)
    target = np.where(left, ndtr(z), -ndtr(-z))  # each tail is matched with its own mass, not with 1 minus it
    below, above = np.full_like(z, low), np.full_like(z, high)
    for _ in range(BISECTIONS):
        middle = (below + above) / 2
        mass = cdf(middle)
        short = np.where(left, mass, mass - total) < target
        below, above = np.where(short, middle, below), np.where(short, above, middle)
    return (below + above) / 2
