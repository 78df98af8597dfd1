"""A potential given at points."""

from __future__ import annotations

import numpy as np
import scipy  # its modules are loaded when they are first used
import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.laws.data import columns_of
from wgf.problem.potential import Potential
from wgf.settings.ranges import FloatsOrNone, TextOrNone, checked


class Tabulated(Potential):
    """V through points by the natural cubic spline, linear beyond the outer points.

    V'' is continuous, linear between the points and 0 beyond them, so that it is least at a point.

    Args:
        x: points [n], increasing, at least three (length).
        values: V at the points [n] (energy per mass).
        path: of a text file with x and V a line; instead of `x` and `values`.

    Attributes:
        points: x [n] (length).

    Raises:
        ConfigError: the points do not increase or are too few, or the file is not readable.
    """

    @checked
    def __init__(self, x: FloatsOrNone = None, values: FloatsOrNone = None, path: TextOrNone = None) -> None:
        points, v = columns_of(path, x=x, values=values)
        if len(points) < 3:
            raise ConfigError(f"x has {len(points)} entries: expected three or more")
        spline = scipy.interpolate.CubicSpline(points, v, bc_type="natural")
        ends, slopes = points[[0, -1]], spline(points[[0, -1]], 1)
        # a cell of its own for each end, in which V is linear
        outer = np.array([[0.0, 0.0], [0.0, 0.0], slopes, v[[0, -1]]])
        self._starts = np.concatenate([ends[:1], points[:-1], ends[1:]])
        self._powers = np.concatenate([outer[:, :1], spline.c, outer[:, 1:]], axis=1)
        self.points, self._bends = points, spline(points, 2)
        self.convexity = min(0.0, float(self._bends.min()))

    def value_at(self, x: Tensor) -> Tensor:
        points, starts, powers = (torch.from_numpy(a).to(x) for a in (self.points, self._starts, self._powers))
        cell = torch.searchsorted(points, x.detach().contiguous(), right=True)
        y = x - starts[cell]
        a, b, c, d = powers[:, cell]
        return ((a * y + b) * y + c) * y + d

    @property
    def ends(self) -> tuple[float, float]:
        """The outer points (length)."""
        return float(self.points[0]), float(self.points[-1])

    def least_bends(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """The least V'' [n] in cells from low to high [n], increasing, that do not overlap (length)."""
        least = np.minimum(*(np.interp(end, self.points, self._bends) for end in (low, high)))
        cell = np.searchsorted(high, self.points).clip(max=len(high) - 1)
        inside = (low[cell] <= self.points) & (self.points <= high[cell])
        np.minimum.at(least, cell[inside], self._bends[inside])
        return least

    def __str__(self) -> str:
        return f"V through {len(self.points)} points"
