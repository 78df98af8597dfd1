"""The one-sided network against its formula, its closed form against the matrices of the paper, and its refusals."""

import numpy as np
import pytest
import torch
from laws_and_terms import LAWS, away, network, problem, tensor
from scipy import stats

import wgf
from wgf.errors import ConfigError
from wgf.networks.one_sided import OneSidedReLU
from wgf.problem import potential as potentials
from wgf.problem.internal import Entropy
from wgf.problem.laws import Gaussian
from wgf.problem.quadrature import Gauss, MonteCarlo
from wgf.projection.field import Projection
from wgf.projection.solvers import Banded

Z = torch.linspace(-3.7, 3.3, 61, dtype=torch.float64)


def formula(theta, z, m):
    """The map as the sum over its neurons, in numpy."""
    b, bt = theta.detach().numpy().reshape(2, m, 1)
    ramps = np.maximum(z.numpy() - b, 0) - np.maximum(z.numpy() - bt, 0)
    return tensor(z.numpy() + ramps.sum(0) / m)


@pytest.mark.parametrize("width", [2, 7])
def test_the_map_is_its_formula_and_starts_at_the_identity(width):
    map = OneSidedReLU(width, base=Gaussian())
    assert torch.allclose(map(Z), Z, atol=1e-14)
    theta = away(map, 0.3)
    assert torch.allclose(map.f(theta, Z), formula(theta, Z, width), atol=1e-13)
    expected = torch.func.jacrev(lambda theta: map.f(theta, Z))(theta)
    assert torch.allclose(map.jacobian(theta, Z), expected, atol=1e-13)


def test_apart_from_each_other_the_biases_move_by_the_tridiagonal_closed_form():
    law, m = Gaussian(), 4
    map = OneSidedReLU(m, base=law)
    theta = tensor([-1.9, -0.7, 0.6, 1.4, -1.2, -0.2, 0.9, 1.8])
    field = Projection(problem(law, potentials.Quartic(0.4), Entropy(0.7)), map, Gauss(), Banded(1e-14))
    order = theta.argsort()
    weights, knots = map.weights[order].numpy(), theta[order].numpy()
    masses = np.diff(stats.norm.cdf(np.append(knots, np.inf)))
    difference = np.eye(2 * m) - np.eye(2 * m, k=1)
    inverse = difference.T @ np.diag(1 / masses) @ difference
    gradient = field.gradient(theta)[0][order].numpy()
    expected = -inverse @ (gradient / weights) / weights
    gram = 1 - stats.norm.cdf(np.maximum(knots[:, None], knots))
    assert np.allclose(inverse @ gram, np.eye(2 * m), atol=1e-10)
    assert np.allclose(field(theta).velocity[order], expected, atol=1e-10)


def test_the_map_stands_still_left_of_all_knots():
    law = Gaussian()
    field = Projection(problem(law, potentials.Quartic(1.0)), OneSidedReLU(8, base=law), Gauss(), Banded())
    theta = field.initial
    moves = field.map.jacobian(theta, tensor([-5.0, -2.0])) @ field(theta).velocity
    assert moves.tolist() == [0.0, pytest.approx(float(moves[1]))]
    assert float(moves[1].abs()) > 0.1


@pytest.mark.parametrize("name", ["gaussian", "uniform", "laplace"])
def test_particles_know_the_jumps_of_the_energy(name):
    law = LAWS[name]
    map = network(law, "one_sided", 5)
    theta = away(map, 0.05)
    terms = potentials.Quadratic(0.4), Entropy(0.7)
    exact, _, _ = Projection(problem(law, *terms), map, Gauss(16), Banded()).gradient(theta)
    drawn, _, _ = Projection(problem(law, *terms), map, MonteCarlo(400_000), Banded()).gradient(theta)
    assert (drawn - exact).abs().max() < 0.02 * exact.abs().max() + 2e-3


def error(width):
    law = Gaussian()
    flow = wgf.solve(
        wgf.LinearTransport(), potential=wgf.potentials.Quartic(1.0), law=law, t_end=0.02,
        network=OneSidedReLU(width, base=law), integrator=wgf.Euler(dt=5e-4),
    )  # fmt: skip
    return flow.w1(flow.reference_solution)


def test_errors_fall_with_the_width_at_first_order():
    errors = [error(m) for m in (8, 32)]
    assert errors[1] < 0.35 * errors[0]
    assert errors[1] < 3e-3


@pytest.mark.parametrize(
    ("settings", "mend"),
    [({"solver": wgf.MovingKnots()}, "solver=auto"), ({"integrator": wgf.Rodas4()}, "network=spline")],
)
def test_what_needs_other_coordinates_is_refused_in_one_line(settings, mend):
    with pytest.raises(ConfigError, match=mend) as refusal:
        wgf.solve(wgf.FokkerPlanck(), network=OneSidedReLU(4, base=Gaussian()), t_end=0.1, **settings)
    assert "\n" not in str(refusal.value)
