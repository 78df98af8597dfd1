"""Gamma and Student laws, by functions of scipy that torch lacks."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import scipy  # its modules are loaded when they are first used
import torch
from torch import Tensor

from wgf.problem.base import Base
from wgf.problem.laws.mesh import moved, resolved
from wgf.settings.ranges import Finite, Positive, Range, checked

MoreThanTwo = Annotated[float, Range(low=2.0, open_low=True)]
NEGLIGIBLE = 1e-18  # mass beyond the ends of the panels
LIGHT, FARTHEST = 1e-10, 1e15  # share of the variance there, and how far they may lie, so that squares are numbers


def on_host(function: Callable[[np.ndarray], np.ndarray], x: Tensor) -> Tensor:
    """Evaluate a function of numpy arrays for a tensor [...], in float64 on the host."""
    return torch.as_tensor(function(x.detach().cpu().double().numpy())).to(x)


class Mass(torch.autograd.Function):
    """A mass F(y) [...] computed on the host; its derivative is the density, as moving quadrature nodes require."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, function: Callable[[np.ndarray], np.ndarray], slope: Callable) -> Tensor:
        ctx.save_for_backward(z)
        ctx.slope = slope
        return on_host(function, z)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:
        (z,) = ctx.saved_tensors
        return grad[0] * ctx.slope(z), None, None


class Standardised(Base):
    """Law of loc + scale Y, the law of Y given by functions of numpy arrays.

    Attributes:
        loc, scale: place and scale (length).
    """

    loc: float
    scale: float

    @abstractmethod
    def _left(self, y: np.ndarray) -> np.ndarray:
        """Mass of Y below y."""

    @abstractmethod
    def _right(self, y: np.ndarray) -> np.ndarray:
        """Mass of Y above y."""

    @abstractmethod
    def _left_quantile(self, u: np.ndarray) -> np.ndarray:
        """Inverse of `_left`."""

    @abstractmethod
    def _right_quantile(self, u: np.ndarray) -> np.ndarray:
        """Inverse of `_right`."""

    def _y(self, z: Tensor) -> Tensor:
        return (z - self.loc) / self.scale

    def _height(self, y: Tensor) -> Tensor:
        """Density of Y."""
        return self.scale * self.density(self.loc + self.scale * y)

    def cdf(self, z: Tensor) -> Tensor:
        return Mass.apply(self._y(z.double()), self._left, self._height).to(z)

    def survival(self, z: Tensor) -> Tensor:
        return Mass.apply(self._y(z.double()), self._right, lambda y: -self._height(y)).to(z)

    def quantile(self, u: Tensor) -> Tensor:
        return self.loc + self.scale * on_host(self._left_quantile, u)

    def upper_quantile(self, u: Tensor) -> Tensor:
        return self.loc + self.scale * on_host(self._right_quantile, u)

    def reach(self) -> tuple[float, float]:
        tiny = torch.tensor(NEGLIGIBLE, dtype=torch.float64)
        low = self.lower if math.isfinite(self.lower) else float(self.quantile(tiny))
        high = self.upper if math.isfinite(self.upper) else float(self.upper_quantile(tiny))
        return low, high

    @abstractmethod
    def standard(self) -> Standardised:
        """The law of Y."""

    def _ends(self) -> tuple[float, float]:
        """Ends of the panels of Y."""
        return self.reach()

    @cached_property
    def _panels(self) -> list[float]:
        if (self.loc, self.scale) == (0.0, 1.0):
            return resolved(self.density, sorted({*self._ends(), *self.reach(), self.mean})).tolist()
        return moved(self.standard().panels(), self.loc, self.scale, self.lower, self.upper)

    def panels(self) -> list[float]:
        return self._panels


class Gamma(Standardised):
    """Gamma law on (low, inf) with density proportional to y^(shape - 1) exp(-y), y = (z - low)/scale.

    Args:
        shape: exponent (no unit).
        scale: decay length (length).
        low: left end of the support (length).
    """

    derivable = ("scale", "low")

    @checked
    def __init__(self, shape: Positive = 2.0, scale: Positive = 1.0, low: Finite = 0.0) -> None:
        self.shape, self.scale, self.loc, self.lower = shape, scale, low, low
        self.mean, self.std = low + shape * scale, math.sqrt(shape) * scale
        self._log_norm = float(scipy.special.gammaln(shape)) + math.log(scale)

    def log_density(self, z: Tensor) -> Tensor:
        y = self._y(z)
        inside = y > 0  # two wheres: otherwise the derivative outside would be 0 * inf
        safe = torch.where(inside, y, 1.0)
        return torch.where(inside, (self.shape - 1) * torch.log(safe) - safe - self._log_norm, -math.inf)

    def standard(self) -> Gamma:
        return Gamma(self.shape)

    def _left(self, y: np.ndarray) -> np.ndarray:
        return scipy.special.gammainc(self.shape, np.maximum(y, 0.0))

    def _right(self, y: np.ndarray) -> np.ndarray:
        return scipy.special.gammaincc(self.shape, np.maximum(y, 0.0))

    def _left_quantile(self, u: np.ndarray) -> np.ndarray:
        return scipy.special.gammaincinv(self.shape, u)

    def _right_quantile(self, u: np.ndarray) -> np.ndarray:
        return scipy.special.gammainccinv(self.shape, u)


class Student(Standardised):
    """Student's t law with density proportional to (1 + y^2/df)^(-(df + 1)/2), y = (z - loc)/scale.

    Args:
        df: degrees of freedom; the variance is infinite for df <= 2, and for df < 2.42 no quadrature holds it.
        loc, scale: place and scale (length).
    """

    derivable = ("loc", "scale")

    @checked
    def __init__(self, df: MoreThanTwo = 4.0, loc: Finite = 0.0, scale: Positive = 1.0) -> None:
        self.df, self.loc, self.scale, self.mean = df, loc, scale, loc
        self.std = scale * math.sqrt(df / (df - 2))
        self._log_norm = float(scipy.special.betaln(0.5, 0.5 * df)) + 0.5 * math.log(df) + math.log(scale)

    def log_density(self, z: Tensor) -> Tensor:
        y = self._y(z)
        return -0.5 * (self.df + 1) * torch.log1p(y * y / self.df) - self._log_norm

    def standard(self) -> Student:
        return Student(self.df)

    def _ends(self) -> tuple[float, float]:
        """Beyond them lies the share LIGHT of the variance, (2 c/df) y^(2 - df) where p is nearly c y^(-df - 1)."""
        log_c = 0.5 * (self.df + 1) * math.log(self.df) - self._log_norm
        log_y = (log_c + math.log(2 / (self.df * LIGHT))) / (self.df - 2)
        far = max(self.reach()[1], math.exp(min(log_y, math.log(FARTHEST))))
        return -far, far

    def _left(self, y: np.ndarray) -> np.ndarray:
        return scipy.special.stdtr(self.df, y)

    def _right(self, y: np.ndarray) -> np.ndarray:
        return scipy.special.stdtr(self.df, -y)

    def _left_quantile(self, u: np.ndarray) -> np.ndarray:
        return scipy.special.stdtrit(self.df, u)

    def _right_quantile(self, u: np.ndarray) -> np.ndarray:
        return -scipy.special.stdtrit(self.df, u)
