"""Progress of a sweep: poll the job folders and print a line for every job that ends."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from wgf.sweep import job_folder as job
from wgf.sweep.collate import jobs

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
        self._seen = {folder: _stamp(folder) for folder in jobs(root)}
        self._finished = {folder: _launched(folder) for folder in self._seen if job.finished(folder)}

    def run(self) -> None:
        while not self._over.wait(PERIOD):
            self._look()

    def stop(self) -> None:
        """Print the jobs that ended since the last look, and end."""
        self._over.set()
        self.join()
        self._look()

    def _look(self) -> None:
        for folder in [folder for folder, when in self._finished.items() if _launched(folder) != when]:
            del self._finished[folder]  # launched again, as by a search
            self.done.add(folder)
        for folder in jobs(self.root):
            stamp = _stamp(folder)
            if stamp == self._seen.get(folder):
                continue
            found = job.outcome(folder)
            if found["status"] not in ("running", "waiting", "killed"):
                self._seen[folder] = stamp
                self.done.add(folder)  # a job that is killed and tried again ends twice
                print(f"{len(self.done)}/{self._total}  {_line(found)}  {folder.relative_to(self.root)}", flush=True)


def _line(found: dict[str, Any]) -> str:
    """The outcome of a job in a few words."""
    if found["status"] != "completed":
        return f"{found['status']} ({found['message']})"
    w1 = found["w1_error"]
    return f"completed  {'' if w1 is None else f'W1 error={w1:.2e}  '}{found['wall_s']:.1f} s"


def _launched(folder: Path) -> int:
    """A number that changes when a job is launched."""
    path = folder / ".hydra" / "overrides.yaml"
    return path.stat().st_mtime_ns if path.exists() else 0


def _stamp(folder: Path) -> int:
    """A number that changes when a job ends."""
    for name in ("result.json", job.RECORD):
        if (folder / name).exists():
            return (folder / name).stat().st_mtime_ns
    return 0
