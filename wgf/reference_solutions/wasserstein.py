"""Wasserstein distances on the line, W_q^q = int_0^1 |q_1(u) - q_2(u)|^q du: particles of equal rank are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from wgf.problem.base import Base
from wgf.problem.quadrature import Gauss

CELLS = 400  # so that |difference| may change sign in a cell at little cost


@dataclass(frozen=True)
class Carried:
    """A law carried by an increasing map.

    Attributes:
        base: the law of the starts.
        place: the map [n] -> [n] (length).
        kinks: where it is not smooth [K] (length).
    """

    base: Base
    place: Callable[[Tensor], Tensor]
    kinks: Tensor

    @property
    def mesh(self) -> Tensor:
        """Ends of cells in which all is smooth (length)."""
        panels = torch.tensor(self.base.panels(), dtype=torch.float64)
        return torch.cat([panels, torch.linspace(panels[0], panels[-1], CELLS + 1, dtype=torch.float64), self.kinks])


def wasserstein(one: Carried, other: Carried, q: int) -> float:
    """W_q (length); NaN where one of the maps is."""
    base, theirs = one.base, other.base
    mesh = other.mesh if theirs is base else base.at_rank(theirs.cdf(other.mesh), theirs.survival(other.mesh))
    nodes = Gauss().nodes(base, torch.cat([one.mesh, mesh[mesh.isfinite()]]))
    z = nodes.z if theirs is base else theirs.at_rank(base.cdf(nodes.z), base.survival(nodes.z))
    seen = (nodes.w > 0) & z.isfinite()  # at an edge the last 1e-16 of the mass has no rank in double precision
    gap = (one.place(nodes.z[seen]) - other.place(z[seen])).abs()
    return float(torch.dot(nodes.w[seen], gap**q) ** (1 / q))
