"""The certificate of a run: the least of its own bound and the bound by a rich run, with their parts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wgf.certificates.own_bound import Bound
from wgf.networks.base import TransportMap
from wgf.problem.energy import MapAtNodes
from wgf.problem.quadrature import Gauss

GROWN = math.log(100)  # of exp(-lambda t), beyond which a finer network helps little


@torch.no_grad()
def spread(map: TransportMap, theta: Tensor) -> float:
    """Standard deviation (length) of the law that a map with parameters theta [p] carries."""
    theta = theta.double()
    nodes = Gauss().nodes(map.base, map.knots(theta).double())
    return float(MapAtNodes(nodes, *map.evaluate(theta, nodes.z)).std)


@dataclass(frozen=True)
class Certificate:
    """Upper bound of the W2 error of a run at one time; None for a part that does not apply.

    Attributes:
        bound: the least bound (length).
        own: bound by the run itself (length).
        distance: W2 distance to the rich run (length).
        rich: bound of the rich run (length).
        convexity: lambda (1/time).
        quadrature: relative change of the least bound when its quadrature orders double.
        unknown: why there is no bound, or none of the richer run.
    """

    bound: float | None = None
    own: float | None = None
    distance: float | None = None
    rich: float | None = None
    convexity: float | None = None
    quadrature: float | None = None
    unknown: str | None = None

    @classmethod
    def of(
        cls, own: Bound, convexity: float | None, rich: Bound | None = None, distance: float | None = None
    ) -> Certificate:
        """The least of two bounds.

        Args:
            own: bound by the run itself.
            convexity: lambda (1/time).
            rich: bound of the rich run, with its `distance` (length).
        """
        best, value, unknown = own, None, own.unknown
        if rich is not None and distance is not None:
            value = rich.value
            sum_of_both = rich
            if value is not None:
                whole = distance + value
                share = value / whole if whole > 0 else 0.0
                change = None if rich.quadrature is None else share * rich.quadrature
                sum_of_both = rich._replace(value=whole, quadrature=change)
            if own.value is None or (sum_of_both.value is not None and sum_of_both.value < own.value):
                best = sum_of_both
            unknown = best.unknown or (rich.unknown and f"of the richer run: {rich.unknown}")
        return cls(best.value, own.value, distance, value, convexity, best.quadrature, unknown)

    def within(self, spread: float, t: float) -> Certificate:
        """This certificate, without a bound if that says nothing.

        Args:
            spread: standard deviation of the law (length): already the W2 distance to a point mass.
            t: the time (time).
        """
        if self.bound is None or self.bound <= spread:
            return self
        mend = "increase network.width"
        if self.distance is None:
            mend += ", or use verify=true (in Python rich=True)"
        if (rate := -(self.convexity or 0.0)) * t > GROWN:
            mend = f"it grows like exp({rate:.2g} t), which is {rate * t / math.log(10):.0f} digits until t = {t:.3g}"
        why = f"{self.bound:.2g} would exceed the standard deviation {spread:.2g} of the law: {mend}"
        return replace(self, bound=None, quadrature=None, unknown=why)
