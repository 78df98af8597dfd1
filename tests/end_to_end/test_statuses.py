"""How runs end, through the whole program: every status, what is saved then, and what a fault of the machine costs."""

import contextlib
import errno
import itertools
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acting_callback import At
from command_line import called
from composed_configs import composed
from omegaconf import DictConfig, OmegaConf
from run_folders import result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from wgf.integrators.status import Status
from wgf.run.callbacks.checkpoint import latest
from wgf.run.callbacks.history import read
from wgf.run.runner import build, main, run
from wgf.saved_maps import SavedMaps
from wgf.settings.check import check
from wgf.sweep import job_folder as job

QUICK = ["network.width=4", "saves=2", "logger=none", "figures=false", "reference_solution=none"]
ROOT = "pde=linear_transport potential=expression potential.expr='sqrt(x)' law=uniform law.low=1 law.high=2 t_end=5 "
EULER = "integrator=euler integrator.dt="


def config(text: str) -> DictConfig:
    cfg = composed(*QUICK, *text.split())
    check(cfg)
    return cfg


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch):
    """Run a config in which something happens at one step; gives the exit status."""

    def exit_status(cfg: DictConfig, folder: Path, step: int, act: Callable[[], Any]) -> int:
        experiment = build(cfg)
        experiment.logger = At(step, act)
        with monkeypatch.context() as patch:
            patch.setattr("wgf.run.runner.build", lambda _: experiment)
            return main(cfg, folder)

    return exit_status


HILL = "pde=linear_transport potential=expression potential.expr='10*sqrt(1+x**2)' law.mean=3 law.std=0.1 t_end=3 "
ENDS = {
    Status.completed: ("t_end=0.01", 0.01),
    Status.steady: ("potential=quadratic t_end=40 stop=steady steady=1e-3", 20.0),
    Status.blow_up: ("pde=keller_segel potential=none pde.chi=4 t_end=1 integrator.rtol=1e-4", 0.0925),
    Status.step_too_small: ("integrator.dt_min=1e-2 integrator.rtol=1e-9 t_end=0.1", 0.04),
    Status.folded: (EULER + "1e-3 network=two_sided_relu pde=linear_transport t_end=0.1", 0.014),
    Status.energy_rise: (HILL + EULER + "1", 0.0),
    Status.not_finite: (ROOT + EULER + "0.1", 1.4),
    Status.max_steps: (EULER + "1e-3 integrator.max_steps=7 t_end=0.01", 0.007),
    Status.solver_failed: (ROOT + "integrator=sdirk2 integrator.dt=0.5", 1.0),
    Status.interrupted: (EULER + "1e-3 t_end=0.1", 0.02),
}
KNOTS = "network=two_sided_relu network.train=all network.start=uniform "
MOVING = {  # the same ends of full updates, by the integrator that auto chooses
    Status.completed: ("t_end=0.01", 0.01),
    Status.steady: ("potential=quadratic t_end=40 stop=steady steady=1e-3", 20.0),
    Status.blow_up: ("pde=keller_segel potential=none pde.chi=4 integrator.rtol=1e-4 t_end=1", 0.077),
    Status.step_too_small: ("integrator.dt=0.05 integrator.dt_min=1e-2 integrator.rtol=1e-9", 0.0),
    Status.folded: ("network.width=2 pde=linear_transport t_end=0.3", 0.004),
    Status.max_steps: ("integrator.max_steps=7", 0.018),
    Status.interrupted: ("", 0.075),
}
CASES = [pytest.param(status, *end, id=str(status)) for status, end in ENDS.items()]
CASES += [pytest.param(s, KNOTS + words, t, id=f"{s}, moving knots") for s, (words, t) in MOVING.items()]


def terminate() -> None:
    """Ask the process to end, and ask again at once: the first is enough."""
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)


def test_every_status_is_tried():
    assert set(ENDS) == set(Status)


@pytest.mark.parametrize(("status", "overrides", "time"), CASES)
def test_every_status(
    status: Status, overrides: str, time: float, tmp_path: Path, run_with, capsys: pytest.CaptureFixture[str]
):
    cfg = config(overrides)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    code = run_with(cfg, tmp_path, 20, terminate) if status is Status.interrupted else main(cfg, tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert code == {Status.completed: 0, Status.steady: 0, Status.interrupted: 128 + signal.SIGTERM}.get(status, 1)
    found = result(tmp_path)
    assert (found["status"], found["t_end"]) == (status.name, pytest.approx(time, rel=0.2))
    assert found["message"].startswith(status.value)
    assert f"{status.name}: " in capsys.readouterr().out
    # the last good state is saved, whatever the reason
    solution, state = SavedMaps.load(tmp_path / "solution.npz"), latest(tmp_path)
    assert solution.t[-1] == state["clock"]["t"] == found["t_end"]
    assert np.isfinite(solution.T).all()
    assert found["energy"] is not None
    assert read(tmp_path / "history.csv")["t"][-1] == found["t_end"]
    if status not in (Status.completed, Status.interrupted, Status.max_steps):
        assert len(found["message"]) > len(status.value) or status is Status.blow_up  # with its circumstances


def test_a_blow_up_is_a_success_where_it_is_expected(tmp_path: Path):
    for status, code in {Status.blow_up: 0, Status.completed: 0, Status.max_steps: 1}.items():
        assert main(config(ENDS[status][0] + " expect=blow_up"), tmp_path / status.name) == code


def test_a_run_that_cannot_begin_leaves_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The start itself is no state to go on from."""
    monkeypatch.setattr("wgf.integrators.time_loop.verdict", lambda *_: Status.not_finite)
    assert main(config("t_end=0.01"), tmp_path) == 1
    found = result(tmp_path)
    assert (found["status"], found["t_end"], found["steps"]) == ("not_finite", 0.0, 0)
    assert found["message"].endswith("(at the start)")
    assert latest(tmp_path) is None


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def largest_file(size: int):
    """No file of this process may grow beyond a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The system itself refuses: the history stops, the maps do not fit, the rest is there and says what is missing."""
    with largest_file(20_000):
        code = main(config(EULER + "1e-4 t_end=0.02 certificate=none"), tmp_path)
    found = result(tmp_path)
    assert (code, found["status"]) == (1, "completed")
    assert found["unsaved"].startswith("History: OSError: ")
    assert "solution.npz: File too large" in found["unsaved"]
    assert "solution.npz" in capsys.readouterr().out
    assert not (tmp_path / "solution.npz").exists()
    rows = read(tmp_path / "history.csv")
    assert 20 < len(rows["t"]) < 200
    assert (tmp_path / "history.csv").read_bytes().endswith(b"\n")
    assert latest(tmp_path)["clock"]["t"] == 0.02  # type: ignore[index]
    assert not list(tmp_path.rglob("*.part"))


def test_full_disk_when_the_results_are_written(
    tmp_path: Path, run_with, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """The table is printed even when nothing of it can be saved."""
    cfg = config("t_end=0.01")
    with monkeypatch.context() as patch:
        assert run_with(cfg, tmp_path, 1, lambda: patch.setattr("wgf.files.os.fsync", full)) == 1
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "completed: reached the end time" in shown
    assert "solution.npz: No space left on device; result.json: No space left on device" in shown
    assert not (tmp_path / "result.json").exists()
    assert main(OmegaConf.merge(cfg, {"resume": str(tmp_path)}), tmp_path) == 0
    assert "unsaved" not in result(tmp_path)


def test_full_disk_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wgf.files.os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*config.yaml'"):
        main(config("t_end=0.01"), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_folder_removed(tmp_path: Path):
    """What is in memory or still open comes back."""
    cfg, folder = config(EULER + "1e-3 t_end=0.02"), tmp_path / "run"
    experiment = build(cfg)
    experiment.logger = At(5, lambda: shutil.rmtree(folder))
    found = run(experiment, cfg, folder).as_dict()
    assert (found, found["status"]) == (result(folder), "completed")
    assert SavedMaps.load(folder / "solution.npz").t[-1] == 0.02
    assert read(folder / "history.csv")["step"].tolist() == list(range(21))
    assert latest(folder)["clock"]["t"] == 0.02  # type: ignore[index]


def test_figures_that_cannot_be_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What fails after all else is saved is in the result, on the terminal and in the exit status, too."""
    (tmp_path / "figures").write_text("")
    cfg = config("t_end=0.01")
    cfg.figures = True
    assert main(cfg, tmp_path) == 1
    found = result(tmp_path)
    assert (found["status"], found["unsaved"][:26]) == ("completed", "Figures: FileExistsError: ")
    assert "Figures: FileExistsError: " in capsys.readouterr().out
    assert not job.finished(tmp_path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of the thread that writes
def test_tensorboard_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its writer runs into a full disk."""
    write, left = RecordWriter.write, itertools.count(30, -1)
    monkeypatch.setattr(RecordWriter, "write", lambda self, data: write(self, data) if next(left) > 0 else full())
    words = ["network.width=4", "figures=false", "reference_solution=none", "t_end=0.01", "hydra.run.dir=run"]
    assert called(tmp_path, *words)[0] == 1
    found = result(tmp_path / "run")
    assert found["status"] == "completed"
    assert "TensorBoard: OSError: [Errno 28] No space left on device" in found["unsaved"]
    assert read(tmp_path / "run" / "history.csv")["t"][-1] == 0.01
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert events.Tags()["scalars"]  # what was logged can be read
