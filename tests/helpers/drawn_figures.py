"""What a figure shows: its lines, its words, its pixels."""

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from wgf.figures.style import encoded


def curves(figure: Figure, axes: int = 0) -> list[np.ndarray]:
    """The points [2, n] of every line on some axes."""
    return [np.array(line.get_data(orig=True), dtype=float) for line in figure.axes[axes].lines]


def labelled(figure: Figure, label: str) -> np.ndarray:
    """The points [2, n] of the line with that name."""
    (line,) = [line for axes in figure.axes for line in axes.lines if line.get_label() == label]
    return np.array(line.get_data(orig=True), dtype=float)


def texts(figure: Figure) -> str:
    """Everything written in a figure."""
    legends = [axes.get_legend() for axes in figure.axes]
    words = [entry.get_text() for legend in legends if legend for entry in legend.get_texts()]
    words += [figure.get_suptitle()]
    for axes in figure.axes:
        words += [axes.get_title(), axes.get_title("left"), axes.get_title("right")]
        words += [axes.get_xlabel(), axes.get_ylabel(), *(text.get_text() for text in axes.texts)]
    return "\n".join(words)


def image(figure: Figure) -> np.ndarray:
    """The pixels of a figure."""
    with Image.open(io.BytesIO(encoded(figure, "png"))) as picture:
        return np.asarray(picture.convert("RGB"))
