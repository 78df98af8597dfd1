"""Closed forms of networks whose knots move, against matrices of features and against autograd."""

import numpy as np
import pytest
import torch
from laws_and_terms import LAWS, away, network, problem

from wgf.problem import potential as potentials
from wgf.problem.internal import Entropy, PowerLaw
from wgf.problem.quadrature import Gauss, MonteCarlo
from wgf.projection.field import Projection
from wgf.projection.neurons.ramps import RampSpace
from wgf.projection.solvers import Auto

RCOND = 1e-6


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("shake", [0.0, 0.1], ids=["pairs", "apart"])
def test_the_weights_follow_the_damped_projection(name, shake):
    law = LAWS[name]
    map = network(law, "alternating", 6)
    theta = away(map, shake, seed=3)
    field = Projection(problem(law, potentials.Quartic(0.2), Entropy(0.7)), map, Gauss(), Auto(RCOND))
    weights, _ = map.parts
    tangent, gradient = field.tangent(theta, weights), field.gradient(theta)[0][weights].numpy()
    metric = tangent.metric.numpy()
    space = RampSpace(tangent.nodes, map.ramps(theta, weights), RCOND)
    order = space.order.numpy()
    assert np.abs(space.metric.numpy() - metric[np.ix_(order, order)]).max() < 1e-14 * np.abs(metric).max() * 10
    damped = metric + RCOND * np.trace(metric) * np.eye(12)
    expected = -np.linalg.solve(damped, gradient)
    assert np.allclose(field.velocity_of(theta, weights), expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())
    assert field(theta).report()["damped"] == pytest.approx(RCOND * np.trace(metric))


@pytest.mark.parametrize("train", ["biases", "all", "alternating", "one_sided"])
@pytest.mark.parametrize("name", LAWS)
def test_cumulative_sums_are_the_derivative_by_autograd(name, train):
    """The nodes of the Gauss rule move with the knots, so autograd of the energy contains the jumps."""
    law = LAWS[name]
    map = network(law, train, 5)
    theta = away(map, 0.1, seed=1).requires_grad_()
    field = Projection(problem(law, potentials.Quartic(0.2), PowerLaw(2.0, 0.5)), map, Gauss(16), Auto())
    (expected,) = torch.autograd.grad(field.energy(theta).sum(), theta)
    found = field.gradient(theta)[0]
    assert not found.requires_grad
    assert (found - expected).abs().max() < 1e-8 * expected.abs().max()


@pytest.mark.parametrize("internal", [Entropy(0.7), PowerLaw(2.0, 0.5)], ids=["entropy", "power law"])
def test_the_derivative_at_a_pair_is_that_of_opening_it(internal):
    """The energy has a kink where b = bt; the derivative is that for b < bt."""
    law = LAWS["gaussian"]
    map = network(law, "biases", 5)
    field = Projection(problem(law, potentials.Quartic(0.2), internal), map, Gauss(), Auto())
    theta, small = field.initial, 1e-6
    gradient = field.gradient(theta)[0]
    for i, opens in ((1, -small), (2, -small), (6, small), (7, small)):
        differences = []
        for step in (opens, -opens):
            moved = theta.clone()
            moved[i] += step
            differences.append(float(field.energy(moved).sum() - field.energy(theta).sum()) / step)
        assert float(gradient[i]) == pytest.approx(differences[0], abs=1e-5)
        assert abs(differences[1] - differences[0]) > 1e-3


def test_particles_give_the_same_sums_without_cells():
    law = LAWS["gaussian"]
    map = network(law, "all", 4)
    theta = away(map, 0.1).requires_grad_()
    field = Projection(problem(law, potentials.Quartic(0.2)), map, MonteCarlo(200), Auto())
    (expected,) = torch.autograd.grad(field.energy(theta).sum(), theta)
    assert (field.gradient(theta)[0] - expected).abs().max() < 1e-13


def test_a_shift_changes_no_derivative():
    def found(origin):
        law = type(LAWS["gaussian"])(origin, 1.2)
        map = network(law, "all", 4)
        theta = away(map, 0.0) + 0.0
        potential = potentials.Quadratic(1.3, origin + 0.4)
        return Projection(problem(law, potential, Entropy(0.7)), map, Gauss(), Auto()).gradient(theta)[0]

    assert (found(1e6) - found(0.0)).abs().max() < 1e-8
