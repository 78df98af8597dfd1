"""The error: its W1 and W2 size over time, and where in space it lies."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from wgf.figures import style
from wgf.figures.style import styled
from wgf.saved_maps import SavedMaps

GAP = r"$|T - T^*|\, p$"


def gap(solution: SavedMaps, grid: np.ndarray) -> np.ndarray:
    """|T - T*| p at the saved times on a part of the grid [s, n]; its integral over z is the W1 error."""
    return np.abs(solution.T[:, grid] - solution.exact_T[:, grid]) * solution.rho0[grid]  # type: ignore[index]


def gap_limits(values: np.ndarray) -> tuple[float, float]:
    """Ends of a logarithmic axis: the five decades below the largest finite value."""
    top = max([1e-18, *values[np.isfinite(values)]])
    return 1e-5 * top, 3 * top


@styled
def errors(solution: SavedMaps, heading: str, floor: float = 0.0) -> Figure | None:
    """W1 and W2 at the saved times with the bound of W2, and |T - T*| p at about six of them.

    Without a reference, the bound alone; None if there is none, either.

    Args:
        solution: the maps.
        heading: text above the figure.
        floor: the W1 error of the reference itself; 0 where it is exact.
    """
    pairs = solution.errors if solution.exact_T is not None else None
    compared = pairs is not None and bool(np.isfinite(pairs[1:]).any())
    known = np.nan if solution.w2_bound is None else solution.w2_bound
    bounded = (known > 0) & (solution.t > solution.t[0])
    if not (compared or bounded.any()):
        return None
    figure = style.canvas((style.WIDTH, style.WIDTH / (1.25 if compared else 2)))
    above, *below = figure.subplots(2 if compared else 1, 1, squeeze=False).flat
    style.logarithmic(above)
    for k, (name, error) in enumerate(zip(("$W_1$", "$W_2$"), pairs.T if compared else (), strict=False)):
        seen = np.isfinite(error) & (error > 0) & (solution.t > solution.t[0])  # the start is exact
        look = {"color": style.PALETTE[k], "marker": style.MARKERS[k], "ms": 4, "lw": 1.6}
        above.plot(solution.t[seen], error[seen], label=name, **look)
    if bounded.any():
        bound, color = np.where(bounded, known, np.nan), style.PALETTE[1]
        above.plot(solution.t, bound, color=color, lw=1.2, ls="--", label="$W_2$ is below (certificate)")
        above.fill_between(solution.t, bound, 1.6 * np.nanmax(bound), color=color, alpha=0.12, lw=0)
    if compared and floor > 0:
        above.axhline(floor, color="0.45", lw=1.2, ls=":", label="$W_1$ error of the reference")
    above.set_ylabel("error")
    above.legend(loc="best")
    style.times(above.xaxis, solution.t)
    style.title(above, "Error", heading)
    for panel in below:
        picked, grid = style.shown(solution)[1:], style.inside(solution, style.SUPPORT)
        z, rows = solution.z[grid], gap(solution, grid)
        for s in picked:
            panel.plot(z, np.maximum(rows[s], 1e-300), color=style.colors(solution)(s), lw=1.3)
        panel.set(yscale="log", ylim=gap_limits(rows[picked]), xlim=(z[0], z[-1]), xlabel=style.START, ylabel=GAP)
        style.time_bar(figure, panel, solution, picked)
    return figure
