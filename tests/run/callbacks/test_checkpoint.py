"""Checkpoints: whole or not there, loadable without running code."""

import errno
import hashlib
import io
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from callback_events import record, state
from hypothesis import given
from hypothesis import strategies as st

from wgf.errors import ConfigError
from wgf.integrators.status import Status
from wgf.run.callbacks import checkpoint as checkpoints
from wgf.run.callbacks.checkpoint import FORMAT, Checkpoint, latest, sealed, unsealed


def save(folder: Path, *states: dict[str, Any], keep: int = 2) -> None:
    checkpoint = Checkpoint(keep)
    checkpoint.start(record(folder))
    for entry in states:
        checkpoint.checkpoint(entry)
    checkpoint.close()


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
    assert latest(tmp_path) is None
    save(tmp_path, *(state(step) for step in (0, 9, 10, 200, 1_000_000_000)), keep=keep)
    names = ["step-00000010.pt", "step-00000200.pt", "step-1000000000.pt"]
    assert files(tmp_path) == names[-keep:]
    assert latest(tmp_path)["step"] == 1_000_000_000
    with pytest.raises(ConfigError, match="keep=0"):
        Checkpoint(keep=0)


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
    assert "step-00000002.pt, it is damaged: its end is missing" in caplog.text


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
    assert line.startswith("no checkpoint at step 2, the run tries again later: [Errno 28] No space left on device")
    assert "step-00000002.pt" in line


@pytest.mark.parametrize(("bad", "place"), [(np.float64(1.0), "t"), (Status.folded, "status"), ([[{1}]], "deep")])
def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path, bad: Any, place: str):
    with pytest.raises(TypeError, match=place):
        save(tmp_path, state(3) | {place: bad})
    assert not (tmp_path / "checkpoints").exists()
