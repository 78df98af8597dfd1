"""Chebyshev collocation in x and the matrix exponential in t, for linear Fokker-Planck equations.

The unknown is the mass F left of a point: F_t = V' F_x + D F_xx, F = 0 and F = 1 at the ends. F is the straight line
between these values plus u, which is 0 at both ends, so that u_t = A u + b and

    u(t) = e^{tA} u(0) + ∫_0^t e^{sA} ds b.

One exponential of A bordered by b gives both terms.
"""

from dataclasses import dataclass

import numpy as np
from competitor import Competitor, inverse
from numpy.polynomial import chebyshev
from problems import QUARTIC, SEXTIC, Map, Problem
from scipy.linalg import expm
from scipy.special import ndtr


@dataclass(frozen=True)
class Settings:
    """Degree n of the polynomial and the ends of the domain (length)."""

    degree: int
    low: float
    high: float


def run(problem: Problem, settings: Settings) -> Map:
    """Compute the map at t_end."""
    n, half = settings.degree, (settings.high - settings.low) / 2
    angle = np.pi * np.arange(n + 1) / n
    s = -np.cos(angle)
    # barycentric differentiation: the weights are (-1)^i, halved at the ends
    weight = (-1.0) ** np.arange(n + 1)
    weight[[0, -1]] /= 2
    gap = 2 * np.sin(np.add.outer(angle, angle) / 2) * np.sin(np.subtract.outer(angle, angle) / 2)
    np.fill_diagonal(gap, 1)
    d = weight / weight[:, None] / gap
    np.fill_diagonal(d, 0)
    np.fill_diagonal(d, -d.sum(1))
    d /= half
    x = settings.low + half * (s + 1)
    generator = (problem.derivative(x)[:, None] * d + problem.diffusion * d @ d)[1:-1]
    line = (s + 1) / 2
    bordered = np.zeros((n, n))
    bordered[:-1, :-1], bordered[:-1, -1] = generator[:, 1:-1], generator @ line
    bordered *= problem.t_end
    start = (ndtr(x) - line)[1:-1]
    values = line.copy()
    values[1:-1] += (expm(bordered) @ np.append(start, 1))[:-1]

    def map(z: np.ndarray) -> np.ndarray:
        cdf = chebyshev.Chebyshev(np.linalg.solve(chebyshev.chebvander(s, n), values), [settings.low, settings.high])
        return inverse(cdf, ndtr(z), np.full_like(z, settings.low), np.full_like(z, settings.high))

    return map


LADDER = {
    QUARTIC: [
        Settings(20, -4.5, 4.0),
        Settings(32, -5.0, 4.0),
        Settings(40, -4.5, 4.0),
        Settings(48, -4.5, 4.0),
        Settings(64, -4.5, 4.5),
        Settings(80, -4.5, 5.0),
        Settings(96, -5.0, 5.5),
    ],
    SEXTIC: [
        Settings(32, -4.5, 4.5),
        Settings(64, -4.5, 4.0),
        Settings(96, -5.0, 4.0),
        Settings(192, -6.0, 5.5),
        Settings(256, -6.0, 5.5),
        Settings(384, -6.0, 6.0),
        Settings(512, -6.0, 6.0),
        Settings(640, -6.0, 6.0),
    ],
}
COLLOCATION = Competitor("Chebyshev collocation", run, LADDER)
