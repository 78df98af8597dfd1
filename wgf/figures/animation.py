"""Film of the density: a frame for every saved time, as GIF, or as MP4 where ffmpeg is installed."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from wgf import files
from wgf.errors import ConfigError
from wgf.figures import style
from wgf.figures.density import ceiling, computed, cut_off, reference, window
from wgf.figures.style import COLORS, DENSITY, EXACT, POSITION, canvas, key, styled, title, walls
from wgf.saved_maps import SavedMaps

DPI = 100  # 640 x 426 pixels
LENGTH, HOLD = 3000, 1200  # milliseconds: all frames but the last, the last
SHADES = 64
FRAMES = 60  # at most, equally spaced among the saved times
SLOWEST = 40  # milliseconds of a frame at least


def kinds() -> list[str]:
    """The kinds of film files that this machine can write."""
    return [".gif", *([".mp4"] if shutil.which("ffmpeg") else [])]


@dataclass(frozen=True, eq=False, repr=False)
class Film:
    """Frames of 640 x 426 pixels, about 3 s, for ever; a notebook shows them."""

    frames: list[Image.Image]

    @property
    def each(self) -> int:
        """Duration of a frame (ms)."""
        return max(SLOWEST, LENGTH // max(1, len(self.frames) - 1))

    @cached_property
    def gif(self) -> bytes:
        """The content of a .gif file."""
        shades = np.array(self.frames[-1].quantize(SHADES).getpalette()).reshape(-1, 3)
        shades[(shades >= 244).all(axis=1)] = 255  # Pillow compares six bits a channel: else white becomes 252
        palette = Image.new("P", (1, 1))
        palette.putpalette(shades.ravel().tolist())
        first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self.frames)
        file, times = io.BytesIO(), [self.each] * len(others) + [HOLD]
        first.save(file, "GIF", save_all=True, append_images=others, duration=times, loop=0, disposal=1)
        return file.getvalue()

    @cached_property
    def mp4(self) -> bytes:
        """The content of an .mp4 file.

        Raises:
            ConfigError: ffmpeg is not installed, or it fails.
        """
        if (program := shutil.which("ffmpeg")) is None:
            raise ConfigError("an .mp4 file needs the program ffmpeg: install it, or save a .gif file")
        held = [self.frames[-1]] * round(HOLD / self.each)
        shape = "x".join(map(str, self.frames[0].size))
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", shape, "-r", f"{1000 / self.each:g}", "-i", "-"]
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "film.mp4"
            words = [program, "-y", "-loglevel", "error", *source, "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
            raw = b"".join(frame.tobytes() for frame in [*self.frames, *held])
            answer = subprocess.run([*words, str(target)], input=raw, capture_output=True)
            if answer.returncode or not target.exists():
                why = answer.stderr.decode(errors="replace").strip().splitlines()
                raise ConfigError(f"ffmpeg wrote no film ({why[-1] if why else answer.returncode}): save a .gif file")
            return target.read_bytes()

    def save(self, path: str | Path) -> None:
        """Write a .gif or an .mp4 file.

        Raises:
            ConfigError: the name ends otherwise, or an .mp4 file cannot be made.
        """
        kinds = {".gif": "gif", ".mp4": "mp4"}
        if (kind := kinds.get(Path(path).suffix)) is None:
            raise ConfigError(f"path={str(path)!r} is not allowed: expected a name that ends in .gif or .mp4")
        files.write(Path(path), getattr(self, kind))

    def _repr_html_(self) -> str:
        return f'<img alt="film of the density" src="data:image/gif;base64,{base64.b64encode(self.gif).decode()}">'


@styled
def film(solution: SavedMaps, heading: str) -> Film:
    """The film of the density.

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
    return Film(frames)
