"""The table that ends a sweep on the terminal: errors and observed orders of its jobs, the best one marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from wgf.settings.flat import short
from wgf.sweep import orders

MOST = 30  # rows of the table; a larger sweep shows its smallest errors
PIPE = 200  # letters of a line in a pipe, in which nothing is cut
Row = dict[str, Any]


def best(rows: Sequence[Row], axes: Sequence[str]) -> Row | None:
    """The completed row with the smallest W1 error; None where the settings that vary make several problems."""
    known = [row for row in rows if row["status"] == "completed" and row.get("w1_error") is not None]
    if not orders.comparable(axes):
        return None
    return min(known, key=lambda row: row["w1_error"], default=None)


def show(rows: Sequence[Row], axes: Sequence[str], console: Console | None = None) -> None:
    """Print the table of a sweep.

    Args:
        rows: of `wgf.sweep.collate.Table`.
        axes: the settings that vary; without them nothing is printed.
        console: output; standard output by default.
    """
    if not axes:
        return
    rows = [dict(row) for row in rows]
    orders.add(rows, axes)
    first = best(rows, axes)
    names = [short(axis) for axis in orders.refined(axes)]
    heads = ["", *map(short, axes), "W1 error", *(f"order ({name})" for name in names)]
    table = Table(*heads, "W2 error", "bound", "evaluations", "time", "status", box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:-1]:
        column.justify, column.no_wrap = "right", True
    seen = rows if len(rows) <= MOST else sorted(rows, key=_by_error)[:MOST]
    for row in seen:
        w1 = _cell(row.get("w1_error"), ".2e") + ("*" if row.get("w1_clear") is False else "")
        table.add_row(
            "best" if row is first else "",
            *(_cell(row.get(axis)) for axis in axes),
            w1,
            *(_cell(row[f"w1_order_{name}"], ".2f") for name in names),
            _cell(row.get("w2_error"), ".2e") + ("*" if row.get("w2_clear") is False else ""),
            _cell(row.get("w2_bound"), ".1e"),
            _cell(row.get("evaluations"), ","),
            _cell(row.get("wall_s"), ".2f", " s"),
            str(row["status"]),
            style="bold" if row is first else None,
        )
    console = _printed(table, console)
    if len(rows) > len(seen):
        console.print(f"the {len(seen)} smallest of {len(rows)} W1 errors; results.csv has all", highlight=False)
    if any(row.get(f"{w}_clear") is False for row in seen for w in ("w1", "w2")):
        console.print("* not clearly above the error of the reference solution", highlight=False)


def show_w2(rows: Sequence[Row], axes: Sequence[str], console: Console | None = None) -> None:
    """Print the W2 errors of a study with their observed orders and the best ones that the networks allow.

    Args:
        rows: of `wgf.sweep.study.Study`.
        axes, console: as in `show`.
    """
    if not axes or all(row["w2_error"] is None for row in rows):
        return
    names = [short(axis) for axis in orders.refined(axes)]
    heads = [*map(short, axes), "W2 error", *(f"order ({name})" for name in names), "best W2", "W2 / best"]
    table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.justify, column.no_wrap = "right", True
    for row in sorted(rows, key=_by_error)[:MOST] if len(rows) > MOST else rows:
        table.add_row(
            *(_cell(row.get(axis)) for axis in axes),
            _cell(row["w2_error"], ".2e") + ("*" if row["w2_clear"] is False else ""),
            *(_cell(row[f"w2_order_{name}"], ".2f") for name in names),
            _cell(row["w2_best"], ".2e"),
            _cell(row["quasi_optimality"], ".3f"),
        )
    _printed(table, console)


def _printed(table: Table, console: Console | None) -> Console:
    """Print a table, in a pipe without cuts; returns where it was printed."""
    console = console or Console()
    if not console.is_terminal:
        console.width = PIPE
    console.print(table)
    return console


def _by_error(row: Row) -> float:
    error = row.get("w1_error")
    return float("inf") if error is None or row["status"] != "completed" else error


def _cell(value: Any, form: str = "", unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"
