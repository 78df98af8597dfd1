"""The transport map and its slope at about six of the saved times."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from wgf.figures.style import (
    EXACT,
    START,
    SUPPORT,
    canvas,
    colors,
    inside,
    key,
    legend,
    limits,
    logarithmic,
    scientific,
    shown,
    styled,
    time_bar,
    title,
)
from wgf.saved_maps import SavedMaps

IDENTITY: dict[str, Any] = {"color": "0.45", "lw": 1.3, "ls": ":"}
KNOTS: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 4, "mfc": "white", "mew": 1.1}
ABOVE = 5.0  # how many times the slopes of the mass, 1e-3 left out, a slope outside may show


@styled
def map(solution: SavedMaps, heading: str) -> Figure:
    """The maps with their knots on the last one; below, the error at the last time where a reference is known."""
    picked, color = shown(solution), colors(solution)
    figure = canvas()
    grid = inside(solution, SUPPORT)
    z, x, last = solution.z[grid], solution.T[:, grid], picked[-1]
    if solution.exact_T is None or not np.isfinite(solution.exact_T[last, grid]).all():
        axes = bottom = figure.subplots()
    else:
        axes, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        error = np.abs(x[last] - solution.exact_T[last, grid]) * solution.rho0[grid]
        top = max(float(error.max()), 1e-18)
        bottom.semilogy(z, np.maximum(error, 1e-9 * top), color=color(last), lw=1.4)
        bottom.set_ylim(1e-5 * top, 3 * top)
        bottom.set_ylabel(r"$|T - T^*|\, p$")
        bottom.grid(False)
        note = rf"at $t={solution.t[last]:.4g}$, area $W_1={scientific(np.trapezoid(error, z))}$"
        bottom.set_title(note, loc="right", color="0.3", fontsize=9.5, pad=3)
    axes.plot(z, z, zorder=2, **IDENTITY)
    for s in picked[1:]:  # the first one is the identity
        axes.plot(z, x[s], color=color(s), lw=1.8, zorder=3)
    if solution.exact_T is not None:
        for s in picked[1:]:
            axes.plot(z, solution.exact_T[s, grid], zorder=4, **EXACT)
    knots = _knots(solution, last, z)
    axes.plot(knots, np.interp(knots, z, x[last]), color=color(last), zorder=5, **KNOTS)
    axes.set_xlim(*limits(z, 0.0))
    axes.set_ylim(*limits(x[picked]))
    axes.set_ylabel("position $x = T(t, z)$ (length)")
    bottom.set_xlabel(START)
    legend(axes, solution, color(last), key("identity", **IDENTITY), *_named(knots, color(last)))
    title(axes, heading)
    time_bar(figure, figure.axes, solution, picked)
    return figure


@styled
def slope(solution: SavedMaps, heading: str) -> Figure:
    """The slopes d/dz T on a logarithmic axis: rho = p / T', so the map folds where one would reach 0."""
    picked, color = shown(solution), colors(solution)
    figure = canvas()
    axes = figure.subplots()
    grid = inside(solution, SUPPORT)
    z, dx, last = solution.z[grid], solution.dT[:, grid], picked[-1]
    axes.axhline(1.0, zorder=2, **IDENTITY)
    logarithmic(axes)
    for s in picked[1:]:
        axes.plot(z, dx[s], color=color(s), lw=1.8, zorder=3)
    if solution.exact_T is not None:
        for s in picked[1:]:
            axes.plot(z, np.gradient(solution.exact_T[s, grid], z), zorder=4, **EXACT)
    knots = _knots(solution, last, z)
    axes.plot(knots, np.interp(knots, z, dx[last]), color=color(last), zorder=5, **KNOTS)
    axes.set_xlim(*limits(z, 0.0))
    carried = dx[:, np.isin(grid, inside(solution, 1e-3))]
    axes.set_ylim(max(dx.min(), carried.min() / ABOVE) / 1.3, 1.3 * min(dx.max(), ABOVE * carried.max()))
    axes.set_xlabel(START)
    axes.set_ylabel("slope $T'(t, z)$")
    legend(axes, solution, color(last), key("identity", **IDENTITY), *_named(knots, color(last)))
    title(axes, heading)
    time_bar(figure, figure.axes, solution, picked)
    return figure


def _knots(solution: SavedMaps, s: int, z: np.ndarray) -> np.ndarray:
    """The knots at a saved time that the axis shows."""
    if solution.knots is None:
        return np.empty(0)
    knots = np.unique(solution.knots[s])
    return knots[(knots >= z[0]) & (knots <= z[-1])]


def _named(knots: np.ndarray, color: tuple[float, ...]) -> list[Any]:
    return [key("knots", color=color, **KNOTS)] if len(knots) else []
