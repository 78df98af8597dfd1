"""The error: its W1 and W2 size over time, and where in space it sits."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from wgf.figures.style import (
    MARKERS,
    PALETTE,
    START,
    SUPPORT,
    TIME,
    WIDTH,
    canvas,
    colors,
    inside,
    logarithmic,
    shown,
    styled,
    time_bar,
    title,
)
from wgf.saved_maps import SavedMaps


@styled
def errors(solution: SavedMaps, heading: str, floor: float = 0.0) -> Figure | None:
    """W1 and W2 at the saved times with the bound of W2, and |T - T*| p at about six of them; None without a reference.

    Args:
        floor: the W1 error of the reference itself; 0 where it is exact.
    """
    if solution.errors is None or solution.exact_T is None or not np.isfinite(solution.errors[0][1:]).any():
        return None
    figure = canvas((WIDTH, WIDTH / 1.25))
    above, below = figure.subplots(2, 1, height_ratios=[1, 1])
    logarithmic(above)
    for k, (name, error) in enumerate(zip(("$W_1$", "$W_2$"), solution.errors, strict=True)):
        seen = np.isfinite(error) & (error > 0) & (solution.t > solution.t[0])  # the start is exact
        above.plot(solution.t[seen], error[seen], color=PALETTE[k], marker=MARKERS[k], ms=4, lw=1.6, label=name)
    if solution.w2_bound is not None:
        bound = np.where(solution.w2_bound > 0, solution.w2_bound, np.nan)
        top = 1.6 * np.nanmax(bound)
        above.plot(solution.t, bound, color=PALETTE[1], lw=1.2, ls="--", label="$W_2$ is below (certificate)")
        above.fill_between(solution.t, bound, top, color=PALETTE[1], alpha=0.12, lw=0)
    if floor > 0:
        above.axhline(floor, color="0.45", lw=1.2, ls=":", label="$W_1$ error of the reference")
    above.set_xlabel(TIME)
    above.set_ylabel("error (length)")
    above.legend()
    title(above, heading)
    picked, color, grid = shown(solution)[1:], colors(solution), inside(solution, SUPPORT)
    z, top = solution.z[grid], 0.0
    for s in picked:
        error = np.abs(solution.T[s, grid] - solution.exact_T[s, grid]) * solution.rho0[grid]
        if np.isfinite(error).any():
            top = max(top, float(np.nanmax(error)))
            below.plot(z, np.maximum(error, 1e-300), color=color(s), lw=1.3)
    below.set_yscale("log")
    below.set_ylim(1e-5 * max(top, 1e-18), 3 * max(top, 1e-18))
    below.set_xlim(z[0], z[-1])
    below.set_xlabel(START)
    below.set_ylabel(r"$|T - T^*|\, p$")
    time_bar(figure, below, solution, picked)
    return figure
