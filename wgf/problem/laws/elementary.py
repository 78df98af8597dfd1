"""Laws with elementary quantiles: uniform, exponential, Laplace."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.base import Base
from wgf.settings.ranges import Finite, Positive, checked


class Uniform(Base):
    """Uniform law on (low, high)."""

    derivable = ("low", "high")

    @checked
    def __init__(self, low: Finite = -1.0, high: Finite = 1.0) -> None:
        if not low < high:
            raise ConfigError(f"low={low!r} is not allowed: expected a number below high={high!r}")
        self.lower, self.upper = low, high
        self.mean, self.std = 0.5 * (low + high), (high - low) / math.sqrt(12.0)

    def log_density(self, z: Tensor) -> Tensor:
        inside = (z >= self.lower) & (z <= self.upper)
        height = torch.full_like(z, -math.log(self.upper - self.lower))
        return torch.where(inside, height, torch.full_like(z, -math.inf))

    def cdf(self, z: Tensor) -> Tensor:
        return ((z - self.lower) / (self.upper - self.lower)).clamp(0.0, 1.0)

    def survival(self, z: Tensor) -> Tensor:
        return ((self.upper - z) / (self.upper - self.lower)).clamp(0.0, 1.0)

    def quantile(self, u: Tensor) -> Tensor:
        return self.lower + (self.upper - self.lower) * u

    def upper_quantile(self, u: Tensor) -> Tensor:
        return self.upper - (self.upper - self.lower) * u

    def panels(self) -> list[float]:
        return [self.lower, self.mean, self.upper]


class Laplace(Base):
    """Laplace law with density exp(-|z - loc| / scale) / (2 scale)."""

    smooth = False
    derivable = ("loc", "scale")

    @checked
    def __init__(self, loc: Finite = 0.0, scale: Positive = 1.0) -> None:
        self.mean, self.scale, self.std = loc, scale, math.sqrt(2.0) * scale

    def _tail(self, y: Tensor) -> Tensor:
        """Mass below y (in units of the scale), accurate on both sides of 0."""
        return torch.where(y < 0, 0.5 * torch.exp(y.clamp(max=0)), 0.5 - 0.5 * torch.expm1(-y.clamp(min=0)))

    def log_density(self, z: Tensor) -> Tensor:
        return -(z - self.mean).abs() / self.scale - math.log(2 * self.scale)

    def cdf(self, z: Tensor) -> Tensor:
        return self._tail((z - self.mean) / self.scale)

    def survival(self, z: Tensor) -> Tensor:
        return self._tail((self.mean - z) / self.scale)

    def _quantile(self, u: Tensor) -> Tensor:
        lower = torch.log(2 * u.clamp(max=0.5))
        return self.scale * torch.where(u <= 0.5, lower, -torch.log(2 * (1 - u).clamp(max=0.5)))

    def quantile(self, u: Tensor) -> Tensor:
        return self.mean + self._quantile(u)

    def upper_quantile(self, u: Tensor) -> Tensor:
        return self.mean - self._quantile(u)

    def panels(self) -> list[float]:
        steps = [0.0, 2.0, 4.0, 7.0, 10.0, 14.0, 18.0, 23.0, 28.0, 33.0, 39.0]
        return sorted({self.mean + sign * self.scale * y for y in steps for sign in (-1, 1)})


class Exponential(Base):
    """Exponential law on (low, inf) with density exp(-(z - low)/scale) / scale."""

    derivable = ("scale", "low")

    @checked
    def __init__(self, scale: Positive = 1.0, low: Finite = 0.0) -> None:
        self.scale, self.lower, self.mean, self.std = scale, low, low + scale, scale

    def _y(self, z: Tensor) -> Tensor:
        return (z - self.lower) / self.scale

    def log_density(self, z: Tensor) -> Tensor:
        y = self._y(z)
        return torch.where(y >= 0, -y - math.log(self.scale), -math.inf)

    def cdf(self, z: Tensor) -> Tensor:
        return -torch.expm1(-self._y(z).clamp(min=0))

    def survival(self, z: Tensor) -> Tensor:
        return torch.exp(-self._y(z).clamp(min=0))

    def quantile(self, u: Tensor) -> Tensor:
        return self.lower - self.scale * torch.log1p(-u)

    def upper_quantile(self, u: Tensor) -> Tensor:
        return self.lower - self.scale * torch.log(u)

    def panels(self) -> list[float]:
        return [
            self.lower + self.scale * y for y in (0.0, 1.0, 2.0, 4.0, 7.0, 10.0, 14.0, 18.0, 23.0, 28.0, 33.0, 40.0)
        ]
