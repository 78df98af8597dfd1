"""Progress of a sweep: poll the job folders and print a line for every job that ends."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from wgf.sweep import job_folder as job
from wgf.sweep.collate import jobs

OVERRIDES = "overrides.yaml"
PERIOD = 0.5  # seconds between two looks


class Watch(threading.Thread):
    """Prints the jobs of a sweep that end. Jobs of an earlier sweep in the same folder do not count.

    Args:
        root: folder of the sweep.
        total: how many jobs there will be.

    Attributes:
        done: the folders of the jobs that have ended.
    """

    def __init__(self, root: Path, total: int) -> None:
        super().__init__(daemon=True)
        self.root, self._total = root, total
        self._over = threading.Event()
        self.done: set[Path] = set()
        marks = {folder: _mark(folder) for folder in jobs(root)}
        self._before = {folder: (path, _time(path)) for folder, path in marks.items()}

    def run(self) -> None:
        while not self._over.wait(PERIOD):
            self._look()

    def stop(self) -> None:
        """Print the jobs that ended since the last look, and end."""
        self._over.set()
        self.join()
        self._look()

    def _look(self) -> None:
        ended: list[tuple[Path, dict[str, Any]]] = []
        for folder in jobs(self.root):
            path, time = self._before.get(folder, (folder, -1))
            if folder in self.done or _time(path) == time:
                continue
            if path.name == OVERRIDES:  # it had finished before, and is not run again
                self.done.add(folder)
            elif (found := job.outcome(folder))["status"] not in ("running", "waiting", "killed"):
                ended.append((folder, found))
        for folder, found in ended:
            self.done.add(folder)
            place = folder.relative_to(self.root)
            print(f"{len(self.done)}/{self._total}  {_line(found)}  {place}", flush=True)


def _line(found: dict[str, Any]) -> str:
    """The outcome of a job in a few words."""
    if found["status"] != "completed":
        return f"{found['status']} ({found['message']})"
    w1 = found["w1_error"]
    return f"completed  {'' if w1 is None else f'W1 error={w1:.2e}  '}{found['wall_s']:.1f} s"


def _mark(folder: Path) -> Path:
    """The file of an earlier job that changes when the job is launched again, or, not finished, when it runs again."""
    if job.finished(folder):
        return folder / ".hydra" / OVERRIDES
    return next((path for name in ("result.json", job.RECORD) if (path := folder / name).exists()), folder / job.RECORD)


def _time(path: Path) -> int:
    """The time of the last change of a file; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
