"""B-splines against scipy's, and the ReLU^k network that they are coordinates of."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from laws_and_terms import LAWS, away, laws, tensor
from neurons_of_splines import from_neurons, neurons_of
from scipy.interpolate import BSpline

from wgf.errors import ConfigError
from wgf.networks.spline import TAIL_MASS, Spline, basis, breakpoints
from wgf.problem.laws import Barenblatt, Gaussian, Semicircle, Uniform
from wgf.problem.quadrature import Gauss

DEGREES = [1, 2, 3, 4, 5]
PLACEMENTS = ["uniform", "quantile"]
every_degree = pytest.mark.parametrize("degree", DEGREES)
UNEVEN = tensor([-3.0, -1.1, -1.0, 0.2, 0.9, 2.5])


def dense(points, degree, z):
    """Values and slopes of all B-splines [n, M]."""
    first, values, slopes = basis(points, degree, z)
    size = len(points) + degree - 1
    columns = first[:, None] + torch.arange(degree + 1)
    return [torch.zeros(len(z), size, dtype=z.dtype).scatter(1, columns, t) for t in (values, slopes)]


def scipys(points, degree, z):
    """The same by scipy, with linear tails."""
    knots = np.concatenate([[points[0]] * degree, points, [points[-1]] * degree])
    splines = BSpline(knots, np.eye(len(points) + degree - 1), degree)
    inside = np.clip(z, points[0], points[-1])
    slopes = splines.derivative()(inside)
    return splines(inside) + (z - inside)[:, None] * slopes, slopes


def random(count, seed):
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_points(count, seed):
    gaps = random(count - 1, seed) + 0.05
    return torch.cat([tensor([-2.0]), -2.0 + gaps.cumsum(0)])


def bent(law, seed=0, **settings):
    """A network and coefficients far from the identity."""
    map = Spline(base=law, **settings)
    return map, away(map, 0.3, seed)


# the basis


@every_degree
@pytest.mark.parametrize("points", [UNEVEN, tensor([-1.0, 2.0]), torch.linspace(-4, 4, 17, dtype=torch.float64)])
def test_basis_is_scipys_with_linear_tails(degree, points):
    z = torch.linspace(-6.013, 6.017, 1001, dtype=torch.float64)
    values, slopes = dense(points, degree, z)
    expected, expected_slopes = scipys(points.numpy(), degree, z.numpy())
    assert np.allclose(values.numpy(), expected, rtol=1e-12, atol=1e-13)
    assert np.allclose(slopes.numpy(), expected_slopes, rtol=1e-12, atol=1e-11)


@given(degree=st.sampled_from(DEGREES), count=st.integers(2, 12), seed=st.integers(0, 10**6))
def test_basis_on_any_breakpoints(degree, count, seed):
    points = random_points(count, seed)
    z = points[0] - 1 + (points[-1] - points[0] + 2) * random(50, seed)
    values, slopes = dense(points, degree, z)
    expected, expected_slopes = scipys(points.numpy(), degree, z.numpy())
    assert np.allclose(values.numpy(), expected, rtol=1e-11, atol=1e-10 / float(points.diff().min()))
    assert np.allclose(slopes.numpy(), expected_slopes, rtol=1e-10, atol=1e-9)
    # a partition of unity, in the tails as well
    assert torch.allclose(values.sum(1), torch.ones_like(z), atol=1e-12)
    assert torch.allclose(slopes.sum(1), torch.zeros_like(z), atol=1e-10)
    inside = (z >= points[0]) & (z <= points[-1])
    assert (values[inside] >= 0).all()


@every_degree
def test_the_ends_and_the_breakpoints_belong_to_a_cell(degree):
    values, _ = dense(UNEVEN, degree, UNEVEN)
    assert torch.allclose(values.sum(1), torch.ones(6, dtype=torch.float64))
    assert torch.allclose(values[0], torch.eye(len(values[0]), dtype=torch.float64)[0])
    assert torch.allclose(values[-1], torch.eye(len(values[0]), dtype=torch.float64)[-1])


@every_degree
def test_slopes_jump_at_breakpoints_for_degree_1_only(degree):
    below, above = dense(UNEVEN, degree, UNEVEN[1:-1] - 1e-9)[1], dense(UNEVEN, degree, UNEVEN[1:-1] + 1e-9)[1]
    jump = float((above - below).abs().max())
    assert jump > 1 if degree == 1 else jump < 1e-5


# the breakpoints


@pytest.mark.parametrize("placement", PLACEMENTS)
@given(law=laws(), width=st.integers(2, 40), bound=st.floats(0.5, 20))
def test_breakpoints_lie_where_the_law_has_mass(placement, law, width, bound):
    points = breakpoints(law, width, bound, placement)
    assert points.shape == (width,)
    assert (points.diff() >= 0).all()
    tolerance = 1e-9 * law.std
    assert points[0] >= max(law.lower, law.mean - bound * law.std) - tolerance
    assert points[-1] <= min(law.upper, law.mean + bound * law.std) + tolerance
    inner = points[1:-1]
    if len(inner) and not math.isfinite(law.lower):
        assert float(torch.minimum(law.cdf(inner), law.survival(inner)).min()) >= 0.9 * TAIL_MASS
    if placement == "quantile" and width > 2:
        masses = law.mass(points[:-1], points[1:])
        assert torch.allclose(masses, masses.mean().expand(width - 1), rtol=1e-4, atol=1e-12)


def test_uniform_breakpoints_are_equispaced_on_the_bound():
    assert breakpoints(Gaussian(1.0, 2.0), 5, 3.0, "uniform").tolist() == pytest.approx([-5, -2, 1, 4, 7])
    assert breakpoints(Uniform(-1.0, 3.0), 5, 3.0, "uniform").tolist() == pytest.approx([-1, 0, 1, 2, 3])
    for law in (Uniform(-1.0, 2.0), Semicircle(1.3)):
        ends = Spline(6, 3, 8.0, base=law).points[[0, -1]]
        assert ends.tolist() == pytest.approx([law.lower, law.upper])
    wide = breakpoints(Gaussian(0.0, 1.0), 5, 100.0, "uniform")
    assert float(wide[-1]) == pytest.approx(7.034, abs=1e-3)  # the quantile of 1 - 1e-12


# the network


@pytest.mark.parametrize("name", LAWS)
@every_degree
@pytest.mark.parametrize("knots", PLACEMENTS)
def test_starts_as_the_identity(name, degree, knots):
    law = LAWS[name]
    for width in (2, 3, 12):
        map = Spline(width, degree, 3.0, knots, base=law)
        assert map.theta.shape == (width + degree - 1,)
        z = torch.linspace(-6, 6, 201, dtype=torch.float64)
        x, dx = map.evaluate(map.theta.detach(), z)
        assert torch.allclose(x, z, rtol=1e-12, atol=1e-12)
        assert torch.allclose(dx, torch.ones_like(z), rtol=1e-9)
        assert torch.equal(map.f(map.theta.detach(), z), x)
        assert torch.allclose(map(z.reshape(3, 67)).detach(), z.reshape(3, 67), atol=1e-12)


@every_degree
def test_the_map_and_its_derivatives(degree):
    map, theta = bent(Gaussian(0.3, 1.2), width=7, degree=degree, knots="quantile")
    z = (torch.linspace(-8, 8, 301, dtype=torch.float64) + 0.0123).requires_grad_()
    x, dx = map.evaluate(theta, z)
    assert torch.allclose(torch.autograd.grad(x.sum(), z)[0], dx, atol=1e-11)
    z, x, dx = z.detach(), x.detach(), dx.detach()
    ends = map.evaluate(theta, map.points[[0, -1]])[0]
    assert ends.tolist() == [theta[0].item(), theta[-1].item()]
    values, slopes = scipys(map.points.numpy(), degree, z.numpy())
    assert np.allclose(x.numpy(), values @ theta.numpy(), atol=1e-12)
    assert np.allclose(dx.numpy(), slopes @ theta.numpy(), atol=1e-11)
    jacobian = map.jacobian(theta, z)
    assert torch.allclose(jacobian, torch.func.jacrev(lambda t: map.evaluate(t, z)[0])(theta), atol=1e-13)
    assert torch.allclose(jacobian @ theta, map.f(theta, z), atol=1e-12)


@pytest.mark.parametrize("law", [Gaussian(), Uniform(-1.0, 2.0), Barenblatt(1.5, 0.7)], ids=["r", "interval", "edge"])
@every_degree
def test_cells_spare_the_search(law, degree):
    map, theta = bent(law, width=6, degree=degree)
    nodes = Gauss(5).nodes(law, map.knots(theta))
    for by_cell, by_search in zip(map.evaluate(theta, nodes.z, nodes.cell), map.evaluate(theta, nodes.z), strict=True):
        assert torch.allclose(by_cell, by_search, rtol=1e-13, atol=1e-11)
    assert torch.allclose(map.jacobian(theta, nodes.z, nodes.cell), map.jacobian(theta, nodes.z), atol=1e-13)


def test_a_cell_that_is_given_is_the_one_that_counts():
    map, theta = bent(Gaussian(), width=6, degree=1)
    z = map.points[2:3]
    slopes = [float(map.evaluate(theta, z, torch.tensor([cell]))[1]) for cell in (2, 3)]
    around = map.evaluate(theta, torch.cat([z - 1e-6, z + 1e-6]))[1]
    assert slopes == pytest.approx(around.tolist(), rel=1e-9)
    assert abs(slopes[1] - slopes[0]) > 1e-3


# neurons


def explicit(neurons, degree, z):
    """sum_j w_j (facing_j (z - b_j))_+^k, written out."""
    return (torch.relu(neurons.facing * (z[:, None] - neurons.biases)) ** degree) @ neurons.weights


@pytest.mark.parametrize("knots", PLACEMENTS)
@every_degree
@pytest.mark.parametrize("width", [2, 3, 5, 11])
def test_neurons_are_the_same_function(width, degree, knots):
    map, theta = bent(Gaussian(0.3, 1.2), width=width, degree=degree, knots=knots, bound=2.0, seed=width)
    neurons = neurons_of(map, theta)
    assert {len(part) for part in neurons} == {width + degree - 1}
    assert set(neurons.facing.tolist()) <= {-1.0, 1.0}
    assert set(map.points[1:-1].tolist()) <= set(neurons.biases.tolist())  # a neuron on every inner breakpoint
    z = torch.linspace(float(map.points[0]), float(map.points[-1]), 200, dtype=torch.float64)
    assert torch.allclose(explicit(neurons, degree, z), map.f(theta, z), atol=1e-9)
    assert torch.allclose(from_neurons(map, neurons.weights), theta, atol=1e-9)


@given(width=st.integers(2, 9), degree=st.sampled_from(DEGREES), seed=st.integers(0, 10**6))
def test_any_weights_come_back(width, degree, seed):
    map = Spline(width, degree, 2.0, base=Gaussian())
    weights = torch.randn(width + degree - 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    theta = from_neurons(map, weights)
    z = torch.linspace(-2, 2, 100, dtype=torch.float64)
    neurons = neurons_of(map, theta)
    assert torch.allclose(neurons.weights, weights, rtol=1e-7, atol=1e-7)
    written = explicit(neurons._replace(weights=weights), degree, z)
    assert torch.allclose(map.f(theta, z), written, atol=1e-9 * float(written.abs().max()))


def test_beyond_the_breakpoints_the_map_is_linear_where_the_neurons_are_not():
    map, theta = bent(Gaussian(), width=5, degree=3, bound=2.0)
    z = torch.linspace(2.0, 5.0, 31, dtype=torch.float64)
    x, dx = map.evaluate(theta, z)
    assert torch.allclose(dx, dx[:1].expand(31), atol=1e-12)
    assert torch.allclose(x, x[0] + dx[0] * (z - 2.0), atol=1e-12)
    assert float((explicit(neurons_of(map, theta), 3, z) - x).abs().max()) > 1e-2


# what is refused


REFUSED = {
    "width": [{"width": 1}, {"width": 2.5}],
    "degree": [{"degree": 0}, {"degree": 6}],
    "bound": [{"bound": 0.0}, {"bound": -1.0}, {"bound": math.nan}],
    "knots": [{"knots": "random"}],
    "coincide": [{"bound": 1e-10}, {"width": 4000, "bound": 1e-6, "knots": "quantile"}],
}


@pytest.mark.parametrize(("settings", "word"), [(given, word) for word in REFUSED for given in REFUSED[word]])
def test_bad_settings_are_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        Spline(base=Gaussian(), **settings)


@given(law=laws(), width=st.integers(2, 30), degree=st.sampled_from(DEGREES), knots=st.sampled_from(PLACEMENTS))
def test_every_map_near_the_start_increases_with_its_coefficients(law, width, degree, knots):
    """Increasing coefficients make an increasing spline: the control polygon's slopes bound those of the map."""
    map = Spline(width, degree, 3.0, knots, base=law)
    theta = map.theta.detach()
    assume(bool((theta.diff() > 1e-6 * law.std).all()))
    moved = theta + 0.4 * theta.diff().min() * (2 * random(len(theta), width) - 1)
    z = torch.linspace(float(theta[0]) - law.std, float(theta[-1]) + law.std, 500, dtype=torch.float64)
    assert (map.evaluate(moved, z)[1] > 0).all()


@torch.inference_mode()
def test_a_spline_of_inference_mode_follows_its_breakpoints():
    network = Spline(12, base=Gaussian())
    z = torch.linspace(-1.0, 1.0, 5, dtype=torch.float64)
    torch.testing.assert_close(network.f(network.theta, z), z)
    network.points.mul_(2.0)  # in place: the same coefficients stand at places twice as far away
    torch.testing.assert_close(network.f(network.theta, z), 0.5 * z)


def test_a_spline_of_ones_own_is_evaluated_in_rows_by_its_own_formula():
    class Doubled(Spline):
        def evaluate(self, theta, z, cell=None):
            x, dx = super().evaluate(theta, z, cell)
            return 2 * x, 2 * dx

    map, z = Doubled(8, 3, 3.0, base=Gaussian()), torch.tensor([-1.0, 0.5], dtype=torch.float64)
    rows = torch.stack([map.theta.detach(), 0.5 * map.theta.detach()])
    assert map.evaluate_rows(rows, z)[0].tolist() == [pytest.approx([-2.0, 1.0]), pytest.approx([-1.0, 0.5])]
