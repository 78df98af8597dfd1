"""What a run tells TensorBoard."""

import io
import math
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from callback_events import record, row, solution
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util import tensor_util

from wgf.integrators.status import Status
from wgf.result import Result
from wgf.run.callbacks.base import Outcome
from wgf.run.callbacks.history import History
from wgf.run.certify import late
from wgf.run.loggers.tensorboard import TensorBoard


def read_events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def told(folder: Path, rows: list[dict[str, Any]], outcome: Outcome) -> EventAccumulator:
    """What TensorBoard reads of a run that ends so after these rows."""
    board, run = TensorBoard(), record(folder)
    board.start(run)
    for line in rows:
        board.row(line)
    board.finish(run, outcome)
    board.close()
    board.close()
    return read_events(folder)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> EventAccumulator:
    """A run whose reference came after its rows; the saved times are those of the steps 0, 5 and 10."""
    rows = [row(k, t=k / 10, energy=math.nan if k == 3 else -k / 7) for k in range(11)]
    result = {"status": "completed", "energy": -1.25, "w2_error": None, "steps": 10, "reference_error": 1e-9}
    folder = tmp_path_factory.mktemp("run")
    found = told(folder, rows, Outcome(Status.completed, Result.from_dict(result), solution(), late(solution(), None)))
    assert [path.name.split(".")[:3] for path in folder.iterdir()] == [["events", "out", "tfevents"]]  # one file
    return found


def test_scalars_against_step_and_time(events: EventAccumulator):
    tags = "steps/t free_energy/total free_energy/entropy free_energy/lost map/min_slope error/log10_w1 error/log10_w2"
    assert set(events.Tags()["scalars"]) == {*tags.split(), "solver/rank", "final/energy", "final/steps"}
    assert sorted(events.Tags()["scalars"])[0].startswith("error/")  # TensorBoard sorts: people look for it first
    energy, lost = events.Scalars("free_energy/total"), events.Scalars("free_energy/lost")
    steps = [0, 1, 2, *range(4, 11)]  # what is not finite is left out
    assert [event.step for event in energy] == [event.step for event in lost] == steps
    assert [event.value for event in energy] == pytest.approx([-k / 7 for k in steps])
    assert [event.value for event in lost] == pytest.approx([k / 7 for k in steps])
    passed = [event.wall_time - energy[0].wall_time for event in energy]
    assert passed == pytest.approx([k / 10 for k in steps], abs=1e-5)  # what TensorBoard calls relative


def test_without_figures_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wgf.figures.style.canvas", None)
    board, run = TensorBoard(), record(tmp_path)
    run.figures = False
    board.start(run)
    board.row(row(0))
    board.finish(run, Outcome(Status.completed, Result(steps=0), solution()))
    board.close()
    assert read_events(tmp_path).Tags()["images"] == []


def test_errors_of_a_late_reference(events: EventAccumulator):
    for name in ("error/log10_w1", "error/log10_w2"):
        assert [event.step for event in events.Scalars(name)] == [0, 5, 10]
        assert [event.value for event in events.Scalars(name)] == pytest.approx([-3] * 3, rel=1e-5)


def test_errors_of_a_reference_known_from_the_start(tmp_path: Path):
    rows = [row(k, t=k / 2, w1_error=0.5**k if k else None) for k in range(3)]
    found = told(tmp_path, rows, Outcome(Status.completed, Result(steps=2), solution()))
    assert [event.step for event in found.Scalars("error/log10_w1")] == [1, 2]


def text(found: EventAccumulator, tag: str) -> str:
    (event,) = found.Tensors(f"{tag}/text_summary")
    return tensor_util.make_ndarray(event.tensor_proto).item().decode()


def test_config_provenance_and_result_as_text(events: EventAccumulator):
    assert text(events, "config") == "```yaml\nt_end: 1.0\nnetwork:\n  width: 16\n```"
    assert text(events, "provenance") == '```json\n{\n  "seed": 3\n}\n```'
    lines = text(events, "result").splitlines()
    assert "| status | completed |" in lines
    assert "| energy | -1.25 |" in lines
    assert not any("w2_error" in line for line in lines)


def test_the_layout_names_what_there_is(events: EventAccumulator):
    (event,) = events.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(tensor_util.make_ndarray(event.tensor_proto).item())
    charts = {category.title: list(category.chart) for category in layout.category}
    assert list(charts) == ["error", "free_energy", "steps"]  # of the columns of this run
    tags = {*events.Tags()["scalars"], "error/log10_w2_bound"}
    for chart in (chart for chapter in charts.values() for chart in chapter):
        (pattern,) = chart.multiline.tag  # one curve: those of a run have one colour
        assert [known for known in tags if re.match(pattern, known)] == [chart.title]


def test_figures_as_images(events: EventAccumulator):
    names = ["density", "map"]  # those of figures/, drawn once
    assert sorted(events.Tags()["images"]) == [f"figures/{name}" for name in names]
    for name in names:
        (shown,) = events.Images(f"figures/{name}")
        with Image.open(io.BytesIO(shown.encoded_image_string)) as picture:
            assert (picture.format, picture.size) == ("PNG", (600, 400))  # as small as it is shown
            assert (shown.width, shown.height) == picture.size
        assert shown.step == 10


def test_particles_as_histograms(events: EventAccumulator):
    assert events.Tags()["histograms"] == ["particles"]
    histograms = events.Histograms("particles")
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
            board.finish(run, Outcome(Status.completed, Result(steps=10), solution(), late(solution(), None)))
        board.close()
        monkeypatch.setattr("time.time", lambda: now() + 1000)
    found = read_events(tmp_path)
    assert len(list(tmp_path.glob("events*"))) == 2
    for name, sign in (("free_energy/total", -1), ("free_energy/lost", 1)):
        assert [event.step for event in found.Scalars(name)] == list(range(11))
        wanted = [sign * k / (7 if k < 5 else 70) for k in range(11)]
        assert [event.value for event in found.Scalars(name)] == pytest.approx(wanted)
        times = [event.wall_time for event in found.Scalars(name)]
        assert np.diff(times) == pytest.approx(0.1, abs=1e-5)
    assert [event.step for event in found.Scalars("error/log10_w1")] == [0, 5, 10]
    assert [event.step for event in found.Histograms("particles")] == [0, 5, 10]


def test_a_run_without_a_solution_still_leaves_its_result(tmp_path: Path):
    found = told(tmp_path, [], Outcome(Status.not_finite, Result(status="not_finite"), None))
    assert "not_finite" in text(found, "result")
    assert found.Tags()["images"] == []


def test_closing_without_a_start_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    TensorBoard().close()
    assert not list(tmp_path.iterdir())
