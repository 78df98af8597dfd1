"""Figures of docs/results.md from the studies of scripts/results.py."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from results_tables import PAPER, WIDTHS, Cells

from wgf.figures.convergence import convergence
from wgf.figures.density import ceiling, computed, reference, window
from wgf.figures.style import EXACT, MARKERS, PALETTE, canvas, colors, key, shown, styled
from wgf.saved_maps import SavedMaps
from wgf.sweep.study import Row, Study


@styled
def panels(found: Cells, draw: Callable[..., None], xlabel: str, ylabel: str) -> Figure:
    """Nine panels, one for each experiment of the paper, at m = 32, weights only, B = 4."""
    figure = canvas((8.6, 6.9))
    grid = figure.subplots(3, 3)
    for axes, (name, label) in zip(grid.flat, PAPER.items(), strict=True):
        solution = SavedMaps.load(found[name, "weights", 4, 32]["folder"] / "solution.npz")
        draw(axes, solution)
        axes.set_title(f"{label}, to t = {solution.t[-1]:.3g}", loc="left", fontsize=8.5)
        axes.tick_params(labelsize=7)
    for axes in grid[-1]:
        axes.set_xlabel(xlabel)
    for axes in grid[:, 0]:
        axes.set_ylabel(ylabel)
    handles = [
        key("computed, from dark to light in time", color=colors(solution)(0), lw=1.8),
        key("reference", **EXACT),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def draw_density(axes: Any, solution: SavedMaps) -> None:
    picked, color = shown(solution, 4), colors(solution)
    for s in picked:
        axes.plot(*computed(solution, s), color=color(s), lw=1.5)
    if solution.exact_T is not None:
        axes.plot(*reference(solution, -1), zorder=4, **EXACT)
    axes.set_xlim(*window(solution, picked))
    axes.set_ylim(0.0, 1.08 * ceiling(solution, picked))


def draw_map(axes: Any, solution: SavedMaps) -> None:
    picked, color = shown(solution, 4), colors(solution)
    inside = np.abs(solution.z) < 3.5
    for s in picked:
        axes.plot(solution.z[inside], solution.T[s, inside], color=color(s), lw=1.5)
    if solution.exact_T is not None:
        axes.plot(solution.z[inside], solution.exact_T[-1, inside], zorder=4, **EXACT)


def width_figure(found: Cells, degrees: Study) -> Figure:
    """Error against width of every network, Fokker-Planck in the quartic double well."""
    series = {
        label: [found["fokker_planck_quartic", train, 4, w] for w in WIDTHS]
        for label, train in (("weights", "weights"), ("weights and biases", "all"))
    } | {f"spline, degree {k}": [row for row in degrees.rows if row["network.degree"] == str(k)] for k in (2, 3, 5)}

    def points(rows: list[Row], clear: bool) -> tuple[list[float], list[float]]:
        kept = [row for row in rows if row["status"] == "completed" and row["w1_clear"] == clear]
        return [float(row["network.width"]) for row in kept], [row["w1_error"] for row in kept]

    figure = convergence(
        {label: points(rows, clear=True) for label, rows in series.items()},
        "width $m$",
        "$W_1$ error",
        heading="Fokker-Planck in the quartic double well, t = 0.2 (splines: bound 4.5)",
    )
    (axes,) = figure.axes
    for k, rows in enumerate(series.values()):  # not part of the fit
        axes.plot(*points(rows, clear=False), color=PALETTE[k], marker=MARKERS[k], ms=6, mfc="none", ls="none")
    return figure


@styled
def moment_figure(found: Cells) -> Figure:
    figure = canvas((6.0, 3.6))
    axes = figure.subplots()
    for name, chi, color in (
        ("keller_segel_subcritical", 0.5, "#0072B2"),
        ("keller_segel_supercritical", 1.5, "#D55E00"),
    ):
        for width, marks in ((32, {"ms": 3.5}), (4, {"ms": 8, "mfc": "none"})):  # circles around dots
            with open(found[name, "weights", 4, width]["folder"] / "history.csv", newline="") as file:
                rows = list(csv.DictReader(file))
            t, m2 = ([float(row[column]) for row in rows] for column in ("t", "second_moment"))
            label = rf"$\chi = {chi}$, $m = {width}$"
            axes.plot(t, m2, "o", color=color, label=label, **marks)
        axes.plot([0, 0.3], [1, 1 + 0.6 * (1 - chi)], **EXACT)
    axes.set_xlabel("time $t$")
    axes.set_ylabel(r"second moment $\int x^2 \rho$")
    axes.legend(handles=[*axes.get_legend_handles_labels()[0], key(r"$1 + 2(1 - \chi)t$", **EXACT)])
    return figure
