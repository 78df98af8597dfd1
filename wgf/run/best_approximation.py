"""Best L2(p) approximation of a map by a network."""

from __future__ import annotations

import torch

from wgf.projection.chart import Chart
from wgf.projection.field import Projection
from wgf.reference_solutions.exact import Exact


def best_w2(projection: Projection, exact: Exact, t: float) -> float | None:
    """W2 distance between the exact map and its L2(p)-orthogonal projection onto the space of a network (length).

    W2 error / best_w2 >= 1 is the quasi-optimality ratio of a run: the loss from projecting velocities instead of the
    map itself.

    Args:
        projection: projection with the network.
        exact: the map to approximate.
        t: time.

    Returns:
        The distance, or None if the network is not linear in its parameters and so has no space to project onto.
    """
    if projection.landscape is None:
        return None
    chart = projection.landscape.chart
    if projection.quadrature.fixed:  # particles would add a sampling error
        rule, map = projection.quadrature.for_metric(), projection.map
        nodes = rule.nodes(map.base, map.breakpoints())
        chart = Chart(chart.space, nodes, nodes, projection.problem.domain)
    nodes = chart.nodes
    target = exact(t, nodes.z.double()).to(nodes.z.dtype)
    nearest = chart.at_nodes(chart.project(chart.load(nodes.w * target, torch.zeros_like(target)))).x
    return float(torch.dot(nodes.w, (target - nearest) ** 2).sqrt())
