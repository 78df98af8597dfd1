"""Residuals of the steps of a run: evaluated along the best continuation in time, and kept in the order of time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wgf.certificates.curve import Record, continuation
from wgf.certificates.residual import Evaluator, Residuals

ROWS = 192  # most rows of nodes evaluated at once
SHOWING = 0.25  # the steps with this share of the residual show whether another continuation in time helps
HELP = 0.05  # relative decrease of their residual by which it does


class Steps(NamedTuple):
    """Residuals of r steps at Gauss times: s and weights [r, nt], Q and R0 [r, nt, c], strong residual [r, nt, d].

    The columns c are all choices of a continuation in time and a flux; the columns d all continuations. `places` are
    those of some particles at both ends of the steps [r, 2, k] (length).
    """

    s: Tensor
    weights: Tensor
    flux: Tensor
    force: Tensor
    strong: Tensor
    places: Tensor


class Known(NamedTuple):
    """The same as arrays, of all steps before a time."""

    s: np.ndarray
    weights: np.ndarray
    flux: np.ndarray
    force: np.ndarray
    strong: np.ndarray
    places: np.ndarray


class Journal:
    """Residuals of all steps so far.

    Attributes:
        blocks: as they were evaluated, one after the other in time.
    """

    def __init__(self, blocks: Iterable[Steps] = ()) -> None:
        self.blocks = list(blocks)
        self._joined: Known | None = None

    def append(self, block: Steps) -> None:
        """Add the residuals of the next steps."""
        self.blocks.append(block)
        self._joined = None

    def before(self, t: float) -> Known:
        """All steps before t."""
        if not self.blocks:
            return Known(*[np.zeros((0, 1))] * 2, *[np.zeros((0, 1, 1))] * 4)
        if self._joined is None:
            self._joined = Known(*(torch.cat(part).cpu().numpy() for part in zip(*self.blocks, strict=True)))
        number = int(np.searchsorted(self._joined.s[:, -1], t, side="right"))
        return Known(*(part[:number] for part in self._joined))


def evaluated(evaluate: Evaluator, record: Record, order: int, which: slice | Tensor) -> Steps:
    """Residuals of some steps of a record, by quintics in time; by cubics where these help; by lines where both fold.

    Any choice gives a bound. The steps with the largest residuals show whether cubics help.
    """
    s, weights, c, v = continuation(record, 2, order, which)
    best = _residuals(evaluate, c, v)
    second, third = (Residuals(*(torch.full_like(part, torch.inf) for part in best)) for _ in range(2))

    def compute(found: Residuals, derivatives: int, where: Tensor) -> None:
        if len(where):
            curve = continuation(record, derivatives, order, which)
            for part, computed in zip(found, _residuals(evaluate, curve.c[where], curve.v[where]), strict=True):
                part[where] = computed

    parts, ranking = _parts(best, weights).sort(descending=True)
    before = parts.cumsum(0) - parts
    worst = ranking[(before < SHOWING * parts.sum()) | parts.isinf()]
    compute(second, 1, worst)
    helped = torch.minimum(_parts(second, weights), _parts(best, weights))[worst].sum()
    if not helped > (1 - HELP) * parts[: len(worst)].sum():
        compute(second, 1, ranking[len(worst) :])
    compute(third, 0, (~_usable(best) & ~_usable(second)).nonzero().flatten())
    flux, force, strong = zip(second, best, third, strict=True)
    places = evaluate.mesh.values(record.c)[:, evaluate.mesh.particles]
    ways = torch.stack([places[:-1], places[1:]], 1)[which]
    return Steps(s, weights, torch.cat(flux, -1), torch.cat(force, -1), torch.stack(strong, -1), ways)


def _parts(found: Residuals, weights: Tensor) -> Tensor:
    """Size of the residual of each step [r] (length); infinite where it is no number."""
    force, flux = ((weights[..., None] * part).sum(1) for part in (found.force, found.flux))
    return (force + flux.sqrt()).amin(-1).nan_to_num(nan=torch.inf)


def _residuals(evaluate: Evaluator, c: Tensor, v: Tensor) -> Residuals:
    """Residuals [r, nt, ...] of curves [r, nt, M]."""
    parts = -(-len(c) * c.shape[1] // ROWS)
    found = [evaluate(*rows) for rows in zip(*(rows.flatten(0, 1).tensor_split(parts) for rows in (c, v)), strict=True)]
    return Residuals(*(torch.cat(part).unflatten(0, c.shape[:2]) for part in zip(*found, strict=True)))


def _usable(part: Residuals) -> Tensor:
    """Whether a step has a choice that is finite at all its times [r]."""
    return (part.flux.isfinite() & part.force.isfinite()).all(1).any(1)
