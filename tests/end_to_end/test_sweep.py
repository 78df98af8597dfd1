"""Sweeps: one folder per job, one table, only what is missing is run, and nothing that goes wrong costs another job."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from command_line import COMMAND, called
from command_line import wgf as command
from run_folders import result, results
from tables import rows
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from hydra_plugins.wgf_sweeper import name
from wgf.result import compared
from wgf.run.callbacks.checkpoint import latest
from wgf.settings.check import ROOT
from wgf.settings.flat import leaves
from wgf.sweep import collate as sweep
from wgf.sweep import job_folder as job
from wgf.sweep import launch

TESTS = Path(__file__).parents[1] / "helpers"
SHORT = ["debug=smoke", "integrator.dt=5e-3", "hydra.sweep.dir=s"]
HERE = ["hydra/launcher=basic", *SHORT]  # the jobs in this process
PATIENCE = (
    "from submitit.core.core import Job; Job._results_timeout_s = 1; from wgf.cli import main; main()"  # 15 s else
)
FAULTS = "integrator._target_=faulty_integrators.Killed,wgf.integrators.explicit.Euler"


PLAIN = ["network.width=4", "saves=1", "logger=none", "figures=false", "hydra/launcher=basic", "hydra.sweep.dir=s"]
NUMBERED = "hydra.sweep.subdir=job${hydra:job.num}"


@pytest.fixture
def wgf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process, in an empty folder; gives its exit status and what it printed."""
    for variable in ("HYDRA_FULL_ERROR", "OMP_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")
    return partial(called, tmp_path)


full = Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


# the table


def test_a_sweep_leaves_one_row_per_job(wgf, tmp_path: Path):
    status, out, err = wgf("-m", "network.width=16,4", "network.degree=1,3", *HERE)
    assert (status, err) == (0, "")
    found = results(tmp_path / "s")
    names = ["width-4_degree-1", "width-4_degree-3", "width-16_degree-1", "width-16_degree-3"]
    assert [row["job"] for row in found] == names  # 4 before 16
    assert list(found[0])[:5] == ["job", "network.width", "network.degree", "status", "message"]
    for row in found:
        figures = result(tmp_path / "s" / row["job"])
        assert set(row) == {"job", "network.width", "network.degree", "w1_clear", "w2_clear", *figures}
        assert row["w1_clear"] == row["w2_clear"] == "True"
        for key, number in figures.items():
            assert row[key] == ("" if number is None else number if isinstance(number, str) else repr(number))
        assert (tmp_path / "s" / row["job"] / "provenance.json").exists()
    assert {row["status"] for row in found} == {"completed"}
    lines = [line for line in out.splitlines() if "/4  completed  W1 error=" in line]
    assert sorted(line[:3] for line in lines) == ["1/4", "2/4", "3/4", "4/4"]
    assert "4 jobs: 4 completed" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]  # nothing lands beside it
    assert not (tmp_path / "s" / "figures").exists()  # figures=false in debug=smoke


def test_the_figures_of_a_sweep(tmp_path: Path):
    """From the folders alone: the same rows make the same figures."""
    for width in (4, 8):
        folder = tmp_path / f"width-{width}"
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "overrides.yaml").write_text(f"- network.width={width}\n")
        (folder / "config.yaml").write_text(f"figures: {width == 8}\nnetwork: {{width: {width}}}\n")
        found = {"status": "completed", "message": "", "w1_error": 1 / width**2, "evaluations": 9, "parameters": width}
        (folder / "result.json").write_text(json.dumps(found))
    sweep.collate(tmp_path)
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["convergence-width.png", "cost.png"]
    assert all((tmp_path / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_a_sweep_that_refines_nothing_has_a_figure(wgf, tmp_path: Path):
    words = ["-m", "pde=fokker_planck", "pde.diffusion=0.5,1,2", "reference_solution=none", *HERE, "figures=true"]
    assert wgf(*words)[0] == 0
    folder = tmp_path / "s"
    assert [path.name for path in (folder / "figures").iterdir()] == ["final.png"]
    (folder / "figures" / "final.png").unlink()
    (folder / "diffusion-1" / "solution.npz").write_bytes(b"PK")  # damaged: wgf-report says so
    sweep.collate(folder)
    assert [path.name for path in (folder / "figures").iterdir()] == ["final.png"]


def test_only_what_is_missing_or_failed_is_run_again(wgf, tmp_path: Path):
    faults = "integrator._target_=wgf.integrators.explicit.Euler,faulty_integrators.Crashed"
    status, out, err = wgf("-m", faults, *HERE)
    assert (status, err) == (1, "wgf: 1 of 2 jobs did not complete\n")
    assert "crashed (RuntimeError: this is a bug)  _target_-faulty_integrators.Crashed" in out
    first, second = results(tmp_path / "s")
    assert (first["job"], first["status"]) == ("_target_-faulty_integrators.Crashed", "crashed")
    assert first["message"] == "RuntimeError: this is a bug"
    assert first["w1_error"] == ""
    assert second["status"] == "completed"
    folder = tmp_path / "s" / "_target_-faulty_integrators.Crashed"
    assert "Traceback" in (folder / "run.log").read_text()

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / second["job"]).rglob("*")}
    (tmp_path / "mended").write_text("")
    status, out, _ = wgf("-m", faults, *HERE)
    assert status == 0
    assert "1 of 2 jobs are complete and not run again" in out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    mended, untouched = results(tmp_path / "s")
    assert untouched == second
    assert mended["status"] == "completed"
    assert mended["w1_error"] == second["w1_error"]
    assert (folder / "history.csv").read_text().count("\n") == 4


def test_a_job_that_is_not_saved_is_run_again(wgf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = ["-m", "network.width=4,6", *HERE, "figures=true"]
    with monkeypatch.context() as patch:
        patch.setattr("wgf.run.callbacks.figures.Figures.finish", full)
        status, out, err = wgf(*words)
    assert (status, err.splitlines()[-1]) == (1, "wgf: 2 of 2 jobs did not complete")
    assert "2/2  completed" in out
    assert "3/2" not in out
    assert "reached the end time; not saved: Figures: OSError: " in out
    assert {row["status"] for row in results(tmp_path / "s")} == {"completed"}
    assert wgf(*words)[0] == 0
    assert "unsaved" not in results(tmp_path / "s")[0]
    assert wgf(*words)[1].count("2 of 2 jobs are complete and not run again") == 1


@pytest.mark.parametrize(
    ("before", "after", "count", "lines"),
    [
        ("network.width=4,6", "network.width=4,6,8", 3, ["3/3"]),
        # an axis of one value is not in the folders' names: two values of it make other folders
        (
            "network.width=4,6 network.degree=1",
            "network.width=4,6 network.degree=1,3",
            6,
            ["1/4", "2/4", "3/4", "4/4"],
        ),
        (f"network.width=4 {NUMBERED}", f"network.width=4,6 {NUMBERED}", 2, ["2/2"]),
    ],
    ids=["more values", "another axis", "numbered folders"],
)
def test_only_new_jobs_are_run(wgf, tmp_path: Path, before: str, after: str, count: int, lines: list[str]):
    assert wgf("-m", *before.split(), *HERE)[0] == 0
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").glob("*/result.json")}
    status, out, _ = wgf("-m", *after.split(), *HERE)
    assert status == 0
    assert ("not run again" in out) == (lines == ["3/3"])
    widths = [int(row["network.width"]) for row in results(tmp_path / "s")]
    assert len(widths) == count
    assert widths == sorted(widths)
    assert [line[:3] for line in out.splitlines() if "  completed  W1" in line] == lines
    assert {path: path.stat().st_mtime_ns for path in first} == first
    if NUMBERED in after:
        assert [row["job"] for row in results(tmp_path / "s")] == ["job0", "job1"]


def test_a_folder_of_another_config_is_refused(wgf, tmp_path: Path):
    words = ["-m", "network.width=4,6,8,10", *HERE]
    assert wgf(*words)[0] == 0
    before = (tmp_path / "s" / "results.csv").read_text()
    status, out, err = wgf(*words, "t_end=0.02")
    assert (status, out) == (2, "")
    lines = err.splitlines()
    assert lines[0].startswith("wgf: s/width-4 holds a run of another config (t_end was 0.01 and is 0.02)")
    assert "hydra.sweep.dir=" in lines[0]
    assert lines[3:] == ["wgf: and 1 more such folders"]
    assert (tmp_path / "s" / "results.csv").read_text() == before


@pytest.mark.parametrize("place", ["file/s", "''"])
def test_a_folder_that_cannot_be_is_refused(wgf, tmp_path: Path, place: str):
    (tmp_path / "file").write_text("")
    status, _, err = wgf("-m", "network.width=4,6", f"hydra.sweep.dir={place}")
    assert status == 2
    assert err.startswith("wgf: hydra.sweep.dir")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


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
    assert "2 jobs: 1 interrupted, 1 completed" in out or "2 jobs: 1 completed, 1 interrupted" in out
    (tmp_path / "mended").write_text("")
    assert wgf(*words)[0] == 0
    interrupted, euler, heun = results(tmp_path / "s")
    assert heun["status"] == "completed"
    assert "resuming from step" in (tmp_path / "s" / interrupted["job"] / "run.log").read_text()
    same = dict.fromkeys(("job", "integrator._target_", "wall_s"), "")
    assert interrupted | same == euler | same


def test_an_expected_end_is_no_failure(wgf):
    words = ["-m", "pde=keller_segel", "pde.chi=4", "potential=none", "t_end=1", "expect=completed,blow_up"]
    status, out, err = wgf(*words, "reference_solution=none", *PLAIN)
    assert (status, err) == (1, "wgf: 1 of 2 jobs did not complete\n")
    assert "2 jobs: 2 blow_up" in out
    status, out, _ = wgf(*words, "reference_solution=none", *PLAIN)
    assert "1 of 2 jobs are complete and not run again" in out


def launched(
    tmp_path: Path, *words: str, start: tuple[str, ...] = COMMAND
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, str]]]:
    """A sweep in a process of its own, one of whose jobs dies; gives its answer and its table."""
    place = os.pathsep.join([str(TESTS), *sys.path])
    return command(tmp_path, "-m", FAULTS, *SHORT, *words, start=start, PYTHONPATH=place), results(tmp_path / "s")


@pytest.mark.parametrize("engine", [[], ["hydra/launcher=slurm_local"]], ids=["joblib", "slurm"])
def test_a_killed_process_costs_no_other_job(wgf, tmp_path: Path, engine: list[str]):
    """The pool of the default engine breaks when one of its processes is killed; submitit gives up at that job.

    Another engine, here this process, repairs the sweep.
    """
    if engine:
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    answer, (killed, other) = launched(tmp_path, *engine, start=("-c", PATIENCE) if engine else COMMAND)
    assert answer.returncode == 1
    assert "wgf: 1 of 2 jobs did not complete" in answer.stderr.splitlines()
    assert (killed["status"], other["status"]) == ("killed", "completed")
    assert "its process left no result" in killed["message"]
    (tmp_path / "mended").write_text("")
    status, out, err = wgf("-m", FAULTS, *HERE)
    assert status == 0, err
    assert "1 of 2 jobs are complete and not run again" in out
    mended, untouched = results(tmp_path / "s")
    assert untouched == other
    assert (mended["status"], mended["w1_error"]) == ("completed", other["w1_error"])
    if not engine:
        for folder in sweep.jobs(tmp_path / "s"):
            assert json.loads((folder / "provenance.json").read_text())["threads"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_sweep_stops_its_jobs(tmp_path: Path, number: signal.Signals):
    """Ctrl-C reaches every process of the terminal, SIGTERM only the command: the jobs that run keep what they have."""
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from wgf.cli import main; main()"
    slow = ["integrator=euler", "integrator.dt=1e-6", "t_end=1", "network.width=4,5,6,7", "hydra.launcher.n_jobs=2"]
    words = [*slow, "saves=1", "figures=false", "logger=none", "reference_solution=none", "hydra.sweep.dir=s"]
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
    assert "2 interrupted" in out
    for row in (first, second):
        state = latest(tmp_path / "s" / row["job"])
        assert state is not None
        assert state["clock"]["t"] == float(row["t_end"])
    assert not (tmp_path / "s" / ".stopped").exists()


def test_collate_by_command(wgf, tmp_path: Path):
    assert wgf("-m", "network.width=4,6", *HERE)[0] == 0
    before = (tmp_path / "s" / "results.csv").read_bytes()
    (tmp_path / "s" / "results.csv").unlink()
    status, out, _ = wgf("s", main=sweep.main)
    assert status == 0
    assert "2 jobs: 2 completed" in out
    assert (tmp_path / "s" / "results.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"), [(["nowhere"], "nowhere holds no runs"), ([], "usage"), (["a", "b"], "usage")]
)
def test_collate_refuses(wgf, words: list[str], said: str):
    status, out, err = wgf(*words, main=sweep.main)
    assert status == 2
    assert said in out + err


ENGINES = """
hydra/launcher=slurm       -> hydra-submitit-launcher -> slurm
hydra/launcher=slurm_local -> hydra-submitit-launcher -> slurm
hydra/launcher=ray_local   -> hydra-ray-launcher      -> ray
hydra/launcher=ray_cluster -> hydra-ray-launcher      -> ray
hydra/sweeper=search       -> hydra-optuna-sweeper    -> optuna
"""


@pytest.mark.parametrize(("engine", "package", "extra"), rows(ENGINES))
def test_a_missing_engine_is_named(wgf, tmp_path: Path, monkeypatch, engine: str, package: str, extra: str):
    find = launch.find_spec
    module = package.replace("-", "_")
    monkeypatch.setattr(launch, "find_spec", lambda name: None if module in name else find(name))
    status, _, err = wgf("-m", "network.width=4,6", engine, *SHORT)
    assert (status, err) == (2, f"wgf: {engine} needs {package}: pip install -e '.[{extra}]' (in the checkout)\n")
    assert not (tmp_path / "s").exists()


# engines that are extras; scripts/engines.py starts all of them with a real sweep


@pytest.mark.filterwarnings("ignore")  # Optuna's own
def test_a_search_survives_failing_trials(wgf, tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["hydra/sweeper=search", "hydra.sweeper.n_trials=6", "hydra.sweeper.sampler.n_startup_trials=6"]
    problem = ["integrator=euler", "network.width=4", "network.degree=1", "t_end=0.5", "saves=1", "logger=none"]
    axes = ["integrator.dt=tag(log,interval(1e-3,0.5))", "figures=false", "objective=w1_error*evaluations"]
    assert wgf("-m", *words, *problem, *axes, "hydra/launcher=basic", "hydra.sweep.dir=s")[0] == 0
    found = results(tmp_path / "s")
    assert len(found) == 6
    values = {float(row["integrator.dt"]): row for row in found}
    good = {dt: row for dt, row in values.items() if row["status"] == "completed"}
    assert 0 < len(good) < 6
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


def test_a_search_survives_killed_trials(tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    answer, found = launched(tmp_path, "hydra/sweeper=search", "hydra.sweeper.n_trials=3", "objective=w1_error")
    assert answer.returncode == 0, answer.stderr
    assert {(row["integrator._target_"], row["status"]) for row in found} == {
        ("faulty_integrators.Killed", "killed"),
        ("wgf.integrators.explicit.Euler", "completed"),
    }
    assert len(found) == 3
    best = yaml.safe_load((tmp_path / "s" / "optimization_results.yaml").read_text())
    assert best["best_params"] == {"integrator._target_": "wgf.integrators.explicit.Euler"}
    assert best["best_value"] == min(float(row["w1_error"]) for row in found if row["status"] == "completed")


def test_the_path_of_slurm_without_a_cluster(wgf, tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    assert wgf("-m", "network.width=4,6", *HERE)[0] == 0
    here = [{**row, "wall_s": ""} for row in results(tmp_path / "s")]
    status, _, err = wgf("-m", "network.width=4,6", "hydra/launcher=slurm_local", *SHORT[:-1], "hydra.sweep.dir=there")
    assert (status, err) == (0, "")
    assert [{**row, "wall_s": ""} for row in results(tmp_path / "there")] == here


def test_ray_starts_a_cluster_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A cluster that is gone has left its address, and nothing answers there."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # a short name: sockets are in it
        monkeypatch.setenv("RAY_TMPDIR", place)
        (Path(place) / "ray").mkdir()
        (Path(place) / "ray" / "ray_current_cluster").write_text("192.0.2.1:6379")
        (tmp_path / "mended").write_text("")
        answer, found = launched(tmp_path, "hydra/launcher=ray_local")
    assert answer.returncode == 0, answer.stderr
    assert [row["status"] for row in found] == ["completed", "completed"]


def test_objectives_that_are_offered_are_figures(wgf, tmp_path: Path):
    assert wgf("-m", *HERE)[0] == 0
    (folder,) = sweep.jobs(tmp_path / "s")
    assert folder.name == "0"
    known = result(folder)
    assert [name for name in compared() if known[name] is None] == ["breakpoints"]  # they do not move here
    assert math.isfinite(job.objective(known, "*".join(name for name in compared() if name != "breakpoints")))
    assert not ROOT["objective"].admits("w1_error*colour")


# folder names


@pytest.mark.parametrize(
    ("words", "axes", "expected"),
    [
        (["network.width=8", "t_end=1", "network.degree=3"], ["network.width", "network.degree"], "width-8_degree-3"),
        (["pde.m=2", "network.m=3"], ["pde.m", "network.m"], "pde.m-2_network.m-3"),
        (["integrator.dt=1e-3", "+pde.x=-1"], ["integrator.dt", "+pde.x"], "dt-1e-3_x--1"),
    ],
)
def test_names(words: list[str], axes: list[str], expected: str):
    assert name(words, axes) == expected


def test_names_of_any_value_are_short_plain_and_distinct():
    values = ["'x**4/4 - x**2/2'", "'x**4/4 + x**2/2'", "[1,2]", "[1,3]", *("9" * n for n in (200, 201))]
    names = [name([f"potential.expr={value}"], ["potential.expr"]) for value in values]
    assert len(set(names)) == len(values)
    assert all(set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789._+-") and len(text) < 120 for text in names)


# TensorBoard


def summaries(folder: Path) -> tuple[dict[str, Any], EventAccumulator]:
    """The HPARAMS summaries of a run by TensorBoard's own reader."""
    reader = EventAccumulator(str(folder))
    reader.Reload()
    content = reader.PluginTagToContent(metadata.PLUGIN_NAME)
    parsers = {
        metadata.EXPERIMENT_TAG: metadata.parse_experiment_plugin_data,
        metadata.SESSION_START_INFO_TAG: metadata.parse_session_start_info_plugin_data,
        metadata.SESSION_END_INFO_TAG: metadata.parse_session_end_info_plugin_data,
    }
    return {tag: parsers[tag](text) for tag, text in content.items()}, reader


def test_hparams(wgf, tmp_path: Path):
    """Every job tells its settings and figures, the root which of them are columns."""
    words = ["network=spline,two_sided_relu", "logger=tensorboard", "figures=false", "saves=1"]
    assert wgf("-m", *HERE, *words)[0] == 0
    assert wgf("s", main=sweep.main)[0] == 0  # again: it takes the place of the first
    assert len(list((tmp_path / "s").glob("events*"))) == 1
    root, _ = summaries(tmp_path / "s")
    (experiment,) = root.values()
    columns = {column.name: list(column.domain_discrete.values) for column in experiment.hparam_infos}
    assert {"network", "network.train"} <= set(columns)
    assert "integrator" not in columns  # it does not vary
    assert [value.string_value for value in columns["network"]] == ["Spline", "TwoSidedReLU"]
    shown = {metric.name.tag for metric in experiment.metric_infos}
    for folder in sweep.jobs(tmp_path / "s"):
        found, reader = summaries(folder)
        start = found[metadata.SESSION_START_INFO_TAG]
        expected = leaves(yaml.safe_load((folder / "config.yaml").read_text()))
        assert {name: value(start.hparams[name]) for name in start.hparams} == expected
        assert found[metadata.SESSION_END_INFO_TAG].status == api_pb2.STATUS_SUCCESS
        for tag in shown:
            (scalar,) = reader.Scalars(tag)
            assert scalar.value == pytest.approx(result(folder)[tag.removeprefix("final/")], rel=1e-6)


def value(message: Any) -> Any:
    """What a protobuf value holds."""
    return getattr(message, message.WhichOneof("kind"))


# the launcher of many short jobs


def test_the_ensemble_launcher_gives_the_rows_of_the_basic_one(wgf, tmp_path: Path):
    words = ["-m", "pde.diffusion=0.5,1.5", "network=spline,two_sided_relu", "network.width=6", "saves=1", "t_end=0.01"]
    words += ["reference_solution=none"]
    assert wgf(*words, "hydra/launcher=ensemble", "hydra.sweep.dir=e")[0] == 0
    assert wgf(*words, "hydra/launcher=basic", "hydra.sweep.dir=b", "logger=none", "figures=false")[0] == 0
    ours, theirs = ([row | {"wall_s": ""} for row in results(tmp_path / folder)] for folder in "eb")
    assert len(ours) == 4
    assert ours == theirs
    assert [path.name for path in (tmp_path / "e").glob("*/figures")] == []
    assert not list((tmp_path / "e").glob("*/events*"))
    configs = [[(tmp_path / folder / row["job"] / "config.yaml").read_text() for row in ours] for folder in "eb"]
    assert configs[0] == configs[1]


def test_the_ensemble_launcher_draws_what_it_is_asked_for(wgf, tmp_path: Path):
    words = ["network.width=4", "t_end=0.01", "saves=1", "reference_solution=none", "figures=true", "hydra.sweep.dir=s"]
    assert wgf("-m", "pde.diffusion=1", "hydra/launcher=ensemble", *words)[0] == 0
    assert list((tmp_path / "s").glob("*/figures/*.png"))
