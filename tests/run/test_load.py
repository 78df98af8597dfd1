"""The folder of a run answers like a flow."""

import pytest
from composed_configs import composed
from omegaconf import OmegaConf
from short_runs import config, run_config

import wgf


def command(folder, *overrides: str) -> dict:
    words = ["logger=none", "figures=false", "reference_solution=none"]
    return run_config(config(*words, *overrides), folder)


def test_the_folder_of_a_run_answers_like_a_flow(tmp_path):
    result = command(tmp_path, "saves=4")
    flow, stored = wgf.load(tmp_path), wgf.SavedMaps.load(tmp_path / "solution.npz")
    assert flow.status is wgf.Status.completed
    assert flow.t.tolist() == stored.t.tolist() == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    assert flow.map(0.15, stored.z) == pytest.approx(stored.T[3], rel=1e-12, abs=1e-14)
    assert flow.energy[-1] == pytest.approx(result["energy"], rel=1e-12)
    assert flow.clock.steps == result["steps"]
    assert flow.density(0.17, 0.5) > 0
    assert flow.saved_maps.w2_bound is not None
    assert flow.saved_maps.w2_bound.tolist() == stored.w2_bound.tolist()
    assert flow.saved_maps.w2_bound[-1] == result["w2_bound"]
    same = wgf.solve(wgf.FokkerPlanck(), potential=wgf.potentials.Quartic(1.0), t_end=0.2, saves=4)
    assert flow.saved.theta[-1].tolist() == pytest.approx(same.saved.theta[-1].tolist(), rel=1e-12)


@pytest.mark.parametrize("overrides", [["integrator.max_steps=7"], ["pde=keller_segel", "pde.chi=1.5", "t_end=5"]])
def test_a_run_that_stopped_early_is_no_longer_than_it_was(tmp_path, overrides: list[str]):
    result = command(tmp_path, "potential=none", *overrides)
    flow = wgf.load(str(tmp_path))
    assert flow.status.name == result["status"] != "completed"
    assert flow.t[-1] == result["t_end"]
    with pytest.raises(wgf.ConfigError, match=f"where the run stopped: {result['status']}"):
        flow.density(result["t_wanted"], 0.0)
    (tmp_path / "result.json").unlink()
    assert wgf.load(tmp_path).status is not wgf.Status.completed


def test_what_is_no_run(tmp_path):
    with pytest.raises(wgf.ConfigError, match="is not the folder of a run: it has no config"):
        wgf.load(tmp_path)
    config = tmp_path / "config.yaml"
    for text in ("a: [", "- 1", "t_end: -1"):
        config.write_text(text)
        with pytest.raises(wgf.ConfigError):
            wgf.load(tmp_path)
    config.write_text(OmegaConf.to_yaml(composed()))
    with pytest.raises(wgf.ConfigError, match="has no checkpoint"):
        wgf.load(tmp_path)
