"""The command `wgf-report DIR`: figures and one HTML page of a run or of a sweep, from the files in its folder.

It writes DIR/figures/*.png and *.pdf, and DIR/report.html, which needs no other file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wgf.errors import ConfigError
from wgf.files import write
from wgf.result import Result
from wgf.run.callbacks import history
from wgf.saved_maps import DAMAGED, SavedMaps
from wgf.sweep import collate as sweep
from wgf.sweep.command import command
from wgf.sweep.pages import html, run
from wgf.sweep.pages import sweep as several
from wgf.sweep.working import counted, working

USAGE = "usage: wgf-report DIR   write figures and DIR/report.html of a run, of a sweep or of all runs below DIR"
RUN = ("result.json", "history.csv", "config.yaml")  # a folder with one of these files is that of a run
DRAWN = ("step", "t", "dt", "energy", "dissipation", "mean", "second_moment", "min_slope", "rejected")  # of history.csv
FILM = "evolution"
CAPTIONS = {
    "spacetime": "The density over space and time, with the paths of quantiles.",
    "map": "The transport map with its knots, and its error at the last time where a reference solution is known.",
    "slope": "The slope of the map. At slope 0 the density is infinite and the map folds.",
    "errors": "The distance to the reference solution over time, and where it comes from.",
    "energy": "The energy, its dissipation, and the error of their balance.",
    "steps": "Step size, steps, moments and the smallest slope.",
    "convergence-width": "The error against the width, with fitted slopes.",
    "convergence-degree": "The error against the degree.",
    "convergence-dt": "The error against the step size, with fitted slopes.",
    "convergence-rtol": "The error against the relative tolerance, with fitted slopes.",
    "cost": "The error against the work: evaluations x parameters.",
    "final": "The densities at the end.",
}


def run_page(folder: Path, drawing: bool = True) -> Path:
    """Write the page of a run, and its figures; returns the path of the page.

    Args:
        folder: of the run.
        drawing: whether to draw the figures; without them the page still has its charts.

    Raises:
        ConfigError: a file of the run is damaged.
    """
    content = _read(folder / "result.json", _result)
    result = None if content is None else Result.from_dict(content)
    solution, rows = _solution(folder), _read(folder / "history.csv", _history)
    drawn = _drawn(result, solution, rows, folder.resolve().name) if drawing else {}
    pictures = save(folder, drawn, CAPTIONS | _times(solution)) if drawn else []
    return write(folder / "report.html", run.page(folder, result, solution, pictures).encode())


def _drawn(
    result: Result | None, solution: SavedMaps | None, rows: dict[str, np.ndarray] | None, name: str
) -> dict[str, Any]:
    """The figures that the files of a run allow."""
    from wgf.figures.animation import film  # matplotlib
    from wgf.figures.catalogue import OF_HISTORY, OF_SOLUTION  # matplotlib
    from wgf.figures.errors import errors

    heading = _heading(result, name)
    drawn: dict[str, Any] = {}
    if solution is not None:
        drawn |= {name: draw(solution, heading) for name, draw in OF_SOLUTION.items() if name != "errors"}
        drawn["errors"] = errors(solution, heading, (result.reference_error if result else None) or 0.0)
        drawn[FILM] = film(solution, heading)
    if rows is not None and len(rows["t"]):
        drawn |= {name: draw(rows, heading) for name, draw in OF_HISTORY.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _times(solution: SavedMaps | None) -> dict[str, str]:
    """The captions that say at which times the density is drawn."""
    if solution is None:
        return {}
    from wgf.figures.density import RIDGES  # matplotlib
    from wgf.figures.style import shown

    times = ", ".join(f"{t:.4g}" for t in solution.t[shown(solution)].tolist())
    ridges = len(shown(solution, RIDGES))
    return {
        "density": f"The density at t = {times}.",
        "ridgeline": f"The density at {ridges} times, one above the other.",
    }


def _heading(result: Result | None, name: str) -> str:
    """The equation of a run, and its status if it did not complete."""
    status = result.status if result else "no result"
    title = (result.equation if result else "") or name
    return title if status == "completed" else f"{title} ({status})"


def sweep_page(folder: Path) -> Path:
    """Write the figures and the page that compare all runs below a folder, and a page without figures for every run
    that has none; returns the path of the page.

    Raises:
        ConfigError: there are no runs, or a file of one is damaged.
    """
    from wgf.figures.comparison import convergences, finals  # matplotlib

    found = sweep.table(folder)
    if not found.rows:
        raise ConfigError(f"{folder} holds no runs: expected the folder of a run, of a sweep, or outputs")
    jobs = [str(row["job"]) for row in found.rows]
    equations = {row["equation"] for row in found.rows if "equation" in row}
    heading = equations.pop() if len(equations) == 1 else ""
    ends = found.ends({job: solution.end for job in jobs if (solution := _solution(folder / job)) is not None})
    drawn = convergences(found.axes, found.rows, heading)
    if ends and (heading or len(found.axes) < 3 or not drawn):  # else the runs have too little in common
        drawn["final"] = finals(ends, heading)
    with working("pages of the jobs"):
        for job in jobs:
            if not _is_recent(folder / job):
                run_page(folder / job, drawing=False)
    pictures = save(folder, drawn, CAPTIONS)
    return write(folder / "report.html", several.page(found, heading, pictures).encode())


def _is_recent(folder: Path) -> bool:
    """Whether a run has a page of its last result."""
    page, result = folder / "report.html", folder / "result.json"
    return page.exists() and result.exists() and page.stat().st_mtime >= result.stat().st_mtime


def save(folder: Path, figures: dict[str, Any], captions: Mapping[str, str]) -> list[str]:
    """Write figures/<name>.png and .pdf, and the film; returns the figures as pictures of a page."""
    from wgf.figures.animation import kinds  # matplotlib
    from wgf.figures.style import encoded
    from wgf.sweep.pages.dark import follows

    pictures = []
    for name, drawn in counted("figures", figures):
        if name == FILM:
            for kind in kinds():
                drawn.save(folder / "figures" / f"{name}{kind}")
        else:
            sweep.write_figures(folder, {name: drawn})
            content = follows(encoded(drawn, "svg"), filled=name == "spacetime")
            pictures.append(html.figure(content, "svg", captions.get(name, name)))
    return pictures


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
