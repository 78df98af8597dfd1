"""Tables of the verdicts: by equation and status, by number and judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from wgf.integrators.status import Status

STATUSES = [*(status.name for status in Status), "refused"]
FAULTS = ("crash", "hang")
SAID_OF = {"dissipation_gap": "dissipated", "energy_error": "energy, "}  # the doubt that speaks of both numbers

Row = dict[str, Any]


def false_numbers(row: Row) -> list[dict[str, Any]]:
    """The verdicts of a row that say that a number is false and the run has no doubt of it."""
    return [verdict for verdict in row.get("verdicts", []) if is_false(verdict) and not is_doubted(row, verdict)]


def is_false(verdict: dict[str, Any]) -> bool:
    return not verdict["used"] <= 1


def is_doubted(row: Row, verdict: dict[str, Any]) -> bool:
    """Whether the run itself doubts the number, or all of them, as those of a map that is not increasing."""
    doubts = row.get("doubts") or ""
    number = SAID_OF.get(verdict["number"], verdict["number"])
    return "map:" in doubts or "everything:" in doubts or number in doubts


def by_status(rows: list[Row]) -> str:
    """Markdown table of the number of problems by equation and status."""
    counts = Counter((row["pde"], row["status"]) for row in rows)
    columns = [s for s in [*STATUSES, *FAULTS] if s in FAULTS or any(status == s for _, status in counts)]
    lines = [f"| equation | {' | '.join(columns)} |", f"|{'---|' * (len(columns) + 1)}"]
    for pde in [*sorted({row["pde"] for row in rows}), None]:
        mine = [row["status"] for row in rows if pde in (None, row["pde"])]
        lines.append(f"| {pde or 'all'} | {' | '.join(str(mine.count(status)) for status in columns)} |")
    return "\n".join(lines)


def by_number(rows: list[Row]) -> str:
    """Markdown table of the judged numbers: how many there are, how many are false, with and without a doubt."""
    judged: Counter[tuple[str, str]] = Counter()
    false: Counter[tuple[str, str]] = Counter()
    doubted: Counter[tuple[str, str]] = Counter()
    worst: dict[tuple[str, str], float] = {}
    for row, verdict in verdicts(rows):
        key = verdict["number"], verdict["by"].replace("particles of equal mass", "particles")
        key = key if not key[1].startswith("invariance") else (key[0], "invariance")
        judged[key] += 1
        if is_false(verdict):
            (doubted if is_doubted(row, verdict) else false)[key] += 1
        else:
            worst[key] = max(worst.get(key, 0.0), verdict["used"])
    lines = ["| number | judge | judged | false | false, with a doubt | most of what is allowed |", f"|{'---|' * 6}"]
    for key in sorted(judged):
        cells = (*key, judged[key], false[key], doubted[key], f"{worst.get(key, 0):.2g}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines.append(f"| all | | {judged.total()} | {false.total()} | {doubted.total()} | |")
    return "\n".join(lines)


def unjudged(rows: list[Row]) -> str:
    """Sentence about what no judge knows, by the number of runs."""
    counts = Counter(what for row in rows for what in row.get("unjudged", {}))
    found = ", ".join(f"{what} in {count}" for what, count in sorted(counts.items()))
    return f"Without a judge: {found} of the completed runs." if found else ""


def verdicts(rows: list[Row]) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Every verdict with its row."""
    return ((row, verdict) for row in rows for verdict in row.get("verdicts", []))
