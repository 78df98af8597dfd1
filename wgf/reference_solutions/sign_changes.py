"""Where a difference of two maps, known at the nodes of cells, changes its sign: |difference| has a kink there; and
what the ends of cells hide."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from wgf.problem.quadrature import legendre

ORDER = 6  # nodes per cell
LOOKED, NEWTON = 17, 3  # points of a cell, and steps to a zero
CLEAR = 100.0  # times its rounding that a gap must be if its changes of sign count
FIRST = 0.4  # share of a cell in its first part: a cut that no reflection keeps lets no jump hide


def cut(low: Tensor, high: Tensor, z: Tensor, gap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where to cut the cells [N, 2], the areas below |gap| [N] that a change of sign outside all nodes hides, and the
    values of the polynomials through the gap at the ends of the cells [N, 2].

    A cell is cut at the first change of sign of the gap, known at the nodes z [N, n], if there is one, and amid the
    longer part: no part is longer than half the cell, so that the parts prove its integral. Symmetric cuts would
    prove too much: where a jump lies in the middle of a cell, the cell and its parts agree on a wrong integral.
    """
    weights = gap @ _to_powers()
    hidden = torch.zeros_like(low)
    for end, node, place, edge in (
        (weights[:, 0], gap[:, 0], z[:, 0], low),
        (weights.sum(1), gap[:, -1], z[:, -1], high),
    ):
        share = (end / torch.where(end == node, 1.0, end - node)).where(end * node < 0, 0.0)
        hidden += share * end.abs() * (place - edge).abs()
    turns = gap[:, :-1] * gap[:, 1:] < 0
    k = turns.to(torch.int8).argmax(1, keepdim=True)
    a, b = gap.gather(1, k)[:, 0], gap.gather(1, k + 1)[:, 0]
    before, after = z.gather(1, k)[:, 0], z.gather(1, k + 1)[:, 0]
    root = before + (after - before) * a / torch.where(a == b, 1.0, a - b)
    first = root.where(turns.any(1), low + FIRST * (high - low))
    second = 0.5 * (first + torch.where(2 * first < low + high, high, low))
    ends = torch.stack([weights[:, 0], weights.sum(1)], 1)
    return torch.stack([first, second], 1).sort(1).values, hidden, ends


def mismatch(low: Tensor, high: Tensor, owner: Tensor, z: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Areas below |gap| and below gap^2 [N] that a kink between the end of a cell and its first or last node hides.

    No node sees it, and none of the parts of the cell may see it. Then the polynomials of two neighbouring cells end
    at different places.

    Args:
        low, high, owner: ends of the cells, in order, and the numbers of their meshes [N].
        z: nodes of the cells [N, n] (length).
        ends: values of the polynomials through the gap at the ends of the cells [N, 2] (length).
    """
    touches = (high[:-1] == low[1:]) & (owner[:-1] == owner[1:])
    jump = (ends[1:, 0] - ends[:-1, 1]).abs().where(touches, 0.0)
    size = (ends[1:, 0].abs() + ends[:-1, 1].abs()) * jump
    left, right = z[:, 0] - low, high - z[:, -1]
    areas = (pad(part, (0, 1)) * right + pad(part, (1, 0)) * left for part in (jump, size))
    return next(areas), next(areas)


def zeros(low: Tensor, high: Tensor, gap: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Zeros [K] of the polynomials through a gap at the nodes of cells [N, n], where it is more than its rounding, and
    the number of their cells [K] before them.

    Of two zeros close to each other, it may find the extremum between them instead: a cell cut there has one in a part.
    """
    clear = (gap.abs().amax(1) > CLEAR * noise.amax(1)).nonzero()[:, 0]
    weights = gap[clear] @ _to_powers()
    cell, at = _crossings(weights)
    turning, extremum = _crossings(_derivative(weights))
    nearest = (extremum * (LOOKED - 1)).round() / (LOOKED - 1)
    beyond = _polynomial(weights[turning], extremum) * _polynomial(weights[turning], nearest) < 0
    cell, at = torch.cat([cell, turning[beyond]]), torch.cat([at, extremum[beyond]])
    cell = clear[cell]
    return cell, low[cell] + at * (high - low)[cell]


def _crossings(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Which polynomials with the weights [N, n] of 1, s, s^2, ... change sign inside [0, 1], and where, [K] each."""
    s, slopes = torch.linspace(0.0, 1.0, LOOKED, dtype=torch.float64), _derivative(weights)
    values = weights @ s ** torch.arange(weights.shape[1])[:, None]
    cell, k = (values[:, :-1] * values[:, 1:] < 0).nonzero(as_tuple=True)
    before, after = values[cell, k], values[cell, k + 1]
    at = s[k] + before / (before - after) / (LOOKED - 1)
    for _ in range(NEWTON):
        step = _polynomial(weights[cell], at) / _polynomial(slopes[cell], at)
        at = (at - step).nan_to_num().clamp(s[k], s[k + 1])
    return cell, at


def _derivative(weights: Tensor) -> Tensor:
    return weights[:, 1:] * torch.arange(1.0, weights.shape[1], dtype=torch.float64)


def _polynomial(weights: Tensor, s: Tensor) -> Tensor:
    """Polynomials with the weights [K, n] of 1, s, s^2, ... at s [K]."""
    return (weights * s[:, None] ** torch.arange(weights.shape[1])).sum(1)


@cache
def _to_powers() -> Tensor:
    """Matrix [n, n] from values at the nodes of a cell [0, 1] to the weights of 1, s, s^2, ... of their polynomial."""
    s = legendre(ORDER, torch.float64, torch.device("cpu"))[0]
    return torch.linalg.inv(s[:, None] ** torch.arange(ORDER)).T.contiguous()
