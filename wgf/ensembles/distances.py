"""W2 distances between the flows of two ensembles: the L2 distances of their quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from wgf.ensembles.job import BLOCK
from wgf.errors import ConfigError
from wgf.problem.base import Start
from wgf.problem.domain import Line
from wgf.problem.quadrature import Gauss, Nodes
from wgf.projection.start import target

if TYPE_CHECKING:
    from wgf.ensembles.flows import Ensemble


def between(one: Ensemble, two: Ensemble, t: float | None) -> np.ndarray:
    """Distances [n] of flows k of both (length), see `Ensemble.gap`."""
    if len(one) != len(two):
        raise ConfigError(
            f"gap() between {len(one)} flows and {len(two)} is impossible: expected as many flows, compared one by one"
        )
    last = float(one.t[-1]), float(two.t[-1])
    if t is None and not abs(last[0] - last[1]) <= 1e-12 * max(last):
        raise ConfigError(
            f"gap() of ensembles whose last saved times are {last[0]:g} and {last[1]:g} needs t=..., a saved time of "
            "both"
        )
    c, d = (flows.coordinates[:, flows.place(t)] for flows in (one, two))
    nodes, there = _nodes(one, two)
    here, there, w = nodes.z.numpy(), there.numpy(), (nodes.w / nodes.w.sum()).numpy()
    rows = np.array_split(np.arange(len(one)), 1 + len(one) * len(w) // BLOCK)
    squares = [(one.mesh.at(c[k], here, 1) - two.mesh.at(d[k], there, 1)) ** 2 @ w for k in rows]
    return np.sqrt(np.concatenate(squares))


def _nodes(one: Ensemble, two: Ensemble) -> tuple[Nodes, torch.Tensor]:
    """Nodes in the base of one ensemble, on the breakpoints of both, and the places of the same ranks in that of the
    other [q] (length)."""
    over = Start(two.base, one.base)
    images = Start(one.base, two.base)(two.mesh.points.double())
    points = torch.cat([one.mesh.points.double(), images[images.isfinite()], over.kinks])
    if over.is_identity:
        nodes = Gauss().nodes(one.base, points)
        return nodes, nodes.z
    return target(over, points, Line())
