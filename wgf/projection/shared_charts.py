"""Charts that several flows share: the same breakpoints, base and quadrature have the same chart."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import torch

from wgf.kept import Kept, content
from wgf.networks.base import TransportMap
from wgf.networks.spline_space import SplineSpace
from wgf.problem.domain import Domain
from wgf.problem.quadrature import Nodes, Quadrature
from wgf.projection.chart import Chart

MOST, LARGEST = 16, 20_000  # charts that are kept; breakpoints of such a chart
_charts = Kept[Chart](MOST)


def shared_chart(map: TransportMap, space: SplineSpace, quadrature: Quadrature, domain: Domain) -> Chart:
    """The chart of a map with fixed knots: that of an earlier flow with the same content, else a new one."""

    def make() -> Chart:
        nodes, metric_nodes = nodes_of(map, quadrature)
        if space.size > LARGEST and metric_nodes is nodes:  # the cells take as much memory as the nodes
            nodes = metric_nodes = replace(nodes, cell=None)
        return Chart(space, nodes, metric_nodes, domain)

    key = _key(map, space, quadrature, domain)
    return make() if key is None else _charts(key, make)


def nodes_of(map: TransportMap, quadrature: Quadrature) -> tuple[Nodes, Nodes]:
    """Nodes of a map with fixed knots: of the energy, and of the metric."""
    knots, rule = map.knots(map.theta.detach()), quadrature.for_metric()
    nodes = quadrature.nodes(map.base, knots)
    return nodes, nodes if rule is quadrature else rule.nodes(map.base, knots)


def _key(map: TransportMap, space: SplineSpace, quadrature: Quadrature, domain: Domain) -> Hashable | None:
    """What a chart depends on; None where that is more than numbers, or too large to keep."""
    points = space.points
    if torch.is_inference_mode_enabled() or space.size > LARGEST:  # tensors made there have no derivatives elsewhere
        return None
    try:
        if space.kind is not None:
            return space.kind, content(quadrature), content(domain)
        if type(space) is not SplineSpace or points.device.type != "cpu":
            return None
        settings = content(map.base), content(quadrature), content(domain)
    except TypeError:  # a class from outside wgf
        return None
    return points.detach().numpy().tobytes(), points.dtype, space.degree, settings
