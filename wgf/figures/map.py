"""The transport map and its slope at about six of the saved times."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wgf.figures import style
from wgf.figures.errors import GAP, gap, gap_limits
from wgf.figures.style import styled
from wgf.figures.typeset import scientific
from wgf.saved_maps import SavedMaps

IDENTITY: dict[str, Any] = {"color": "0.45", "lw": 1.3, "ls": ":", "zorder": 2}
KNOTS: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 4, "mfc": "white", "mew": 1.1}
ABOVE = 5.0  # a slope outside the bulk of the mass, 1e-3 at either end, may be this many times higher than inside


@styled
def map(solution: SavedMaps, heading: str) -> Figure:
    """The maps, with the knots on the last one; below, the error at the last time where a reference is known."""
    figure, picked = style.canvas(), style.shown(solution)
    grid, last = style.inside(solution, style.SUPPORT), picked[-1]
    z, x = solution.z[grid], solution.T[:, grid]
    if solution.exact_T is None or not np.isfinite(solution.exact_T[last, grid]).all():
        axes = bottom = figure.subplots()
    else:
        axes, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        error = gap(solution, grid)[last]
        low, high = gap_limits(error)
        bottom.semilogy(z, np.maximum(error, 1e-4 * low), color=style.colors(solution)(last), lw=1.4)
        bottom.set(ylim=(low, high), ylabel=GAP)
        bottom.grid(False)
        area = np.trapezoid(error, z) if solution.errors is None else solution.errors[last, 0]
        note = rf"at ${style.time_of(solution, last)}$, area $W_1={scientific(area)}$"
        bottom.set_title(note, loc="right", color="0.3", fontsize=9.5, pad=3)
    axes.plot(z, z, **IDENTITY)
    knots = _curves(axes, solution, z, x, None if solution.exact_T is None else solution.exact_T[:, grid])
    axes.set(xlim=(z[0], z[-1]), ylim=style.limits(x[picked]), ylabel="position $x = T(t, z)$")
    style.walls(axes, solution, along="y")
    bottom.set_xlabel(style.START)
    style.explain(figure, "Transport map", heading, solution, picked, style.key("identity", **IDENTITY), *knots)
    return figure


@styled
def slope(solution: SavedMaps, heading: str) -> Figure:
    """The slopes d/dz T on a logarithmic axis: rho = p / T', so the map folds where a slope reaches 0."""
    figure, picked = style.canvas(), style.shown(solution)
    axes, grid = figure.subplots(), style.inside(solution, style.SUPPORT)
    z, dx = solution.z[grid], solution.dT[:, grid]
    style.logarithmic(axes)
    axes.axhline(1.0, **IDENTITY)
    exact = None if solution.exact_T is None else np.gradient(solution.exact_T[:, grid], z, axis=1)
    knots = _curves(axes, solution, z, dx, exact)
    carried = dx[:, np.isin(grid, style.inside(solution, 1e-3))]
    height = max(dx.min(), carried.min() / ABOVE) / 1.3, 1.3 * min(dx.max(), ABOVE * carried.max())
    axes.set(xlim=(z[0], z[-1]), ylim=height, xlabel=style.START, ylabel="slope $T'(t, z)$")
    style.explain(figure, "Slope of the map", heading, solution, picked, style.key("identity", **IDENTITY), *knots)
    return figure


def _curves(axes: Axes, solution: SavedMaps, z: np.ndarray, rows: np.ndarray, exact: np.ndarray | None) -> list[Any]:
    """Draw rows [s, n] over z [n] at the shown times and the knots on the last row; returns the legend of the knots."""
    picked, color = style.shown(solution), style.colors(solution)
    for s in picked[1:]:  # the first one is the identity
        axes.plot(z, rows[s], color=color(s), lw=1.8, zorder=3)
    if exact is not None:
        for s in picked[1:]:
            axes.plot(z, exact[s], zorder=4, **style.EXACT)
    last = picked[-1]
    knots = np.unique(solution.knots[last]) if solution.knots is not None else np.empty(0)
    knots = knots[(knots >= z[0]) & (knots <= z[-1])]
    axes.plot(knots, np.interp(knots, z, rows[last]), color=color(last), zorder=5, **KNOTS)
    return [style.key("knots", color=color(last), **KNOTS)] if len(knots) else []
