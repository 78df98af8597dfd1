"""The density over time: curves on one axis, curves one above the other, and colours over space and time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from wgf.figures import style
from wgf.figures.style import DENSITY, EXACT, POSITION, TIME, styled
from wgf.figures.typeset import in_one_power
from wgf.saved_maps import SavedMaps

Curve = tuple[np.ndarray, np.ndarray]
VISIBLE = 1e-4  # mass left out on either side of a density
SPIKE = 8.0  # how many times higher than the lowest curve the highest may stand
SEEN = 0.01  # smallest difference from the reference that shows beside a curve, as a share of the axis
RIDGES = 11  # curves one above the other
ROWS, COLUMNS = 80, 321  # of the colours over space and time, about
HOLLOW = 0.5  # share of the density at the ends of a cell below which its mean is drawn
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@styled
def density(solution: SavedMaps, heading: str) -> Figure:
    """The densities at about six of the saved times; below, what they differ from the reference where it is known."""
    figure, picked, color = style.canvas(), style.shown(solution), style.colors(solution)
    last, compared = picked[-1], solution.exact_T is not None and len(picked) > 1
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1]) if compared else [figure.subplots()] * 2
    axes.fill_between(*computed(solution, last), color=color(last), alpha=0.12, lw=0)
    for s in picked:
        axes.plot(*computed(solution, s), color=color(s), lw=1.8, zorder=3)
    top = 1.08 * ceiling(solution, picked)
    gaps = {s: difference(solution, s) for s in picked[1:]} if compared else {}
    apart = [s for s, (_, gap) in gaps.items() if np.abs(gap[np.isfinite(gap)]).max(initial=0.0) > SEEN * top]
    for s, (x, gap) in gaps.items():
        below.plot(x, gap, color=color(s), lw=1.3)
    for s in apart:  # elsewhere the reference would only hide the curves
        axes.plot(*reference(solution, s), zorder=4, **EXACT)
    axes.set(xlim=window(solution, picked), ylim=(0.0, top), ylabel=DENSITY)
    below.set_xlabel(POSITION)
    style.walls(axes, solution)
    if compared:
        size = max(style.quantile(np.abs(gap), 0.995) for _, gap in gaps.values())
        below.set(ylim=(-1.2 * size, 1.2 * size) if size > 0 else (-1, 1), ylabel=r"$\rho - \rho^*$")
        style.scaled(below)
        below.set_title(r"error against the reference $\rho^*$", loc="right", color="0.3", fontsize=9.5, pad=3)
    style.note(axes, *cut_off(solution, picked, top))
    what = "Density and its error" if compared else "Density"
    style.explain(figure, what, heading, solution, picked, compared=bool(apart))
    return figure


@styled
def ridgeline(solution: SavedMaps, heading: str) -> Figure:
    """The densities at about eleven of the saved times one above the other, the first one lowest."""
    picked, color = style.shown(solution, RIDGES), style.colors(solution)
    figure = style.canvas((style.WIDTH, style.WIDTH))
    axes, top = figure.subplots(), ceiling(solution, picked)
    gap = 0.55 * top  # neighbours may overlap, so that each is high enough to be read
    for k, s in reversed(list(enumerate(picked))):
        x, rho = computed(solution, s, 2 * top)
        axes.fill_between(x[::4], k * gap, k * gap + rho[::4], color=color(s), alpha=0.35, lw=0, zorder=-k)
        axes.plot(x, k * gap + rho, color=color(s), lw=1.5, zorder=-k)
        if solution.exact_T is not None and s:
            x, rho = reference(solution, s, 2 * top)
            axes.plot(x, k * gap + rho, zorder=-k, **EXACT)
    write, label = in_one_power(solution.t[picked].tolist(), TIME)
    axes.set_yticks([k * gap for k in range(len(picked))], labels=[write(t) for t in solution.t[picked].tolist()])
    axes.set(xlim=window(solution, picked), ylim=(-0.05 * gap, (len(picked) - 1) * gap + 1.15 * top))
    axes.set(xlabel=POSITION, ylabel=f"{label};  from line to line: a density of {gap:.3g}")
    style.walls(axes, solution)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    style.explain(figure, "Density over time", heading, solution, picked, times=False)
    return figure


@styled
def spacetime(solution: SavedMaps, heading: str) -> Figure:
    """Colours over space and time, and the paths of some quantiles.

    The colours lie on the images of the grid of the base, so edges of a support stay sharp; a cell that is emptier than
    its ends has its mean density. Between saved times every particle moves straight on, which is the shortest way from
    one density to the next.
    """
    figure = style.canvas()
    axes = figure.subplots()
    style.title(axes, "Density over space and time", heading)
    if len(solution.t) < 2:
        style.note(axes, "only the start is known")
        return figure
    every = list(range(len(solution.t)))
    scale = PowerNorm(0.6, 0.0, ceiling(solution, every), clip=True)
    t, T, rho = _mesh(solution)
    times = np.broadcast_to(t[:, None], T.shape)
    for shift in _turns(solution):
        picture = axes.pcolormesh(T + shift, times, rho, shading="gouraud", norm=scale, cmap="viridis", rasterized=True)
    axes.set_facecolor(picture.cmap(0.0))
    for q in QUANTILES:
        path = np.array([np.interp(q, solution.cdf, row) for row in solution.T])
        for shift in _turns(solution):
            axes.plot(path + shift, solution.t, color="white", lw=1.4 if q == 0.5 else 0.8, alpha=0.9, zorder=2)
    axes.grid(False)
    shares = ", ".join(f"{100 * q:.0f}" for q in QUANTILES)
    axes.set_xlabel(POSITION)
    style.note(axes, f"lines: {shares} % of the mass to their left", color="white", ground=picture.cmap(0.0))
    axes.set(xlim=window(solution, every), ylim=(solution.t[0], solution.t[-1]))
    style.times(axes.yaxis, solution.t)
    style.walls(axes, solution)
    marks = {float(mark): f"{mark:.2g}" for mark in scale.inverse(np.linspace(0.0, 1.0, 6))}
    label = f"{DENSITY}, colours as its power {scale.gamma:g}"
    style.bar(figure, picture, axes, marks, label, extend="max" if rho.max() > scale.vmax else "neither")
    return figure


def _mesh(solution: SavedMaps) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times [t], places and densities [t, n] of the colours."""
    every = np.arange(len(solution.z))
    some = np.unique(np.linspace(0, every[-1], COLUMNS).round().astype(int))
    for _ in range(2):  # the grid may have more points in cells that are emptier than their ends
        t, T, dT = (_between(solution.t, rows) for rows in (solution.t, solution.T[:, some], solution.dT[:, some]))
        rho = np.nan_to_num(finite(solution.rho0[some] / dT))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.diff(solution.cdf[some]) / np.diff(T)
        ends = rho[:, :-1], rho[:, 1:]
        hollow = (mean >= 0) & (mean < HOLLOW * 0.5 * (ends[0] + ends[1]))
        k = np.flatnonzero(hollow.any(0))
        some = np.union1d(some, every[np.isin(np.searchsorted(some, every, "right") - 1, k)])
    # two more points in each of these cells, at its ends
    inside = np.stack([np.where(hollow, mean, end)[:, k] for end in ends], 2).reshape(len(t), -1)
    places = np.stack([T[:, k], T[:, k + 1]], 2).reshape(len(t), -1)
    at = np.repeat(k + 1, 2)
    return t, np.insert(T, at, places, axis=1), np.insert(rho, at, inside, axis=1)


def _turns(solution: SavedMaps) -> np.ndarray:
    """Shifts that bring some particles into the figure: whole turns of a circle, 0 elsewhere (length)."""
    if solution.period is None:
        return np.zeros(1)
    length = float(solution.period)
    first, last = np.floor(solution.T.min() / length), np.floor(solution.T.max() / length)
    return -length * np.arange(first, last + 1)


def _between(t: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values at the saved times [s, ...], and at more times between them by linear interpolation."""
    fine = max(1, round(ROWS / (len(t) - 1)))
    share = (np.arange(fine) / fine).reshape(-1, *[1] * (rows.ndim - 1))
    steps = [a + share * (b - a) for a, b in pairwise(rows)]
    return np.concatenate([*steps, rows[-1:]])


def finite(rho: np.ndarray) -> np.ndarray:
    """NaN, which is drawn as a gap, for every value that is not finite."""
    return np.where(np.isfinite(rho), rho, np.nan)


def computed(solution: SavedMaps, s: int, most: float = np.inf) -> Curve:
    """Curve (x, rho) of the density at a saved time, cut at a height."""
    return _closed(solution, solution.T[s], np.minimum(finite(solution.rho[s]), most))


def reference(solution: SavedMaps, s: int, most: float = np.inf) -> Curve:
    """Curve (x, rho) of the reference solution at a saved time, cut at a height."""
    return _closed(solution, solution.exact_T[s], np.minimum(finite(solution.exact_rho[s]), most))  # type: ignore[index]


def difference(solution: SavedMaps, s: int) -> Curve:
    """Curve (x, rho - rho*) at a saved time: the reference is taken where the computed particles are."""
    x, rho = solution.T[s], finite(solution.rho[s])
    exact_x, exact = solution.exact_T[s], finite(solution.exact_rho[s])  # type: ignore[index]
    if solution.period is None:
        return x, rho - np.interp(x, exact_x, exact, left=0.0, right=0.0)
    around = x[:-1] % solution.period  # the last particle is the first
    order = np.argsort(around)
    known = np.interp(around[order], exact_x[:-1] % solution.period, exact[:-1], period=float(solution.period))
    return around[order], rho[:-1][order] - known


def _closed(solution: SavedMaps, x: np.ndarray, rho: np.ndarray) -> Curve:
    """A curve with its ends let down to 0: a law may end where it is not 0. On a circle, one turn from x = 0."""
    if solution.period is not None:
        around = x[:-1] % solution.period  # the last particle is the first
        order = np.argsort(around)
        seam = np.interp(0.0, around, rho[:-1], period=float(solution.period))
        return np.concatenate([[0.0], around[order], [solution.period]]), np.concatenate([[seam], rho[order], [seam]])
    return np.concatenate([x[:1], x, x[-1:]]), np.concatenate([[0.0], rho, [0.0]])


def window(solution: SavedMaps, picked: list[int]) -> tuple[float, float]:
    """The positions that the densities at some saved times cover."""
    if solution.period is not None:
        return 0.0, float(solution.period)
    return style.limits(solution.T[np.ix_(np.array(picked), style.inside(solution, VISIBLE))])


def ceiling(solution: SavedMaps, picked: list[int]) -> float:
    """Height of an axis on which every curve shows and none flattens the others."""
    peaks = [peak(solution, solution.rho[s]) for s in picked]
    return min(max(peaks), SPIKE * min(peaks))


def peak(solution: SavedMaps, rho: np.ndarray) -> float:
    """Height that 99 % of the mass stays below: a needle over a narrow cell does not count."""
    order = np.argsort(rho)
    mass = np.cumsum((np.gradient(solution.z) * solution.rho0)[order])
    return float(rho[order][np.searchsorted(mass, 0.99 * mass[-1])])


def cut_off(solution: SavedMaps, picked: list[int], top: float) -> list[str]:
    """A line about the highest of some densities if it does not fit below `top`."""
    peaks = {s: float(np.nanmax(finite(solution.rho[s]))) for s in picked}
    highest = max(peaks, key=lambda s: peaks[s])
    if peaks[highest] <= top:
        return []
    return [f"peak cut off: {peaks[highest]:.3g} at ${style.time_of(solution, highest)}$"]
