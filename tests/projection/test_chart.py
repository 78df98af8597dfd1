"""Charts, the landscape of the energy in them and banded matrices, all against dense constructions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_and_terms import LAWS, TERMS, away, problem, tensor
from whole_flows import field_of, flow

from wgf.errors import ConfigError
from wgf.integrators.implicit import SDIRK3, Rodas4
from wgf.networks.mlp import MLP
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem.domain import Line
from wgf.problem.energy import Local
from wgf.problem.equations import FokkerPlanck
from wgf.problem.interaction import Zero as NoInteraction
from wgf.problem.internal import Entropy
from wgf.problem.laws import Gaussian, Uniform
from wgf.problem.potential import Quartic
from wgf.problem.quadrature import Gauss
from wgf.projection.chart import Chart
from wgf.projection.chart_energy import Landscape
from wgf.projection.field import Projection
from wgf.projection.linalg.banded import Banded, Cholesky, DenseCholesky
from wgf.projection.linalg.cyclic import CyclicReduction
from wgf.projection.solvers import Auto

DEGREES = [1, 2, 3, 4, 5]
every_degree = pytest.mark.parametrize("degree", DEGREES)
every_term = pytest.mark.parametrize("name", TERMS)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def charted(map, order=8):
    nodes = Gauss(order).nodes(map.base, map.knots(map.theta.detach()))
    return Chart(map.space(), nodes, nodes, Line())


def relu(width=7, bound=2.0, law=None):
    return TwoSidedReLU(width, bound, "weights", base=law or Gaussian(0.3, 1.2))


def spline(degree=3, width=7, law=None, **settings):
    return Spline(width, degree, 2.5, base=law or Gaussian(0.3, 1.2), **settings)


MAPS = {"relu": relu, **{f"spline_{k}": lambda k=k: spline(k) for k in DEGREES}}
every_map = pytest.mark.parametrize("map", [make() for make in MAPS.values()], ids=list(MAPS))


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
        splines.theta.copy_(splines._greville())
    ends = [flow(flowing, map, integrator, 0.1).state.theta for map in (neurons, splines)]
    z = torch.linspace(-3, 3, 301, dtype=torch.float64)
    one, other = (map.evaluate(theta, z)[0] for map, theta in zip((neurons, splines), ends, strict=True))
    assert float((one - z).abs().max()) > 0.05
    assert float((one - other).abs().max()) < 1e-8


# the landscape


class Mixed(Local):
    """A density of all its arguments without closed forms: its derivatives come from autograd."""

    name = "mixed"

    def density(self, x, dx, log_p):
        return torch.sin(x) * dx**2 + 0.1 * x**2 / dx + 0.2 * torch.cosh(0.5 * log_p) * dx


EVERY = {**TERMS, "mixed": Mixed()}


def landscape_of(map, *terms):
    chart = charted(map)
    landscape = Landscape(problem(map.base), chart)
    landscape.energies = terms
    return landscape, chart.coordinates(away(map, 0.2))


@pytest.mark.parametrize("make", [relu, spline, lambda: spline(5, knots="quantile")], ids=["relu", "cubic", "quintic"])
@pytest.mark.parametrize("name", EVERY)
def test_gradient_and_hessian_are_the_derivatives_of_the_energy(name, make):
    landscape, c = landscape_of(make(), EVERY[name])
    at = landscape.chart.at_nodes(c)
    assert float(at.dx.min()) > 0.1

    def energy(c):
        return float(landscape.terms(landscape.chart.at_nodes(c)).sum())

    def gradient(c):
        return landscape.gradient(landscape.chart.at_nodes(c))

    matrix = landscape.hessian(at)
    dense = full(matrix.band) + (0 if matrix.dense is None else matrix.dense)
    scale = max(1.0, float(dense.abs().max()))
    for seed in range(3):
        e = random(len(c), seed=seed) / 3
        h = 1e-4
        slope = sum(w * energy(c + s * h * e) for s, w in ((1, 8), (-1, -8), (2, -1), (-2, 1))) / (12 * h)
        # where particles of a kernel with a singular second derivative stand close, differences are what is wrong
        assert float(gradient(c) @ e) == pytest.approx(slope, abs=1e-6 * scale, rel=1e-6)
        bend = sum(w * gradient(c + s * h * e) for s, w in ((1, 8), (-1, -8), (2, -1), (-2, 1))) / (12 * h)
        assert torch.allclose(dense @ e, bend, rtol=1e-6, atol=1e-6 * scale)


def test_the_hessian_of_a_sum_is_the_sum():
    terms = [TERMS[name] for name in ("quartic", "entropy", "morse")] + [Mixed()]
    landscape, c = landscape_of(spline(), *terms)
    at = landscape.chart.at_nodes(c)
    whole = landscape.hessian(at)
    parts = []
    for term in terms:
        landscape.energies = (term,)
        part = landscape.hessian(at)
        parts.append(full(part.band) + (0 if part.dense is None else part.dense))
    assert torch.allclose(full(whole.band) + whole.dense, sum(parts), atol=1e-10)


@pytest.mark.parametrize("names", [["quartic", "entropy"], ["quartic", "entropy", "log"]], ids=["banded", "dense"])
def test_plus_mass_factorises_and_knows_what_is_positive(names):
    landscape, c = landscape_of(spline(), *(TERMS[name] for name in names))
    hessian = landscape.hessian(landscape.chart.at_nodes(c))
    dense = full(hessian.band) + (0 if hessian.dense is None else hessian.dense)
    mass = full(landscape.chart.mass.band)
    rhs = random(len(c))
    assert torch.allclose(hessian.plus_mass(50.0).solve(rhs), torch.linalg.solve(dense + 50 * mass, rhs), atol=1e-9)
    lowest = float(torch.linalg.eigvals(torch.linalg.solve(mass, dense)).real.min())
    assert hessian.plus_mass(-lowest + 1e-3).positive
    assert not hessian.plus_mass(-lowest - 1e-3).positive


def test_the_convex_part_of_a_hessian_is_positive_where_the_whole_is_not():
    landscape, c = landscape_of(spline(), Quartic(0.3), Entropy(0.01), TERMS["log"])
    at = landscape.chart.at_nodes(c)
    convex = landscape.convex_hessian(at)
    assert not landscape.hessian(at).plus_mass(0.0).positive
    assert convex.dense is None
    assert convex.plus_mass(1e-9).positive
    values, slopes = dense_basis(landscape.chart)
    xx = (3 * (at.x - 0.3) ** 2 - 1) * at.w
    xx = xx + TERMS["log"].curvature(at).xx
    dd = 0.01 * at.w / at.dx**2 - 0.6 * (at.w / at.dx) ** 2
    expected = values.T @ (xx.clamp(min=0)[:, None] * values) + slopes.T @ (dd.clamp(min=0)[:, None] * slopes)
    assert torch.allclose(full(convex.band), expected, atol=1e-10)


# banded matrices


def random_band(n, k, seed, spread=0.0):
    """A positive definite band and the dense matrix: B^T B of a banded B, scaled on both sides."""
    factor = torch.zeros(n, n, dtype=torch.float64)
    for d in range(k + 1):
        factor.diagonal(-d).copy_(random(n - d, seed=seed + d))
    factor.diagonal().copy_(factor.diagonal().abs() + 1 + 0.5 * k)
    scale = 10 ** (spread * torch.sin(torch.arange(n, dtype=torch.float64)))
    matrix = scale[:, None] * (factor @ factor.T) * scale
    band = torch.zeros(k + 1, n, dtype=torch.float64)
    for d in range(k + 1):
        band[d, : n - d] = matrix.diagonal(-d)
    return band, matrix


SOLVERS = {"lapack": Cholesky, "cyclic": CyclicReduction, "dense": lambda band: DenseCholesky(Banded(band).dense())}
every_solver = pytest.mark.parametrize("solver", SOLVERS.values(), ids=list(SOLVERS))


@every_solver
@given(n=st.integers(1, 70), k=st.integers(0, 6), seed=st.integers(0, 10**6), spread=st.sampled_from([0.0, 3.0]))
def test_a_banded_system_is_solved(solver, n, k, seed, spread):
    band, matrix = random_band(n, min(k, n - 1), seed, spread)
    rhs = random(n, seed=seed + 7)
    scale = matrix.diagonal().sqrt()
    factor = solver(band.clone())
    expected = torch.linalg.solve(matrix / scale / scale[:, None], rhs / scale) / scale
    assert bool(factor.positive)
    got = factor.solve(rhs)
    assert torch.allclose(got * scale, expected * scale, rtol=1e-9, atol=1e-10 * float((expected * scale).abs().max()))


@given(n=st.integers(1, 60), k=st.integers(0, 6), seed=st.integers(0, 10**6))
def test_products_and_the_dense_form(n, k, seed):
    band, matrix = random_band(n, min(k, n - 1), seed)
    assert torch.allclose(Banded(band).dense(), matrix, atol=1e-12)
    x = random(n, seed=seed)
    assert torch.allclose(Banded(band).matvec(x), matrix @ x, atol=1e-10)
    assert torch.allclose(Banded(band.float()).matvec(x.float()).double(), matrix @ x, rtol=1e-3, atol=1e-3)


@every_solver
@given(n=st.integers(1, 60), k=st.integers(0, 5), seed=st.integers(0, 10**6), where=st.floats(0, 1))
def test_a_matrix_that_is_not_positive_is_reported(solver, n, k, seed, where):
    band, matrix = random_band(n, min(k, n - 1), seed)
    row = min(int(where * n), n - 1)
    band[0, row] -= 1.001 / torch.linalg.inv(matrix)[row, row]  # makes the determinant negative, just so
    assert not bool(solver(band).positive)


@every_degree
def test_condition_is_that_of_the_scaled_matrix(degree):
    band, matrix = random_band(40, degree, 3, spread=2.0)
    scale = matrix.diagonal().rsqrt()
    assert Banded(band).condition == pytest.approx(
        float(np.linalg.cond((scale[:, None] * matrix * scale).numpy())), rel=1e-8
    )


def test_condition_of_a_large_matrix():
    band, matrix = random_band(520, 2, 5)
    scale = matrix.diagonal().rsqrt()
    expected = np.linalg.cond((scale[:, None] * matrix * scale).numpy())
    assert Banded(band).condition == pytest.approx(float(expected), rel=1e-2)


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


def test_tensors_of_the_test_helpers():
    assert full(tensor([[2.0, 3.0], [1.0, 0.0]])).tolist() == [[2.0, 1.0], [1.0, 3.0]]


def test_runs_of_nodes_are_summed(monkeypatch: pytest.MonkeyPatch):
    """Long vectors are worked through in runs that fit the cache: the same energy, gradient and Hessian."""
    equation = FokkerPlanck().problem(Gaussian(), Quartic(1.0), NoInteraction(), 1.0)
    field = Projection(equation, Spline(12, base=equation.law), Gauss(8), Auto())
    landscape, c = field.landscape, field.map.theta.detach() * 0.9
    assert landscape is not None
    at = landscape.chart.at_nodes(landscape.chart.coordinates(c))

    def all_of() -> list[torch.Tensor]:
        return [landscape.terms(at), landscape.gradient(at), landscape.hessian(at).band]

    whole = all_of()
    monkeypatch.setattr("wgf.projection.chart_energy.BLOCK", 50)
    for a, b in zip(whole, all_of(), strict=True):
        assert b == pytest.approx(a, abs=1e-13)
