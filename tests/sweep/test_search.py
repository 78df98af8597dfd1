"""A search for the best settings, which failing and killed trials do not end."""

from pathlib import Path

import pytest
import yaml
from run_folders import results
from small_sweeps import PLAIN, in_workers


@pytest.mark.filterwarnings("ignore")  # Optuna's own
def test_a_search_survives_failing_trials(wgf, tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["hydra/sweeper=search", "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler.n_startup_trials=4"]
    problem = ["integrator=euler", "network.width=4", "network.degree=1", "t_end=0.5", "saves=1", "logger=none"]
    axes = ["integrator.dt=tag(log,interval(1e-3,0.5))", "figures=false", "objective=w1_error*evaluations"]
    assert wgf("-m", *words, *problem, *axes, "hydra/launcher=basic", "hydra.sweep.dir=s")[0] == 0
    found = results(tmp_path / "s")
    assert len(found) == 4
    values = {float(row["integrator.dt"]): row for row in found}
    good = {dt: row for dt, row in values.items() if row["status"] == "completed"}
    assert 0 < len(good) < 4
    best = yaml.safe_load((tmp_path / "s" / "optimization_results.yaml").read_text())
    costs = {dt: float(row["w1_error"]) * float(row["evaluations"]) for dt, row in good.items()}
    assert costs[best["best_params"]["integrator.dt"]] == min(costs.values())  # two dt may give the same steps
    assert best["best_value"] == pytest.approx(min(costs.values()), rel=1e-14)


@pytest.mark.filterwarnings("ignore")  # Optuna's own
def test_a_search_without_a_good_trial_fails(wgf, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["hydra/sweeper=search", "hydra.sweeper.n_trials=2", "integrator.dt=interval(0.4,0.5)", "integrator=euler"]
    status, out, err = wgf("-m", *words, "network.degree=1", "t_end=2", "objective=steps", *PLAIN)
    assert status == 1
    assert err.splitlines()[-1] == "wgf: none of the 2 trials of this search completed: results.csv says why"
    assert "2 jobs: 2 folded" in out
    assert "Best value" not in out + err + caplog.text


@pytest.mark.filterwarnings("ignore")  # Optuna's own
def test_a_search_survives_killed_trials(tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["hydra/sweeper=search", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1", "objective=w1_error"]
    status, err = in_workers(tmp_path, *words, "hydra.launcher.n_jobs=2")
    assert status == 0, err
    found = results(tmp_path / "s")
    assert {(row["integrator._target_"], row["status"]) for row in found} == {
        ("faulty_integrators.Killed", "killed"),
        ("wgf.integrators.explicit.Euler", "completed"),
    }
    assert len(found) == 3
    best = yaml.safe_load((tmp_path / "s" / "optimization_results.yaml").read_text())
    assert best["best_params"] == {"integrator._target_": "wgf.integrators.explicit.Euler"}
    assert best["best_value"] == min(float(row["w1_error"]) for row in found if row["status"] == "completed")
