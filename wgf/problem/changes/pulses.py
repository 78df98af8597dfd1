"""Pulses: what a formula of V does between two of the times at which it is looked at.

Interval arithmetic bounds V(t, x) over boxes of time, at some places x. A box is cut where V may leave the straight
line between its values at the ends for long enough to move particles. Cuts gather at a pulse, however short, and
nowhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wgf.settings.formulas.enclosure import has_jumps, slope_range
from wgf.settings.formulas.expression import Expression
from wgf.settings.formulas.values import values

LEAST = 1e-7  # way that a pulse moves particles which is ignored (std)
PIECES, BOXES = 8, 50_000  # pieces of a box that is cut, and most boxes
FLAT = 1e-3  # of its largest height, below which a pulse has not begun
MARGIN = 2.0  # lengths of a pulse on either side of it in its window


def pulses(expression: Expression, places: np.ndarray, std: float, times: np.ndarray) -> list[tuple[float, float]]:
    """Windows of time (begin, end), disjoint and increasing, around pulses between two of the increasing times [n];
    none if V changes so fast everywhere that boxes run out.

    Args:
        expression: of V, with x and t.
        places: where particles are at t = 0 [k] (length).
        std: of the law (length).
        times: at which V is looked at [n + 1] (time).
    """
    with np.errstate(all="ignore"):
        boxes = np.stack([times[:-1], times[1:]])
        done = [boxes[:, :0]]
        while boxes.shape[1]:
            again = _hidden(expression, places, *boxes) * np.diff(boxes, axis=0)[0] > LEAST * std**2
            again &= np.nextafter(boxes[0], np.inf) < boxes[1]
            done.append(boxes[:, ~again])
            ends = np.linspace(boxes[0, again], boxes[1, again], PIECES + 1)
            boxes = np.stack([ends[:-1].ravel(), ends[1:].ravel()])
            if sum(part.shape[1] for part in done) + boxes.shape[1] > BOXES:
                return []
        boxes = np.concatenate(done, 1)
        return _windows(expression, places, std, times, boxes[:, boxes[0].argsort()])


def _hidden(expression: Expression, places: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """By how much V at some of the places may leave the straight line between its values at the ends of boxes of time
    from low to high [n] (energy)."""
    tree, names = expression.tree, _names(expression, places.repeat(len(low)))
    boxes = np.tile(low, len(places)), np.tile(high, len(places))
    least, most = values(tree, *boxes, names)
    found = most - least
    if not has_jumps(expression):
        found = np.fmin(found, slope_range(tree, *boxes, names) * (boxes[1] - boxes[0]) / 4)
    return np.nan_to_num(found, nan=np.inf).reshape(len(places), -1).max(0)


def _windows(
    expression: Expression, places: np.ndarray, std: float, times: np.ndarray, boxes: np.ndarray
) -> list[tuple[float, float]]:
    """Windows around what V does between the times [n + 1] and moves particles, by its values at the ends of boxes."""
    at = np.append(boxes[0], boxes[1, -1])
    looks = np.searchsorted(at, times)
    away = np.zeros(len(at))
    for x in places:
        least, most = values(expression.tree, at, at, _names(expression, x))
        v = 0.5 * (least + most)
        away = np.fmax(away, _unseen(times, v[looks], at, v, has_jumps(expression)))
    weights = 0.5 * (np.diff(at, prepend=at[0]) + np.diff(at, append=at[-1]))
    moved = np.add.reduceat(away * weights, looks[:-1])
    found: list[tuple[float, float]] = []
    for k in np.flatnonzero(moved > LEAST * std**2):
        high = np.flatnonzero(away[looks[k] : looks[k + 1]] > FLAT * away[looks[k] : looks[k + 1]].max()) + looks[k]
        begin, end = at[max(high[0] - 1, 0)], at[min(high[-1] + 1, len(at) - 1)]
        margin = MARGIN * (end - begin)
        begin, end = max(begin - margin, times[0]), min(end + margin, times[-1])
        if found and begin <= found[-1][1]:
            begin, end = found[-1][0], max(end, found.pop()[1])
        found.append((float(begin), float(end)))
    return found


def _unseen(times: np.ndarray, seen: np.ndarray, at: np.ndarray, v: np.ndarray, jumps: bool) -> np.ndarray:
    """How far values v at times `at` [m] are from cubic polynomials through those seen at the four equidistant times
    [n + 1] around; if V may jump, from what lies between these four, peaks that one of the times has met apart
    (energy)."""
    k = (np.searchsorted(times, at, side="right") - 1).clip(1, len(times) - 3)
    s = (at - times[k]) / (times[1] - times[0])
    around = k + np.arange(-1, 3)[:, None]
    weights = np.stack([s * (1 - s) * (s - 2), 3 * (s * s - 1) * (s - 2), 3 * (s + 1) * s * (2 - s), (s * s - 1) * s])
    away = np.abs(v - (weights * seen[around]).sum(0) / 6)
    if not jumps:
        return away
    inner = seen[1:-1].clip(np.minimum(seen[:-2], seen[2:]), np.maximum(seen[:-2], seen[2:]))
    calm = np.concatenate([seen[:1], inner, seen[-1:]])[around]
    return np.minimum(away, np.maximum(v - calm.max(0), calm.min(0) - v).clip(min=0))


def _names(expression: Expression, x: float | np.ndarray) -> dict[str, Any]:
    """Values of all names but the time."""
    return {k: value for k, value in expression.constants.items() if k != expression.clock} | {expression.variable: x}
