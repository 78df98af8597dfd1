"""Wasserstein distances on the line, W_q^q = int_0^1 |q_1(u) - q_2(u)|^q du: particles of equal rank are compared.

The integral runs over one of the two bases, on cells that are cut in three until W1 and W2 no longer change: edges,
tails, kinks and jumps of the maps are resolved wherever they lie. A cell in which the difference changes its sign is
cut there, because |difference| has a kink.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import scipy  # its modules are loaded when they are first used
import torch
from torch import Tensor

from wgf.networks.base import TransportMap
from wgf.problem.base import Base, Law, Start
from wgf.problem.laws.inverse import inverse
from wgf.problem.quadrature import Nodes, legendre
from wgf.process import threads_of_torch
from wgf.reference_solutions.base import Computed
from wgf.reference_solutions.exact import Exact

ORDER = 6  # nodes per cell
FINE = 3e-10  # share of W_q^q, of the laws or of a map's own error, that cutting a cell may change by default
CELLS, ROUNDS = 30_000, 40  # cut in one round at most, and rounds at most
LOOKS, LOOKED, NEWTON = 2, 17, 3  # looks for changes of sign before, points of a cell, and steps to a zero
CLEAR = 100.0  # times its rounding that a gap must be if its changes of sign count
PARTS = 3  # of a cell that is cut
FIRST = 0.4  # share of a cell in its first part: a cut that no reflection keeps lets no jump hide
LEAST = 1e-30  # mass beyond the last cell, where there is no edge
TURNS = 4096  # points of a circle at which maps are compared to find the best turn
ROUGH = 1e-6, 1024  # share `fine` from which so many points are enough
STEP, TURN = 1e-7, 1e-8  # of a difference, and error of a turn, as shares of a circle
ROUNDING = 8 * torch.finfo(torch.float64).eps  # error of a position, relative to the largest


@dataclass(frozen=True)
class Carried:
    """A law carried by an increasing map.

    Attributes:
        base: the law of the starts.
        place: the map [n] -> [n] (length).
        kinks: where it is not smooth [K] (length).
        period: length of a circle on which the law lives; None on the line (length).
        errors: W1 and W2 errors of the map, whose digits are worth no finer cells (length).
    """

    base: Base
    place: Callable[[Tensor], Tensor]
    kinks: Tensor
    period: float | None = None
    errors: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def by(cls, map: TransportMap, theta: Tensor) -> Carried:
        """The law that a network carries with the parameters theta [p]."""

        @torch.no_grad()
        def place(z: Tensor) -> Tensor:
            return map.evaluate(theta.double(), z.to(theta.device))[0].cpu()

        return cls(map.base, place, map.knots(theta).detach().double().cpu(), map.period)

    @classmethod
    def of(cls, base: Base, known: Exact, t: float) -> Carried:
        """A known solution at t (time)."""
        errors, kinks = (known.errors_at(t), known.kinks) if isinstance(known, Computed) else ((0.0, 0.0), [])
        return cls(base, lambda z: known(t, z), torch.tensor(kinks, dtype=torch.float64), errors=errors)

    @classmethod
    def law(cls, law: Law, base: Base) -> Carried:
        """A law, carried from a base."""
        return cls(base, Start(law, base), torch.empty(0, dtype=torch.float64))

    def turned(self, shift: float, length: float) -> Carried:
        """The same law on a circle (length), its particles counted from another one."""

        def place(z: Tensor) -> Tensor:
            turns = ((z + shift) / length).floor()
            return self.place(z + shift - turns * length) + turns * length

        seams = torch.cat([self.kinks, torch.zeros(1, dtype=torch.float64)])
        return Carried(self.base, place, (seams - shift).remainder(length), errors=self.errors)

    @property
    def mesh(self) -> Tensor:
        """Ends of cells between which base and map are smooth (length)."""
        base, u = self.base, torch.tensor([LEAST], dtype=torch.float64)
        panels = torch.tensor(base.panels(), dtype=torch.float64)
        mesh = torch.cat([base.quantile(u), base.upper_quantile(u), panels, self.kinks.clamp(base.lower, base.upper)])
        return mesh[mesh.isfinite()]


@dataclass(frozen=True)
class Distance:
    """Distances between two laws, with the nodes that resolve them.

    Attributes:
        w1, w2: W1 and W2 (length); NaN where one of the maps is unknown.
        w1_error, w2_error: changes of W1 and W2 when the last cells were cut (length).
        nodes: quadrature of the first law's base.
        target: positions of the second law's particles of equal rank [n] (length).
    """

    w1: float
    w2: float
    w1_error: float
    w2_error: float
    nodes: Nodes
    target: Tensor


@threads_of_torch(1)
def distance(one: Carried, other: Carried, fine: float = FINE) -> Distance:
    """Compute W1 and W2 between two carried laws; cutting a cell may change this share `fine` of them."""
    if one.period is None:
        return _by_rank(one, other, fine)
    points = TURNS if fine < ROUGH[0] else ROUGH[1]
    turns = _best_turns(one, other, one.period, points)
    first, second = (_by_rank(one, other.turned(shift, one.period), fine) for shift in turns)
    return replace(second, w1=first.w1, w1_error=first.w1_error)


def _best_turns(one: Carried, other: Carried, length: float, points: int) -> tuple[float, float]:
    """Shifts s (length) that minimise int |T_1(z) - T_2(z + s)|^q dz, q = 1 and 2, between maps of a circle.

    W_q on a circle is the least of these integrals over all s. They are convex in s. Their slopes vanish where

        int sign(z_2 - z_1 - s) dx = 0    and    int (T_1(z_2 - s) - x) dx = 0,

    with the particles z_i(x) = T_i^-1(x) that lie at x: integrals over the circle, in which jumps of the maps are wide.

    Source: J. Delon, J. Salomon and A. Sobolevski, SIAM J. Appl. Math. 70 (2010), 2239-2258.
    """
    x = (torch.arange(points, dtype=torch.float64) + 0.5) * (length / points)
    first, second = one.turned(0.0, length).place, other.turned(0.0, length).place
    z = _particles(second, x, length)
    turns = z - _particles(first, x, length)
    if not bool(turns.isfinite().all()):
        return 0.0, 0.0
    low, high = turns.min().item(), turns.max().item()
    by_mean = scipy.optimize.brentq(lambda s: (first(z - s) - x).mean().item(), low, high) if low < high else low
    return turns.median().item(), by_mean


def _particles(place: Callable[[Tensor], Tensor], x: Tensor, length: float) -> Tensor:
    """The starts z [n] of the particles that a map of a circle carries to x [n] (length)."""
    grid, step = torch.linspace(0.0, length, len(x) + 1, dtype=x.dtype), STEP * length
    known = place(grid).cummax(0).values  # a map that is known to some digits only may fall by the last
    turns = ((x - known[0]) / length).floor() * length
    k = torch.searchsorted(known, x - turns, right=True).clamp(1, len(x))

    def values(z: Tensor) -> tuple[Tensor, Tensor]:
        here = place(z)
        return here, (place(z + step) - here) / step

    return turns + inverse(values, x - turns, grid[k - 1], grid[k], TURN * length)


def _by_rank(one: Carried, other: Carried, fine: float) -> Distance:
    """Distances if particles of equal rank are compared."""
    base, theirs = one.base, other.base
    same = theirs is base
    unknown = torch.tensor([(a + b) ** q for q, a, b in zip((1, 2), one.errors, other.errors, strict=True)])
    mesh = other.mesh if same else base.at_rank(theirs.cdf(other.mesh), theirs.survival(other.mesh))
    mesh = torch.cat([one.mesh, mesh[mesh.isfinite()]]).unique()
    s, half = legendre(ORDER, torch.float64, mesh.device)

    def compared(low: Tensor, high: Tensor) -> list[Tensor]:
        """Nodes of cells, their masses, places of the second law's particles there, their distances from those of the
        first one, and the rounding of these [N, n]."""
        z = low[:, None] + (high - low)[:, None] * s
        w = (high - low)[:, None] * half * base.density(z)
        start = z.reshape(-1)
        rank = start if same else theirs.at_rank(base.cdf(start), base.survival(start))
        # at an edge the last 1e-16 of the mass has no rank in double precision
        seen = (w > 0) & rank.isfinite().reshape(w.shape)
        w = w.where(seen, 0.0)
        x, y = one.place(start).reshape(w.shape), other.place(rank).reshape(w.shape)
        noise = ROUNDING * torch.maximum(x.abs(), y.abs()).where(seen, 0.0)
        return [z, w, y, (x - y).where(seen, 0.0), noise]

    def measured(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """int |gap|^q p for q = 1, 2, the rounding of both and what W1 hides [5, N]; cuts of cells [N, 2]; nodes."""
        z, w, y, gap, noise = compared(low, high)
        size = gap.abs()
        cuts, hidden = _turns(low, high, z, gap)
        sums = [(w * v).sum(1) for v in (size, size * size, noise, (2 * size + noise) * noise)]
        sums.append(hidden * base.density(cuts[:, 0]))
        return torch.stack(sums), cuts, [part.reshape(-1) for part in (z, w, y)]

    for _ in range(LOOKS):
        low, high = mesh[:-1], mesh[1:]
        mesh = torch.cat([mesh, _zeros(low, high, *compared(low, high)[-2:])]).unique()
    low, high = mesh[:-1], mesh[1:]
    sums, cuts, _ = measured(low, high)
    total, doubt = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    kept: list[list[Tensor]] = []
    for round in range(ROUNDS):
        low, high = torch.column_stack([low, cuts]).reshape(-1), torch.column_stack([cuts, high]).reshape(-1)
        new, new_cuts, nodes = measured(low, high)
        parts = new.reshape(5, -1, PARTS).sum(2)
        change = (parts[:2] - sums[:2]).abs()
        change[0] += parts[4]
        allowed = fine * (total + parts[:2].sum(1) + unknown)[:, None] + parts[2:4]
        again = (change > allowed).any(0)
        if int(again.sum()) > CELLS or round == ROUNDS - 1:
            again = torch.zeros_like(again)
        total, doubt = total + parts[:2, ~again].sum(1), doubt + change[:, ~again].sum(1)
        again = again.repeat_interleave(PARTS)
        kept.append([part[~again.repeat_interleave(ORDER)] for part in nodes])
        if not again.any():
            break
        low, high, sums, cuts = low[again], high[again], new[:, again], new_cuts[again]
    z, w, y = (torch.cat(pieces) for pieces in zip(*kept, strict=True))
    order = z.argsort()
    w1, square = total.tolist()
    w1_error, square_error = doubt.tolist()
    w2 = square**0.5
    w2_error = (square + square_error) ** 0.5 - w2
    return Distance(w1, w2, w1_error, w2_error, Nodes(z[order], w[order], base), y[order])


def _turns(low: Tensor, high: Tensor, z: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """Where to cut the cells [N, 2], and the areas below |gap| [N] that a change of sign outside all nodes hides.

    A cell is cut at the first change of sign of the gap, known at the nodes z [N, n], if there is one, and amid the
    longer part: no part is longer than half the cell, so that the parts prove its integral. Symmetric cuts would
    prove too much: where a jump lies in the middle of a cell, the cell and its parts agree on a wrong integral.
    """
    weights = gap @ _to_powers()
    hidden = torch.zeros_like(low)
    for end, node, place, edge in (
        (weights[:, 0], gap[:, 0], z[:, 0], low),
        (weights.sum(1), gap[:, -1], z[:, -1], high),
    ):
        share = (end / torch.where(end == node, 1.0, end - node)).where(end * node < 0, 0.0)
        hidden += share * end.abs() * (place - edge).abs()
    turns = gap[:, :-1] * gap[:, 1:] < 0
    k = turns.to(torch.int8).argmax(1, keepdim=True)
    a, b = gap.gather(1, k)[:, 0], gap.gather(1, k + 1)[:, 0]
    before, after = z.gather(1, k)[:, 0], z.gather(1, k + 1)[:, 0]
    root = before + (after - before) * a / torch.where(a == b, 1.0, a - b)
    first = root.where(turns.any(1), low + FIRST * (high - low))
    second = 0.5 * (first + torch.where(2 * first < low + high, high, low))
    return torch.stack([first, second], 1).sort(1).values, hidden


def _zeros(low: Tensor, high: Tensor, gap: Tensor, noise: Tensor) -> Tensor:
    """Zeros [K] of the polynomials through a gap at the nodes of cells [N, n], where it is more than its rounding.

    Of two zeros close to each other, it may find the extremum between them instead: a cell cut there has one in a part.
    """
    clear = gap.abs().amax(1) > CLEAR * noise.amax(1)
    weights = gap[clear] @ _to_powers()
    cell, at = _crossings(weights)
    turning, extremum = _crossings(_derivative(weights))
    nearest = (extremum * (LOOKED - 1)).round() / (LOOKED - 1)
    beyond = _polynomial(weights[turning], extremum) * _polynomial(weights[turning], nearest) < 0
    cell, at = torch.cat([cell, turning[beyond]]), torch.cat([at, extremum[beyond]])
    return low[clear][cell] + at * (high - low)[clear][cell]


def _crossings(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Which polynomials with the weights [N, n] of 1, s, s^2, ... change sign inside [0, 1], and where, [K] each."""
    s, slopes = torch.linspace(0.0, 1.0, LOOKED, dtype=torch.float64), _derivative(weights)
    values = weights @ s ** torch.arange(weights.shape[1])[:, None]
    cell, k = (values[:, :-1] * values[:, 1:] < 0).nonzero(as_tuple=True)
    before, after = values[cell, k], values[cell, k + 1]
    at = s[k] + before / (before - after) / (LOOKED - 1)
    for _ in range(NEWTON):
        step = _polynomial(weights[cell], at) / _polynomial(slopes[cell], at)
        at = (at - step).nan_to_num().clamp(s[k], s[k + 1])
    return cell, at


def _derivative(weights: Tensor) -> Tensor:
    return weights[:, 1:] * torch.arange(1.0, weights.shape[1], dtype=torch.float64)


def _polynomial(weights: Tensor, s: Tensor) -> Tensor:
    """Polynomials with the weights [K, n] of 1, s, s^2, ... at s [K]."""
    return (weights * s[:, None] ** torch.arange(weights.shape[1])).sum(1)


@cache
def _to_powers() -> Tensor:
    """Matrix [n, n] from values at the nodes of a cell [0, 1] to the weights of 1, s, s^2, ... of their polynomial."""
    s = legendre(ORDER, torch.float64, torch.device("cpu"))[0]
    return torch.linalg.inv(s[:, None] ** torch.arange(ORDER)).T.contiguous()
