"""Jobs of a sweep that do not complete have their row: refused, folded, interrupted, or as it was expected."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from run_folders import results
from small_sweeps import HERE, PLAIN

from wgf.run.callbacks.checkpoint import latest


def test_impossible_combinations_have_their_row(wgf, tmp_path: Path):
    words = ["pde=aggregation_diffusion,fokker_planck", "interaction=none,log", "integrator=euler"]
    status, out, err = wgf("-m", *words, "integrator.dt=5e-3", "t_end=0.01", *PLAIN)
    assert (status, err) == (1, "wgf: 1 of 4 jobs did not complete\n")
    assert "4 jobs: 3 completed, 1 refused" in out
    found = {(row["pde"], row["interaction"]): row for row in results(tmp_path / "s")}
    refused = found["fokker_planck", "log"]
    assert refused["status"] == "refused"
    assert "interaction=log|x| with pde=FokkerPlanck: only" in refused["message"]
    assert refused["steps"] == ""


def test_failed_runs_have_their_row(wgf, tmp_path: Path):
    words = ["integrator=euler", "integrator.dt=5e-3,0.5", "t_end=2", "network.degree=1"]
    status, _, err = wgf("-m", *words, *PLAIN)
    assert (status, err) == (1, "wgf: 1 of 2 jobs did not complete\n")
    good, bad = results(tmp_path / "s")
    assert (good["status"], bad["status"], bad["integrator.dt"], bad["t_end"]) == ("completed", "folded", "0.5", "0.0")
    assert bad["message"].startswith("a step made the map decreasing")


def test_interrupting_a_sweep_ends_it(wgf, tmp_path: Path):
    """Ctrl-C ends the job that runs with a result, and then the sweep, which leaves its table."""
    targets = "wgf.integrators.explicit.Euler,faulty_integrators.Interrupted,wgf.integrators.explicit.Heun"
    words = ["-m", f"integrator._target_={targets}", *HERE]
    status, out, err = wgf(*words)
    assert (status, err) == (130, "wgf: interrupted\n")
    ends = [(row["job"].rpartition(".")[2], row["status"]) for row in results(tmp_path / "s")]
    assert ends == [("Interrupted", "interrupted"), ("Euler", "completed")]
    assert re.search("3 jobs: 1 (interrupted|completed), 1 (interrupted|completed), 1 not started\n", out)
    (tmp_path / "mended").write_text("")
    assert wgf(*words)[0] == 0
    interrupted, euler, heun = results(tmp_path / "s")
    assert heun["status"] == "completed"
    assert "resuming from step" in (tmp_path / "s" / interrupted["job"] / "run.log").read_text()
    same = dict.fromkeys(("job", "integrator._target_", "wall_s"), "")
    assert interrupted | same == euler | same


def test_a_job_that_slurm_takes_too_often_continues(wgf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """submitit raises an error in it; that is no crash, after which the job would begin anew."""
    pytest.importorskip("submitit")
    monkeypatch.setattr("wgf.run.recorder.EVERY", 0.0)
    words = ["-m", "integrator._target_=faulty_integrators.OutOfTime", *HERE]
    assert wgf(*words)[0] == 130  # here the job is in the process of the sweep
    (row,) = results(tmp_path / "s")
    assert row["status"] == "interrupted"
    assert row["message"] == "UncompletedJobError: Job not requeued because: timed-out too many times."
    (tmp_path / "mended").write_text("")
    status, _, err = wgf(*words)
    assert status == 0, err
    assert "resuming from step" in (tmp_path / "s" / row["job"] / "run.log").read_text()


def test_an_expected_end_is_no_failure(wgf):
    words = ["-m", "pde=keller_segel", "pde.chi=4", "potential=none", "t_end=1", "expect=completed,blow_up"]
    status, out, err = wgf(*words, "reference_solution=none", *PLAIN)
    assert (status, err) == (1, "wgf: 1 of 2 jobs did not complete\n")
    assert "2 jobs: 2 blow_up" in out
    status, out, _ = wgf(*words, "reference_solution=none", *PLAIN)
    assert "1 of 2 jobs are complete and not run again" in out


# scripts/signals.py sends either signal to every launcher
@pytest.mark.parametrize(("number", "engine"), [(signal.SIGINT, "parallel"), (signal.SIGTERM, "ensemble")])
def test_a_signal_to_a_sweep_stops_its_jobs(tmp_path: Path, number: signal.Signals, engine: str):
    """Ctrl-C reaches every process of the terminal, SIGTERM only the command: the jobs that run keep what they have."""
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from wgf.cli import main; main()"
    slow = ["integrator=euler", "integrator.dt=1e-6", "t_end=1", "network.width=4,5,6,7", "hydra.launcher.n_jobs=2"]
    words = [
        *slow,
        f"hydra/launcher={engine}",
        "saves=1",
        "figures=false",
        "logger=none",
        "reference_solution=none",
        "hydra.sweep.dir=s",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "-m", *words], cwd=tmp_path, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while len(list(tmp_path.glob("s/*/checkpoints/*"))) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        out, err = process.communicate(timeout=60)  # no process holds the pipes
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + number, err
    assert err.splitlines()[-1] == "wgf: interrupted"
    assert "Traceback" not in err
    first, second, *others = results(tmp_path / "s")
    assert (first["status"], second["status"]) == ("interrupted", "interrupted")
    assert {row["status"] for row in others} <= {"waiting"}
    assert "4 jobs: 2 interrupted, 2 not started\n" in out
    for row in (first, second):
        state = latest(tmp_path / "s" / row["job"])
        assert state is not None
        assert state["clock"]["t"] == float(row["t_end"])
    assert not (tmp_path / "s" / ".stopped").exists()
