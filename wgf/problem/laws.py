"""Named laws: Gaussian, uniform, Laplace, semicircle, Barenblatt, mixtures. Each can serve as the base of a map.

Only the tests use torch.distributions: its cdf and icdf compute 1 + erf and lose all digits in the lower tail, and it
stores parameters as float32 tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import scipy.special
import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.base import Base
from wgf.settings.ranges import Finite, Floats, MoreThanOne, Positive, Positives, checked

LOG_ROOT_TWO_PI, ROOT_HALF = 0.5 * math.log(2.0 * math.pi), math.sqrt(0.5)


class Gaussian(Base):
    """Gaussian law N(mean, std^2)."""

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


class Uniform(Base):
    """Uniform law on (low, high)."""

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


def _symmetric_beta(function: Callable, a: float, fraction: Tensor) -> Tensor:
    """Evaluate a beta function of scipy, on the host, for a tensor; torch has none."""
    values = function(a, a, fraction.detach().cpu().double().numpy())
    return torch.as_tensor(values, dtype=fraction.dtype, device=fraction.device)


class _BetaMass(torch.autograd.Function):
    """Mass of Beta(a, a) below a fraction [...] of its support; differentiable, as moving quadrature nodes require."""

    @staticmethod
    def forward(ctx: Any, fraction: Tensor, a: float) -> Tensor:
        ctx.save_for_backward(fraction)
        ctx.a = a
        return _symmetric_beta(scipy.special.betainc, a, fraction)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        (s,) = ctx.saved_tensors
        return grad[0] * (s * (1 - s)) ** (ctx.a - 1) * math.exp(-scipy.special.betaln(ctx.a, ctx.a)), None


class SymmetricBeta(Base):
    """Law with density proportional to (R^2 - (z - mean)^2)^(a - 1) on |z - mean| < R: Barenblatt, semicircle.

    The variable s = (1 + (z - mean)/R)/2 is Beta(a, a).
    """

    def __init__(self, mean: float, radius: float, a: float) -> None:
        self.mean, self.radius, self.a = mean, radius, a
        self.lower, self.upper = mean - radius, mean + radius
        self.std = radius / math.sqrt(2 * a + 1)
        self._log_norm = -float(scipy.special.betaln(a, a)) - (2 * a - 1) * math.log(2.0) - math.log(radius)

    def log_density(self, z: Tensor) -> Tensor:
        y = (z - self.mean) / self.radius
        bell = (1 - y) * (1 + y)
        inside = bell > 0  # two wheres: otherwise the derivative of p outside would be 0 * inf
        log_density = (self.a - 1) * torch.log(torch.where(inside, bell, 1.0)) + self._log_norm
        return torch.where(inside, log_density, -math.inf)

    def _fraction(self, distance: Tensor) -> Tensor:
        return (distance / (2 * self.radius)).clamp(0.0, 1.0)

    def cdf(self, z: Tensor) -> Tensor:
        return _BetaMass.apply(self._fraction(z - self.lower), self.a)

    def survival(self, z: Tensor) -> Tensor:
        return _BetaMass.apply(self._fraction(self.upper - z), self.a)

    def quantile(self, u: Tensor) -> Tensor:
        return self.lower + 2 * self.radius * _symmetric_beta(scipy.special.betaincinv, self.a, u)

    def upper_quantile(self, u: Tensor) -> Tensor:
        return self.upper - 2 * self.radius * _symmetric_beta(scipy.special.betaincinv, self.a, u)

    def panels(self) -> list[float]:
        if self.a <= 8:
            half = [0.0, 0.4, 0.75]
        else:  # a narrow bell inside a wide support
            half = [y * self.std / self.radius for y in (0.0, 1.25, 2.5, 4.0, 5.5, 7.0, 8.6)]
            half = [y for y in half if y < 0.9]
        if self.a != int(self.a):  # an algebraic edge: cells shrink towards it until no mass is left
            edge = 1 - half[-1]
            while edge > 1e-10 and self.a * math.log(2 * edge) > math.log(1e-16):
                edge *= 0.4
                half.append(1 - edge)
        return sorted({self.mean + sign * self.radius * y for y in [*half, 1.0] for sign in (-1, 1)})


class Semicircle(SymmetricBeta):
    """Wigner's semicircle law of the given radius about 0, density 2/(pi R^2) sqrt(R^2 - z^2)."""

    @checked
    def __init__(self, radius: Positive = 2.0) -> None:
        super().__init__(0.0, radius, 1.5)


class Barenblatt(SymmetricBeta):
    """Barenblatt's source solution of rho_t = (rho^g)_xx with unit mass at time t0.

    rho = t^-k (C - b x^2 t^-2k)_+^(1/(g-1)) with k = 1/(g+1), b = k (g-1)/(2g).
    For g = 2: rho = t^(-1/3) (C - x^2/(12 t^(2/3)))_+, C = (sqrt(3)/8)^(2/3).

    Args:
        exponent: g > 1.
        t0: age of the source (time).
    """

    @checked
    def __init__(self, exponent: MoreThanOne = 2.0, t0: Positive = 1.0) -> None:
        self.exponent, self.t0 = exponent, t0
        g, k = exponent, 1.0 / (exponent + 1.0)
        b, a = k * (g - 1) / (2 * g), g / (g - 1)
        # unit mass: C^(1/(g-1) + 1/2) b^(-1/2) * integral of (1-y^2)^(1/(g-1)) over (-1, 1) = 1
        log_integral = float(scipy.special.betaln(a, a)) + (2 * a - 1) * math.log(2.0)
        log_c = (0.5 * math.log(b) - log_integral) / (1 / (g - 1) + 0.5)
        super().__init__(0.0, math.exp(0.5 * (log_c - math.log(b)) + k * math.log(t0)), a)


class Mixture(Base):
    """Mixture of Gaussians.

    Args:
        means, stds: means and standard deviations of the components (length), equally many.
        weights: weights of the components, positive; they are scaled to sum to one.
    """

    @checked
    def __init__(
        self, means: Floats = (-1.5, 1.5), stds: Positives = (0.5, 0.5), weights: Positives = (0.5, 0.5)
    ) -> None:
        if not len(means) == len(stds) == len(weights):
            raise ConfigError(
                f"means, stds and weights have {len(means)}, {len(stds)} and {len(weights)} entries: "
                "expected as many of each"
            )
        total = sum(w / max(weights) for w in weights)  # the plain sum may overflow
        shares = [w / max(weights) / total for w in weights]
        seen = [part for part in zip(shares, means, stds, strict=True) if part[0] > 0]  # drop underflowed shares
        self.weights = [w for w, _, _ in seen]
        self.parts = [Gaussian(m, s) for _, m, s in seen]
        self.mean = sum(w * m for w, m, _ in seen)
        second = sum(w * (s * s + (m - self.mean) ** 2) for w, m, s in seen)
        self.std = math.sqrt(second)

    def _sum(self, name: str, z: Tensor) -> Tensor:
        return sum(
            (w * getattr(part, name)(z) for w, part in zip(self.weights, self.parts, strict=True)), z.new_zeros(())
        )

    def log_density(self, z: Tensor) -> Tensor:
        logs = [math.log(w) + part.log_density(z) for w, part in zip(self.weights, self.parts, strict=True)]
        return torch.logsumexp(torch.stack(logs), dim=0)

    def cdf(self, z: Tensor) -> Tensor:
        return self._sum("cdf", z)

    def survival(self, z: Tensor) -> Tensor:
        return self._sum("survival", z)

    def _bisect(self, name: str, function, u: Tensor) -> Tensor:
        """Invert a monotone tail function between the smallest and the largest quantile of the components."""
        ends = torch.stack([getattr(part, name)(u) for part in self.parts])
        low, high = ends.amin(0), ends.amax(0)
        rising = name == "quantile"
        for _ in range(100):
            middle = 0.5 * (low + high)
            below = (function(middle) < u) == rising
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return 0.5 * (low + high)

    def quantile(self, u: Tensor) -> Tensor:
        return self._bisect("quantile", self.cdf, u)

    def upper_quantile(self, u: Tensor) -> Tensor:
        return self._bisect("upper_quantile", self.survival, u)

    def panels(self) -> list[float]:
        return sorted({x for part in self.parts for x in part.panels()})
