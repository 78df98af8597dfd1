"""Errors against a refined setting, on logarithmic axes, with fitted slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from wgf.figures.style import MARKERS, PALETTE, Plain, canvas, logarithmic, styled, title

APART = 1.3  # smallest ratio of neighbours on the axis whose numbers do not overlap
CROWD = 8  # most names that fit beside the curves
Curve = tuple[Sequence[float | None] | np.ndarray, Sequence[float | None] | np.ndarray]


def slope(x: np.ndarray, y: np.ndarray) -> float | None:
    """The exponent a of y = b x^a by least squares of the logarithms; None for fewer than two different x."""
    if len(np.unique(x)) < 2:
        return None
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


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
) -> Figure:
    """One curve for each label, on logarithmic axes.

    Args:
        series: label -> (x, y). Points that are None, not finite or not positive are left out.
        xlabel: name and unit of the refined setting.
        ylabel: the error, with its unit.
        fit: draw the least-squares line of each curve with at least two points and write its slope in the legend.
        heading: text above the figure.
        floor: the error of the reference itself, drawn as a line; 0 where it is exact.
        join: whether a line joins the points of a curve without a fit.
    """
    figure = canvas()
    axes = figure.subplots()
    axes.set_xscale("log")
    logarithmic(axes)
    places: set[float] = set()
    heights: list[float] = [floor] if floor > 0 else []
    for k, (label, curve) in enumerate(series.items()):
        x, y = positive(curve)
        places |= set(x.tolist())
        heights += y.tolist()
        color, marker = PALETTE[k % len(PALETTE)], MARKERS[(k + k // len(PALETTE)) % len(MARKERS)]
        rate = slope(x, y) if fit else None
        if rate is not None:
            line = np.exp(np.log(y).mean() + rate * (np.log(x) - np.log(x).mean()))
            axes.plot(x, line, color=color, lw=1.0, ls="--", alpha=0.7)
        words = ", ".join(part for part in (label, "" if rate is None else f"slope {round(rate, 2) + 0.0:.2f}") if part)
        style = "-" if join and rate is None else "none"
        axes.plot(x, y, color=color, marker=marker, ms=6, ls=style, lw=1.6, label=words.replace("$", r"\$"))
    if floor > 0:
        axes.axhline(floor, color="0.45", lw=1.2, ls=":", label="error of the reference")
    ticks = np.array(sorted(places))
    if 0 < len(ticks) <= 10 and (ticks[1:] > APART * ticks[:-1]).all():
        axes.xaxis.set_major_locator(FixedLocator(ticks.tolist()))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_formatter(Plain())
        axes.xaxis.set_minor_formatter(Plain(labelOnlyBase=False))
    if heights and max(heights) < 10 * min(heights):  # less than a decade is not blown up
        middle = np.sqrt(min(heights) * max(heights))
        axes.set_ylim(middle / 4, 4 * middle)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    named = sum(bool(label) for label in axes.get_legend_handles_labels()[1])
    if named > CROWD:
        figure.legend(loc="outside right upper", fontsize=7)
    elif named:
        axes.legend(fontsize=8 if named > 4 else None)
    if heading:
        title(axes, heading)
    return figure
