"""Domains of the solution: tails of maps, and the length scale of errors."""

from __future__ import annotations

from torch import Tensor

from wgf.problem.base import Base
from wgf.problem.energy import MapAtNodes


class Line:
    """The whole line. Maps are linear beyond their breakpoints if the base has mass there."""

    def tails(self, base: Base, breakpoints: Tensor) -> tuple[bool, bool]:
        """Whether a map with these breakpoints [m] (length) needs a tail on the left and on the right."""
        return float(base.cdf(breakpoints[:1])) > 0, float(base.survival(breakpoints[-1:])) > 0

    def scale(self, at: MapAtNodes) -> Tensor:
        """Scale of relative errors: the standard deviation, scalar (length)."""
        return at.std
