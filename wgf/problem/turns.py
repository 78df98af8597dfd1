"""Turns of a circle after which two maps are closest, for W1 and W2 distances of the laws that they carry."""

from __future__ import annotations

from collections.abc import Callable

import scipy  # its modules are loaded when they are first used
import torch
from torch import Tensor

from wgf.problem.laws.inverse import inverse

CUTS, PARTS = 4, 16  # times that cells are cut in which the best turn for W1 lies, and parts of each
MANY = 64  # cells that are cut at most
STEP, TURN = 1e-7, 1e-8  # of a difference, and error of particles for a turn, as shares of a circle
CLOSE = 1e-12  # error of the best turn, as a share of a circle

Place = Callable[[Tensor], Tensor]


def best_turns(first: Place, second: Place, length: float, points: int) -> tuple[float, float, float]:
    """Shifts s (length) that minimise int |T_1(z) - T_2(z + s)|^q dz, q = 1 and 2, between maps of a circle, and by how
    much the first one misses the least W1 (length).

    W_q on a circle is the least of these integrals over all s. They are convex in s. Their slopes vanish where

        int sign(z_2 - z_1 - s) dx = 0    and    int (T_1(z_2 - s) - x) dx = 0,

    with the particles z_i(x) = T_i^-1(x) that lie at x: integrals over the circle, in which jumps of the maps are wide.

    Args:
        first, second: the maps T_1 and T_2 [n] -> [n] (length).
        length: of the circle.
        points: places x at first; cells between them in which the first shift lies are cut.

    Source: J. Delon, J. Salomon and A. Sobolevski, SIAM J. Appl. Math. 70 (2010), 2239-2258.
    """
    x = (torch.arange(points, dtype=torch.float64) + 0.5) * (length / points)
    z = _particles(second, x, length)
    turns = z - _particles(first, x, length)
    if not bool(turns.isfinite().all()):
        return 0.0, 0.0, 0.0
    low, high = turns.min().item(), turns.max().item()
    by_mean = low
    if low < high:
        by_mean = scipy.optimize.brentq(lambda s: (first(z - s) - x).mean().item(), low, high, xtol=CLOSE * length)
    x, turns = (torch.cat([part, part[:1] + end]) for part, end in ((x, length), (turns, 0.0)))
    shift, loss = _median(x, turns), 0.0
    for _ in range(CUTS):
        # where the turn passes the median, it may jump
        crossing = ((turns[1:] - shift) * (turns[:-1] - shift) <= 0).nonzero()[:MANY, 0]
        shares = torch.arange(1, PARTS, dtype=torch.float64) / PARTS
        new = (x[crossing, None] + (x[crossing + 1] - x[crossing])[:, None] * shares).flatten()
        turned = _particles(second, new, length) - _particles(first, new, length)
        x, order = torch.cat([x, new]).sort()
        turns = torch.cat([turns, turned])[order]
        last, shift = shift, _median(x, turns)
        loss = (_w1(x, turns, last) - _w1(x, turns, shift)) / length
    return shift, by_mean, loss


def _median(x: Tensor, turns: Tensor) -> float:
    """The median of values at increasing places x [n], which are linear between these."""
    low, high = torch.minimum(turns[1:], turns[:-1]), torch.maximum(turns[1:], turns[:-1])

    def above(s: float) -> float:
        share = ((high - s) / (high - low)).nan_to_num(0.5).clamp(0, 1)
        return float((x.diff() * share).sum() / (x[-1] - x[0])) - 0.5

    least, most = float(low.min()), float(high.max())
    return scipy.optimize.brentq(above, least, most, xtol=1e-300) if least < most else least


def _w1(x: Tensor, turns: Tensor, s: float) -> float:
    """int |turn - s| dx of turns at increasing places x [n], which are linear between these."""
    away = turns - s
    a, b = away[:-1], away[1:]
    crosses = a * b < 0
    inside = (a * a + b * b) / (2 * (b - a).abs())
    return float((x.diff() * torch.where(crosses, inside, 0.5 * (a + b).abs())).sum())


def _particles(place: Place, x: Tensor, length: float) -> Tensor:
    """The starts z [n] of the particles that a map of a circle carries to x [n] (length)."""
    grid, step = torch.linspace(0.0, length, len(x) + 1, dtype=x.dtype), STEP * length
    known = place(grid).cummax(0).values  # a map that is known to some digits only may fall by the last
    turns = ((x - known[0]) / length).floor() * length
    k = torch.searchsorted(known, x - turns, right=True).clamp(1, len(x))

    def values(z: Tensor) -> tuple[Tensor, Tensor]:
        here = place(z)
        return here, (place(z + step) - here) / step

    return turns + inverse(values, x - turns, grid[k - 1], grid[k], TURN * length)
