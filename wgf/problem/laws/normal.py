"""Gaussian laws and what is made of them: mixtures, log-normal and truncated laws.

They compute without torch.distributions: its cdf and icdf compute 1 + erf and lose all digits in the lower tail, and it
stores parameters as float32 tensors.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.base import Base
from wgf.problem.laws.inverse import quantile, upper_quantile
from wgf.problem.laws.mesh import integrals, moved, resolved
from wgf.settings.ranges import Finite, FiniteOrNone, Floats, Positive, Positives, checked, fault

LOG_ROOT_TWO_PI, ROOT_HALF = 0.5 * math.log(2.0 * math.pi), math.sqrt(0.5)
WIDEST = 300.0  # of sigma^2/2 of a log-normal law, whose moments overflow beyond


class Gaussian(Base):
    """Gaussian law N(mean, std^2)."""

    derivable = ("mean", "std")

    @checked
    def __init__(self, mean: Finite = 0.0, std: Positive = 1.0) -> None:
        self.mean, self.std = mean, std

    def _y(self, z: Tensor) -> Tensor:
        return (z - self.mean) / self.std

    def log_density(self, z: Tensor) -> Tensor:
        y = self._y(z)
        return -0.5 * y * y - (LOG_ROOT_TWO_PI + math.log(self.std))

    def cdf(self, z: Tensor) -> Tensor:
        return 0.5 * torch.erfc(-ROOT_HALF * self._y(z))  # torch.special.ndtr is 1 + erf on the CPU

    def survival(self, z: Tensor) -> Tensor:
        return 0.5 * torch.erfc(ROOT_HALF * self._y(z))

    def quantile(self, u: Tensor) -> Tensor:
        return self.mean + self.std * torch.special.ndtri(u)

    def upper_quantile(self, u: Tensor) -> Tensor:
        return self.mean - self.std * torch.special.ndtri(u)

    def panels(self) -> list[float]:
        return [
            self.mean + self.std * y for y in (-8.6, -7.0, -5.5, -4.0, -2.5, -1.25, 0, 1.25, 2.5, 4.0, 5.5, 7.0, 8.6)
        ]


class Mixture(Base):
    """Mixture of Gaussians.

    Args:
        means, stds: means and standard deviations of the components (length), equally many.
        weights: weights of the components, positive; they are scaled to sum to one.

    Attributes:
        parts, shares: the components, and their weights that sum to one.
    """

    derivable = ("means", "stds", "weights")

    @checked
    def __init__(
        self, means: Floats = (-1.5, 1.5), stds: Positives = (0.5, 0.5), weights: Positives = (0.5, 0.5)
    ) -> None:
        if not len(means) == len(stds) == len(weights):
            raise ConfigError(
                f"means, stds and weights have {len(means)}, {len(stds)} and {len(weights)} entries: "
                "expected as many of each"
            )
        self.means, self.stds, self.weights = list(means), list(stds), list(weights)
        total = sum(w / max(weights) for w in weights)  # the plain sum may overflow
        shares = [w / max(weights) / total for w in weights]
        seen = [part for part in zip(shares, means, stds, strict=True) if part[0] > 0]  # drop underflowed shares
        self.shares = [w for w, _, _ in seen]
        self.parts = [Gaussian(m, s) for _, m, s in seen]
        self.mean = sum(w * m for w, m, _ in seen)
        second = sum(w * (s * s + (m - self.mean) ** 2) for w, m, s in seen)
        self.std = math.sqrt(second)

    def _sum(self, name: str, z: Tensor) -> Tensor:
        return sum(
            (w * getattr(part, name)(z) for w, part in zip(self.shares, self.parts, strict=True)), z.new_zeros(())
        )

    def log_density(self, z: Tensor) -> Tensor:
        logs = [math.log(w) + part.log_density(z) for w, part in zip(self.shares, self.parts, strict=True)]
        return torch.logsumexp(torch.stack(logs), dim=0)

    def cdf(self, z: Tensor) -> Tensor:
        return self._sum("cdf", z)

    def survival(self, z: Tensor) -> Tensor:
        return self._sum("survival", z)

    def _bracket(self, name: str, u: Tensor) -> tuple[Tensor, Tensor]:
        """The smallest and the largest quantile of the components [n]."""
        ends = torch.stack([getattr(part, name)(u) for part in self.parts])
        return ends.amin(0), ends.amax(0)

    def quantile(self, u: Tensor) -> Tensor:
        return quantile(self, u, *self._bracket("quantile", u))

    def upper_quantile(self, u: Tensor) -> Tensor:
        return upper_quantile(self, u, *self._bracket("upper_quantile", u))

    def panels(self) -> list[float]:
        return sorted({x for part in self.parts for x in part.panels()})


class LogNormal(Base):
    """Log-normal law: log((z - low)/scale) is N(0, sigma^2).

    Args:
        sigma: standard deviation of the logarithm (no unit).
        scale: median above `low` (length).
        low: left end of the support (length).
    """

    derivable = ("sigma", "scale", "low")

    @checked
    def __init__(self, sigma: Positive = 0.5, scale: Positive = 1.0, low: Finite = 0.0) -> None:
        self.sigma, self.scale, self.lower = sigma, scale, low
        half = 0.5 * sigma * sigma
        if half > WIDEST:
            raise ConfigError(fault("sigma", sigma, f"a number <= {math.sqrt(2 * WIDEST):g}"))
        self.mean = low + scale * math.exp(half)
        self.std = scale * math.exp(half) * math.sqrt(math.expm1(2 * half))

    def _y(self, z: Tensor) -> Tensor:
        inside = z > self.lower  # two wheres: otherwise the derivative outside would be 0 * inf
        ratio = torch.where(inside, (z - self.lower) / self.scale, 1.0)
        return torch.where(inside, torch.log(ratio) / self.sigma, -math.inf)

    def log_density(self, z: Tensor) -> Tensor:
        inside = z > self.lower
        y = torch.where(inside, self._y(z), 0.0)
        size = LOG_ROOT_TWO_PI + math.log(self.sigma * self.scale)
        return torch.where(inside, -0.5 * y * y - self.sigma * y - size, -math.inf)

    def cdf(self, z: Tensor) -> Tensor:
        return 0.5 * torch.erfc(-ROOT_HALF * self._y(z))

    def survival(self, z: Tensor) -> Tensor:
        return 0.5 * torch.erfc(ROOT_HALF * self._y(z))

    def quantile(self, u: Tensor) -> Tensor:
        return self.lower + self.scale * torch.exp(self.sigma * torch.special.ndtri(u))

    def upper_quantile(self, u: Tensor) -> Tensor:
        return self.lower + self.scale * torch.exp(-self.sigma * torch.special.ndtri(u))

    def panels(self) -> list[float]:
        return self._panels

    @cached_property
    def _panels(self) -> list[float]:
        if (self.lower, self.scale) == (0.0, 1.0):
            ends = [math.exp(self.sigma * y) for y in (-8.6, -4.0, -2.0, 0.0, 2.0, 4.0, 8.8)]
            return resolved(self.density, [0.0, *ends]).tolist()
        return moved(LogNormal(self.sigma).panels(), self.lower, self.scale, self.lower, self.upper)


class TruncatedNormal(Base):
    """Gaussian law N(loc, scale^2), conditioned on (low, high).

    Args:
        loc, scale: mean and standard deviation before the cut (length).
        low, high: ends of the support (length); null means that there is none.
    """

    derivable = ("loc", "scale", "low", "high")

    @checked
    def __init__(
        self, loc: Finite = 0.0, scale: Positive = 1.0, low: FiniteOrNone = 0.0, high: FiniteOrNone = None
    ) -> None:
        self.lower, self.upper = -math.inf if low is None else low, math.inf if high is None else high
        if not self.lower < self.upper:
            raise ConfigError(f"low={low!r} is not allowed: expected a number below high={high!r}")
        # y = side (z - loc)/scale lies in (a, b) with a <= 0 and |a| >= |b|: masses have digits there, and a reflected
        # law has the same y
        self.loc, self.scale, self.side = loc, scale, 1.0 if loc - self.lower >= self.upper - loc else -1.0
        ends = ((end - loc) / scale if math.isfinite(end) else end for end in (self.lower, self.upper))
        a, b = self._ends = sorted(self.side * end for end in ends)
        self._below, self._at_b, self._above = _below(a), _below(b), _below(-b)  # Phi(a), Phi(b), 1 - Phi(b)
        self._whole = self._at_b - self._below
        if not self._whole > 1e-290:
            raise ConfigError(
                f"low={low!r} leaves no mass of N({loc:g}, {scale:g}^2) up to high={high!r}: choose a wider range"
            )
        panels = self.panels()
        edges = torch.tensor(panels, dtype=torch.float64) - panels[0]  # moments about a near point have digits
        _, first, second = integrals(lambda z: self.density(z + panels[0]), edges[:-1], edges[1:]).sum(1).tolist()
        self.mean, self.std = panels[0] + first, math.sqrt(second - first**2)

    def _y(self, z: Tensor) -> Tensor:
        return self.side * (z.clamp(float(self.lower), float(self.upper)) - self.loc) / self.scale

    def log_density(self, z: Tensor) -> Tensor:
        y = self._y(z)
        size = LOG_ROOT_TWO_PI + math.log(self.scale) + math.log(self._whole)
        return torch.where((z >= self.lower) & (z <= self.upper), -0.5 * y * y - size, -math.inf)

    def _left(self, y: Tensor) -> Tensor:
        return (0.5 * torch.erfc(-ROOT_HALF * y) - self._below).clamp(min=0) / self._whole

    def _right(self, y: Tensor) -> Tensor:
        if self._at_b < 0.5:
            return (self._at_b - 0.5 * torch.erfc(-ROOT_HALF * y)).clamp(min=0) / self._whole
        return (0.5 * torch.erfc(ROOT_HALF * y) - self._above).clamp(min=0) / self._whole

    def cdf(self, z: Tensor) -> Tensor:
        return self._left(self._y(z)) if self.side > 0 else self._right(self._y(z))

    def survival(self, z: Tensor) -> Tensor:
        return self._right(self._y(z)) if self.side > 0 else self._left(self._y(z))

    def _quantile(self, u: Tensor, left: bool) -> Tensor:
        """Point with mass u below y (left) or above y."""
        if left:
            y = torch.special.ndtri(self._below + self._whole * u)
        elif self._at_b < 0.5:
            y = torch.special.ndtri(self._at_b - self._whole * u)
        else:
            y = -torch.special.ndtri(self._above + self._whole * u)
        return (self.loc + self.side * self.scale * y).clamp(float(self.lower), float(self.upper))

    def quantile(self, u: Tensor) -> Tensor:
        return self._quantile(u, self.side > 0)

    def upper_quantile(self, u: Tensor) -> Tensor:
        return self._quantile(u, self.side < 0)

    @cached_property
    def _panels(self) -> list[float]:
        if (self.loc, self.scale, self.side) != (0.0, 1.0, 1.0):  # in y, so that no unit decides
            a, b = (end if math.isfinite(end) else None for end in self._ends)
            mesh = [self.side * y for y in TruncatedNormal(0.0, 1.0, a, b).panels()]
            return moved(mesh, self.loc, self.scale, self.lower, self.upper)
        tiny = torch.tensor(1e-18, dtype=torch.float64)
        low = self.lower if math.isfinite(self.lower) else float(self.quantile(tiny))
        high = self.upper if math.isfinite(self.upper) else float(self.upper_quantile(tiny))
        return resolved(self.density, torch.linspace(low, high, 9, dtype=torch.float64)).tolist()

    def panels(self) -> list[float]:
        return self._panels


def _below(y: Any) -> Any:
    """Phi(y) of a number or a tensor, accurate in the lower tail."""
    if isinstance(y, Tensor):
        return 0.5 * torch.erfc(-ROOT_HALF * y)
    return 0.5 * math.erfc(-ROOT_HALF * y)
