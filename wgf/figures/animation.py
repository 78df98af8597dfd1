"""Animation of the density: a GIF with a frame for every saved time."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from wgf.figures import style
from wgf.figures.density import ceiling, computed, cut_off, reference, window
from wgf.figures.style import COLORS, DENSITY, EXACT, POSITION, canvas, key, styled, title, walls
from wgf.saved_maps import SavedMaps

DPI = 100  # 640 x 426 pixels
LENGTH, HOLD = 3000, 1200  # milliseconds: all frames but the last, the last
SHADES = 64
FRAMES = 60  # at most, equally spaced among the saved times


@styled
def animation(solution: SavedMaps, heading: str) -> bytes:
    """The content of a .gif file which repeats for ever; 640 x 426 pixels.

    The axes are drawn once and the curves on a copy of them for every frame: about 5 ms each.
    """
    picked = sorted({round(k) for k in np.linspace(0, len(solution.t) - 1, min(FRAMES, len(solution.t)))})
    figure = canvas(dpi=DPI)
    agg = FigureCanvasAgg(figure)
    axes = figure.subplots()
    color, top = COLORS(1.0), 1.08 * ceiling(solution, picked)
    axes.set(xlim=window(solution, picked), ylim=(0.0, top), xlabel=POSITION, ylabel=DENSITY)
    walls(axes, solution)
    axes.plot(*computed(solution, 0), color="0.7", lw=1.2)
    names = [key("start", color="0.7", lw=1.2), key("computed", color=color, lw=1.8)]
    (curve,) = axes.plot([], [], color=color, lw=1.8, animated=True)
    (other,) = axes.plot([], [], animated=True, **EXACT)
    note = axes.text(0.01, 0.985, "", transform=axes.transAxes, va="top", color="0.1", animated=True)
    known = solution.exact_T is not None
    axes.legend(handles=[*names, key("reference", **EXACT)] if known else names, loc="upper right")
    title(axes, "Density", heading)
    agg.draw()
    background = agg.copy_from_bbox(figure.bbox)
    frames = []
    for s in picked:
        agg.restore_region(background)
        curve.set_data(*computed(solution, s))
        if known:
            other.set_data(*reference(solution, s))
        note.set_text("\n".join([f"${style.time_of(solution, s)}$", *cut_off(solution, [s], top)]))
        for artist in (curve, other, note):
            axes.draw_artist(artist)
        frames.append(Image.fromarray(np.asarray(agg.buffer_rgba())[..., :3].copy()))
    shades = np.array(frames[-1].quantize(SHADES).getpalette()).reshape(-1, 3)
    shades[(shades >= 244).all(axis=1)] = 255  # Pillow compares six bits a channel: else white becomes 252
    palette = Image.new("P", (1, 1))
    palette.putpalette(shades.ravel().tolist())
    quantized = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    each = max(40, LENGTH // max(1, len(frames) - 1))
    file = io.BytesIO()
    times = [each] * (len(frames) - 1) + [HOLD]
    quantized[0].save(file, "GIF", save_all=True, append_images=quantized[1:], duration=times, loop=0, disposal=1)
    return file.getvalue()
