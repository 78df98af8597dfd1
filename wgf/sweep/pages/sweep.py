"""The page of a sweep: its best job, a table that sorts, errors over two settings, figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from wgf.result import at_most, label
from wgf.settings.flat import number, short
from wgf.sweep import closing, orders
from wgf.sweep.collate import Table, summary
from wgf.sweep.pages import html
from wgf.sweep.pages.html import Cell
from wgf.sweep.pages.run import command, text

NOTE = "* not clearly above the error of the reference solution; the figures of errors leave it out"
ERRORS = ("w1_error", "w2_error")
FORMS = {"w1_error": ".1e", "w2_error": ".1e", "w2_bound": ".1e", "dissipation_gap": ".1e", "wall_s": ".2f"}
NUMBERS = ("w2_bound", "evaluations", "parameters", "wall_s")  # of the table, after the settings
Row = dict[str, Any]


def page(found: Table, heading: str, pictures: list[str]) -> str:
    """The page.

    Args:
        found: the jobs.
        heading: what they have in common, usually the equation; or "".
        pictures: figures as HTML.
    """
    rows = [dict(row) for row in found.rows]
    orders.add(rows, found.axes)
    best, good = closing.best(rows, found.axes), not found.failed()
    title, shown = name(found), best or rows[0]
    parts = [
        html.head(title, "completed" if good else "incomplete", good, summary(found), heading),
        html.tiles(numbers(found, best)),
        html.section("Jobs", jobs(found, rows, best), *(f"<p>{line}</p>" for line in notes(rows, found.axes))),
        html.section("W1 error over both settings", heat(found, best)),
        html.section("Figures", html.figures(pictures)),
        html.section(
            "More",
            html.command(command(found.root / best["job"]), "This command repeats the best job:") if best else "",
            html.listing(
                f"config.yaml of {'the best job, ' if best else ''}{shown['job']}",
                text(found.root / shown["job"] / "config.yaml"),
            ),
        ),
    ]
    return html.page(f"{title}: {len(rows)} runs", parts)


def name(found: Table) -> str:
    """What the page is about: what varies in a sweep, or the folder of other runs."""
    is_sweep = found.axes and (found.root / "multirun.yaml").exists()
    return f"Sweep over {', '.join(found.axes)}" if is_sweep else f"Runs in {found.root.resolve().name}"


def notes(rows: Sequence[Row], axes: Sequence[str]) -> list[str]:
    """Lines below the table of the jobs."""
    return [*([NOTE] if any(_mark(row) for row in rows) else []), *orders.notes(rows, axes)]


def numbers(found: Table, best: Row | None) -> list[tuple[str, str, str]]:
    """Name, number and note of what matters most."""
    done = sum(row["status"] == "completed" for row in found.rows)
    spent = sum(row.get("wall_s") or 0.0 for row in found.rows)
    tiles = [("jobs", f"{done} of {len(found.rows)}", "completed")]
    if best:
        tiles += [
            ("best W1 error", _text(best, "w1_error"), found.label(best)),
            ("its W2 error", _text(best, "w2_error"), _bounded(best)),
            ("its work", _text(best, "evaluations"), f"evaluations, {_text(best, 'parameters')} parameters"),
        ]
    return [*tiles, ("time", f"{spent:.1f} s", "of all flows together")]


def jobs(found: Table, rows: Sequence[Row], best: Row | None) -> str:
    """The table of all jobs, errors first; columns without a number are left out, and so are equal parameters."""
    names = [short(axis) for axis in orders.refined(found.axes)]
    keys = [*ERRORS, *found.axes, *(f"w1_order_{name}" for name in names), *NUMBERS]
    keys = [key for key in keys if any(row.get(key) is not None for row in rows)]
    if len({row.get("parameters") for row in rows}) == 1 and "parameters" in keys:
        keys.remove("parameters")
    shades = {key: _shades(rows, key) for key in ERRORS}
    table = [
        [
            Cell(row["job"], number(row["job"]), f"{row['job']}/report.html", mark="best" if row is best else ""),
            *(Cell(_text(row, key), number(row.get(key)), shade=shades.get(key, {}).get(row["job"])) for key in keys),
            Cell(_status(row)),
        ]
        for row in rows
    ]
    heads = [("job", "folder"), *((_head(key), key) for key in keys), ("status", "")]
    return html.table("Jobs", heads, table, None if best is None else list(rows).index(best))


def _head(key: str) -> str:
    """The text above a column."""
    if "_order_" in key:
        return f"order ({key.rpartition('_')[2]})"
    return "time" if key == "wall_s" else label(short(key))


def heat(found: Table, best: Row | None) -> str:
    """The W1 errors over the two settings that vary; empty for more or fewer settings."""
    if len(found.axes) != 2:
        return ""
    down, across = found.axes
    known = {(str(row[down]), str(row[across])): row for row in found.rows}
    sides = [sorted({str(row[axis]) for row in found.rows}, key=_order) for axis in (down, across)]
    if len(known) < len(found.rows) or min(map(len, sides)) < 2:
        return ""
    shades = _shades(found.rows, "w1_error")

    def cell(row: Row | None) -> Cell:
        if row is None:
            return Cell("")
        is_best = best is not None and row["job"] == best["job"]
        value = _text(row, "w1_error") if row["job"] in shades else str(row["status"])
        return Cell(value, None, f"{row['job']}/report.html", shades.get(row["job"]), "best" if is_best else "")

    rows = ((value, [cell(known.get((value, other))) for other in sides[1]]) for value in sides[0])
    return html.heat("W1 error over both settings", f"{short(down)}, {short(across)} →", sides[1], rows)


def _order(value: str) -> tuple[bool, float, str]:
    """A key that sorts numbers by size and before words."""
    return number(value) is None, number(value) or 0.0, value


def _shades(rows: Sequence[Row], key: str) -> dict[str, float]:
    """How good the errors of completed jobs are, on a logarithmic scale: 0 the worst, 1 the best."""
    known = {r["job"]: r[key] for r in rows if r["status"] == "completed" and (r.get(key) or 0.0) > 0}
    low, high = min(known.values(), default=1.0), max(known.values(), default=1.0)
    return {job: math.log(high / value) / math.log(high / low) for job, value in known.items()} if low < high else {}


def _mark(row: Row) -> bool:
    return any(row.get(key.replace("error", "clear")) is False for key in ERRORS)


def _text(row: Row, key: str) -> str:
    value = row.get(key)
    if value is None or isinstance(value, str):
        return value or ""
    star = "*" if key in ERRORS and row.get(key.replace("error", "clear")) is False else ""
    form = ".2f" if "_order_" in key else FORMS.get(key, "," if isinstance(value, int) else ".5g")
    return f"{value:{form}}{' s' if key == 'wall_s' else ''}{star}"


def _bounded(row: Row) -> str:
    return f"at most {at_most(row['w2_bound'])} (computable bound)" if row.get("w2_bound") is not None else "no bound"


def _status(row: Row) -> str:
    ended = row["status"] == "completed" or not row.get("message")
    return str(row["status"]) if ended else f"{row['status']}: {row['message']}"
