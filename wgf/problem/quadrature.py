"""Integrals against the base of a map, cell by cell between the knots, where everything is smooth (or by particles)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from wgf.problem.base import Base
from wgf.settings.ranges import Count, Order, checked


@dataclass(frozen=True)
class Nodes:
    """Points of the reference space with their masses.

    Attributes:
        z: positions [n], increasing (length).
        w: weights [n], w = p dz (mass).
        base: the reference measure p.
        cell: how many of the sorted knots lie to the left of each node [n]; None when the rule does not follow the
            knots. It tells two knots that coincide apart, which a comparison with z cannot.
    """

    z: Tensor
    w: Tensor
    base: Base
    cell: Tensor | None = None

    @cached_property
    def log_p(self) -> Tensor:
        """log p(z) [n], 0 at the ends of the support where p = 0: the weight there is 0, and 0 times -inf is not."""
        log_p = self.base.log_density(self.z)
        return log_p.masked_fill(log_p == -math.inf, 0.0)

    @cached_property
    def rank(self) -> Tensor:
        """2 P(z) - 1 [n]: the mass to the left less the mass to the right."""
        return self.base.cdf(self.z) - self.base.survival(self.z)


# made once, so that nothing is copied to the device whenever knots move
@lru_cache(maxsize=64)
def _panels(base: Base, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(base.panels(), dtype=dtype, device=device)


@lru_cache(maxsize=64)
def _legendre(order: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights on (0, 1) [order]."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    s, w = (torch.tensor(values, dtype=dtype, device=device) for values in (0.5 * (nodes + 1), 0.5 * weights))
    return s, w


class Quadrature(ABC):
    """A rule for integrals against a base.

    Attributes:
        fixed: whether its nodes stay where they are when knots move.
        noise: relative error of a sampled integral.
        order: nodes in a cell; None for a rule without cells.
    """

    fixed = False
    noise = 0.0
    order: int | None = None

    def for_metric(self) -> Quadrature:
        """The rule for the metric of a tangent space, which needs nodes in every cell."""
        return self

    @abstractmethod
    def count(self, cells: float) -> float:
        """About how many nodes a mesh of so many cells has."""

    @abstractmethod
    def nodes(self, base: Base, knots: Tensor) -> Nodes:
        """Nodes and weights for a map with these knots [K], in any order, possibly none (length)."""


class Gauss(Quadrature):
    """Gauss-Legendre on every cell of the mesh made of the knots and the law's own panels, tails included.

    The nodes are affine in the knots, so gradients pass through them. The rule is spectrally accurate because the
    integrands of this project are smooth between knots.

    Args:
        order: nodes per cell; polynomials of degree 2 order - 1 times a locally flat density are exact.
    """

    @checked
    def __init__(self, order: Order = 8) -> None:
        self.order: int = order

    def count(self, cells: float) -> float:
        return self.order * cells

    def nodes(self, base: Base, knots: Tensor) -> Nodes:
        """The rule for a mesh. knots: [K] in any order, possibly empty (length)."""
        panels, s, half = _panels(base, knots.dtype, knots.device), *_legendre(self.order, knots.dtype, knots.device)
        mesh, order = torch.cat([panels, knots.clamp(base.lower, base.upper)]).sort(stable=True)
        cell = (order >= len(panels)).cumsum(0)[:-1]
        left, width = mesh[:-1], mesh[1:] - mesh[:-1]
        z = (left[:, None] + width[:, None] * s).reshape(-1)
        w = (width[:, None] * half).reshape(-1) * base.density(z)
        return Nodes(z, w, base, cell.repeat_interleave(self.order))


class MonteCarlo(Quadrature):
    """Random particles of the base, the paper's variant: the same particles at every step, errors of order n^(-1/2).

    Args:
        particles: how many.
        seed: of their draw; the run's seed by default.
    """

    fixed = True

    @checked
    def __init__(self, particles: Count = 100_000, *, seed: int = 0) -> None:
        self.particles, self.seed, self.noise = particles, seed, particles**-0.5

    def for_metric(self) -> Quadrature:
        return Gauss()

    def count(self, cells: float) -> float:
        return float(self.particles)

    def nodes(self, base: Base, knots: Tensor) -> Nodes:
        """The particles, sorted; knots only say dtype and device."""
        z = base.sample(self.particles, torch.Generator().manual_seed(self.seed)).sort().values
        z = z.to(dtype=knots.dtype, device=knots.device)
        return Nodes(z, torch.full_like(z, 1.0 / self.particles), base)
