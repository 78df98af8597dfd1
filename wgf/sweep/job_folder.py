"""The folder of a job: whether the job waits, runs or has ended, and the right to work on it.

A job locks its job.json for as long as it lives. A job that is marked as running and has no lock was killed, and two
launches never work on the same job at once.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from wgf.errors import ConfigError
from wgf.files import is_locked, locked
from wgf.run.data_files import changed, located
from wgf.settings.resume import differences, text_of

RECORD = "job.json"
EXPECTED = "ended as expected"
KEPT = (".hydra", RECORD, "run.log")  # files that stay when a job begins anew


class Claim:
    """The right to work on a job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self) -> bool:
        """Mark the job as running; returns whether it continues from a checkpoint. Otherwise old files are removed."""
        record = _result(self._folder) or _record(self._folder)
        stopped = record.get("status") in ("interrupted", "running")  # running: its process was killed
        resuming = stopped and any(self._folder.glob("checkpoints/*"))
        for path in self._folder.iterdir():
            if not resuming and path.name not in KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        host, process = platform.node(), os.getpid()
        worker = {"host": host, "process": process, "parent": os.getppid()}
        self.mark("running", f"on {host} as process {process} from {datetime.now(UTC):%F %T} UTC", worker)
        return resuming

    def mark(self, status: str, message: str, worker: dict[str, Any] | None = None) -> None:
        """Record the status of a job that has no result.json, and the process that works on it."""
        record = {"status": status, "message": message} | ({"worker": worker} if worker else {})
        with open(self._folder / RECORD, "r+", encoding="utf-8") as file:  # in place: the file is locked
            file.write(json.dumps(record))
            file.truncate()


@contextmanager
def when_free(folder: Path) -> Iterator[Claim]:
    """Work on a job alone for the duration of the block, after waiting for another process that works on it."""
    with locked(folder / RECORD, wait=True):
        yield Claim(folder)


def outcome(folder: Path) -> dict[str, Any]:
    """How a job ended: the content of its result.json, or else its status and the reason.

    The statuses beside those of a run: refused (impossible config), crashed (an exception), killed, running, waiting.
    """
    if result := _result(folder):
        return result
    record, free = _record(folder), not is_locked(folder / RECORD)
    if not record:
        return _single_run(folder)
    if record["status"] == "running" and free:
        return {"status": "killed", "message": f"its process left no result: it ran {record['message']}"}
    return {"status": record["status"], "message": record["message"]}


def _single_run(folder: Path) -> dict[str, str]:
    """Status of a run outside a sweep without a result, or of a job before it began."""
    if not (folder / "provenance.json").exists():
        return {"status": "waiting", "message": "not begun"}
    if is_locked(folder):
        return {"status": "running", "message": ""}
    return {"status": "killed", "message": "its process left no result"}


def _result(folder: Path) -> dict[str, Any]:
    """The content of result.json; empty where there is none."""
    path = folder / "result.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _record(folder: Path) -> dict[str, Any]:
    """The content of job.json; empty before the job began."""
    path = folder / RECORD
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        return json.loads(text) if text else {}
    except ValueError:  # killed while it wrote
        return {"status": "running", "message": ""}


def worker(folder: Path, parent: int) -> int | None:
    """The process that works on a job now, where it is a child of `parent` on this machine; else None."""
    found = _record(folder).get("worker", {})
    ours = found.get("host") == platform.node() and found.get("parent") == parent
    return found["process"] if ours and is_locked(folder / RECORD) else None


def finished(folder: Path) -> bool:
    """Whether nothing is left to do: the job completed or ended as its config expects, and all is saved."""
    found = outcome(folder)
    ended = found["status"] in ("completed", "steady") or _record(folder).get("status") == EXPECTED
    return ended and "unsaved" not in found


def check_same(folder: Path, cfg: DictConfig) -> None:
    """Check that a folder holds no run of another config or of other data.

    Raises:
        ConfigError: it does; the line says which setting differs.
    """
    path = folder / "config.yaml"
    if path.exists():
        cfg = located(cfg)
        found = differences(path.read_text(encoding="utf-8"), text_of(cfg))
        if not found:
            found = [f"{key} has other content" for key in changed(_data(folder), cfg)]
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            raise ConfigError(
                f"{folder} holds a run of another config ({found[0]}{more}): choose another folder with "
                "hydra.sweep.dir=... or remove it"
            )


def _data(folder: Path) -> dict[str, str]:
    """SHA-256 of the data files with which the run in a folder began, by key; empty if unknown."""
    try:
        return dict(json.loads((folder / "provenance.json").read_text(encoding="utf-8")).get("data", {}))
    except (OSError, ValueError):
        return {}


def objective(result: dict[str, Any], formula: str) -> float:
    """The number a search minimizes: a product of numbers of a result, such as `w1_error*evaluations`.

    Infinite for a job that did not complete or lacks one of them.
    """
    numbers = [result.get(name.strip()) for name in formula.split("*")]
    if result["status"] != "completed" or not all(isinstance(number, (int, float)) for number in numbers):
        return math.inf
    return math.prod(numbers)  # type: ignore[arg-type]
