"""Maps: the identity at the start, the formula of the paper, derivatives, monotonicity."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_and_terms import LAWS, away, differences, explicit_relu, network, tensor

import wgf
from wgf.errors import ConfigError
from wgf.networks.base import TransportMap
from wgf.networks.mlp import MLP
from wgf.networks.relu import TwoSidedReLU, initial_knots
from wgf.networks.spline import Spline
from wgf.problem.laws import Barenblatt, Gaussian, Laplace, Uniform
from wgf.problem.quadrature import Gauss

every_kind = pytest.mark.parametrize("train", ["weights", "biases", "all", "mlp"])
trains = st.sampled_from(["weights", "biases", "all"])


def points(law, n=41, seed=0):
    """Positions in general place: no knot is among them."""
    u = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return law.mean + 6 * law.std * (u - 0.5)


@every_kind
@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("width", [2, 5])
def test_the_map_starts_at_the_identity(name, train, width):
    map = network(LAWS[name], train, width)
    z = points(LAWS[name])
    x, dx = map.evaluate(map.theta.detach(), z)
    assert torch.allclose(x, z, atol=1e-13)
    assert torch.allclose(dx, torch.ones_like(z), atol=1e-13)
    assert torch.allclose(map(z.reshape(-1, 1)), z.reshape(-1, 1), atol=1e-13)
    assert float(map.min_slope(map.theta.detach(), dx)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("law", [Gaussian(), Gaussian(3.0, 0.5), Laplace(-2.0, 1.5)], ids=["centred", "right", "left"])
def test_knots_start_equispaced_about_the_mean(law):
    knots = initial_knots(law, 5, 4.0)
    expected = tensor([-4, -2, 0, 2, 4]) * law.std + law.mean
    assert torch.allclose(knots, expected, atol=1e-14)
    map = TwoSidedReLU(5, 4.0, "all", "paired", base=law)
    assert torch.equal(map.knots(map.theta), torch.cat([knots, knots]))


@given(st.integers(2, 20), st.floats(0.5, 20))
def test_knots_start_inside_a_bounded_support(width, bound):
    knots = initial_knots(Uniform(1.0, 4.0), width, bound)
    assert float(knots[0]) > 1.0
    assert float(knots[-1]) < 4.0
    assert torch.all(knots.diff() > 0)
    assert torch.allclose(knots + knots.flip(0), tensor(5.0))


@given(trains, st.integers(2, 9), st.integers(0, 10**6), st.floats(0.01, 1.5))
def test_the_map_is_the_formula_of_the_paper(train, width, seed, size):
    law = LAWS["mixture"]
    map = network(law, train, width)
    theta, z = away(map, size, seed), points(law, seed=seed)
    assert torch.allclose(map.evaluate(theta, z)[0], explicit_relu(map, theta, z), atol=1e-12 * (1 + size))


@pytest.mark.parametrize("kind", ["weights", "mlp", "spline", "circle"])
def test_maps_evaluated_together_are_those_evaluated_one_by_one(kind):
    law = LAWS["gaussian"]
    map = Spline(9, 3, base=law) if kind in ("spline", "circle") else network(law, kind, 5)
    map = map.on_circle(4.0) if kind == "circle" else map
    rows = torch.stack([away(map, 0.3, seed) for seed in range(3)])
    z = torch.cat([points(law), map.knots(rows[0])])  # beyond all knots, too
    together = map.evaluate_rows(rows, z)
    for k, theta in enumerate(rows):
        for found, expected in zip(together, map.evaluate(theta, z), strict=True):
            assert torch.allclose(found[k], expected, rtol=1e-14, atol=1e-14)


@given(trains, st.integers(2, 9), st.integers(0, 10**6), st.floats(0.01, 1.5))
def test_slopes_are_the_derivative_of_the_map(train, width, seed, size):
    law = LAWS["gaussian"]
    map = network(law, train, width)
    theta, z = away(map, size, seed), points(law, seed=seed)
    away_from_knots = ((z[:, None] - map.knots(theta)).abs() > 1e-4).all(1)
    z = z[away_from_knots]
    h = 1e-5
    rise = explicit_relu(map, theta, z + h) - explicit_relu(map, theta, z - h)
    assert torch.allclose(map.evaluate(theta, z)[1], rise / (2 * h), atol=1e-9)


@given(trains, st.integers(2, 9), st.integers(0, 10**6), st.floats(0.01, 1.5))
def test_the_smallest_slope_is_that_of_any_cell(train, width, seed, size):
    map = network(LAWS["gaussian"], train, width)
    theta = away(map, size, seed)
    ends = map.knots(theta).sort().values
    middles = torch.cat([ends[:1] - 1, 0.5 * (ends[1:] + ends[:-1]), ends[-1:] + 1])
    slopes = map.evaluate(theta, middles)[1]
    distinct = torch.cat([tensor([1.0]), ends.diff(), tensor([1.0])]) > 1e-12
    smallest = float(map.min_slope(theta, slopes))
    assert smallest <= float(slopes[distinct].min()) + 1e-13
    if train == "all" or distinct.all():
        assert smallest == pytest.approx(float(slopes[distinct].min()), abs=1e-13)


@pytest.mark.parametrize("width", [2, 5])
def test_a_slope_beyond_the_edges_of_the_base_does_not_count(width):
    """There is no mass: the smallest slope is the smallest of those where the base has mass."""
    law = LAWS["uniform"]
    map = network(law, "all", width)
    theta = away(map, 0.3, 4)
    theta[2 * width] = law.upper + 1.0  # the knot of a neuron whose slope falls to -5 beyond it
    theta[0] -= 6.0 * width
    z = law.lower + (law.upper - law.lower) * torch.linspace(1e-6, 1 - 1e-6, 10_001, dtype=torch.float64)
    beyond = map.evaluate(theta, tensor([law.upper + 2.0]))[1]
    assert float(beyond) < -4
    assert float(map.min_slope(theta, z)) == pytest.approx(float(map.evaluate(theta, z)[1].min()), abs=1e-13)


@given(trains, st.integers(2, 9), st.integers(0, 10**6))
def test_near_the_start_the_map_increases(train, width, seed):
    law = LAWS["laplace"]
    map = network(law, train, width)
    theta = away(map, 0.1, seed)
    z = points(law, seed=seed).sort().values
    assert float(map.min_slope(theta, tensor([9.0]))) > 0
    assert torch.all(map.evaluate(theta, z)[0].diff() > 0)


@every_kind
def test_the_jacobian_is_that_of_autograd_and_of_finite_differences(train):
    law = LAWS["gaussian"]
    map = network(law, train, 4)
    theta, z = away(map, seed=3), points(law, 15)
    jacobian = map.jacobian(theta, z)
    assert jacobian.shape == (15, len(theta))
    by_autograd = torch.autograd.functional.jacobian(lambda theta: map.evaluate(theta, z)[0], theta)
    assert torch.allclose(jacobian, by_autograd, atol=1e-13)
    for i, direction in enumerate(torch.eye(len(theta), dtype=torch.float64)):
        for k in (0, 7, 14):
            expected = differences(lambda theta, k=k: map.evaluate(theta, z)[0][k], theta, direction)
            assert float(jacobian[k, i]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("train", ["weights", "biases", "all"])
@pytest.mark.parametrize("shake", [0.0, 0.1], ids=["coincident", "apart"])
def test_the_cell_of_a_node_stands_for_the_search(train, shake):
    law = LAWS["mixture"]
    map = network(law, train, 5)
    theta = away(map, shake)
    nodes = Gauss().nodes(law, map.knots(theta))
    inside = nodes.w > 1e-300
    z, cell = nodes.z[inside], nodes.cell[inside]
    for with_cell, without in zip(map.evaluate(theta, z, cell), map.evaluate(theta, z), strict=True):
        assert torch.allclose(with_cell, without, atol=1e-13)
    assert torch.allclose(map.jacobian(theta, z, cell), map.jacobian(theta, z), atol=1e-13)


def test_coincident_knots_are_told_apart_by_the_cell():
    map = network(Gaussian(), "biases", 2)
    theta, z = tensor([0.5, 1.0, 0.5, -1.0]), tensor([0.5, 0.5, 0.5])  # b_1 = bt_1 = z: right-facing first
    slopes = map.evaluate(theta, z, torch.tensor([1, 2, 3]))[1]
    assert slopes.tolist() == [0.5, 1.0, 0.5]  # left of both, between, right of both
    active = map.jacobian(theta, z, torch.tensor([1, 2, 3])) != 0
    assert active[:, 0].tolist() == [False, True, True]
    assert active[:, 2].tolist() == [True, True, False]


@every_kind
def test_no_method_changes_the_parameters(train):
    map = network(LAWS["gaussian"], train, 4)
    theta, z = away(map), points(LAWS["gaussian"])
    before, own = theta.clone(), map.theta.detach().clone()
    map.evaluate(theta, z)
    map.jacobian(theta, z)
    map.min_slope(theta, z)
    map.knots(theta)
    assert torch.equal(theta, before)
    assert torch.equal(map.theta.detach(), own)


@every_kind
def test_a_module_restores_its_state(train):
    first, second = network(LAWS["gaussian"], train, 4, seed=1), network(LAWS["gaussian"], train, 4, seed=2)
    with torch.no_grad():
        first.theta.copy_(away(first, seed=9))
    z = points(LAWS["gaussian"])
    if train == "mlp":
        again = network(LAWS["gaussian"], train, 4, seed=2)
        assert torch.equal(again.theta, second.theta)  # the seed is the start
        assert not torch.equal(network(LAWS["gaussian"], train, 4, seed=1).theta, second.theta)
    assert not torch.equal(first(z), second(z))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(z), second(z))


@torch.no_grad()
def test_a_spline_restores_its_breakpoints():
    """It keeps polynomials of its breakpoints, which a state changes in place."""
    base, z = LAWS["gaussian"], points(LAWS["gaussian"])
    first, second = Spline(6, 3, 3.0, base=base), Spline(6, 3, 4.0, base=base)
    first.theta += 0.1 * torch.sin(first.theta)
    third = Spline(6, 3, 4.0, base=base)
    second(z), third(z)
    before = third.points.clone()
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(z), second(z))
    # networks of the same settings share their mesh, but not their state
    assert torch.equal(third.points, before)
    assert torch.equal(Spline(6, 3, 4.0, base=base).points, before)


def test_a_spline_seen_in_inference_mode_has_derivatives():
    map = Spline(6, 3, base=LAWS["gaussian"])
    with torch.inference_mode():
        map(points(LAWS["gaussian"]))
    map(points(LAWS["gaussian"])).sum().backward()
    assert bool((map.theta.grad > 0).any())


def test_the_smooth_network_is_its_formula():
    law = Gaussian(1.0, 2.0)
    map = MLP(3, base=law, generator=torch.Generator().manual_seed(0))
    theta, z = away(map, 0.3), points(law, 7)
    t = theta.tolist()
    for value, at in zip(map.evaluate(theta, z)[0].tolist(), z.tolist(), strict=True):
        y = (at - 1) / 2
        waves = sum(c * math.tanh(k * y + d) for c, k, d in zip(t[2:5], t[5:8], t[8:11], strict=True))
        assert value == pytest.approx(t[0] + t[1] * y + waves, rel=1e-13)
    for k in range(7):
        slope = differences(lambda at: map.evaluate(theta, at)[0][k], z, torch.eye(7, dtype=torch.float64)[k])  # noqa: B023
        assert float(map.evaluate(theta, z)[1][k]) == pytest.approx(slope, rel=1e-9)


def test_a_network_of_ones_own_needs_a_start_and_a_formula():
    class Shifted(TransportMap):
        def __init__(self, law):
            super().__init__(law)
            self.theta = torch.nn.Parameter(tensor([0.0, 1.0, 0.0]))

        def f(self, theta, z):
            return theta[0] + theta[1] * z + theta[2] * torch.sin(z)

    map, theta, z = Shifted(Gaussian()), tensor([0.5, 1.5, 0.3]), points(Gaussian(), 6)
    x, dx = map.evaluate(theta, z)
    assert torch.allclose(x, 0.5 + 1.5 * z + 0.3 * torch.sin(z))
    assert torch.allclose(dx, 1.5 + 0.3 * torch.cos(z))
    assert torch.allclose(map.jacobian(theta, z), torch.stack([torch.ones_like(z), z, torch.sin(z)], dim=1))
    assert len(map.knots(theta)) == 0
    assert float(map.min_slope(theta, dx)) == float(dx.min())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TwoSidedReLU(1, base=Gaussian()), "width=1"),
        (lambda: TwoSidedReLU(4, 0.0, base=Gaussian()), r"bound=0\.0"),
        (lambda: TwoSidedReLU(4, train="knots", base=Gaussian()), "train='knots'.*weights, biases, all"),
        (lambda: MLP(0, base=Gaussian(), generator=torch.Generator()), "width=0"),
    ],
)
def test_impossible_networks_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("train", ["weights", "all"])
def test_without_a_margin_the_outer_knots_lie_on_the_edges_as_in_the_paper_s_program(train):
    """Its porous-medium knots are linspace(-b, b, m) with b = 3^(2/3), the edge of Barenblatt's law at t0 = 1."""
    law, paper = Barenblatt(), torch.linspace(-(3 ** (2 / 3)), 3 ** (2 / 3), 5, dtype=torch.float64)
    map = TwoSidedReLU(5, 10.0, train, "paired", 0.0, base=law)
    assert torch.allclose(map.knots(map.theta)[-5:], paper, atol=1e-14)
    flow = wgf.solve(wgf.PorousMedium(), law=law, network=map, t_end=1.0, saves=1)
    stretched = 2 ** (1 / 3) * paper  # T(z) = z ((t + t0) / t0)^(1/3)
    assert torch.allclose(torch.as_tensor(flow.map(1.0, paper)), stretched, atol=1e-7)


def test_knots_without_mass_beyond_them_are_refused():
    with pytest.raises(ConfigError, match=r"network\.width"):
        TwoSidedReLU(2, 10.0, "weights", margin=0.0, base=Barenblatt())
