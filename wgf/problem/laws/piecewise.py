"""Laws whose density is linear in every cell of a mesh."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from wgf.problem.base import Base


class PiecewiseLinear(Base):
    """Law whose density is linear between the edges of cells, and may jump at the edges. Cells may be empty.

    Args:
        edges: of the cells [n + 1], increasing (length).
        left, right: density at the left and at the right end of each cell [n], not negative; wgf normalises them.
    """

    smooth = False

    def __init__(self, edges: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
        width = np.diff(edges)
        total = 0.5 * width @ (left + right)
        left, right = left / total, right / total
        mass = 0.5 * width * (left + right)
        self._edges, self._start, self._slope = edges, left, (right - left) / width
        self._finish = right
        self._below = np.append(0.0, np.cumsum(mass))  # mass left of each edge
        self._beyond = np.append(np.cumsum(mass[::-1])[::-1], 0.0)  # mass right of each edge
        self.lower, self.upper = float(edges[0]), float(edges[-1])
        middle = 0.5 * (edges[1:] + edges[:-1])
        tilt = width**2 * (right - left) / 12  # int (z - middle) p over a cell
        self.mean = float(mass @ middle + tilt.sum())
        y = middle - self.mean
        self.std = math.sqrt(float(mass @ (y * y + width**2 / 12) + 2 * tilt @ y))

    def _on(self, z: Tensor, *arrays: np.ndarray) -> list[Tensor]:
        return [torch.from_numpy(array).to(z) for array in arrays]

    def _cell(self, z: Tensor) -> Tensor:
        (edges,) = self._on(z, self._edges[1:-1])
        return torch.searchsorted(edges, z.detach().contiguous(), right=True)

    def log_density(self, z: Tensor) -> Tensor:
        edges, start, slope = self._on(z, self._edges, self._start, self._slope)
        cell = self._cell(z)
        p = start[cell] + slope[cell] * (z - edges[cell])
        inside = (z >= self.lower) & (z <= self.upper) & (p > 0)
        return torch.where(inside, torch.log(torch.where(inside, p, 1.0)), -math.inf)

    def cdf(self, z: Tensor) -> Tensor:
        edges, start, slope, below = self._on(z, self._edges, self._start, self._slope, self._below)
        z = z.clamp(self.lower, self.upper)
        cell = self._cell(z)
        t = z - edges[cell]
        return (below[cell] + t * (start[cell] + 0.5 * slope[cell] * t)).clamp(0.0, 1.0)

    def survival(self, z: Tensor) -> Tensor:
        edges, finish, slope, beyond = self._on(z, self._edges, self._finish, self._slope, self._beyond)
        z = z.clamp(self.lower, self.upper)
        cell = self._cell(z)
        t = edges[cell + 1] - z
        return (beyond[cell + 1] + t * (finish[cell] - 0.5 * slope[cell] * t)).clamp(0.0, 1.0)

    def quantile(self, u: Tensor) -> Tensor:
        edges, start, slope, below = self._on(u, self._edges, self._start, self._slope, self._below)
        cell = torch.searchsorted(below[1:-1].contiguous(), u)
        return torch.minimum(edges[cell] + _reach(u - below[cell], start[cell], slope[cell]), edges[cell + 1])

    def upper_quantile(self, u: Tensor) -> Tensor:
        edges, finish, slope, beyond = self._on(u, self._edges, self._finish, self._slope, self._beyond)
        cell = len(slope) - 1 - torch.searchsorted(beyond[1:-1].flip(0).contiguous(), u)
        return torch.maximum(edges[cell + 1] - _reach(u - beyond[cell + 1], finish[cell], -slope[cell]), edges[cell])

    def panels(self) -> list[float]:
        return self._edges.tolist()


def _reach(mass: Tensor, density: Tensor, slope: Tensor) -> Tensor:
    """Length t with density t + slope t^2/2 = mass."""
    root = (density * density + 2 * slope * mass).clamp(min=0).sqrt()
    total = density + root
    return torch.where(total > 0, 2 * mass.clamp(min=0) / torch.where(total > 0, total, 1.0), 0.0)
