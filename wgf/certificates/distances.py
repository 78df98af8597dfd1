"""W2 distances of the states of two flows of one base."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wgf.networks.base import TransportMap
from wgf.networks.spline_space import SplineSpace, basis
from wgf.problem.quadrature import Gauss


class Distances:
    """Bounds of W2 distances: L2(p) distances of maps, with their change when the order of the quadrature doubles.

    The nodes, and the splines there, are kept as long as the networks and their knots stay.

    Args:
        order: Gauss nodes per cell.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self._known: tuple[TransportMap, TransportMap, Tensor, list[_Pair]] | None = None

    @torch.no_grad()
    def between(self, one: TransportMap, theta: Tensor, two: TransportMap, eta: Tensor) -> float:
        """Bound of the distance of two networks with parameters theta and eta [p] (length)."""
        theta, eta = theta.double(), eta.double()
        knots = torch.cat([one.knots(theta), two.knots(eta)]).detach()
        known = self._known
        if known is None or known[0] is not one or known[1] is not two or not torch.equal(known[2], knots):
            pairs = [_Pair(one, two, knots, order) for order in (self.order, 2 * self.order)]
            self._known = known = one, two, knots, pairs
        coarse, fine = (pair.apart(theta, eta) for pair in known[3])
        return fine + abs(fine - coarse)


class _Pair:
    """Two networks at the nodes of a Gauss rule on cells between knots [K] (length)."""

    def __init__(self, one: TransportMap, two: TransportMap, knots: Tensor, order: int) -> None:
        nodes = Gauss(order).nodes(one.base, knots)
        self.w, self.sides = nodes.w, [_Places(map, nodes.z) for map in (one, two)]

    def apart(self, theta: Tensor, eta: Tensor) -> float:
        """L2(p) distance of the networks with parameters theta and eta [p] (length)."""
        far = self.sides[0](theta) - self.sides[1](eta)
        return math.sqrt(float((self.w * far**2).where(self.w > 0, 0.0).sum()))


class _Places:
    """T(z) of a network at fixed starts z [n]."""

    def __init__(self, map: TransportMap, z: Tensor) -> None:
        self.map, self.z, space = map, z, map.space()
        self.is_spline = type(space) is SplineSpace  # others change their parameters first
        if space is not None and self.is_spline:
            first, self.values, _ = basis(space.points.double(), space.degree, z)
            self.columns = space.columns(first)

    def __call__(self, theta: Tensor) -> Tensor:
        if self.is_spline:
            return (theta[self.columns] * self.values).sum(1)
        return self.map.evaluate(theta, self.z)[0]
