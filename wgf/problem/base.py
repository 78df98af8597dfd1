"""Laws and bases: the initial law of a flow, the reference measure of its maps, and the map from base to law.

Functions of these classes take tensors and return tensors of the same dtype on the same device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

NEGLIGIBLE = 1e-17  # mass that no double precision sum sees
NEAREST, PAIRS = 50, 4096  # cells that shrink towards a singularity; distances in a block of a double integral
LOG_SMALLEST, BISECTIONS = 690.0, 60  # of the masses that a bisection finds


class Law(ABC):
    """A probability law on the line, given by its quantiles.

    Attributes:
        mean, std: first moment and standard deviation (length).
        lower, upper: ends of the support, possibly infinite (length).
    """

    mean: float
    std: float
    lower: float = -math.inf
    upper: float = math.inf

    @abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """Point z with mass u to its left, accurate for small u."""

    @abstractmethod
    def upper_quantile(self, u: Tensor) -> Tensor:
        """Point z with mass u to its right, accurate for small u."""

    def at_rank(self, left: Tensor, right: Tensor) -> Tensor:
        """Points z [n] with the masses `left` and `right` [n] on either side, computed from the smaller mass."""
        below = left < 0.5
        z = torch.empty_like(left)
        z[below], z[~below] = self.quantile(left[below]), self.upper_quantile(right[~below])
        return z

    def cdf(self, z: Tensor) -> Tensor:
        """Mass of (-inf, z], accurate in the lower tail; here by bisection of the logarithm of the mass."""
        return self._rank(lambda u: self.quantile(u) <= z, z)

    def survival(self, z: Tensor) -> Tensor:
        """Mass of (z, inf), accurate in the upper tail; here by bisection of the logarithm of the mass."""
        return self._rank(lambda u: self.upper_quantile(u) > z, z)

    def _rank(self, is_left: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        """Largest mass u at which `is_left` holds; the condition holds for all smaller ones."""
        low, high = torch.full_like(z, -LOG_SMALLEST), torch.zeros_like(z)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            below = is_left(middle.exp())
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (0.5 * (low + high)).exp()

    def mass(self, a: Tensor, b: Tensor) -> Tensor:
        """Mass P(a, b), computed from the smaller tail to avoid cancellation."""
        return torch.where(a + b < 2 * self.mean, self.cdf(b) - self.cdf(a), self.survival(a) - self.survival(b))

    @property
    def is_compact(self) -> bool:
        """Whether the support is an interval of finite length."""
        return math.isfinite(self.lower) and math.isfinite(self.upper)

    @property
    def breaks(self) -> tuple[Tensor, Tensor]:
        """Masses on the left and on the right of where quantiles may jump or not be smooth [K] each, if known."""
        return torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.float64)

    def reach(self) -> tuple[float, float]:
        """Ends of an interval that holds all mass but NEGLIGIBLE at either end (length)."""
        tiny = torch.tensor(NEGLIGIBLE, dtype=torch.float64)
        low = self.lower if math.isfinite(self.lower) else float(self.quantile(tiny))
        high = self.upper if math.isfinite(self.upper) else float(self.upper_quantile(tiny))
        return low, high

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n independent samples [n] by inversion; the same generator state gives the same samples."""
        u = torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device)
        return self.at_rank(u, 1 - u)


class Base(Law):
    """A law with a density p: the reference measure of a map, used in all integrals of the map and its energies.

    Attributes:
        smooth: whether the density has no jumps and no kinks inside the support.
    """

    smooth = True

    @cached_property
    def log_energy(self) -> float:
        """1/2 int int log|x - y| p p (mass^2), as int_0^inf log r A(r) dr with A(r) = int p(y) p(y + r) dy.

        A is smooth between the differences of panels. Its cells shrink towards r = 0, where the logarithm is singular.
        """
        panels = torch.tensor(self.panels(), dtype=torch.float64)
        differences = (panels - panels[:, None]).reshape(-1)
        widths = panels.diff()  # the shortest may be alone among long ones
        halvings = NEAREST + math.ceil(math.log2(float(widths.max() / widths.min())))
        near = float(widths.max()) * 0.5 ** torch.arange(halvings, dtype=torch.float64)
        r, weight = _gauss(torch.cat([differences[differences >= 0], near]).unique())

        def overlap(r: Tensor) -> Tensor:
            meshes = torch.cat([panels.expand(len(r), -1), panels - r[:, None]], 1).clamp(panels[0], panels[-1])
            y, dy = _gauss(meshes.sort(1).values)
            return (dy * self.density(y) * self.density(y + r[:, None])).sum(1)

        return float(torch.dot(weight * r.log(), torch.cat([overlap(block) for block in r.split(PAIRS)])))

    @property
    def is_regular(self) -> bool:
        """Whether the density is smooth and positive on the whole line."""
        return self.smooth and math.isinf(self.lower) and math.isinf(self.upper)

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
        """Breakpoints of a mesh on which 8-point Gauss rules resolve p; the mass outside is less than 1e-17."""

    def density(self, z: Tensor) -> Tensor:
        """Density p(z) (mass / length). z: [...] (length)."""
        return self.log_density(z).exp()

    @property
    def breaks(self) -> tuple[Tensor, Tensor]:
        panels = torch.tensor(self.panels(), dtype=torch.float64)
        return self.cdf(panels), self.survival(panels)

    def reach(self) -> tuple[float, float]:
        panels = self.panels()
        return panels[0], panels[-1]


def _gauss(mesh: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights of 8-point Gauss rules on the cells of meshes [..., m], [..., 8 (m - 1)] each."""
    s, w = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(8))
    half, middle = 0.5 * mesh.diff()[..., None], 0.5 * (mesh[..., 1:] + mesh[..., :-1])[..., None]
    return (middle + half * s).flatten(-2), (half * w).flatten(-2)


@dataclass(frozen=True)
class Start:
    """Initial map T(0) = Q_law o P_base: the increasing map that carries the base to the initial law."""

    law: Law
    base: Base

    @property
    def is_identity(self) -> bool:
        """Whether the law is its own base."""
        return self.law is self.base

    @property
    def kinks(self) -> Tensor:
        """Where T(0) may not be smooth besides the panels of the base: at the breaks of the law [K] (length)."""
        if self.is_identity:
            return torch.empty(0, dtype=torch.float64)
        places = self.base.at_rank(*self.law.breaks)
        return places[places.isfinite()]

    def __call__(self, z: Tensor) -> Tensor:
        """T(0, z) [n] at z [n] (length)."""
        return z.clone() if self.is_identity else self.law.at_rank(self.base.cdf(z), self.base.survival(z))
