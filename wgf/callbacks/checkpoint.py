"""Checkpoints: the state of the loop at the saved times, on the disk whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wgf.callbacks.base import Callback, Run
from wgf.errors import ConfigError
from wgf.files import replacing
from wgf.ranges import Count, checked

log = logging.getLogger("wgf")

PLAIN = (float, int, bool, str, type(None))


class Checkpoint(Callback):
    """checkpoints/step-00001234.pt, which torch.load(weights_only=True) reads.

    Args:
        keep: how many of the newest are kept.
    """

    @checked
    def __init__(self, keep: Count = 2) -> None:
        self.keep = keep

    def start(self, run: Run) -> None:
        self._folder = run.folder / "checkpoints"

    def checkpoint(self, state: dict[str, Any]) -> None:
        _check_plain(state, "state")
        step = state["step"]
        with replacing(self._folder / f"step-{step:08d}.pt") as file:
            torch.save(state, file)
        # Files of later steps are what a run left that was resumed from before them.
        files = _files(self._folder)
        valid = [path for path in files if _step(path) <= step]
        for path in set(files) - set(valid[-self.keep :]):
            path.unlink(missing_ok=True)


def latest(folder: Path) -> dict[str, Any]:
    """The newest state of a run that can be read, its tensors on the CPU.

    Args:
        folder: the folder of the run.

    Raises:
        ConfigError: none can be read.
    """
    for path in reversed(_files(folder / "checkpoints")):
        try:
            return torch.load(path, weights_only=True, map_location="cpu")
        except Exception as error:  # a damaged file fails in as many ways as there are bytes
            log.warning("%s is damaged and skipped: %s", path, " ".join(str(error).split())[:200])
    raise ConfigError(
        f"resume={folder}: nothing to go on from, expected the folder of a run with checkpoints/step-*.pt"
    )


def _files(folder: Path) -> list[Path]:
    """Its checkpoints, oldest first."""
    return sorted(folder.glob("step-*.pt"), key=_step)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _check_plain(value: Any, name: str) -> None:
    """Refuse at once what torch would save but refuse to load.

    Raises:
        TypeError: with the name of the entry.
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
