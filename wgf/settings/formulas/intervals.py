"""Interval arithmetic with outward rounding, on boxes and far away.

On |x| >= FAR an interval has a power: the functions lie between low |x|^power and high |x|^power, so that sums know
which term dominates up to infinity.

Source: R. E. Moore, R. B. Kearfott, M. J. Cloud, Introduction to Interval Analysis (2009), chapters 5 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

FAR = 1e12  # boxes reach so far on either side
ROUNDING, TINY = 1e-15, 1e-320  # a function of numpy errs by less
DECAY = 64.0  # exp(-x) is treated as x^-DECAY far away


@dataclass(frozen=True)
class Interval:
    """Functions between low |x|^power and high |x|^power; the power is 0 in boxes. low, high: [boxes]."""

    low: np.ndarray
    high: np.ndarray
    power: float = 0.0

    @cached_property
    def is_zero(self) -> bool:
        return not (self.low.any() or self.high.any())

    def values(self) -> Interval:
        """The same functions with power 0."""
        if self.power == 0:
            return self
        scale = _far_power(self.power)
        near, far = (0.0, scale) if self.power < 0 else (scale, math.inf)
        corners = [_product(end, factor) for end in (self.low, self.high) for factor in (near, far)]
        return outward(np.minimum.reduce(corners), np.maximum.reduce(corners))

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low, self.power)

    def __add__(self, other: Interval) -> Interval:
        if self.is_zero or other.is_zero:
            return other if self.is_zero else self
        if self.power < other.power:
            return other + self
        low, high = other.low, other.high
        if other.power < self.power:  # |x|^(p - q) >= FAR^(p - q)
            share = _far_power(other.power - self.power)
            low, high = np.minimum(_product(low, share), 0.0), np.maximum(_product(high, share), 0.0)
        return outward(self.low + low, self.high + high, self.power)

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __mul__(self, other: Interval) -> Interval:
        if self.is_zero or other.is_zero:
            return self if self.is_zero else other
        corners = _product(np.stack([self.low, self.high])[:, None], np.stack([other.low, other.high])).reshape(4, -1)
        return outward(corners.min(0), corners.max(0), self.power + other.power)

    def reciprocal(self) -> Interval:
        """1 / f; unbounded where f may vanish."""
        crosses = (self.low < 0) & (self.high > 0)
        low = np.where(crosses | (self.high == 0), -math.inf, 1 / self.high)
        high = np.where(crosses | (self.low == 0), math.inf, 1 / self.low)
        return outward(low, high, -self.power)

    def to_power(self, c: float) -> Interval:
        """f^c; unbounded where that is not real, and over the pole of a whole power: f^c jumps, or V is infinite."""
        if c < 0:
            pole = (self.low <= 0) & (self.high >= 0) & (c == int(c))
            found = self.to_power(-c).reciprocal()
            low, high = np.where(pole, -math.inf, found.low), np.where(pole, math.inf, found.high)
            return Interval(low, high, found.power)
        if self.is_zero:
            return self
        ends = [np.where((end != 0) & (end**c == 0), TINY, end**c) for end in (self.low, self.high)]
        low, high = np.minimum(*ends), np.maximum(*ends)
        if c == int(c):
            crosses = (self.low < 0) & (self.high > 0)
            low = np.where(crosses & (c % 2 == 0), 0.0, low)
        else:
            low, high = np.where(self.low < 0, -math.inf, low), np.where(self.low < 0, math.inf, high)
        return outward(low, high, self.power * c)

    def mapped(self, function: Callable) -> Interval:
        """An increasing function of f."""
        of = self.values()
        return outward(function(of.low), function(of.high))


def _far_power(power: float) -> float:
    """FAR^power; inf beyond the largest number."""
    return float(np.float64(FAR) ** power)


def _product(a: np.ndarray, b: np.ndarray | float) -> np.ndarray:
    """a b, with 0 inf = 0 (intervals hold real numbers only) and without underflow to 0."""
    product = a * b
    if (product != 0).all() and not np.isnan(product).any():
        return product
    product = np.where(product == 0, np.sign(a) * np.sign(b) * TINY, product)
    return np.where((a == 0) | (np.asarray(b) == 0), 0.0, product)


def outward(low: np.ndarray, high: np.ndarray, power: float = 0.0) -> Interval:
    """Interval after rounding outward, where 0 is exact; everything where the arithmetic failed."""
    low = np.where((low == 0) | np.isinf(low), low, low - (ROUNDING * np.abs(low) + TINY))
    high = np.where((high == 0) | np.isinf(high), high, high + (ROUNDING * np.abs(high) + TINY))
    big = np.finfo(float).max  # an overflow is only known to be large
    low = np.where(np.isnan(low), -math.inf, np.minimum(low, big))
    high = np.where(np.isnan(high), math.inf, np.maximum(high, -big))
    return Interval(low, high, power)


def constant(value: float, like: Interval) -> Interval:
    """A constant, on the boxes of another interval."""
    found = np.full_like(like.low, value)
    return Interval(found, found)


def exponential(u: Interval) -> Interval:
    """exp(u)."""
    if u.power <= 0 or (u.low[0] <= 0 <= u.high[0]):
        of = u.values()
        return outward(np.exp(of.low), np.maximum(np.exp(of.high), TINY))
    if u.low[0] > 0:
        return exponential(-u).reciprocal()
    # sup_{x >= FAR} x^DECAY exp(-h x^p) lies at x^p = DECAY/(h p), or at FAR
    h, p = -u.high, u.power
    peak = np.log(DECAY / p) - np.log(h)  # log x^p there: the power itself may be beyond the largest number
    inside = peak >= p * math.log(FAR)
    top = np.exp(np.where(inside, DECAY / p * (peak - 1), DECAY * math.log(FAR) - h * _far_power(p)))
    if np.isinf(top).any():  # it falls far beyond FAR: so much is known that it is at most 1
        return outward(np.zeros_like(top), np.ones_like(top))
    return outward(np.zeros_like(top), np.maximum(top, TINY), -DECAY)


def logarithm(u: Interval) -> Interval:
    """log(u)."""
    if u.power == 0:
        return u.mapped(np.log)
    # log|x| lies between 0 and |x|^(1/2) log(FAR) FAR^(-1/2)
    share = np.array([math.log(FAR) * FAR**-0.5])
    ends, wave = Interval(np.log(u.low), np.log(u.high)), Interval(0 * share, share, 0.5)
    return ends + wave * constant(u.power, u)


def absolute(u: Interval) -> Interval:
    """|u|."""
    low = np.where((u.low < 0) & (u.high > 0), 0.0, np.minimum(np.abs(u.low), np.abs(u.high)))
    return Interval(low, np.maximum(np.abs(u.low), np.abs(u.high)), u.power)


def sine(u: Interval) -> Interval:
    """sin(u)."""
    u = u.values()

    def holds(peak: float) -> np.ndarray:  # whether the interval contains a point peak + 2 pi k, or nearly so
        k = np.ceil((u.low - peak) / (2 * math.pi) - 1e-9)
        return ~(peak + 2 * math.pi * k > u.high + 1e-9 * (1 + np.abs(u.high)))

    ends = np.sin(u.low), np.sin(u.high)
    wide = 1e-15 * (1 + np.maximum(np.abs(u.low), np.abs(u.high)))  # of the argument's reduction
    low = np.where(holds(-0.5 * math.pi), -1.0, np.minimum(*ends) - wide)
    high = np.where(holds(0.5 * math.pi), 1.0, np.maximum(*ends) + wide)
    return outward(np.maximum(low, -1.0), np.minimum(high, 1.0))


def cosine(u: Interval) -> Interval:
    """cos(u)."""
    return sine(u + constant(0.5 * math.pi, u))
