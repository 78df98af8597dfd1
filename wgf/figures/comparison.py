"""Comparison of many runs: errors against refined settings, errors against cost, densities at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from wgf.figures.convergence import Curve, convergence
from wgf.figures.density import ceiling, computed, reference, window
from wgf.figures.style import COLORS, DENSITY, EXACT, POSITION, bar, canvas, key, styled, title
from wgf.saved_maps import SavedMaps
from wgf.settings.flat import label, short, size

REFINED = {  # settings whose refinement makes the error small, and their names on an axis
    "network.width": "width $m$ (breakpoints or neurons)",
    "network.degree": "degree $k$",
    "integrator.dt": "mean step size $dt$",
    "integrator.rtol": "relative tolerance",
    "integrator.atol": "absolute tolerance",
    "quadrature.order": "quadrature nodes in a cell",
    "quadrature.particles": "particles",
}
ERROR = "$W_1$ error"
WORK = "evaluations x parameters"
NAMED = 8  # most curves with a legend


def convergences(axes: Sequence[str], rows: Sequence[Mapping[str, Any]], heading: str = "") -> dict[str, Figure]:
    """A figure for every setting that was refined, "convergence-<setting>", and "cost": error against the work.

    A curve joins runs that differ in one setting only; unrelated runs have none.

    Args:
        axes: settings that vary.
        rows: for each run its `status`, the value of every axis, `w1_error`, `w1_clear`,
            `evaluations` and `parameters`. Figures leave out
            runs that did not complete, because their errors are those of another time, runs without an error, and
            errors that are not clearly above that of the reference.
        heading: text above every figure.
    """
    done = [row for row in rows if row["status"] == "completed" and row.get("w1_clear") is not False]
    measured = [row for row in done if (row.get("w1_error") or 0) > 0]
    floor = max((row.get("reference_error") or 0.0 for row in measured), default=0.0)
    figures = {}
    for axis in axes:
        series = {name: c for name, c in curves(axis, axes, measured).items() if len(set(c[0])) > 1}
        if axis in REFINED and series:
            name = short(axis)
            fit = name != "degree"  # the error falls exponentially in the degree
            figures[f"convergence-{name}"] = convergence(series, REFINED[axis], ERROR, fit, heading, floor)
    work = [{**row, WORK: row["evaluations"] * row["parameters"]} for row in measured if _is_counted(row)]
    if len(work) > 1:
        along = next((axis for axis in axes if axis in REFINED), "")
        costs = curves(WORK, [axis for axis in axes if axis != along], work)
        if len({row.get("equation") for row in work}) > 1:  # errors of several problems
            costs = {name: c for name, c in costs.items() if len(c[0]) > 1}
        if costs:
            figures["cost"] = convergence(costs, WORK, ERROR, False, heading, floor, what="Error and work")
    return figures


def _is_counted(row: Mapping[str, Any]) -> bool:
    return bool(row.get("evaluations")) and bool(row.get("parameters"))


def curves(x: str, axes: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """Errors against x, or what it came to (`size`), a curve for each combination of the other axes."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        place = size(row, x)
        if place is not None:
            places, errors = found.setdefault(label(row, (axis for axis in axes if axis != x)), ([], []))
            places.append(place)
            errors.append(row["w1_error"])
    return found  # type: ignore[return-value]


@styled
def finals(runs: Mapping[str, SavedMaps], heading: str = "") -> Figure:
    """The density at the last time of every run, in the order given."""
    figure = canvas()
    axes = figure.subplots()
    scale = Normalize(0, max(1, len(runs) - 1))
    tops, ends = [], []
    for k, (name, solution) in enumerate(runs.items()):
        last = len(solution.t) - 1
        tops.append(ceiling(solution, [last]))
        ends.append(window(solution, [last]))
        axes.plot(*computed(solution, last), color=COLORS(float(scale(k))), lw=1.6, label=name.replace("$", r"\$"))
    known = solution.exact_T is not None
    if solution.exact_T is not None and np.isfinite(solution.exact_T[-1]).all():
        axes.plot(*reference(solution, last), label="reference of the last", **EXACT)
    axes.set(xlim=(min(low for low, _ in ends), max(high for _, high in ends)), xlabel=POSITION, ylabel=DENSITY)
    axes.set_ylim(0.0, 1.08 * min(max(tops), 8 * float(np.median(tops))))
    if len(runs) <= NAMED:
        axes.legend(fontsize=8, loc="best")
    else:
        names = list(runs)
        ticks = {float(k): names[k].replace(", ", "\n") for k in (0, len(names) - 1)}
        bar(figure, ScalarMappable(scale, COLORS), axes, ticks, "")
        axes.legend(handles=[key("reference of the last", **EXACT)] if known else [], loc="best")
    title(axes, "Densities at the end", heading)
    return figure
