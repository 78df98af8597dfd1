"""Estimates of the error of a run against errors that are known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from composed_configs import composed
from omegaconf import DictConfig
from short_runs import AFFINE, unverified, verified

from wgf.errors import ConfigError
from wgf.integrators.explicit import RK4, Dopri5, Euler
from wgf.run.build import Experiment
from wgf.run.error_estimate import refined, richer
from wgf.run.runner import build


@pytest.mark.parametrize(
    "integrator",
    [
        "integrator=euler integrator.dt=4e-3",
        "integrator=heun integrator.dt=5e-3",
        "integrator=rk4 integrator.dt=1e-2 network.width=3",
        "integrator=jko integrator.dt=1e-2",
        "integrator=sdirk2 integrator.dt=2e-2",
        "integrator=sdirk3 integrator.dt=5e-2",
        "integrator=rodas4 integrator.rtol=1e-5",
        "integrator=dopri5 integrator.rtol=1e-5 network.width=4",
    ],
)
def test_time_error_where_only_time_errs(integrator: str, tmp_path: Path):
    """Affine flows lie in every network."""
    found = verified(tmp_path, AFFINE + integrator)
    fixed = "dt=" in integrator
    assert found["time_error"] == pytest.approx(found["w2_error"], rel=0.05 if fixed else 0.8)
    if fixed:
        assert found["space_error"] <= 2.1 * found["w2_error"]  # by shorter steps: nothing but time again
    assert found["doubts"] is None


@pytest.mark.parametrize(
    "network",
    [
        "network=two_sided_relu network.width=8",
        "network=two_sided_relu network.width=8 pde=linear_transport t_end=0.05",
        "network.width=8",
        "network.width=6 network.degree=5",
        "network.width=12 pde=porous_medium potential=quadratic",
    ],
)
def test_space_error_where_only_space_errs(network: str, tmp_path: Path):
    """Against the exact solution or finite volumes: within the factor that the docs state."""
    found = verified(tmp_path, network)
    assert found["time_error"] < 0.1 * found["space_error"]
    assert found["w2_error"] < found["space_error"] < 6 * found["w2_error"]
    assert found["doubts"] is None


def test_what_is_too_wide_for_the_network_is_seen(tmp_path: Path):
    """Twice the neurons on the same range would not see what lies beyond it."""
    found = verified(tmp_path, "network.width=16 network.bound=2")
    assert found["w2_error"] < found["space_error"] < 6 * found["w2_error"]


@pytest.mark.parametrize("how", ["it ends early", "it cannot be built"])
def test_a_second_run_that_fails_costs_no_result(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def failing(cfg: DictConfig, experiment: Experiment) -> Experiment:
        if how == "it cannot be built":
            raise ConfigError("network.width=0 is not allowed")
        return replace(experiment, integrator=Euler(dt=0.5))

    monkeypatch.setattr("wgf.run.error_estimate.richer", failing)
    found = verified(tmp_path, "network.width=4 t_end=0.5")
    assert found["status"] == "completed"
    assert found["time_error"] is not None
    assert found["space_error"] is None
    said = {
        "it ends early": "the finer run ended as folded at t = 0",
        "it cannot be built": "ConfigError: network.width",
    }
    assert f"space_error: not known, {said[how]}" in caplog.text
    assert f"space_error: not known, {said[how]}" in found["doubts"]


def test_without_verify_nothing_is_estimated(tmp_path: Path):
    found = unverified(tmp_path, "network.width=4 t_end=0.01")
    assert (found["time_error"], found["space_error"]) == (None, None)


def test_interrupted_verification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wgf.run.error_estimate.estimate", interrupt)
    found = verified(tmp_path, "network.width=4 t_end=0.01")
    assert (found["status"], found["time_error"]) == ("completed", None)


def test_refined_integrators():
    fixed, adaptive = refined(Euler(dt=0.1, max_steps=7), 4), refined(Dopri5(rtol=1e-3, atol=1e-5, dt=0.2), 10)
    assert (fixed.dt, fixed.max_steps) == (0.025, 70)
    assert (adaptive.rtol, adaptive.atol, adaptive.dt) == pytest.approx((1e-4, 1e-6, 0.2))


def test_richer_networks():
    cfg = composed("network.width=8", "integrator=rk4", "integrator.dt=0.01")
    before = cfg.copy()
    finer = richer(cfg, build(cfg))
    assert cfg == before
    assert finer.map.width == 20  # twice as many on a range 5/4 as wide
    assert float(finer.map.points[-1]) == 5.0
    assert isinstance(finer.integrator, RK4)
    assert finer.integrator.dt == 0.0025
