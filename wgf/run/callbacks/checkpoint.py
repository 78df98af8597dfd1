"""Checkpoints: all that a run needs to resume, with a checksum. A checkpoint is on disk as a whole or not at all."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.files import write
from wgf.run.callbacks.base import Callback, Run
from wgf.settings.ranges import Count, checked

log = logging.getLogger("wgf")

FORMAT = 4
PLAIN = (float, int, bool, str, type(None))
SEAL = re.compile(rb"\nwgf checkpoint (\d+) sha256 ([0-9a-f]{64})\n\Z")
SEAL_LENGTH = 120  # bytes at the end that hold the seal


class Checkpoint(Callback):
    """Writes checkpoints/step-00001234.pt: content for torch.load(weights_only=True), then a line with its SHA-256.

    On a write failure the callback logs it; it tries to write the next checkpoint.

    Args:
        keep: number of newest checkpoints to keep.
    """

    @checked
    def __init__(self, keep: Count = 2) -> None:
        self.keep = keep
        self._failing = False

    def start(self, run: Run) -> None:
        self._folder = run.folder / "checkpoints"

    def checkpoint(self, state: dict[str, Any]) -> None:
        _check_plain(state, "state")
        step = state["step"]
        try:
            write(self._folder / f"step-{step:08d}.pt", sealed(state))
            # Files of later steps come from before the run was resumed at an earlier step.
            files = _files(self._folder)
            valid = [path for path in files if _step(path) <= step]
            for path in set(files) - set(valid[-self.keep :]):
                path.unlink(missing_ok=True)
        except OSError as error:
            if not self._failing:
                log.error("no checkpoint at step %d, the run tries again later: %s", step, error)
            self._failing = True
        else:
            if self._failing:
                log.info("writing checkpoints works again from step %d", step)
            self._failing = False


def sealed(state: dict[str, Any]) -> bytes:
    """Content of a checkpoint file: the state as torch saves it, the format version and a checksum."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    return content + f"\nwgf checkpoint {FORMAT} sha256 {hashlib.sha256(content).hexdigest()}\n".encode()


def unsealed(data: bytes) -> dict[str, Any]:
    """State from the content of a checkpoint file, tensors on the CPU. Checks the checksum before parsing.

    Raises:
        ValueError: this is not a checkpoint, or it is damaged.
        ConfigError: the checkpoint has another format.
    """
    seal = SEAL.search(data, max(0, len(data) - SEAL_LENGTH))
    if seal is None:
        raise ValueError("its end is missing")
    content = data[: seal.start()]
    if hashlib.sha256(content).hexdigest().encode() != seal[2]:
        raise ValueError("its checksum is wrong")
    if int(seal[1]) != FORMAT:
        raise ConfigError(f"its format is {int(seal[1])}, this version of wgf reads format {FORMAT}")
    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")


def latest(folder: Path) -> dict[str, Any] | None:
    """Newest readable checkpoint of a run; None if the run stopped before its first one.

    Args:
        folder: the folder of the run.

    Raises:
        ConfigError: there are checkpoints, but none is readable.
    """
    files = _files(folder / "checkpoints")
    reason = ""
    for path in reversed(files):
        try:
            return unsealed(path.read_bytes())
        except ConfigError as error:
            raise ConfigError(f"resume={folder} is from another version of wgf: {path.name}: {error}") from None
        except Exception as error:  # a damaged or malicious file can raise any exception
            reason = " ".join(str(error).split())
            log.warning("skipping %s, it is damaged: %s", path, reason)
    if not files:
        return None
    raise ConfigError(
        f"resume={folder}: none of its {len(files)} checkpoints can be read ({reason}); start a new run with the "
        "settings in its config.yaml"
    )


def _files(folder: Path) -> list[Path]:
    """Checkpoint files in a folder, oldest first."""
    return sorted((path for path in folder.glob("step-*.pt") if path.stem[5:].isdecimal()), key=_step)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _check_plain(value: Any, name: str) -> None:
    """Check that torch can load a value again; torch would save more types than it loads.

    Raises:
        TypeError: it cannot; with the name of the entry.
    """
    if isinstance(value, dict):
        for key, entry in value.items():
            _check_plain(key, f"key of {name}")
            _check_plain(entry, f"{name}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            _check_plain(entry, f"{name}[{index}]")
    elif not (isinstance(value, Tensor) or type(value) in PLAIN):
        raise TypeError(f"{name} is a {type(value).__name__}: expected a tensor, a number, a text, a list or a dict")
