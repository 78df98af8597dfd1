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
NARROW = 42  # letters of a heading beside such names
COLUMN = 22  # names in a column beside the curves
CROWD = 8  # most names that fit beside the curves
SPREAD = 0.5  # share of the smallest order by which a larger one may exceed it in a fit
FLAT = 0.5  # share of the median slope below which an end of a curve is not part of a fit
Curve = tuple[Sequence[float | None] | np.ndarray, Sequence[float | None] | np.ndarray]


def slope(x: np.ndarray, y: np.ndarray) -> float | None:
    """The exponent a of y = b x^a by least squares of the logarithms; None for fewer than two different x."""
    if len(np.unique(x)) < 2:
        return None
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def asymptotic(x: np.ndarray, y: np.ndarray) -> slice:
    """The points that show the order: all but those at the ends where the error falls less than half as steeply as
    the median of its slopes, because it does not fall yet or no longer."""
    if len(x) < 3 or len(np.unique(x)) < len(x):
        return slice(0, len(x))
    rates = np.diff(np.log(y)) / np.diff(np.log(x))
    usual = np.median(rates)
    steep = np.flatnonzero(rates * np.sign(usual) >= FLAT * abs(usual))
    return slice(int(steep[0]), int(steep[-1]) + 2)


def fitted(x: np.ndarray, y: np.ndarray, used: slice) -> tuple[float | None, str]:
    """The slope through some of the points, and its name in a legend; no slope, but the range of the orders between
    neighbours where these differ by half."""
    rate = slope(x[used], y[used])
    if rate is None:
        return None, ""
    among = f" ({x[used][0]:.3g} to {x[used][-1]:.3g})" if used.stop - used.start < len(x) else ""
    if len(np.unique(x)) == len(x):
        rates = np.diff(np.log(y[used])) / np.diff(np.log(x[used]))
        orders = rates * np.sign(np.median(rates))  # positive where the error falls towards the fine end
        low, high = float(orders.min()), float(orders.max())
        if high - low > SPREAD * max(low, 0.5):
            return None, f"orders {low:.1f} to {high:.1f}{among}"
    return rate, f"slope {round(rate, 2) + 0.0:.2f}{among}"


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
        fit: draw the least-squares line of each curve through its asymptotic points and write its slope in the legend;
            the other points are hollow. Orders that differ by half are written as a range, without a line.
        heading: text above the figure.
        floor: the error of the reference itself, a mark at the edge or in the legend; 0 where it is exact.
        join: whether a line joins the points of a curve without a fit.
        what: the title.
    """
    figure = canvas()
    axes = figure.subplots()
    axes.set_xscale("log")
    logarithmic(axes)
    places: set[float] = set()
    heights: list[float] = []
    left_out = False
    for k, (label, curve) in enumerate(series.items()):
        x, y = positive(curve)
        places |= set(x.tolist())
        heights += y.tolist()
        color, marker = PALETTE[k % len(PALETTE)], MARKERS[(k + k // len(PALETTE)) % len(MARKERS)]
        used = asymptotic(x, y)
        enough = used.stop - used.start >= min(3, len(x))  # two of many points show no order
        rate, name = fitted(x, y, used) if fit and enough else (None, "")
        if rate is not None:
            line = np.exp(np.log(y[used]).mean() + rate * (np.log(x[used]) - np.log(x[used]).mean()))
            axes.plot(x[used], line, color=color, lw=1.0, ls="--", alpha=0.7)
        words = ", ".join(part for part in (label, name) if part)
        look: dict[str, Any] = {"color": color, "marker": marker, "ms": 6, "lw": 1.6}
        look |= {"ls": "-" if join and rate is None else "none", "label": words.replace("$", r"\$")}
        (points,) = axes.plot(x, y, **look)
        if rate is not None and used.stop - used.start < len(x):
            points.set_markevery(used)
            out = np.setdiff1d(np.arange(len(x)), np.arange(len(x))[used])
            axes.plot(x[out], y[out], **look | {"ls": "none", "mfc": "none", "label": None})
            left_out = True
    if left_out:
        hollow: dict[str, Any] = {"marker": "o", "color": "0.45", "mfc": "none", "ls": "none"}
        axes.plot([], [], label="outside the fit: less than half as steep", **hollow)
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
        words = f"error of the reference {floor:.0e}"
        mark: dict[str, Any] = {"color": "0.45", "ls": "none"}
        if low <= floor <= high:
            at = axes.get_yaxis_transform()
            axes.plot([1.0], [floor], marker="<", transform=at, clip_on=False, label=words, **mark)
        else:
            side, marker = ("below", "v") if floor < low else ("above", "^")
            axes.plot([], [], marker=marker, label=f"{words}, {side} this axis", **mark)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    named = sum(bool(label) for label in axes.get_legend_handles_labels()[1])
    if named > CROWD:
        columns = 1 + named // COLUMN
        figure.legend(loc="outside right upper", fontsize=7 if columns == 1 else 5.5, ncols=columns)
    elif named:
        axes.legend(fontsize=8 if named > 4 else None, loc="best")
    title(axes, what, heading, WIDE if named <= CROWD else NARROW)
    return figure
