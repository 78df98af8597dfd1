"""Moving knots: lift, gradient, metric and regularisation against dense sums and finite differences."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from charts import full
from laws_and_terms import TERMS, problem, random

from wgf.networks.knot_space import Broken
from wgf.networks.relu import TwoSidedReLU, single_knots
from wgf.problem.laws import Barenblatt, Gaussian, Laplace, Uniform
from wgf.problem.quadrature import Gauss, MonteCarlo
from wgf.projection.field import Projection
from wgf.projection.knots import KnotFlow
from wgf.projection.solvers import Auto, MovingKnots, Truncated

LAWS = {"gaussian": Gaussian(0.3, 1.2), "uniform": Uniform(-1, 2), "barenblatt": Barenblatt(), "laplace": Laplace()}
SHAPES = [("paired", 2), ("paired", 7), ("uniform", 2), ("uniform", 3), ("uniform", 7)]


def network(start="uniform", width=4, law=None, bound=2.0):
    return TwoSidedReLU(width, bound, "all", start, base=law or LAWS["gaussian"])


def moved(space, size=0.2):
    """Coordinates of an increasing map with moved knots."""
    y = space.identity
    smallest = float(Broken.of(y).h.min())
    return y + size * min(1.0, smallest) * random(len(y), seed=3).clamp(-1, 1)


def knots_of(map, *terms, quadrature=None, drag=1e-2, viscosity=1e-2):
    rule = quadrature or Gauss(24)
    metric_rule = rule.for_metric()
    return KnotFlow(problem(map.base, *terms), map.knot_space(), map.base, rule, metric_rule, drag, viscosity)


def piecewise(y, z):
    """The map by its definition, without cells."""
    map = Broken.of(y)
    x = map.u[0] + map.slopes[0] * (z - map.b[0])
    for b, (before, after) in zip(map.b, pairwise(map.slopes), strict=True):
        x = x + (after - before) * (z - b).clamp(min=0)
    return x


# the lift


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("start", "width"), SHAPES)
def test_lift_is_exact_and_coordinates_invert_it(start, width, law):
    map = network(start, width, LAWS[law])
    space = map.knot_space()
    y = moved(space)
    theta = space.lift(y)
    assert theta.shape == (4 * width,)
    assert torch.allclose(space.coordinates(theta), y, atol=1e-13)
    z = torch.linspace(map.base.mean - 5, map.base.mean + 5, 301, dtype=torch.float64)
    assert torch.allclose(map.evaluate(theta, z)[0], piecewise(y, z), atol=1e-13)


@pytest.mark.parametrize(("start", "width"), SHAPES)
def test_start_is_the_identity_and_the_paper_s_in_pairs(start, width):
    map = network(start, width)
    space = map.knot_space()
    theta = map.theta.detach()
    z = torch.linspace(-9, 9, 101, dtype=torch.float64)
    assert torch.allclose(map(z), z, atol=1e-13)
    assert torch.allclose(space.lift(space.identity), theta, atol=1e-12)
    w, wt, b, bt = theta.reshape(4, width)
    if start == "paired":
        assert torch.equal(b, bt)
        assert torch.equal(torch.cat([w, -wt]), torch.ones(2 * width, dtype=torch.float64))
    else:
        assert len(torch.cat([b, bt]).unique()) == 2 * width - 2


def test_velocity_and_change_are_derivatives_of_the_lift():
    space = network(width=5).knot_space()
    y, dy = moved(space), random(18, seed=1)
    theta, h = space.lift(y), 1e-5
    difference = (space.lift(y + h * dy) - space.lift(y - h * dy)) / (2 * h)
    velocity = space.velocity(y, dy)
    assert torch.allclose(velocity, difference, atol=1e-8)
    assert torch.allclose(space.change(theta, velocity), dy, atol=1e-11)


def test_knots_without_mass_belong_to_the_tails():
    map = network("paired", 9, Gaussian(), bound=12.0)
    space = map.knot_space()
    y = moved(space)
    assert (space.truncated, len(y)) == (4, 2 * 5 + 2)
    assert torch.allclose(space.coordinates(space.lift(y)), y, atol=1e-13)
    knots = single_knots(Gaussian(), 9, 12.0)
    assert float(Gaussian().survival(knots[-1:])) == pytest.approx(2e-12, rel=1e-3)
    assert network("uniform", 9, Gaussian(), bound=12.0).knot_space().truncated == 0


# gradient and matrices


@pytest.mark.parametrize("law", ["gaussian", "uniform", "barenblatt"])
@pytest.mark.parametrize(
    "name", ["quartic", "entropy", "power_law_3", "log", "attraction_2.5_1.5", "newtonian", "moments"]
)
def test_gradient_is_the_derivative_of_the_energy(name, law):
    map = network("uniform", 4, LAWS[law], bound=1.2)
    flow = knots_of(map, TERMS[name])
    y = moved(flow.space)

    def energy(y):
        return float(TERMS[name].value(flow.at(y).at))

    # sums over pairs depend a little on the nodes, which move with the knots
    tolerance = {"log": 1e-3, "attraction_2.5_1.5": 2e-5}.get(name, 1e-8)
    gradient, h = flow.at(y).gradient, 1e-4
    for seed in range(3):
        e = random(len(y), seed=seed)
        slope = sum(w * energy(y + s * h * e) for s, w in ((1, 8), (-1, -8), (2, -1), (-2, 1))) / (12 * h)
        assert float(gradient @ e) == pytest.approx(slope, abs=tolerance)


def jacobian(y, z):
    return torch.func.jacrev(lambda y: piecewise(y, z))(y)


def test_matrices_are_the_dense_sums():
    map = network("uniform", 5)
    flow = knots_of(map, TERMS["quartic"], TERMS["entropy"])
    point = flow.at(moved(flow.space))
    z, w, at = point.at.nodes.z, point.at.w, point.at
    values = jacobian(point.y, z)
    slopes = torch.func.jacrev(lambda y: Broken.of(y).slopes)(point.y)[at.nodes.cell]
    mass = values.T @ (w[:, None] * values)
    assert torch.allclose(full(point.mass.band), mass, atol=1e-13)
    curved = TERMS["quartic"].curvature(at).xx.clamp(min=0)
    bend = values.T @ (curved[:, None] * values)
    bend += slopes.T @ (TERMS["entropy"].curvature(at).dd[:, None] * slopes)
    assert torch.allclose(full(point.curvature), bend, atol=1e-11)


def test_regularisation_is_its_formula():
    map = network("uniform", 5)
    flow = knots_of(map, drag=0.3, viscosity=0.7)
    point = flow.at(moved(flow.space))
    b, h, s = point.map.b, point.map.h, point.map.slopes
    ends = torch.cat([torch.tensor([-math.inf]), b, torch.tensor([math.inf])])
    masses = map.base.mass(ends[:-1], ends[1:])
    start = map.start_knots
    c0 = (map.base.mass(start[:-1], start[1:]) * start.diff() ** 2).mean()
    v = random(len(point.y))
    db = v[1:-1:2]
    drag = (0.5 * (masses[1:] + masses[:-1]) * 0.5 * (s[1:] ** 2 + s[:-1] ** 2) * db**2).sum()
    expected = 0.3 * drag + 0.7 * c0 * ((db.diff() / h) ** 2).sum()
    assert float(v @ (point.metric.matvec(v) - point.mass.matvec(v))) == pytest.approx(float(expected), rel=1e-10)


def test_velocity_solves_the_regularised_projection():
    map = network("uniform", 4)
    field = Projection(problem(map.base, TERMS["quartic"]), map, Gauss(), Auto())
    e = field(map.knot_space().lift(moved(map.knot_space())))
    point = e.knots
    dense = torch.linalg.solve(full(point.metric.band), -point.gradient)
    assert torch.allclose(point.velocity, dense, rtol=1e-9, atol=1e-9)
    assert torch.allclose(field.map.knot_space().velocity(point.y, dense), e.velocity, atol=1e-8)
    assert float(e.dissipation) == pytest.approx(float(dense @ (full(point.metric.band) @ dense)), rel=1e-9)
    d = random(len(e.velocity), seed=4)
    z, w = point.at.nodes.z, point.at.w
    along = jacobian(point.y, z) @ map.knot_space().change(map.knot_space().lift(point.y), d)
    assert float(e.length(d)) == pytest.approx(float(torch.dot(w, along**2).sqrt()), rel=1e-9)
    report = e.report()
    assert report["residual"] < 1e-10
    assert (report["truncated"], report["rank"]) == (0, len(point.y))


def test_without_drag_the_velocity_is_the_paper_s_projection():
    map = network("uniform", 4)
    theta = map.knot_space().lift(moved(map.knot_space()))
    law = problem(map.base, TERMS["quartic"])
    ours = Projection(law, map, Gauss(), MovingKnots(drag=1e-10, viscosity=1e-10))(theta)
    paper = Projection(law, map, Gauss(), Truncated(1e-13))(theta)
    z = torch.linspace(-2, 2, 40, dtype=torch.float64)
    features = map.jacobian(theta, z)
    assert torch.allclose(features @ ours.velocity, features @ paper.velocity, atol=1e-5)
    assert float(ours.dissipation) == pytest.approx(float(paper.dissipation), rel=1e-6)


def test_particles_give_the_gradient_of_gauss_up_to_sampling():
    map = network("uniform", 4)
    terms = TERMS["quartic"], TERMS["entropy"]
    y = moved(map.knot_space())
    exact = knots_of(map, *terms).at(y)
    sampled = knots_of(map, *terms, quadrature=MonteCarlo(200_000)).at(y)
    assert torch.allclose(exact.gradient, sampled.gradient, atol=0.05)
    assert torch.allclose(full(exact.metric.band), full(sampled.metric.band), atol=1e-9)


@pytest.mark.parametrize("length", [1.0, 1e-6])
def test_the_smallest_slope_has_no_unit_however_close_the_knots_are(length):
    b, u = (length * torch.tensor(values, dtype=torch.float64) for values in ([0.0, 1e-5, 1.0], [0.0, 2e-5, 0.7]))
    map = Broken(b, u, torch.cat([torch.ones(1), u.diff() / b.diff(), torch.ones(1)]).double())
    assert float(map.min_slope) == pytest.approx(0.7, rel=1e-4)


def test_crossed_knots_count_as_a_fold():
    map = network("uniform", 4)
    space = map.knot_space()
    y = space.identity
    y[3], y[5] = float(y[5]), float(y[3])
    assert float(Projection(problem(map.base), map, Gauss(), Auto())(space.lift(y)).min_slope) <= 0
    outside = Uniform(-1, 2)
    flow = knots_of(network("uniform", 4, outside), TERMS["quartic"])
    y = flow.space.identity
    assert flow.is_increasing(y)
    y[1] = -1.1
    assert not flow.is_increasing(y)


@pytest.mark.parametrize("factor", [1e-6, 10.0])
def test_regularised_velocity_is_consistent_of_order_two(factor):
    """|f' - v|^2 + y' R y' <= |I v - v|^2 = O(h^4), v = -V'(f), I the interpolation at the knots, constant beyond them:
    it is a velocity with b' = 0."""
    gaps = []
    for width in (6, 12, 24):
        map = network("uniform", width, LAWS["uniform"])
        flow = knots_of(map, TERMS["quartic"], drag=factor, viscosity=factor)
        b = Broken.of(flow.space.identity).b
        u = b + 0.2 * torch.sin(2 * b)
        ends = 1 + 0.4 * torch.cos(2 * b[[0, -1]])
        point = flow.at(Broken(b, u, torch.cat([ends[:1], u.diff() / b.diff(), ends[1:]])).coordinates)
        z, w, dy = point.at.nodes.z, point.at.w, point.velocity
        moves, velocity = jacobian(point.y, z) @ dy, -TERMS["quartic"].derivative(point.at.x)
        friction = float(dy @ (point.metric.matvec(dy) - point.mass.matvec(dy)))
        chord = torch.tensor(np.interp(z, b, -TERMS["quartic"].derivative(u)))
        distance, allowed = (float(torch.dot(w, (each - velocity) ** 2)) for each in (moves, chord))
        assert 0 <= friction <= allowed - distance
        inside = (z > b[0]) & (z < b[-1])
        gaps.append(float(torch.dot(w * inside, (moves - velocity) ** 2)) ** 0.5)
    assert 3.2 < gaps[1] / gaps[2] < 5  # order 2: a factor 4
    assert gaps[2] < 3e-3
