"""The look of all figures, and their files."""

from __future__ import annotations

import functools
import io
import logging
import math
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, LogLocator

from wgf.saved_maps import SavedMaps

SHOWN = 6  # times in a figure
WIDTH, DPI = 6.4, 187.5  # inches: 1200 pixels, with letters that are still readable when these shrink to 400
SIZE = (WIDTH, WIDTH / 1.5)
SUPPORT = 1e-6  # mass left out on either side of a map
STYLE: dict[str, Any] = {
    "font.size": 10,
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
    "pdf.fonttype": 42,
    "svg.hashsalt": "wgf",
}
POSITION, START, TIME = "position $x$ (length)", "start $z$ (length)", "time $t$"
DENSITY = r"density $\rho(t, x)$ (mass/length)"
EXACT: dict[str, Any] = {"color": "black", "lw": 1.0, "ls": (0, (4, 3))}
WALL: dict[str, Any] = {"facecolor": "0.8", "edgecolor": "0.55", "hatch": "////", "lw": 0.0, "zorder": 1}
# Okabe and Ito's palette for colour-blind readers, from dark to light; markers distinguish the curves in grey
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
# plasma without its yellow end, which is too faint on white
COLORS = LinearSegmentedColormap.from_list("times", matplotlib.colormaps["plasma"](np.linspace(0.0, 0.8, 256)))

Args = ParamSpec("Args")
Answer = TypeVar("Answer")


def styled(draw: Callable[Args, Answer]) -> Callable[Args, Answer]:
    """Decorator: draw in this style and leave matplotlib's settings alone."""

    @functools.wraps(draw)
    def drawn(*args: Args.args, **kwargs: Args.kwargs) -> Answer:
        with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
            return draw(*args, **kwargs)

    return drawn


class Picture(Figure):
    """A figure that a notebook shows though pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        return encoded(self, "png")


def canvas(size: tuple[float, float] = SIZE, dpi: float = DPI) -> Figure:
    """An empty figure, size in inches."""
    return Picture(figsize=size, dpi=dpi, layout="constrained")


@styled
def encoded(figure: Figure, kind: str) -> bytes:
    """The content of a file: kind "png", "pdf" or "svg"; equal figures give equal bytes."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of the dates in matplotlib's own fonts
    layout = figure.get_layout_engine()
    if layout is not None:  # savefig would draw the whole figure once more for the layout
        layout.execute(figure)
        figure.set_layout_engine("none")
    file, date = io.BytesIO(), {"pdf": "CreationDate", "svg": "Date"}.get(kind)
    figure.savefig(file, format=kind, dpi=DPI, metadata={date: None} if date else None)
    return file.getvalue()


def wrapped(text: str, width: int = 70) -> str:
    """Long titles on several lines."""
    return "\n".join(textwrap.wrap(text, width))


def title(axes: Axes, text: str, width: int = 70) -> None:
    """Title on the left; the equation is plain text, whatever its symbols."""
    axes.set_title(wrapped(text, width), loc="left", fontsize=10.5, pad=10, color="0.1", parse_math=False)


class Plain(LogFormatterSciNotation):
    """Formatter of ticks that writes 0.2 instead of 2 x 10^-1."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = super().__call__(x, pos)
        return f"{x:g}" if text and 1e-2 <= x < 1e4 else text


def logarithmic(*several: Axes) -> None:
    """Logarithmic y axes; values that are not positive are gaps."""
    for axes in several:
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_formatter(Plain())
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
        axes.yaxis.set_minor_formatter(Plain(labelOnlyBase=False, minor_thresholds=(1.3, 1.3)))
        axes.tick_params(axis="y", which="minor", labelsize=8)


def note(axes: Axes, *lines: str, color: str = "0.3") -> None:
    """A few small words in the upper left corner."""
    axes.text(0.01, 0.985, "\n".join(lines), transform=axes.transAxes, va="top", color=color, fontsize=9)


def bar(
    figure: Figure, mappable: ScalarMappable, axes: Any, ticks: Mapping[float, str], label: str, **more: Any
) -> None:
    """A colour bar to the right of some axes; ticks: value -> text."""
    drawn = figure.colorbar(mappable, ax=axes, pad=0.015, aspect=35, **more)
    drawn.set_ticks(list(ticks), labels=list(ticks.values()))
    drawn.set_label(label)
    drawn.outline.set_visible(False)


def time_bar(figure: Figure, axes: Any, solution: SavedMaps, shown: list[int]) -> None:
    """The times of the colours, on the right."""
    if len(shown) > 1:
        times = solution.t[shown].tolist()
        mappable = ScalarMappable(Normalize(times[0], times[-1]), COLORS)
        bar(figure, mappable, axes, {t: f"{t:.3g}" for t in times}, TIME)


def walls(axes: Axes, solution: SavedMaps, along: str = "x") -> None:
    """Grey beyond the walls of the domain, up to the ends of an axis, which shows the walls."""
    if solution.walls is None:
        return
    low, high = getattr(axes, f"get_{along}lim")()
    left, right = solution.walls.tolist()
    pad = 0.03 * (high - low)
    if math.isfinite(left):
        low = left - pad
    if math.isfinite(right):
        high = right + pad
    span = axes.axvspan if along == "x" else axes.axhspan
    for wall, end in ((left, low), (right, high)):
        if math.isfinite(wall):
            span(min(wall, end), max(wall, end), **WALL)
    getattr(axes, f"set_{along}lim")(low, high)


def explain(
    figure: Figure, heading: str, solution: SavedMaps, shown: list[int], *more: Line2D, times: bool = True
) -> None:
    """Title, legend of the curves (computed, reference, more), and the bar of the times."""
    first = figure.axes[0]
    names = [key("computed", color=colors(solution)(shown[-1]), lw=1.8, ls="-"), *more]
    if solution.exact_T is not None:
        names.insert(1, key("reference", **EXACT))
    first.legend(handles=names)
    title(first, heading)
    if times:
        time_bar(figure, figure.axes, solution, shown)


def key(label: str, **style: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], label=label, **style)


def shown(solution: SavedMaps, count: int = SHOWN) -> list[int]:
    """Indices of the saved times nearest to `count` equal ones."""
    wanted = np.linspace(solution.t[0], solution.t[-1], count)
    return sorted({int(np.abs(solution.t - t).argmin()) for t in wanted})


def colors(solution: SavedMaps) -> Callable[[int], tuple[float, ...]]:
    """The colour of a saved time, by its index."""
    scale = Normalize(solution.t[0], solution.t[-1])
    return lambda s: COLORS(float(scale(solution.t[s])))


def inside(solution: SavedMaps, outside: float) -> np.ndarray:
    """Indices of the grid without the mass `outside` at either end."""
    return np.flatnonzero((solution.cdf >= outside) & (solution.cdf <= 1 - outside))


def limits(values: np.ndarray, margin: float = 0.04) -> tuple[float, float]:
    """Ends of an axis that shows all finite values."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    pad = margin * (high - low) or 0.5  # a single value stands in the middle
    return low - pad, high + pad


def scientific(value: float) -> str:
    """1.23e-4 as TeX."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
