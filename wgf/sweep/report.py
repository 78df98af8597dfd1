"""The command `wgf-report DIR`: figures and one HTML page of a run or of a sweep, from the files in its folder.

It writes DIR/figures/*.png and *.pdf, and DIR/report.html, which needs no other file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wgf.errors import ConfigError
from wgf.files import write
from wgf.result import Result, compared
from wgf.run import summary
from wgf.run.callbacks import history
from wgf.saved_maps import DAMAGED, SavedMaps
from wgf.sweep import collate as sweep
from wgf.sweep import html as page
from wgf.sweep.command import command

USAGE = "usage: wgf-report DIR   write figures and DIR/report.html of a run, of a sweep or of all runs below DIR"
RUN = ("result.json", "history.csv", "config.yaml")  # a folder with one of these files is that of a run
DRAWN = ("step", "t", "dt", "energy", "dissipation", "mean", "second_moment", "min_slope", "rejected")  # of history.csv
CAPTIONS = {
    "density": "The density at about six times.",
    "ridgeline": "The density, one time above the other.",
    "spacetime": "The density over space and time, with the paths of quantiles.",
    "map": "The transport map with its knots, and its error at the last time where a reference solution is known.",
    "slope": "The slope of the map. At slope 0 the density is infinite and the map folds.",
    "errors": "The distance to the reference solution over time, and where it comes from.",
    "energy": "The energy, its dissipation, and the error of their balance.",
    "steps": "Step size, steps, moments and the smallest slope.",
    "evolution": "The density over time.",
    "convergence-width": "The error against the width, with fitted slopes.",
    "convergence-degree": "The error against the degree.",
    "convergence-dt": "The error against the step size, with fitted slopes.",
    "convergence-rtol": "The error against the relative tolerance, with fitted slopes.",
    "cost": "The error against the work: evaluations x parameters.",
    "final": "The densities at the end.",
}
NOTE = "<p>* not clearly above the error of the reference solution; the figures of errors leave it out</p>"
COLUMNS = ("status", "t_end", *compared(), "min_slope", "message")


def run_page(folder: Path) -> Path:
    """Write the figures and the page of a run; returns the path of the page.

    Raises:
        ConfigError: a file of the run is damaged.
    """
    from wgf.figures.animation import animation  # matplotlib
    from wgf.figures.catalogue import OF_HISTORY, OF_SOLUTION
    from wgf.figures.errors import errors

    result = _read(folder / "result.json", _result) or {}
    solution, rows = _solution(folder), _read(folder / "history.csv", _history)
    status = str(result.get("status", "no result"))
    message = str(result.get("message", "there is no result.json: the run has not ended, or was killed"))
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
        write(folder / "figures" / "evolution.gif", film)
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
    return write(folder / "report.html", page.page(title, parts).encode())


def sweep_page(folder: Path) -> Path:
    """Write the figures and the page that compare all runs below a folder; returns the path of the page.

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
    if ends and (heading or len(found.axes) < 3 or not drawn):  # else the runs have too little in common
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
    return write(folder / "report.html", page.page(f"{name}: {len(found.rows)} runs", parts).encode())


def save(folder: Path, figures: dict[str, Any]) -> list[str]:
    """Write figures/<name>.png and .pdf; returns the figures as pictures of a page."""
    from wgf.figures.style import encoded

    sweep.write_figures(folder, figures)
    return [page.figure(encoded(drawn, "svg"), "svg", CAPTIONS.get(name, name)) for name, drawn in figures.items()]


def _mark(row: dict[str, Any], column: str) -> str:
    """A star at an error that is not clearly above that of the reference solution."""
    return "*" if column.endswith("_error") and row.get(column.replace("error", "clear")) is False else ""


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, text) for name, text in summary.lines(Result.from_dict(result)) if name != "status"]


def _read(path: Path, read: Callable[[Path], Any], errors: tuple[type[Exception], ...] = (ValueError,)) -> Any:
    """What a file of a run holds; None where there is no such file.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        return read(path) if path.exists() else None
    except errors as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"{path} is damaged: {why}; repeat the run, or remove this file and report on the rest"
        ) from None


def _result(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or "status" not in found:
        raise ValueError("it holds no status")
    return found


def _history(path: Path) -> dict[str, np.ndarray]:
    found = history.read(path)
    missing = sorted({*DRAWN} - {*found})
    if missing:
        raise ValueError(f"it has no column {missing[0]}")
    return found


def _solution(folder: Path) -> SavedMaps | None:
    return _read(folder / "solution.npz", SavedMaps.load, DAMAGED)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def report(folder: Path) -> Path:
    """Write the page of a run or of a sweep; returns its path.

    Raises:
        ConfigError: the folder holds no runs, or a damaged file.
    """
    if not folder.is_dir():
        kind = "is a file" if folder.exists() else "does not exist"
        raise ConfigError(f"{folder} {kind}: expected the folder of a run or of a sweep, such as outputs or multirun")
    if any((folder / name).exists() for name in RUN):
        return run_page(folder)
    return sweep_page(folder)


def main() -> None:
    """Entry point of wgf-report. Exit status: 0 written, 1 full disk, 2 bad input."""
    command("wgf-report", USAGE, lambda folder: print(f"report in   {report(Path(folder))}"), alone=True)


if __name__ == "__main__":
    main()
