"""The Gibbs law exp(-V/D)/Z by the trapezoid rule on a grid that reaches from a millionth to 1e15 of its unit."""

from __future__ import annotations

import numpy as np

from random_problems.problem import Posed

POINTS, REACH = 800_001, 36.0


def gibbs(p: Posed, left: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """The places [n] with these masses on either side; None where the grid does not hold the law."""
    unit, u = p.unit, np.array([0.5])
    centre = float(p.law.ppf(u)[0])
    s = np.linspace(-REACH, REACH, POINTS)
    x = centre + unit * np.sinh(s)
    with np.errstate(all="ignore"):
        logs = -p.potential(x) / p.diffusion + np.log(np.cosh(s))
    logs = np.where(np.isnan(logs), -np.inf, logs)
    if not np.isfinite(logs.max()) or max(logs[0], logs[-1]) > logs.max() - 30:
        return None
    weight = np.exp(logs - logs.max())
    cells = 0.5 * (weight[1:] + weight[:-1])
    total = cells.sum()
    if cells.max() > 1e-3 * total:
        return None
    below, above = np.append(0, np.cumsum(cells)) / total, np.append(np.cumsum(cells[::-1])[::-1], 0) / total
    keep = np.append(True, np.diff(below) > 0)
    low = np.interp(left, below[keep], s[keep])
    keep = np.append(np.diff(above) < 0, True)
    high = np.interp(right, above[keep][::-1], s[keep][::-1])
    return centre + unit * np.sinh(np.where(left < 0.5, low, high))
