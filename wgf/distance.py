"""Wasserstein distances on the line, W_q^q = int_0^1 |q_1(u) - q_2(u)|^q du: particles of equal rank are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from wgf.quadrature import Gauss
from wgf.reference import Law

CELLS = 400  # so that |difference| may change sign in a cell at little cost


@dataclass(frozen=True)
class Carried:
    """A law carried by an increasing map.

    Attributes:
        law: of the starts.
        place: the map [n] -> [n] (length).
        kinks: where it is not smooth [K] (length).
    """

    law: Law
    place: Callable[[Tensor], Tensor]
    kinks: Tensor

    @property
    def mesh(self) -> Tensor:
        """Ends of cells in which all is smooth (length)."""
        panels = torch.tensor(self.law.panels(), dtype=torch.float64)
        return torch.cat([panels, torch.linspace(panels[0], panels[-1], CELLS + 1, dtype=torch.float64), self.kinks])


def ranked(law: Law, below: Tensor, above: Tensor) -> Tensor:
    """The z [n] with these masses to the left and to the right [n], found from the smaller one."""
    return torch.where(below < 0.5, law.quantile(below), law.upper_quantile(above))


def wasserstein(one: Carried, other: Carried, q: int) -> float:
    """W_q (length); NaN where one of the maps is."""
    law, theirs = one.law, other.law
    mesh = other.mesh if theirs is law else ranked(law, theirs.cdf(other.mesh), theirs.survival(other.mesh))
    nodes = Gauss().nodes(law, torch.cat([one.mesh, mesh[mesh.isfinite()]]))
    z = nodes.z if theirs is law else ranked(theirs, law.cdf(nodes.z), law.survival(nodes.z))
    seen = (nodes.w > 0) & z.isfinite()  # at an edge the last 1e-16 of the mass has no rank in double precision
    gap = (one.place(nodes.z[seen]) - other.place(z[seen])).abs()
    return float(torch.dot(nodes.w[seen], gap**q) ** (1 / q))
