"""The state of a job, read from its folder, and what a search makes of it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from composed_configs import composed
from omegaconf import OmegaConf

from wgf import files
from wgf.errors import ConfigError
from wgf.run.data_files import digests, located
from wgf.sweep import job_folder as job


def test_outcomes(tmp_path: Path):
    def status() -> str:
        return job.outcome(tmp_path)["status"]

    assert status() == "waiting"
    with job.when_free(tmp_path) as claim:
        claim.begin()
        assert status() == "running"
    assert status() == "killed"
    with job.when_free(tmp_path) as claim:
        claim.mark("crashed", "why")
    assert job.outcome(tmp_path) == {"status": "crashed", "message": "why"}
    (tmp_path / job.RECORD).write_text('{"status": "run')  # killed while it wrote
    assert status() == "killed"
    (tmp_path / job.RECORD).unlink()
    (tmp_path / "provenance.json").write_text("{}")  # a run outside a sweep
    with files.claimed(tmp_path):
        assert status() == "running"
    assert status() == "killed"
    (tmp_path / "result.json").write_text('{"status": "completed", "message": "m"}')
    assert job.finished(tmp_path)


def test_a_new_try_begins_with_an_empty_folder(tmp_path: Path):
    (tmp_path / "result.json").write_text('{"status": "folded"}')
    for name in ("checkpoints", ".hydra"):
        (tmp_path / name).mkdir()
    for name in ("run.log", "events.out.tfevents.1", "checkpoints/step-00000000.pt"):
        (tmp_path / name).write_text("")
    with job.when_free(tmp_path) as claim:
        claim.begin()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hydra", "job.json", "run.log"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"status": "completed", "w1_error": 0.5}, 3.0),
        ({"status": "folded", "w1_error": 0.5}, math.inf),
        ({"status": "completed", "w1_error": None}, math.inf),
        ({"status": "crashed", "message": "why"}, math.inf),
    ],
)
def test_objective(found: dict[str, Any], expected: float):
    assert job.objective(found | {"steps": 6}, "w1_error * steps") == expected


def test_check_same_looks_into_data_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    data = Path("data.csv")
    data.write_text("1\n2\n")
    cfg = composed("law=samples", "law.path=data.csv")  # a path relative to the folder of the command
    Path("config.yaml").write_text(OmegaConf.to_yaml(located(cfg), resolve=True))
    Path("provenance.json").write_text(json.dumps({"data": digests(cfg)}))
    job.check_same(tmp_path, cfg)
    data.write_text("1\n3\n")
    with pytest.raises(ConfigError, match=r"run of another config \(law.path has other content\)"):
        job.check_same(tmp_path, cfg)


def test_check_same_names_what_differs(tmp_path: Path):
    cfg = composed("network.width=4")
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
    job.check_same(tmp_path, cfg)
    with pytest.raises(ConfigError, match=r"seed was 0 and is 5"):
        job.check_same(tmp_path, composed("network.width=4", "seed=5"))
