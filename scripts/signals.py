"""Stop sweeps of long jobs by signals at random times, and check that no work, no job and no process is lost.

    python scripts/signals.py [COUNT] [SEED] [--docs]

Ctrl-C is SIGINT to every process of a terminal, SIGTERM goes to the command alone; COUNT (24) signals of either kind.
Grids and searches with the launchers `parallel` (joblib), `basic` and `ensemble` (forks) take turns. A signal comes at
a random time after the sweep has made its folder, up to twice the time until its first step. Then

    every job that has begun is interrupted, with a checkpoint of the state in its result if it has taken a step,
    every job is counted in the table, no job is left running or killed,
    no process of the sweep lives on, and the command ends within 20 seconds, with status 128 + n.

The exit status is 1 if anything is missed; `--docs` writes the table into docs/robustness.md.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from wgf.run.callbacks.checkpoint import latest
from wgf.sweep.collate import jobs
from wgf.sweep.job_folder import outcome

PAGE = Path(__file__).parents[1] / "docs" / "robustness.md"
MARKS = "<!-- signals: begin -->\n", "<!-- signals: end -->\n"
MARKER = "WGF_SIGNALS"  # variable in the environment of all processes of a sweep
LIMIT = 20.0  # seconds from the signal to the end
COMMAND = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from wgf.cli import main; main()"
JOBS = ["integrator=euler", "integrator.dt=1e-6", "t_end=1", "saves=1", "figures=false", "logger=none"]
LONG = [*JOBS, "reference_solution=none", "engine=torch", "hydra.sweep.dir=s"]
SWEEPS = {
    "grid": ["network.width=4,5,6,7"],
    "search": ["hydra/sweeper=search", "hydra.sweeper.n_trials=4", "network.width=range(4,9)", "objective=evaluations"],
}
LAUNCHERS = {
    "parallel": ["hydra.launcher.n_jobs=2"],
    "basic": ["hydra/launcher=basic"],
    "ensemble": ["hydra/launcher=ensemble", "hydra.launcher.n_jobs=2"],
}


class Trial(NamedTuple):
    """What a signal did.

    Attributes:
        statuses: the jobs by their status.
        stepped: jobs that had taken a step.
        seconds: from the signal to the end of the command and of all its processes.
        misses: what went wrong.
    """

    statuses: Counter[str]
    stepped: int
    seconds: float
    misses: list[str]


class Sweep:
    """A sweep in a new folder, in a process group of its own."""

    def __init__(self, kind: str, launcher: str) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="signals"))
        self.root = self.place / "s"
        self._out = (self.place / "out").open("w+")
        self._err = (self.place / "err").open("w+")
        words = ["-m", *LONG, *SWEEPS[kind], *LAUNCHERS[launcher]]
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words],
            cwd=self.place,
            env=os.environ | {MARKER: self.place.name},
            start_new_session=True,
            stdout=self._out,
            stderr=self._err,
        )

    def signal(self, number: signal.Signals) -> None:
        """Ctrl-C reaches all processes, SIGTERM the command."""
        (os.killpg if number == signal.SIGINT else os.kill)(self.process.pid, number)

    def said(self) -> tuple[str, str]:
        """Its output so far."""
        return (self.place / "out").read_text(), (self.place / "err").read_text()

    def has_stepped(self) -> bool:
        """Whether a job has taken a step."""
        return any(self.root.glob("*/checkpoints/*.pt"))

    def remove(self) -> None:
        """Kill what is left, and remove the folder."""
        for process in processes(self.place.name):
            os.kill(process, signal.SIGKILL)
        shutil.rmtree(self.place)


def processes(mark: str) -> list[int]:
    """The processes alive whose environment has this mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            lives = path.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
            if lives and f"{MARKER}={mark}".encode() in path.joinpath("environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:  # of another user, or ended
            continue
    return found


def after(happened: Callable[[], bool]) -> float:
    """Wait until something has happened; returns the time then (s)."""
    while not happened():
        time.sleep(0.01)
    return time.monotonic()


def trial(kind: str, launcher: str, number: signal.Signals, delay: float) -> Trial:
    """Send a signal so many seconds after a sweep has made its folder."""
    sweep = Sweep(kind, launcher)
    try:
        after(sweep.root.exists)
        time.sleep(delay)
        sweep.signal(number)
        begin = time.monotonic()
        code = None
        while time.monotonic() < begin + 1.5 * LIMIT and (code is None or processes(sweep.place.name)):
            code = sweep.process.poll()
            time.sleep(0.02)
        seconds = time.monotonic() - begin
        misses = list(missed(sweep, number, code, seconds))
        found = jobs(sweep.root)
        counts = Counter(outcome(folder)["status"] for folder in found)
        if misses:
            print(*sweep.said(), sep="\n", flush=True)
        return Trial(counts, sum(any(folder.glob("checkpoints/*.pt")) for folder in found), seconds, misses)
    finally:
        sweep.remove()


def missed(sweep: Sweep, number: signal.Signals, code: int | None, seconds: float) -> Iterator[str]:
    """What went wrong."""
    if seconds > LIMIT:
        yield f"it took {seconds:.0f} s"
    if alive := processes(sweep.place.name):
        yield f"{len(alive)} processes live on"
    found = jobs(sweep.root)
    if code != 128 + number:
        yield f"exit status {code}"
    out, err = sweep.said()
    if "Traceback" in err:
        yield "a traceback"
    table = sweep.root / "results.csv"
    rows = list(csv.DictReader(table.open())) if table.exists() else []
    if {row["job"] for row in rows} != {folder.relative_to(sweep.root).as_posix() for folder in found}:
        yield f"the table has {len(rows)} rows for {len(found)} jobs"
    counted = re.search(r"^(\d+) jobs: ", out, re.MULTILINE)
    if found and (counted is None or int(counted[1]) < len(found)):
        yield "the jobs are not counted"
    for folder in found:
        end = outcome(folder)
        if end["status"] not in ("interrupted", "waiting"):
            yield f"{folder.name} is {end['status']}"
        elif end["status"] == "interrupted" and "t_end" in end:
            state = latest(folder)
            if state is None or state["clock"]["t"] != end["t_end"]:
                yield f"{folder.name} has no checkpoint of its end"
        elif any(folder.glob("checkpoints/*")):
            yield f"{folder.name} has taken steps and has no result"


def table(found: dict[tuple[str, str, str], list[Trial]]) -> Iterator[str]:
    """Rows by signal, kind of sweep and launcher."""
    heads = (
        "signal",
        "sweep",
        "launcher",
        "sweeps",
        "jobs that stepped",
        "interrupted",
        "other",
        "missed",
        "slowest end",
    )
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for key, trials in found.items():
        counts = sum((one.statuses for one in trials), Counter[str]())
        cells = (
            len(trials),
            sum(one.stepped for one in trials),
            counts.pop("interrupted", 0),
            ", ".join(f"{count} {name}" for name, count in counts.items()) or 0,
            sum(bool(one.misses) for one in trials),
            f"{max(one.seconds for one in trials):.1f} s",
        )
        yield f"| {' | '.join(map(str, (*key, *cells)))} |"


def main() -> int:
    """Write the table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=24, help="number of signals of either kind")
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--docs", action="store_true", help="write the table into docs/robustness.md")
    args = parser.parse_args()
    random.seed(args.seed)
    spans = {}
    for launcher in LAUNCHERS:
        sweep = Sweep("grid", launcher)
        begin = after(sweep.root.exists)
        spans[launcher] = 2 * (after(sweep.has_stepped) - begin)
        sweep.remove()
    found: dict[tuple[str, str, str], list[Trial]] = {}
    for k in range(2 * args.count):
        number = (signal.SIGINT, signal.SIGTERM)[k % 2]
        kind, launcher = list(SWEEPS)[k // 2 % 2], list(LAUNCHERS)[k // 4 % len(LAUNCHERS)]
        delay = random.uniform(0, spans[launcher])
        one = trial(kind, launcher, number, delay)
        found.setdefault((number.name, kind, launcher), []).append(one)
        said = "; ".join(one.misses) or "as promised"
        print(f"{number.name} {kind} {launcher} at {delay:.2f} s: {dict(one.statuses)}, {said}", flush=True)
    text = "\n".join(table(dict(sorted(found.items())))) + "\n"
    print(text)
    if args.docs:
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition(MARKS[0])
        words = f"`python scripts/signals.py {args.count} {args.seed}`\n\n"
        PAGE.write_text(head + MARKS[0] + words + text + MARKS[1] + rest.partition(MARKS[1])[2], encoding="utf-8")
    return int(any(one.misses for trials in found.values() for one in trials))


if __name__ == "__main__":
    sys.exit(main())
