"""Cells of a base on which Gauss rules resolve how far the particles of two laws of equal rank are apart.

Cells are cut until int |gap|^2 p no longer changes, for all flows at once: steep parts and jumps of quantiles are
resolved wherever they lie. The cells are fixed numbers; derivatives run through the places at their nodes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from wgf.problem.base import Base
from wgf.problem.quadrature import legendre

ORDER, ROUNDS, CELLS = 8, 60, 40_000  # nodes per cell; most rounds, and cells cut in one
SHARE = 0.4  # where a cell is cut: nodes have no such share, so a jump changes the integral (0.5 may change nothing)
FINE = 1e-11  # share of the integral that cutting a cell may change
ROUNDING = 8 * torch.finfo(torch.float64).eps  # error of a position, relative to the largest
BLOCK = 1_000_000  # positions computed at once

Places = Callable[[Tensor], tuple[Tensor, Tensor]]  # of both laws [..., n] at z [n] in the base (length)


def nodes(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Gauss nodes in cells and their widths, in the order of the cells [N ORDER] each."""
    s, half = legendre(ORDER, torch.float64, torch.device("cpu"))
    width = (high - low)[:, None]
    return (low[:, None] + width * s).reshape(-1), (width * half).reshape(-1)


def squared_gap(base: Base, places: Places, low: Tensor, high: Tensor, flows: int) -> Tensor:
    """int |x - y|^2 p dz over cells [N] for all flows [...] (length^2).

    Blocks of nodes are computed again on the way back, so that samples by the thousands need no memory for each flow.
    """
    size = _at_once(flows)
    if len(low) <= size:
        return _squares(base, places, low, high)
    parts = zip(low.split(size), high.split(size), strict=True)
    return torch.stack([checkpoint(_squares, base, places, *part, use_reentrant=False) for part in parts]).sum(0)


def _squares(base: Base, places: Places, low: Tensor, high: Tensor) -> Tensor:
    z, dz = nodes(low, high)
    gap, w, _ = _gaps(base, places, z, dz)
    return gap**2 @ w


def _gaps(base: Base, places: Places, z: Tensor, dz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x - y, weights p dz, and the rounding of x - y at nodes."""
    x, y = places(z)
    w = dz * base.density(z)
    seen = (w > 0) & ~y.isinf()  # at an edge the last 1e-16 of the mass has no rank
    return (x - y).where(seen, 0.0), w, (ROUNDING * torch.maximum(x.abs(), y.abs())).where(seen, 0.0)


def _at_once(flows: int) -> int:
    """Number of cells in a block."""
    return max(1, BLOCK // (ORDER * max(1, flows)))


@torch.no_grad()
def resolved(base: Base, places: Places, mesh: Tensor, flows: int) -> tuple[Tensor, Tensor]:
    """Ends of the cells, low and high [N] each, into which a mesh [m] must be cut."""

    def measured(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """int |x - y|^2 p dz of cells and its rounding [flows, N]."""
        found = []
        for part in zip(low.split(size), high.split(size), strict=True):
            z, dz = nodes(*part)
            gap, w, noise = _gaps(base, places, z, dz)
            both = torch.stack([gap**2 * w, (2 * gap.abs() + noise) * noise * w])
            found.append(both.reshape(2, -1, len(z) // ORDER, ORDER).sum(-1))
        sums, noise = torch.cat(found, -1)
        return sums, noise

    size, low, high = _at_once(flows), mesh[:-1], mesh[1:]
    sums, _ = measured(low, high)
    total, kept = torch.zeros(len(sums), 1, dtype=torch.float64), []
    for round in range(ROUNDS):
        cut = low + SHARE * (high - low)
        low, high = torch.stack([low, cut], 1), torch.stack([cut, high], 1)
        new, noise = measured(low.reshape(-1), high.reshape(-1))
        parts, noise = (each.reshape(len(each), -1, 2).sum(-1) for each in (new, noise))
        allowed = FINE * (total + parts.sum(-1, keepdim=True)) + noise
        again = ((parts - sums).abs() > allowed).any(0)  # of a flow that failed all is NaN, which cuts nothing
        if round == ROUNDS - 1 or int(again.sum()) > CELLS:
            again = torch.zeros_like(again)
        kept.append((low[~again, 0], high[~again, 1]))
        total = total + parts[:, ~again].sum(-1, keepdim=True)
        if not again.any():
            break
        low, high = low[again].reshape(-1), high[again].reshape(-1)
        sums = new.reshape(len(new), -1, 2)[:, again].reshape(len(new), -1)
    low, high = (torch.cat(ends) for ends in zip(*kept, strict=True))
    order = low.argsort()
    return low[order], high[order]
