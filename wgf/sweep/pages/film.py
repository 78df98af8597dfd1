"""The moving part of the page of a run: density, map and error at every saved time, and a slider of the time."""

from __future__ import annotations

from typing import Any

import numpy as np

from wgf.figures.density import ceiling, computed, reference, window
from wgf.figures.style import SUPPORT, inside, limits
from wgf.result import at_most
from wgf.saved_maps import SavedMaps
from wgf.sweep.pages.chart import Axis, Chart, Curve
from wgf.sweep.pages.html import data, tag

FRAMES = 60  # at most, equally spaced among the saved times
DRAWN = {"start": "start", "computed": "computed", "reference": "reference"}
ERRORS = {"computed": "W1 error", "second": "W2 error", "bound": "bound of the W2 error"}


def film(solution: SavedMaps) -> str:
    """The charts with their slider; without a script they show the last time."""
    shown = sorted({round(k) for k in np.linspace(0, len(solution.t) - 1, min(FRAMES, len(solution.t)))})
    density, densities = _density(solution, shown)
    maps, mapped = _map(solution, shown)
    charts, moving = [density, maps], [densities, mapped]
    if _errors_known(solution):
        error, cursor = _error(solution, shown)
        charts.append(error)
        moving.append(cursor)
    frames = [
        {"text": text(solution, s), "curves": {name: points for part in parts for name, points in part.items()}}
        for s, *parts in zip(shown, *moving, strict=True)
    ]
    controls = [
        tag("button", "Play", type="button", id="play"),
        tag("label", "time", for_="time"),
        f'<input type="range" id="time" min="0" max="{len(shown) - 1}" value="{len(shown) - 1}">',
        tag("output", text(solution, shown[-1]), id="now", for_="time"),
    ]
    slider = '<div class="slider" hidden>' + "".join(controls) + "</div>"
    return tag("div", slider, tag("div", *charts, class_="charts"), class_="film") + data("frames", frames)


def text(solution: SavedMaps, s: int) -> str:
    """Time, errors and the bound at a saved time."""
    words = [f"t = {solution.t[s]:.4g}"]
    if solution.errors is not None and s > 0:  # the start is exact
        words += [f"{w} error {e:.2e}" for w, e in zip(("W1", "W2"), solution.errors[s], strict=True) if e == e]
    if solution.w2_bound is not None and np.isfinite(solution.w2_bound[s]):
        words.append(f"W2 error at most {at_most(solution.w2_bound[s])}")
    return ", ".join(words)


def _figure(chart: str, caption: str, keys: dict[str, str]) -> str:
    names = "".join(tag("span", name, class_=f"key {look}") for look, name in keys.items())
    return tag("figure", chart, tag("figcaption", f"{caption} ", names))


def _density(solution: SavedMaps, shown: list[int]) -> tuple[str, list[dict[str, str]]]:
    """The densities: their chart, and what moves in it for each frame."""
    top = 1.08 * ceiling(solution, shown)
    low, high = window(solution, shown)
    chart = Chart(Axis(low, high, "position x"), Axis(0.0, top, "density"), "Density at the time of the slider")
    return _moving(
        chart,
        "density",
        "Density.",
        chart.points(*computed(solution, 0)),
        [chart.points(*computed(solution, s)) for s in shown],
        None if solution.exact_T is None else [chart.points(*reference(solution, s)) for s in shown],
    )


def _map(solution: SavedMaps, shown: list[int]) -> tuple[str, list[dict[str, str]]]:
    """The maps: their chart, and what moves in it for each frame."""
    grid = inside(solution, SUPPORT)
    z, x = solution.z[grid], solution.T[:, grid]
    across, up = Axis(z[0], z[-1], "start z"), Axis(*limits(x[shown]), "position T(t, z)")
    chart = Chart(across, up, "Transport map at the time of the slider")
    return _moving(
        chart,
        "map",
        "Transport map.",
        chart.points(z, x[0]),
        [chart.points(z, x[s]) for s in shown],
        None if solution.exact_T is None else [chart.points(z, solution.exact_T[s, grid]) for s in shown],
    )


def _moving(
    chart: Chart, name: str, caption: str, start: str, rows: list[str], known: list[str] | None
) -> tuple[str, list[dict[str, str]]]:
    """A chart of a start and of curves that move; the reference lies above the computed curve."""
    curves = [Curve("start", start), Curve("computed", rows[-1], f"{name}-computed")]
    frames = [{f"{name}-computed": row} for row in rows]
    if known is not None:
        curves.append(Curve("reference", known[-1], f"{name}-reference"))
        frames = [frame | {f"{name}-reference": row} for frame, row in zip(frames, known, strict=True)]
    keys = {look: word for look, word in DRAWN.items() if known is not None or look != "reference"}
    return _figure(chart.svg(curves), caption, keys), frames


def _errors_known(solution: SavedMaps) -> bool:
    rows: list[Any] = [row[1:] for row in (solution.errors, solution.w2_bound) if row is not None]
    return any((np.isfinite(row) & (row > 0)).any() for row in rows)


def _error(solution: SavedMaps, shown: list[int]) -> tuple[str, list[dict[str, str]]]:
    """W1 and W2 error and the bound over time, and a line at the time of each frame."""
    t = solution.t
    known = {} if solution.errors is None else dict(zip(("computed", "second"), solution.errors.T, strict=True))
    known |= {} if solution.w2_bound is None else {"bound": solution.w2_bound}
    later = {look: np.where(t > t[0], row, np.nan) for look, row in known.items()}  # the start is exact
    later = {look: row for look, row in later.items() if (row > 0).any()}
    across = Axis(float(t[0]), float(t[-1]), "time t")
    chart = Chart(across, Axis.decades(np.concatenate([*later.values()]), "error"), "Errors over time")
    curves = [Curve(look, chart.points(t, row)) for look, row in later.items()]
    ends = np.array([chart.y.low, chart.y.high])
    lines = [chart.points(np.full(2, t[s]), ends) for s in shown]
    svg = chart.svg([*curves, Curve("now", lines[-1], "error-now")])
    return _figure(svg, "Error.", {look: ERRORS[look] for look in later}), [{"error-now": line} for line in lines]
