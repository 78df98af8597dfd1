"""What a notebook shows of a flow: its equation, status and numbers, and its densities as a small picture.

The words take the colours of the page. The curves have colours that show on a white and on a dark page.
"""

from __future__ import annotations

from html import escape

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex

from wgf.figures import style
from wgf.figures.density import ceiling, computed, finite, window
from wgf.saved_maps import SavedMaps

WIDTH, HEIGHT, TEXT = 330, 130, 32  # pixels: of the picture, and of the two lines below it
POINTS = 160  # of a curve, about
TIMES = LinearSegmentedColormap.from_list("blue to orange", ["#3f6fd8", "#b14fb0", "#d9601a"])
UNKNOWN = "not computed yet: see flow.w1(flow.reference_solution)"


def html(facts: dict[str, str], energy: np.ndarray, solution: SavedMaps, against: str | None) -> str:
    """The summary.

    Args:
        facts: name -> text; among them `equation` and `status`.
        energy: at the saved times [s] (energy).
        solution: the maps; their last errors are shown where a reference is known.
        against: name of the reference solution, "" where there is none, None where it has not been computed.
    """
    shown = {name: text for name, text in facts.items() if name not in ("equation", "status")}
    shown["energy"] = f"{energy[0]:.6g} to {energy[-1]:.6g}"
    if against is None:
        shown["error"] = UNKNOWN
    elif solution.errors is not None and np.isfinite(solution.errors[-1]).all():
        shown |= {
            f"{w} error": f"{error:.2e} against {against}"
            for w, error in zip(("W1", "W2"), solution.errors[-1], strict=True)
        }
    rows = "".join(
        f'<tr><td style="text-align:left;opacity:.7;padding-right:1em">{escape(name)}</td>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in shown.items()
    )
    return (
        f'<div><div><b>Flow</b> <code style="background:none;color:inherit">{escape(facts["equation"])}</code></div>'
        f"<div>{escape(facts['status'])}</div>"
        '<div style="display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start">'
        f'{picture(solution)}<table style="color:inherit">{rows}</table></div></div>'
    )


def picture(solution: SavedMaps) -> str:
    """Densities at about six of the saved times as inline SVG, from the first (blue) to the last (orange)."""
    picked, reached = style.shown(solution), float(solution.t[-1])
    (left, right), top = window(solution, picked), 1.08 * ceiling(solution, picked)
    lines = []
    for s in picked:
        x, rho = computed(solution, s, top)
        seen = np.isfinite(rho) & (x >= left) & (x <= right)
        x, rho = x[seen], rho[seen]
        some = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
        places = zip(WIDTH * (x[some] - left) / (right - left), HEIGHT * (1 - rho[some] / top), strict=True)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        color = to_hex(TIMES(solution.t[s] / reached if reached else 0.0))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.6"/>')
    peak = max(float(np.nanmax(finite(solution.rho[s]))) for s in picked)
    about = f"blue: t = 0, orange: t = {reached:.4g}; highest density {peak:.3g}"
    names = [("start", 0, 13, f"{left:.3g}"), ("middle", WIDTH / 2, 13, "x"), ("end", WIDTH, 13, f"{right:.3g}")]
    texts = "".join(
        f'<text x="{x:g}" y="{HEIGHT + y}" text-anchor="{anchor}">{word}</text>'
        for anchor, x, y, word in [*names, ("middle", WIDTH / 2, 29, about)]
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT + TEXT}" role="img" '
        f'viewBox="0 0 {WIDTH} {HEIGHT + TEXT}" font-size="12" fill="currentColor"><title>densities over time</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="4" fill="none" stroke="#999"/>{"".join(lines)}{texts}</svg>'
    )
