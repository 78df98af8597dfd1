"""Inverse of an increasing map by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from wgf.problem.base import Base

BISECTIONS, EXTENSIONS = 60, 60


def inverse(map: Callable[[Tensor], Tensor], base: Base, x: Tensor) -> Tensor:
    """Starts z [n] of the particles that a map moves to x [n] (length); -+inf outside all particles, NaN for NaN.

    Args:
        map: increasing, sends z [n] to positions [n]; linear outside the panels of the base.
        base: where the particles start.
        x: positions [n].
    """
    ends = base.panels()
    low, high = torch.full_like(x, ends[0]), torch.full_like(x, ends[-1])
    for _ in range(EXTENSIONS):
        left, right = map(low) > x, map(high) < x
        if math.isfinite(base.lower) or not bool((left | right).any()):
            break
        low, high = torch.where(left, 2 * low - high, low), torch.where(right, 2 * high - low, high)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = map(middle) < x
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    z = torch.where(left, -math.inf, torch.where(right, math.inf, 0.5 * (low + high)))
    return torch.where(x.isnan(), x, z)
