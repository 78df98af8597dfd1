"""Errors of the flows of an ensemble: W2 distances to richer flows, on twice as many cells that reach farther out.

Were the outermost breakpoints the same, both flows would have the same straight tails there, and what these cost would
cancel in the distance. A cell at an edge of the base shrinks: maps may have infinite slope there.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from wgf.ensembles.flows import Ensemble
from wgf.problem.base import Base

log = logging.getLogger("wgf")

SAFETY = 1.6  # errors that fall like the power 1.4 of the cells, or faster, are at most as many times the distance
GROWTH = 1.5  # ratio of neighbouring cells in the tails
HIDDEN = 1e-6  # mass in a straight tail of the richer flows times the square of its distance from the mean, of std^2
MOST = 60  # cells in a tail
HALVINGS = 6  # of the cell at an edge, at most
SHARP = 1e-9  # mass of a cell at an edge times the square of its width that needs no halving, of std^2


def richer(points: Tensor, base: Base) -> Tensor:
    """Breakpoints of the richer flows [n] for those of the flows [m] (length)."""
    middles = 0.5 * (points[1:] + points[:-1])
    points = torch.cat([points, middles]).sort().values
    return torch.cat([_at_end(points, base, upper=False), points, _at_end(points, base, upper=True)]).sort().values


def _at_end(points: Tensor, base: Base, upper: bool) -> Tensor:
    """More breakpoints [k] beyond one end of others, or in the last cell where that lies at an edge (length)."""
    end, before, edge = (points[-1], points[-2], base.upper) if upper else (points[0], points[1], base.lower)
    step = float(end - before)
    at_edge = abs(edge - float(end)) < 1e-9 * base.std
    found = _towards_edge(float(end), step, base) if at_edge else _outwards(float(end), step, edge, base)
    return torch.tensor(found, dtype=points.dtype)


def _towards_edge(edge: float, step: float, base: Base) -> list[float]:
    found: list[float] = []
    while len(found) < HALVINGS:
        low, high = torch.tensor([[edge], [edge - step]], dtype=torch.float64).sort(0).values
        if float(base.mass(low, high)) * step**2 < SHARP * base.std**2:
            break
        step *= 0.5
        found.append(edge - step)
    return found


def _outwards(at: float, step: float, edge: float, base: Base) -> list[float]:
    found: list[float] = []
    while len(found) < MOST:
        place = torch.tensor(at, dtype=torch.float64)
        beyond = float(base.survival(place) if step > 0 else base.cdf(place))
        if beyond * (at - base.mean) ** 2 < HIDDEN * base.std**2:
            break
        step *= GROWTH
        if abs(edge - at) < 2 * abs(step):  # no sliver beside the edge
            return [*found, edge]
        at += step
        found.append(at)
    return found


def w2_errors(flows: Ensemble, rich: Ensemble) -> np.ndarray:
    """Estimated W2 errors of flows at the saved times [n, s] (length); NaN where the flow, or its richer one, has
    failed."""
    gaps = np.stack([flows.gap(rich, float(t)) for t in flows.t], axis=1)
    unknown = (np.isnan(gaps) & ~np.isnan(flows.coordinates).any(-1)).any(1)
    if unknown.any():
        ends = ", ".join(np.unique(rich.status[unknown]))
        log.warning(
            "the W2 errors of %d flows are NaN: their richer flows end as %s; another base, or fewer or more "
            "breakpoints may help",
            unknown.sum(),
            ends,
        )
    return SAFETY * gaps
