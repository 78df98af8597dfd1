"""Progress of a sweep, read from the job folders: a line for every job that ends, and on a terminal a live table."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from wgf.settings.flat import label
from wgf.sweep import job_folder as job
from wgf.sweep import orders
from wgf.sweep.collate import jobs, overrides

OVERRIDES = "overrides.yaml"
CONFIG = "config.yaml"  # a job writes it when all is loaded and its work begins
PERIOD = 0.5  # seconds between two looks
RUNNING = 6  # running jobs in the live table at most


class Watch:
    """A thread that prints the jobs of a sweep that end, and on a terminal what runs, the time left and the best job.

    Jobs of an earlier sweep in the same folder do not count.

    Args:
        root: folder of the sweep.
        total: how many jobs there will be.
        axes: the settings that vary.

    Attributes:
        done: the folders of the jobs that have ended.
    """

    def __init__(self, root: Path, total: int, axes: Sequence[str] = ()) -> None:
        self.root, self._total, self._axes = root, total, axes
        self._over = threading.Event()
        self.done: set[Path] = set()
        self._ended = self._failed = 0  # jobs of this launch
        self._best: tuple[float, str] | None = None
        self._begin = time.time()
        self._first = self._last = math.inf  # when a job of this launch first began its work, and when one last ended
        self._console = Console()
        marks = {folder: _mark(folder) for folder in jobs(root)}
        self._before = {folder: (path, _time(path)) for folder, path in marks.items()}

    def start(self) -> None:
        """Begin to look."""
        self._over.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Without the thread for the duration of the block."""
        self._join()
        yield
        self.start()

    def _join(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        terminal = self._console.is_terminal
        with Live(console=self._console, transient=True, redirect_stderr=False) if terminal else nullcontext() as live:
            while not self._over.wait(PERIOD):
                running = self._look()
                if live is not None:
                    live.update(self.table(running))

    def stop(self) -> None:
        """Print the jobs that ended since the last look, and end."""
        self._join()
        self._look()

    def _look(self) -> list[Path]:
        """Print the jobs that have ended; returns those that run."""
        ended: list[tuple[Path, dict[str, Any]]] = []
        running = []
        for folder in jobs(self.root):
            path, time = self._before.get(folder, (folder, -1))
            if folder in self.done or _time(path) == time:
                continue
            if (since := _time(folder / CONFIG) / 1e9) >= self._begin:
                self._first = min(self._first, since)
            if path.name == OVERRIDES:  # it had finished before, and is not run again
                self.done.add(folder)
            elif (found := job.outcome(folder))["status"] not in ("running", "waiting", "killed"):
                ended.append((folder, found))
            elif found["status"] == "running":
                running.append(folder)
        for folder, found in ended:
            self.done.add(folder)
            self._count(folder, found)
            place = folder.relative_to(self.root)
            line = f"{len(self.done)}/{self._total}  {_line(found)}  {place}"
            self._console.print(line, soft_wrap=True, markup=False, highlight=False)
        return running

    def _count(self, folder: Path, found: dict[str, Any]) -> None:
        self._ended, self._last = self._ended + 1, time.time()
        self._failed += not job.finished(folder)
        error = found.get("w1_error") if found["status"] == "completed" else None
        if error is not None and orders.comparable(self._axes) and (self._best is None or error < self._best[0]):
            self._best = error, self._label(folder)

    def _label(self, folder: Path) -> str:
        return label(overrides(folder), self._axes) or folder.relative_to(self.root).as_posix()

    def _left(self) -> float | None:
        """Seconds left at the pace so far, without the time in which the workers were loading; None if unknown.

        A job that takes longer than the pace is expected to take as long again.
        """
        if not self._ended or self._first > self._last:
            return None
        pace, waited = (self._last - self._first) / self._ended, time.time() - self._last
        rest = self._total - len(self.done)
        return max(pace * rest - waited, waited) if rest else 0.0

    def table(self, running: Sequence[Path]) -> Table:
        """What stands below the lines on a terminal."""
        since, left = time.time() - self._begin, self._left()
        best = "" if self._best is None else f"W1 error {self._best[0]:.2e}: {self._best[1]}"
        names = [self._label(folder) for folder in running[:RUNNING]]
        more = len(running) - len(names)
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")  # no letter is lost on a narrow terminal
        table.add_row("jobs", f"{len(self.done)} of {self._total} done, {self._failed} failed, {len(running)} running")
        table.add_row("time", f"{_clock(since)}, " + ("left unknown" if left is None else f"about {_clock(left)} left"))
        table.add_row("runs", "; ".join(names) + (f"; {more} more" if more else ""))
        table.add_row("best", best)
        return table


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


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
