"""Errors against a refined setting, on logarithmic axes, with fitted slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from wgf.figures.style import MARKERS, PALETTE, Plain, at_least_a_decade, canvas, logarithmic, styled, title
from wgf.figures.typeset import WIDE

APART = 1.3  # smallest ratio of neighbours on the axis whose numbers do not overlap
NARROW = 46  # letters of a heading beside such names
COLUMN = 22  # names in a column beside the curves
CROWD = 8  # most names that fit beside the curves
SATURATED, ALIKE = 0.75, 0.35  # ratio of slopes, and relative difference of slopes
Curve = tuple[Sequence[float | None] | np.ndarray, Sequence[float | None] | np.ndarray]


def slope(x: np.ndarray, y: np.ndarray) -> float | None:
    """The exponent a of y = b x^a by least squares of the logarithms; None for fewer than two different x."""
    if len(np.unique(x)) < 2:
        return None
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def asymptotic(x: np.ndarray, y: np.ndarray) -> slice:
    """The points that show the order: not the finest ones where the error no longer falls, and not coarser ones whose
    slopes are another."""
    if len(x) < 3 or len(np.unique(x)) < len(x):
        return slice(0, len(x))
    rates = np.diff(np.log(y)) / np.diff(np.log(x))
    falls = rates.mean() < 0  # towards large x, as with the width
    rates = rates if falls else rates[::-1]
    end = len(rates)
    while end > 1 and abs(rates[end - 1]) < SATURATED * np.abs(rates[: end - 1]).max():
        end -= 1
    begin = end - 1
    while begin > 0 and abs(rates[begin - 1] - rates[end - 1]) <= ALIKE * abs(rates[end - 1]):
        begin -= 1
    return slice(begin, end + 1) if falls else slice(len(x) - end - 1, len(x) - begin)


def positive(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """The points of a curve whose x and y are finite and positive, by increasing x."""
    x, y = (np.array(values, dtype=float) for values in curve)
    good = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
    order = np.argsort(x[good], kind="stable")
    return x[good][order], y[good][order]


@styled
def convergence(
    series: Mapping[str, Curve],
    xlabel: str,
    ylabel: str,
    fit: bool = True,
    heading: str = "",
    floor: float = 0.0,
    join: bool = True,
    what: str = "Convergence",
) -> Figure:
    """One curve for each label, on logarithmic axes.

    Args:
        series: label -> (x, y). Points that are None, not finite or not positive are left out.
        xlabel: name and unit of the refined setting.
        ylabel: the error, with its unit.
        fit: draw the least-squares line of each curve through its asymptotic points and write its slope in the legend.
        heading: text above the figure.
        floor: the error of the reference itself, a mark at the edge; 0 where it is exact.
        join: whether a line joins the points of a curve without a fit.
        what: the title.
    """
    figure = canvas()
    axes = figure.subplots()
    axes.set_xscale("log")
    logarithmic(axes)
    places: set[float] = set()
    heights: list[float] = []
    for k, (label, curve) in enumerate(series.items()):
        x, y = positive(curve)
        places |= set(x.tolist())
        heights += y.tolist()
        color, marker = PALETTE[k % len(PALETTE)], MARKERS[(k + k // len(PALETTE)) % len(MARKERS)]
        used = asymptotic(x, y)
        enough = used.stop - used.start >= min(3, len(x))  # two of many points show no order
        rate = slope(x[used], y[used]) if fit and enough else None
        if rate is not None:
            line = np.exp(np.log(y[used]).mean() + rate * (np.log(x[used]) - np.log(x[used]).mean()))
            axes.plot(x[used], line, color=color, lw=1.0, ls="--", alpha=0.7)
        words = ", ".join(part for part in (label, "" if rate is None else f"slope {round(rate, 2) + 0.0:.2f}") if part)
        style = "-" if join and rate is None else "none"
        axes.plot(x, y, color=color, marker=marker, ms=6, ls=style, lw=1.6, label=words.replace("$", r"\$"))
    ticks = np.array(sorted(places))
    if 0 < len(ticks) <= 10 and (ticks[1:] > APART * ticks[:-1]).all():
        axes.xaxis.set_major_locator(FixedLocator(ticks.tolist()))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_formatter(Plain())
        axes.xaxis.set_minor_formatter(Plain(labelOnlyBase=False))
    at_least_a_decade(axes, np.array(heights))
    if floor > 0:
        low, high = axes.get_ylim()
        mark: dict[str, Any] = {"color": "0.45", "ls": "none", "clip_on": False}
        mark["label"] = f"error of the reference {floor:.0e}"
        if low <= floor <= high:
            axes.plot([1.0], [floor], marker="<", transform=axes.get_yaxis_transform(), **mark)
        else:
            axes.plot([1.0], [0.0], marker="v", transform=axes.transAxes, **mark)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    named = sum(bool(label) for label in axes.get_legend_handles_labels()[1])
    if named > CROWD:
        columns = 1 + named // COLUMN
        figure.legend(loc="outside right upper", fontsize=7 if columns == 1 else 5.5, ncols=columns)
    elif named:
        axes.legend(fontsize=8 if named > 4 else None)
    title(axes, what, heading, WIDE if named <= CROWD else NARROW)
    return figure
