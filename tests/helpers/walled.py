"""Fokker-Planck equations between walls by expansion in eigenfunctions: an oracle that shares nothing with the package.

The distribution function obeys F_t = V' F_x + D F_xx with F = 0 and 1 at the walls, which no mass passes. Chebyshev
collocation in x, eigenvectors of the matrix in t.
"""

from collections.abc import Callable

import numpy as np
from chebyshev import differentiation
from numpy.polynomial import chebyshev

NEWTON = 60


def distribution(
    derivative: Callable[[np.ndarray], np.ndarray],
    start: Callable[[np.ndarray], np.ndarray],
    diffusion: float,
    t: float,
    low: float,
    high: float,
    n: int = 64,
) -> chebyshev.Chebyshev:
    """F(t, .), a polynomial of degree n on (low, high).

    Args:
        derivative: V'.
        start: F(0, .).
        diffusion: D (length^2/time).
        t: time.
        low, high: walls (length).
        n: degree.
    """
    d, s = differentiation(n)
    x, d = low + (high - low) * (s + 1) / 2, d * 2 / (high - low)
    generator = derivative(x)[:, None] * d + diffusion * d @ d
    inner, outer = slice(1, -1), [0, -1]  # x falls from high to low
    steady = -np.linalg.solve(generator[inner, inner], generator[inner, outer] @ [1.0, 0.0])
    rates, modes = np.linalg.eig(generator[inner, inner])
    weights = np.linalg.solve(modes, start(x[inner]) - steady)
    mass = np.concatenate([[1.0], steady + (modes @ (np.exp(rates * t) * weights)).real, [0.0]])
    return chebyshev.Chebyshev(np.linalg.solve(chebyshev.chebvander(s, n), mass), domain=[low, high])


def w2_error(place: np.ndarray, rank: np.ndarray, mass: Callable, density: Callable) -> float:
    """W2 distance (length) of positions [n] with the ranks [n], equally spaced, to a law: the error of a rank over the
    density is the error of the position, up to its square."""
    return float(np.sqrt(np.mean(((mass(place) - rank) / density(place)) ** 2)))
