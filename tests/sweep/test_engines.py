"""The launchers of a sweep: processes here, Slurm, Ray, or forks of one process for many short jobs."""

import json
import tempfile
from pathlib import Path

import pytest
from command_line import wgf as command
from run_folders import results
from small_sweeps import FAULTS, HELPERS, HERE, SHORT, in_workers
from tables import rows

from wgf.run.load import load
from wgf.saved_maps import SavedMaps
from wgf.settings.flat import number
from wgf.sweep import collate as sweep
from wgf.sweep import launch


@pytest.mark.parametrize("engine", ["parallel", "slurm_local"])
def test_a_killed_process_costs_no_other_job(wgf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str):
    """The pool of the default engine breaks when one of its processes is killed; submitit gives up at that job.

    Another engine, here this process, repairs the sweep.
    """
    if engine == "slurm_local":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
        monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 1)  # 15 s else
    status, err = in_workers(tmp_path, f"hydra/launcher={engine}")
    assert status == 1
    assert "wgf: 1 of 2 jobs did not complete" in err.splitlines()
    killed, other = results(tmp_path / "s")
    assert (killed["status"], other["status"]) == ("killed", "completed")
    assert "its process left no result" in killed["message"]
    (tmp_path / "mended").write_text("")
    status, out, err = wgf("-m", FAULTS, *HERE)
    assert status == 0, err
    assert "1 of 2 jobs are complete and not run again" in out
    mended, untouched = results(tmp_path / "s")
    assert untouched == other
    assert (mended["status"], mended["w1_error"]) == ("completed", other["w1_error"])
    if engine == "parallel":
        for folder in sweep.jobs(tmp_path / "s"):
            assert json.loads((folder / "provenance.json").read_text())["threads"] == 1


def test_a_killed_fork_costs_no_other_job(tmp_path: Path):
    """The command has a process of its own: one with other threads, as that of the tests may be, is not forked."""
    words = ["-m", f"{FAULTS},wgf.integrators.explicit.Heun", *SHORT, "hydra/launcher=ensemble"]
    answer = command(tmp_path, *words, PYTHONPATH=HELPERS)
    assert answer.returncode == 1
    assert "wgf: 1 of 3 jobs did not complete" in answer.stderr.splitlines()
    assert [row["status"] for row in results(tmp_path / "s")] == ["killed", "completed", "completed"]
    (tmp_path / "mended").write_text("")
    answer = command(tmp_path, *words, PYTHONPATH=HELPERS)
    assert answer.returncode == 0
    assert "2 of 3 jobs are complete and not run again" in answer.stdout
    assert [row["status"] for row in results(tmp_path / "s")] == ["completed"] * 3


def test_ray_starts_a_cluster_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A cluster that is gone has left its address, and nothing answers there."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # a short name: sockets are in it
        monkeypatch.setenv("RAY_TMPDIR", place)
        (Path(place) / "ray").mkdir()
        (Path(place) / "ray" / "ray_current_cluster").write_text("192.0.2.1:6379")
        (tmp_path / "mended").write_text("")
        words = ["-m", FAULTS, *SHORT, "hydra/launcher=ray_local"]
        answer = command(tmp_path, *words, PYTHONPATH=HELPERS)
    assert answer.returncode == 0, answer.stderr
    assert [row["status"] for row in results(tmp_path / "s")] == ["completed", "completed"]


@pytest.mark.parametrize("count", ["0", "-2", "two"])
def test_the_number_of_processes_is_checked(wgf, count: str):
    status, _, err = wgf("-m", "network.width=4,6", "hydra/launcher=ensemble", f"hydra.launcher.n_jobs={count}", *SHORT)
    message = f"hydra.launcher.n_jobs={count} is not allowed: expected 1 or more, or -1 for all cores"
    assert (status, err) == (2, f"wgf: {message}\n")


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


def test_the_ensemble_launcher_records_the_end_alone_if_told_so(wgf, tmp_path: Path):
    """It draws no figures, with which record=end would be impossible."""
    words = ["-m", "network.width=4,6", "saves=1", "t_end=1e-3", "hydra/launcher=ensemble", "hydra.sweep.dir=e"]
    assert wgf(*words, "record=end", "reference_solution=none")[0] == 0
    assert [row["status"] for row in results(tmp_path / "e")] == ["completed"] * 2
    assert not list((tmp_path / "e").glob("*/history.csv"))


def test_the_ensemble_launcher_gives_the_rows_of_the_basic_one(wgf, tmp_path: Path):
    words = ["-m", "pde.diffusion=0.5,1.5", "network=spline,two_sided_relu", "network.width=6", "saves=1", "t_end=1e-3"]
    assert wgf(*words, "hydra/launcher=ensemble", "hydra.sweep.dir=e")[0] == 0
    quiet = ["hydra/launcher=basic", "logger=none", "figures=false"]
    assert wgf(*words, *quiet, "record=auto", "engine=repeated", "hydra.sweep.dir=b")[0] == 0
    assert wgf(*words, *quiet, "hydra.sweep.dir=r")[0] == 0
    ours, alike, others = ([row | {"wall_s": ""} for row in results(tmp_path / folder)] for folder in "ebr")
    assert len(ours) == 4
    assert ours == alike
    for one, other in zip(ours, others, strict=True):  # in torch, and at all times
        for name, text in one.items():
            if (value := number(text)) is None:
                assert text == other[name]
            elif name not in ("w2_bound_quadrature", "residual"):  # which are roundings
                assert value == pytest.approx(number(other[name]), rel=1e-10, abs=1e-10)
    files = {path.name for path in (tmp_path / "e" / ours[0]["job"]).iterdir()}
    kept = "config.yaml job.json provenance.json result.json run.log solution.npz"
    assert files == {".hydra", "checkpoints", *kept.split()}
    assert len(list((tmp_path / "e" / ours[0]["job"] / "checkpoints").iterdir())) == 1  # that of the end
    recorded, every = (SavedMaps.load(tmp_path / folder / ours[0]["job"] / "solution.npz") for folder in "er")
    assert pytest.approx(every.T, abs=1e-12) == recorded.T
    assert recorded.errors is recorded.exact_T is recorded.w2_bound is None
    assert load(tmp_path / "e" / ours[0]["job"]).w1(load(tmp_path / "r" / ours[0]["job"])) < 1e-12
    configs = [[(tmp_path / folder / row["job"] / "config.yaml").read_text() for row in ours] for folder in "eb"]
    assert configs[0] == configs[1]
    files = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "e").rglob("*/*"))
    assert wgf(*words, "hydra/launcher=ensemble", "hydra.sweep.dir=e")[0] == 0
    assert files == sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "e").rglob("*/*"))  # all is there


def test_the_ensemble_launcher_draws_what_it_is_asked_for(wgf, tmp_path: Path):
    words = ["network.width=4", "t_end=0.01", "saves=1", "reference_solution=none", "figures=true", "hydra.sweep.dir=s"]
    assert wgf("-m", "pde.diffusion=1", "hydra/launcher=ensemble", *words)[0] == 0
    assert list((tmp_path / "s").glob("*/figures/*.png"))
