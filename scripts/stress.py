"""Run random valid problems to their end and judge every number of their results.

    python scripts/stress.py --count 2000 --out stress.jsonl        the same command again continues after a stop
    python scripts/stress.py --count 2000 --out stress.jsonl --docs write the tables into docs/robustness.md
    python scripts/stress.py --count 2000 --out stress.jsonl --again  solve anew what failed: last rows count
    python scripts/stress.py --family walls --count 200             between walls and on circles
    python scripts/stress.py --family custom --count 200            moving potentials, tables of V, kernels by formula
    python scripts/stress.py --family narrow --count 200            potentials with a narrow well or peak
    python scripts/stress.py --family adaptive --count 200          breakpoints that follow the solution
    python scripts/stress.py --count 200 --add engine=compiled      the same problems with settings of your own

Problem number k depends on (seed, k) alone. It is drawn from all equations, potentials (also random expressions with
kinks), laws, networks, quadratures, solvers, integrators and precisions, short and long times. It runs like every run
of `wgf`; its files go to a temporary folder. Judges that share nothing with wgf (closed forms, finite elements,
particles of equal mass, other quadratures) say what each number should be, and a similar problem (shifted, reflected,
other units of length or time) is solved to see whether the numbers follow. A number is false if it is further off than
the result itself states, and fails unless the result doubts it. Exit status 1 says that there is a crash, a hang or a
false number.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import random_problems
import torch
from random_problems.solve import Source, problem, problem_of
from random_problems.table import FAULTS, by_number, by_status, false_numbers, unjudged

from wgf.run.provenance import git_commit

CPU, WALL = 600, 3600  # a problem, with all that its judges run, that takes longer hangs (s)
DOCS = Path(__file__).parents[1] / "docs" / "robustness.md"
MARKS = "<!-- stress: begin -->\n", "<!-- stress: end -->\n"

__all__ = ["problem_of", "random_problems"]


def worker(source: Source, pipe: Any) -> None:
    """Solve the problems whose numbers come through a pipe, until None comes."""
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (k := pipe.recv()) is not None:
        pipe.send(problem(source, k))


class Worker:
    """A process that solves one problem after the other and is killed if a problem hangs."""

    def __init__(self, source: Source) -> None:
        self.pipe, other_end = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=worker, args=(source, other_end), daemon=True)
        self.process.start()
        self.source, self.k, self.since, self.cpu = source, -1, 0.0, 0.0

    def begin(self, k: int) -> None:
        """Start problem number k."""
        self.k, self.since, self.cpu = k, time.monotonic(), self._cpu()
        self.pipe.send(k)

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _lost(self) -> dict[str, Any]:
        return self.source.head(self.k, self.source.drawn(self.k)[1])

    def answer(self) -> dict[str, Any] | None:
        """The row of the problem, or None while it runs."""
        if self.pipe.poll():
            return self.pipe.recv()
        if not self.process.is_alive():
            return self._lost() | {"status": "crash", "message": f"exit status {self.process.exitcode}"}
        if self._cpu() - self.cpu > CPU or time.monotonic() - self.since > WALL:
            self.process.kill()
            self.process.join()
            return self._lost() | {"status": "hang", "message": f"more than {CPU} s"}
        return None


def failed(row: dict[str, Any]) -> bool:
    """Whether a problem crashed, hung, or has a false number without a doubt."""
    return row["status"] in FAULTS or bool(false_numbers(row))


def run(numbers: Iterable[int], source: Source, jobs: int, out: Path, again: bool = False) -> None:
    """Solve every problem whose row is not yet in `out`, or which failed if `again`, and append the rows."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    done = {row["k"] for row in rows(out) if not (again and failed(row))}
    code = (git_commit() or "")[:7]
    remaining = [k for k in numbers if k not in done][::-1]
    workers: list[Worker] = []
    with open(out, "a") as file:
        try:
            while remaining or workers:
                while remaining and len(workers) < jobs:
                    workers.append(Worker(source))
                    workers[-1].begin(remaining.pop())
                for solver in list(workers):
                    if (row := solver.answer()) is None:
                        continue
                    file.write(json.dumps(row | {"code": code}) + "\n")
                    file.flush()
                    if not solver.process.is_alive() or not remaining:
                        solver.process.kill()
                        workers.remove(solver)
                    else:
                        solver.begin(remaining.pop())
                time.sleep(0.02)
        finally:
            for solver in workers:  # a flow takes SIGTERM for its own interruption
                solver.process.kill()


def rows(out: Path) -> list[dict[str, Any]]:
    """The last row of each problem in a file; none if it does not exist."""
    found = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    return [*{row["k"]: row for row in found}.values()]


def report(solved: list[dict[str, Any]], seed: int) -> str:
    """The tables, with the seed, the number of problems, their time and the commits of their code."""
    hours = sum(row.get("cpu", CPU) for row in solved) / 3600
    commits = Counter(row.get("code") or "unknown" for row in solved)
    code = ", ".join(f"{name} ({count})" for name, count in commits.items())
    head = f"{len(solved)} problems of seed {seed}, {hours:.1f} hours of one core, at {code}:"
    return "\n\n".join(filter(None, (head, by_status(solved), by_number(solved), unjudged(solved)))) + "\n"


def written(text: str, path: Path) -> None:
    """Put the tables between the marks of a page."""
    page = path.read_text()
    before, rest = page.split(MARKS[0])
    path.write_text(before + MARKS[0] + text + MARKS[1] + rest.split(MARKS[1])[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first problem")
    families = ["line", "narrow", "adaptive", "walls", "custom"]
    parser.add_argument("--family", choices=families, default="line", help="what is drawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("stress.jsonl"))
    parser.add_argument("--docs", action="store_true", help=f"write the tables into {DOCS.name}")
    parser.add_argument("--again", action="store_true", help="solve problems anew that crashed, hung or were false")
    parser.add_argument("--only", type=int, help="run the problem of this number in this process and print its row")
    parser.add_argument("--add", nargs="*", default=[], help="settings of every problem, such as engine=compiled")
    args = parser.parse_args()
    source = Source(args.seed, args.family, dict(word.split("=", 1) for word in args.add))
    if args.only is not None:
        print(json.dumps(problem(source, args.only), indent=1))
        return
    numbers = list(range(args.first, args.first + args.count))
    run(numbers, source, args.jobs, args.out, args.again)
    solved = [row for row in rows(args.out) if row["k"] in set(numbers)]
    print(text := report(solved, args.seed))
    if args.docs:
        written(text, DOCS)
    bad = [row for row in solved if failed(row)]
    for row in bad:
        print(json.dumps({**row, "verdicts": false_numbers(row)}))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
