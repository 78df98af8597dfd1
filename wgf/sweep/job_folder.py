"""One job of a sweep as its folder tells: whether it runs, how it ended, what a sweeper hears of it.

A job holds a lock on its job.json for as long as it lives, so a job that is marked as running and holds no lock was
killed, whoever asks, and two launches never work on the same job at once.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig, OmegaConf

from wgf import files
from wgf.errors import ConfigError
from wgf.settings.resume import differences

log = logging.getLogger("wgf")

RECORD = "job.json"
EXPECTED = "ended as expected"
KEPT = (".hydra", RECORD, "run.log")  # by a job that is tried again


class Claim:
    """The right to work on a job."""

    def __init__(self, folder: Path, file: IO[str]) -> None:
        self._folder, self._file = folder, file
        self._killed = not (folder / "result.json").exists() and _record(folder).get("status") == "running"

    def begin(self) -> bool:
        """Mark the job as running; returns whether it goes on from a checkpoint, else what was left is taken away."""
        resuming = outcome(self._folder)["status"] == "interrupted" or self._killed
        resuming &= any(self._folder.glob("checkpoints/*"))
        for path in self._folder.iterdir():
            if not resuming and path.name not in KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.mark("running", f"on {platform.node()} as process {os.getpid()} from {datetime.now(UTC):%F %T} UTC")
        return resuming

    def mark(self, status: str, message: str) -> None:
        """Say how it is with a job that has no result.json."""
        self._file.seek(0)
        self._file.truncate()
        json.dump({"status": status, "message": message}, self._file)
        self._file.flush()


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Work on a job alone; waits for a process that already does."""
    with open(folder / RECORD, "a+", encoding="utf-8") as file:
        _lock(file, wait=True)
        yield Claim(folder, file)


def _lock(file: IO[str], wait: bool) -> bool:
    """Whether the lock was free. Where there are no locks (some file systems of clusters) it counts as free: then a
    job that runs looks killed, and nobody may launch the same sweep twice at once."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass
    return True


def outcome(folder: Path) -> dict[str, Any]:
    """How a job ended: the content of its result.json, else its status and the reason.

    The statuses beside those of a run: refused (impossible config), crashed (an exception), killed, running, waiting.
    """
    if (folder / "result.json").exists():
        return json.loads((folder / "result.json").read_text(encoding="utf-8"))
    found, free = _record(folder), not _at_work(folder)
    if not found:
        return _alone(folder)
    if found["status"] == "running" and free:
        return {"status": "killed", "message": f"its process left no result: it ran {found['message']}"}
    return found


def _alone(folder: Path) -> dict[str, str]:
    """The same for a run outside a sweep, or a job before it began."""
    if not (folder / "provenance.json").exists():
        return {"status": "waiting", "message": "not begun"}
    try:
        with files.claimed(folder):
            return {"status": "killed", "message": "its process left no result"}
    except ConfigError:
        return {"status": "running", "message": ""}


def _record(folder: Path) -> dict[str, str]:
    """What a job has written about itself; nothing before it began."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:  # killed while it wrote
        return {"status": "running", "message": ""}


def _at_work(folder: Path) -> bool:
    """Whether a process holds the lock of a job."""
    try:
        with open(folder / RECORD, encoding="utf-8") as file:
            return not _lock(file, wait=False)
    except FileNotFoundError:
        return False


def finished(folder: Path) -> bool:
    """Whether there is nothing left to do: the job completed or ended as its config expects, and all is saved."""
    found = outcome(folder)
    ended = found["status"] == "completed" or _record(folder).get("status") == EXPECTED
    return ended and "unsaved" not in found


def check_same(folder: Path, cfg: DictConfig) -> None:
    """A job goes on only where the same job was before.

    Raises:
        ConfigError: the folder holds a run of another config; says which settings differ.
    """
    path = folder / "config.yaml"
    if path.exists():
        found = differences(path.read_text(encoding="utf-8"), OmegaConf.to_yaml(cfg, resolve=True))
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            raise ConfigError(
                f"{folder} holds a run of another config ({found[0]}{more}): choose another folder with "
                "hydra.sweep.dir=... or remove it"
            )


def objective(result: dict[str, Any], formula: str) -> float:
    """What a sweeper makes small: a product of figures, such as `w1_error*evaluations`.

    Infinite for a job that did not complete or lacks one of them, which a search survives and avoids.
    """
    figures = [result.get(name.strip()) for name in formula.split("*")]
    if result["status"] != "completed" or not all(isinstance(figure, (int, float)) for figure in figures):
        return math.inf
    return math.prod(figures)  # type: ignore[arg-type]
