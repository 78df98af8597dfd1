"""scripts/stress.py --family custom: its judges of potentials that move, of tables of V and of kernels by formula."""

import math
from collections import Counter

import numpy as np
import pytest
from finite_elements import Diffusion
from lagrangian import ranks
from loaded_scripts import script
from scipy.integrate import quad
from scipy.interpolate import CubicSpline

stress = script("stress")
from random_problems import custom, formulas, judges  # noqa: E402
from random_problems.numbers import Judge  # noqa: E402
from random_problems.problem import interaction, posed, potential  # noqa: E402
from random_problems.similar import SIMILARITIES, applied  # noqa: E402
from random_problems.solve import run  # noqa: E402

A, W, D = 0.8, 3.0, 0.4
SHAKEN = {
    "t_end": 1.2, "saves": 2, "dtype": "float64", "pde": "fokker_planck", "pde.diffusion": D,
    "potential": "expression", "potential.expr": f"(x - {A}*sin({W}*t))**2/2", "law": "gaussian", "law.mean": 0.4,
    "law.std": 0.7, "network": "spline", "network.width": 8, "network.bound": 3.0, "network.degree": 3,
    "integrator": "auto", "quadrature.order": 6,
}  # fmt: skip


def mean(t: float) -> float:
    """Of the law in the shaken parabola: m' = A sin(W t) - m."""
    forced = (math.sin(W * t) - W * math.cos(W * t) + W * math.exp(-t)) / (1 + W * W)
    return 0.4 * math.exp(-t) + A * forced


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    result, flow = run(SHAKEN, tmp_path_factory.mktemp("run"), rich=False)
    problem = posed(SHAKEN, None)
    return Judge(flow, result, problem, judges.truth(problem, SHAKEN["t_end"]))


def test_no_number_in_a_shaken_parabola_is_false_and_the_work_is_that_of_the_formula(judge):
    found = {verdict.number: verdict for verdict in judge.verdicts() if verdict.number == "work" or verdict.used > 1}
    assert set(found) == {"work"}
    power = lambda t: -A * W * math.cos(W * t) * (mean(t) - A * math.sin(W * t))  # noqa: E731
    assert found["work"].right == pytest.approx(quad(power, 0, SHAKEN["t_end"])[0], rel=1e-5)
    assert judge.unjudged == {}


@pytest.mark.parametrize("name", ["work", "dissipated", "energy", "energy_potential", "w1_error", "w2_error", "mean"])
def test_a_false_number_is_noticed_where_the_potential_moves(judge, name: str):
    false = judge.result | {name: 1.2 * judge.result[name] + 1e-3 * (name[0] == "w")}
    wrong = [verdict.number for verdict in Judge(judge.flow, false, judge.problem, judge.truth).verdicts()
             if verdict.used > 1]  # fmt: skip
    assert name in wrong


@pytest.mark.parametrize("name", ["w2_bound", "w2_bound_lambda", "w2_to_equilibrium"])
def test_a_number_that_a_potential_in_motion_cannot_have_is_noticed(judge, name: str):
    assert judge.result[name] is None
    wrong = Judge(judge.flow, judge.result | {name: 1.0}, judge.problem, judge.truth).bounds()
    assert name in [verdict.number for verdict in wrong if verdict.used > 1]


def test_what_is_not_judged_is_said(judge):
    settings = SHAKEN | {"quadrature": "monte_carlo"}
    silent = Judge(judge.flow, judge.result, posed(settings, None), None)
    assert not [verdict for verdict in silent.verdicts() if verdict.number in ("work", "energy", "dissipated")]
    assert set(silent.unjudged) == {"true solution", "energies"}


QUARTIC = SHAKEN | {"potential.expr": "x**4/4 - sin(3*t)*x", "t_end": 0.5, "law.std": 0.3}
HILL = SHAKEN | {
    "potential": "table", "potential.x": [-2.0, 0.0, 1.0, 2.0, 3.0], "potential.values": [1.0, 0.0, 1.0, -5.0, -15.0],
    "law.mean": 0.0, "law.std": 0.3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("way", "settings"),
    [("_driven", SHAKEN), ("_diffused", SHAKEN), ("_diffused", QUARTIC)],
    ids=["moments", "parabola", "quartic"],
)
def test_true_solutions_agree_with_particles_of_equal_mass(way: str, settings: dict):
    problem, t = posed(settings, None), settings["t_end"]
    left, right = ranks(judges.PARTICLES, 1.0)
    core = (left > 1e-6) & (right > 1e-6)
    one, two = getattr(judges, way)(problem, t, left[core], right[core]), judges._particles(problem, t)
    assert one is not None
    assert two is not None
    allowed = 3 * (one.errors + two.errors[core]) + 1e-7
    assert (np.abs(one.x - two.x[core]) <= allowed).all()
    assert np.median(allowed) < 2e-3


def test_what_has_climbed_a_hill_falls_far_beyond_it():
    """Against finite elements on a domain that is wide for sure."""
    bounded = HILL | {"law": "semicircle", "law.radius": 0.5}
    problem, t, steps = posed(bounded, None), HILL["t_end"], 100
    left = np.array([0.3, 0.5, 1 - 1e-2, 1 - 1e-4, 1 - 1e-5])
    found = judges._diffused(problem, t, left, 1 - left)
    assert found is not None
    wide = Diffusion(problem.potential, D, np.array([-12.0, -0.5, 0.5, 40.0]), 0.0, 2.0)
    x = wide.mesh(6000)
    f = problem.law.cdf(x)
    for _ in range(steps):
        f = wide.distribution(f, t / steps, x)
    assert (np.abs(found.x - wide._quantile(f, x, left)) < found.errors + 1e-5).all()
    assert found.x[-1] > 12


def test_tables_and_kernels_of_the_judges():
    """The natural spline by its moments, with straight ends; the kernel of Morse, which has a class of its own."""
    x, v = [-2.0, -1.2, 0.3, 2.0], [1.0, -0.4, 0.7, 0.2]
    table, spline = formulas.table(x, v), CubicSpline(x, v, bc_type="natural")
    inside = np.linspace(-2, 2, 41)
    assert table(inside) == pytest.approx(spline(inside), abs=1e-13)
    assert table(np.array([5.0])) == pytest.approx(0.2 + 3 * spline(2.0, 1))
    known = {"attraction": 1.0, "repulsion": 0.8, "attraction_length": 2.0, "repulsion_length": 0.5}
    kink, force, waves, _ = interaction({"interaction": "morse"} | {f"interaction.{k}": c for k, c in known.items()})
    mine = formulas.kernel("0.8*exp(-abs(r)/0.5) - exp(-abs(r)/2)")
    r = np.array([-3.0, -0.2, 1e-6, 0.7])
    assert mine[0] == pytest.approx(kink, rel=1e-12)
    assert mine[1](r) == pytest.approx(force(r), rel=1e-9)
    assert mine[2](r) == pytest.approx(waves(r), rel=1e-9)
    assert formulas.kernel("abs(r)**1.5 - cos(r)")[0] == 0


@pytest.mark.parametrize("kind", [*SIMILARITIES])
@pytest.mark.parametrize("settings", [QUARTIC, HILL], ids=["moving", "table"])
def test_similar_potentials(kind: str, settings: dict):
    s, x, t = SIMILARITIES[kind], np.linspace(-2.5, 2.5, 11), 0.37
    other = applied(s, settings)
    assert other is not None
    one, two = potential(settings)[0](x, t), potential(other)[0](np.array([s.x(each) for each in x]), s.time * t)
    assert two == pytest.approx(s.energy * one, rel=1e-12)


@pytest.mark.parametrize("kind", [*SIMILARITIES])
def test_similar_kernels(kind: str):
    settings = HILL | {"interaction": "expression", "interaction.expr": "0.3*abs(r) - exp(-(r/0.7)**2)"}
    s, r = SIMILARITIES[kind], np.array([-1.0, 0.2, 0.9])
    other = applied(s, settings)
    assert other is not None
    (kink, _, one, _), (scaled, _, two, _) = interaction(settings), interaction(other)
    assert scaled == pytest.approx(s.energy / s.length * kink)
    assert two(s.length * r) == pytest.approx(s.energy * one(r))


def test_each_of_the_three_is_drawn_as_often():
    drawn = [stress.Source(0, "custom").drawn(k)[1] for k in range(60)]
    assert drawn[7] == stress.Source(0, "custom").drawn(7)[1]
    kinds = Counter(map(custom.kind, drawn))
    assert min(kinds.values()) >= 12
    assert len(kinds) == 3
    assert all(formulas.moves(each["potential.expr"]) for each in drawn if custom.kind(each) == "moving V")
