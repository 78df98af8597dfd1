"""scripts/stress.py: problems with errors close to their bounds, and false numbers that its judges must notice."""

import dataclasses
import json
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from loaded_scripts import script


@pytest.fixture(scope="module")
def stress() -> ModuleType:
    return script("stress")


WORST = [
    {
        "t_end": 0.00191,
        "seed": 84,
        "dtype": "float64",
        "saves": 5,
        "pde": "aggregation_diffusion",
        "pde.diffusion": 0.0,
        "pde.exponent": 3.0,
        "interaction": "none",
        "potential": "quartic",
        "potential.center": -0.414,
        "law": "laplace",
        "law.loc": 0.796,
        "law.scale": 0.325,
        "network": "mlp",
        "network.width": 5,
        "quadrature.order": 4,
        "integrator": "euler",
        "integrator.dt": 0.000478,
        "integrator.max_steps": 120,
        "solver": "auto",
    },
    {
        "t_end": 0.104,
        "seed": 47,
        "dtype": "float64",
        "saves": 5,
        "pde": "linear_transport",
        "potential": "expression",
        "potential.expr": "1.14*log(1 + (x - 0.612)**2)",
        "law": "barenblatt",
        "law.exponent": 2.0,
        "law.t0": 1.56,
        "network": "mlp",
        "network.width": 4,
        "quadrature": "monte_carlo",
        "quadrature.particles": 800,
        "integrator": "dopri5",
        "integrator.rtol": 0.0001,
        "integrator.atol": 1.0000000000000002e-06,
        "integrator.max_steps": 120,
        "solver": "auto",
    },
]


WELL = {
    "t_end": 0.4,
    "saves": 1,
    "dtype": "float64",
    "pde": "fokker_planck",
    "pde.diffusion": 0.6,
    "potential": "expression",
    "potential.expr": "x**2/2 + 0.3*cos(2*x)",
    "law": "gaussian",
    "law.mean": 0.4,
    "law.std": 0.7,
    "network": "spline",
    "network.width": 8,
    "network.bound": 3.0,
    "network.degree": 3,
    "integrator": "auto",
    "quadrature.order": 6,
}
JUDGED = (
    "w1_error", "w2_error", "w2_best", "w2_to_equilibrium", "mean", "second_moment", "mass", "initial_w2", "energy",
    "energy_potential", "energy_entropy", "dissipated", "min_slope", "t_end", "parameters",
)  # fmt: skip


@pytest.mark.parametrize("settings", WORST, ids=lambda settings: settings["pde"])
def test_no_number_of_the_worst_cases_is_false(stress: ModuleType, settings: dict):
    row = stress.problem_of(settings, rich=True)
    assert row["status"] == "completed"
    assert {"w2_error", "w2_bound"} <= {verdict["number"] for verdict in row["verdicts"]}
    assert stress.false_numbers(row) == []


@pytest.fixture(scope="module")
def judge(stress: ModuleType, tmp_path_factory: pytest.TempPathFactory):
    from random_problems.judges import truth
    from random_problems.numbers import Judge
    from random_problems.problem import posed
    from random_problems.solve import run

    result, flow = run(WELL, tmp_path_factory.mktemp("run"), rich=True)
    problem = posed(WELL, None)
    return Judge(flow, result, problem, truth(problem, WELL["t_end"]))


def test_no_number_of_a_smooth_problem_is_false(judge):
    assert [verdict for verdict in judge.verdicts() if not verdict.used <= 1] == []


@pytest.mark.parametrize("name", JUDGED)
def test_a_false_number_is_noticed(judge, name: str):
    value = judge.result[name]
    false = {**judge.result, name: value * 1.2 + 0.01 * (value == 0)}
    judge_of_it = type(judge)(judge.flow, false, judge.problem, judge.truth)
    assert {verdict.number for verdict in judge_of_it.verdicts() if verdict.used > 1} >= {name}


def test_a_smallest_slope_below_all_slopes_is_noticed(judge):
    result = {**judge.result, "min_slope": 0.5 * judge.result["min_slope"]}
    (verdict,) = type(judge)(judge.flow, result, judge.problem, judge.truth).slopes()
    assert verdict.used > 1
    (verdict,) = judge.slopes()
    assert verdict.used < 1e-3


def test_the_best_map_of_a_law_that_grows_by_orders_is_judged_to_rounding(stress: ModuleType, tmp_path: Path):
    """The judge looks at the base in its own unit: repulsion makes a law of the width 1e-3 one of 1e9, by an affine
    map."""
    from random_problems.numbers import Judge
    from random_problems.problem import posed
    from random_problems.solve import run

    settings = {name: value for name, value in WELL.items() if name != "potential.expr"} | {
        "pde": "aggregation_diffusion", "pde.diffusion": 0.0, "potential": "none", "interaction": "quadratic",
        "interaction.strength": -1.0, "t_end": 28.0, "law.mean": 0.0, "law.std": 1e-3, "network.degree": 1,
    }  # fmt: skip
    result, flow = run(settings, tmp_path, rich=False)
    assert flow is not None
    judge = Judge(flow, result, posed(settings, None), None)
    assert judge.std > 1e8
    assert result["w2_best"] < 1e-6 < 1e3 < result["w2_error"]
    assert [verdict for verdict in judge.best() if not verdict.used <= 1] == []
    false = Judge(flow, result | {"w2_best": 0.1 * result["w2_error"]}, judge.problem, None)
    assert [verdict.number for verdict in false.best() if verdict.used > 1] == ["w2_best"]


@pytest.mark.parametrize("name", ["w2_bound", "w2_bound_own", "w2_bound_lambda", "reference_error"])
def test_a_bound_that_claims_too_much_is_noticed(judge, name: str):
    result = {**judge.result, name: 0.0 if name == "w2_bound_lambda" else 1e-3 * judge.result[name]}
    flow = judge.flow
    if name == "reference_error":  # a reference solution that is further off than it states
        known = flow.reference_solution
        flow = dataclasses.replace(flow)
        flow.__dict__["reference_solution"] = lambda t, z: known(t, z) + 1e-5
    wrong = [verdict.number for verdict in type(judge)(flow, result, judge.problem, judge.truth).verdicts()
             if verdict.used > 1]  # fmt: skip
    assert name in wrong


@pytest.mark.parametrize("kind", ["shift", "reflection", "lengths", "times"])
def test_similar_problems_have_similar_solutions(kind: str, stress: ModuleType):
    """The true solution of a problem and of a similar one, by the same judge."""
    from random_problems.judges import truth
    from random_problems.problem import posed
    from random_problems.similar import SIMILARITIES, applied

    s, settings = SIMILARITIES[kind], WELL | {"network": "spline"}
    other = applied(s, settings)
    assert other is not None
    one = truth(posed(settings, None), settings["t_end"])
    two = truth(posed(other, None), other["t_end"])
    inside = slice(100, -100)
    x = two.x[::-1] if s.reflects else two.x
    assert x[inside] == pytest.approx(s.x(one.x[inside]), abs=1e-6 * s.length)


@pytest.mark.parametrize("kind", ["shift", "reflection", "lengths", "times"])
def test_a_number_that_does_not_follow_is_noticed_unless_rounding_moves_it(kind: str, judge):
    from random_problems.invariance import NEARBY, invariance
    from random_problems.similar import SIMILARITIES, applied, expected

    s, settings, n = SIMILARITIES[kind], WELL | {"integrator.rtol": 1e-3}, len(NEARBY)
    one = judge.result | expected(s, settings, judge.result)

    def similar(factor: float, *nearby: float):
        """Numbers of the similar problem, of those near it and of those near the problem itself; the W2 errors are
        too large by these factors."""
        ways = [(applied(s, settings), one)] * n + [(settings, judge.result)] * n
        hardly = *(dataclasses.replace(at, shift=s.length * at.shift) for at in NEARBY), *NEARBY
        near = [each | expected(at, posed, each) for at, (posed, each) in zip(hardly, ways, strict=True)]
        others = near[: len(nearby)]
        factors = factor, *(factor * each for each in nearby[:n]), *nearby[n:]
        return [each | {"w2_error": f * each["w2_error"]} for each, f in zip([one, *others], factors, strict=True)]

    def false(*answers):
        rest = iter(answers)
        found = invariance(kind, settings, judge.result, 1.0, lambda _: next(rest))
        assert next(rest, None) is None  # no more problems are solved than these
        return {each.number for each in found if each.used > 1}

    assert false(*similar(1.0)) == set()
    assert false(*similar(1.1, *[1.0] * 2 * n)) == {"w2_error"}
    assert false(*similar(1.1, 1.1)) == set()
    assert false(*similar(1.1, 1.0, 1.0, 1.1)) == set()  # the first ones change little by chance
    assert false(*similar(1.1, *[1.0] * (2 * n - 1), 1.1)) == set()
    folded = one | {"status": "folded"}
    assert false(folded, *[folded] * n, *[judge.result] * n) == {"status"}
    assert false(folded, *[folded] * n, judge.result, folded) == set()  # rounding decides how the flow ends
    first, second = similar(1.1, 1.0)
    assert false(first, second | {"status": "folded"}) == set()


KINKED = {
    "pde": "linear_transport",
    "potential": "expression",
    "potential.expr": "2*abs(x - 0.3)",
    "law": "gaussian",
    "law.mean": 0.0,
    "law.std": 1.0,
    "t_end": 0.2,
}


@pytest.mark.parametrize("kind", ["shift", "reflection", "lengths"])
def test_particles_stop_at_a_kink_that_attracts(kind: str, stress: ModuleType):
    """x' = -2 sign(x - 0.3): particles go at the speed 2 and stay at the kink."""
    from random_problems.judges import truth
    from random_problems.problem import posed
    from random_problems.similar import SIMILARITIES, applied

    s = SIMILARITIES[kind]
    problem = posed(applied(s, KINKED), None)
    assert problem.kinks == pytest.approx([s.x(0.3)], abs=1e-5 * s.length)
    found = truth(problem, KINKED["t_end"])
    assert found is not None
    z = problem.quantiles(found.left, found.right) / s.length - s.x(0.3) / s.length
    right = np.sign(z) * np.maximum(np.abs(z) - 2 * KINKED["t_end"], 0)
    assert (found.x - s.x(0.3)) / s.length == pytest.approx(right, abs=1e-5)


def test_particles_of_equal_mass_count_their_error_in_time(stress: ModuleType):
    """W = -1.25 |x|/2 in x^2/2 from a Barenblatt law: sheets, x = z e^-t + 0.625 (1 - e^-t) (2 F(z) - 1)."""
    from random_problems.judges import truth
    from random_problems.problem import posed

    settings = {"pde": "aggregation_diffusion", "pde.diffusion": 0.0, "interaction": "newtonian", "law": "barenblatt",
                "interaction.strength": -1.25, "potential": "quadratic", "potential.stiffness": 1.0,
                "law.exponent": 2.0, "law.t0": 0.566}  # fmt: skip
    problem = posed(settings, None)
    found = truth(problem, 0.7)
    assert found is not None
    z, shrink = problem.quantiles(found.left, found.right), np.exp(-0.7)
    off = np.abs(found.x - z * shrink - 0.625 * (1 - shrink) * (found.left - found.right))
    assert 1e-10 < off.max() < 1e-5
    assert (off <= 3 * found.errors + 1e-12).all()


def test_the_mean_logarithm_of_distances(stress: ModuleType):
    """-3/2 for a uniform law, whatever the cells; log std - Euler's constant/2 for a normal law; a gap in a law."""
    from random_problems.judges import mean_logarithm
    from scipy.special import ndtr

    edges = np.sort(np.append(np.random.default_rng(0).uniform(size=60), [0.0, 1.0]))
    assert mean_logarithm(edges, np.diff(edges)) == pytest.approx(-1.5, abs=5e-4)
    even = np.linspace(0, 1, 61)
    assert mean_logarithm(even, np.diff(even)) == pytest.approx(-1.5, abs=1e-6)
    s = np.linspace(-8.2, 8.2, 601)
    assert mean_logarithm(3 * s, np.diff(ndtr(s))) == pytest.approx(np.log(3) - np.euler_gamma / 2, abs=1e-4)
    pair = np.array([0.0, 1.0, 9.0, 10.0])  # -3/2 inside, int int log|9 + x - y| between
    across = sum(sign * r * r * (np.log(r) - 1.5) / 2 for sign, r in ((1, 10), (-2, 9), (1, 8)))
    assert mean_logarithm(pair, np.array([0.5, 0.0, 0.5])) == pytest.approx(0.5 * (-1.5 + across), rel=1e-12)


def test_a_judge_counts_the_rounding_of_places_far_out(judge):
    """An affine map far wider than the run's own is a spline, but the judge finds it to its rounding only."""
    flow = dataclasses.replace(judge.flow)
    flow.__dict__["reference_solution"] = lambda t, z: 1e9 * (z + 0.1)
    far = judge.result | {"w2_best": 0.0, "w2_error": 1e9}
    used = [verdict.used for verdict in type(judge)(flow, far, judge.problem, judge.truth).best()]
    assert used[1] < 1
    false = [verdict.used for verdict in type(judge)(flow, far | {"w2_best": 10.0}, judge.problem, judge.truth).best()]
    assert false[1] > 1


LAWS = (
    "gaussian", "mixture", "uniform", "laplace", "semicircle", "barenblatt", "student", "lognormal", "gamma",
    "exponential", "beta", "truncated_normal", "table", "histogram",
)  # fmt: skip


def test_the_judges_know_the_laws_of_wgf(stress: ModuleType):
    from random_problems.draw import composed, valid
    from random_problems.problem import law_of

    from wgf.run.build import _make

    u, seen = np.linspace(0.01, 0.99, 33), set()
    for k in range(200):
        settings = valid(random.Random(f"laws-{k}"))
        if settings["law"] in seen or settings["law"] == "samples":
            continue
        seen.add(settings["law"])
        known, law = law_of(settings), _make("law", composed(settings).law)
        scale = law.std + abs(law.mean)
        assert law.quantile(torch.from_numpy(u)).numpy() == pytest.approx(known.ppf(u), abs=1e-9 * scale)
    assert seen == set(LAWS)


def test_the_same_number_is_the_same_problem(stress: ModuleType):
    for family, key, kinds in (("line", "pde", 5), ("narrow", "pde", 5), ("custom", "pde", 5), ("walls", "domain", 3)):
        draws = [stress.Source(0, family).drawn(7)[1] for _ in range(2)]
        assert draws[0] == draws[1]
        assert len({stress.Source(0, family).drawn(k)[1][key] for k in range(30)}) == kinds


@pytest.mark.parametrize("k", [4, 24])  # a circle, an interval
def test_judges_between_walls_and_on_circles(stress: ModuleType, tmp_path: Path, k: int):
    """No number is false, and one would be seen: W1 a tenth too large."""
    from random_problems import walls
    from random_problems.invariance import invariance
    from random_problems.solve import run, run_in_passing

    settings = stress.Source(0, "walls").drawn(k)[1]
    result, flow = run(settings, tmp_path, False)
    found = walls.verdicts(settings, flow, result)
    found += invariance("lengths", settings, result, flow.problem.law.std, lambda other: run_in_passing(other, False))
    assert len(found) > 20
    assert all(verdict.used <= 1 for verdict in found)
    (wrong,) = walls.verdicts(settings, flow, result | {"w1_error": 1.1 * result["w1_error"], "reference_error": 0.0})
    assert wrong.used > 1


def test_what_failed_is_solved_again_and_the_last_row_counts(stress: ModuleType, tmp_path: Path, monkeypatch):
    """A crash and a false number, but no sound row."""
    verdict = {"number": "mean", "by": "quadrature", "used": 3.0}
    old = [
        {"k": 0, "status": "completed", "verdicts": [], "doubts": None},
        {"k": 1, "status": "crash"},
        {"k": 2, "status": "completed", "verdicts": [verdict], "doubts": None},
    ]
    out = tmp_path / "rows.jsonl"
    out.write_text("".join(json.dumps(row) + "\n" for row in old))

    class Instant:
        """A worker that is never in doubt."""

        def __init__(self, *_):
            self.process = self

        def begin(self, k: int) -> None:
            self.k = k

        def answer(self):
            return {"k": self.k, "status": "completed", "verdicts": [], "doubts": None}

        def is_alive(self) -> bool:
            return True

        def kill(self) -> None:
            pass

    monkeypatch.setattr(stress, "Worker", Instant)
    monkeypatch.setattr(stress.signal, "signal", lambda *_: None)
    stress.run(range(3), stress.Source(0), 2, out)
    assert stress.rows(out) == old
    stress.run(range(3), stress.Source(0), 2, out, again=True)
    assert stress.rows(out)[0] == old[0]
    assert not any(stress.failed(row) for row in stress.rows(out))
    assert len(out.read_text().splitlines()) == 5


def test_the_tables_go_into_the_page(stress: ModuleType, tmp_path: Path):
    rows = [
        {"pde": "fokker_planck", "status": "completed", "cpu": 1.0, "doubts": doubts, "unjudged": {"work": "why"},
         "verdicts": [{"number": "mean", "by": "quadrature", "used": used}]}
        for used, doubts in ((0.5, None), (3.0, None), (2.0, "mean: it is said to be false"))
    ]  # fmt: skip
    page = tmp_path / "page.md"
    page.write_text(f"before\n{stress.MARKS[0]}old\n{stress.MARKS[1]}after\n")
    stress.written(stress.report(rows, 0), page)
    lines = page.read_text().splitlines()
    assert "| mean | quadrature | 3 | 1 | 1 | 0.5 |" in lines
    assert "| all | | 3 | 1 | 1 | |" in lines
    assert "Without a judge: work in 3 of the completed runs." in lines
    assert (lines[0], lines[-1], "old" in lines) == ("before", "after", False)
    assert len(stress.false_numbers(rows[1])) == 1
