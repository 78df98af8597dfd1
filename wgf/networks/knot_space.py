"""Moving knots: coordinates of the continuous piecewise linear maps of a two-sided ReLU network, and their exact lift.

Coordinates y = (s_L, b_1, u_1, ..., b_K, u_K, s_R): slope of the left tail, knots b_k with values u_k = f(b_k), slope
of the right tail; N = 2K + 2. A knot carries a right-facing neuron, a left-facing one, or both (a pair).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from wgf.networks.spline_space import TAIL_MASS
from wgf.problem.base import Base


class Broken(NamedTuple):
    """A continuous piecewise linear map with linear tails.

    Attributes:
        b, u: knots and values [K] (length).
        slopes: slopes of the K + 1 cells, the tails included.
    """

    b: Tensor
    u: Tensor
    slopes: Tensor

    @classmethod
    def of(cls, y: Tensor) -> Broken:
        """The map with coordinates y [N]."""
        b, u = y[1:-1:2].contiguous(), y[2:-1:2]
        return cls(b, u, torch.cat([y[:1], u.diff() / b.diff(), y[-1:]]))

    @property
    def coordinates(self) -> Tensor:
        """Coordinates y [N]."""
        return torch.cat([self.slopes[:1], torch.stack([self.b, self.u], dim=1).reshape(-1), self.slopes[-1:]])

    @property
    def h(self) -> Tensor:
        """Widths of the K - 1 inner cells (length)."""
        return self.b.diff()

    @property
    def min_slope(self) -> Tensor:
        """Smallest slope, scalar; negative if knots have met or crossed."""
        crossed = pad(self.h <= 0, (1, 1))
        return torch.where(crossed, -self.slopes.abs(), self.slopes).min()


class KnotSpace:
    """Conversion between the 4m parameters (w, wt, b, bt) of a network and the coordinates y of its map, O(m).

    Knots with less than TAIL_MASS beyond them belong to the linear tails: they do not move, and the map does not bend
    there.

    Args:
        base: the reference measure p.
        knots: all start knots, increasing [m] for pairs, or [2m - 2], where the outer two are pairs and the others face
            right and left in turn (length).
        width: m.
        offset: the constant of the network (length).
    """

    def __init__(self, base: Base, knots: Tensor, width: int, offset: Tensor) -> None:
        self.width, self.offset, self.knots = width, offset, knots
        every = torch.arange(len(knots), device=knots.device)
        if len(knots) == width:
            self.right = self.left = every
        else:
            self.right, self.left = (torch.cat([every[:1], every[k:-1:2], every[-1:]]) for k in (1, 2))
        self._shared = torch.isin(every, self.right) & torch.isin(every, self.left)
        self._faces_left = torch.isin(every, self.left) & ~self._shared
        tails = torch.minimum(base.cdf(knots), base.survival(knots))
        bent = (tails > TAIL_MASS).nonzero()[:, 0]
        self._active = slice(int(bent[0]), int(bent[-1]) + 1)
        self.truncated = len(knots) - len(bent)

    @property
    def identity(self) -> Tensor:
        """Coordinates [N] of f(z) = z."""
        b = self.knots[self._active]
        return Broken(b, b, b.new_ones(len(b) + 1)).coordinates

    def coordinates(self, theta: Tensor) -> Tensor:
        """Coordinates y [N] of the map with parameters theta [4m]; NaN if a pair has come apart."""
        w, wt, b, bt = theta.reshape(4, self.width)
        m, a = self.width, self._active
        knots = self.knots.index_copy(0, self.left, bt).index_copy(0, self.right, b)
        knots = knots.where((knots[self.left] == bt).all(), torch.nan)
        jumps = torch.zeros_like(knots).index_add(0, self.right, w).index_add(0, self.left, wt)
        slopes = (pad(jumps.cumsum(0), (1, 0)) - wt.sum()) / m
        first = self.offset + torch.dot(wt, bt - knots[0]) / m  # right-facing neurons vanish at the first knot
        u = first + pad((slopes[1:-1] * knots.diff()).cumsum(0), (1, 0))
        return Broken(knots[a], u[a], slopes[a.start : a.stop + 1]).coordinates

    def lift(self, y: Tensor) -> Tensor:
        """Parameters theta [4m] of the map with coordinates y [N].

        A knot with the jump J of the slope has the weight m J, a pair w = m J/2 + q, wt = m J/2 - q. The map left of
        all knots, (1/m) sum wt (bt - z) + offset, gives two equations for the shares q; q is their smallest solution.
        """
        map, m, a = Broken.of(y), self.width, self._active
        knots = torch.cat([self.knots[: a.start], map.b, self.knots[a.stop :]])
        jumps = m * pad(map.slopes.diff(), (a.start, len(knots) - a.stop))
        half = torch.where(self._shared, 0.5 * jumps, jumps)
        left = torch.where(self._shared | self._faces_left, half, 0.0)  # sum of the left-facing weights, plus sum of q
        reach = knots - knots[0]
        slope = map.slopes[0]
        value = map.u[0] - slope * (map.b[0] - knots[0]) - self.offset
        total, moment = left.sum() + m * slope, torch.dot(left, reach) - m * value
        pairs = self._shared.sum()
        centred = torch.where(self._shared, reach - torch.where(self._shared, reach, 0.0).sum() / pairs, 0.0)
        mean = reach[0] - centred[0]
        tilt = (moment - mean * total) / torch.dot(centred, centred)
        q = torch.where(self._shared, total / pairs + tilt * centred, 0.0)
        return torch.cat([(half + q)[self.right], (left - q)[self.left], knots[self.right], knots[self.left]])

    def velocity(self, y: Tensor, dy: Tensor) -> Tensor:
        """Velocity theta' [4m] of the parameters for the velocity y' [N] at y."""
        return torch.func.jvp(self.lift, (y,), (dy,))[1]

    def change(self, theta: Tensor, displacement: Tensor) -> Tensor:
        """Change of y [N], to first order, for a displacement of theta [4m]."""
        return torch.func.jvp(self.coordinates, (theta,), (displacement,))[1]
