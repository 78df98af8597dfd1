"""Tables of random problems: how many have a bound, how close it is, and why others have none."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from bounds.judge import Judged

REASONS = {
    "exceed the standard deviation": "the bound would exceed the standard deviation of the law",
    "no lower bound of V''": "no lower bound of V'' is known",
    "p jumps at an edge": "p jumps at an edge",
    "chi kappa_h": "chi kappa_h reaches D",
    "can gather mass": "mass can gather in a point",
    "quadrature does not resolve": "the quadrature does not resolve the residual",
    "beyond all numbers": "the bound grows beyond all numbers",
    "map folds": "the map folds",
    "when repeated": "the run stops when repeated",
}
LIMIT, LONG = 4.0, 0.1  # of the cost of both bounds, in runs; CPU time of a long run (s)
HEADS = (
    "problems", "drawn", "completed", "with a bound", "error known", "below the error", "own/error, median",
    "bound/error, least", "median", "90 %", "largest", "cost, median", "90 %",
)  # fmt: skip
GROUPS: dict[str, Callable[[Judged], bool]] = {
    "splines": lambda row: row.network == "spline",
    "the paper's network": lambda row: row.network != "spline",
    "all": lambda row: True,
}


def closeness(rows: Sequence[Judged]) -> Iterator[str]:
    """Lines of the table of ratios."""
    yield f"| {' | '.join(HEADS)} |"
    yield "|---" * len(HEADS) + "|"
    kinds = {kind: (lambda row, kind=kind: row.kind == kind) for kind in sorted({row.kind for row in rows})}
    for name, belongs in (kinds | GROUPS).items():
        yield f"| {name} | {' | '.join(_cells([row for row in rows if belongs(row)]))} |"


def _cells(rows: Sequence[Judged]) -> list[str]:
    done = [row for row in rows if row.status == "completed"]
    known = [row for row in done if row.is_known and row.error]
    own, least = (sorted(b / row.error for row in known if (b := getattr(row, part))) for part in ("own", "least"))
    costs = sorted(cost(row) for row in done)
    bounded, wrong = sum(row.least is not None for row in done), sum(row.is_false for row in rows)
    counts = len(rows), len(done), bounded, len(known), wrong
    ratios = at(own, 0.5), at(least, 0.0), at(least, 0.5), at(least, 0.9), at(least, 1.0)
    return [*map(str, counts), *(f"{x:.4g}" for x in ratios), *(f"{at(costs, p):.1f}" for p in (0.5, 0.9))]


def cost(row: Judged) -> float:
    """CPU time that both bounds add to a run, in runs; a certificate repeats the run, which `verify=true` need not."""
    run, certified = row.cpu
    return certified / run - 1 if run > 0 else 0.0


def at(values: Sequence[float], share: float) -> float:
    """The value with this share of the others below it; NaN without any."""
    return values[min(int(share * len(values)), len(values) - 1)] if values else math.nan


def costly(rows: Sequence[Judged]) -> str:
    """How many bounds cost too much."""
    done = [row for row in rows if row.status == "completed"]
    long = [row for row in done if row.cpu[0] >= LONG]
    above, among = (sum(cost(row) > LIMIT for row in some) for some in (done, long))
    return (
        f"Both bounds add more than {LIMIT:g} times its CPU time to {above} of {len(done)} runs, and to {among} of the "
        f"{len(long)} that take {LONG:g} s or more."
    )


def reasons(rows: Sequence[Judged]) -> Iterator[str]:
    """Lines of the table of reasons for which a problem is not judged or has no bound."""
    found = Counter(reason for row in rows if (reason := why(row)) is not None)
    yield "| what a problem lacks, and why | problems |"
    yield "|---|---|"
    yield from (f"| {reason} | {count} |" for reason, count in found.most_common())


def why(row: Judged) -> str | None:
    """What a problem lacks."""
    if row.status != "completed":
        return f"no solution: {row.status}"
    if row.least is None:
        text = row.unknown or "no reason"
        short = next((short for part, short in REASONS.items() if part in text), re.sub(r"[-\d.e+]*\d", "..", text))
        return f"no bound: {short}"
    return None if row.is_known else "no error that is known to 2 %"
