"""Laws from what Python programs hold: samples, densities, laws of scipy.stats and of torch.distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor
from torch.distributions import Distribution

from wgf.errors import ConfigError
from wgf.problem.base import Law
from wgf.problem.laws.beta import Beta
from wgf.problem.laws.data import Empirical, Samples
from wgf.problem.laws.elementary import Exponential, Laplace, Uniform
from wgf.problem.laws.formula import Density
from wgf.problem.laws.normal import Gaussian, LogNormal, Mixture
from wgf.problem.laws.special import Gamma, Student, on_host
from wgf.settings.tensors import has_derivatives, is_foreign

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
# of torch's families: our law from the distribution
TORCH: dict[str, Callable[[Any], Law]] = {
    "Normal": lambda d: Gaussian(_number(d.loc), _number(d.scale)),
    "Uniform": lambda d: Uniform(_number(d.low), _number(d.high)),
    "Laplace": lambda d: Laplace(_number(d.loc), _number(d.scale)),
    "Exponential": lambda d: Exponential(_number(1 / d.rate)),
    "Gamma": lambda d: Gamma(_number(d.concentration), _number(1 / d.rate)),
    "LogNormal": lambda d: LogNormal(_number(d.scale), _number(d.loc.exp())),
    "StudentT": lambda d: Student(_number(d.df), _number(d.loc), _number(d.scale)),
    "Beta": lambda d: Beta(_number(d.concentration1), _number(d.concentration0)),
}


def _number(value: Any) -> float:
    """A parameter of a distribution.

    Raises:
        ConfigError: it has derivatives, which would be lost.
    """
    if is_foreign(value) or has_derivatives(value):
        raise ConfigError(
            "law: distributions have no derivatives, detach them; the numbers of wgf.Gaussian and others have"
        )
    return float(value)


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
    """Law of an object: a law, an array of samples, a density, or a distribution of scipy.stats or torch.

    Args:
        value: a `Law` as it is; a frozen continuous distribution of scipy.stats; one number of a family in `TORCH` or a
            mixture of normal ones of torch.distributions; a function from tensors x [n] (length) to a density
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
        given = [_number(parameter) for parameter in (*shapes, loc, scale)]
        return Frozen(value) if made is None else made(*given)
    if isinstance(value, Distribution):
        return _of_torch(value)
    if callable(value):
        return Density(value, low, high)
    if isinstance(value, np.ndarray | Tensor | list | tuple):
        return Samples(value)
    raise ConfigError(
        f"law={value!r} is not allowed: expected a law, such as wgf.Gaussian(), samples, a density of tensors, or a "
        "law of scipy.stats or torch.distributions"
    )


def compared_law(value: Any) -> Law:
    """Law with which a flow is compared: samples count as they are, all else as in `law_of`."""
    return Empirical(value) if isinstance(value, np.ndarray | Tensor | list | tuple) else law_of(value)


def _of_torch(value: Any) -> Law:
    family = type(value).__name__
    if value.batch_shape or value.event_shape:
        raise ConfigError(f"law={family} is that of several numbers: expected a distribution of one")
    if family == "MixtureSameFamily" and type(value.component_distribution).__name__ == "Normal":
        parts, weights = value.component_distribution, value.mixture_distribution.probs
        return Mixture(*([_number(x) for x in row] for row in (parts.loc, parts.scale, weights)))
    if family not in TORCH:
        raise ConfigError(
            f"law={family} is not known: expected {', '.join(TORCH)} or a mixture of Normal; or give its density, a "
            "function of tensors"
        )
    return TORCH[family](value)
