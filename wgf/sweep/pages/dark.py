"""An SVG of a figure whose colours follow the light or the dark mode of the page that shows it."""

from __future__ import annotations

import re

import numpy as np
from matplotlib.colors import to_hex, to_rgb

GROUND, INK = to_rgb("#16171a"), to_rgb("#e8e8ea")  # what white and black become
CONTRAST = 3.0  # of curves with the ground, at least; https://www.w3.org/TR/WCAG22/#non-text-contrast
COLOR = re.compile(rb"(?<=: )#[0-9a-f]{6}\b")  # in a style
STYLE = b'<style type="text/css">'
FIGURE = re.compile(rb'(<g id="patch_1">.*?fill: )#ffffff', re.DOTALL)  # the ground of the figure


def luminance(color: tuple[float, float, float]) -> float:
    """Relative luminance of an sRGB colour, from 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Contrast ratio of two colours, from 1 to 21."""
    low, high = sorted(luminance(color) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def dark(color: str) -> str:
    """The colour on a dark page: grey is turned around, other colours are lightened until they can be seen."""
    rgb = np.array(to_rgb(color))
    if np.ptp(rgb) == 0:
        return to_hex(INK + (np.array(GROUND) - INK) * rgb[0])
    lighter = (to_hex(rgb + share * (1 - rgb)) for share in np.linspace(0, 1, 41))
    return next(each for each in lighter if contrast(to_rgb(each), GROUND) >= CONTRAST)


def follows(svg: bytes, filled: bool = False) -> bytes:
    """An SVG of matplotlib that follows the mode of the page; what it looks like on a light one is unchanged.

    Args:
        svg: the content of the file.
        filled: whether colours fill the axes: they stay, and so does white, which is drawn on them.
    """
    svg = FIGURE.sub(rb"\1none", svg, count=1)

    def changes(color: str) -> bool:
        return not filled or (len({color[k : k + 2] for k in (1, 3, 5)}) == 1 and color != "#ffffff")

    found = sorted({color for each in COLOR.findall(svg) if changes(color := each.decode())})
    modes = [";".join(f"--{color[1:]}:{look(color)}" for color in found) for look in (str, dark)]
    rules = f":root{{{modes[0]}}}@media(prefers-color-scheme:dark){{:root{{fill:{to_hex(INK)};{modes[1]}}}}}"
    named = COLOR.sub(lambda m: b"var(--%b)" % m[0][1:] if m[0].decode() in found else m[0], svg)
    return named.replace(STYLE, STYLE + rules.encode(), 1)
