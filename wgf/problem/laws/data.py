"""Laws from data: samples, smoothed or as they are, histograms, tables of a density."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.base import Law
from wgf.problem.laws.columns import read
from wgf.problem.laws.piecewise import PiecewiseLinear
from wgf.settings.arguments import numbers
from wgf.settings.ranges import Column, FloatsOrNone, NonNegativeOrNone, Text, TextOrNone, checked
from wgf.settings.tensors import has_derivatives

log = logging.getLogger("wgf")

REACH, FINE, MOST = 8, 8, 200_000  # of a kernel: its cut (bandwidths), points per bandwidth, and most points


class Samples(PiecewiseLinear):
    """Law of samples, smoothed by a Gaussian kernel.

    The density is linear between points an eighth of the bandwidth apart, and the variance is that of the samples plus
    the square of the bandwidth. Without smoothing, each sample spreads its mass evenly between the middles to its
    neighbours.

    Args:
        values: samples [n], at least two different ones, in any order (length).
        weights: of the samples [n], positive; equal by default.
        smoothing: bandwidth of the kernel (length); 0 means no smoothing, None the bandwidth std n^(-1/3). This is the
            best rate for quantiles: the smoothing adds std^2 n^(-2/3) to the variance, less than the statistical error.

    Attributes:
        count: number of samples.
        bandwidth: of the kernel, 0 without smoothing (length).
    """

    @checked
    def __init__(self, values: Any, weights: Any = None, smoothing: NonNegativeOrNone = None) -> None:
        x = _array("values", values)
        w = np.ones_like(x) if weights is None else _array("weights", weights)
        if len(x) != len(w):
            raise ConfigError(f"values and weights have {len(x)} and {len(w)} entries: expected as many of each")
        if not w.min() > 0:
            raise ConfigError(f"weights hold {w.min():g} at entry {int(w.argmin()) + 1}: expected positive numbers")
        self.count = len(x)
        x, same = np.unique(x, return_inverse=True)
        w = np.bincount(same, w) / w.sum()
        if len(x) < 2:
            raise ConfigError(f"values hold one value only, {x[0]:g}: expected at least two different ones")
        mean = float(w @ x)
        std = float(np.sqrt(w @ (x - mean) ** 2))
        self.bandwidth = std * self.count ** (-1 / 3) if smoothing is None else float(smoothing)
        if self.bandwidth:
            super().__init__(*_kernel_density(x, w, self.bandwidth))
            how = f"smoothed by a Gaussian kernel of bandwidth {self.bandwidth:.4g}; smoothing=0 switches it off"
        else:
            middles = 0.5 * (x[1:] + x[:-1])
            edges = np.concatenate([2 * x[:1] - middles[:1], middles, 2 * x[-1:] - middles[-1:]])
            super().__init__(edges, w / np.diff(edges), w / np.diff(edges))
            how = "not smoothed"
        log.info("law: %d samples, mean %.6g, standard deviation %.6g, %s", self.count, mean, std, how)


class Empirical(Law):
    """Law of samples as they are: of n samples each has the mass 1/n.

    Args:
        samples: [n] in any order (length).
    """

    def __init__(self, samples: Any) -> None:
        x, count = np.unique(_array("samples", samples), return_counts=True)
        self._places, total = torch.from_numpy(x), int(count.sum())
        self._below = torch.from_numpy(np.cumsum(count) / total)  # mass up to each place, and from each place on
        self._beyond = torch.from_numpy(np.cumsum(count[::-1])[::-1] / total)
        self.lower, self.upper = float(x[0]), float(x[-1])
        self.mean = float(count @ x) / total
        self.std = float(np.sqrt(count @ (x - self.mean) ** 2 / total))

    @property
    def breaks(self) -> tuple[Tensor, Tensor]:
        return self._below[:-1], self._beyond[1:]

    def quantile(self, u: Tensor) -> Tensor:
        return self._places.to(u)[torch.searchsorted(self._below[:-1].to(u), u.contiguous())]

    def upper_quantile(self, u: Tensor) -> Tensor:
        beyond = self._beyond[1:].flip(0).to(u)
        return self._places.to(u)[len(beyond) - torch.searchsorted(beyond, u.contiguous())]


class SampleFile(Samples):
    """Law of the samples in a text file, see `Samples` and `columns.read`.

    Args:
        path: of the file, one sample per line.
        column: of the samples: a number from 1, or a name in the first line.
        weights: column of the weights; null for equal weights.
        smoothing: bandwidth of the kernel (length); 0: none; null: std n^(-1/3).
    """

    @checked
    def __init__(
        self, path: Text, column: Column = 1, weights: Column = None, smoothing: NonNegativeOrNone = None
    ) -> None:
        values, *shares = read(path, [column or 1] if weights is None else [column or 1, weights])
        try:
            super().__init__(values, shares[0] if shares else None, smoothing)
        except ConfigError as error:
            raise ConfigError(*(f"path={path}: {line}" for line in error.lines)) from None


class Histogram(PiecewiseLinear):
    """Law of a histogram: constant density in each bin. Bins may be empty.

    Args:
        edges: of the bins [n + 1], increasing (length).
        counts: of the bins [n], not negative.
        path: of a text file with a bin per line, left edge, right edge, count; instead of `edges` and `counts`.
    """

    @checked
    def __init__(self, edges: FloatsOrNone = None, counts: FloatsOrNone = None, path: TextOrNone = None) -> None:
        x, n = (_array("edges", edges), _array("counts", counts)) if path is None else _bins(path)
        if len(x) != len(n) + 1:
            raise ConfigError(
                f"edges and counts have {len(x)} and {len(n)} entries: expected one edge more than counts"
            )
        _refuse_disorder("edges", x)
        _refuse_signs("counts", n)
        density = n / np.diff(x)
        super().__init__(x, density, density)


class Table(PiecewiseLinear):
    """Law with a density given at points, linear in between and 0 outside; wgf normalises it.

    Args:
        x: points [n], increasing, at least two (length).
        density: at the points [n], not negative.
        path: of a text file with a point per line, x and density; instead of `x` and `density`.
    """

    @checked
    def __init__(self, x: FloatsOrNone = None, density: FloatsOrNone = None, path: TextOrNone = None) -> None:
        points, p = columns_of(path, x=x, density=density)
        if len(points) < 2:
            raise ConfigError(f"x has {len(points)} entries: expected two or more")
        _refuse_signs("density" if path is None else f"path={path}: the densities", p)
        super().__init__(points, p[:-1], p[1:])


def columns_of(path: str | None, **given: Any) -> list[np.ndarray]:
    """Two arrays [n], the first increasing, from the first columns of a file or from lists by name.

    Raises:
        ConfigError: they are missing or differ in length, the first does not increase, or the file is not readable.
    """
    first, second = given
    x, y = [_array(name, values) for name, values in given.items()] if path is None else read(path, (1, 2))
    if len(x) != len(y):
        raise ConfigError(f"{first} and {second} have {len(x)} and {len(y)} entries: expected as many of each")
    _refuse_disorder(first if path is None else f"path={path}: the first column", x)
    return [x, y]


def _bins(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Edges [n + 1] and counts [n] of the bins in a file; a gap between two bins is an empty bin.

    Raises:
        ConfigError: bins overlap or are not in order.
    """
    begin, end, height = read(path, (1, 2, 3))
    ends = np.stack([begin, end], axis=1).ravel()
    if (falls := np.flatnonzero(np.diff(ends) < 0)).size:
        row = int(falls[0]) // 2 + 1
        raise ConfigError(
            f"path={path}: bin {row} overlaps bin {row + 1} or is reversed: expected bins from left to right"
        )
    edges = np.unique(ends)
    counts = np.zeros(len(edges) - 1)
    counts[np.searchsorted(edges, begin)] = height
    return edges, counts


def _kernel_density(x: np.ndarray, w: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges [n + 1] of cells and the density of sum_i w_i N(x_i, h^2) at the left and at the right end of each [n].

    Each group of samples has its own points, which lie symmetrically about its middle, so that a reflection of the
    samples reflects the law. Samples are split between their two next points. This split and the lines between the
    points widen a kernel; h^2 is the variance of the widened one.

    Raises:
        ConfigError: this takes too many points, or points that rounding does not tell apart.
    """
    step, reach = h / FINE, REACH * FINE
    if step < 8 * np.spacing(np.abs(x).max()):
        raise ConfigError(f"smoothing={h:g} is lost in the rounding of samples near {np.abs(x).max():g}: increase it")
    first = np.flatnonzero(np.diff(x, prepend=-np.inf) > 2 * (reach + 2) * step)  # sample of each group
    left, right = x[first], x[np.append(first[1:], len(x)) - 1]
    middle = 0.5 * (left + right)
    half = ((right - middle) / step).astype(int) + 1 + reach  # points on either side of the middle
    begin = np.cumsum(2 * half + 1) - 2 * half - 1  # number of the first point of each group
    total = int((2 * half + 1).sum())
    if total > MOST:
        raise ConfigError(
            f"smoothing={h:g} needs a density at {total:,} points, but at most {MOST:,} are allowed: use "
            f"smoothing={1.1 * FINE * (x[-1] - x[0]) / MOST:.2g}, or smoothing=0 to switch it off"
        )
    group = np.repeat(np.arange(len(first)), np.diff(first, append=len(x)))
    place = (x - middle[group]) / step + half[group]
    cell = np.floor(place).astype(int)
    share = place - cell
    cell += begin[group]
    binned = np.bincount(cell, w * (1 - share), total) + np.bincount(cell + 1, w * share, total)
    variance = h * h - step * step * (w @ (share * (1 - share)) + 1 / 6)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step) ** 2 / variance)
    density = np.convolve(binned, kernel, "same")
    group = np.repeat(np.arange(len(first)), 2 * half + 1)
    points = middle[group] + step * (np.arange(total) - begin[group] - half[group])
    inside = group[1:] == group[:-1]
    return points, np.where(inside, density[:-1], 0.0), np.where(inside, density[1:], 0.0)


def _array(name: str, values: Any) -> np.ndarray:
    """Finite numbers [n].

    Raises:
        ConfigError: they are missing, require grad, or one is not a finite number.
    """
    if values is None:
        raise ConfigError(f"{name} is missing: give {name}=[...], or path=<file>")
    if has_derivatives(values):
        raise ConfigError(f"{name} require grad, but a law of data has no derivatives: detach them")
    array = numbers(name, values)
    if array.ndim != 1 or not len(array):
        raise ConfigError(f"{name} has the shape {array.shape}: expected one row of numbers")
    if not np.isfinite(array).all():
        k = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ConfigError(f"{name} holds {array[k]} at entry {k + 1}: expected finite numbers")
    return array


def _refuse_disorder(name: str, x: np.ndarray) -> None:
    """Refuse numbers [n] that do not increase."""
    if (falls := np.flatnonzero(np.diff(x) <= 0)).size:
        k = int(falls[0])
        raise ConfigError(f"{name} must increase, but entry {k + 2} is {x[k + 1]:g} after {x[k]:g}: sort them")


def _refuse_signs(name: str, values: np.ndarray) -> None:
    """Refuse negative numbers, and a sum of 0."""
    if (negative := np.flatnonzero(values < 0)).size:
        k = int(negative[0])
        raise ConfigError(f"{name} must not be negative, but entry {k + 1} is {values[k]:g}")
    if not values.sum() > 0:
        raise ConfigError(f"{name} are all 0: expected some mass")
