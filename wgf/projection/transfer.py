"""Transfer of a spline to other breakpoints: the L2(p) projection, exact where breakpoints are only added; and to a map
whose ends walls hold or let go."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from wgf.problem.quadrature import Nodes
from wgf.projection.chart import Chart
from wgf.projection.field import Evaluation, Projection

NEAR = 1e-9  # distance to a wall from which it holds an end of a map, in standard deviations of the law


class Transfer(NamedTuple):
    """A flow on other breakpoints.

    Attributes:
        projection: problem and network on the new breakpoints.
        theta: parameters [p] there.
        evaluation: the field there.
        distance: W2 distance between the two maps (length).
    """

    projection: Projection
    theta: Tensor
    evaluation: Evaluation
    distance: float


def transferred(projection: Projection, theta: Tensor, points: Tensor) -> Transfer:
    """The map with parameters theta [p] on breakpoints [m], increasing (length)."""
    map = projection.map
    moved = projection.on(map.on_breakpoints(points))
    landscape = moved.landscape
    assert landscape is not None
    old, chart = map.breakpoints(), landscape.chart
    added = len(points) > len(old) and bool(torch.isin(old, points).all())
    if not added:  # cells must end at all breakpoints of both maps
        z = torch.cat([old, points]).unique()
        found = projection.quadrature.nodes(map.base, z)
        chart = Chart(chart.space, found, found, projection.problem.domain)
    nodes: Nodes = chart.nodes
    goal = map.evaluate(theta, nodes.z)[0]
    c = chart.nearest(goal)
    gap = chart.at_nodes(c).x - goal
    theta = chart.lift(c)
    return Transfer(moved, theta, moved(theta), float(torch.dot(nodes.w, gap**2).sqrt()))


class Contact:
    """Contact of the ends of a map with walls, in a porous medium.

    A wall holds an end that is there while the forces push it outwards. An integrator knows no walls: the loop shortens
    a step that would carry a free end past a wall, until the end lies within NEAR of the wall; then the wall holds it.
    It lets go where the velocity without walls points inwards.
    """

    def share(self, projection: Projection, before: Tensor, after: Tensor) -> float:
        """Share of a step between parameters [p] after which the first free end is at its wall; 1 if none passes.

        This is a linear interpolation, which the next attempt corrects.
        """
        share = 1.0
        pairs = zip(self._distances(projection, before), self._distances(projection, after), strict=True)
        for (was, now), free in zip(pairs, projection.problem.domain.free, strict=True):
            if free and now < 0 < was:
                share = min(share, (was - 0.5 * self._near(projection)) / (was - now))
        return share

    def change(self, projection: Projection, theta: Tensor) -> Transfer | None:
        """The flow with the walls that hold its ends at parameters theta [p]; None if these are the same as before."""
        domain, near = projection.problem.domain, self._near(projection)
        there = [
            wall is not None and distance <= near
            for wall, distance in zip(domain.walls, self._distances(projection, theta), strict=True)
        ]
        if not any(there):
            return None
        velocity = projection.freed(True, True)(theta).velocity[[0, -1]].tolist()
        left, right = (not at or speed > 0 for at, speed in zip(there, (velocity[0], -velocity[1]), strict=True))
        free = left and domain.walls[0] is not None, right and domain.walls[1] is not None
        if free == domain.free:
            return None
        moved, placed = projection.freed(*free), theta.clone()
        for end, wall in zip((0, -1), moved.problem.domain.held, strict=True):
            if wall is not None:
                placed[end] = wall
        return Transfer(moved, placed, moved(placed), 0.0)

    @staticmethod
    def _distances(projection: Projection, theta: Tensor) -> list[float]:
        """Distances of the ends of the map to the walls [2], negative beyond them; infinite without a wall (length)."""
        low, high = projection.problem.domain.walls
        first, last = theta[[0, -1]].tolist()
        return [math.inf if low is None else first - low, math.inf if high is None else high - last]

    @staticmethod
    def _near(projection: Projection) -> float:
        """Distance to a wall from which it holds an end (length)."""
        return NEAR * projection.problem.law.std


def contact_of(projection: Projection) -> Contact | None:
    """Contact of a flow with walls that can let go; None for a flow without them."""
    problem = projection.problem
    diffusion = None if problem.internal is None else problem.internal.power_diffusion()
    between = problem.domain.ends is not None and diffusion is not None and diffusion.exponent > 1
    return Contact() if between else None


def touching(projection: Projection, theta: Tensor) -> Projection:
    """The flow with the walls that hold its ends at parameters theta [p]."""
    contact = contact_of(projection)
    found = None if contact is None else contact.change(projection, theta)
    return projection if found is None else found.projection
