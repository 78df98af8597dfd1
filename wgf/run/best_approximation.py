"""Best L2(p) approximation of a map by a network."""

from __future__ import annotations

import torch

from wgf.projection.chart import Chart
from wgf.projection.field import Projection
from wgf.reference_solutions.wasserstein import Distance


def best_w2(projection: Projection, found: Distance) -> float | None:
    """W2 distance between a known map and its L2(p)-orthogonal projection onto the space of a network (length).

    W2 error / best_w2 >= 1 is the quasi-optimality ratio of a run: the loss from projecting velocities instead of the
    map itself. Both are sums over the same nodes, in float64, so that rounding alone could bring the ratio below 1.

    Args:
        projection: projection with the network.
        found: distance of a map of this network to the known map.

    Returns:
        The distance, or None if the network is not linear in its parameters and so has no space to project onto.
    """
    space = projection.map.space()
    if space is None:
        return None
    nodes, target = found.nodes, found.target
    chart = Chart(space.on(space.points.double().cpu()), nodes, nodes, projection.problem.domain)
    nearest = chart.at_nodes(chart.nearest(target)).x
    return min(found.w2, float(torch.dot(nodes.w, (target - nearest) ** 2).sqrt()))
