"""What a person looks at after a run: two figures and a table."""

from __future__ import annotations

import math
import os
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wgf.files import replacing
from wgf.solution import Solution

SHOWN = 6  # times in a figure
SIZE, DPI = (8.0, 16 / 3), 150  # inches: 1200 x 800 pixels
VISIBLE = 1e-4  # mass left out on either side of a density
SUPPORT = 1e-6  # mass left out on either side of a map
SPIKE = 8.0  # how many times higher than the lowest curve the highest may stand
STYLE: dict[str, Any] = {
    "font.size": 10.5,
    "mathtext.fontset": "cm",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.35",
    "axes.labelcolor": "0.15",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.92",
    "grid.linewidth": 0.8,
    "xtick.color": "0.35",
    "ytick.color": "0.35",
    "xtick.labelcolor": "0.2",
    "ytick.labelcolor": "0.2",
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
}
EXACT: dict[str, Any] = {"color": "black", "lw": 1.0, "ls": (0, (4, 3))}
IDENTITY: dict[str, Any] = {"color": "0.45", "lw": 1.3, "ls": ":"}
COUNTS = {"steps": "accepted", "rejected": "rejected", "evaluations": "evaluations"}
CLEAR = 3.0  # times the reference's own error: what is smaller may be the reference's
SOLVER = {
    "rank": "rank {:,}",
    "condition": "condition {:.2e}",
    "residual": "residual {:.2e}",
    "truncated": "{:,} truncated",
    "damped": "damping {:.2e}",
    "iterations": "{:,} iterations",
}
# plasma without its yellow end, which is too faint on white
COLORS = LinearSegmentedColormap.from_list("times", matplotlib.colormaps["plasma"](np.linspace(0.0, 0.8, 256)))


def figures(solution: Solution, title: str) -> dict[str, Figure]:
    """The densities and the maps at about six of the saved times, with the exact ones where they are known.

    They are free-standing figures, unknown to pyplot, so nothing needs closing.

    Args:
        solution: of a run that was completed or not.
        title: above both.

    Returns:
        "density" and "map".
    """
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        return {"density": _density(solution, title), "map": _map(solution, title)}


def save_figures(solution: Solution, folder: Path, title: str) -> list[Path]:
    """Write them to folder/figures/<name>.png, 1200 x 800 pixels, and say where."""
    paths = []
    for name, figure in figures(solution, title).items():
        paths.append(folder / "figures" / f"{name}.png")
        with replacing(paths[-1]) as file:
            figure.savefig(file, format="png", dpi=DPI)
    return paths


def pixels(figure: Figure) -> np.ndarray:
    """A figure as an image [height, width, 3] of bytes."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _density(solution: Solution, title: str) -> Figure:
    shown, color = _shown(solution), _colors(solution)
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    x, rho, last = solution.T, _finite(solution.rho), shown[-1]
    axes.fill_between(x[last], rho[last], color=color(last), alpha=0.12, lw=0)
    for s in shown:
        axes.plot(*_closed(x[s], rho[s]), color=color(s), lw=1.8, zorder=3)
    if solution.exact_T is not None and solution.exact_rho is not None:
        exact = _finite(solution.exact_rho)
        for s in shown[1:]:
            axes.plot(*_closed(solution.exact_T[s], exact[s]), zorder=4, **EXACT)
    axes.set_xlim(*_limits(x[np.ix_(np.array(shown), _inside(solution, VISIBLE))]))
    axes.set_xlabel("position $x$")
    axes.set_ylabel(r"density $\rho(t, x)$")

    peaks = [_peak(solution, rho[s]) for s in shown]
    top = min(max(peaks), SPIKE * min(peaks))
    axes.set_ylim(0.0, 1.08 * top)
    if max(rho[s].max() for s in shown) > 1.08 * top:
        highest = max(shown, key=lambda s: rho[s].max())
        note = f"peak cut off: {rho[highest].max():.3g} at $t={solution.t[highest]:.4g}$"
        axes.text(0.01, 0.985, note, transform=axes.transAxes, va="top", color="0.3", fontsize=9)
    _legend(axes, solution, color(last))
    _frame(figure, axes, solution, shown, title)
    return figure


def _map(solution: Solution, title: str) -> Figure:
    shown, color = _shown(solution), _colors(solution)
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    inside = _inside(solution, SUPPORT)
    z, x, last = solution.z[inside], solution.T[:, inside], shown[-1]
    if solution.exact_T is None or not np.isfinite(solution.exact_T[last, inside]).all():
        axes = bottom = figure.subplots()
    else:
        axes, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        error = np.abs(x[last] - solution.exact_T[last, inside]) * solution.rho0[inside]
        top = max(float(error.max()), 1e-18)
        bottom.semilogy(z, np.maximum(error, 1e-9 * top), color=color(last), lw=1.4)
        bottom.set_ylim(1e-5 * top, 3 * top)
        bottom.set_ylabel(r"$|T - T^*|\, p$")
        bottom.grid(False)
        w1 = np.trapezoid(error, z)
        note = rf"at $t={solution.t[last]:.4g}$, area $W_1={_scientific(w1)}$"
        bottom.set_title(note, loc="right", color="0.3", fontsize=9.5, pad=3)
    axes.plot(z, z, zorder=2, **IDENTITY)
    for s in shown[1:]:  # the first one is the identity
        axes.plot(z, x[s], color=color(s), lw=1.8, zorder=3)
    if solution.exact_T is not None:
        for s in shown[1:]:
            axes.plot(z, solution.exact_T[s, inside], zorder=4, **EXACT)
    axes.set_xlim(*_limits(z, 0.0))
    axes.set_ylim(*_limits(x[shown]))
    axes.set_ylabel("position $x = T(t, z)$")
    bottom.set_xlabel("start $z$")
    _legend(axes, solution, color(last), _line("identity", **IDENTITY))
    _frame(figure, axes, solution, shown, title)
    return figure


def _frame(figure: Figure, axes: Axes, solution: Solution, shown: list[int], title: str) -> None:
    """The title on the left, where reading begins, and the times of the colours on the right."""
    axes.set_title("\n".join(textwrap.wrap(title, 88)), loc="left", fontsize=11, pad=10, color="0.1")
    if len(shown) > 1:
        times = solution.t[shown]
        scale = ScalarMappable(Normalize(times[0], times[-1]), COLORS)
        bar = figure.colorbar(scale, ax=figure.axes, ticks=times, pad=0.015, aspect=35)
        bar.ax.set_yticklabels([f"{t:.3g}" for t in times])
        bar.set_label("time $t$")
        bar.outline.set_visible(False)


def _legend(axes: Axes, solution: Solution, color: tuple[float, ...], *more: Line2D) -> None:
    lines = [_line("computed", color=color, lw=1.8, ls="-"), *more]
    if solution.exact_T is not None:
        lines.insert(1, _line("reference", **EXACT))
    axes.legend(handles=lines)


def _line(label: str, **style: Any) -> Line2D:
    return Line2D([], [], label=label, **style)


def _shown(solution: Solution) -> list[int]:
    """The saved times nearest to SHOWN equal ones."""
    wanted = np.linspace(solution.t[0], solution.t[-1], SHOWN)
    return sorted({int(np.abs(solution.t - t).argmin()) for t in wanted})


def _colors(solution: Solution) -> Callable[[int], tuple[float, ...]]:
    scale = Normalize(solution.t[0], solution.t[-1])
    return lambda s: COLORS(float(scale(solution.t[s])))


def _inside(solution: Solution, outside: float) -> np.ndarray:
    """Indices of the grid without that much mass at either end."""
    return np.flatnonzero((solution.cdf >= outside) & (solution.cdf <= 1 - outside))


def _finite(rho: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(rho), rho, np.nan)


def _closed(x: np.ndarray, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curve with its ends let down to 0: a law may end where it is not 0."""
    return np.concatenate([x[:1], x, x[-1:]]), np.concatenate([[0.0], rho, [0.0]])


def _peak(solution: Solution, rho: np.ndarray) -> float:
    """The height that all but a hundredth of the mass stays below: a needle over a narrow cell does not count."""
    order = np.argsort(rho)
    mass = np.cumsum((np.gradient(solution.z) * solution.rho0)[order])
    return float(rho[order][np.searchsorted(mass, 0.99 * mass[-1])])


def _limits(values: np.ndarray, margin: float = 0.04) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = margin * (high - low)
    return low - pad, high + pad


def _scientific(value: float) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


def table(result: dict[str, Any], title: str, folder: Path, console: Console | None = None) -> None:
    """Print what came out: plain text in a pipe, a little colour on a terminal.

    Args:
        result: the content of result.json; what is None or absent is left out, what has no line of its own comes last.
        title: above the table.
        folder: of the run. The lines with it can be copied as they stand: they are never wrapped.
        console: where to; standard output by default.
    """
    console = console or Console()
    grid = Table(title=Text(title, "bold"), title_justify="left", box=ROUNDED, show_header=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, cell in _lines({key: value for key, value in result.items() if key != "equation"}):
        grid.add_row(name, Text(cell, ("green" if "completed" in cell else "red") if name == "status" else ""))
    console.print(grid)
    place = _relative(folder)
    commands = [f"results in   {place}"]
    if any(folder.glob("events.out.tfevents.*")):
        commands.append(f"look at it   tensorboard --logdir {place}")
    for line in commands:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _lines(left: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and figures of every line, in the order a person asks for them; takes what it uses out of `left`."""

    def take(key: str, pattern: str = "{:.6g}") -> str:
        value = left.pop(key, None)
        return "" if value is None else pattern.format(value)

    def join(*parts: str) -> str:
        return ", ".join(part for part in parts if part)

    def distance(key: str, against: str) -> str:
        value = left.pop(key, None)
        if value is None:
            return ""
        log = f" (ln {math.log(value):.3f})" if 0 < value < math.inf else ""
        note = ", below the error of the reference" if doubt is not None and value < CLEAR * doubt else ""
        return f"{value:.4e}{log}" + (f" against {against}" if against else "") + note

    status, message = take("status", "{}"), take("message", "{}")
    reference, doubt = take("reference_solution", "{}"), left.pop("reference_error", None)
    time, wanted = left.pop("t_end", None), left.pop("t_wanted", None)
    moment, law = left.get("second_moment"), left.pop("second_moment_law", None)
    balance = left.pop("dissipation_gap", None)
    terms = [take(key, key.removeprefix("energy_") + " {:.6g}") for key in list(left) if key.startswith("energy_")]
    lines = [
        ("status", ": ".join(part for part in (status, message) if part)),
        ("time", f"{time:.6g}" + (f" of {wanted:.6g}" if wanted not in (None, time) else "")),
        ("steps", join(*(take(key, f"{{:,}} {noun}") for key, noun in COUNTS.items()))),
        ("energy", join(take("energy"), *(terms if len(terms) > 1 else []))),
        ("dissipated", take("dissipated") + (f", energy balance within {balance:.1e}" if balance is not None else "")),
        ("W1 error", distance("w1_error", reference)),
        ("W2 error", distance("w2_error", reference)),
        ("mass", take("mass", "{:.15g}")),
        ("mean", take("mean", "{:.8g}")),
        ("second moment", take("second_moment", "{:.8g}") + (f", {moment - law:+.1e} off its law" if law else "")),
        ("min slope", take("min_slope", "{:.4g}")),
        ("blow-up", take("blow_up_bound", "no later than t = {:.6g} (the variance would vanish)")),
        ("parameters", take("parameters", "{:,}")),
        ("solver", join(*(take(key, pattern) for key, pattern in SOLVER.items() if left.get(key) or left.pop(key, 0)))),
        ("wall time", take("wall_s", "{:.2f} s")),
    ]
    rest = [
        (key, take(key, "{:.6g}" if isinstance(value, float) else "{}"))
        for key, value in list(left.items())
        if not isinstance(value, (dict, list))
    ]
    return [(name, cell) for name, cell in lines + rest if cell]


def _relative(folder: Path) -> str:
    """The folder as it can be typed in the shell this runs in."""
    path = os.path.relpath(folder)
    return shlex.quote(str(folder.resolve()) if path.startswith("..") else path)
