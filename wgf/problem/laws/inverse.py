"""The inverse of increasing functions: quantiles of laws and of carried laws."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wgf.problem.base import Base

NEWTON, BISECTIONS = 30, 70  # most steps of each kind
ROUNDING = 2 * torch.finfo(torch.float64).eps  # last step, relative to the place; to the bracket if steps stay alike


@torch.no_grad()
def inverse(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], target: Tensor, low: Tensor, high: Tensor, error: float = 0.0
) -> Tensor:
    """Where an increasing function has the values `target` [n], in brackets.

    Newton's steps that stay in the bracket, which shrinks with each of them, and bisections of it for all others.

    Args:
        function: its values and slopes [n] at places [n].
        low, high: ends of the brackets [n].
        error: that is allowed, beyond rounding.
    """
    width, last = high - low, torch.full_like(target, torch.inf)
    z = 0.5 * (low + high)
    for count in range(NEWTON + BISECTIONS):
        value, slope = function(z)
        short = value < target
        low, high = torch.where(short, z, low), torch.where(short, high, z)
        step, least = (value - target) / slope, error + ROUNDING * z.abs()
        size = step.abs()
        # a place near 0 in a wide bracket is known when steps no longer shrink
        still = (size <= least) | ((size <= least + ROUNDING * width) & (size >= 0.5 * last))
        found = (value == target) | target.isnan() | (high - low <= least) | (still & (slope > 0))
        if bool(found.all()):
            break
        inside = (z - step > low) & (z - step < high) & (count < NEWTON)
        z, last = torch.where(found, z, torch.where(inside, z - step, 0.5 * (low + high))), size
    return z


def quantile(law: Base, u: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Points with the masses u [n] to their left, in brackets: log u and the logarithm of the mass are compared."""

    def logarithm(z: Tensor) -> tuple[Tensor, Tensor]:
        mass = law.cdf(z)
        return mass.log(), law.density(z) / mass

    return inverse(logarithm, u.log(), low, high)


def upper_quantile(law: Base, u: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Points with the masses u [n] to their right, in brackets."""

    def logarithm(z: Tensor) -> tuple[Tensor, Tensor]:
        mass = law.survival(z)
        return -mass.log(), law.density(z) / mass

    return inverse(logarithm, -u.log(), low, high)
