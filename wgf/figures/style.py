"""The look of all figures, and their files."""

from __future__ import annotations

import functools
import io
import logging
import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogFormatterSciNotation, LogLocator, MaxNLocator, ScalarFormatter

from wgf.figures.layout import Fitted
from wgf.figures.typeset import WIDE, in_one_power, plain, tex, typeset
from wgf.saved_maps import SavedMaps

SHOWN = 6  # times in a figure
WIDTH, DPI = 6.4, 187.5  # inches: 1200 pixels, with letters that are still readable when these shrink to 400
SIZE = (WIDTH, WIDTH / 1.5)
APART = 0.04  # smallest distance of times with a number, as a share of their bar
SUPPORT = 1e-6  # mass left out on either side of a map
STYLE: dict[str, Any] = {
    "font.size": 10,
    "mathtext.fontset": "dejavusans",
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
POSITION, START, TIME, DENSITY = "position $x$", "start $z$", "time $t$", r"density $\rho(t, x)$"
EXACT: dict[str, Any] = {"color": "black", "lw": 1.0, "ls": (0, (4, 3))}
WALL: dict[str, Any] = {"facecolor": "0.8", "edgecolor": "0.55", "hatch": "////", "lw": 0.0, "zorder": 1}
# Okabe and Ito's palette for colour-blind readers, from dark to light; markers distinguish the curves in grey
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
# plasma without its yellow end, too faint on white; 50 shades or more would be pixels, which no dark page can recolour
COLORS = LinearSegmentedColormap.from_list("times", matplotlib.colormaps["plasma"](np.linspace(0.0, 0.8, 48)), 48)

FACTOR = re.compile(r"1e(-?\d+)")  # of the numbers of an axis
NEAR = 2.0  # ratio of the ends of a logarithmic axis below which its numbers would crowd or be written alike

Args = ParamSpec("Args")
Answer = TypeVar("Answer")


def styled(draw: Callable[Args, Answer]) -> Callable[Args, Answer]:
    """Decorator: draw in this style and leave matplotlib's settings alone."""

    @functools.wraps(draw)
    def drawn(*args: Args.args, **kwargs: Args.kwargs) -> Answer:
        with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
            answer = draw(*args, **kwargs)
        for axes in answer.axes if isinstance(answer, Figure) else ():
            _linear_where_alike(axes)
            for axis in (axes.xaxis, axes.yaxis):
                if type(axis.get_major_formatter()) is ScalarFormatter:
                    axis.set_major_formatter(Short())
        return answer

    return drawn


def _linear_where_alike(axes: Axes) -> None:
    """A logarithmic axis of values that hardly differ becomes linear: there `Short` writes what they have in common."""
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log" and high < NEAR * low:
        axes.set_yscale("linear")


class Picture(Figure):
    """A figure that a notebook shows though pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        return encoded(self, "png")


def canvas(size: tuple[float, float] = SIZE, dpi: float = DPI) -> Figure:
    """An empty figure, size in inches."""
    return Picture(figsize=size, dpi=dpi, layout=Fitted())


@styled
def encoded(figure: Figure, kind: str) -> bytes:
    """The content of a file: kind "png", "pdf" or "svg"; equal figures give equal bytes."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of the dates in matplotlib's own fonts
    layout = figure.get_layout_engine()
    if layout is not None:  # savefig would draw the whole figure once more for the layout
        layout.execute(figure)
        figure.set_layout_engine("none")
    file, figure.dpi = io.BytesIO(), DPI  # the PDF and the SVG change the resolution to their own
    if kind == "png":  # savefig would draw each kind once more to learn the size, which is fixed
        FigureCanvasAgg(figure).print_png(file)
    elif kind == "svg":
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    else:
        from matplotlib.backends.backend_pdf import FigureCanvasPdf

        FigureCanvasPdf(figure).print_pdf(file, metadata={"CreationDate": None})
    return file.getvalue()


def title(axes: Axes, what: str, heading: str = "", width: int = WIDE) -> None:
    """Title on the left: what is shown, and in small letters the heading, usually the equation."""
    small = typeset(heading, width)
    axes.yaxis.get_offset_text().set_horizontalalignment("right")  # beside the heading, above the numbers
    axes.yaxis.get_offset_text().set_x(-0.01)
    axes.yaxis.OFFSETTEXTPAD = 8
    axes.set_title(what, loc="left", fontsize=11, pad=8 + 14 * len(small.splitlines()), color="0.1")
    if small:
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
        axes.annotate(small, (0, 1), (0, 5), color="0.3", fontsize=9.5, **place).set_in_layout(False)


def times(axis: Axis, t: np.ndarray) -> None:
    """An axis of time with at most five numbers; a power of ten for all of them stands in its label."""
    write, label = in_one_power(t, TIME)
    axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_label_text(label)


def scaled(axes: Axes) -> None:
    """A linear vertical axis with one power of ten for all of its numbers where they are tiny or large."""
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(Short(useOffset=False))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 4))


def quantile(values: np.ndarray, share: float) -> float:
    """A quantile of the finite values; 0 without any."""
    seen = values[np.isfinite(values)]
    return float(np.quantile(seen, share)) if seen.size else 0.0


def time_of(solution: SavedMaps, s: int) -> str:
    """A saved time as TeX."""
    return f"t = {plain(float(solution.t[s]))}"


class Short(ScalarFormatter):
    """Formatter of a linear axis; only the power of ten of its numbers is typeset, and what is to be added is said."""

    def get_offset(self) -> str:
        power = FACTOR.match(super().get_offset().replace("\N{MINUS SIGN}", "-"))
        words = [rf"$\times 10^{{{power[1]}}}$"] if power else []
        return " ".join([*words, *([f"add {tex(f'{self.offset:.15g}')}"] if self.offset else [])])


class Plain(LogFormatterSciNotation):
    """Formatter of a logarithmic axis that writes 0.2 instead of 2 x 10^-1 where all its numbers are so short."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text, (low, high) = super().__call__(x, pos), sorted(self.axis.get_view_interval())  # type: ignore[union-attr]
        return f"{x:g}" if text and low >= 1e-3 and high < 1e4 else text


def logarithmic(*several: Axes) -> None:
    """Logarithmic y axes; values that are not positive are gaps."""
    for axes in several:
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_formatter(Plain())
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.yaxis.set_minor_formatter(Plain(labelOnlyBase=False, minor_thresholds=(1.7, 1.7)))
        axes.tick_params(axis="y", which="major", labelsize=11)  # exponents are smaller by 0.7
        axes.tick_params(axis="y", which="minor", labelsize=9)


def at_least_a_decade(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic axis of positive values that differ by less than a factor of 10 is not blown up."""
    if values.size and values.max() < 10 * values.min():
        middle = float(np.sqrt(values.min() * values.max()))
        axes.set_ylim(middle / 4, 4 * middle)


def note(axes: Axes, *lines: str, color: str = "0.3", ground: Any = "none") -> None:
    """A few small words in the upper left corner, on a ground of some colour."""
    box: dict[str, Any] = {"facecolor": ground, "lw": 0, "pad": 2, "alpha": 0.75}
    place: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "zorder": 6}
    axes.text(0.01, 0.985, "\n".join(lines), color=color, fontsize=9, bbox=box, **place)


def bar(
    figure: Figure, mappable: ScalarMappable, axes: Any, ticks: Mapping[float, str], label: str, **more: Any
) -> None:
    """A colour bar to the right of some axes; ticks: value -> text."""
    drawn = figure.colorbar(mappable, ax=axes, pad=0.015, aspect=35, label=label, **more)
    drawn.set_ticks(list(ticks), labels=list(ticks.values()))
    drawn.solids.set_edgecolor("face")  # type: ignore[union-attr]  # no seams between the shades
    drawn.outline.set_visible(False)


def time_bar(figure: Figure, axes: Any, solution: SavedMaps, shown: list[int]) -> None:
    """The times of the colours, on the right."""
    if len(shown) > 1:
        times = solution.t[shown].tolist()
        mappable = ScalarMappable(Normalize(times[0], times[-1]), COLORS)
        write, label = in_one_power(times, TIME)
        gap = APART * (times[-1] - times[0])
        apart = [t for t, following in pairwise([*times, math.inf]) if following - t > gap]
        bar(figure, mappable, axes, {t: write(t) for t in apart}, label)


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
    figure: Figure,
    what: str,
    heading: str,
    solution: SavedMaps,
    shown: list[int],
    *more: Line2D,
    times: bool = True,
    compared: bool = True,
) -> None:
    """Title, legend of the curves (computed, reference where it is known and `compared`, more), bar of the times."""
    first = figure.axes[0]
    names = [key("computed", color=colors(solution)(shown[-1]), lw=1.8, ls="-"), *more]
    if compared and solution.exact_T is not None:
        names.insert(1, key("reference", **EXACT))
    first.legend(handles=names, loc="best")  # unless one says so, matplotlib warns on a busy machine
    title(first, what, heading)
    if times:
        time_bar(figure, figure.axes, solution, shown)


def key(label: str, **style: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], label=label, **style)


def shown(solution: SavedMaps, count: int = SHOWN) -> list[int]:
    """Indices of the saved times nearest to `count` equal ones."""
    wanted = np.linspace(solution.t[0], solution.t[-1], count)
    return sorted({int(np.abs(solution.t - t).argmin()) for t in wanted})


def colors(solution: SavedMaps) -> Callable[[int], tuple[float, float, float, float]]:
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
