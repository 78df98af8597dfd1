"""history.csv: what is written can be read back, whatever happens to the disk."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_folders
from callback_events import COLUMNS, record, row

from wgf.integrators.status import Status
from wgf.result import Result
from wgf.run.callbacks.base import Outcome
from wgf.run.callbacks.history import History, read


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
    found = run_folders.history(tmp_path)
    assert list(found[0]) == COLUMNS
    for line, wanted in zip(found, rows, strict=True):
        assert {key: None if text == "" else float(text) for key, text in line.items()} == wanted
    assert found[1]["step"] == "7"  # a whole number stays one
    write(tmp_path, row(0))  # a new run starts empty
    assert len(run_folders.history(tmp_path)) == 1


def test_history_is_on_the_disk_at_once(tmp_path: Path):
    history = History()
    history.start(record(tmp_path))
    history.row(row(0))
    assert len(run_folders.history(tmp_path)) == 1
    history.row(row(1))
    assert len(run_folders.history(tmp_path)) == 2
    history.close()


def test_history_goes_on_where_a_resumed_run_does(tmp_path: Path):
    write(tmp_path, row(0), row(1), row(2), row(3))
    with open(tmp_path / "history.csv", "a") as file:
        file.write("4,0.4,-1")  # killed in the middle of a line
    write(tmp_path, row(2, w1_error=9.0), row(3), kept=2)
    found = [(line["step"], line["w1_error"]) for line in run_folders.history(tmp_path)]
    assert found == [("0", ""), ("1", ""), ("2", "9.0"), ("3", "")]


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
    assert [line["step"] for line in run_folders.history(tmp_path)] == [*kept, "3"]


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
    assert [line["step"] for line in run_folders.history(tmp_path)] == ["0"]
    assert (tmp_path / "history.csv").read_bytes().endswith(b"\n")


def test_a_history_whose_folder_is_removed_comes_back(tmp_path: Path):
    folder = tmp_path / "run"
    history = History()
    history.start(record(folder))
    history.row(row(0))
    shutil.rmtree(folder)
    history.row(row(1))
    history.finish(record(folder), Outcome(Status.completed, Result(), None))
    history.close()
    assert [line["step"] for line in run_folders.history(folder)] == ["0", "1"]
