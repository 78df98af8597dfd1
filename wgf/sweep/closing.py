"""The table that ends a sweep on the terminal: errors and observed orders of its jobs, the best one marked.

Nothing in it is cut: where the terminal is narrow, whole columns are left out, and a line below says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from wgf.result import is_clear
from wgf.settings.flat import short
from wgf.sweep import orders

MOST = 30  # rows of the table; a larger sweep shows its smallest errors
MARK = "*"  # of an error
TEXT = 24  # letters of a line of a cell with text, on a terminal
Row = dict[str, Any]


@dataclass(frozen=True)
class _Column:
    """Head and cells; the column with the highest rank is the first that is left out, and one of rank 0 never is."""

    head: str
    cells: list[str]
    rank: int = 0


def best(rows: Sequence[Row], axes: Sequence[str]) -> Row | None:
    """The completed row with the smallest W1 error; None where the settings that vary make several problems."""
    known = [row for row in rows if row["status"] == "completed" and row.get("w1_error") is not None]
    if not orders.comparable(axes):
        return None
    return min(known, key=lambda row: row["w1_error"], default=None)


def show(rows: Sequence[Row], axes: Sequence[str], console: Console | None = None, file: str = "results.csv") -> None:
    """Print the table of a sweep.

    Args:
        rows: of `wgf.sweep.collate.Table`.
        axes: the settings that vary; without them nothing is printed.
        console: output; standard output by default.
        file: has all rows and columns.
    """
    if not axes:
        return
    rows = [dict(row) for row in rows]
    orders.add(rows, axes)
    first = best(rows, axes)
    seen = rows if len(rows) <= MOST else sorted(rows, key=_by_error)[:MOST]
    columns = [
        _Column("", ["best" if row is first else "" for row in seen]),
        *_varied(seen, axes),
        _errors(seen, "w1"),
        *_orders(seen, axes, "w1"),
        _errors(seen, "w2", 2),
        _Column("bound", [_cell(row.get("w2_bound"), ".1e") for row in seen], 3),
        _Column("evaluations", [_cell(row.get("evaluations"), ",") for row in seen], 5),
        _Column("time", [_cell(row.get("wall_s"), ".2f", " s") for row in seen], 4),
        _Column("status", [str(row["status"]) for row in seen]),
    ]
    console = _printed(columns, console, file, [row is first for row in seen])
    if len(rows) > len(seen):
        console.print(f"the {len(seen)} smallest of {len(rows)} W1 errors; {file} has all", highlight=False)
    _explain(console, columns)
    for line in orders.notes(rows, axes):
        console.print(line, highlight=False)


def show_w2(rows: Sequence[Row], axes: Sequence[str], console: Console | None = None) -> None:
    """Print the W2 errors of a study with their observed orders and the best ones that the networks allow.

    Args:
        rows: of `wgf.sweep.study.Study`.
        axes, console: as in `show`.
    """
    if not axes or all(row["w2_error"] is None for row in rows):
        return
    seen = sorted(rows, key=_by_error)[:MOST] if len(rows) > MOST else rows
    columns = [
        *_varied(seen, axes),
        _errors(seen, "w2"),
        *_orders(seen, axes, "w2"),
        _Column(
            "best W2", [_marked(row["w2_best"], is_clear(row["w2_best"], row["reference_w2_error"])) for row in seen], 3
        ),
        _Column("W2 / best", [_cell(row["quasi_optimality"], ".3f") for row in seen], 2),
    ]
    console = _printed(columns, console, "study.csv")
    _explain(console, columns)


def _varied(rows: Sequence[Row], axes: Sequence[str]) -> Iterable[_Column]:
    return (_Column(short(axis), [_cell(row.get(axis)) for row in rows]) for axis in axes)


def _errors(rows: Sequence[Row], distance: str, rank: int = 0) -> _Column:
    """The errors, with a mark where they are not clearly above that of the reference solution."""
    errors = [_marked(row.get(f"{distance}_error"), row.get(f"{distance}_clear")) for row in rows]
    return _Column(f"{distance.upper()} error", errors, rank)


def _marked(error: float | None, clear: bool | None) -> str:
    return _cell(error, ".2e") + (MARK if clear is False else "")


def _explain(console: Console, columns: Iterable[_Column]) -> None:
    """Say what a mark means, if there is one."""
    if any(cell.endswith(MARK) for column in columns for cell in column.cells):
        console.print(f"{MARK} not clearly above the error of the reference solution", highlight=False)


def _orders(rows: Sequence[Row], axes: Sequence[str], distance: str) -> Iterable[_Column]:
    names = [short(axis) for axis in orders.refined(axes)]
    return (_Column(f"order ({n})", [_cell(row[f"{distance}_order_{n}"], ".2f") for row in rows], 1) for n in names)


def _printed(columns: Sequence[_Column], console: Console | None, file: str, bold: Sequence[bool] = ()) -> Console:
    """Print the columns in which there is anything, in a pipe all of them; returns where they were printed."""
    console = console or Console()
    kept, spare = [column for column in columns if any(column.cells)], list[str]()
    while (wide := _width(table := _table(kept, bold, console), console)) > console.width and console.is_terminal:
        most = max(reversed(kept), key=lambda column: column.rank)
        if most.rank == 0:
            break
        kept.remove(most)
        spare.append(most.head)
    before, console.width = console.width, max(wide, console.width)
    console.print(table, crop=False)  # the terminal breaks lines that are still too long
    console.width = before
    if spare:
        console.print(f"no room for {', '.join(spare)}: {file} has all numbers", highlight=False)
    return console


def _table(columns: Sequence[_Column], bold: Sequence[bool], console: Console) -> Table:
    """On a terminal, longer texts such as formulas go on in the next line of their cells."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        side = "left" if column.head in ("", "status") else "right"
        table.add_column(column.head, justify=side, overflow="fold", max_width=TEXT if console.is_terminal else None)
    for k, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
        table.add_row(*cells, style="bold" if k < len(bold) and bold[k] else None)
    return table


def _width(table: Table, console: Console) -> int:
    """The letters of a line in which nothing is cut."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum


def _by_error(row: Row) -> float:
    error = row.get("w1_error")
    return float("inf") if error is None or row["status"] != "completed" else error


def _cell(value: Any, form: str = "", unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"
