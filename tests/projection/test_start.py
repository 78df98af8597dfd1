"""The start of a map from any law: the L2(p) projection of T(0), its breakpoints, and flows from such starts."""

import math

import numpy as np
import pytest
import torch
from laws_and_terms import tensor
from scipy import optimize, stats

import wgf
from wgf.networks.spline import Spline
from wgf.networks.spline_space import SplineSpace
from wgf.problem import bases
from wgf.problem.base import Start
from wgf.problem.domain import Line
from wgf.problem.internal import Entropy, PowerLaw
from wgf.problem.laws import (
    Barenblatt,
    Exponential,
    Gamma,
    Gaussian,
    Histogram,
    Laplace,
    LogNormal,
    Mixture,
    Samples,
    Semicircle,
    Student,
    SymmetricBeta,
    Uniform,
)
from wgf.problem.laws.convert import law_of
from wgf.projection import start as starts
from wgf.projection.increasing import Differences, increasing
from wgf.reference_solutions.choose import computed

GAP = Mixture([-2.0, 1.0], [0.15, 0.3], [0.5, 0.5])
BINS = Histogram([-2, -1, 0, 1, 2], [3, 0, 3, 4])


def fitted(law, m: int = 32, degree: int = 3, bound: float = 4.0):
    start = Start(law, Gaussian(law.mean, law.std))
    ends = law.mean - bound * law.std, law.mean + bound * law.std
    points = torch.linspace(*ends, m, dtype=torch.float64)
    return start, starts.fit(SplineSpace(points, degree), start, Line())


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_the_start_of_an_affine_map_is_exact(degree):
    start, found = fitted(Gaussian(0.3, 0.7), 8, degree)
    assert found.distance < 1e-12
    start = Start(Gaussian(1.0, 2.0), Gaussian(0.0, 1.0))
    map = Spline(8, degree, base=start.base)
    x, dx = map.evaluate(starts.initial(map, start, Line()), tensor([-6.0, 0.1, 5.0]))
    assert torch.allclose(x, tensor([-11.0, 1.2, 11.0]))
    assert torch.allclose(dx, tensor([2.0, 2.0, 2.0]))


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_the_start_of_a_map_that_is_flat_at_the_edges_is_exact_wherever_it_lies(degree):
    """T(0) from a parabola to a uniform law is a cubic of slope 0 at both edges: rounding decides whether it rises."""
    for place in np.random.default_rng(0).uniform(-10, 10, 20):
        law = Uniform(place, place + 2.52)
        start = Start(law, bases.choose("auto", law, PowerLaw(2.0, 1.0), Line()))
        points = torch.linspace(law.lower, law.upper, 8, dtype=torch.float64)
        found = starts.fit(SplineSpace(points, degree), start, Line())
        assert found.distance < 1e-9
        assert float(Differences(found.chart)(found.c).min()) > 0


def test_the_start_converges_at_the_order_of_the_splines():
    coarse, fine = (fitted(Uniform(), m, bound=6.0)[1].distance for m in (25, 49))  # T(0) = 2 Phi - 1
    assert fine < 4e-6
    assert math.log2(coarse / fine) == pytest.approx(4, abs=0.4)


@pytest.mark.parametrize("law", [GAP, BINS, Uniform(), Exponential()])
def test_the_start_increases_also_where_least_squares_do_not(law):
    _, found = fitted(law)
    assert float(Differences(found.chart)(found.c).min()) > 0
    assert float(found.chart.at_nodes(found.c).dx.min()) > 0


def test_the_increasing_spline_is_the_solution_of_the_quadratic_program():
    start, found = fitted(GAP, 12)
    chart = found.chart
    goal = start(chart.nodes.z)
    wanted = chart.project(chart.load(chart.nodes.w * goal, torch.zeros_like(goal)))
    c = increasing(chart, wanted, start)
    # an active set method on the same problem: c = first + rises, rises >= their least values
    rows = torch.stack([Differences(chart)(column) for column in torch.eye(chart.size, dtype=torch.float64)], dim=1)
    mass = chart.mass.dense().numpy()
    root = np.linalg.cholesky(mass).T
    least = 0.2 * Differences(chart)(chart.from_splines(_greville_values(start, chart))).numpy()
    # min |root (c - wanted)| s.t. rows c >= least, by its dual: nonnegative least squares
    inverse = np.linalg.solve(root.T, rows.numpy().T)
    bound = least - rows.numpy() @ wanted.numpy()
    system = np.vstack([inverse, bound])
    u, _ = optimize.nnls(system, np.append(np.zeros(chart.size), 1.0))
    r = system @ u - np.append(np.zeros(chart.size), 1.0)
    exact = wanted.numpy() + np.linalg.solve(root, -r[:-1] / r[-1])
    assert np.abs(rows.numpy() @ exact - least).min() < 1e-10  # a bound is active
    assert float(chart.length(c - tensor(exact))) < 1e-4 * found.distance


def _greville_values(start, chart):
    points, k = chart.space.points, chart.space.degree
    knots = torch.cat([points[:1].expand(k), points, points[-1:].expand(k)])
    greville = knots[1:-1].unfold(0, k, 1).mean(1)
    return start(greville) + 1e-7 * start.law.std / start.base.std * (greville - greville[0])


def test_breakpoints_follow_a_jump_and_stay_where_nothing_jumps():
    for law, most in ((GAP, 96), (Gaussian(0.0, 2.0), 32)):
        start = Start(law, Gaussian(law.mean, law.std))
        map = Spline(32, base=start.base)
        better = starts.placed(map, start, Line())
        points = better.breakpoints()
        assert 32 <= len(points) <= most
        width = points.diff()
        assert float((width[1:] / width[:-1]).log().abs().max()) <= math.log(6.0 + 1e-9)
        before, after = (starts.fit(SplineSpace(m.points, 3), start, Line()).distance for m in (map, better))
        assert after <= before
    assert better is map or torch.equal(points, map.points)
    gap = Start(GAP, Gaussian(GAP.mean, GAP.std))
    placed = starts.placed(Spline(32, base=gap.base), gap, Line())
    assert starts.fit(SplineSpace(placed.points, 3), gap, Line()).distance < 1e-2  # 0.2 on equidistant breakpoints


@pytest.mark.parametrize(
    ("law", "internal", "kind"),
    [
        (Gaussian(), Entropy(), Gaussian),
        (Uniform(), None, Uniform),
        (Uniform(), Entropy(), Gaussian),
        (Uniform(), PowerLaw(2.0), SymmetricBeta),
        (Barenblatt(2.0), PowerLaw(2.0), Barenblatt),
        (Barenblatt(2.0), Entropy(), Gaussian),
        (Semicircle(), PowerLaw(3.0), Semicircle),
        (Gamma(), PowerLaw(2.0), Gamma),
        (Gamma(), Entropy(), Gaussian),
        (LogNormal(), PowerLaw(2.0), Gaussian),
        (LogNormal(), Entropy(), LogNormal),
        (Exponential(), PowerLaw(2.0), Gaussian),
        (Laplace(), Entropy(), Gaussian),
        (Mixture(), Entropy(), Mixture),
        (GAP, Entropy(), Gaussian),
        (GAP, PowerLaw(2.0), Mixture),
        (Student(), Entropy(), Student),
        (BINS, None, Histogram),
        (law_of([0.0, 1.0, 4.0]), Entropy(), Gaussian),
    ],
)
def test_auto_leaves_the_law_where_diffusion_demands_it(law, internal, kind):
    base = bases.choose("auto", law, internal, Line())
    assert type(base) is kind
    assert (base is law) == (kind is type(law))
    if kind is Gaussian:
        assert (base.mean, base.std) == pytest.approx((law.mean, law.std))


def test_the_gap_is_the_lowest_density_between_peaks():
    law = Mixture([-1.5, 1.5], [0.4, 0.4], [0.5, 0.5])
    ratio = float(law.density(tensor(0.0)) / law.density(tensor(1.5)))
    assert bases.gap(law) == pytest.approx(ratio, rel=1e-2)
    assert bases.gap(Gaussian()) == 1.0


def test_impossible_bases_are_refused():
    frozen = law_of(stats.gumbel_r())
    with pytest.raises(wgf.ConfigError, match="base=law is impossible: Frozen has no density"):
        bases.choose("law", frozen, None, Line())
    with pytest.raises(wgf.ConfigError, match="base=barenblatt needs"):
        bases.choose("barenblatt", Uniform(), Entropy(), Line())
    with pytest.raises(wgf.ConfigError, match="base='gauss' is not allowed"):
        bases.choose("gauss", Uniform(), Entropy(), Line())
    map = wgf.TwoSidedReLU(base=Gaussian())
    with pytest.raises(wgf.ConfigError, match="TwoSidedReLU starts as the identity"):
        starts.initial(map, Start(Uniform(), map.base), Line())


def solved(law, t_end=0.5, **settings):
    return wgf.solve(wgf.FokkerPlanck(), law=law, t_end=t_end, saves=1, reference_solution="none", **settings)


def test_a_mixture_with_a_gap_becomes_the_mixture_of_wider_gaussians():
    flow = solved(GAP)
    exact = Mixture([-2.0, 1.0], [math.hypot(0.15, 1.0), math.hypot(0.3, 1.0)], [0.5, 0.5])
    assert flow.status is wgf.Status.completed
    assert [part.std for part in exact.parts] == pytest.approx([1.011187, 1.044031], abs=1e-6)
    u = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(flow.quantile(0.5, u), exact.quantile(tensor(u)).numpy(), atol=1e-4)
    assert flow.w2(exact) < 1e-4


def test_samples_become_their_convolution_with_the_heat_kernel():
    x = np.random.default_rng(1).gamma(2.0, size=500)
    flow = solved(x, 0.3)
    h = Samples(x).bandwidth
    places = np.linspace(-1, 6, 29)
    sd = math.sqrt(0.6 + h**2)
    density = np.exp(-0.5 * ((places[:, None] - x) / sd) ** 2).mean(1) / (sd * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(flow.density(0.3, places), density, atol=2e-3 * density.max())


def test_a_network_of_another_base_starts_from_the_law():
    network = Spline(24, 5, base=Gaussian(1.0, 0.8))
    frozen = law_of(stats.gumbel_r(0.5, 0.6))  # quantiles only
    flow = solved(frozen, 0.1, network=network, potential="x**2/2")
    assert flow.base is network.base
    assert flow.w2(frozen, 0.0) < 0.01
    assert flow.status is wgf.Status.completed
    mean = float(flow.projection.at_nodes(flow.parameters(0.1)).x @ flow.projection.at_nodes(flow.parameters(0.1)).w)
    assert mean == pytest.approx(frozen.mean * math.exp(-0.1), rel=1e-5)


def test_exact_solutions_act_on_the_law_behind_the_base():
    flow = wgf.solve(
        wgf.LinearTransport(), law=Uniform(0.0, 1.0), base="gaussian", potential="x**2/2", t_end=0.3, saves=1
    )
    z = tensor([-0.2, 0.4, 1.1])
    expected = flow.problem.start(z) * math.exp(-0.3)
    assert torch.allclose(flow.reference_solution(0.3, z), expected, rtol=1e-12)
    assert torch.allclose(flow.reference_solution(0.0, z), flow.problem.start(z), rtol=1e-14)


@pytest.mark.parametrize("interaction", [None, wgf.interactions.PowerLaw(4.0, 2.0)])
def test_computed_reference_solutions_do_not_depend_on_the_base(interaction, monkeypatch):
    monkeypatch.setenv("WGF_NO_CACHE", "1")
    pde = wgf.FokkerPlanck() if interaction is None else wgf.AggregationDiffusion(0.0)
    law, u = Semicircle(1.0), tensor([0.05, 0.3, 0.8])
    places = []
    for base in ("law", "gaussian"):
        problem = pde.problem(law, wgf.potentials.Quartic(), interaction or wgf.interactions.Zero(), 0.1, base)
        known = computed(problem, [0.1])
        places.append(known(0.1, problem.base.at_rank(u, 1 - u)))
        assert torch.allclose(known(0.0, problem.base.at_rank(u, 1 - u)), law.at_rank(u, 1 - u), rtol=1e-10)
    assert torch.allclose(*places, atol=2e-6)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("place", [0.0, -1.0013, 6.9987, 98.9987])
def test_an_infinite_density_far_from_0_is_no_base(place: float, side: float):
    """The place beside the edge rounds to the edge, where the density is that of outside."""
    law = wgf.Gamma(0.741, 2.56e-4, place) if side > 0 else wgf.Beta(1.5, 0.741, place, place + 1e-3)
    assert isinstance(bases.choose("auto", law, Entropy(), Line()), Gaussian)
    assert bases.choose("auto", wgf.Gamma(6.0, 2.56e-4, place), Entropy(), Line()).lower == place
