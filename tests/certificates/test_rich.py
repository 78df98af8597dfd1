"""Bounds by a richer run, and bounds of the harder equations: Keller-Segel and long times in a double well."""

import math

import numpy as np
import pytest
import torch
from bounded_runs import bounded, error, posed
from scipy.special import dawsn

import wgf
from wgf.certificates import rich
from wgf.certificates.conditions import conditions
from wgf.certificates.distances import Distances
from wgf.certificates.forces import Force
from wgf.certificates.long_time import decay
from wgf.certificates.mesh import Mesh
from wgf.certificates.own_bound import Bound
from wgf.certificates.rich import BLURRED, MOST, rich_run
from wgf.certificates.rich_settings import LEAST, LOOSE, PROXIMAL, SHARE, TAME, Unknown, richer
from wgf.errors import ConfigError
from wgf.integrators.base import State, Step
from wgf.integrators.cautious import Cautious
from wgf.integrators.implicit import Rodas4
from wgf.integrators.saved_states import SavedStates
from wgf.networks.mlp import MLP
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.networks.spline_space import SplineSpace
from wgf.problem import laws
from wgf.problem.domain import Line
from wgf.problem.equations import FokkerPlanck, KellerSegel, PorousMedium
from wgf.problem.interaction import Log, Newtonian
from wgf.problem.interaction import Quadratic as Spring
from wgf.problem.kernels import Morse
from wgf.problem.potential import Expressed, Quadratic, Quartic
from wgf.problem.tabulated import Tabulated
from wgf.settings.formulas.enclosure import least_bend_outside

T_END = 0.04


def ornstein_uhlenbeck(network, saves=1) -> wgf.Flow:
    equation = {"potential": Quadratic(), "network": network, "reference_solution": "none"}
    return wgf.solve(FokkerPlanck(), t_end=T_END, law=network.base, saves=saves, **equation)


def relaxed(t: float, z: torch.Tensor) -> torch.Tensor:
    law, shrunk = laws.Mixture(), math.exp(-t)
    std = math.sqrt(0.25 * shrunk**2 + 1 - shrunk**2)
    return laws.Mixture([-1.5 * shrunk, 1.5 * shrunk], [std, std]).at_rank(law.cdf(z), law.survival(z))


NETWORKS = {
    "cubic": lambda law: Spline(width=24, base=law),
    "the paper's": lambda law: TwoSidedReLU(width=16, base=law),
    "biases": lambda law: TwoSidedReLU(width=8, train="biases", base=law),
    "mlp": lambda law: MLP(width=2, base=law, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_richer_run_bounds_every_network(name):
    flow = ornstein_uhlenbeck(NETWORKS[name](laws.Mixture()))
    found = flow.certificate()
    wrong = error(flow.projection, flow.parameters(T_END), relaxed)
    assert wrong <= found.bound <= 1.2 * wrong
    assert found.bound == found.distance + found.rich
    assert found.convexity == 1.0
    assert found.quadrature < 1
    assert (found.own is None) == (name in {"biases", "mlp"})


def test_certificates_at_saved_times():
    flow = ornstein_uhlenbeck(Spline(width=12, base=laws.Gaussian()), saves=2)
    assert flow.certificate(0.0, rich=False).bound == pytest.approx(0.0, abs=1e-12)
    half, end = (flow.certificate(t, rich=False) for t in (0.02, 0.04))
    assert half.own == half.bound > 0
    assert end.distance is None
    with pytest.raises(ConfigError, match=r"t=0.03 is not allowed: expected a saved time, one of \[0.0, 0.02, 0.04\]"):
        flow.certificate(0.03)


def test_what_is_richer():
    """One degree more than the error needs, twice the breakpoints per length, seven standard deviations."""
    problem = posed(FokkerPlanck())
    flow = ornstein_uhlenbeck(Spline(width=33, bound=4.0, base=problem.law))
    finer, method = richer(flow.projection, Rodas4(rtol=1e-4, atol=1e-6))
    assert finer.map.degree == 5
    assert finer.map.points.diff().max() <= 0.5 * 8 / 32
    assert (method.rtol, method.atol) == pytest.approx((LOOSE, 1e-2 * LOOSE))


def test_the_richer_run_takes_no_finer_steps_than_the_own_bound_asks_for():
    flow, fine = (ornstein_uhlenbeck(Spline(width=width, base=laws.Gaussian())) for width in (24, 128))
    method = Rodas4(rtol=1e-4, atol=1e-6)  # the law has a standard deviation of 1
    found = [richer(flow.projection, method, 1, own)[1].rtol for own in (None, 1e-9, 1e-4, 1e-3, 10.0)]
    assert found == pytest.approx([LOOSE, 1e-7, SHARE * 1e-4, SHARE * 1e-3, LOOSE])
    assert richer(flow.projection, method, 1, 10.0, wanted=1e-6)[1].rtol == 1e-6
    assert richer(flow.projection, Rodas4(rtol=1e-9), 1, 1e-9)[1].rtol == pytest.approx(1e-10)
    assert richer(fine.projection, method, 1, 1e-2)[1].rtol < 0.05 * SHARE * 1e-2


def test_a_richer_run_whose_tolerance_hides_the_error_runs_again(monkeypatch):
    """The error of transport down a double well decays; the own bound does not know that. What fails costs no bound."""
    law, t = laws.Gaussian(2.07, 0.151), 2.82
    known = {"law": law, "network": Spline(32, 2, 6.68, base=law), "reference_solution": "none", "saves": 1}
    well = "0.0564*x**4/4 + 0.115*x**3/3 - 1.51*x**2/2 - 0.116*x"
    flow = wgf.solve(wgf.LinearTransport(), t_end=t, potential=well, integrator=Rodas4(1e-4, 1e-6), **known)
    own = flow.certificate(rich=False).own
    once = rich_run(flow.projection, flow.integrator, [t], own)
    away, steps = once.distance(t, *flow.state(t)), flow.clock.steps
    assert BLURRED * away < once.bound(t).value
    kept = rich_run(flow.projection, flow.integrator, [t], own, flow.saved)
    assert kept.steps == once.steps > 0.5 * MOST * steps  # no second run of as many steps
    monkeypatch.setattr("wgf.certificates.rich.MOST", 9.0)
    twice = rich_run(flow.projection, flow.integrator, [t], own, flow.saved)
    assert twice.bound(t).value < 0.3 * once.bound(t).value
    assert once.steps < twice.steps < 9 * steps - once.steps
    monkeypatch.setattr("wgf.certificates.rich_settings.RTOL", 1e-16)  # too many steps
    monkeypatch.setattr("wgf.certificates.rich_settings.STEPS", int(1.5 * once.recorder.saved()["count"]))
    again = rich_run(flow.projection, flow.integrator, [t], own, flow.saved)
    assert again.bound(t).value == once.bound(t).value


def test_finer_steps_are_not_tried_where_steps_do_not_make_the_bound(monkeypatch):
    """A kink of V leaves a residual that the breakpoints make."""
    law, t, began = laws.Gaussian(), 0.1, []
    known = {"law": law, "network": Spline(48, 3, base=law), "reference_solution": "none", "saves": 1}
    flow = wgf.solve(wgf.FokkerPlanck(), t_end=t, potential="x**2/2 + 2*abs(x - 0.3)", integrator=Rodas4(), **known)
    run, own = rich._run, flow.certificate(rich=False).own
    monkeypatch.setattr(rich, "_run", lambda *args, **names: began.append(run(*args, **names)) or began[-1])
    kept = rich_run(flow.projection, flow.integrator, [t], own, flow.saved)
    assert BLURRED * kept.distance(t, *flow.state(t)) < kept.bound(t).value
    assert began == [kept]
    monkeypatch.setattr(rich, "DUE", math.inf)
    rich_run(flow.projection, flow.integrator, [t], own, flow.saved)
    _, _, second = began
    assert second.rtol < 0.5 * kept.rtol
    assert second.bound(t).value > 0.99 * kept.bound(t).value


def test_no_breakpoint_of_the_richer_run_lies_where_no_mass_is():
    """A lognormal law has an edge 7 standard deviations away, but no mass near it."""
    law = laws.LogNormal(0.2)
    flow = ornstein_uhlenbeck(Spline(width=8, base=law))
    points = richer(flow.projection, Rodas4())[0].map.breakpoints()
    assert float(law.cdf(points[:1])) == pytest.approx(LEAST, rel=1e-3)
    assert float(points[-1]) == pytest.approx(law.mean + 7 * law.std)
    narrow = richer(ornstein_uhlenbeck(Spline(width=8, base=laws.Gaussian())).projection, Rodas4())[0].map.breakpoints()
    assert narrow[[0, -1]].tolist() == [-7.0, 7.0]


def test_a_tame_run_follows_one_that_folds(monkeypatch):
    """Porous media leave a law with an edge: a spline of degree 5 folds in the tails of its Gaussian base."""
    medium, law = wgf.PorousMedium(3.0, 0.125), laws.Exponential(0.963, -0.606)
    network = Spline(6, 2, 4.74, base=laws.Gaussian(law.mean, law.std))
    known = {"law": law, "t_end": 0.0303, "saves": 1, "network": network, "reference_solution": "none"}
    flow = wgf.solve(medium, potential="x**2/2 - 0.961*cos(3*(x + 0.169))", **known)
    found = flow.certificate()
    assert found.unknown is None
    assert found.rich < 0.2 * found.distance
    tame = richer(flow.projection, flow.integrator, tame=True)[0].map
    assert (tame.degree, float(tame.points[-1] - tame.points[0])) == (TAME, pytest.approx(2 * 4.74 * law.std))


NETWORK_PAIRS = {
    "splines": lambda law: (Spline(width=9, degree=2, base=law), Spline(width=12, degree=5, base=law)),
    "the paper's": lambda law: (TwoSidedReLU(width=8, base=law), Spline(width=12, base=law)),
    "mlp": lambda law: (NETWORKS["mlp"](law), Spline(width=12, base=law)),
}


@pytest.mark.parametrize("name", NETWORK_PAIRS)
def test_distances_of_states(name):
    """Of maps at several times, as of the flows that have them, and not of the maps before."""
    law = laws.Mixture()
    one, two = (ornstein_uhlenbeck(network, saves=2) for network in NETWORK_PAIRS[name](law))
    distances = Distances(8)
    for t in (0.0, T_END / 2, T_END):
        found = distances.between(*one.state(t), *two.state(t))
        assert found == pytest.approx(one.w2(two, t), rel=1e-4, abs=1e-8)


def test_a_richer_run_that_fails_says_why(monkeypatch):
    def broken(*_):
        raise ConfigError("network.width=0 is not allowed")

    monkeypatch.setattr("wgf.certificates.rich.richer", broken)
    found = ornstein_uhlenbeck(Spline(width=8, base=laws.Gaussian())).certificate()
    assert found.bound == found.own
    assert found.unknown == "the richer run failed: ConfigError: network.width=0 is not allowed"


def test_a_richer_run_of_very_many_steps_gives_up(monkeypatch):
    """A law that has gathered in a point to all digits folds in ever shorter steps."""
    monkeypatch.setattr("wgf.certificates.rich_settings.STEPS", 0)
    found = ornstein_uhlenbeck(Spline(width=8, base=laws.Gaussian())).certificate()
    assert found.bound == found.own
    assert found.unknown.startswith("the richer run ended as max_steps")


def test_a_richer_run_that_folds_again_and_again_gives_up(monkeypatch):
    """Proximal steps of order 1 help over a jump of the initial law; a whole rich run of them would not end."""
    monkeypatch.setattr(Cautious, "step", lambda self, field, dt, state: Step(state, evaluations=PROXIMAL // 2))
    flow = ornstein_uhlenbeck(Spline(width=8, base=laws.Gaussian()))
    _, method = richer(flow.projection, flow.integrator)
    proximal, state = method.fallback(), State(flow.projection.initial, flow.projection.at_start)
    for _ in range(3):
        proximal.step(flow.projection, 0.1, state)
    with pytest.raises(Unknown, match="folds again and again"):
        proximal.step(flow.projection, 0.1, state)


def test_a_map_that_folds_often_gives_way_to_a_tame_one(monkeypatch):
    """Tails of nonlinear diffusion fold in most steps; the tame run costs less and is closer than the other one."""
    flow = wgf.solve(
        PorousMedium(1.5, 0.86),
        potential=Expressed("0.6631*(((x+0.674)/0.685)**2-1)**2"),
        t_end=0.04,
        law=laws.Gaussian(-0.651, 0.638),
        network=Spline(32, 3, 4.25, base=laws.Gaussian(-0.651, 0.638)),
        reference_solution="none",
        saves=1,
    )

    def taken(**settings):
        for name, value in settings.items():
            monkeypatch.setattr(rich, name, value)
        found = rich_run(flow.projection, flow.integrator, [0.04], 1e-3)
        return found.tame, found.bound(0.04).value

    tame, bound = taken()
    assert tame
    assert bound < 1e-4
    assert not taken(REJECTED=1e9)[0]  # it takes seven times as many steps


def test_no_second_look_with_the_same_tolerance():
    flow = ornstein_uhlenbeck(Spline(width=8, base=laws.Gaussian()))
    with pytest.raises(Unknown, match="no tolerance below 1e-08"):
        rich._run(flow.projection, flow.integrator, [T_END], 1e-3, False, below=1e-8)


# forces


def test_an_odd_force_is_evaluated_once_for_every_pair():
    mesh = Mesh(laws.Gaussian(), SplineSpace(torch.linspace(-4, 4, 65, dtype=torch.float64), 3), 4, Line())
    kernel, x = Morse(), torch.sinh(mesh.z)
    force = Force(kernel, mesh)
    found = force(x[None], torch.ones_like(x)[None], torch.zeros_like(x)[None], None)[0]
    whole = kernel.force(x[:, None] - x) @ mesh.w + kernel.kink * force.rank
    torch.testing.assert_close(found, whole, rtol=1e-13, atol=1e-14)


class Reduced(Morse):
    def force(self, r: torch.Tensor) -> torch.Tensor:
        return super().force(r) * (r.abs().amax() / r.abs().amax())


def test_a_force_of_ones_own_may_reduce_its_distances():
    """So it is never asked for none."""
    mesh = Mesh(laws.Gaussian(), SplineSpace(torch.linspace(-2, 2, 5, dtype=torch.float64), 3), 4, Line())
    x = torch.sinh(mesh.z)
    given = x[None], torch.ones_like(x)[None], torch.zeros_like(x)[None], None
    torch.testing.assert_close(Force(Reduced(), mesh)(*given), Force(Morse(), mesh)(*given))


def test_singular_and_smooth_forces():
    """Of affine maps of N(0, 1): PV int p(y)/(z - y) dy is sqrt 2 times Dawson's function of z / sqrt 2."""
    base = laws.Gaussian()
    mesh = Mesh(base, SplineSpace(torch.linspace(-4, 4, 33, dtype=torch.float64), 3), 8, Line())
    x, dx, bend = (2 * mesh.z + 1)[None], torch.full_like(mesh.z, 2.0)[None], torch.zeros_like(mesh.z)[None]
    inner = mesh.z.abs() < 4
    z = mesh.z[inner].numpy()
    force = Force(Log(3.0), mesh)
    found = force(x, dx, bend, force.sums(x))[0, inner].numpy()
    np.testing.assert_allclose(found, 1.5 * math.sqrt(2) * dawsn(z / math.sqrt(2)), atol=1e-7)
    np.testing.assert_allclose(Force(Spring(0.5), mesh)(x, dx, bend, None)[0, inner], z, atol=1e-7)
    rank = (base.cdf(mesh.z) - base.survival(mesh.z))[inner]
    np.testing.assert_allclose(Force(Newtonian(2.0), mesh)(x, dx, bend, None)[0, inner], rank)
    kernel = Morse()
    pairs = (kernel.force(x[0][inner, None] - x[0]) * mesh.w).sum(1) + kernel.kink * rank
    np.testing.assert_allclose(Force(kernel, mesh)(x, dx, bend, None)[0, inner], pairs)


def test_a_spring_does_not_see_where_the_law_is_although_a_rule_misses_mass():
    mesh = Mesh(laws.Laplace(0.0, 0.2), SplineSpace(torch.linspace(-1, 1, 5, dtype=torch.float64), 3), 2, Line())
    assert abs(float(mesh.w.sum()) - 1) > 1e-7
    force, none = Force(Spring(0.5), mesh), torch.zeros_like(mesh.z)[None]
    here, there = (force(mesh.z[None] + shift, none, none, None) for shift in (0.0, 1e3))
    torch.testing.assert_close(there, here, rtol=0, atol=1e-12)
    torch.testing.assert_close(here[0], 0.5 * mesh.z, rtol=0, atol=1e-12)  # the mesh is symmetric


def test_attraction_as_a_negative_diffusion():
    """kappa_h of the identity of N(0, 1), by integration in z = y + r; its p-weighted integral is 1."""
    mesh = Mesh(laws.Gaussian(), SplineSpace(torch.linspace(-4, 4, 65, dtype=torch.float64), 3), 8, Line())
    force = Force(Log(1.0), mesh)
    found = force.pressure(torch.ones_like(mesh.z)[None], force.sums(mesh.z[None]))[0]
    r = (torch.arange(2000, dtype=torch.float64) + 0.5) * 12 / 2000
    where = mesh.z.abs() < 3
    # int_{y < z < y + r} p(y) p(y + r) dy = exp(-r^2/4)/(2 sqrt pi) times a difference of normal cdfs
    bell = torch.exp(-(r**2) / 4) / (2 * math.sqrt(math.pi))
    z = mesh.z[where, None]
    share = torch.special.ndtr(math.sqrt(2) * (z + r / 2)) - torch.special.ndtr(math.sqrt(2) * (z - r / 2))
    exact = 2 * (bell * share / r).sum(1) * (12 / 2000) / mesh.p[where]
    torch.testing.assert_close(found[where], exact, rtol=2e-2, atol=0)
    assert float(mesh.integral(found[None])) == pytest.approx(1.0, abs=0.02)


def test_keller_segel():
    problem = posed(KellerSegel(0.5), t_end=0.2)
    coarse, theta, _, bound = bounded(problem, Spline(width=10, base=problem.law))
    fine, best, _, small = bounded(problem, Spline(width=24, degree=5, bound=6.0, base=problem.law))
    wrong = error(coarse, theta, lambda t, z: fine.map.evaluate(best, z)[0])
    assert small.value < 0.2 * bound.value
    assert wrong - small.value <= bound.value <= 6 * wrong


# long times


def test_growth_in_a_double_well_and_in_a_parabola():
    """For the double well the values of certificates.md, or a little more; for V'' < 0 none."""
    well = posed(FokkerPlanck(), None, Quartic(), t_end=10.0)
    growth = decay(well, conditions(well))
    known = np.array([0.88, 0.24, 0.048])
    found = np.interp([1.0, 5.0, 10.0], growth.t, growth.growth)
    assert (0.99 * known <= found).all()
    assert (found <= 1.2 * known).all()
    parabola = posed(FokkerPlanck(), None, Expressed("-x**2"), t_end=10.0)
    assert decay(parabola, conditions(parabola)) is None
    short = posed(FokkerPlanck(), None, Quartic(), t_end=0.2)
    assert decay(short, conditions(short)) is None


@pytest.mark.parametrize(
    ("text", "least"),
    [("sqrt(1 + x**2) - 2*exp(-x**2)", -1e-3), ("x**2/2 - 4*exp(-x**2)", 0.9), ("x**2/2 + 2*cos(x)", -1.01)],
)
def test_a_particle_outside_decays_no_faster_than_v_bends_there(text, least):
    """Far out V'' is nearly 0, 1 or at least -1: there v = exp(-2 V'' t) until the particle comes in."""
    problem = posed(FokkerPlanck(0.5), None, Expressed(text), t_end=4.0)
    growth = decay(problem, conditions(problem))
    assert (growth.growth >= np.exp(-max(least, 0.0) * growth.t) - 1e-9).all()
    steps = growth.growth[1:] / growth.growth[:-1]
    assert (np.log(steps) >= -1.01 * growth.t[1]).all()
    x = np.concatenate([np.linspace(0.01, 60, 200_000), np.geomspace(60, 1e6, 1000)])
    v = Expressed(text)
    for low, high in ((-9.0, 8.0), (-30.0, 40.0)):
        seen = v.second_derivative(torch.from_numpy(np.concatenate([high + x, low - x]))).min()
        found = least_bend_outside(v.expression, low, high)
        assert seen - 2e-3 <= found <= seen


def test_a_ripple_between_the_points_of_a_grid_counts():
    """V'' = 1 + 1.2 cos(k x) is 2.2 at all points of a grid of ten wavelengths, where errors would decay too fast."""
    law = laws.Gaussian(0.0, 3.0)
    wide = 2 * float(law.upper_quantile(torch.tensor([1e-17], dtype=torch.float64)))
    k = 2 * math.pi * 10 / (wide / 2000)
    rippled = Expressed(f"x**2/2 - {1.2 / k**2!r}*cos({k!r}*x)")  # by 1e-9 a parabola
    common = {"law": law, "t_end": 3.0, "saves": 1, "reference_solution": "none"}
    flow = wgf.solve(FokkerPlanck(), potential=rippled, integrator=wgf.SDIRK2(dt=0.5), **common)
    true = wgf.solve(FokkerPlanck(), potential=Quadratic(), integrator=wgf.Rodas4(1e-11, 1e-13), **common)
    own = flow.certificate(rich=False).bound
    assert own is not None
    assert own > flow.w2(true) > 1e-3


def test_the_growth_of_a_potential_without_a_formula_is_that_of_its_formula():
    formula = posed(FokkerPlanck(0.5), None, Expressed("x**4/4 - x**2/2"), t_end=4.0)
    well = posed(FokkerPlanck(0.5), None, Quartic(), t_end=4.0)
    ours, theirs = (decay(problem, conditions(problem)) for problem in (formula, well))
    assert ours.growth == pytest.approx(theirs.growth, rel=0.01)


def tabulated(reach: float, points: int) -> Tabulated:
    """The double well in a table."""
    x = np.linspace(-reach, reach, points)
    return Tabulated(x.tolist(), (x**4 / 4 - x**2 / 2).tolist())


def test_the_growth_of_a_table_is_that_of_its_formula_at_its_largest():
    formula = posed(FokkerPlanck(0.7), None, Quartic(), t_end=4.0)
    table = posed(FokkerPlanck(0.7), None, tabulated(6.0, 241), t_end=4.0)
    ours, theirs = (decay(problem, conditions(problem)) for problem in (table, formula))
    assert theirs.growth.max() > 1.1
    assert theirs.growth[-1] < 0.7
    assert ours.growth == pytest.approx(np.maximum.accumulate(theirs.growth), rel=0.02)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_straight_end_of_a_table_that_does_not_confine_has_no_decay(side: float):
    x = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    hill = Tabulated(x.tolist(), (np.exp(-(x**2)) + side * x).tolist())
    problem = posed(FokkerPlanck(0.5), None, hill, t_end=4.0)
    assert conditions(problem).convexity < 0
    assert decay(problem, conditions(problem)) is None


def test_a_long_run_in_a_double_well():
    """exp(t) would give a bound above 1e3 times the error."""
    problem = posed(FokkerPlanck(), laws.Gaussian(0.5, 0.5), Quartic(), t_end=5.0)
    rich = rich_run(*bounded(problem, Spline(width=32, base=problem.law), saves=1)[:1], Rodas4(), [5.0], 1e-4)
    small = rich.bound(5.0).value
    coarse, theta, _, bound = bounded(problem, Spline(width=12, bound=5.0, base=problem.law), saves=1)
    wrong = rich.distance(5.0, coarse.map, theta)
    assert wrong - small <= bound.value
    assert small <= 0.1 * wrong
    assert wrong + small <= 1.1 * wrong


@pytest.mark.parametrize(("second", "kept"), [(None, 1e-3), (5e-3, 1e-3), (1e-4, 1e-4)])
def test_a_second_look_that_is_no_better_does_not_count(second, kept, monkeypatch):
    class Fake:
        tame, rtol = False, 1e-5

        def __init__(self, value):
            self.value = value

        def bound(self, t):
            return Bound(self.value, None, None if self.value else "the map folds")

        def distance(self, *_):
            return 1e-3

        def total(self, *_):
            return math.inf if self.value is None else self.value + 1e-3

    runs = iter([Fake(1e-3), Fake(second)])
    monkeypatch.setattr(rich, "_run", lambda *_, **__: next(runs))
    monkeypatch.setattr(rich, "_finer_tolerance", lambda *_: 1e-6)
    projection, map = (
        ornstein_uhlenbeck(Spline(8, 3, 3.0, base=laws.Gaussian())).projection,
        Spline(8, base=laws.Gaussian()),
    )
    found = rich.rich_run(projection, None, [1.0], 0.1, SavedStates(map))
    assert found.bound(1.0).value == kept


def test_a_flow_from_an_old_checkpoint_has_a_bound():
    """It has no counts of steps, which a second look would need."""
    flow = ornstein_uhlenbeck(Spline(width=8, base=laws.Gaussian()))
    before = flow.certificate().bound
    flow.saved.clocks.clear()
    assert flow.certificate().bound == pytest.approx(before, rel=0.5)


@pytest.mark.parametrize(
    ("text", "names", "convexity"),
    [("x**n/2", {"n": 2.0}, 1.0), ("x**4/4 - x**2/2 + max(0, x-1)**2", {}, -1.0), ("x**2/2*sign(2.0)", {}, 1.0)],
)
def test_a_formula_that_intervals_do_not_describe_has_a_bound_by_its_stated_convexity(text, names, convexity):
    v = Expressed(text, **names)
    v.convexity = convexity
    law = laws.Gaussian(0.5, 1.0)
    flow = wgf.solve(FokkerPlanck(), potential=v, law=law, network=Spline(12, base=law), t_end=1.0, saves=1)
    found = flow.certificate()
    assert found.bound < 0.1
    assert found.bound >= flow.w2(flow.reference_solution) - getattr(flow.reference_solution, "w2_error", 1e-9)


def test_a_wider_grid_holds_a_dip_outside():
    """Beyond x = 4 V bends down: on a grid that ends before, errors would grow like exp(1.9 t)."""
    problem = posed(FokkerPlanck(0.05), None, Expressed("x**2/2 - 3*exp(-(x-4)**2) + log(1+x**2)"), t_end=5.0)
    assert decay(problem, conditions(problem)).growth[-1] < 0.1
