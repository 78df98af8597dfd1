"""Fokker-Planck equations by finite elements for the distribution function: a judge for kinks of V and laws with edges.

F(t, x) = rho(t, (-inf, x]) solves  w F_t = D (w F_x)_x,  w = e^(V/D),  with F = 0 and 1 at the ends of a domain. Linear
elements, whose nodes lie at the kinks of V and of F(0), with the weights integrated by Gauss rules and the mass lumped;
the solution in time is exact: exp(t A) as an integral over a parabola of the complex plane. Two meshes are
extrapolated; their difference tells the error.

Source: J. A. C. Weideman, L. N. Trefethen, Parabolic and hyperbolic contours for computing the Bromwich integral,
Math. Comp. 76 (2007), for the parabola.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import solve_banded

CONTOUR, BISECTIONS = 16, 60
GAUSS = np.polynomial.legendre.leggauss(6)

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Diffusion:
    """A Fokker-Planck equation and its domain.

    Attributes:
        potential: V.
        diffusion: D (length^2/time).
        breaks: the ends of the domain and, between them, kinks of V and of the law's distribution function (length).
        centre, stretch: cells are as small as h within `stretch` of the centre and grow beyond it (length).
    """

    potential: Function
    diffusion: float
    breaks: np.ndarray
    centre: float
    stretch: float

    def mesh(self, cells: int, cuts: int = 1) -> np.ndarray:
        """About so many cells, with nodes at the breaks, each cut into so many (length)."""
        s = np.arcsinh((self.breaks - self.centre) / self.stretch)
        pieces = [
            np.linspace(a, b, 1 + 2 * cuts * max(8, round(cells / 2 * (b - a) / (s[-1] - s[0]))))[:-1]
            for a, b in pairwise(s)
        ]
        nodes = self.centre + self.stretch * np.sinh(np.append(np.concatenate(pieces), s[-1]))
        ends = np.cumsum([0, *map(len, pieces)])
        nodes[ends] = self.breaks
        return nodes

    def distribution(self, f: np.ndarray, t: float, x: np.ndarray) -> np.ndarray:
        """F(t, x) [n + 1] at the nodes x of a mesh from F(0, x) = f."""
        v, d = self.potential, self.diffusion
        half, middle = 0.5 * np.diff(x)[:, None], 0.5 * (x[1:] + x[:-1])
        points = middle[:, None] + half * GAUSS[0]
        nodes = v(x)
        # weights relative to the node on the left of each cell, so that nothing overflows
        sides = np.exp(np.clip((v(points.ravel()).reshape(points.shape) - nodes[:-1, None]) / d, -700, 700))
        jump = np.exp(np.clip(np.diff(nodes) / d, -700, 700))
        share = 0.5 * (1 - GAUSS[0])  # of the hat of the left node
        mass_left, mass_right = (
            half[:, 0] * (sides @ (GAUSS[1] * share)),
            half[:, 0] * (sides @ (GAUSS[1] * (1 - share))),
        )
        harmonic = half[:, 0] * ((1 / sides) @ GAUSS[1])  # of e^(-V/D): exact where the flux w F_x is constant
        up = d / harmonic  # conductance relative to the left node; relative to the right one it is up / jump
        lumped = mass_left[1:] + mass_right[:-1] / jump[:-1]
        right, low = up[1:] / lumped, up[:-1] / jump[:-1] / lumped
        total = np.zeros(len(x) - 2, dtype=complex)
        bands = np.zeros((3, len(x) - 2), dtype=complex)
        for u in (np.arange(CONTOUR) + 0.5) * 3 / CONTOUR:  # the upper half: the lower one is conjugate
            z = np.pi * CONTOUR / (12 * t) * (1j * u + 1) ** 2
            dz = np.pi * CONTOUR / (6 * t) * 1j * (1j * u + 1)
            bands[0, 1:], bands[1], bands[2, :-1] = -right[:-1], z + right + low, -low[1:]
            load = f[1:-1].astype(complex)
            load[0] += low[0] * f[0] / z
            load[-1] += right[-1] * f[-1] / z
            total += np.exp(z * t) * dz * solve_banded((1, 1), bands, load)
        return np.concatenate([f[:1], 3 / (np.pi * CONTOUR) * total.imag, f[-1:]])

    def map(self, start: Function, t: float, mass: np.ndarray, cells: int = 4000) -> tuple[np.ndarray, np.ndarray]:
        """The x [n] with F(t, x) = mass [n], extrapolated from two meshes, and how far the extrapolation moved it."""
        found = [self._quantile(self.distribution(start(x := self.mesh(n)), t, x), x, mass) for n in (cells, 2 * cells)]
        return found[1] + (found[1] - found[0]) / 3, np.abs(found[1] - found[0])

    @staticmethod
    def _quantile(f: np.ndarray, x: np.ndarray, mass: np.ndarray) -> np.ndarray:
        curve = CubicSpline(x, f)
        k = np.clip(np.searchsorted(f, mass) - 1, 0, len(x) - 2)
        low, high = x[k].copy(), x[k + 1].copy()
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            short = curve(middle) < mass
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return 0.5 * (low + high)
