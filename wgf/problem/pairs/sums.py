"""Sums over all pairs of particles, sum_j w_j K(x_i - x_j), in O(n) for kernels that are smooth away from 0.

The interval of the particles is halved again and again. Boxes of one level that do not touch, but whose parents do,
interact by Chebyshev interpolation of K in both variables; touching boxes of the last level interact pair by pair. With
r points the relative error of an analytic kernel such as log|x| or a power falls like (3 + sqrt 8)^-r, because a box
sees the singularity at least three half-widths away from its centre.

Source: W. Fong and E. Darve, The black-box fast multipole method, J. Comput. Phys. 228 (2009), 8712-8725.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

FEWEST = 300  # nodes from which this sum is faster than all pairs
LEAF = 2  # mean number of particles in a box of the last level
LEVELS = 16  # at most
PAIRS = 1 << 16  # touching pairs evaluated at once: they fit the cache
RATE = math.log10(3 + math.sqrt(8))  # digits that one more point gains

Kernel = Callable[[Tensor], Tensor]


def points_for(rtol: float) -> int:
    """Number of Chebyshev points for a relative error."""
    return max(2, math.ceil(-math.log10(rtol) / RATE) + 1)


def _lagrange(points: Tensor, x: Tensor) -> Tensor:
    """Values [..., r] at x [...] of the Lagrange polynomials of Chebyshev points [r] on [-1, 1]."""
    r = len(points)
    k = torch.arange(r, dtype=points.dtype, device=points.device)
    angles = torch.acos(x.clamp(-1, 1))[..., None] * k
    factors = torch.cos(torch.acos(points)[:, None] * k) * torch.where(k > 0, 2.0, 1.0) / r
    return torch.cos(angles) @ factors.T


class Basis(NamedTuple):
    """What the sums over boxes need, for r Chebyshev points.

    Attributes:
        points: on [-1, 1] [r].
        children: values [2 r, r] of their polynomials at the points of the left and the right child of a box.
        gaps: distances in boxes [4 r, 2 r] from the points of the children of both neighbours of a parent to the
            points of its own children, from left to right; 0 between boxes that touch.
    """

    points: Tensor
    children: Tensor
    gaps: Tensor


@lru_cache(maxsize=8)
def _basis(r: int, dtype: torch.dtype, device: torch.device) -> Basis:
    k = torch.arange(r, dtype=dtype, device=device)
    points = torch.cos((2 * k + 1) * math.pi / (2 * r))
    children = torch.cat([_lagrange(points, 0.5 * points + side) for side in (-0.5, 0.5)])
    source, target = (torch.tensor(boxes, dtype=dtype, device=device) for boxes in ([-2, -1, 2, 3], [0, 1]))
    gaps = (target + 0.5 * points[:, None]).T.reshape(-1) - (source[:, None] + 0.5 * points).reshape(-1, 1)
    apart = (target - source[:, None]).abs().repeat_interleave(r, 0).repeat_interleave(r, 1) > 1
    return Basis(points, children, torch.where(apart, gaps, 0.0))


def pair_sum(kernel: Kernel, x: Tensor, w: Tensor, rtol: float) -> Tensor:
    """sum_j w_j K(x_i - x_j) [n] for particles x [n] in any order with weights w [n].

    Args:
        kernel: K, analytic away from 0; its value at 0 is that of a particle on itself and on those at its place.
        x: positions (length).
        w: weights.
        rtol: error relative to the largest sum of |w_j K|.
    """
    places, order = x.sort(stable=True)
    back = torch.empty_like(order).index_copy(0, order, torch.arange(len(x), device=x.device))
    return _sorted_sum(kernel, places, w[order], points_for(rtol))[back]


def _sorted_sum(kernel: Kernel, x: Tensor, w: Tensor, r: int) -> Tensor:
    levels = min(LEVELS, max(2, round(math.log2(len(x) / LEAF))))
    count = 1 << levels
    low, width = x[0], (x[-1] - x[0]).clamp(min=torch.finfo(x.dtype).tiny) * (1 + 1e-14)
    place = (x - low) / width * count
    box = place.long().clamp(0, count - 1)
    points, children, gaps = _basis(r, x.dtype, x.device)
    values = _lagrange(points, 2 * (place - box) - 1)  # [n, r]
    moments = [torch.zeros(count, r, dtype=x.dtype, device=x.device).index_add(0, box, w[:, None] * values)]
    for _ in range(levels - 2):
        moments.append(moments[-1].reshape(-1, 2 * r) @ children)
    widths = width / 2 ** torch.arange(2, levels + 1, dtype=x.dtype, device=x.device)
    across = torch.where(gaps != 0, kernel(widths[:, None, None] * gaps), 0.0)
    far = torch.zeros_like(moments[-1])
    for level, sources in enumerate(reversed(moments)):
        if level > 0:
            far = (far @ children.T).reshape(-1, r)
        parents = pad(sources.reshape(-1, 2 * r), (0, 0, 1, 1))
        beside = torch.cat([parents[:-2], parents[2:]], dim=1)  # the children of both neighbours
        far = far + (beside @ across[level]).reshape(-1, r)
    return (values * far[box]).sum(1) + _near(kernel, x, w, box, count)


def _near(kernel: Kernel, x: Tensor, w: Tensor, box: Tensor, count: int) -> Tensor:
    """Sums [n] over the particles in the same box and in those that touch it, pair by pair."""
    ends = torch.searchsorted(box, torch.arange(count + 1, device=x.device))
    first, last = ends[(box - 1).clamp(min=0)], ends[(box + 2).clamp(max=count)]
    reach = torch.arange(int((last - first).max()), device=x.device)
    rows = max(1, PAIRS // len(reach))
    parts = []
    for part, begin, end in zip(x.split(rows), first.split(rows), last.split(rows), strict=True):
        index = begin[:, None] + reach
        inside = index < end[:, None]
        index = index.clamp(max=len(x) - 1)
        parts.append((kernel(part[:, None] - x[index]) * torch.where(inside, w[index], 0.0)).sum(1))
    return torch.cat(parts)
