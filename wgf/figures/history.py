"""The history of a run over time: energy and dissipation, steps and moments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from wgf.figures import style
from wgf.figures.style import MARKERS, PALETTE, styled

ROUNDING = 400 * np.finfo(float).eps  # of a second moment: of a variance below, less than two digits are known
Columns = Mapping[str, np.ndarray]  # column of history.csv -> its values, NaN where a row has none


@styled
def energy(rows: Columns, heading: str) -> Figure:
    """The energy with its terms, the dissipation, and the error of their balance."""
    figure = style.canvas((style.WIDTH, style.WIDTH / 1.25))
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[2, 1, 1])
    t, total = rows["t"], rows["energy"]
    terms = [name for name in rows if name.startswith("energy_")]
    top.plot(t, total, color="black", lw=2.0, label="total $F$")
    for k, name in enumerate(terms if len(terms) > 1 else []):
        top.plot(t, rows[name], color=PALETTE[k], lw=1.4, label=name.removeprefix("energy_"), **_dots(k, t))
    top.set_ylabel("energy")
    top.legend(loc="best")
    style.logarithmic(middle, bottom)
    middle.plot(t, rows["dissipation"], color=PALETTE[0], lw=1.6)
    moves = "work" in rows  # then F may rise
    middle.set_ylabel("dissipation" if moves else "dissipation\n$-dF/dt$")
    if "dissipated" in rows:
        gap = np.abs(total[0] - total + (rows["work"] if moves else 0.0) - rows["dissipated"])
        bottom.plot(t, np.where(gap > 0, gap, np.nan), color=PALETTE[1], lw=1.6)
        bottom.set_ylabel("balance gap")
        style.at_least_a_decade(bottom, gap[gap > 0])
        work = r" + \mathrm{work}" if moves else ""
        formula = rf"$|F(0){work} - F(t) - \int_0^t \mathrm{{dissipation}}|$"
        bottom.set_title(formula, loc="right", fontsize=9.5, pad=3)
    bottom.set_xlim(style.limits(t, 0.02))
    style.times(bottom.xaxis, t)
    style.title(top, "Energy and dissipation", heading)
    return figure


@styled
def steps(rows: Columns, heading: str) -> Figure:
    """Step size, rejections, moments and the smallest slope, each over time."""
    figure, t = style.canvas(), rows["t"]
    (dt, rejected), (moments, slope) = figure.subplots(2, 2, sharex=True)
    style.logarithmic(dt, slope)
    dt.plot(t[1:], rows["dt"][1:], color=PALETTE[0], lw=1.4, **_dots(0, t))
    dt.set_ylabel("step size")
    style.at_least_a_decade(dt, rows["dt"][rows["dt"] > 0])
    variance = rows["second_moment"] - rows["mean"] ** 2
    seen = variance > ROUNDING * rows["second_moment"]
    width = {"standard deviation": np.sqrt(np.where(seen, variance, np.nan))} if seen.any() else {}
    pairs = (
        (rejected, "steps so far", {"accepted": rows["step"], "rejected": rows["rejected"]}),
        (moments, "position", {"mean": rows["mean"], **width}),
    )
    for axes, ylabel, curves in pairs:
        for color, ls, (label, values) in zip(PALETTE, ("-", "--"), curves.items(), strict=False):
            axes.plot(t, values, color=color, lw=1.6, ls=ls, label=label)
        axes.set_ylabel(ylabel)
        axes.legend(loc="best")
    slope.plot(t, rows["min_slope"], color=PALETTE[2], lw=1.6)
    slope.set_ylabel("smallest slope $T'$")
    if "breakpoints" in rows:
        count = slope.twinx()
        count.plot(t, rows["breakpoints"], color=PALETTE[3], lw=1.2, drawstyle="steps-post")
        count.set_ylabel("breakpoints", color=PALETTE[3])
    for axes in (moments, slope):
        axes.set_xlim(style.limits(t, 0.02))
        style.times(axes.xaxis, t)
    style.title(dt, "Steps and moments", heading)
    return figure


def _dots(k: int, t: np.ndarray) -> dict[str, object]:
    """Markers at about twelve of the points."""
    return {"marker": MARKERS[k], "ms": 4, "markevery": max(1, len(t) // 12)}
