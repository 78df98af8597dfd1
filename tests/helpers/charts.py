"""Charts of small maps and dense matrices to compare them with."""

import torch

from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem.domain import Line
from wgf.problem.laws import Gaussian
from wgf.problem.quadrature import Gauss
from wgf.projection.chart import Chart


def charted(map, order=8):
    nodes = Gauss(order).nodes(map.base, map.knots(map.theta.detach()))
    return Chart(map.space(), nodes, nodes, Line())


def relu(width=7, bound=2.0, law=None):
    return TwoSidedReLU(width, bound, "weights", base=law or Gaussian(0.3, 1.2))


def spline(degree=3, width=7, law=None, **settings):
    return Spline(width, degree, 2.5, base=law or Gaussian(0.3, 1.2), **settings)


def dense_basis(chart):
    """Values and slopes of all basis functions at the nodes [n, M], from unit coordinates."""
    records = [chart.at_nodes(e) for e in torch.eye(chart.size, dtype=torch.float64)]
    return torch.stack([r.x for r in records], 1), torch.stack([r.dx for r in records], 1)


def full(band):
    """The dense matrix of a band [k + 1, M], entry by entry."""
    k, size = len(band) - 1, band.shape[1]
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for i in range(size):
        for j in range(max(0, i - k), i + 1):
            matrix[i, j] = matrix[j, i] = band[i - j, j]
    return matrix
