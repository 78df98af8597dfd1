"""`wgf-report DIR`: figures and one HTML page of a run or of a sweep, from what its folder holds; nothing runs again.

DIR/figures/*.png and *.pdf for papers, DIR/report.html to look at and to send.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from wgf import files
from wgf.errors import ConfigError
from wgf.result import Result, compared
from wgf.run import summary
from wgf.run.callbacks import history
from wgf.saved_maps import DAMAGED, SavedMaps
from wgf.sweep import collate as sweep
from wgf.sweep import html as page

USAGE = "usage: wgf-report DIR   figures and one page, DIR/report.html, of a run, of a sweep or of all runs below DIR"
RUN = ("result.json", "history.csv", "config.yaml")  # a folder with one of them is that of a run
CAPTIONS = {
    "density": "The density at about six times.",
    "ridgeline": "The density, one time above the other.",
    "spacetime": "The density over space and time, with the paths of quantiles.",
    "map": "The transport map with its knots, and where a reference is known its error at the last time.",
    "slope": "The slope of the map. Where it falls to 0 the density is infinite and the map about to fold.",
    "errors": "The distance to the reference over time, and where it comes from.",
    "energy": "The energy, its dissipation, and how far they are from their balance.",
    "steps": "Step size, steps, moments and the smallest slope.",
    "evolution": "The density as it moves.",
    "convergence-width": "The error against the width, with fitted slopes.",
    "convergence-degree": "The error against the degree.",
    "convergence-dt": "The error against the step size, with fitted slopes.",
    "convergence-rtol": "The error against the relative tolerance, with fitted slopes.",
    "cost": "The error against what it cost.",
    "final": "The densities at the end.",
}
NOTE = "<p>* not clearly above the error of the reference solution, and left out of the figures of errors</p>"
COLUMNS = ("status", "t_end", *compared(), "min_slope", "message")


def run_page(folder: Path) -> Path:
    """Write the figures of a run and its page; returns where the page is.

    Raises:
        ConfigError: a file of the run is damaged.
    """
    from wgf.figures.animation import animation  # matplotlib
    from wgf.figures.catalogue import OF_HISTORY, OF_SOLUTION
    from wgf.figures.errors import errors

    result, solution, rows = _result(folder), _solution(folder), _history(folder)
    status = str(result.get("status", "no result"))
    message = str(result.get("message", "the run goes on, or was killed: there is no result.json"))
    title = str(result.get("equation", folder.resolve().name))
    heading = title if status == "completed" else f"{title} ({status})"
    drawn: dict[str, Any] = {}
    if solution is not None:
        drawn |= {name: draw(solution, heading) for name, draw in OF_SOLUTION.items() if name != "errors"}
        drawn["errors"] = errors(solution, heading, result.get("reference_error") or 0.0)
    if rows is not None and len(rows["t"]):
        drawn |= {name: draw(rows, heading) for name, draw in OF_HISTORY.items()}
    pictures = save(folder, {name: figure for name, figure in drawn.items() if figure is not None})
    if solution is not None:
        film = animation(solution, heading)
        files.write(folder / "figures" / "evolution.gif", film)
        pictures.insert(0, page.figure(film, "gif", CAPTIONS["evolution"]))
    parts = [
        page.head(title, status, status == "completed", message, str(folder)),
        page.section("Result", page.facts(_lines(result))),
        page.section("Figures", page.figures(pictures)),
        page.section(
            "Config", page.listing("config.yaml", _text(folder / "config.yaml")),
            page.listing("provenance.json", _text(folder / "provenance.json")),
        ),
    ]  # fmt: skip
    return _write(folder, page.page(title, parts))


def sweep_page(folder: Path) -> Path:
    """Write the figures that compare all runs below a folder, and their page; returns where the page is.

    Raises:
        ConfigError: there are no runs, or a file of one is damaged.
    """
    from wgf.figures.comparison import convergences, finals  # matplotlib

    found = sweep.table(folder)
    if not found.rows:
        raise ConfigError(f"{folder} holds no runs: expected the folder of a run, of a sweep, or outputs")
    name, jobs = folder.resolve().name, [str(row["job"]) for row in found.rows]
    equations = {row["equation"] for row in found.rows if "equation" in row}
    heading = equations.pop() if len(equations) == 1 else ""
    drawn = convergences(found.axes, found.rows, heading)
    ends = found.ends({job: solution.end for job in jobs if (solution := _solution(folder / job)) is not None})
    if ends and (heading or len(found.axes) < 3 or not drawn):  # else they have too little in common
        drawn["final"] = finals(ends, heading)
    pictures = save(folder, drawn)
    columns = ["job", *found.axes, *(key for key in COLUMNS if any(row.get(key) is not None for row in found.rows))]
    rows = [row | ({"message": None} if row["status"] == "completed" else {}) for row in found.rows]
    cells = [[_cell(row.get(column)) + _mark(row, column) for column in columns] for row in rows]
    links = [f"{job}/report.html" if (folder / job / "report.html").exists() else "" for job in jobs]
    good = not found.failed()
    status = "completed" if good else "incomplete"
    parts = [
        page.head(name, status, good, sweep.summary(found), heading, str(folder)),
        page.section(
            "Results",
            page.rows(columns, cells, links),
            NOTE if any(_mark(row, column) for row in rows for column in columns) else "",
        ),
        page.section("Figures", page.figures(pictures)),
        page.section("Config", page.listing(f"config.yaml of {jobs[0]}", _text(folder / jobs[0] / "config.yaml"))),
    ]
    return _write(folder, page.page(f"{name}: {len(found.rows)} runs", parts))


def save(folder: Path, figures: dict[str, Any]) -> list[str]:
    """Write figures/<name>.png and .pdf and return them as pictures of a page."""
    from wgf.figures.style import encoded

    pictures = []
    for name, figure in figures.items():
        for kind in ("png", "pdf"):
            files.write(folder / "figures" / f"{name}.{kind}", encoded(figure, kind))
            figure.set_layout_engine("none")  # the places found for the first file are good for the others
        pictures.append(page.figure(encoded(figure, "svg"), "svg", CAPTIONS.get(name, name)))
    return pictures


def _write(folder: Path, text: str) -> Path:
    path = folder / "report.html"
    files.write(path, text.encode())
    return path


def _mark(row: dict[str, Any], column: str) -> str:
    """A star at an error that may be that of the reference."""
    return "*" if column.endswith("_error") and row.get(column.replace("error", "clear")) is False else ""


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, text) for name, text in summary.lines(Result.from_dict(result)) if name != "status"]


def _result(folder: Path) -> dict[str, Any]:
    """The content of result.json; empty for a run that has none."""
    path = folder / "result.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path, error) from None
    if not isinstance(found, dict) or "status" not in found:
        raise _damaged(path, "it holds no status")
    return found


def _solution(folder: Path) -> SavedMaps | None:
    path = folder / "solution.npz"
    if not path.exists():
        return None
    try:
        found = SavedMaps.load(path)
    except DAMAGED as error:
        raise _damaged(path, error) from None
    return found


def _history(folder: Path) -> dict[str, np.ndarray] | None:
    path = folder / "history.csv"
    if not path.exists():
        return None
    try:
        found = history.read(path)
    except ValueError as error:
        raise _damaged(path, error) from None
    missing = {"step", "t", "dt", "energy", "dissipation", "mean", "second_moment", "min_slope", "rejected"} - {*found}
    if missing:
        raise _damaged(path, f"it has no column {sorted(missing)[0]}")
    return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _damaged(path: Path, why: object) -> ConfigError:
    reason = " ".join(str(why).split()) or type(why).__name__
    return ConfigError(f"{path} is damaged: {reason}; repeat the run, or remove this file and report on the rest")


def report(folder: Path) -> Path:
    """The page of whatever a folder holds; returns where it is.

    Raises:
        ConfigError: it holds nothing, or something damaged.
    """
    if not folder.is_dir():
        kind = "is a file" if folder.exists() else "does not exist"
        raise ConfigError(f"{folder} {kind}: expected the folder of a run or of a sweep, such as outputs or multirun")
    if any((folder / name).exists() for name in RUN):
        return run_page(folder)
    return sweep_page(folder)


def main() -> None:
    """Entry point of wgf-report. Exit status: 0 written, 2 bad input."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        asked = sys.argv[1:] in (["-h"], ["--help"])
        print(USAGE, file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    try:
        print(f"report in   {report(Path(sys.argv[1]))}")
    except ConfigError as error:
        print(f"wgf-report: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"wgf-report: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
