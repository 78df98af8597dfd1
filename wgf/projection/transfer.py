"""Transfer of a spline to other breakpoints: the L2(p) projection, exact where breakpoints are only added."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wgf.problem.quadrature import Nodes
from wgf.projection.chart import Chart
from wgf.projection.field import Evaluation, Projection


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
