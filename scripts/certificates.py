"""Write all numbers of docs/certificates.md: how close the bounds of the W2 error are, and what they cost.

    python scripts/certificates.py                all tables: half an hour of one core
    python scripts/certificates.py --count 2000   with more random problems

Random problems with a row in the file --out are not judged again. Problem number k depends on (seed, k) alone. The exit
status is 1 if a bound lies below an error.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import traceback
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import random_problems
import torch
from bounds import cases, costs, draw, judge, summary
from bounds.judge import Judged, judged

from wgf.api import Incomplete
from wgf.run.provenance import git_commit

PAGE = Path(__file__).parents[1] / "docs" / "certificates.md"
TABLES = "costs", "cases", "random"

__all__ = ["draw", "judge", "random_problems"]


def judge_all(count: int, seed: int, out: Path) -> tuple[list[Judged], float]:
    """Judge so many random problems, except those with a row in `out`, to which it appends the others; and the CPU time
    that all of them took (s)."""
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    found = {row["k"]: row for row in rows if row["seed"] == seed and row["k"] < count}
    with out.open("a") as file:
        for k in range(count):
            if k in found:
                continue
            start = time.process_time()
            try:
                row = judged(seed, k)
            except Exception:
                row = Judged(k, "crash", "spline", f"crash: {traceback.format_exc()}")
            seconds = time.process_time() - start
            found[k] = {"seed": seed, "k": k, "code": git_commit(), "seconds": seconds, "judged": asdict(row)}
            print(json.dumps(found[k]), file=file, flush=True)
    ordered = [found[k] for k in range(count)]
    return [Judged(**row["judged"]) for row in ordered], sum(row["seconds"] for row in ordered)


def random(count: int, seed: int, out: Path) -> tuple[list[str], bool]:
    """Both tables of random problems, and whether all bounds hold."""
    found, seconds = judge_all(count, seed, out)
    for row in found:
        if row.is_false:
            print(f"false: {row}", flush=True)
    head = f"{count} problems of seed {seed}, {seconds / 60:.0f} minutes of one core:"
    tables = [*summary.closeness(found), "", summary.costly(found), "", *summary.reasons(found)]
    return [head, "", *tables], not any(row.is_false for row in found)


def written(name: str, lines: Iterable[str]) -> None:
    """Put a table between its marks in the page."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    head, rest = PAGE.read_text(encoding="utf-8").split(begin)
    PAGE.write_text(head + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1], encoding="utf-8")


def shown(line: str) -> str:
    """The line, printed."""
    print(line, flush=True)
    return line


def main() -> int:
    """Write the tables; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="number of random problems")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("certificates.jsonl"), help="rows of the random problems")
    parser.add_argument("--only", choices=TABLES, nargs="*", default=TABLES, help="these tables alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error", Incomplete)
    start, good = time.process_time(), True
    if "costs" in args.only:  # first, before large problems have filled the memory
        written("costs", map(shown, costs.table()))
    if "cases" in args.only:
        lines = []
        for line, holds in cases.table():
            lines.append(shown(line))
            good &= holds
        written("cases", lines)
    if "random" in args.only:
        lines, holds = random(args.count, args.seed, args.out)
        written("random", map(shown, lines))
        good &= holds
    print(f"{(time.process_time() - start) / 60:.0f} minutes of one core")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
