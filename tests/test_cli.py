"""The command from end to end: what it leaves behind, how it ends, what it says to bad input."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import command, stopped_by
from composed_configs import choices, composed
from omegaconf import OmegaConf
from run_folders import history, result
from tables import rows
from whole_runs import QUICK, run_config

from wgf.cli import CONFIGS
from wgf.files import claimed
from wgf.integrators.status import Status
from wgf.run.callbacks.checkpoint import latest
from wgf.saved_maps import SavedMaps
from wgf.settings.check import check

SCRIPT = CONFIGS.parent / "scripts" / "run.py"


FILES = [".hydra", "checkpoints", "config.yaml", "events", "figures", "history.csv", "provenance.json", "result.json"]
Finished = tuple[Path, subprocess.CompletedProcess[str]]


# the run folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The folder of a run with an exact solution and everything switched on, and what the command said."""
    place = tmp_path_factory.mktemp("finished")
    words = ["pde=linear_transport", "network.width=6", "saves=4", "t_end=0.05", "seed=3", "hydra.run.dir=here/mine"]
    answer = command(place, *words)
    assert answer.returncode == 0, answer.stderr
    assert [path.name for path in place.iterdir()] == ["here"]  # nothing lands beside it
    return place / "here" / "mine", answer


def test_run_folder(finished: Finished):
    folder, _ = finished
    names = sorted(re.sub(r"^events\.out\.tfevents\..*", "events", path.name) for path in folder.iterdir())
    assert names == [*FILES, "run.log", "solution.npz"]
    assert sorted(path.name for path in (folder / "figures").iterdir()) == ["density.png", "map.png"]
    assert "rho_t = " in (folder / "run.log").read_text()
    resolved = OmegaConf.load(folder / "config.yaml")
    assert (resolved.t_end, resolved.seed, resolved.network.width) == (0.05, 3, 6)
    assert "${" not in (folder / "config.yaml").read_text()
    check(resolved)  # it can be run again


def test_result_json(finished: Finished):
    found = result(finished[0])
    assert found["status"] == "completed"
    assert found["t_end"] == found["t_wanted"] == 0.05
    contract = "status t_end steps energy w1_error w2_error reference_solution second_moment mean mass min_slope wall_s"
    assert set(contract.split()) <= set(found)
    assert found["reference_solution"] == "exact: characteristics"
    assert 0 < found["w1_error"] < found["w2_error"] < 0.1
    assert found["mass"] == pytest.approx(1.0, abs=1e-14)
    assert 0 < found["min_slope"] < 1
    assert found["second_moment_law"] is None
    assert found["dissipation_gap"] < 0.05
    assert found["steps"] > 4
    assert found["parameters"] == 8


def test_history_agrees_with_the_result(finished: Finished):
    folder, _ = finished
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


def test_solution_npz(finished: Finished):
    folder, _ = finished
    solution, found = SavedMaps.load(folder / "solution.npz"), result(folder)
    assert solution.t.tolist() == [0.05 * k / 4 for k in range(5)]
    n = len(solution.z)
    assert solution.T.shape == solution.dT.shape == (5, n)
    assert solution.rho0.shape == (n,)
    assert solution.T[0] == pytest.approx(solution.z, abs=1e-14)
    assert (np.diff(solution.T, axis=1) > 0).all()
    assert np.trapezoid(solution.rho0, solution.z) == pytest.approx(1.0, abs=1e-9)
    # the error by an integral and an exact map of one's own
    z, t = solution.z, 0.05
    exact = 1 + np.exp(t) * (z - 1) / np.sqrt(1 + (z - 1) ** 2 * np.expm1(2 * t))
    w1 = np.trapezoid(np.abs(solution.T[-1] - exact) * solution.rho0, z)
    assert found["w1_error"] == pytest.approx(w1, rel=1e-3)
    assert found["second_moment"] == pytest.approx(np.trapezoid(solution.T[-1] ** 2 * solution.rho0, z), rel=1e-5)


def test_checkpoints_and_provenance(finished: Finished):
    folder, _ = finished
    state = latest(folder)
    assert state["clock"]["t"] == 0.05
    assert state["step"] == result(folder)["steps"]
    assert state["theta"].shape == (8,)
    assert len(list((folder / "checkpoints").iterdir())) == 2
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["seed"] == 3
    assert provenance["versions"]["torch"] == torch.__version__
    assert "network.width=6" in provenance["argv"]
    assert provenance["start"] <= provenance["end"]


def test_terminal(finished: Finished):
    _, answer = finished
    assert "completed: reached the end time" in answer.stdout
    assert "results in   here/mine" in answer.stdout
    assert "look at it   tensorboard --logdir here/mine" in answer.stdout
    assert "it/s" not in answer.stderr  # no bar in a pipe
    assert "%|" not in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_same_config_gives_the_same_bits(finished: Finished, tmp_path: Path):
    folder, _ = finished
    cfg = OmegaConf.load(folder / "config.yaml")
    cfg.logger = {"_target_": "wgf.run.callbacks.base.Callback"}
    cfg.figures = False
    run_config(cfg, tmp_path)
    before, after = SavedMaps.load(folder / "solution.npz"), SavedMaps.load(tmp_path / "solution.npz")
    for name in ("t", "z", "T", "dT", "rho0"):
        assert getattr(before, name).tobytes() == getattr(after, name).tobytes()
    assert [line | {"t": 0} for line in history(folder)] == [line | {"t": 0} for line in history(tmp_path)]


def test_a_finished_run_is_not_overwritten(finished: Finished):
    folder, _ = finished
    before = (folder / "result.json").read_bytes()
    answer = command(folder.parents[1], "hydra.run.dir=here/mine", "debug=smoke")
    assert answer.returncode == 2
    assert "hydra.run.dir=here/mine holds a finished run" in answer.stderr
    assert (folder / "result.json").read_bytes() == before


BEGUN = [".hydra", "run.log", "config.yaml", "checkpoints"]


@pytest.mark.parametrize(
    ("word", "names"), [("hydra.run.dir=out", []), ("hydra.run.dir=out", BEGUN), ("resume=out", BEGUN)]
)
def test_a_folder_at_work_is_left_alone(tmp_path: Path, word: str, names: list[str]):
    """However far the run in it has come."""
    folder, text = tmp_path / "out", OmegaConf.to_yaml(composed())
    folder.mkdir()
    for name in names:
        (folder / name).write_text(text)
    with claimed(folder):
        assert refused(tmp_path, word) == ["out is at work: another process runs in it"]
    assert all((folder / name).read_text() == text for name in names)


def test_of_two_runs_into_one_folder_the_first_goes_on(tmp_path: Path):
    command = [sys.executable, "-m", "wgf.cli", *QUICK, "t_end=0.01", "hydra.run.dir=out"]
    pair = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 2]
    assert "wgf: out is at work: another process runs in it\n" in said
    assert result(tmp_path / "out")["status"] == "completed"
    assert (tmp_path / "out" / "run.log").read_text().count("rho_t = ") == 1
    assert (tmp_path / "out" / ".hydra" / "overrides.yaml").exists()


def test_script_and_default_folder(tmp_path: Path):
    answer = command(tmp_path, "debug=smoke", script=(str(SCRIPT),))
    assert answer.returncode == 0, answer.stderr
    (folder,) = tmp_path.glob("outputs/*/*")
    pattern = r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d_fokker_planck_spline-w4_[0-9a-f]{6}"
    assert re.fullmatch(pattern, folder.relative_to(tmp_path / "outputs").as_posix())
    assert result(folder)["t_end"] == 0.01
    assert not list(folder.glob("events*"))  # logger=none and figures=false
    assert not (folder / "figures").exists()
    assert "tensorboard" not in answer.stdout


# other ends


def test_folded_run(tmp_path: Path):
    """A step far beyond what an explicit method can take."""
    answer = command(tmp_path, *QUICK, "integrator=euler", "integrator.dt=0.5", "t_end=2", "hydra.run.dir=out")
    assert answer.returncode == 1
    found = result(tmp_path / "out")
    assert found["status"] == "folded"
    assert found["message"].startswith(Status.folded.value)
    assert (found["t_end"], found["t_wanted"], found["steps"]) == (0.0, 2.0, 0)
    assert found["min_slope"] == pytest.approx(1.0)
    assert found["w1_error"] is None
    assert "folded" in answer.stdout
    assert "Traceback" not in answer.stderr
    assert SavedMaps.load(tmp_path / "out" / "solution.npz").t.tolist() == [0.0]


def test_interrupted_run(tmp_path: Path):
    words = [*QUICK, "saves=20000", "integrator=euler", "integrator.dt=1e-6", "t_end=1", "hydra.run.dir=out"]
    status, said = stopped_by(signal.SIGINT, tmp_path, tmp_path / "out", *words)
    assert status == 130, said
    found = result(tmp_path / "out")
    assert found["status"] == "interrupted"
    assert found["message"] == "stopped from outside; the last accepted state is kept (SIGINT)"
    assert f"go on with it by resume={tmp_path / 'out'}" in said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert 0 < found["t_end"] < 1
    solution = SavedMaps.load(tmp_path / "out" / "solution.npz")
    assert solution.t[-1] == found["t_end"]
    assert float(history(tmp_path / "out")[-1]["t"]) == found["t_end"]


def test_sweep(tmp_path: Path):
    answer = command(tmp_path, "-m", "network.width=4,8", *QUICK[1:], "t_end=0.01")
    assert answer.returncode == 0, answer.stderr
    (sweep,) = tmp_path.glob("multirun/*/*")
    for width in (4, 8):
        folder = sweep / f"width-{width}"
        assert result(folder)["status"] == "completed"
        assert OmegaConf.load(folder / "config.yaml").network.width == width
        assert (folder / "run.log").read_text().count("rho_t") == 1
    assert (sweep / "results.csv").read_text().count("\n") == 3
    assert not (tmp_path / "outputs").exists()


# bad input


def refused(folder: Path, *words: str) -> list[str]:
    """The lines said to bad input, which must leave nothing behind and come without torch."""
    before = sorted(folder.rglob("*"))
    code = (
        "import sys\n"
        "from wgf.cli import main\n"
        "try: main()\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    answer = command(folder, *words, script=("-c", code))
    assert answer.returncode == 2, answer.stdout
    assert "Traceback" not in answer.stderr
    assert sorted(folder.rglob("*")) == before
    loaded = answer.stdout.split()
    assert "hydra" in loaded
    assert "torch" not in loaded
    lines = answer.stderr.splitlines()
    assert all(line.startswith("wgf: ") for line in lines)
    return [line.removeprefix("wgf: ") for line in lines]


FAULTS = r"""
network.widht=3, +seeed=1, t_end=-1, pde=foker_planck
    -> pde=foker_planck is not a choice: did you mean fokker_planck\?
    -> seeed is not a setting: did you mean seed\?
    -> t_end=-1 is not allowed
    -> network.widht is not a setting: did you mean network.width\?
interaction=log
    -> interaction=Log with pde=FokkerPlanck is impossible
-m, network.width=4|1, solver.rcond=0|2
    -> network.width=1 is
    -> solver.rcond=2 is
potential=expression, potential.expr=x**4/4 - x**2(
    -> .*values with spaces or symbols are quoted twice
experiment=fokker_plank_quartic
    -> experiment=fokker_plank_quartic is not a choice: did you mean fokker_
network
    -> 'network' is not an override: expected key=value
hydra.run.dir=file/run
    -> .*hydra.run.dir
"""


@pytest.mark.parametrize(
    ("words", "answers"), [(case[0], case[1:]) for case in rows(FAULTS.replace("\n    ->", " ->"))]
)
def test_bad_input(tmp_path: Path, words: str, answers: list[str]):
    (tmp_path / "file").write_text("")
    lines = refused(tmp_path, *words.replace("|", ",").split(", "))
    assert len(lines) == len(answers)
    for answer in answers:
        assert sum(re.match(answer, line) is not None for line in lines) == 1, (answer, lines)


def test_typo_in_an_experiment_of_ones_own(tmp_path: Path):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "typo.yaml").write_text("# @package _global_\nnetwork:\n  widht: 5\n")
    (line,) = refused(tmp_path, "--config-dir", "mine", "experiment=typo")
    assert line.startswith("network.widht is not a setting: did you mean network.width?")


def test_a_main_config_of_ones_own_can_be_swept(tmp_path: Path):
    """Every value is checked with it: a choice of training is none with the networks of the main job."""
    (tmp_path / "mine").mkdir()
    choices = "override /network: two_sided_relu", "override /integrator: gauss_newton"
    defaults = "\n  - ".join(["defaults:", "config", *choices, "_self_\n"])
    (tmp_path / "mine" / "mine.yaml").write_text(f"{defaults}network:\n  width: 4\n")
    words = ["--config-dir", "mine", "--config-name", "mine", "-m", "hydra/launcher=basic", "hydra.sweep.dir=s"]
    short = [*QUICK[1:], "reference_solution=none", "t_end=1e-3"]
    answer = command(tmp_path, *words, *short, "network.train=weights,biases")
    assert answer.returncode == 0, answer.stderr
    assert sorted(path.name for path in (tmp_path / "s").glob("train-*")) == ["train-biases", "train-weights"]
    (line,) = refused(tmp_path, *words[:-1], "network.train=weights,nothing")
    assert line.startswith("network.train=nothing is not allowed")


def test_what_only_the_start_shows_leaves_nothing_behind(tmp_path: Path):
    answer = command(tmp_path, "device=cuda:99")
    assert answer.returncode == 2
    assert answer.stderr.startswith("wgf: device='cuda:99' is not there: torch sees ")
    assert len(answer.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


# help


def test_help(tmp_path: Path):
    answer = command(tmp_path, "--help")
    assert answer.returncode == 0, answer.stderr
    for group in ("pde", "network", "integrator", "experiment"):
        assert f"{group}: {', '.join(name for name in choices(group) if '/' not in name)}" in answer.stdout
    assert "t_end: 0.2" in answer.stdout
    assert 'eval "$(wgf -sc install=bash)"' in answer.stdout
    assert not list(tmp_path.iterdir())


def test_config_can_be_shown(tmp_path: Path):
    answer = command(tmp_path, "--cfg", "job", "network.width=32")
    assert answer.returncode == 0, answer.stderr
    assert OmegaConf.create(answer.stdout).network.width == 32
    assert not list(tmp_path.iterdir())


def test_completion(tmp_path: Path):
    code = "import os, sys; os.environ['COMP_LINE'] = sys.argv.pop(); from wgf.cli import main; main()"

    def completed(line: str) -> list[str]:
        answer = command(tmp_path, "-sc", "query=bash", line, script=("-c", code))
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.split()

    assert completed("wgf integrator=") == [f"integrator={name}" for name in choices("integrator")]
    assert completed("wgf network.deg") == ["network.degree="]
    install = command(tmp_path, "-sc", "install=bash")
    assert install.returncode == 0
    assert "hydra_bash_completion" in install.stdout
