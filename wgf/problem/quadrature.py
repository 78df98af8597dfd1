"""Quadrature against the base of a map: Gauss rules on the cells between the knots, or particles."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from wgf.problem.base import Base
from wgf.settings.ranges import Count, Order, checked

SLIVER = 1e-12  # width of a cell beside a knot that is none, relative to those of its neighbours


@dataclass(frozen=True)
class Nodes:
    """Quadrature nodes of the base with their weights.

    Attributes:
        z: positions [n], increasing (length).
        w: weights [n], w = p dz (mass).
        base: the reference measure p.
        cell: number of sorted knots to the left of each node [n]; None if the rule does not follow the knots. It
            distinguishes coincident knots; a comparison with z cannot.
        order: number of Gauss nodes per cell; None for a rule without cells.
    """

    z: Tensor
    w: Tensor
    base: Base
    cell: Tensor | None = None
    order: int | None = None

    @cached_property
    def log_p(self) -> Tensor:
        """log p(z) [n], but 0 where p = 0: the weight there is 0, and 0 * -inf would be NaN."""
        log_p = self.base.log_density(self.z)
        return log_p.masked_fill(log_p == -math.inf, 0.0)

    @cached_property
    def rank(self) -> Tensor:
        """2 P(z) - 1 [n]: mass to the left minus mass to the right.

        Its mean under the weights is 0, also of random nodes, so that forces between particles move no centre of mass.
        """
        return self.side - self.mean(self.side)

    @property
    def side(self) -> Tensor:
        """2 P(z) - 1 to rounding [n], whatever its mean."""
        return self.base.cdf(self.z) - self.base.survival(self.z)

    def mean(self, f: Tensor) -> Tensor:
        """Mean [...] of f [..., n] at the nodes: it moves as f does under a shift, whatever mass the rule misses."""
        return f @ self.w / self.w.sum()


# cached: otherwise every step with moving knots would copy to the device
@lru_cache(maxsize=64)
def _panels(base: Base, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(base.panels(), dtype=dtype, device=device)


@lru_cache(maxsize=64)
def legendre(order: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights on (0, 1), [order] each."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    s, w = (torch.tensor(values, dtype=dtype, device=device) for values in (0.5 * (nodes + 1), 0.5 * weights))
    return s, w


class Quadrature(ABC):
    """Rule for integrals against a base.

    Attributes:
        fixed: whether the nodes stay in place when knots move.
        noise: relative error of a sampled integral.
        order: number of nodes per cell; None for a rule without cells.
    """

    fixed = False
    noise = 0.0
    order: int | None = None

    def for_metric(self) -> Quadrature:
        """Rule for the metric of a tangent space; the metric needs nodes in every cell."""
        return self

    def least(self, order: int) -> int:
        """Smallest number of nodes per cell for a network that needs this order of a Gauss rule."""
        return order

    @abstractmethod
    def count(self, cells: float) -> float:
        """Approximate number of nodes for a number of cells."""

    @abstractmethod
    def nodes(self, base: Base, knots: Tensor) -> Nodes:
        """Nodes and weights for a map with these knots [K], in any order, possibly none (length)."""


def _beside(panels: Tensor, knots: Tensor) -> Tensor:
    """Ends of panels [P], those beside a knot but for rounding on the knot: nodes of so narrow a cell are the same, and
    the forces between them would be infinite."""
    if not len(knots):
        return panels
    inner, gaps = knots.sort().values, panels.diff()
    k = torch.searchsorted(inner, panels).clamp(max=len(inner) - 1)
    before, after = inner[(k - 1).clamp(min=0)], inner[k]
    nearest = torch.where((panels - before).abs() < (after - panels).abs(), before, after)
    width = torch.minimum(pad(gaps, (1, 0), value=math.inf), pad(gaps, (0, 1), value=math.inf))
    near = SLIVER * width + 4 * torch.finfo(panels.dtype).eps * panels.abs()
    return torch.where((nearest - panels).abs() <= torch.minimum(near, 0.25 * width), nearest, panels)


class Gauss(Quadrature):
    """Gauss-Legendre rule on every cell of the mesh of knots and panels of the base, including the tails.

    The nodes are affine in the knots, so gradients pass through them. The rule is spectrally accurate because the
    integrands are smooth between knots.

    Args:
        order: nodes per cell; polynomials of degree 2 order - 1 times a locally flat density are exact.
    """

    @checked
    def __init__(self, order: Order = 8) -> None:
        self.order: int = order

    def count(self, cells: float) -> float:
        return self.order * cells

    def nodes(self, base: Base, knots: Tensor) -> Nodes:
        """Nodes and weights for a mesh. knots: [K] in any order, possibly empty (length)."""
        knots = knots.clamp(base.lower, base.upper)
        panels = _beside(_panels(base, knots.dtype, knots.device), knots.detach())
        s, half = legendre(self.order, knots.dtype, knots.device)
        mesh, order = torch.cat([panels, knots]).sort(stable=True)
        cell = (order >= len(panels)).cumsum(0)[:-1]
        left, width = mesh[:-1], mesh[1:] - mesh[:-1]
        z = (left[:, None] + width[:, None] * s).reshape(-1)
        w = (width[:, None] * half).reshape(-1) * base.density(z)
        return Nodes(z, w, base, cell.repeat_interleave(self.order), self.order)


class LeanGauss(Gauss):
    """Gauss rule with few nodes, for many flows: the panels of the base serve only beyond the knots; no cell is empty.

    The integrals are less accurate than those of `Gauss`, by about h^(2 order) for knots at distance h.
    """

    def least(self, order: int) -> int:
        return (order + 2) // 2

    def nodes(self, base: Base, knots: Tensor) -> Nodes:
        s, half = legendre(self.order, knots.dtype, knots.device)
        panels, inner = _panels(base, knots.dtype, knots.device), knots.clamp(base.lower, base.upper).sort().values
        margin = 0.5 * (inner[-1] - inner[0]) / len(inner)
        outer = panels[(panels < inner[0] - margin) | (panels > inner[-1] + margin)]
        mesh = torch.cat([outer, inner]).unique()
        left, width = mesh[:-1], mesh.diff()
        z = (left[:, None] + width[:, None] * s).reshape(-1)
        return Nodes(z, (width[:, None] * half).reshape(-1) * base.density(z), base, None, self.order)


class MonteCarlo(Quadrature):
    """Random particles of the base, as in the paper: the same particles at every step, errors of order n^(-1/2).

    Args:
        particles: number of particles.
        seed: seed of the draw; a run of `wgf` passes its own seed.
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
        """Sorted particles; `knots` only give dtype and device."""
        z = base.sample(self.particles, torch.Generator().manual_seed(self.seed)).sort().values
        z = z.to(dtype=knots.dtype, device=knots.device)
        return Nodes(z, torch.full_like(z, 1.0 / self.particles), base)
