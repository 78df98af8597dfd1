"""Best L2(p) approximation by a network, against dense least squares."""

import numpy as np
import pytest
import torch
from laws_and_terms import problem
from whole_flows import field_of, nearest

from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem.internal import Entropy
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Quartic
from wgf.problem.quadrature import MonteCarlo
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.reference_solutions.exact import Exact, find
from wgf.reference_solutions.wasserstein import Carried, distance
from wgf.run.best_approximation import best_w2

LAW = Gaussian(0.0, 1.0)
DIFFUSING = problem(LAW, Quartic(1.0), Entropy(1.0))


class Known:
    """A map as the exact solution."""

    name = "known"

    def __call__(self, t: float, z: torch.Tensor) -> torch.Tensor:
        return torch.sinh(z / 2) + t * z**2 / 8


def best(field: Projection, known: Exact, t: float) -> float | None:
    """Distance from the known map to the space of the network, as a run with the start's parameters computes it."""
    return best_w2(field, distance(Carried.by(field.map, field.map.theta.detach()), Carried.of(LAW, known, t)))


@pytest.mark.parametrize("quadrature", ["gauss", "monte_carlo"])
@pytest.mark.parametrize("width", [3, 12])
def test_the_nearest_map_is_that_of_dense_least_squares(width: int, quadrature: str):
    map = TwoSidedReLU(width, 2.5, base=LAW)
    field = field_of(DIFFUSING, map)
    if quadrature == "monte_carlo":
        field = Projection(DIFFUSING, map, MonteCarlo(1000), Auto())
    s, weights = np.polynomial.legendre.leggauss(12)
    edges = np.union1d(np.linspace(-8, 8, 161), np.linspace(-2.5, 2.5, width))
    half = np.diff(edges) / 2
    z = (edges[:-1, None] + half[:, None] * (s + 1)).ravel()
    w = (half[:, None] * weights).ravel() * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    target = Known()(0.3, torch.from_numpy(z)).numpy()
    expected = nearest(z, w, target, np.linspace(-2.5, 2.5, width))
    assert best(field, Known(), 0.3) == pytest.approx(expected, rel=1e-7)  # the nodes resolve the gap of the start


def test_a_map_within_the_space_is_reached():
    found = best(field_of(DIFFUSING, Spline(6, 3, 3.0, base=LAW)), find(problem(LAW, Quartic(1.0))), 0.0)
    assert found is not None
    assert found < 1e-12


@pytest.mark.parametrize("part", ["biases", "all"])
def test_knots_that_move_have_no_space(part: str):
    assert best(field_of(DIFFUSING, TwoSidedReLU(4, 4.0, part, base=LAW)), Known(), 0.1) is None
