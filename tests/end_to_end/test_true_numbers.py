"""Numbers of whole runs against closed forms and quadratures that share nothing with wgf."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from finite_elements import Diffusion
from lagrangian import solution
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import norm
from short_runs import BARE, config, run_config
from walled import distribution

import wgf
from wgf.reference_solutions.finite_volumes import refinement
from wgf.run.runner import main


def test_the_default_run_bounds_its_error_and_keeps_its_energy_balance(tmp_path: Path, capsys):
    assert main(config("logger=none", "figures=false"), tmp_path / "run") == 0
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    w1, w2, bound, fine = re.search(
        r"W1 error ([\d.e-]+) \(ln .* against .* W2 error ([\d.e-]+) \(ln .* against .* "
        r"bound W2 error <= ([\d.e-]+), proved up to quadrature, which changes it by ([\d.e-]+) %, and rounding",
        said,
    ).groups()
    assert 0 < float(w1) < float(w2) < float(bound) < 1e-3
    assert 0 < float(fine) < 1
    [balance] = re.findall(r"energy balance within ([\d.e-]+)", said)
    assert float(balance) < 1e-6


def test_a_law_with_edges_at_rest(tmp_path: Path):
    """From uniform(-1, 0) to the Gibbs law, whose distance W2 is a sum over ranks; no network can do better."""
    words = "pde.diffusion=2.29 potential.center=0 law=uniform law.low=-1 law.high=0 t_end=10 network.bound=3 "
    folder = tmp_path / "run"
    found = run_config(
        config(*BARE, *words.split(), "network.width=64", "network.degree=5", "integrator.rtol=1e-3"), folder
    )
    assert found["w2_best"] <= found["w2_error"]
    x = np.linspace(-9, 9, 400_001)
    density = np.exp(-(x**4 / 4 - x**2 / 2) / 2.29)
    mass = np.concatenate([[0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    half = np.concatenate([np.geomspace(1e-12, 1e-3, 4000), np.linspace(1e-3, 0.5, 20_000)[1:]])
    left = np.interp(half * mass[-1], mass, x)  # the well is symmetric
    t = found["t_end"]
    flow = wgf.load(folder)
    gaps = [flow.quantile(t, u) - target for u, target in ((half, left), (1 - half, -left))]
    distance = math.sqrt(sum(np.trapezoid(gap**2, half) for gap in gaps))
    assert found["w2_to_equilibrium"] == pytest.approx(distance, rel=2e-2)


@pytest.mark.parametrize("width", [8, 24])
def test_the_energy_of_an_attraction_does_not_depend_on_the_width(width: int, tmp_path: Path):
    """F = -log(2 pi e)/2 - chi gamma/2 for N(0, 1), gamma Euler's constant."""
    words = f"pde=keller_segel pde.chi=0.7 t_end=1e-8 reference_solution=none network.width={width}"
    found = run_config(config(*BARE, *words.split()), tmp_path)
    exact = -0.5 * math.log(2 * math.pi * math.e) - 0.35 * np.euler_gamma
    assert found["energy"] == pytest.approx(exact, abs=1e-6)


def test_a_drift_over_many_widths_of_the_law(tmp_path: Path):
    """V = -x: N(0, s^2) becomes N(t, s^2 + 2 D t)."""
    words = "pde.diffusion=0.02 potential=expression law.std=0.1 t_end=40"
    found = run_config(config(*BARE, *words.split(), "potential.expr='-x'"), tmp_path)
    assert found["mean"] == pytest.approx(40, abs=1e-6)
    assert found["second_moment"] == pytest.approx(1600 + 0.01 + 1.6, abs=1e-5)
    assert found["reference_solution"].startswith("exact")
    assert max(found["w1_error"], found["w2_error"]) < 1e-6


def test_single_precision_has_a_floor(tmp_path: Path):
    """The map is affine, so that its errors are rounding: the best one is not above them."""
    words = "potential=none law.mean=-1 law.std=2 t_end=1 dtype=float32"
    found = run_config(config(*BARE, *words.split()), tmp_path)
    assert found["w2_best"] <= found["w2_error"] < 1e-5
    assert found["w2_error"] <= found["w2_bound"] + 1e-6


def test_errors_beside_the_edges_of_a_law(tmp_path: Path):
    """Transport of uniform(-1, 1) down a double well, by Gauss rules on 500 panels: the run and its flow agree."""
    words = "pde=linear_transport potential.center=0.3 law=uniform network.width=12"
    found = run_config(config(*BARE, *words.split()), tmp_path / "run")
    flow, t = wgf.load(tmp_path / "run"), found["t_end"]
    assert found["w2_best"] <= found["w2_error"] == pytest.approx(flow.w2(flow.reference_solution), rel=1e-9)
    s, w = np.polynomial.legendre.leggauss(8)
    knots = flow.projection.map.knots(flow.parameters(t)).detach().numpy()
    cells = np.unique(np.concatenate([np.linspace(-1, 1, 501), knots[np.abs(knots) < 1]]))
    half = 0.5 * np.diff(cells)[:, None]
    z, mass = cells[:-1, None] + half * (1 + s), 0.5 * half * w
    y = z - 0.3
    gap = np.abs(flow.map(t, z) - 0.3 - math.exp(t) * y / np.sqrt(1 + y**2 * math.expm1(2 * t)))
    assert found["w1_error"] == pytest.approx((mass * gap).sum(), rel=1e-3)
    assert found["w2_error"] == pytest.approx(math.sqrt((mass * gap**2).sum()), rel=1e-4)


def test_an_escape_over_a_barrier_by_fixed_breakpoints(tmp_path: Path, capsys):
    """The network does not reach far from its start, and the run says so: W1 = int |F - F_run| dx."""
    words = "pde.diffusion=0.08 potential=quartic potential.center=0 law.mean=-1 law.std=0.2 t_end=60"
    assert main(config(*BARE, *words.split()), tmp_path / "run") == 0
    assert "network.knots=adaptive" in capsys.readouterr().out
    flow = wgf.load(tmp_path / "run")
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    mass = distribution(lambda x: x**3 - x, lambda x: ndtr((x + 1) / 0.2), 0.08, 60.0, -2.8, 2.8, n=96)
    x = np.linspace(-2.5, 2.5, 4001)
    gap = np.abs(mass(x) - flow.cdf(60.0, x))
    assert found["w1_error"] == pytest.approx(np.trapezoid(gap, x), rel=1e-3)
    assert found["w1_error"] < 0.03


def errors(gap: np.ndarray, mass: np.ndarray) -> tuple[float, float]:
    """W1 and W2 of two monotone maps whose difference is known at points of some mass."""
    return (mass * gap).sum(), math.sqrt((mass * gap**2).sum())


@pytest.mark.parametrize(
    ("expression", "potential", "kink"),
    [
        ("abs(x-0.8)", lambda x: np.abs(x - 0.8), 0.8),
        ("x**2/2+0.5*abs(x)", lambda x: x**2 / 2 + 0.5 * np.abs(x), 0.0),
        ("abs(x)**1.5", lambda x: np.abs(x) ** 1.5, 0.0),
    ],
)
def test_errors_against_finite_volumes_where_v_has_a_kink(expression, potential, kink, tmp_path: Path):
    """Finite elements say what the run's error is: it is not the error of its reference solution."""
    words = "potential=expression law.mean=1 law.std=0.5 t_end=1 network.width=256 network.degree=1"
    found = run_config(config(*BARE, *words.split(), f"potential.expr='{expression}'"), tmp_path / "run")
    s = np.linspace(-6, 6, 2001)
    judge = Diffusion(potential, 1.0, np.array([-14.0, kink, 14.0]), kink, 1.0)
    exact, off = judge.map(lambda x: ndtr((x - 1) / 0.5), 1.0, ndtr(s))
    w1, w2 = errors(np.abs(wgf.load(tmp_path / "run").map(1.0, 1 + 0.5 * s) - exact), norm.pdf(s) * (s[1] - s[0]))
    assert errors(off, norm.pdf(s) * (s[1] - s[0]))[1] < 1e-6
    assert abs(found["w1_error"] - w1) < found["reference_error"] < 0.15 * found["w1_error"]
    assert abs(found["w2_error"] - w2) < found["reference_w2_error"] < 0.5 * found["w2_error"]
    assert w1 < 5e-5


def test_two_kinks_cost_no_steps(tmp_path: Path):
    words = "potential=expression law.mean=-1 law.std=2 network.degree=2 network.bound=3 t_end=2"
    found = run_config(config(*BARE, *words.split(), "potential.expr='abs(x-1)+abs(x+1)'"), tmp_path / "run")
    s = np.linspace(-6, 6, 2001)
    judge = Diffusion(lambda x: np.abs(x - 1) + np.abs(x + 1), 1.0, np.array([-20.0, -1.0, 1.0, 20.0]), 0.0, 2.0)
    exact, _ = judge.map(lambda x: ndtr((x + 1) / 2), 2.0, ndtr(s))
    w1, w2 = errors(np.abs(wgf.load(tmp_path / "run").map(2.0, 2 * s - 1) - exact), norm.pdf(s) * (s[1] - s[0]))
    assert found["w1_error"] == pytest.approx(w1, rel=0.02)
    assert found["w2_error"] == pytest.approx(w2, rel=0.02)
    assert found["steps"] < 200


def test_a_potential_that_overflows_far_away(tmp_path: Path):
    """V = exp(x), two clusters, a long time: no warning, and finite elements say what the error is."""
    words = "pde.diffusion=.5 potential=expression law=mixture network.width=64 network.degree=5 t_end=10"
    law = ["law.means=[0,2]", "law.stds=[.4,.6]"]
    found = run_config(config(*BARE, *words.split(), *law, "potential.expr='exp(x)'"), tmp_path / "run")
    u = ndtr(np.linspace(-5, 5, 801))
    judge = Diffusion(np.exp, 0.5, np.array([-40.0, 5.8]), 0.0, 1.0)
    exact, off = judge.map(lambda x: 0.5 * (ndtr(x / 0.4) + ndtr((x - 2) / 0.6)), 10.0, u)
    w1, _ = errors(np.abs(wgf.load(tmp_path / "run").quantile(10.0, u) - exact), np.gradient(u))
    assert max(found["w1_error"], w1) < errors(off, np.gradient(u))[0] < 1e-5


def test_a_porous_medium_from_a_law_with_edges(tmp_path: Path):
    """Particles say what the error is; the best approximation is below it."""
    words = "experiment=porous_medium_gaussian law=uniform network.width=400"
    found = run_config(config(*BARE, *words.split()), tmp_path / "run")
    u, exact, off = solution(
        lambda left, right: left - right, 1.0, 400, exponent=2.0, slope=lambda x, _: np.zeros_like(x), diffusion=1.0
    )
    mass = np.gradient(u)
    w1, w2 = errors(np.abs(wgf.load(tmp_path / "run").quantile(1.0, u) - exact), mass)
    judged = errors(off, mass)
    assert judged[1] < 1e-4
    assert abs(found["w1_error"] - w1) < found["reference_error"] + judged[0]
    assert abs(found["w2_error"] - w2) < found["reference_w2_error"] + judged[1]
    assert found["w2_best"] <= found["w2_error"] < 1e-5


@pytest.mark.parametrize(
    ("words", "power", "stiffness"),
    [
        ("pde=porous_medium potential=quadratic t_end=50", 2, 1.0),
        ("pde=aggregation_diffusion pde.exponent=2 interaction=quadratic t_end=50", 2, 1.0),
        ("pde=porous_medium potential=expression potential.expr='x**4/4' t_end=50", 4, 1.0),
        (
            "pde=porous_medium potential=quadratic potential.stiffness=1e-9 law.low=-1e3 law.high=1e3 t_end=5e10",
            2,
            1e-9,
        ),
        (
            "pde=porous_medium potential=quadratic potential.stiffness=1e12 law.low=-1e-4 law.high=1e-4 t_end=5e-11",
            2,
            1e12,
        ),
    ],
    ids=["well", "attraction", "quartic", "large", "small"],
)
def test_a_porous_medium_at_rest(words: str, power: int, stiffness: float, tmp_path: Path, monkeypatch):
    """From a uniform law to rho = (V(R) - V) / 2, V = k |x|^p / p, whose mass is k R^(p + 1) / (p + 1)."""
    for coupled, cells in ((False, (64, 128, 256)), (True, (48, 96, 192))):  # finer grids take ten seconds and more
        monkeypatch.setitem(refinement.LEVELS, coupled, cells)
    found = run_config(config(*BARE, "law=uniform", *words.split()), tmp_path / "run")
    flow, radius = wgf.load(tmp_path / "run"), ((power + 1) / stiffness) ** (1 / (power + 1))
    u = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 402)[1:-1])  # close to the edges

    def left(x: float) -> float:
        return 0.5 + ((power + 1) * x - x ** (power + 1)) / (2 * power)  # in units of R

    exact = [radius * brentq(lambda x, u=u: left(x) - u, -1, 1, xtol=1e-14) for u in u]
    w1, w2 = errors(np.abs(flow.quantile(found["t_end"], u) - exact), np.gradient(u))
    assert w2 < 1e-4 * radius
    assert abs(found["w1_error"] - w1) < found["reference_error"] < 1e-3 * radius
    assert abs(found["w2_error"] - w2) < found["reference_w2_error"] < 1e-2 * radius
