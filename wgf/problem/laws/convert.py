"""Laws from what Python programs hold: arrays of samples, densities, frozen laws of scipy.stats."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.base import Law
from wgf.problem.laws.beta import Beta
from wgf.problem.laws.data import Samples
from wgf.problem.laws.elementary import Exponential, Laplace, Uniform
from wgf.problem.laws.formula import Density
from wgf.problem.laws.normal import Gaussian, LogNormal
from wgf.problem.laws.special import Gamma, Student, on_host

# of scipy's families: our law from their shapes, location and scale
FAMILIES: dict[str, Callable[..., Law]] = {
    "norm": lambda loc, scale: Gaussian(loc, scale),
    "uniform": lambda loc, scale: Uniform(loc, loc + scale),
    "laplace": lambda loc, scale: Laplace(loc, scale),
    "expon": lambda loc, scale: Exponential(scale, loc),
    "gamma": lambda shape, loc, scale: Gamma(shape, scale, loc),
    "lognorm": lambda sigma, loc, scale: LogNormal(sigma, scale, loc),
    "t": lambda df, loc, scale: Student(df, loc, scale),
    "beta": lambda a, b, loc, scale: Beta(a, b, loc, loc + scale),
}


class Frozen(Law):
    """Law of a frozen continuous distribution of scipy.stats, by its quantiles; it cannot be the base of a map.

    Args:
        distribution: with the methods ppf, isf, cdf, sf, mean, std and support.
    """

    def __init__(self, distribution: Any) -> None:
        self._distribution = distribution
        self.mean, self.std = float(distribution.mean()), float(distribution.std())
        self.lower, self.upper = map(float, distribution.support())
        if not (math.isfinite(self.mean) and 0 < self.std < math.inf):
            raise ConfigError(f"law has mean {self.mean:g} and standard deviation {self.std:g}: expected finite ones")

    def quantile(self, u: Tensor) -> Tensor:
        return on_host(self._distribution.ppf, u)

    def upper_quantile(self, u: Tensor) -> Tensor:
        return on_host(self._distribution.isf, u)

    def cdf(self, z: Tensor) -> Tensor:
        return on_host(self._distribution.cdf, z)

    def survival(self, z: Tensor) -> Tensor:
        return on_host(self._distribution.sf, z)


def law_of(value: Any, low: float | None = None, high: float | None = None) -> Law:
    """Law of an object: a law, an array of samples, a density, or a frozen distribution of scipy.stats.

    Args:
        value: a `Law` as it is; a frozen continuous distribution; a function from tensors x [n] (length) to a density
            [n], normalised or not; a formula of a density; else samples [n] in an array, a tensor or a list.
        low, high: walls, where the support of a function ends (length); None where there is none.

    Raises:
        ConfigError: it is none of these, or no law can be made of it.
    """
    if isinstance(value, Law):
        return value
    family = getattr(value, "dist", None)
    if family is not None and hasattr(value, "ppf"):
        if hasattr(value, "pmf") and not hasattr(family, "pdf"):
            raise ConfigError(f"law={family.name} is discrete: expected a continuous distribution")
        made = FAMILIES.get(family.name)
        shapes, loc, scale = family._parse_args(*value.args, **value.kwds)
        return Frozen(value) if made is None else made(*map(float, shapes), float(loc), float(scale))
    if callable(value):
        return Density(value, low, high)
    if isinstance(value, np.ndarray | Tensor | list | tuple):
        return Samples(value)
    raise ConfigError(
        f"law={value!r} is not allowed: expected a law, such as wgf.Gaussian(), samples, a density of tensors, or a "
        "frozen law of scipy.stats"
    )
