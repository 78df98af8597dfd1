"""Spaces of splines with linear tails; conversion between parameters of a map and spline coefficients."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

TAIL_MASS = 1e-12  # no breakpoints where less mass lies beyond: quadrature and rounding cannot resolve it


def basis(points: Tensor, degree: int, z: Tensor, cell: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """B-splines that are not zero at z, see `bsplines`; linear beyond the outer breakpoints.

    Args:
        points: breakpoints [m], increasing (length).
        degree: k >= 1; there are m + k - 1 B-splines.
        z: [n] (length).
        cell: index of the interval that contains each z [n]; None to search for it.

    Returns:
        Index of the first of the k + 1 B-splines [n], values and slopes [n, k + 1].
    """
    if cell is None:
        cell = torch.searchsorted(points[1:-1].contiguous(), z.detach(), right=True)
    inside = torch.clamp(z, points[0], points[-1])
    knots = torch.cat([points[:1].expand(degree), points, points[-1:].expand(degree)])
    values, slope = bsplines(knots, degree, inside, cell + degree)
    return cell, values + (z - inside)[:, None] * slope, slope


def bsplines(knots: Tensor, degree: int, z: Tensor, span: Tensor) -> tuple[Tensor, Tensor]:
    """Values and slopes [n, k + 1] of the B-splines that are not zero at z, by the recursion of Cox and de Boor.

    Args:
        knots: increasing (length).
        degree: k >= 1.
        z: [n] (length).
        span: index of the knot at the left of each z [n].
    """
    right = [knots[span + r] - z for r in range(1, degree + 1)]
    left = [z - knots[span + 1 - r] for r in range(1, degree + 1)]
    values, shares = [torch.ones_like(z)], [torch.ones_like(z)]
    for r in range(1, degree + 1):
        shares = [values[s] / (right[s] + left[r - 1 - s]) for s in range(r)]
        up = [right[s] * shares[s] for s in range(r)]
        down = [left[r - 1 - s] * shares[s] for s in range(r)]
        values = [up[0], *(down[s - 1] + up[s] for s in range(1, r)), down[-1]]
    slopes = [-shares[0], *(shares[s - 1] - shares[s] for s in range(1, degree)), shares[-1]]
    return torch.stack(values, dim=1), degree * torch.stack(slopes, dim=1)


class Polynomials:
    """Splines as polynomials of u from -1 to 1 in every cell, linear beyond the outer breakpoints.

    A value takes a search and Horner's rule; the recursion of `bsplines` takes four times as long.

    Args:
        points: breakpoints [m], increasing (length).
        degree: k >= 1.
    """

    def __init__(self, points: Tensor, degree: int) -> None:
        self.points, self._inner = points, points[1:-1].contiguous()
        self._middle, self._half = 0.5 * (points[1:] + points[:-1]), 0.5 * points.diff()
        knots = torch.cat([points[:1].expand(degree), points, points[-1:].expand(degree)])
        cells = torch.arange(len(points) - 1, device=points.device)
        self._columns = cells[:, None] + torch.arange(degree + 1, device=points.device)
        # Taylor's series: the derivative of sum_i c_i B_i of degree d has coefficients d (c_i - c_i-1)/(t_i+d - t_i)
        changes, scale, shapes = torch.eye(degree + 1).to(points), torch.ones_like(self._half), []
        for d in range(degree, 0, -1):
            values = bsplines(knots, d, self._middle, cells + degree)[0]
            shapes.append(scale[:, None] * (values[:, None] @ changes)[:, 0])
            i = cells[:, None] + degree - d + 1 + torch.arange(d, device=points.device)
            changes = d * changes.diff(dim=-2) / (knots[i + d] - knots[i])[..., None]
            scale = scale * self._half / (degree - d + 1)
        shapes.append(scale[:, None] * changes[:, 0])
        self._shapes = torch.stack(shapes[::-1], 1)  # [m - 1, k + 1, k + 1]: cell, power from the highest on, function

    def __call__(self, coefficients: Tensor, z: Tensor, cell: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Values and slopes [..., n] at z [n] of splines with coefficients [..., m + k - 1]; `cell` as in `basis`."""
        if cell is None:
            cell = torch.searchsorted(self._inner, z.detach(), right=True)
        inside = torch.clamp(z, self.points[0], self.points[-1])
        weights = (self._shapes @ coefficients[..., self._columns, None])[..., 0].movedim(-1, 0)[..., cell]
        half = self._half[cell]
        u = (inside - self._middle[cell]) / half
        value, slope = weights[0], torch.zeros_like(u)
        for weight in weights[1:]:
            slope = torch.addcmul(value, slope, u)
            value = torch.addcmul(weight, value, u)
        slope = slope / half
        # walls hold the end coefficients to the last bit
        first, last = (coefficients[..., k, None] - value for k in (0, -1))
        off = torch.where(z <= self.points[0], first, torch.where(z >= self.points[-1], last, 0.0))
        return torch.addcmul(value + off.detach(), z - inside, slope), slope


class SplineSpace:
    """Splines on fixed breakpoints: the space of a map whose parameters are the coefficients.

    Args:
        points: breakpoints [m], increasing (length).
        degree: k.
        kind: what names the breakpoints, and the base on which they were placed; None for what has no name.

    Attributes:
        size: M = m + k - 1 coefficients.
        bandwidth: largest distance of two functions that overlap, in the order of the coefficients.
        truncated: number of parameter directions that move no mass; the flow does not change them.
    """

    truncated = 0

    def __init__(self, points: Tensor, degree: int, kind: Hashable | None = None) -> None:
        self.points, self.degree, self.kind = points, degree, kind
        self.size, self.bandwidth = points.shape[0] + degree - 1, degree

    def basis(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """B-splines that are not zero at z [n] (length); see the function `basis`."""
        return basis(self.points, self.degree, z)

    def columns(self, first: Tensor) -> Tensor:
        """Indices [n, k + 1] of the coefficients of the functions that follow the first ones [n]."""
        return first[:, None] + torch.arange(self.degree + 1, device=first.device)

    def identity(self, z: Tensor) -> Tensor | None:
        """What a map with zero coefficients is at z [n] (length); None for 0."""
        return None

    def on(self, points: Tensor) -> SplineSpace:
        """Space of the same degree on other breakpoints [m] (length)."""
        return SplineSpace(points, self.degree)

    def coefficients(self, theta: Tensor) -> Tensor:
        """Coefficients s [M] of the map with parameters theta [p]."""
        return theta

    def change(self, displacement: Tensor) -> Tensor:
        """Change of s [M] for a displacement of the parameters [p]."""
        return displacement

    def lift(self, coefficients: Tensor) -> Tensor:
        """Smallest displacement of the parameters [p] that changes s by `coefficients` [M]; linear."""
        return coefficients

    def min_slope(self, theta: Tensor, slopes: Tensor) -> Tensor:
        """Smallest slope of the map: of its slopes at the nodes [n] here, exact in spaces that override this."""
        return slopes.min()
