"""The law that a map carries from its base, at one time: density, distribution function, quantiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wgf.networks.base import TransportMap
from wgf.problem.base import Base
from wgf.problem.domain import Domain

BISECTIONS, EXTENSIONS = 60, 60


@dataclass(frozen=True)
class Pushforward:
    """The law of T(Z), Z of the base of a map T. Functions take and return tensors [n] on the CPU in float64.

    Attributes:
        map: the network.
        theta: its parameters [p].
        domain: where the law lives.
    """

    map: TransportMap
    theta: Tensor
    domain: Domain

    @property
    def base(self) -> Base:
        """Reference measure of the map."""
        return self.map.base

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """T and T' at z (length); T = z and T' = 1 if z is infinite."""
        finite = z.isfinite()
        with torch.no_grad():
            x, dx = self.map.evaluate(self.theta.double(), z.where(finite, self.base.mean).to(self.theta.device))
        return x.cpu().where(finite, z), dx.cpu().where(finite, 1.0)

    def place(self, z: Tensor) -> Tensor:
        """Position T(z) (length)."""
        return self.evaluate(z)[0]

    def slope(self, z: Tensor) -> Tensor:
        """T'(z)."""
        return self.evaluate(z)[1]

    def inverse(self, x: Tensor) -> Tensor:
        """T^-1(x) (length); -+inf outside all particles."""
        base = self.base
        ends = base.panels()
        low, high = torch.full_like(x, ends[0]), torch.full_like(x, ends[-1])
        for _ in range(EXTENSIONS):
            left, right = self.place(low) > x, self.place(high) < x
            if math.isfinite(base.lower) or not bool((left | right).any()):
                break
            low, high = torch.where(left, 2 * low - high, low), torch.where(right, 2 * high - low, high)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            below = self.place(middle) < x
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        inside = self.domain.holds(x)  # rounding may leave the last particle short of a wall
        z = torch.where(left & ~inside, -math.inf, torch.where(right & ~inside, math.inf, 0.5 * (low + high)))
        return torch.where(x.isnan(), x, z)

    def density(self, x: Tensor) -> Tensor:
        """Density p(z) / T'(z) at z = T^-1(x) (mass/length)."""
        z = self.inverse(x)
        return self.base.density(z) / self.slope(z)

    def cdf(self, x: Tensor) -> Tensor:
        """Mass to the left of x."""
        return self.base.cdf(self.inverse(x))

    def quantile(self, u: Tensor) -> Tensor:
        """Position with mass u to its left (length)."""
        return self.place(self.base.at_rank(u, 1 - u))
