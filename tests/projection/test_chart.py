"""Charts against dense constructions: basis, mass matrix, coordinates, and the lift to the parameters."""

import numpy as np
import pytest
import torch
from charts import charted, dense_basis, full, relu, spline
from hypothesis import given
from hypothesis import strategies as st
from laws_and_terms import LAWS, TERMS, away, problem, random, tensor
from whole_flows import field_of, flow

from wgf.errors import ConfigError
from wgf.integrators.implicit import SDIRK3, Rodas4
from wgf.networks.mlp import MLP
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline, greville
from wgf.problem.internal import Entropy
from wgf.problem.laws import Gaussian, Uniform
from wgf.problem.potential import Quartic

DEGREES = [1, 2, 3, 4, 5]
every_degree = pytest.mark.parametrize("degree", DEGREES)
every_term = pytest.mark.parametrize("name", TERMS)


MAPS = {"relu": relu, **{f"spline_{k}": lambda k=k: spline(k) for k in DEGREES}}
every_map = pytest.mark.parametrize("map", [make() for make in MAPS.values()], ids=list(MAPS))


# the chart


@every_map
def test_record_is_the_map(map):
    chart, theta = charted(map), away(map, 0.2)
    at = chart.at_nodes(chart.coordinates(theta))
    seen = chart.nodes.w > 0  # in the empty cell between two knots that coincide anything goes
    x, dx = (t[seen] for t in map.evaluate(theta, chart.nodes.z, chart.nodes.cell))
    assert torch.allclose(at.x[seen], x, atol=1e-12)
    assert torch.allclose(at.dx[seen], dx, atol=1e-11)
    assert torch.allclose(chart.space.min_slope(theta, at.dx), map.min_slope(theta, dx), atol=1e-11)


@every_map
def test_loads_and_bands_are_dense_products(map):
    chart = charted(map)
    values, slopes = dense_basis(chart)
    n = len(chart.nodes.z)
    a, b, c = random(3, n)
    assert torch.allclose(chart.load(a, b), values.T @ a + slopes.T @ b, atol=1e-11)
    columns = random(n, 4, seed=1)
    assert torch.allclose(chart.loads(columns), values.T @ columns, atol=1e-11)
    expected = values.T @ (a[:, None] * values) + slopes.T @ (b[:, None] * slopes)
    assert torch.allclose(full(chart.band(a, b)), expected, atol=1e-10)
    mixed = values.T @ (c[:, None] * slopes)
    assert torch.allclose(full(chart.band(a, b, c)), expected + mixed + mixed.T, atol=1e-10)
    band = chart.band(a, b, c)
    assert band.shape == (chart.space.degree + 1, chart.size)
    for d in range(1, chart.space.degree + 1):
        assert not band[d, -d:].any()  # nothing beyond the matrix


@every_map
def test_mass_matrix_is_the_integral_of_products(map):
    chart, finer = charted(map), charted(map, order=24)
    values, _ = dense_basis(finer)
    dense = values.T @ (finer.nodes.w[:, None] * values)
    assert torch.allclose(full(chart.mass.band), dense, atol=1e-9)
    load = random(chart.size)
    assert torch.allclose(chart.project(load), torch.linalg.solve(full(chart.mass.band), load), rtol=1e-9, atol=1e-9)
    c = random(chart.size, seed=1)
    at = chart.at_nodes(c)
    assert float(chart.length(c)) == pytest.approx(float(at.rms), rel=1e-9)


@pytest.mark.parametrize(
    "law", [LAWS["gaussian"], LAWS["laplace"], LAWS["uniform"]], ids=["gauss", "laplace", "uniform"]
)
@pytest.mark.parametrize("knots", ["uniform", "quantile"])
@every_degree
def test_the_condition_number_does_not_grow_with_the_width(degree, knots, law):
    """Long tails beyond short cells included."""
    bounds = {1: 8, 2: 12, 3: 25, 4: 55, 5: 150}
    for width in (32, 128, 512):
        assert charted(Spline(width, degree, 3.0, knots, base=law)).mass.condition < bounds[degree]


@pytest.mark.parametrize("bound", [2.0, 4.0, 8.0])
def test_the_condition_number_of_hat_functions_is_a_few_units(bound):
    for width in (4, 30, 200, 600):
        assert charted(relu(width, bound)).mass.condition < 8


def test_a_breakpoint_without_mass_is_refused():
    map = spline(1)
    map.points[-3:] = tensor([58.0, 59.0, 60.0])
    with pytest.raises(ConfigError, match=r"contains no mass of the base: change network\.width or"):
        charted(map)


def test_who_has_a_chart():
    law = Gaussian()
    assert spline().space() is not None
    assert relu().space() is not None
    mlp = MLP(4, base=law, generator=torch.Generator())
    for map in (TwoSidedReLU(4, base=law, train="all"), TwoSidedReLU(4, base=law, train="biases"), mlp):
        assert map.space() is None


# hat functions and neurons


def neuron_metric(map, nodes):
    """int (d_theta f)(d_theta f)^T p, dense [2m, 2m]."""
    jacobian = map.jacobian(map.theta.detach(), nodes.z, nodes.cell).numpy()
    return jacobian.T @ (nodes.w.numpy()[:, None] * jacobian), jacobian


@pytest.mark.parametrize("width", [2, 3, 9])
def test_lift_is_the_smallest_of_the_displacements_that_do_the_same(width):
    map = relu(width)
    chart = charted(map)
    c = random(chart.size)
    lifted = chart.lift(c)
    assert torch.allclose(chart.displacement(lifted), c, atol=1e-11)
    metric, jacobian = neuron_metric(map, chart.nodes)
    target = chart.at_nodes(c).x.numpy()
    right = jacobian.T @ (chart.nodes.w.numpy() * target)
    least = np.linalg.pinv(metric, rcond=1e-13) @ right
    assert np.allclose(lifted.numpy(), least, rtol=1e-6, atol=1e-7 * np.abs(least).max())


@given(width=st.integers(2, 30), seed=st.integers(0, 10**6), bound=st.floats(0.5, 5))
def test_coordinates_and_lift_are_inverse(width, seed, bound):
    map = relu(width, bound)
    chart = charted(map)
    theta = map.theta.detach()
    c = chart.coordinates(theta)
    at = chart.at_nodes(c)
    assert torch.allclose(at.x, chart.nodes.z, atol=1e-10)
    assert torch.allclose(at.dx, torch.ones_like(at.dx), atol=1e-10)
    step = random(chart.size, seed=seed)
    there = theta + chart.lift(step)
    assert torch.allclose(chart.coordinates(there), c + step, atol=1e-8)
    other = random(chart.size, seed=seed + 1)
    assert torch.allclose(chart.lift(step + 2 * other), chart.lift(step) + 2 * chart.lift(other), atol=1e-8 * width)


def test_knots_beyond_the_mass_belong_to_the_tails():
    map = relu(21, 20.0, Gaussian())
    chart = charted(map)
    assert chart.space.truncated == int((map.knots(map.theta.detach())[:21].abs() > 7.04).sum()) > 0
    assert chart.size == 21 - chart.space.truncated + 2
    step = random(chart.size)
    z = torch.linspace(-6, 6, 100, dtype=torch.float64)
    moved = map.evaluate(map.theta.detach() + chart.lift(step), z)[0]
    moved_nodes = chart.at_nodes(chart.coordinates(map.theta.detach()) + step)
    assert np.allclose(moved.numpy(), np.interp(z.numpy(), moved_nodes.nodes.z, moved_nodes.x), atol=1e-9)


@pytest.mark.parametrize(
    "integrator", [SDIRK3(dt=5e-3), Rodas4(rtol=1e-8, atol=1e-12, dt=2e-4)], ids=["sdirk3", "rodas4"]
)
@pytest.mark.parametrize("law", [Gaussian(), Uniform(-1.5, 2.0)], ids=["gaussian", "uniform"])
def test_degree_1_is_the_flow_of_the_weights(integrator, law):
    """m inner knots and two outer ones span the same functions, so the projections are the same too."""
    width, flowing = 8, problem(law, Quartic(1.0), Entropy(1.0))
    neurons = TwoSidedReLU(width, 2.0, "weights", base=law)
    hats = charted(neurons).space.points
    splines = Spline(width + 2, 1, 2.5, base=law)
    splines.points.copy_(hats)
    with torch.no_grad():
        splines.theta.copy_(greville(splines.points, splines.degree))
    ends = [flow(flowing, map, integrator, 0.1).state.theta for map in (neurons, splines)]
    z = torch.linspace(-3, 3, 301, dtype=torch.float64)
    one, other = (map.evaluate(theta, z)[0] for map, theta in zip((neurons, splines), ends, strict=True))
    assert float((one - z).abs().max()) > 0.05
    assert float((one - other).abs().max()) < 1e-8


@pytest.mark.parametrize("name", LAWS)
def test_every_law_has_charts(name):
    law = LAWS[name]
    for map in (relu(6, 3.0, law), spline(3, 6, law), spline(2, 6, law, knots="quantile")):
        field = field_of(problem(law, TERMS["quartic"], TERMS["entropy"]), map)
        evaluation = field(map.theta.detach())
        report = evaluation.report()
        assert report["residual"] < 1e-9
        assert report["rank"] == field.landscape.chart.size
        assert report["condition"] < 1e4


def test_chart_and_field_agree_with_the_dense_metric():
    """The velocity in the chart is the pseudo-inverse solution in the parameters."""
    map = relu(5)
    field = field_of(problem(map.base, TERMS["quartic"], TERMS["entropy"]), map)
    theta = away(map, 0.1)
    metric, _ = neuron_metric(field.map, field.landscape.chart.nodes)
    gradient = field.gradient(theta)[0].numpy()
    expected = -np.linalg.pinv(metric, rcond=1e-13) @ gradient
    velocity = field(theta).velocity.numpy()
    assert np.allclose(velocity, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())
    assert float(field(theta).dissipation) == pytest.approx(float(-gradient @ velocity), rel=1e-9)
