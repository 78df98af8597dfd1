"""Heat between two walls and on a circle: the density as a Fourier series, turned into a map by its quantiles.

On (a, a + L) with D rho_xx, reflecting walls and y = (x - a)/L

    L rho(t, x) = 1 + 2 sum_{n >= 1} m_n exp(-D (n pi/L)^2 t) cos(n pi y),   m_n = E[cos(n pi Y)] for the initial law.

On a circle of length L, with a constant force f, x = f t + y and k = 2 pi n/L: the mass up to y is

    F(t, y) = y/L + 1/2 - E[X]/L + sum_{n != 0} E[e^(-i k X)]/(2 pi i n) exp(-D k^2 t) e^(i k y).
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from wgf.problem.base import Base
from wgf.problem.energy import Parabola
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Gauss
from wgf.reference_solutions.equilibrium import ByRank, Quantiles

SMALLEST = -37.0  # logarithm of a share of the density that rounding hides
MOST = 1500  # modes; the series is not known at times that need more, a problem that ends there has no series
CELLS = 800  # of the quadrature of the moments m_n, beside the panels of the law; the modes that it misses are damped
FINE = 64  # cells of the quantiles per mode


def _nodes(law: Base, mesh: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss rules [n] whose weights in each cell sum to its mass: beside an edge with infinite
    density the last cells are as wide as rounding, and Gauss rules miss some of their mass."""
    nodes = Gauss().nodes(law, mesh)
    panels = torch.tensor(law.panels(), dtype=torch.float64)
    edges = torch.cat([panels, mesh.clamp(law.lower, law.upper)]).sort().values
    w, mass = nodes.w.view(len(edges) - 1, -1), law.mass(edges[:-1], edges[1:])[:, None]
    found = w.sum(1, keepdim=True)
    return nodes.z, torch.where(found > 0, w * (mass / found), mass / w.shape[1]).flatten()


def _count(diffusion: float, t: float, longest: float) -> int:
    """Number of modes exp(-D (2 pi n/longest)^2 t) that rounding does not hide at t > 0 (time)."""
    return math.ceil(math.sqrt(-SMALLEST / (diffusion * t)) * longest / (2 * math.pi))


class CosineSeries:
    """The exact map of the heat equation on an interval.

    Args:
        problem: the equation on an interval, without potential and interaction, from a law with a density.
    """

    name = "exact: cosine series"
    quick = True

    def __init__(self, problem: Problem) -> None:
        low, high = problem.domain.walls
        assert low is not None
        assert high is not None
        assert problem.linear_diffusion is not None
        assert isinstance(problem.law, Base)
        self.low, self.length = low, high - low
        self.diffusion, self.law, self.start = problem.linear_diffusion, problem.law, problem.start
        self._last: tuple[float, ByRank] | None = None

    @cached_property
    def moments(self) -> np.ndarray:
        """m_n, n = 1, ..., MOST."""
        mesh = torch.linspace(self.low, self.low + self.length, CELLS + 1, dtype=torch.float64)
        z, w = _nodes(self.law, mesh)
        angle = math.pi * (z - self.low) / self.length
        n = torch.arange(1, MOST + 1, dtype=torch.float64)
        return torch.cat([torch.cos(part[:, None] * angle) @ w for part in n.split(100)]).numpy()

    def __call__(self, t: float, z: Tensor) -> Tensor:
        if t == 0:
            return self.start(z)
        if self._last is None or self._last[0] != t:
            found = self._map(t)
            if found is None:
                return torch.full_like(z, math.nan)
            self._last = t, found
        return self._last[1](z)

    def _map(self, t: float) -> ByRank | None:
        """The map at t > 0 (time), None if the series is too long."""
        count = _count(self.diffusion, t, 2 * self.length)
        if count > MOST:
            return None
        n = np.arange(1, count + 1)
        modes = 2 * self.moments[:count] * np.exp(-self.diffusion * (n * math.pi / self.length) ** 2 * t)
        cells = 1 << math.ceil(math.log2(FINE * (count + 1)))
        density = _cosines(np.append(1.0, modes), cells)  # times L
        beyond = _sines(np.append(0.0, modes / (n * math.pi)), cells)
        y = np.linspace(0.0, 1.0, cells + 1)
        mass = np.maximum(np.diff(y + beyond), 0.0)
        edges = self.low + self.length * y
        rho = np.maximum(density, 0.0) / self.length
        return ByRank.of(self.start.base, edges[:-1], edges[1:], mass / mass.sum(), np.stack([rho[:-1], rho[1:]]))


class CircleSeries:
    """The exact map of the heat equation with a constant force on a circle.

    Args:
        problem: the equation, from a law with a density.
        force: f (length/time).
    """

    name = "exact: Fourier series"
    quick = True

    def __init__(self, problem: Problem, force: float) -> None:
        assert problem.domain.period is not None
        assert problem.linear_diffusion is not None
        assert isinstance(problem.law, Base)
        self.length, self.force = problem.domain.period, force
        self.diffusion, self.law, self.start = problem.linear_diffusion, problem.law, problem.start
        self._last: tuple[float, float, Quantiles] | None = None

    @cached_property
    def moments(self) -> np.ndarray:
        """E[e^(-i k X)], n = 1, ..., MOST."""
        z, w = _nodes(self.law, torch.linspace(0.0, self.length, CELLS + 1, dtype=torch.float64))
        angle, n = 2 * math.pi * z / self.length, torch.arange(1, MOST + 1, dtype=torch.float64)
        waves = (torch.exp(-1j * part[:, None] * angle) @ w.to(torch.complex128) for part in n.split(100))
        return torch.cat(list(waves)).numpy()

    def __call__(self, t: float, z: Tensor) -> Tensor:
        if t == 0:
            return self.start(z)
        if self._last is None or self._last[0] != t:
            found = self._turned(t)
            if found is None:
                return torch.full_like(z, math.nan)
            self._last = t, *found
        _, first, quantiles = self._last
        rank = z.detach().cpu().double().numpy() / self.length - first
        turns = np.floor(rank)
        return torch.from_numpy(quantiles(rank - turns) + turns * self.length).to(z) + self.force * t

    def _turned(self, t: float) -> tuple[float, Quantiles] | None:
        """F(t, 0) and the quantiles of the mass from there at t > 0 (time); None if the series is too long."""
        count = _count(self.diffusion, t, self.length)
        if count > MOST:
            return None
        n = np.arange(1, count + 1)
        modes = 2 * self.moments[:count] * np.exp(-self.diffusion * (2 * math.pi * n / self.length) ** 2 * t)
        cells = 1 << math.ceil(math.log2(FINE * (count + 1)))
        density = 1 + (np.fft.ifft(np.append(0.0, modes), cells) * cells).real  # times L
        beyond = (np.fft.ifft(np.append(0.0, modes / (2j * math.pi * n)), cells) * cells).real
        density, beyond = np.append(density, density[0]), np.append(beyond, beyond[0])
        edges = np.linspace(0.0, self.length, cells + 1)
        mass = np.maximum(np.diff(edges / self.length + beyond), 0.0)
        rho = np.maximum(density, 0.0) / self.length
        found = ByRank.of(self.start.base, edges[:-1], edges[1:], mass / mass.sum(), np.stack([rho[:-1], rho[1:]]))
        return 0.5 - self.law.mean / self.length + float(beyond[0]), found.left


def _cosines(modes: np.ndarray, cells: int) -> np.ndarray:
    """sum_n modes_n cos(n pi y) at y = 0, 1/cells, ..., 1 [cells + 1]."""
    return _extended(modes, cells).real[: cells + 1]


def _sines(modes: np.ndarray, cells: int) -> np.ndarray:
    """sum_n modes_n sin(n pi y) at y = 0, 1/cells, ..., 1 [cells + 1]."""
    return _extended(modes, cells).imag[: cells + 1]


def _extended(modes: np.ndarray, cells: int) -> np.ndarray:
    """sum_n modes_n e^(i n pi y) at y = 0, 1/cells, ..., 2 - 1/cells [2 cells]."""
    return np.fft.ifft(modes, 2 * cells) * 2 * cells


def heat_series(problem: Problem) -> CosineSeries | CircleSeries | None:
    """The series of a problem; None if it has another equation, domain or kind of law, or ends too early for it."""
    flat = problem.potential.parabola() or Parabola(1.0, 1.0, 0.0)
    diffusion, domain = problem.linear_diffusion, problem.domain
    if not (diffusion and problem.interaction.vanishes and isinstance(problem.law, Base)) or flat.stiffness != 0:
        return None
    if domain.period is not None:
        return CircleSeries(problem, flat.force) if _count(diffusion, problem.t_end, domain.period) <= MOST else None
    low, high = domain.walls
    if low is None or high is None or flat.force != 0:
        return None
    return CosineSeries(problem) if _count(diffusion, problem.t_end, 2 * (high - low)) <= MOST else None
