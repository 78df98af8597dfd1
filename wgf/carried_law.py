"""The law that a map carries at one time, on the line, between walls, or on a circle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wgf.networks.base import TransportMap
from wgf.problem.domain import Domain
from wgf.problem.laws.inverse import inverse

EXTENSIONS = 60


@dataclass(frozen=True)
class CarriedLaw:
    """The law of T(z) for z distributed as the base of a map; all arguments and values on the CPU in float64.

    Attributes:
        map: the network.
        theta: its parameters [p].
        domain: where the law lives.
    """

    map: TransportMap
    theta: Tensor
    domain: Domain

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """T and T' [n] at z [n]. T = z and T' = 1 if z is infinite; both are NaN if z is NaN."""
        finite = z.isfinite()
        with torch.no_grad():
            x, dx = self.map.evaluate(self.theta.double(), z.where(finite, self.map.base.mean).to(self.theta.device))
        return x.cpu().where(finite, z), dx.cpu().where(finite, 1.0).where(~z.isnan(), math.nan)

    def inverse(self, x: Tensor) -> Tensor:
        """T^-1(x) [n], -+inf outside all particles."""
        base = self.map.base
        ends = base.panels()
        low, high = torch.full_like(x, ends[0]), torch.full_like(x, ends[-1])
        for _ in range(EXTENSIONS):
            left, right = self.evaluate(low)[0] > x, self.evaluate(high)[0] < x
            if math.isfinite(base.lower) or not bool((left | right).any()):
                break
            low, high = torch.where(left, 2 * low - high, low), torch.where(right, 2 * high - low, high)
        z = inverse(self.evaluate, x, low, high)
        inside = self.domain.holds(x)  # rounding may leave the last particle short of a wall
        z = torch.where(left & ~inside, -math.inf, torch.where(right & ~inside, math.inf, z))
        return torch.where(x.isnan(), x, z)

    def density(self, x: Tensor) -> Tensor:
        """rho(x) = p(z) / T'(z) [n] at z = T^-1(x) (mass/length)."""
        z = self.inverse(x)
        return self.map.base.density(z) / self.evaluate(z)[1]

    def cdf(self, x: Tensor) -> Tensor:
        """Mass to the left of x [n]."""
        return self.map.base.cdf(self.inverse(x))

    def quantile(self, u: Tensor) -> Tensor:
        """Position with mass u [n] to its left."""
        return self.evaluate(self.map.base.at_rank(u, 1 - u))[0]


class AroundCircle(CarriedLaw):
    """The law on a circle. Positions count turns; masses count from x = 0."""

    @property
    def length(self) -> float:
        """Length of the circle (length)."""
        assert self.domain.period is not None
        return self.domain.period

    def inverse(self, x: Tensor) -> Tensor:
        length = self.length
        turns = ((x - self.evaluate(torch.zeros_like(x))[0]) / length).floor()
        low, high = torch.zeros_like(x), torch.full_like(x, length)
        return inverse(self.evaluate, x - turns * length, low, high) + turns * length

    def density(self, x: Tensor) -> Tensor:
        return 1 / (self.length * self.evaluate(self.inverse(x))[1])

    def cdf(self, x: Tensor) -> Tensor:
        """Mass between 0 and x [n]; 0 and 1 for x outside of (0, L)."""
        inside = x.clamp(0.0, self.length)
        return (self.inverse(inside) - self.inverse(torch.zeros_like(x))) / self.length

    def quantile(self, u: Tensor) -> Tensor:
        """Position with mass u [n] between 0 and it."""
        return self.evaluate(self.inverse(torch.zeros_like(u)) + self.length * u)[0]


def carried_law(map: TransportMap, theta: Tensor, domain: Domain) -> CarriedLaw:
    """The law that a map with parameters theta [p] carries on a domain."""
    return (CarriedLaw if domain.period is None else AroundCircle)(map, theta, domain)
