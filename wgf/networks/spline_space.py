"""Spaces of splines with linear tails, and how the parameters of a map stand for their coefficients."""

from __future__ import annotations

import torch
from torch import Tensor

TAIL_MASS = 1e-12  # breakpoints stop where less mass lies beyond: nothing there can be seen or resolved


def basis(points: Tensor, degree: int, z: Tensor, cell: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The B-splines that do not vanish at z, by the recursion of Cox and de Boor, linear beyond the outer points.

    Args:
        points: breakpoints [m], increasing (length).
        degree: k >= 1; there are m + k - 1 B-splines.
        z: [n] (length).
        cell: which interval each z belongs to [n]; found by search when not given.

    Returns:
        Number of the first of the k + 1 B-splines [n], values and slopes [n, k + 1].
    """
    if cell is None:
        cell = torch.searchsorted(points[1:-1].contiguous(), z.detach(), right=True)
    inside = torch.clamp(z, points[0], points[-1])
    knots = torch.cat([points[:1].expand(degree), points, points[-1:].expand(degree)])
    span = cell + degree
    right = [knots[span + r] - inside for r in range(1, degree + 1)]
    left = [inside - knots[span + 1 - r] for r in range(1, degree + 1)]
    values, shares = [torch.ones_like(inside)], [torch.ones_like(inside)]
    for r in range(1, degree + 1):
        shares = [values[s] / (right[s] + left[r - 1 - s]) for s in range(r)]
        up = [right[s] * shares[s] for s in range(r)]
        down = [left[r - 1 - s] * shares[s] for s in range(r)]
        values = [up[0], *(down[s - 1] + up[s] for s in range(1, r)), down[-1]]
    slopes = [-shares[0], *(shares[s - 1] - shares[s] for s in range(1, degree)), shares[-1]]
    slope = degree * torch.stack(slopes, dim=1)
    return cell, torch.stack(values, dim=1) + (z - inside)[:, None] * slope, slope


class SplineSpace:
    """Splines on fixed breakpoints, as the space of a map whose parameters are their coefficients.

    Args:
        points: breakpoints [m], increasing (length).
        degree: k.

    Attributes:
        size: M = m + k - 1 coefficients.
        truncated: directions of the parameters that move no mass, and are left alone.
    """

    truncated = 0

    def __init__(self, points: Tensor, degree: int) -> None:
        self.points, self.degree = points, degree
        self.size = len(points) + degree - 1

    def coefficients(self, theta: Tensor) -> Tensor:
        """s [M] of the map with parameters theta [p]."""
        return theta

    def change(self, displacement: Tensor) -> Tensor:
        """The change of s [M] along a displacement of the parameters [p]."""
        return displacement

    def lift(self, coefficients: Tensor) -> Tensor:
        """The smallest displacement of the parameters [p] that changes s by this [M]; linear."""
        return coefficients

    def min_slope(self, theta: Tensor, slopes: Tensor) -> Tensor:
        """The smallest slope of the map, from its slopes at the nodes [n] unless the space knows better."""
        return slopes.min()
