"""Numbers of whole runs against closed forms and quadratures that share nothing with wgf."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from short_runs import BARE, config, run_config

import wgf
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
