"""Figures of ensembles: a fan of densities, and a number over one or two parameters."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from wgf.figures import style
from wgf.figures.style import DENSITY, POSITION, styled

BANDS = (0.05, 0.25, 0.5, 0.75, 0.95)  # shares of the flows with a smaller density
COLOR = "#1f5a91"


@styled
def fan(x: np.ndarray, rho: np.ndarray, heading: str) -> Figure:
    """The median of densities rho [n, q] at the points x [q], with bands that hold 50 % and 90 % of the flows."""
    figure = style.canvas()
    axes = figure.subplots()
    low, lower, middle, upper, high = np.nanquantile(rho, BANDS, axis=0)
    axes.fill_between(x, low, high, color=COLOR, alpha=0.15, lw=0, label="90 % of the flows")
    axes.fill_between(x, lower, upper, color=COLOR, alpha=0.3, lw=0, label="50 % of the flows")
    axes.plot(x, middle, color=COLOR, lw=1.8, label="median")
    axes.set(xlim=(x[0], x[-1]), ylim=(0.0, 1.05 * float(np.nanmax(high))), xlabel=POSITION, ylabel=DENSITY)
    axes.legend(frameon=False, loc="best")
    style.title(axes, heading)
    return figure


@styled
def over_parameters(columns: dict[str, np.ndarray], values: np.ndarray, label: str, heading: str) -> Figure:
    """Numbers [n] of the flows over one parameter, or in colours over two.

    Args:
        columns: the one or two parameters by name [n].
        values: a number of each flow [n]; flows without a number are left out.
        label: what the number is.
        heading: title.
    """
    figure = style.canvas()
    axes, names, seen = figure.subplots(), list(columns), np.isfinite(values)
    first = columns[names[0]]
    if len(names) == 1:
        order = np.argsort(first[seen], kind="stable")
        axes.plot(first[seen][order], values[seen][order], color=COLOR, marker="o", ms=4, lw=1.2)
        axes.set(xlabel=names[0], ylabel=label)
    else:
        points = axes.scatter(first[seen], columns[names[1]][seen], c=values[seen], s=24, cmap="viridis")
        axes.set(xlabel=names[0], ylabel=names[1])
        figure.colorbar(points, ax=axes, label=label)
    style.title(axes, heading)
    return figure
