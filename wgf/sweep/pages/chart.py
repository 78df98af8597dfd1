"""A chart as SVG inside a page: axes with ticks, and curves that a script can move. The page's style colours it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

LEFT, RIGHT, TOP, BOTTOM = 62, 14, 10, 44  # margins
WIDTH, HEIGHT = 380, 240  # of the part inside the axes
TICKS = 6  # at most
CLOSE = 0.08  # a point so close to the line between its neighbours is left out


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high` with a name; logarithmic axes end at powers of ten."""

    low: float
    high: float
    name: str
    log: bool = False

    @classmethod
    def decades(cls, values: np.ndarray, name: str) -> Axis:
        """A logarithmic axis for the positive ones of some values."""
        seen = np.log10(values[np.isfinite(values) & (values > 0)])
        low = math.floor(seen.min()) if seen.size else -1
        return cls(10.0**low, 10.0 ** max(math.ceil(seen.max()) if seen.size else 0, low + 1), name, True)

    def share(self, values: np.ndarray) -> np.ndarray:
        """Where values lie: 0 at the low end, 1 at the high end."""
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.log(values / self.low) / math.log(self.high / self.low)
        return (values - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Values and texts."""
        if self.log:
            low, high = round(math.log10(self.low)), round(math.log10(self.high))
            return [(10.0**k, f"1e{k}") for k in range(low, high + 1, -(-(high - low) // (TICKS - 1)))]
        values = MaxNLocator(TICKS - 1).tick_values(self.low, self.high)
        step = values[1] - values[0]
        inside = [float(v) for v in values if self.low <= v + 1e-9 * step and v - 1e-9 * step <= self.high]
        return [(v, f"{0.0 if abs(v) < 1e-9 * step else v:.6g}") for v in inside]


@dataclass(frozen=True)
class Curve:
    """A curve of a chart: its class in the style sheet, its points, and its name for the script."""

    look: str
    points: str
    name: str = ""


@dataclass(frozen=True)
class Chart:
    """Two axes and a text for screen readers."""

    x: Axis
    y: Axis
    text: str

    def points(self, x: np.ndarray, y: np.ndarray) -> str:
        """A curve in the units of the chart, without the points that its line does not need."""
        place = np.stack([WIDTH * self.x.share(x), HEIGHT * (1.0 - self.y.share(y))], axis=1)
        place = place[np.isfinite(place).all(axis=1)]
        near = (place[:, 0] > -WIDTH) & (place[:, 0] < 2 * WIDTH)
        place = thinned(np.clip(place[near], -HEIGHT, [2 * WIDTH, 2 * HEIGHT]))
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in place.tolist())

    def svg(self, curves: Iterable[Curve]) -> str:
        """The element."""
        lines = []
        for value, text in self.x.ticks():
            at = LEFT + WIDTH * float(self.x.share(np.array(value)))
            lines.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{TOP + HEIGHT}"/>')
            lines.append(f'<text x="{at:.1f}" y="{TOP + HEIGHT + 17}" text-anchor="middle">{text}</text>')
        for value, text in self.y.ticks():
            at = TOP + HEIGHT * (1.0 - float(self.y.share(np.array(value))))
            lines.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{at:.1f}" y2="{at:.1f}"/>')
            lines.append(f'<text x="{LEFT - 6}" y="{at + 5:.1f}" text-anchor="end">{text}</text>')
        middle, half = LEFT + WIDTH / 2, TOP + HEIGHT / 2
        lines.append(f'<text x="{middle}" y="{TOP + HEIGHT + 37}" text-anchor="middle">{escape(self.x.name)}</text>')
        turned = f'transform="rotate(-90 13 {half})" x="13" y="{half}" text-anchor="middle"'
        lines.append(f"<text {turned}>{escape(self.y.name)}</text>")
        inside = "".join(
            f'<polyline class="{curve.look}" data-curve="{curve.name}" points="{curve.points}"/>' for curve in curves
        )
        lines.append(f'<svg x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}">{inside}</svg>')
        box = f"0 0 {LEFT + WIDTH + RIGHT} {TOP + HEIGHT + BOTTOM}"
        return f'<svg class="chart" viewBox="{box}" role="img" aria-label="{escape(self.text)}">{"".join(lines)}</svg>'


def thinned(place: np.ndarray) -> np.ndarray:
    """Points [n, 2] of a line without those that lie on it anyway; every second one may go in each pass."""
    parity, idle = 1, 0
    while idle < 2 and len(place) > 2:
        a, b, c = place[:-2], place[1:-1], place[2:]
        along, length = c - a, np.maximum(((c - a) ** 2).sum(axis=1), 1e-12)
        share = np.clip(((b - a) * along).sum(axis=1) / length, 0.0, 1.0)
        away = np.hypot(*(b - a - share[:, None] * along).T)
        drop = (away < CLOSE) & (np.arange(1, len(place) - 1) % 2 == parity)
        idle = 0 if drop.any() else idle + 1
        place, parity = place[np.concatenate([[True], ~drop, [True]])], 1 - parity
    return place
