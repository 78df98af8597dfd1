"""The continuous piecewise linear map with free knots that is nearest to a given map in W2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wgf.networks.base import TransportMap
from wgf.networks.knot_space import Broken
from wgf.problem.base import Base
from wgf.problem.energy import MapAtNodes, Term
from wgf.problem.equations import Problem
from wgf.problem.interaction import Zero
from wgf.problem.potential import Zero as NoPotential
from wgf.problem.quadrature import Gauss
from wgf.projection.knots import KnotFlow
from wgf.projection.linalg.banded import Cholesky

ROUNDS = 300
SMALL = 1e-7  # relative fall of the distance that ends the search


class Apart(Term):
    """Half the squared L2(p) distance to a map T."""

    name = "apart"

    def __init__(self, target: Callable[[Tensor], Tensor]) -> None:
        self.target = target

    def value(self, at: MapAtNodes) -> Tensor:
        return 0.5 * torch.dot(at.w, (at.x - self.target(at.nodes.z)) ** 2)

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        return at.w * (at.x - self.target(at.nodes.z)), torch.zeros_like(at.x)


def nearest(law: Base, target: Callable[[Tensor], Tensor], map: TransportMap) -> float:
    """W2 distance of T to the nearest map, by Levenberg and Marquardt's method from the start knots of a network."""
    apart = Apart(target)
    space = map.knot_space()
    assert space is not None
    search = KnotFlow(Problem(law, NoPotential(), apart, Zero(), 1.0, ""), space, law, Gauss(), Gauss(), 1e-2, 1e-2)
    b = Broken.of(space.identity).b
    u, step = target(b), 1e-6
    left, right = (target(b[[end]] + step) - target(b[[end]] - step) for end in (0, -1))
    y = Broken(b, u, torch.cat([left / (2 * step), u.diff() / b.diff(), right / (2 * step)])).coordinates
    point, damping, idle = search.at(y), 1e-3, 0
    value = float(apart.value(point.at))
    for _ in range(ROUNDS):
        band = point.mass.band.clone()
        band[0] *= 1 + damping
        factor = Cholesky(band)
        trial = y - factor.solve(point.gradient) if factor.positive else y
        if factor.positive and search.is_increasing(trial):
            there = search.at(trial)
            now = float(apart.value(there.at))
            if now < value:
                idle = idle + 1 if value - now < SMALL * value else 0
                y, point, value, damping = trial, there, now, max(damping / 3, 1e-9)
                if idle > 5:
                    break
                continue
        damping *= 4
        if damping > 1e9:
            break
    return (2 * value) ** 0.5
