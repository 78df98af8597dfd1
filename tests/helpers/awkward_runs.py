"""Runs whose figures have awkward texts: tiny and huge times, narrow and far laws, a blow-up, few and many curves."""

import functools
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from saved_solutions import history, solution

from wgf import Flow, FokkerPlanck, solve
from wgf.figures.style import DPI
from wgf.saved_maps import SavedMaps

LONG = "rho_t = 0.25 (rho^1.5)_xx + (rho V')_x + (rho (W * rho)_x)_x on (-inf, inf), "
LONG += "V = a*(x - 1)^4/4 - b*sin(3*x)*exp(-x^2) with a = 0.5, b = 2e-05, W = 1.5 (|x|^4/4 - |x|^2/2)"


def run(end: float = 1.0, scale: float = 1.0, shift: float = 0.0, collapse: float = 0.0) -> SavedMaps:
    """The run of `solution` until another end time, in other units and elsewhere; a blow-up with `collapse` near 1."""
    plain = solution(20)
    share = 1 - collapse * plain.t[:, None]
    move = lambda x: shift + scale * share * x  # noqa: E731
    exact, errors = plain.exact_T, plain.errors
    bound = 2.5 * scale * errors[:, 1]
    knots = None if collapse else plain.knots
    parts = plain.t * end, plain.z, move(plain.T), scale * share * plain.dT, plain.rho0
    return SavedMaps(*parts, move(exact), scale * errors, knots, bound)


RUNS = {
    "plain": run(),
    "t_end 1e-6": run(1e-6),
    "t_end 1e4": run(1e4),
    "narrow": run(scale=1e-7),
    "far": run(shift=-98765.0, scale=0.01),
    "blow-up": run(0.3, collapse=0.9999),
}


def rows(end: float = 1.0, scale: float = 1.0) -> dict[str, np.ndarray]:
    """A history until another end time, with another energy."""
    return {
        name: values * (end if name in ("t", "dt") else 1.0 if name in ("step", "rejected") else scale)
        for name, values in history().items()
    }


HISTORIES = {"plain": rows(), "t_end 1e-6": rows(1e-6, 1e-5), "t_end 1e4": rows(1e4, 1e7)}


@functools.cache
def flow(name: str) -> Flow:
    """A computed flow of Fokker-Planck whose numbers hardly differ, or whose times are large or close to each other."""
    settings: dict[str, dict[str, Any]] = {
        "short": {"t_end": 1e-6},
        "at rest": {"t_end": 1.0, "potential": "x**2/2"},
        "slow": {"t_end": 0.1},
        "long": {"t_end": 1e4, "potential": "(x-1)**4/4 - (x-1)**2/2"},
        "close times": {"t_end": 1.0, "saves": [1e-5, 0.3, 0.30001, 1.0]},
    }
    return solve(FokkerPlanck(), **settings[name])


def collisions(figure: Figure, dpi: float = DPI) -> list[str]:
    """Texts that leave the figure or touch each other, and numbers that an axis has twice, once it has been drawn."""
    figure.dpi = dpi
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    page = figure.bbox.padded(1.0)
    boxes = [(text, text.get_window_extent()) for text in _texts(figure)]
    found = [f"{text.get_text()!r} leaves the figure" for text, box in boxes if not _inside(box, page)]
    for k, (one, first) in enumerate(boxes):
        for other, second in boxes[k + 1 :]:
            if first.padded(-1.5).overlaps(second.padded(-1.5)):
                found.append(f"{one.get_text()!r} touches {other.get_text()!r}")
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            words = [label.get_text() for label in _labels(axis, True) if label.get_visible() and label.get_text()]
            found += [f"{word!r} twice on an axis" for word in {word for word in words if words.count(word) > 1}]
    return found


def _inside(box: Bbox, page: Bbox) -> bool:
    return page.x0 <= box.x0 and page.y0 <= box.y0 and box.x1 <= page.x1 and box.y1 <= page.y1


def _texts(figure: Figure) -> list[Text]:
    """Every text that is drawn; ticks outside an axis are not."""
    axes = [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]
    ticks = {label for axis in axes for label in _labels(axis)}
    drawn = {label for axis in axes for label in _labels(axis, True)}
    seen = dict.fromkeys(text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip())
    return [text for text in seen if text not in ticks or text in drawn]


def _labels(axis: Axis, drawn: bool = False) -> list[Text]:
    ticks = axis._update_ticks() if drawn else [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [label for tick in ticks for label in (tick.label1, tick.label2)]
