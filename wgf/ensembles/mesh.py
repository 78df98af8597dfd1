"""The mesh of the maps of an ensemble."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from wgf.networks.spline_space import basis as splines
from wgf.projection.chart import with_tails


class SplineMesh(NamedTuple):
    """Breakpoints [m] (length), degree of the splines, and the ends (0, -1) at which they have tails."""

    points: Tensor
    degree: int
    tails: tuple[int, ...]

    def basis(self, z: Tensor) -> tuple[Tensor, ...]:
        """Index of the first basis function [q], values and slopes [q, k + 1] at z [q]."""
        return with_tails(splines(self.points, self.degree, z), self.tails, len(self.points) - 2)
