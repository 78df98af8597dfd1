"""Laws and bases: what a flow starts from, the measure its maps act on, and the map from the one to the other.

These objects are plain; their functions take tensors and answer in the same dtype and on the same device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


class Law(ABC):
    """A probability law on the line, known by its quantiles.

    Attributes:
        mean, std: first moment and standard deviation (length).
        lower, upper: ends of the support, infinite where it is the whole line (length).
    """

    mean: float
    std: float
    lower: float = -math.inf
    upper: float = math.inf

    @abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """The z with mass u to its left, accurate for small u."""

    @abstractmethod
    def upper_quantile(self, u: Tensor) -> Tensor:
        """The z with mass u to its right, accurate for small u."""

    def at_rank(self, left: Tensor, right: Tensor) -> Tensor:
        """The z [n] with these masses to its left and to its right [n], computed from the smaller one."""
        return torch.where(left < 0.5, self.quantile(left), self.upper_quantile(right))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws [n], by inversion: the same generator state gives the same draws."""
        u = torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device)
        return self.at_rank(u, 1 - u)


class Base(Law):
    """A law with a density: the reference measure p against which a map and its energies are integrated."""

    @abstractmethod
    def log_density(self, z: Tensor) -> Tensor:
        """log p(z), -inf outside the support. z: [...] (length)."""

    @abstractmethod
    def cdf(self, z: Tensor) -> Tensor:
        """Mass of (-inf, z], accurate in the lower tail."""

    @abstractmethod
    def survival(self, z: Tensor) -> Tensor:
        """Mass of (z, inf), accurate in the upper tail."""

    @abstractmethod
    def panels(self) -> list[float]:
        """Breakpoints of a mesh on whose cells p is resolved by an 8-point Gauss rule; less than 1e-17 lies outside."""

    def density(self, z: Tensor) -> Tensor:
        """p(z). z: [...] (length); returns mass per length."""
        return self.log_density(z).exp()

    def mass(self, a: Tensor, b: Tensor) -> Tensor:
        """P(a, b), from whichever tail is smaller so that nothing cancels."""
        return torch.where(a + b < 2 * self.mean, self.cdf(b) - self.cdf(a), self.survival(a) - self.survival(b))


@dataclass(frozen=True)
class Start:
    """T(0) = Q_law o P_base, the increasing map that carries the base to the initial law."""

    law: Law
    base: Base

    @property
    def is_identity(self) -> bool:
        """Whether the law is its own base."""
        return self.law is self.base

    def __call__(self, z: Tensor) -> Tensor:
        """T(0, z) [n] at z [n] (length)."""
        return z.clone() if self.is_identity else self.law.at_rank(self.base.cdf(z), self.base.survival(z))
