"""What a notebook shows of a flow: its equation, status and numbers, and its densities as a small picture.

The words take the colours of the page, light or dark; the picture has a white ground of its own.
"""

from __future__ import annotations

from html import escape

import numpy as np
from matplotlib.colors import to_hex

from wgf.figures import style
from wgf.figures.density import ceiling, computed, window
from wgf.saved_maps import SavedMaps

WIDTH, HEIGHT, TEXT = 330, 130, 16  # pixels: of the picture, and of the line of numbers below it
POINTS = 160  # of a curve, about


def html(facts: dict[str, str], energy: np.ndarray, solution: SavedMaps) -> str:
    """The summary.

    Args:
        facts: name -> text; among them `equation` and `status`.
        energy: at the saved times [s] (energy).
        solution: the maps; their last errors are shown where a reference is known.
    """
    shown = {name: text for name, text in facts.items() if name not in ("equation", "status")}
    shown["energy"] = f"{energy[0]:.6g} to {energy[-1]:.6g}"
    if solution.errors is not None and np.isfinite(solution.errors[-1]).all():
        shown |= {f"{w} error": f"{error:.2e}" for w, error in zip(("W1", "W2"), solution.errors[-1], strict=True)}
    rows = "".join(
        f'<tr><td style="text-align:left;opacity:.7;padding-right:1em">{escape(name)}</td>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in shown.items()
    )
    return (
        f'<div><div><b>Flow</b> <code style="background:none;color:inherit">{escape(facts["equation"])}</code></div>'
        f"<div>{escape(facts['status'])}</div>"
        '<div style="display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start">'
        f"{picture(solution)}<table>{rows}</table></div></div>"
    )


def picture(solution: SavedMaps) -> str:
    """Densities at about six of the saved times as inline SVG, from the first (dark) to the last (bright)."""
    picked, color = style.shown(solution), style.colors(solution)
    (left, right), top = window(solution, picked), 1.08 * ceiling(solution, picked)
    lines = []
    for s in picked:
        x, rho = computed(solution, s, top)
        seen = np.isfinite(rho) & (x >= left) & (x <= right)
        x, rho = x[seen], rho[seen]
        some = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
        places = zip(WIDTH * (x[some] - left) / (right - left), HEIGHT * (1 - rho[some] / top), strict=True)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        lines.append(f'<polyline points="{points}" fill="none" stroke="{to_hex(color(s))}" stroke-width="1.6"/>')
    low, high = (f"{end:.3g}" for end in (left, right))
    names = [("start", 0, low), ("middle", WIDTH / 2, f"x, density up to {top:.3g}"), ("end", WIDTH, high)]
    texts = "".join(
        f'<text x="{x:g}" y="{HEIGHT + 13}" text-anchor="{anchor}">{word}</text>' for anchor, x, word in names
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT + TEXT}" role="img" '
        f'viewBox="0 0 {WIDTH} {HEIGHT + TEXT}" font-size="12" fill="currentColor"><title>densities over time</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="4" fill="white" stroke="#999"/>{"".join(lines)}{texts}</svg>'
    )
