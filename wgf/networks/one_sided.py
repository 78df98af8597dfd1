"""A ReLU network whose neurons all face right, as in the closed form of the paper (arXiv:2402.16821):

f(z) = z + (1/m) [ sum_i (z - b_i)_+ - sum_i (z - bt_i)_+ ],  start: b = bt, hence f(z) = z.

Only the biases are trained. The map stands still left of all knots. For distinct knots in order, with the masses d_i
right of them up to the next one, G = diag(a) K diag(a) with K_ij = 1 - P(max(b_i, b_j)) and
K^-1 = D^T diag(1/d) D, D = I - superdiagonal(1): tridiagonal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from wgf.networks.base import Neurons, Size
from wgf.networks.relu import PiecewiseLinear, initial_knots
from wgf.problem.base import Base
from wgf.settings.ranges import Positive, TwoOrMore, checked


class OneSidedReLU(PiecewiseLinear):
    """Two-layer ReLU network with 2m right-facing neurons, whose biases are trained.

    Args:
        width: m >= 2.
        bound: B; the knots start in pairs, equispaced on mean -+ B std of the base (no unit).
        base: the reference measure p.
    """

    weights: Tensor

    @checked
    def __init__(self, width: TwoOrMore = 16, bound: Positive = 4.0, *, base: Base) -> None:
        super().__init__(base)
        self.width, self.bound, self.moving_knots = width, bound, True
        knots, ones = initial_knots(base, width, bound), torch.ones(width, dtype=torch.float64)
        self.register_buffer("weights", torch.cat([ones, -ones]) / width)
        self.theta = nn.Parameter(torch.cat([knots, knots]))

    @classmethod
    def size(cls, settings: Mapping[str, Any]) -> Size:
        width = float(settings["width"])
        return Size(2 * width, 2 * width, 1, banded=True)

    def moving_neurons(self, theta: Tensor) -> Neurons:
        return Neurons(self.weights, theta, torch.zeros_like(theta, dtype=torch.bool))

    def steps(self, theta: Tensor, part: slice = slice(None)) -> Neurons:
        return self.moving_neurons(theta)

    def pulled_back(self, weights: Tensor, biases: Tensor) -> Tensor:
        return biases

    def knots(self, theta: Tensor) -> Tensor:
        return theta

    def cells(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sorted knots [2m] and, on the 2m + 1 cells between them, slope and intercept of f; O(m log m)."""
        knots, order = theta.sort(stable=True)
        weights = self.weights[order]
        return knots, 1 + pad(weights.cumsum(0), (1, 0)), -pad((weights * knots).cumsum(0), (1, 0))

    def jacobian(self, theta: Tensor, z: Tensor, cell: Tensor | None = None) -> Tensor:
        rank = theta.argsort(stable=True).argsort()  # coincident knots keep their order
        active = z[:, None] > theta if cell is None else cell[:, None] > rank
        return -active.to(z) * self.weights
