"""The projected velocity: solvers against each other, against pseudo-inverses, against averages and L2 projections."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from laws_and_terms import LAWS, away, lengths, network, problem, random, tensor
from scipy import integrate, stats

from wgf.errors import ConfigError
from wgf.problem import interaction
from wgf.problem import potential as potentials
from wgf.problem.internal import Entropy, PowerLaw
from wgf.problem.laws import Gaussian, Semicircle, Uniform
from wgf.problem.quadrature import Gauss, MonteCarlo
from wgf.projection.field import Projection
from wgf.projection.linalg.dense import filtered_eigen
from wgf.projection.solvers import MINRES, QR, Auto, Banded, Cholesky, Truncated
from wgf.projection.tangent import Tangent

TRAINS = ["weights", "biases", "all", "mlp"]
# every solver with settings that leave the problem as it is, and what it can solve
SOLVERS = {
    "truncated": (Truncated(1e-12), {"weights", "biases", "all", "mlp"}),
    "qr": (QR(1e-12), {"weights", "biases", "all", "mlp"}),
    "cholesky": (Cholesky(1e-15), {"weights", "biases", "all", "mlp"}),
    "minres": (MINRES(1e-13, 2000), {"weights", "biases", "all", "mlp"}),
    "auto": (Auto(1e-12), {"weights", "biases", "mlp"}),  # moving knots have their own tests
    "banded": (Banded(1e-14), {"weights", "biases"}),
}


def dense(field, theta):
    """sqrt(w) J and the minimum-norm solution of J^T W J v = -gradient by singular values, in numpy."""
    gradient = field.gradient(theta)[0].numpy()
    nodes = field.tangent(theta).nodes
    features = (nodes.w.sqrt()[:, None] * field.map.jacobian(theta, nodes.z, nodes.cell)).numpy()
    _, s, vh = np.linalg.svd(features, full_matrices=False)
    keep = s > 1e-9 * s[0]
    return features, -vh[keep].T @ (vh[keep] @ gradient / s[keep] ** 2)


def distance(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def start(train, width, *terms, law=None, solver=None, shake=0.0, seed=0, bound=2.0):
    """A projected flow of some energies, and parameters near the start of its network."""
    law = law or Gaussian(0.3, 1.2)
    map = network(law, train, width, bound)
    solver = solver or (Truncated(1e-12) if train == "all" else Auto())
    return Projection(problem(law, *terms), map, Gauss(), solver), away(map, shake, seed)


MIXED = (potentials.Quartic(0.2), Entropy(0.7), interaction.Quadratic(0.3))  # all kinds at once


@pytest.mark.parametrize(("name", "train"), [case for case in product(SOLVERS, TRAINS) if case != ("auto", "all")])
def test_all_solvers_agree_in_function_space(name, train):
    solver, solves = SOLVERS[name]
    width = 2 if train in ("all", "mlp") else 5
    if train not in solves:
        with pytest.raises(ConfigError, match="solver=banded has closed forms"):
            start(train, width, *MIXED, solver=solver)
        return
    field, theta = start(train, width, *MIXED, solver=solver, shake=0.1, seed=4)
    features, expected = dense(field, theta)
    evaluation = field(theta)
    assert distance(features @ evaluation.velocity.numpy(), features @ expected) < 1e-8
    report = evaluation.report()
    assert report["residual"] < 1e-8
    assert set(report) == {"rank", "condition", "residual", "truncated", "damped", "iterations"}
    size = float(np.linalg.norm(features @ expected) ** 2)
    assert float(evaluation.dissipation) == pytest.approx(size, rel=1e-8)  # -grad F . theta' = int |f'|^2 p


CUTTING = [Truncated(1e-2), QR(1e-2), Cholesky(1e-2), MINRES(1e-2)]


@pytest.mark.parametrize(("train", "solver"), [("mlp", Auto(1e-2)), *product(("all", "mlp"), CUTTING)])
def test_what_solvers_cut_or_damp_does_not_depend_on_the_unit_of_length(train, solver):
    found = []
    for unit in (1.0, 2.0**-9, 2.0**9):
        terms = potentials.Quadratic(1.0, 0.5 * unit), Entropy(0.7 * unit**2)
        field, theta = start(train, 3, *terms, law=Gaussian(0.3 * unit, 1.2 * unit), solver=solver)
        theta = theta + 0.1 * tensor([math.sin(k) for k in range(len(theta))]) * lengths(train, unit)
        z = unit * torch.linspace(-3, 3, 50, dtype=torch.float64)
        found.append(field.map.jacobian(theta, z) @ field(theta).velocity / unit)
    assert distance(found[1].numpy(), found[0].numpy()) < 1e-9
    assert distance(found[2].numpy(), found[0].numpy()) < 1e-9


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("width", [2, 3, 8, 64])
@pytest.mark.parametrize("train", ["weights", "biases", "one_sided"])
@pytest.mark.parametrize("shake", [0.0, 0.1], ids=["start", "apart"])
def test_the_closed_forms_are_the_pseudo_inverse(name, width, train, shake):
    field, theta = start(train, width, *MIXED, law=LAWS[name], solver=Banded(1e-14), shake=shake, seed=width)
    features, expected = dense(field, theta)
    velocity = field(theta).velocity.numpy()
    assert distance(features @ velocity, features @ expected) < 1e-9
    assert distance(velocity, expected) < 3e-9  # the parameters themselves: the minimum norm
    if width <= 8:
        gradient, metric = field.gradient(theta)[0].numpy(), field.tangent(theta).metric.numpy()
        assert distance(velocity, -np.linalg.pinv(metric, rcond=1e-12, hermitian=True) @ gradient) < 1e-8


@pytest.mark.parametrize("solver", [Banded(1e-14), Truncated(1e-12)], ids=["banded", "truncated"])
@pytest.mark.parametrize("width", [2, 5, 16])
def test_the_biases_move_the_map_by_the_cell_average_of_the_true_velocity(width, solver):
    field, theta = start("biases", width, potentials.Quartic(0.2), solver=solver)
    tangent = field.tangent(theta)
    velocity = field.map.jacobian(theta, tangent.nodes.z, tangent.nodes.cell) @ field(theta).velocity
    pdf = stats.norm(0.3, 1.2).pdf

    def force(z):
        return (z - 0.2) - (z - 0.2) ** 3

    ends = [-np.inf, *theta[:width].tolist(), np.inf]
    for a, b in pairwise(ends):
        mass = integrate.quad(pdf, a, b, epsabs=1e-14)[0]
        average = integrate.quad(lambda z: force(z) * pdf(z), a, b, epsabs=1e-14)[0] / mass
        inside = (tangent.nodes.z > a) & (tangent.nodes.z < b)
        assert int(inside.sum()) >= 8
        assert torch.allclose(velocity[inside], tensor(average), rtol=1e-8)


def hat_projection(law, density, knots, velocity):
    """The L2(p) projection of a function on continuous piecewise linear ones with linear tails, by hand."""
    basis = [lambda z: np.ones_like(z), lambda z: z] + [lambda z, b=b: np.maximum(z - b, 0) for b in knots]
    ends = np.unique(np.clip([*law.panels(), *knots], law.lower, law.upper))
    s, w = np.polynomial.legendre.leggauss(20)
    z = (0.5 * (ends[:-1] + ends[1:])[:, None] + 0.5 * np.diff(ends)[:, None] * s).ravel()
    weight = np.sqrt((0.5 * np.diff(ends)[:, None] * w).ravel() * density(z))
    matrix = np.stack([b(z) for b in basis], axis=1)
    coefficients = np.linalg.lstsq(weight[:, None] * matrix, weight * velocity(z), rcond=1e-13)[0]
    return lambda z: np.stack([b(z) for b in basis], axis=1) @ coefficients


@pytest.mark.parametrize("name", ["auto", "truncated", "qr", "minres"])
@pytest.mark.parametrize("width", [3, 8])
def test_the_weights_move_the_map_by_the_projection_on_piecewise_linear_functions(width, name):
    field, theta = start("weights", width, potentials.Sextic(0.1), solver=SOLVERS[name][0])
    z = np.linspace(-4, 4, 33)
    knots = field.map.knots(theta)[:width].tolist()
    expected = hat_projection(field.map.base, stats.norm(0.3, 1.2).pdf, knots, lambda z: -((z - 0.1) ** 5))
    velocity = field.map.jacobian(theta, tensor(z)) @ field(theta).velocity
    assert distance(velocity.numpy(), expected(z)) < 1e-7


Z = tensor(np.linspace(-3, 3, 13))
INSIDE = {
    "transport": ([potentials.Quadratic(1.3, 0.4)], -1.3 * (Z - 0.4)),
    "attraction": ([interaction.Quadratic(0.8)], -0.8 * (Z - 0.3)),
    # D z/s^2 is the diffusion of a Gaussian; its own force balances it at V = D z^2/(2 s^2)
    "fokker_planck": ([potentials.Quadratic(1.3, 0.4), Entropy(0.7)], -1.3 * (Z - 0.4) + 0.7 * (Z - 0.3) / 1.44),
}


@pytest.mark.parametrize(("train", "case"), [*product(["weights", "all"], INSIDE)][:-1])
def test_a_velocity_inside_the_space_is_met_exactly(train, case):
    """All but diffusion of all parameters: the entropy feels the slope between two knots that coincide."""
    terms, expected = INSIDE[case]
    field, theta = start(train, 4, *terms, solver=Auto(1e-12))
    velocity = field.map.jacobian(theta, Z) @ field(theta).velocity
    assert torch.allclose(velocity, expected, atol=1e-9)


def test_a_force_proportional_to_the_map_is_met_exactly():
    field, theta = start("all", 4, potentials.Quadratic(1.3, 0.3), solver=Truncated(1e-13), shake=0.1)
    velocity = field.map.jacobian(theta, Z) @ field(theta).velocity
    x = field.map.evaluate(theta, Z)[0]  # 0.3 + sum of weights times neurons: the weights alone can shrink it
    assert float((x - Z).abs().max()) > 0.05
    assert torch.allclose(velocity, -1.3 * (x - 0.3), atol=1e-6)


def test_equilibrium_stands_still():
    law = Gaussian(0.4, 0.8)  # exp(-V/D)
    field, theta = start("weights", 6, potentials.Quadratic(0.7 / 0.64, 0.4), Entropy(0.7), law=law)
    evaluation = field(theta)
    assert float(evaluation.velocity.abs().max()) < 1e-10
    assert float(evaluation.dissipation) < 1e-20


@pytest.mark.parametrize(
    ("law", "beyond"),
    [(Uniform(-1.0, 1.0), 1.0), (Semicircle(1.0), 1.0), (Gaussian(), 12.0)],
    ids=["uniform", "semicircle", "gaussian"],
)
def test_biases_beyond_all_mass_rest_or_carry_the_constant(law, beyond):
    terms = potentials.Quartic(0.2), interaction.Quadratic(0.3)
    field, theta = start("biases", 4, *terms, law=law, solver=Banded(1e-10), shake=0.1)
    theta[[3, 7]] = tensor([beyond + 1, beyond + 2])  # b_4 above everything: at rest; bt_4 above: a constant
    theta[[0, 4]] = tensor([-beyond - 1, -beyond - 2])  # b_1 below everything: a constant; bt_1 below: at rest
    expected = dense(field, theta)[1]
    velocity = field(theta).velocity
    assert distance(velocity.numpy(), expected) < 1e-7
    assert velocity[[3, 4]].tolist() == [0, 0]
    assert float(velocity[0]) == pytest.approx(float(velocity[7]), rel=1e-9)
    assert abs(float(velocity[0])) > 1e-3


def test_one_sided_knots_leave_no_constant():
    field, _ = start("biases", 3, potentials.Quadratic(1.0, 2.0), law=Uniform(-1.0, 1.0), solver=Banded(1e-12))
    theta = tensor([-0.5, 0.1, 0.6, -1.2, -1.3, -1.1])  # the left-facing neurons reach nothing
    expected = dense(field, theta)[1]
    velocity = field(theta).velocity
    assert distance(velocity.numpy(), expected) < 1e-10
    moved = field.map.jacobian(theta, tensor([-0.7, -0.2, 0.3, 0.8])) @ velocity
    assert float(moved[0]) == 0  # left of all right-facing knots nothing can move
    assert float(moved[1:].abs().min()) > 0.1


def test_far_knots_move_no_faster_than_near_ones():
    speeds = []
    for bound in (4.0, 10.0, 30.0):
        field, theta = start("biases", 16, potentials.Quartic(), Entropy(), law=Gaussian(), bound=bound)
        speeds.append(float(field(theta).velocity.abs().max()))
    assert max(speeds) < 3 * speeds[0]


def test_knots_far_out_of_the_weights_are_not_bent():
    field, theta = start("weights", 21, potentials.Quartic(), law=Gaussian(), bound=10.0)
    map, evaluation = field.map, field(theta)
    report = evaluation.report()
    assert report["truncated"] == 6  # knots at 8, 9, 10: less than 1e-12 beyond them
    assert report["rank"] == 15 + 2
    assert report["condition"] < 1e9
    knots = [k for k in map.knots(theta)[:21].tolist() if abs(k) < 7.5]
    expected = hat_projection(map.base, stats.norm.pdf, knots, lambda z: z - z**3)
    z = np.linspace(-4, 4, 33)
    velocity = map.jacobian(theta, tensor(z)) @ evaluation.velocity
    assert distance(velocity.numpy(), expected(z)) < 1e-6


# metric


@pytest.mark.parametrize("train", ["weights", "biases", "all", "mlp"])
def test_the_metric_is_the_integral_of_the_features(train):
    field, theta = start(train, 3, *MIXED, shake=0.1)
    map, tangent = field.map, field.tangent(theta)
    metric = tangent.metric
    assert torch.allclose(metric, metric.T)
    particles = Projection(field.problem, map, MonteCarlo(10), Auto()) if train == "weights" else field
    assert torch.equal(particles.tangent(theta).metric, metric)  # exact even for particles
    fine = map.base.quantile((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000)
    units = lengths(train, 1.2) if train in ("all", "mlp") else 1.0  # 1.2: the law's deviation
    jacobian = map.jacobian(theta, fine) * units
    assert torch.allclose(metric, jacobian.T @ jacobian / 200_000, atol=4e-4)
    for seed in range(3):
        v = random(len(theta), seed=seed)
        assert torch.allclose(tangent.apply(v), metric @ v, atol=1e-13)
        bare = Tangent(map, theta, tangent.nodes)  # no matrix has been made here
        assert bare.length(v).item() == pytest.approx(tangent.length(v).item(), rel=1e-12)
        assert "features" not in vars(bare)


# what solvers report


def test_truncation_is_reported():
    for solver in (Truncated(1e-10), QR(1e-10)):
        field, theta = start("weights", 8, *MIXED, solver=solver, shake=0.1)
        report = field(theta).report()
        assert (report["rank"], report["truncated"]) == (10, 6)  # m + 2 of 2 m
        assert report["residual"] < 1e-9
        values = torch.linalg.eigvalsh(field.tangent(theta).metric)
        assert report["condition"] == pytest.approx(float(values[-1] / values[6]), rel=1e-8)
    field, theta = start("weights", 8, *MIXED, solver=Truncated(0.05), shake=0.1)
    coarse = field(theta).report()
    assert coarse["truncated"] > 6
    assert coarse["residual"] > 1e-4  # of the full metric: what truncation left out shows


def test_damping_is_reported():
    field, theta = start("weights", 8, *MIXED, solver=Cholesky(1e-3), shake=0.1)
    evaluation, metric = field(theta), field.tangent(theta).metric
    damped = evaluation.report()["damped"]
    assert damped == pytest.approx(1e-3 * float(metric.diagonal().mean()), rel=1e-12)
    gradient = field.gradient(theta)[0]
    shifted = metric + damped * torch.eye(16, dtype=torch.float64)
    assert torch.allclose(shifted @ evaluation.velocity, -gradient, atol=1e-12)


def test_iterations_are_reported_and_bounded():
    field, theta = start("biases", 8, *MIXED, solver=MINRES(1e-10, 3), shake=0.1)
    report = field(theta).report()
    assert report["iterations"] == 3
    assert report["residual"] > 1e-6


def test_closed_cells_are_reported():
    law, quartic = Uniform(-1.0, 1.0), potentials.Quartic()
    field, theta = start("biases", 3, quartic, law=law, solver=Banded(1e-6))
    assert field(theta).report()["truncated"] == 3  # three pairs
    apart = tensor([-0.5, 0.1, 0.6, -0.4, 0.2, 0.7])
    assert field(apart).report()["truncated"] == 0
    joined = start("biases", 3, quartic, law=law, solver=Banded(0.3))[0](apart)
    assert joined.report()["truncated"] == 3  # masses .25 .05 .25 .05 .2 .05 .15
    moved = field.map.jacobian(apart, tensor([-0.45, 0.15, 0.65])) @ joined.velocity
    assert torch.isfinite(moved).all()


def test_minres_meets_a_gradient_outside_the_range_of_the_metric():
    """Pairs of knots coincide: opening one costs entropy that no tangent vector sees."""
    moved = []
    for solver in (MINRES(1e-13, 2000), Truncated(1e-12)):
        field, theta = start("biases", 8, *MIXED, law=LAWS["barenblatt"], solver=solver)
        moved.append(field.tangent(theta).features @ field(theta).velocity)
    iterative, direct = moved
    assert distance(iterative.numpy(), direct.numpy()) < 1e-6


def test_the_smooth_cut_is_continuous_where_knots_meet():
    field, _ = start("all", 2, *MIXED, law=Gaussian())
    base = tensor([1.0, 1.0, -1.0, -1.0, -1.0, 1.0, -0.4, 0.5])
    velocities = []
    for gap in (0.0, 1e-9):
        theta = base.clone()
        theta[6] = -1.0 + gap  # bt_1 meets b_1
        velocity = filtered_eigen(field.tangent(theta).metric, -field.gradient(theta)[0], 1e-4).value
        velocities.append(field.map.jacobian(theta, tensor([-2.0, 0.0, 2.0])) @ velocity)
    assert torch.allclose(velocities[0], velocities[1], atol=1e-5)


FLOWS = {
    "transport": [potentials.Quartic()],
    "porous_medium": [PowerLaw(2.0, 1.0)],
    "keller_segel": [potentials.Quartic(), Entropy(), interaction.Log(1.0)],
}


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("train", ["weights", "biases", "all"])
def test_the_energy_falls_along_the_flow_at_the_rate_of_the_dissipation(flow, train):
    field, theta = start(train, 4, *FLOWS[flow], shake=0.1, seed=8)
    evaluation = field(theta)
    h = 1e-6 / max(1.0, float(evaluation.velocity.norm()))
    ahead, behind = (float(field.energy(theta + s * h * evaluation.velocity).sum()) for s in (1, -1))
    assert float(evaluation.dissipation) > 0
    moves = flow == "keller_segel" and train != "weights"  # nodes that move with the knots change the sum of the pairs
    assert (ahead - behind) / (2 * h) == pytest.approx(-float(evaluation.dissipation), rel=1e-3 if moves else 1e-5)


@pytest.mark.parametrize("train", ["weights", "biases", "all", "mlp"])
def test_evaluating_the_field_changes_nothing(train):
    field, theta = start(train, 4, *MIXED, shake=0.1)
    before = theta.clone()
    first, second = field(theta), field(theta)
    assert torch.equal(theta, before)
    assert torch.equal(first.velocity, second.velocity)
    assert not first.velocity.requires_grad


def test_no_energy_no_motion():
    field, theta = start("all", 3, law=Gaussian())
    evaluation = field(theta)
    assert torch.all(evaluation.velocity == 0)
    assert len(evaluation.terms) == 0
    assert float(evaluation.min_slope) == pytest.approx(1)
    assert not math.isnan(evaluation.report()["residual"])
