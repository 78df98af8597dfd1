"""The command from end to end: what it leaves behind, how it ends, what it says to bad input."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from command_line import COMMAND, called, stopped, wgf, without_torch
from composed_configs import choices, composed
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import OmegaConf
from run_folders import history, result
from written_files import write

from wgf.cli import CONFIGS
from wgf.files import claimed
from wgf.integrators.status import Status
from wgf.run.callbacks.checkpoint import latest
from wgf.run.runner import build, run
from wgf.saved_maps import SavedMaps
from wgf.settings.check import check

SCRIPT = CONFIGS.parent / "scripts" / "run.py"
QUICK = ["network.width=4", "saves=2", "logger=none", "figures=false"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finished")


@pytest.fixture(scope="module")
def answer(place: Path) -> subprocess.CompletedProcess[str]:
    """What `wgf` says to a problem with an exact solution, everything switched on."""
    words = ["pde=linear_transport", "network.width=6", "saves=4", "t_end=0.05", "seed=3", "hydra.run.dir=here/mine"]
    answer = wgf(place, *words)
    assert answer.returncode == 0, answer.stderr
    return answer


@pytest.fixture
def folder(place: Path, answer: subprocess.CompletedProcess[str]) -> Path:
    """What this run leaves behind."""
    return place / "here" / "mine"


def test_run_folder(place: Path, folder: Path):
    assert [path.name for path in place.iterdir()] == ["here"]  # nothing lands beside it
    names = [re.sub(r"^events\.out\.tfevents\..*", "events", path.name) for path in folder.iterdir()]
    files = "config.yaml events history.csv provenance.json result.json run.log solution.npz"
    assert sorted(names) == sorted([".hydra", "checkpoints", "figures", *files.split()])
    assert sorted(path.name for path in (folder / "figures").iterdir()) == ["density.png", "map.png"]
    assert "rho_t = " in (folder / "run.log").read_text()
    resolved = OmegaConf.load(folder / "config.yaml")
    assert (resolved.t_end, resolved.seed, resolved.network.width) == (0.05, 3, 6)
    assert "${" not in (folder / "config.yaml").read_text()
    check(resolved)  # it can be run again


def test_result_json(folder: Path):
    found = result(folder)
    contract = "status t_end steps energy w1_error w2_error reference_solution second_moment mean mass min_slope wall_s"
    assert set(contract.split()) <= set(found)
    exact = {"status": "completed", "t_end": 0.05, "t_wanted": 0.05, "reference_solution": "exact: characteristics"}
    assert found | exact | {"second_moment_law": None, "parameters": 8} == found
    assert 0 < found["w1_error"] < found["w2_error"] < 0.1
    assert found["mass"] == pytest.approx(1.0, abs=1e-14)
    assert 0 < found["min_slope"] < 1
    assert found["dissipation_gap"] < 0.05
    assert found["steps"] > 4


def test_history_agrees_with_the_result(folder: Path):
    lines, found = history(folder), result(folder)
    keys = "step t dt energy energy_potential dissipation second_moment min_slope w1_error w2_error"
    assert set(keys.split()) | {"rank", "condition", "residual"} <= set(lines[0])
    assert (lines[0]["step"], lines[0]["t"], lines[-1]["t"]) == ("0", "0.0", "0.05")
    assert int(lines[-1]["step"]) == found["steps"]
    for key in ("energy", "w1_error", "w2_error", "second_moment", "mean", "min_slope"):
        assert float(lines[-1][key]) == found[key]
    assert float(lines[0]["w1_error"]) < 1e-14
    energies = [float(line["energy"]) for line in lines]
    assert energies == sorted(energies, reverse=True)


def test_solution_npz(folder: Path):
    solution, found = SavedMaps.load(folder / "solution.npz"), result(folder)
    assert solution.t.tolist() == [0.05 * k / 4 for k in range(5)]
    n = len(solution.z)
    assert solution.T.shape == solution.dT.shape == (5, n)
    assert solution.rho0.shape == (n,)
    assert solution.T[0] == pytest.approx(solution.z, abs=1e-14)
    assert (np.diff(solution.T, axis=1) > 0).all()
    assert np.trapezoid(solution.rho0, solution.z) == pytest.approx(1.0, abs=1e-5)
    # the error by an integral and an exact map of one's own
    z, t = solution.z, 0.05
    exact = 1 + np.exp(t) * (z - 1) / np.sqrt(1 + (z - 1) ** 2 * np.expm1(2 * t))
    w1 = np.trapezoid(np.abs(solution.T[-1] - exact) * solution.rho0, z)
    assert found["w1_error"] == pytest.approx(w1, rel=1e-3)
    assert found["second_moment"] == pytest.approx(np.trapezoid(solution.T[-1] ** 2 * solution.rho0, z), rel=1e-5)


def test_checkpoints_and_provenance(folder: Path):
    state = latest(folder)
    assert (state["clock"]["t"], state["step"], state["theta"].shape) == (0.05, result(folder)["steps"], (8,))
    assert len(list((folder / "checkpoints").iterdir())) == 2
    provenance = json.loads((folder / "provenance.json").read_text())
    assert (provenance["seed"], provenance["versions"]["torch"]) == (3, torch.__version__)
    assert "network.width=6" in provenance["argv"]
    assert provenance["start"] <= provenance["end"]


def test_terminal(answer: subprocess.CompletedProcess[str]):
    lines = "results in   here/mine", "look at it   tensorboard --logdir here"
    assert all(line in answer.stdout for line in ("completed: reached the end time", *lines))
    assert not any(word in answer.stderr for word in ("it/s", "%|", "Traceback"))  # no bar in a pipe


def test_the_same_config_gives_the_same_bits(folder: Path, tmp_path: Path):
    cfg = OmegaConf.load(folder / "config.yaml")
    cfg.logger = {"_target_": "wgf.run.callbacks.base.Callback"}
    cfg.figures = False
    run(build(cfg), cfg, tmp_path)
    before, after = SavedMaps.load(folder / "solution.npz"), SavedMaps.load(tmp_path / "solution.npz")
    for name in ("t", "z", "T", "dT", "rho0"):
        assert getattr(before, name).tobytes() == getattr(after, name).tobytes()
    assert [line | {"t": 0} for line in history(folder)] == [line | {"t": 0} for line in history(tmp_path)]


def test_a_finished_run_is_not_overwritten(place: Path, folder: Path, at_once):
    before = (folder / "result.json").read_bytes()
    (line,) = refused(at_once, place, "hydra.run.dir=here/mine", "debug=smoke")
    assert line.startswith("hydra.run.dir=here/mine holds a finished run")
    assert (folder / "result.json").read_bytes() == before


@pytest.mark.parametrize(
    ("word", "names"),
    [("hydra.run.dir=out", "")]
    + [(word, ".hydra run.log config.yaml checkpoints") for word in ("hydra.run.dir=out", "resume=out")],
)
def test_a_folder_at_work_is_left_alone(tmp_path: Path, at_once, word: str, names: str):
    """However far the run in it has come."""
    text, folder = OmegaConf.to_yaml(composed()), tmp_path / "out"
    folder.mkdir()
    write(folder, dict.fromkeys(names.split(), text))
    with claimed(folder):
        assert refused(at_once, tmp_path, word) == ["out is in use: another process runs in it"]
    assert all((folder / name).read_text() == text for name in names.split())


def test_of_two_runs_into_one_folder_the_first_goes_on(tmp_path: Path):
    command = [sys.executable, *COMMAND, *QUICK, "t_end=0.01", "hydra.run.dir=out"]
    pair = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 2]
    assert "wgf: out is in use: another process runs in it\n" in said
    assert result(tmp_path / "out")["status"] == "completed"
    assert (tmp_path / "out" / "run.log").read_text().count("rho_t = ") == 1
    assert (tmp_path / "out" / ".hydra" / "overrides.yaml").exists()


def test_script_and_default_folder(tmp_path: Path):
    answer = wgf(tmp_path, "debug=smoke", start=(str(SCRIPT),))
    assert answer.returncode == 0, answer.stderr
    (folder,) = tmp_path.glob("outputs/*/*")
    pattern = r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d_fokker_planck_spline_[0-9a-f]{6}"
    assert re.fullmatch(pattern, folder.relative_to(tmp_path / "outputs").as_posix())
    assert result(folder)["t_end"] == 0.01
    assert not list(folder.glob("events*"))  # logger=none and figures=false
    assert not (folder / "figures").exists()
    assert "tensorboard" not in answer.stdout


def test_folded_run(tmp_path: Path):
    """A step far beyond what an explicit method can take."""
    status, out, err = called(tmp_path, *QUICK, "integrator=euler", "integrator.dt=0.5", "t_end=2", "hydra.run.dir=out")
    assert status == 1
    found = result(tmp_path / "out")
    assert found | {"status": "folded", "t_end": 0.0, "t_wanted": 2.0, "steps": 0, "w1_error": None} == found
    assert found["message"].startswith(Status.folded.value)
    assert found["min_slope"] == pytest.approx(1.0)
    assert "folded" in out
    assert "Traceback" not in err
    assert SavedMaps.load(tmp_path / "out" / "solution.npz").t.tolist() == [0.0]


def test_interrupted_run(tmp_path: Path):
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from wgf.cli import main; main()"
    words = [*QUICK, "saves=20000", "integrator=euler", "integrator.dt=1e-6", "t_end=1", "hydra.run.dir=out"]
    status, out, err = stopped(signal.SIGINT, tmp_path, "out", 2, *words, start=("-c", code))
    assert status == 130, err
    found = result(tmp_path / "out")
    said = "stopped from outside; the last accepted state is kept (SIGINT)"
    assert (found["status"], found["message"]) == ("interrupted", said)
    assert f"use resume={tmp_path / 'out'}" in err
    assert 0 < found["t_end"] < 1
    assert "interrupted" in out
    assert "Traceback" not in err
    assert SavedMaps.load(tmp_path / "out" / "solution.npz").t[-1] == found["t_end"]
    assert float(history(tmp_path / "out")[-1]["t"]) == found["t_end"]


def test_sweep(tmp_path: Path):
    status, _, err = called(tmp_path, "-m", "network.width=4,8", *QUICK[1:], "t_end=0.01", "hydra/launcher=basic")
    assert status == 0, err
    (sweep,) = tmp_path.glob("multirun/*/*")
    for width in (4, 8):
        folder = sweep / f"width-{width}"
        assert result(folder)["status"] == "completed"
        assert OmegaConf.load(folder / "config.yaml").network.width == width
        assert (folder / "run.log").read_text().count("rho_t") == 1
    assert (sweep / "results.csv").read_text().count("\n") == 3
    assert not (tmp_path / "outputs").exists()


@pytest.fixture(scope="module")
def at_once() -> Iterator[Callable[..., tuple[int, str]]]:
    """The command in a process that must not load torch; gives its exit status and errors."""
    with without_torch() as command:
        yield command


def late(folder: Path, *words: str) -> tuple[int, str]:
    """The command in this process."""
    status, _, err = called(folder, *words)
    return status, err


def refused(command: Callable[..., tuple[int, str]], folder: Path, *words: str) -> list[str]:
    """The lines said to bad input, which must leave nothing behind."""
    before = sorted(folder.rglob("*"))
    status, err = command(folder, *words)
    assert status == 2, err
    assert "Traceback" not in err
    assert sorted(folder.rglob("*")) == before
    assert all(line.startswith("wgf: ") for line in err.splitlines())
    return [line.removeprefix("wgf: ") for line in err.splitlines()]


BAD: dict[str, list[str]] = {
    "network.widht=3 +seeed=1 t_end=-1 pde=foker_planck": [
        "pde=foker_planck is not a choice: did you mean fokker_planck?",
        "seeed is not a setting: did you mean seed?",
        "t_end=-1 is not allowed",
        "network.widht is not a setting: did you mean network.width?",
    ],
    "solver=banded network=two_sided_relu network.train=all": ["solver=banded has closed forms"],
    "-m network.width=4,1 solver.rcond=0,2": ["network.width=1 is", "solver.rcond=2 is"],
    "potential=expression potential.expr=x**4/4 - x**2(": [".*quote values with spaces or symbols twice"],
    "experiment=fokker_plank_quartic": ["experiment=fokker_plank_quartic is not a choice: did you mean fokker_"],
    "network": ["'network' is not an override: expected key=value"],
    "--config-dir mine experiment=typo": ["network.widht is not a setting: did you mean network.width?"],
    "hydra.run.dir=file/run": [".*hydra.run.dir"],
    "device=cuda:99": ["device='cuda:99' is unavailable: torch has "],  # what only the start shows
    "-m resume=a": ["resume with -m is impossible: continue one run at a time, without -m"],
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input(tmp_path: Path, at_once, words: str):
    write(tmp_path, {"mine/experiment/typo.yaml": "# @package _global_\nnetwork:\n  widht: 5\n", "file": ""})
    command = late if words.startswith(("solver=banded", "device", "-m resume")) else at_once  # when the parts meet
    lines = refused(command, tmp_path, *words.split(" ", 1 if "expr" in words else -1))
    assert len(lines) == len(BAD[words])
    for start in BAD[words]:
        hits = [re.match(start if start.startswith(".*") else re.escape(start), line) for line in lines]
        assert len(hits) - hits.count(None) == 1, (start, lines)


def test_a_main_config_of_ones_own_can_be_swept(tmp_path: Path):
    """Every value is checked with it: a choice of training is none with the networks of the main job."""
    choices = "override /network: two_sided_relu", "override /integrator: gauss_newton"
    defaults = "\n  - ".join(["defaults:", "config", *choices, "_self_\n"])
    write(tmp_path, {"mine/mine.yaml": f"{defaults}network:\n  width: 4\n"})
    words = ["--config-dir", "mine", "--config-name", "mine", "-m", "hydra/launcher=basic", "hydra.sweep.dir=s"]
    short = [*QUICK[1:], "reference_solution=none", "t_end=1e-3"]
    status, _, err = called(tmp_path, *words, *short, "network.train=weights,biases")
    assert status == 0, err
    assert sorted(path.name for path in (tmp_path / "s").glob("train-*")) == ["train-biases", "train-weights"]
    (line,) = refused(late, tmp_path, *words[:-1], "network.train=weights,nothing")
    assert line.startswith("network.train=nothing is not allowed")


@pytest.mark.parametrize(
    ("words", "mode", "times"),
    [([], "RUN", 1), (["hydra.mode=RUN"], "RUN", 2), (["hydra.mode=MULTIRUN", "hydra/launcher=basic"], "MULTIRUN", 4)],
)
def test_a_config_is_composed_once_and_once_more_to_check_what_hydra_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], mode: str, times: int
):
    """A sweep composes its job, too: to check it, and to run it."""
    counted = Mock(side_effect=ConfigLoaderImpl._load_configuration_impl)
    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", lambda *args, **kwargs: counted(*args, **kwargs))
    here = ["hydra.run.dir=r", "hydra.sweep.dir=s", "reference_solution=none", "t_end=1e-3"]
    assert called(tmp_path, *QUICK, *words, *here)[0] == 0
    assert counted.call_count == times
    assert (tmp_path / {"RUN": "r", "MULTIRUN": "s"}[mode]).exists()


WIDE = "network.width=32"


def test_help_and_the_config_can_be_shown(tmp_path: Path):
    (status, said, err), (other, config, more) = called(tmp_path, "--help"), called(tmp_path, "--cfg", "job", WIDE)
    assert (status, other) == (0, 0), err + more
    for group in ("pde", "network", "integrator", "experiment"):
        assert f"{group}: {', '.join(name for name in choices(group) if '/' not in name)}" in said
    assert "t_end: 0.2" in said
    assert 'eval "$(wgf -sc install=bash)"' in said
    assert OmegaConf.create(config).network.width == 32
    assert not list(tmp_path.iterdir())


def test_list_and_version(tmp_path: Path):
    status, out, _ = called(tmp_path, "list", "integrator")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == [f"integrator={name}" for name in choices("integrator")]
    assert all(len(line.split()) > 3 for line in out.splitlines())
    assert "  network: mlp, one_sided_relu, spline, two_sided_relu" in called(tmp_path, "list")[1].splitlines()
    status, _, err = called(tmp_path, "list", "networks")
    assert (status, err.partition("?")[0]) == (2, "wgf: list networks is not allowed: did you mean network")
    assert called(tmp_path, "--version")[1] == f"wgf {version('wgf')}\n"


@pytest.mark.parametrize("words", [["t_end=0.01", "hydra.run.dir=a"], ["-m", "seed=0,1", "hydra/launcher=basic"]])
def test_a_full_disk_is_no_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("wgf.files.os.fsync", full)
    status, _, err = called(tmp_path, *words, *QUICK)
    assert status == 1
    assert re.search(r"^wgf: .*(config.yaml|results.csv) is not saved: No space left on device; free space", err, re.M)


ENDS = """
import atexit, sys
from wgf import cli

class Held:
    def __del__(self):
        sys.stderr.write("taken apart")

def main():
    atexit.register(print, "written")
    {how}

held, cli.main = Held(), main
cli.command()
"""


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(130)", 130, ""),
        ("sys.exit('no')", 1, "no\ntaken apart"),
        ("sys.stdout.close()", 0, "taken apart"),
    ],
)
def test_a_process_ends_at_once_with_its_status_and_all_it_has_to_write(how: str, status: int, said: str):
    answer = subprocess.run([sys.executable, "-c", ENDS.format(how=how)], capture_output=True, text=True, check=False)
    assert answer.returncode == status
    if how == "sys.stdout.close()":  # what fails to write at the end is told as ever
        assert answer.stderr.endswith(said)
    else:
        assert (answer.stdout, answer.stderr) == ("written\n", said)


def test_completion(tmp_path: Path):
    code = "import os, sys; os.environ['COMP_LINE'] = sys.argv.pop(); from wgf.cli import main; main()"

    def completed(line: str) -> list[str]:
        answer = wgf(tmp_path, "-sc", "query=bash", line, start=("-c", code))
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.split()

    assert completed("wgf integrator=") == [f"integrator={name}" for name in choices("integrator")]
    assert completed("wgf network.deg") == ["network.degree="]
    install = wgf(tmp_path, "-sc", "install=bash")
    assert install.returncode == 0
    assert "hydra_bash_completion" in install.stdout
