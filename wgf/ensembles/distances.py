"""W2 distances between the flows of two ensembles: the L2 distances of their quantiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from wgf.ensembles.job import BLOCK, SplineMesh
from wgf.errors import ConfigError
from wgf.problem.base import Base, Start
from wgf.problem.domain import Line
from wgf.problem.quadrature import Gauss, Nodes
from wgf.projection.start import target


class Maps(NamedTuple):
    """The maps of the flows of an ensemble at a time: their base, breakpoints and coordinates [n, M] (length)."""

    base: Base
    mesh: SplineMesh
    coordinates: np.ndarray


def check_comparable(counts: tuple[int, int], ends: tuple[float, float], t: float | None) -> None:
    """Check that two ensembles have flows to compare one by one, at the last saved time without a t.

    Raises:
        ConfigError: they have not.
    """
    if counts[0] != counts[1]:
        raise ConfigError(
            f"gap() between {counts[0]} flows and {counts[1]} is impossible: expected as many flows, compared one by "
            "one"
        )
    if t is None and not abs(ends[0] - ends[1]) <= 1e-12 * max(ends):
        raise ConfigError(
            f"gap() of ensembles whose last saved times are {ends[0]:g} and {ends[1]:g} needs t=..., a saved time of "
            "both"
        )


def between(one: Maps, two: Maps) -> np.ndarray:
    """Distances [n] of flows k of both (length)."""
    nodes, there = _nodes(one, two)
    here, there, w = nodes.z.numpy(), there.numpy(), (nodes.w / nodes.w.sum()).numpy()
    c, d = one.coordinates, two.coordinates
    rows = np.array_split(np.arange(len(c)), 1 + len(c) * len(w) // BLOCK)
    squares = [(one.mesh.at(c[k], here, 1) - two.mesh.at(d[k], there, 1)) ** 2 @ w for k in rows]
    return np.sqrt(np.concatenate(squares))


def _nodes(one: Maps, two: Maps) -> tuple[Nodes, torch.Tensor]:
    """Nodes in the base of one ensemble, on the breakpoints of both, and the places of the same ranks in that of the
    other [q] (length)."""
    over = Start(two.base, one.base)
    images = Start(one.base, two.base)(two.mesh.points.double())
    points = torch.cat([one.mesh.points.double(), images[images.isfinite()], over.kinks])
    if over.is_identity:
        nodes = Gauss().nodes(one.base, points)
        return nodes, nodes.z
    return target(over, points, Line())
