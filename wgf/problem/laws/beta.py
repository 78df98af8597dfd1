"""Beta laws on an interval, with Barenblatt's and the semicircle law."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import scipy  # its modules are loaded when they are first used
import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.base import Base
from wgf.problem.laws.mesh import resolved
from wgf.problem.laws.special import Standardised
from wgf.settings.ranges import Finite, MoreThanOne, Positive, checked


def _inverse(a: float, b: float, u: np.ndarray) -> np.ndarray:
    """Inverse of the mass u of Beta(a, b) below y. Of some tiny masses scipy finds none: there y^a/(a B(a, b)) has all
    digits of the mass."""
    y = scipy.special.betaincinv(a, b, u)
    unknown = np.isnan(y) & (u > 0)
    logarithm = (np.log(np.where(unknown, u * a, 1.0)) + scipy.special.betaln(a, b)) / a
    return np.where(unknown, np.exp(np.minimum(logarithm, 0.0)), y)


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
        return self.lower + 2 * self.radius * _symmetric_beta(_inverse, self.a, u)

    def upper_quantile(self, u: Tensor) -> Tensor:
        return self.upper - 2 * self.radius * _symmetric_beta(_inverse, self.a, u)

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

    derivable = ("radius",)

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

    derivable = ("t0",)

    @checked
    def __init__(self, exponent: MoreThanOne = 2.0, t0: Positive = 1.0) -> None:
        self.exponent, self.t0 = exponent, t0
        g, k = exponent, 1.0 / (exponent + 1.0)
        b, a = k * (g - 1) / (2 * g), g / (g - 1)
        # unit mass: C^(1/(g-1) + 1/2) b^(-1/2) * integral of (1-y^2)^(1/(g-1)) over (-1, 1) = 1
        log_integral = float(scipy.special.betaln(a, a)) + (2 * a - 1) * math.log(2.0)
        log_c = (0.5 * math.log(b) - log_integral) / (1 / (g - 1) + 0.5)
        super().__init__(0.0, math.exp(0.5 * (log_c - math.log(b))) * t0**k, a)


class Beta(Standardised):
    """Beta law on (low, high) with density proportional to y^(a - 1) (1 - y)^(b - 1), y = (z - low)/(high - low)."""

    derivable = ("low", "high")

    @checked
    def __init__(self, a: Positive = 2.0, b: Positive = 2.0, low: Finite = 0.0, high: Finite = 1.0) -> None:
        if not low < high:
            raise ConfigError(f"low={low!r} is not allowed: expected a number below high={high!r}")
        self.a, self.b, self.loc, self.scale, self.lower, self.upper = a, b, low, high - low, low, high
        self.mean = low + self.scale * a / (a + b)
        self.std = self.scale * math.sqrt(a * b / (a + b + 1)) / (a + b)
        self._log_norm = float(scipy.special.betaln(a, b)) + math.log(self.scale)

    def log_density(self, z: Tensor) -> Tensor:
        left, right = self._y(z), (self.upper - z) / self.scale
        inside = (left > 0) & (right > 0)  # two wheres: otherwise the derivative outside would be 0 * inf
        logs = [torch.log(torch.where(inside, y, 1.0)) for y in (left, right)]
        return torch.where(inside, (self.a - 1) * logs[0] + (self.b - 1) * logs[1] - self._log_norm, -math.inf)

    def standard(self) -> Beta:
        return Beta(self.a, self.b)

    @cached_property
    def _panels(self) -> list[float]:
        """Cells of either half from its end, where numbers have all digits: those of a reflected law are reflected."""
        left, right = (
            resolved(law.density, sorted({0.0, min(law.mean, 0.5), 0.5})).tolist()[:-1]
            for law in (self.standard(), Beta(self.b, self.a))
        )
        inner = {self.lower + self.scale * y for y in left} | {self.upper - self.scale * y for y in right}
        return sorted({*inner, 0.5 * (self.lower + self.upper)})

    def _left(self, y: np.ndarray) -> np.ndarray:
        return scipy.special.betainc(self.a, self.b, np.clip(y, 0.0, 1.0))

    def _right(self, y: np.ndarray) -> np.ndarray:
        return scipy.special.betaincc(self.a, self.b, np.clip(y, 0.0, 1.0))

    def _left_quantile(self, u: np.ndarray) -> np.ndarray:
        return _inverse(self.a, self.b, u)

    def _right_quantile(self, u: np.ndarray) -> np.ndarray:
        y = scipy.special.betainccinv(self.a, self.b, u)
        return np.where(np.isnan(y), 1 - _inverse(self.b, self.a, u), y)
