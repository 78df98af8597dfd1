"""The sinks of a run: what they write can be read back, and none of them can stop the computation."""

import csv
import errno
import hashlib
import io
import logging
import math
import os
import pickle
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util import tensor_util

from wgf.callbacks import checkpoint as checkpoints
from wgf.callbacks.base import Callback, Outcome, Run, Sinks
from wgf.callbacks.checkpoint import FORMAT, Checkpoint, latest, sealed, unsealed
from wgf.callbacks.figures import Figures
from wgf.callbacks.history import History, read
from wgf.callbacks.progress import Progress
from wgf.callbacks.tensorboard import TensorBoard, tag
from wgf.errors import ConfigError
from wgf.solution import Solution
from wgf.status import Status

COLUMNS = ["step", "t", "energy", "energy_entropy", "min_slope", "w1_error", "rank"]


def row(step: int, **values: Any) -> dict[str, Any]:
    known = {"step": step, "t": 0.1 * step, "energy": -math.pi * step, "energy_entropy": 1 / 3, "min_slope": 1e-300}
    return known | {"w1_error": None, "rank": 6} | values


def record(folder: Path, rows: int = 0, last_row: int = -1) -> Run:
    text = "t_end: 1.0\nnetwork:\n  width: 16\n"
    return Run(folder, "rho_t = rho_xx", 1.0, COLUMNS, text, {"seed": 3}, rows, last_row)


def solution() -> Solution:
    z = np.linspace(-5, 5, 201)
    t = np.array([0.0, 0.5, 1.0])
    positions = (1 + t[:, None]) * z
    slopes = np.broadcast_to(1 + t[:, None], positions.shape)
    return Solution(t, z, positions, slopes, np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), positions + 1e-3)


# history.csv


def lines(folder: Path) -> list[dict[str, str]]:
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(folder: Path, *rows: dict[str, Any], kept: int = 0) -> None:
    history = History()
    history.start(record(folder, kept))
    for line in rows:
        history.row(line)
    history.close()
    history.close()  # a second time does no harm


def test_history_round_trip(tmp_path: Path):
    rows = [row(0), row(7, w1_error=0.1 + 0.2, energy=math.inf), row(8, min_slope=5e-324, rank=None)]
    write(tmp_path, *rows)
    found = lines(tmp_path)
    assert list(found[0]) == COLUMNS
    for line, wanted in zip(found, rows, strict=True):
        assert {key: None if text == "" else float(text) for key, text in line.items()} == wanted
    assert found[1]["step"] == "7"  # a whole number stays one


def test_history_is_on_the_disk_at_once(tmp_path: Path):
    history = History()
    history.start(record(tmp_path))
    history.row(row(0))
    assert len(lines(tmp_path)) == 1
    history.row(row(1))
    assert len(lines(tmp_path)) == 2
    history.close()


def test_history_goes_on_where_a_resumed_run_does(tmp_path: Path):
    write(tmp_path, row(0), row(1), row(2), row(3))
    with open(tmp_path / "history.csv", "a") as file:
        file.write("4,0.4,-1")  # killed in the middle of a line
    write(tmp_path, row(2, w1_error=9.0), row(3), kept=2)
    assert [(line["step"], line["w1_error"]) for line in lines(tmp_path)] == [
        ("0", ""),
        ("1", ""),
        ("2", "9.0"),
        ("3", ""),
    ]


def test_history_as_columns(tmp_path: Path):
    write(tmp_path, row(0), row(7, w1_error=0.1 + 0.2, energy=math.inf))
    with open(tmp_path / "history.csv", "a") as file:
        file.write("4,0.4,-1")  # killed in the middle of a line
    columns = read(tmp_path / "history.csv")
    assert list(columns) == COLUMNS
    assert columns["step"].tolist() == [0, 7]
    assert columns["energy"].tolist() == [0, math.inf]
    assert np.isnan(columns["w1_error"][0])
    assert columns["w1_error"][1] == 0.1 + 0.2
    (tmp_path / "empty.csv").write_text("step,t\n")
    assert {name: column.shape for name, column in read(tmp_path / "empty.csv").items()} == {"step": (0,), "t": (0,)}


@pytest.mark.parametrize("text", ["step,t\n1\n", "step,t\n1,2,3\n", "step,t\n1,two\n", "step,step\n1,2\n"])
def test_what_is_no_history(tmp_path: Path, text: str):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(ValueError, match=r"table|two"):
        read(tmp_path / "history.csv")


@pytest.mark.parametrize("damage", ["a line", "the header", "the file"])
def test_a_history_that_has_lost_rows_says_so(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write(tmp_path, row(0), row(1), row(2))
    path = tmp_path / "history.csv"
    if damage == "the file":
        path.unlink()
    else:
        path.write_text(path.read_text()[:-5] if damage == "a line" else "x" + path.read_text())
    write(tmp_path, row(3), kept=3)
    lost, kept = (1, ["0", "1"]) if damage == "a line" else (3, [])
    assert f"has lost {lost} of 3 rows" in caplog.text
    assert [line["step"] for line in lines(tmp_path)] == [*kept, "3"]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    history = History()
    history.start(record(tmp_path))
    history.row(row(0))

    class Full:
        """The file on a disk with room for five more bytes."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            return self.file.write(data[:5])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    monkeypatch.setattr(history, "_file", Full(history._file))
    with pytest.raises(OSError, match="No space left"):
        history.row(row(1))
    history.close()
    assert [line["step"] for line in lines(tmp_path)] == ["0"]
    assert (tmp_path / "history.csv").read_bytes().endswith(b"\n")


def test_a_history_whose_folder_is_removed_comes_back(tmp_path: Path):
    folder = tmp_path / "run"
    history = History()
    history.start(record(folder))
    history.row(row(0))
    shutil.rmtree(folder)
    history.row(row(1))
    history.finish(record(folder), Outcome(Status.completed, {}, None))
    history.close()
    assert [line["step"] for line in lines(folder)] == ["0", "1"]


def test_history_of_a_new_run_starts_empty(tmp_path: Path):
    write(tmp_path, row(0), row(1))
    write(tmp_path, row(0))
    assert len(lines(tmp_path)) == 1


# checkpoints


def save(folder: Path, *states: dict[str, Any], keep: int = 2) -> None:
    checkpoint = Checkpoint(keep)
    checkpoint.start(record(folder))
    for state in states:
        checkpoint.checkpoint(state)
    checkpoint.close()


def state(step: int) -> dict[str, Any]:
    return {"step": step, "t": 0.1 * step, "theta": torch.arange(3.0, dtype=torch.float64) + step, "note": ["x", None]}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_checkpoint_is_loadable_with_weights_only(tmp_path: Path):
    save(tmp_path, state(12))
    loaded = torch.load(tmp_path / "checkpoints" / "step-00000012.pt", weights_only=True)
    theta = loaded.pop("theta")
    assert theta.dtype == torch.float64
    assert theta.tolist() == [12.0, 13.0, 14.0]
    assert loaded == {"step": 12, "t": 0.1 * 12, "note": ["x", None]}


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_checkpoints_are_kept(tmp_path: Path, keep: int):
    save(tmp_path, *(state(step) for step in (0, 9, 10, 200, 1_000_000_000)), keep=keep)
    names = ["step-00000010.pt", "step-00000200.pt", "step-1000000000.pt"]
    assert files(tmp_path) == names[-keep:]
    assert latest(tmp_path)["step"] == 1_000_000_000


def test_checkpoints_of_an_abandoned_future_are_removed(tmp_path: Path):
    save(tmp_path, state(10), state(20), state(30), keep=3)
    save(tmp_path, state(15), keep=3)
    assert files(tmp_path) == ["step-00000010.pt", "step-00000015.pt"]


def test_a_damaged_checkpoint_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    save(tmp_path, state(1), state(2))
    newest = tmp_path / "checkpoints" / "step-00000002.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    with caplog.at_level(logging.WARNING, "wgf"):
        assert latest(tmp_path)["step"] == 1
    assert "step-00000002.pt is damaged and skipped: its end is missing" in caplog.text


@given(st.data())
def test_no_changed_byte_goes_unseen(data: st.DataObject):
    content = sealed(state(7))
    place, change = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    with pytest.raises(ValueError):  # noqa: PT011 (which of them depends on the byte)
        unsealed(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])


@given(st.integers(0, 4000))
def test_no_missing_byte_goes_unseen(length: int):
    content = sealed(state(7))
    with pytest.raises(ValueError, match="its end is missing"):
        unsealed(content[: min(length, len(content) - 1)])


def test_a_checkpoint_runs_no_code(tmp_path: Path):
    """Neither a pickle in the place of a checkpoint nor one with the right checksum."""

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "evil",))

    buffer = io.BytesIO()
    torch.save({"step": 1, "theta": Evil()}, buffer)
    content = buffer.getvalue()
    seal = f"\nwgf checkpoint {FORMAT} sha256 {hashlib.sha256(content).hexdigest()}\n".encode()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-00000001.pt").write_bytes(content + seal)
    (tmp_path / "checkpoints" / "step-00000002.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ConfigError, match=r"none of its 2 checkpoints can be read \(.*; start a new run"):
        latest(tmp_path)
    assert not (tmp_path / "evil").exists()


def test_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoints, "FORMAT", FORMAT + 1)
    save(tmp_path, state(1))
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=rf"another version of wgf: step-00000001.pt: its format is {FORMAT + 1}"):
        latest(tmp_path)


def test_no_checkpoint_at_all(tmp_path: Path):
    assert latest(tmp_path) is None


def test_a_checkpoint_that_cannot_be_written_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    checkpoint = Checkpoint()
    checkpoint.start(record(tmp_path))
    checkpoint.checkpoint(state(1))
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        checkpoint.checkpoint(state(2))
        checkpoint.checkpoint(state(3))
    assert files(tmp_path) == ["step-00000001.pt"]
    assert latest(tmp_path)["step"] == 1
    checkpoint.checkpoint(state(4))
    assert files(tmp_path) == ["step-00000001.pt", "step-00000004.pt"]
    (line,) = [line.getMessage() for line in caplog.records if line.levelno == logging.ERROR]
    assert line.startswith("no checkpoint at step 2, the next one is tried in time: [Errno 28] No space left on device")
    assert "step-00000002.pt" in line


@pytest.mark.parametrize(("bad", "place"), [(np.float64(1.0), "t"), (Status.folded, "status"), ([[{1}]], "deep")])
def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path, bad: Any, place: str):
    with pytest.raises(TypeError, match=place):
        save(tmp_path, state(3) | {place: bad})
    assert not (tmp_path / "checkpoints").exists()


def test_checkpoint_keeps_at_least_one():
    with pytest.raises(ConfigError, match="keep=0"):
        Checkpoint(keep=0)


# the guard


class Failing(Callback):
    """Raises in one event and counts all."""

    def __init__(self, event: str, error: type[BaseException] = RuntimeError) -> None:
        self.event, self.error, self.told = event, error, []

    def _tell(self, event: str) -> None:
        self.told.append(event)
        if event == self.event:
            raise self.error("disk\nfull")

    def start(self, run: Run) -> None:
        self._tell("start")

    def step(self, t: float, dt: float, energy: float) -> None:
        self._tell("step")

    def row(self, row: dict[str, Any]) -> None:
        self._tell("row")

    def checkpoint(self, state: dict[str, Any]) -> None:
        self._tell("checkpoint")

    def finish(self, run: Run, outcome: Outcome) -> None:
        self._tell("finish")

    def close(self) -> None:
        self._tell("close")


EVENTS = ["start", "step", "row", "checkpoint", "finish", "close"]


def tell_all(sinks: Sinks, folder: Path) -> None:
    sinks.start(record(folder))
    sinks.step(0.1, 0.1, 1.0)
    sinks.row(row(1))
    sinks.checkpoint(state(1))
    sinks.finish(record(folder), Outcome(Status.completed, {}, None))


@pytest.mark.parametrize("event", EVENTS)
def test_a_failing_sink_is_dropped_and_the_others_go_on(tmp_path: Path, event: str, caplog: pytest.LogCaptureFixture):
    bad, good = Failing(event), Failing("never")
    tell_all(Sinks([bad, good]), tmp_path)
    assert good.told == EVENTS
    end = EVENTS.index(event) + 1
    assert bad.told == ([*EVENTS[:end], "close"] if event != "close" else EVENTS)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        f"Failing failed in {event} and is dropped, the run goes on without it: RuntimeError: disk full"
    ]


def test_interruptions_go_through_the_guard(tmp_path: Path):
    bad, good = Failing("step", KeyboardInterrupt), Failing("never")
    sinks = Sinks([bad, good])
    sinks.start(record(tmp_path))
    try:
        sinks.step(0.1, 0.1, 1.0)
    except KeyboardInterrupt:
        sinks.close()
    else:
        pytest.fail("the interruption was swallowed")
    assert "close" in bad.told
    assert "close" in good.told


def test_a_sink_that_needs_nothing(tmp_path: Path):
    tell_all(Sinks([Callback()]), tmp_path)
    assert not list(tmp_path.iterdir())


# figures


def test_figures_come_with_the_solution(tmp_path: Path):
    Figures().finish(record(tmp_path), Outcome(Status.not_finite, {}, None))
    assert not list(tmp_path.iterdir())
    Figures().finish(record(tmp_path), Outcome(Status.completed, {}, solution()))
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["density.png", "map.png"]


# the progress bar


def test_progress_is_silent_in_a_pipe(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    tell_all(Sinks([Progress()]), tmp_path)
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = Progress()
    progress.start(record(tmp_path))
    progress.row(row(0, w1_error=0.25))
    for k in range(1, 11):
        progress.step(0.1 * k, 0.1, 3.0 - k)
    logging.getLogger("wgf").warning("a line of the log")
    progress.close()
    progress.close()
    shown = terminal.getvalue()
    assert "100%" in shown
    assert "t=1/1" in shown
    for text in ("energy=-7", "dt=1.0e-01", "W1 error=2.50e-01"):
        assert text in shown


# TensorBoard


def read_events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EventAccumulator]:
    """A run whose reference came after its rows; the saved times are those of the steps 0, 5 and 10."""
    folder = tmp_path_factory.mktemp("run")
    board, run = TensorBoard(), record(folder)
    board.start(run)
    for k in range(11):
        board.row(row(k, t=k / 10, energy=math.nan if k == 3 else -k / 7))
    result = {"status": "completed", "energy": -1.25, "w2_error": None, "steps": 10, "reference_error": 1e-9}
    board.finish(run, Outcome(Status.completed, result, solution()))
    board.close()
    board.close()
    return folder, read_events(folder)


def test_one_event_file_in_the_run_folder(events: tuple[Path, EventAccumulator]):
    folder, _ = events
    assert [path.name.split(".")[:3] for path in folder.iterdir()] == [["events", "out", "tfevents"]]


def test_scalars_against_step_and_time(events: tuple[Path, EventAccumulator]):
    _, found = events
    assert set(found.Tags()["scalars"]) == {
        "steps/t",
        "energy/total",
        "energy/entropy",
        "balance/energy_lost",
        "map/min_slope",
        "error/w1",
        "error/w2",
        "solver/rank",
        "final/energy",
        "final/steps",
    }
    energy, lost = found.Scalars("energy/total"), found.Scalars("balance/energy_lost")
    steps = [0, 1, 2, *range(4, 11)]  # what is not finite is left out
    assert [event.step for event in energy] == [event.step for event in lost] == steps
    assert [event.value for event in energy] == pytest.approx([-k / 7 for k in steps])
    assert [event.value for event in lost] == pytest.approx([k / 7 for k in steps])
    passed = [event.wall_time - energy[0].wall_time for event in energy]
    assert passed == pytest.approx([k / 10 for k in steps], abs=1e-5)  # what TensorBoard calls relative


def test_errors_of_a_late_reference(events: tuple[Path, EventAccumulator]):
    _, found = events
    for name in ("error/w1", "error/w2"):
        assert [event.step for event in found.Scalars(name)] == [0, 5, 10]
        assert [event.value for event in found.Scalars(name)] == pytest.approx([1e-3] * 3, rel=1e-5)


def test_errors_of_a_reference_known_from_the_start(tmp_path: Path):
    board, run = TensorBoard(), record(tmp_path)
    board.start(run)
    for k in range(3):
        board.row(row(k, t=k / 2, w1_error=0.5**k if k else None))
    board.finish(run, Outcome(Status.completed, {"steps": 2}, solution()))
    board.close()
    assert [event.step for event in read_events(tmp_path).Scalars("error/w1")] == [1, 2]


def text(found: EventAccumulator, tag: str) -> str:
    (event,) = found.Tensors(f"{tag}/text_summary")
    return tensor_util.make_ndarray(event.tensor_proto).item().decode()


def test_config_provenance_and_result_as_text(events: tuple[Path, EventAccumulator]):
    _, found = events
    assert text(found, "config") == "```yaml\nt_end: 1.0\nnetwork:\n  width: 16\n```"
    assert text(found, "provenance") == '```json\n{\n  "seed": 3\n}\n```'
    lines = text(found, "result").splitlines()
    assert "| status | completed |" in lines
    assert "| energy | -1.25 |" in lines
    assert not any("w2_error" in line for line in lines)


def test_the_layout_names_what_there_is(events: tuple[Path, EventAccumulator]):
    _, found = events
    (event,) = found.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(tensor_util.make_ndarray(event.tensor_proto).item())
    assert [category.title for category in layout.category] == ["energy", "error", "balance", "steps", "moments"]
    columns = {*COLUMNS, "dt", "rejected", "evaluations", "dissipation", "dissipated", "mean", "second_moment"}
    tags = {tag(column) for column in columns} | {"balance/energy_lost"}
    for category in layout.category:
        for chart in category.chart:
            for pattern in chart.multiline.tag:
                assert any(re.match(pattern, known) for known in tags), pattern


def test_figures_as_images(events: tuple[Path, EventAccumulator]):
    _, found = events
    names = ["density", "error", "evolution", "map"]
    assert sorted(found.Tags()["images"]) == [f"figures/{name}" for name in names]
    for name in names:
        (shown,) = found.Images(f"figures/{name}")
        with Image.open(io.BytesIO(shown.encoded_image_string)) as picture:
            size = {"evolution": (640, 426), "error": (1200, 960)}.get(name, (1200, 800))
            assert (picture.format, picture.size) == ("GIF" if name == "evolution" else "PNG", size)
            assert (shown.width, shown.height) == picture.size
            assert getattr(picture, "n_frames", 1) == (3 if name == "evolution" else 1)
        assert shown.step == 10


def test_particles_as_histograms(events: tuple[Path, EventAccumulator]):
    _, found = events
    assert found.Tags()["histograms"] == ["particles"]
    histograms = found.Histograms("particles")
    assert [event.step for event in histograms] == [0, 5, 10]  # of the saved times
    spread = [event.histogram_value.max - event.histogram_value.min for event in histograms]
    assert spread == pytest.approx([spread[0], 1.5 * spread[0], 2 * spread[0]], rel=1e-6)
    assert {event.histogram_value.num for event in histograms} == {2000}


def test_a_resumed_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two event files show as one run: the steps that are done again count once, and the time of the equation goes on
    whenever the second part is run."""
    now = time.time
    for steps in (range(8), range(5, 11)):
        run = record(tmp_path, rows=steps[0], last_row=steps[0] - 1)
        board, history = TensorBoard(), History()
        for sink in (board, history):
            sink.start(run)
        for k in steps:
            line = row(k, t=k / 10, energy=-k / 7 if k < 5 else -k / 70)
            history.row(line)
            board.row(line)
        history.close()
        if steps[-1] == 10:
            board.finish(run, Outcome(Status.completed, {"steps": 10}, solution()))
        board.close()
        monkeypatch.setattr("time.time", lambda: now() + 1000)
    found = read_events(tmp_path)
    assert len(list(tmp_path.glob("events*"))) == 2
    for name, sign in (("energy/total", -1), ("balance/energy_lost", 1)):
        assert [event.step for event in found.Scalars(name)] == list(range(11))
        wanted = [sign * k / (7 if k < 5 else 70) for k in range(11)]
        assert [event.value for event in found.Scalars(name)] == pytest.approx(wanted)
        times = [event.wall_time for event in found.Scalars(name)]
        assert np.diff(times) == pytest.approx(0.1, abs=1e-5)
    assert [event.step for event in found.Scalars("error/w1")] == [0, 5, 10]
    assert [event.step for event in found.Histograms("particles")] == [0, 5, 10]


def test_a_run_without_a_solution_still_leaves_its_result(tmp_path: Path):
    board, run = TensorBoard(), record(tmp_path)
    board.start(run)
    board.finish(run, Outcome(Status.not_finite, {"status": "not_finite"}, None))
    board.close()
    accumulator = read_events(tmp_path)
    assert "not_finite" in text(accumulator, "result")
    assert accumulator.Tags()["images"] == []


def test_nothing_is_written_without_a_start(tmp_path: Path):
    board = TensorBoard()
    board.row(row(1))
    board.finish(record(tmp_path), Outcome(Status.completed, {}, solution()))
    board.close()
    assert not list(tmp_path.iterdir())
