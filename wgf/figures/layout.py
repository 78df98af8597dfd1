"""Layout of figures: a grid of axes, as large as their texts allow, and bars of colours on the right.

Matplotlib's own constrained layout measures all texts twice and solves inequalities, which takes as long as drawing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.layout_engine import ConstrainedLayoutEngine, LayoutEngine

PAD, GAP = 0.045, 0.09  # inches: around the figure, and between the texts of neighbours
BAR = 0.11  # width of a bar of colours, inches


class Fitted(LayoutEngine):
    """Places the axes of `Figure.subplots` and the bars of `figure.colorbar` by one look at their texts."""

    _adjust_compatible = False
    _colorbar_gridspec = False

    def execute(self, fig: Any) -> None:
        """Move the axes; a figure with a legend of its own is left to matplotlib."""
        if fig.legends:
            ConstrainedLayoutEngine().execute(fig)
            return
        canvas = fig.canvas if isinstance(fig.canvas, FigureCanvasAgg) else FigureCanvasAgg(fig)
        renderer: Any = canvas.get_renderer()
        size = np.array([fig.bbox.width, fig.bbox.height])
        inch = fig.dpi / size  # as a share of the figure
        cells = [axes for axes in fig.axes if axes.get_subplotspec() is not None]
        bars = [axes for axes in fig.axes if axes.get_subplotspec() is None]
        grid = cells[0].get_subplotspec().get_gridspec()
        before, after = np.zeros((2, max(grid.nrows, grid.ncols))), np.zeros((2, max(grid.nrows, grid.ncols)))
        for axes in cells:
            place = _place(axes)
            for d, (low, high) in enumerate(_beyond(axes, renderer, size)):
                # rows are counted from the top
                before[d, place[d]] = max(before[d, place[d]], high if d else low)
                after[d, place[d]] = max(after[d, place[d]], low if d else high)
        ratios = np.array(grid.get_height_ratios(), dtype=float)
        y, height = _divided(PAD * inch[1], 1 - PAD * inch[1], before[1], after[1], ratios, GAP * inch[1])
        top, bottom = 1 - y[0], 1 - y[grid.nrows - 1] - height[-1]
        for axes in bars:  # its ticks, whose texts are measured next, depend on its height
            axes.set_box_aspect(None)
            axes.set_aspect("auto")
            axes.set_anchor("C")
            axes.set_position((0.5, bottom, BAR * inch[0], top - bottom))
        wide = max((_beyond(axes, renderer, size)[0][1] for axes in bars), default=0.0)
        right = 1 - PAD * inch[0] - (wide + (BAR + GAP) * inch[0] if bars else 0.0)
        x, width = _divided(PAD * inch[0], right, before[0], after[0], np.ones(grid.ncols), GAP * inch[0])
        for axes in cells:
            column, row = _place(axes)
            axes.set_position((x[column], 1 - y[row] - height[row], width[column], height[row]))
        for axes in bars:
            axes.set_position((right + GAP * inch[0], bottom, BAR * inch[0], top - bottom))


def _place(axes: Axes) -> tuple[int, int]:
    """Column and row of axes."""
    spec: Any = axes.get_subplotspec()
    return spec.colspan.start, spec.rowspan.start


def _beyond(axes: Axes, renderer: Any, size: np.ndarray) -> list[tuple[float, float]]:
    """By how much the texts of axes reach beyond them: left and right, below and above, as shares of the figure."""
    box, texts = axes.get_window_extent(renderer), axes.get_tightbbox(renderer)
    assert texts is not None  # only of hidden axes
    low, high = np.subtract(box.min, texts.min) / size, np.subtract(texts.max, box.max) / size
    return [(max(a, 0.0), max(b, 0.0)) for a, b in zip(low.tolist(), high.tolist(), strict=True)]


def _divided(
    low: float, high: float, before: np.ndarray, after: np.ndarray, ratios: np.ndarray, gap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Begins and lengths of cells with these ratios between two ends, with room before and after each."""
    n = len(ratios)
    before, after = before[:n], after[:n]
    free = high - low - before.sum() - after.sum() - gap * (n - 1)
    lengths = free * ratios / ratios.sum()
    steps = before + lengths + after + gap
    return low + np.cumsum(steps) - steps + before, lengths
