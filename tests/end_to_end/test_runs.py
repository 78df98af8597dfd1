"""Runs of the main job in this process: every choice there is, and what they end with."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from composed_configs import changed, choices
from run_folders import history, result
from short_runs import quick_run

from wgf.problem.equations import Problem
from wgf.run.callbacks.checkpoint import latest
from wgf.run.runner import build
from wgf.saved_maps import SavedMaps

NEEDS = {
    "integrator": [],
    "network": ["integrator=gauss_newton"],
    "solver": ["integrator=dopri5"],
    "quadrature": ["integrator=euler", "integrator.dt=1e-4"],
    "law": ["pde=porous_medium", "potential=quadratic"],
    "interaction": ["pde=aggregation_diffusion", "potential=none"],
    "potential": [],
}
AGREEING = ["potential=quadratic", "t_end=0.02"]
ALTERNATING = ["network=two_sided_relu", "network.train=alternating", "network.width=8", "integrator.dt=1e-4"]
KNOTS = ["network=two_sided_relu", "network.train=all", "network.start=uniform", "network.width=6"]
SPECIAL = {
    "potential=expression": ["potential.expr='x**2'"],
    "potential=table": ["potential.x=[-2,0,2]", "potential.values=[1,0,1]"],
    "interaction=expression": ["interaction.expr='abs(r)^3/3'"],
    "law=samples": ["law.path=data.csv"],
    "law=histogram": ["law.edges=[-1,0,1]", "law.counts=[1,2]"],
    "law=table": ["law.x=[-1,0,1]", "law.density=[0,1,0]"],
    "law=expression": ["law.expr='exp(-x^4)'"],
    "quadrature=monte_carlo": ["quadrature.particles=2000"],
    **{f"integrator={name}": ["integrator.dt=1e-3"] for name in ("jko", "sdirk2", "sdirk3")},
    "integrator=alternating": ALTERNATING,
    **dict.fromkeys(("integrator=limex", "solver=moving_knots"), KNOTS),
}


@pytest.mark.parametrize("choice", [f"{group}={name}" for group in NEEDS for name in choices(group)])
def test_every_choice_runs_to_an_end_that_no_step_divides(choice: str, tmp_path: Path, monkeypatch):
    t_end = 1.37e-3
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text("\n".join(map(str, np.linspace(-1, 2, 20))))
    more = [*NEEDS[choice.partition("=")[0]], *SPECIAL.get(choice, [])]
    found = quick_run(tmp_path / "run", choice, *more, f"t_end={t_end}", "reference_solution=none")
    assert found["status"] == "completed"
    assert found["t_end"] == t_end
    solution = SavedMaps.load(tmp_path / "run" / "solution.npz")
    assert solution.t.tolist() == [0.0, t_end / 2, t_end]
    assert np.isfinite(solution.T).all()
    assert (solution.dT > 0).all()
    assert 0 <= found["initial_w2"] < 0.1
    if found["initial_w2"] == 0:
        assert solution.T[0] == pytest.approx(solution.z, rel=1e-12, abs=1e-12)
    assert np.abs(solution.T[-1] - solution.T[0]).max() > 0


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, np.ndarray]:
    """The last energy and map by many steps of rk4."""
    folder = tmp_path_factory.mktemp("rk4")
    found = quick_run(folder, *AGREEING, "integrator=rk4", "integrator.dt=2e-4")
    return found["energy"], SavedMaps.load(folder / "solution.npz").T[-1]


@pytest.mark.parametrize("name", [name for name in choices("integrator") if name != "euler"])
def test_integrators_agree(name: str, tmp_path: Path, fine: tuple[float, np.ndarray]):
    """Two different methods end at the same map."""
    other = quick_run(tmp_path, *AGREEING, f"integrator={name}", *SPECIAL.get(f"integrator={name}", []))
    assert other["energy"] == pytest.approx(fine[0], abs=1e-4)
    assert np.abs(SavedMaps.load(tmp_path / "solution.npz").T[-1] - fine[1]).max() < 0.02


def test_affine_flows_are_exact(tmp_path: Path):
    """Ornstein-Uhlenbeck lies in the network space: only the integrator errs."""
    tight = ["integrator.rtol=1e-10", "integrator.atol=1e-12"]
    found = quick_run(tmp_path, "experiment=ornstein_uhlenbeck", "t_end=0.3", *tight)
    assert found["reference_solution"] == "exact: self-similar solution"
    assert found["w2_error"] < 1e-9
    assert found["second_moment"] == pytest.approx(found["second_moment_law"], abs=1e-9)
    assert max(float(line["w1_error"]) for line in history(tmp_path)) < 1e-9


def test_supercritical_keller_segel_blows_up(tmp_path: Path):
    words = ["pde=keller_segel", "potential=none", "pde.chi=4", "t_end=1", "network.width=6"]
    found = quick_run(tmp_path, *words)
    assert found["status"] == "blow_up"
    assert found["t_end"] < 1 / 6 * 1.001  # the second moment 1 - 6 t is gone by then
    assert found["second_moment"] == pytest.approx(found["second_moment_law"], abs=1e-5)


@pytest.mark.parametrize("words", [["network=mlp"], ["quadrature=monte_carlo", "quadrature.particles=500"]])
def test_seed(words: list[str], tmp_path: Path):
    words = [*words, "integrator=euler", "integrator.dt=5e-4", "t_end=1e-3"]
    seeds = {"a": "seed=0", "b": "seed=0", "c": "seed=1"}
    for name, seed in seeds.items():
        quick_run(tmp_path / name, *words, seed)
    a, b, c = (SavedMaps.load(tmp_path / name / "solution.npz").T for name in seeds)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_single_precision(tmp_path: Path):
    double, single = (quick_run(tmp_path / d, f"dtype={d}", "t_end=5e-3") for d in ("float64", "float32"))
    assert single["status"] == "completed"
    assert single["energy"] != double["energy"]
    assert single["energy"] == pytest.approx(double["energy"], abs=1e-4)
    assert latest(tmp_path / "float32")["theta"].dtype == torch.float32


def test_a_failing_callback_does_not_cost_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("figures.Figures.finish", "history.History.row"):
        monkeypatch.setattr(f"wgf.run.callbacks.{name}", Mock(side_effect=OSError("no space left on device")))
    found = quick_run(tmp_path, "t_end=1e-3", "figures=true")
    assert found["status"] == "completed"
    assert result(tmp_path) == found
    assert (tmp_path / "solution.npz").exists()


def test_build_leaves_the_parts_in_reach():
    experiment = build(changed("network.width=5", "t_end=0.7"))
    assert isinstance(experiment.problem, Problem)
    assert experiment.problem.t_end == 0.7
    assert experiment.map.theta.shape == (7,)
    assert experiment.projection(experiment.map.theta.detach()).min_slope == pytest.approx(1.0)
