"""Chunks of a sweep: a task of a launcher runs several jobs."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from run_folders import results

from hydra_plugins import wgf_chunks
from wgf.run.load import load

WORDS = ["-m", "pde.diffusion=0.5,1,1.5", "network.width=6", "saves=1", "t_end=1e-3", "reference_solution=none"]
IN_CHUNKS = "hydra.sweeper.jobs_per_task=2"


def rows(folder: Path) -> list[dict[str, str]]:
    return [row | {"wall_s": ""} for row in results(folder)]


@pytest.mark.parametrize("launcher", ["basic", "slurm_local"])
def test_chunks_give_the_rows_of_the_ensemble_launcher(wgf, tmp_path: Path, launcher: str):
    if launcher == "slurm_local":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    words = [*WORDS, f"hydra/launcher={launcher}", IN_CHUNKS, "hydra.sweep.dir=s"]
    status, out, err = wgf(*words)
    assert status == 0, err
    assert out.count("  completed  ") == 3
    assert wgf(*WORDS, "hydra/launcher=ensemble", "hydra.sweep.dir=e")[0] == 0
    assert rows(tmp_path / "s") == rows(tmp_path / "e")
    chunks = [json.loads((tmp_path / "s/.tasks" / first / "jobs.json").read_text()) for first in "02"]
    assert [[number for number, _ in jobs] for jobs in chunks] == [[0, 1], [2]]
    first = tmp_path / "s" / "diffusion-0.5"
    assert "0.5 rho_xx" in (first / "run.log").read_text()
    assert load(first).w1(load(tmp_path / "e" / "diffusion-0.5")) < 1e-15
    (tmp_path / "s/diffusion-1/result.json").unlink()
    (tmp_path / "s/diffusion-1/job.json").unlink()
    status, out, err = wgf(*words)
    assert status == 0, err
    assert "2 of 3 jobs are complete and not run again" in out
    assert json.loads((tmp_path / "s/.tasks/0/jobs.json").read_text())[0][1][0] == "pde.diffusion=1"
    assert rows(tmp_path / "s") == rows(tmp_path / "e")


def test_an_interrupted_job_is_the_last_of_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun = []

    def job(words: list[str], number: int) -> SimpleNamespace:
        folder = tmp_path / words[0]
        folder.mkdir()
        status = "interrupted" if number == 8 else "completed"
        (folder / "result.json").write_text(json.dumps({"status": status}))
        begun.append(number)
        return SimpleNamespace(working_dir=str(folder))

    monkeypatch.setattr(wgf_chunks, "Jobs", lambda *_: job)
    node = SimpleNamespace(runtime=SimpleNamespace(output_dir=str(tmp_path)))
    monkeypatch.setattr(wgf_chunks.HydraConfig, "get", lambda: node)
    (tmp_path / "jobs.json").write_text(json.dumps([[7, ["a"]], [8, ["b"]], [9, ["c"]]]))
    answers = wgf_chunks.Task(None, None, None)({})
    assert begun == [7, 8]
    assert len(answers) == 2


@pytest.mark.parametrize("count", ["0", "1.5", "two"])
def test_the_size_of_a_chunk_is_checked(wgf, count: str):
    status, _, err = wgf(*WORDS, f"hydra.sweeper.jobs_per_task={count}")
    shown = "'two'" if count == "two" else count
    message = f"hydra.sweeper.jobs_per_task={shown} is not allowed: expected a whole number >= 1"
    assert (status, err) == (2, f"wgf: {message}\n")


def test_forks_take_no_chunks(wgf):
    status, _, err = wgf(*WORDS, "hydra/launcher=ensemble", IN_CHUNKS)
    assert status == 2
    assert err.startswith("wgf: hydra.sweeper.jobs_per_task=2 with hydra/launcher=ensemble is not allowed: it runs")
