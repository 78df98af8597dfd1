"""Smallest second derivatives of interaction kernels, away from r = 0."""

from __future__ import annotations

import math
from collections.abc import Sequence


def least_bend_of_powers(strength: float, a: float, b: float) -> float | None:
    """min over r > 0 of strength ((a - 1) r^(a-2) - (b - 1) r^(b-2)) for a > b >= 1; None if it has no lower bound.

    The minimum lies at r^(a-b) = (b - 1)(b - 2) / ((a - 1)(a - 2)).
    """
    if b == 1:
        return strength if a == 2 else 0.0
    if b < 2:
        return None
    r = ((b - 1) * (b - 2) / ((a - 1) * (a - 2))) ** (1 / (a - b))
    return float(strength * ((a - 1) * r ** (a - 2) - (b - 1) * r ** (b - 2)))


def least_bend_of_waves(amplitudes: Sequence[float], lengths: Sequence[float]) -> float:
    """inf over r > 0 of the second derivative of c_1 exp(-r/s_1) + c_2 exp(-r/s_2), c_1 > 0 > c_2.

    With a_i = c_i / s_i^2 it lies at r = 0, at infinity, or where a_1/s_1 exp(-r/s_1) = -a_2/s_2 exp(-r/s_2).
    """
    (s, t), (a, b) = lengths, (c / s**2 for c, s in zip(amplitudes, lengths, strict=True))
    least = min(a + b, 0.0)
    if s != t and (r := math.log(-a * t / (b * s)) / (1 / s - 1 / t)) > 0:
        least = min(least, a * math.exp(-r / s) + b * math.exp(-r / t))
    return least
