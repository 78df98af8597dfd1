"""Meshes on which Gauss rules resolve a density."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

ORDER = 8  # nodes in a cell, as many as the default quadrature has
SHARE = 1e-14  # change of a cell's integrals when it is halved, relative to the sum over all cells
ROUNDS, CELLS = 60, 20_000
ROUNDING = 2 * torch.finfo(torch.float64).eps  # of a moved face, relative to what is added
SLIVER, INSIDE = 1e-9, 1e-9  # mass that a jump may hide beside the end of a cell; where it is looked for (cells)
_NODES, _WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(ORDER))

_TO_ENDS = torch.from_numpy(
    np.linalg.solve(
        np.polynomial.legendre.legvander(_NODES.numpy(), ORDER - 1).T,
        np.polynomial.legendre.legvander(np.array([-1.0, 1.0]), ORDER - 1).T,
    )
)  # the polynomial through nodes at both ends


def _unseen(density: Callable[[Tensor], Tensor], begin: Tensor, end: Tensor) -> Tensor:
    """Mass [n] between the ends of cells and their outermost nodes that a jump there hides: no node is beside it."""
    width = end - begin
    z = begin[:, None] + 0.5 * width[:, None] * (1 + _NODES)
    beside = torch.stack([begin + INSIDE * width, end - INSIDE * width], 1)
    return (density(beside) - density(z) @ _TO_ENDS).abs().sum(1) * 0.5 * width * (1 - _NODES[-1])


def integrals(density: Callable[[Tensor], Tensor], begin: Tensor, end: Tensor) -> Tensor:
    """Integrals of 1, z and z^2 against a density over cells from `begin` to `end` [...]; [3, ...]."""
    half = 0.5 * (end - begin)[..., None]
    z = begin[..., None] + half * (1 + _NODES.to(begin))
    p = half * _WEIGHTS.to(begin) * density(z)
    return torch.stack([p.sum(-1), (p * z).sum(-1), (p * z * z).sum(-1)])


def moved(mesh: Sequence[float], place: float, scale: float, lower: float, upper: float) -> list[float]:
    """The mesh of a variable y as that of place + scale y, with the same cells but those that rounding opens or closes.

    Args:
        mesh: of y.
        place, scale: (length).
        lower, upper: ends of the support, possibly infinite (length).
    """
    ends = [end for end in (lower, upper) if math.isfinite(end)]
    inner = set[float]()
    for y in mesh:
        x, rounding = place + scale * y, ROUNDING * (abs(place) + abs(scale * y))
        if lower < x < upper and all(abs(x - end) > rounding for end in ends):
            inner.add(x)
    return sorted({*ends, *inner})


def resolved(density: Callable[[Tensor], Tensor], edges: Sequence[float] | Tensor) -> Tensor:
    """Edges [n] of cells on which Gauss rules resolve mass and second moment of a density (length).

    The function halves cells until one more halving would not change their integrals.

    Args:
        density: p(z), not negative, with a finite second moment.
        edges: of the first cells, increasing (length).
    """
    mesh = torch.as_tensor(edges, dtype=torch.float64)
    done = mesh.new_empty(0)
    begin, end = mesh[:-1], mesh[1:]
    whole = integrals(density, begin, end)
    total = torch.zeros(3, dtype=torch.float64)
    for _ in range(ROUNDS):
        middle = 0.5 * (begin + end)
        left, right = integrals(density, begin, middle), integrals(density, middle, end)
        halved = left + right
        scale = (total + halved.abs().sum(1))[:, None]
        bad = ((whole - halved).abs() > SHARE * scale).any(0) | (_unseen(density, begin, end) > SLIVER * scale[0])
        bad &= (begin < middle) & (middle < end)
        total = total + halved[:, ~bad].abs().sum(1)
        done = torch.cat([done, begin[~bad], end[~bad]])
        begin, end = (torch.cat(pair) for pair in ((begin[bad], middle[bad]), (middle[bad], end[bad])))
        whole = torch.cat([left[:, bad], right[:, bad]], dim=1)
        if not len(begin) or len(done) + len(begin) > CELLS:
            break
    return torch.unique(torch.cat([done, begin, end]))
