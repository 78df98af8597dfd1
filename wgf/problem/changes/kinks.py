"""Kinks of a potential inside a cell of a quadrature, where its force jumps.

A Gauss rule sees a kink only when a node crosses it: the velocity of a flow would jump at every crossing. Here the cell
in which the map crosses a kink is integrated on both sides of the crossing, of the polynomials through its nodes. With
nodes s_i in (-1, 1), s the crossing and P_n the Legendre polynomials, node i then has the mean sign

    sigma_i = 1 - sum_n (2n + 1) P_n(s_i) int_{-1}^s P_n   instead of   sign(f(s_i) - x).

The energy is stationary in s, so that sigma_i is also the share of the node in the force; its own derivative is
-sum_n (2n + 1) P_n(s_i) P_n(s) ds with ds = -df(s) / f'(s).
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.polynomial import legendre
from torch import Tensor

from wgf.settings.formulas.expression import Expression

MODES = 12  # most Legendre polynomials in a cell
STEPS = 8  # of Newton's method for the crossing
WINDOW, SAMPLES = 100.0, 40_001  # where kinks without a formula are sought (length)
SCALES = torch.logspace(-30, 12, 9334, dtype=torch.float64)  # distances at which they are sought around others (length)
MOST = 64  # kinks
NEAR = 1e-9  # distance of the two sides at which jumps are measured, as a share of that from 0: its square is lost
REAL = 1e-7  # imaginary part of a real root, relative
WIDTHS = 4.0 ** torch.arange(-80, 21, dtype=torch.float64)  # on either side of a zero, where signs differ (length)
SHARP = 1e-40  # width of a bracket of a zero that is sharp enough (length)
ROUNDING = 64  # of a cell's end, in last places of the largest
FARTHER, LASTING = 4.0, 1e-3  # the jumps so many times farther, and their relative difference
VARIES = 1e4  # times as much as the smallest jump of V'' may V'' vary between these distances
LEAST, JUMP = 1e-9, 1e-6  # jump relative to the size of the derivative, and to that of kinks beside it
DIGITS = 64 * torch.finfo(torch.float64).eps  # error of a place where a kink is sought, relative to its distance from 0


class Kinks(NamedTuple):
    """Places [K] (length), and the jumps of V' and of V'' there [K]."""

    x: Tensor
    slope: Tensor
    bend: Tensor

    def parts(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Value and derivatives of slope y + bend y^2/2 at distances y [K, ...] from the kinks."""
        slope, bend = self.slope[:, None], self.bend[:, None]
        return y * (slope + 0.5 * bend * y), slope + bend * y, bend.expand_as(y)


class Crossing(NamedTuple):
    """The cells in which a map crosses kinks: two for each kink, which are one cell counted half twice unless the map
    crosses a kink where two cells meet. So a reflected problem has the reflected forces.

    Attributes:
        nodes: indices of their nodes [K, 2q].
        y: distances of the map from the kinks there [K, 2q] (length).
        share: (sigma_i - sign y_i) / 4 [K, 2q]; 0 for a kink that the map does not cross.
        rise: derivative of sigma_i / 4 in the value of the map at the crossing, as a weight of that node [K, 2q].
    """

    nodes: Tensor
    y: Tensor
    share: Tensor
    rise: Tensor


@lru_cache(maxsize=64)
def on(kinks: Kinks, dtype: torch.dtype, device: torch.device) -> Kinks:
    """Kinks as numbers of a dtype on a device."""
    return Kinks(*(part.to(device, dtype) for part in kinks))


@lru_cache(maxsize=16)
def modes(order: int) -> tuple[np.ndarray, np.ndarray]:
    """(2n + 1) P_n(s_i) [N, q], and the Gauss weights of sum 2 [q]."""
    s, w = legendre.leggauss(order)
    count = min(order, MODES)
    return (2 * np.arange(count)[:, None] + 1) * legendre.legvander(s, count - 1).T, w


@lru_cache(maxsize=16)
def _tables(order: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """Modes [N, q]; values at nodes -> powers of s, powers -> P_n and their primitives, as matrices of monomials."""
    table, w = modes(order)
    count = len(table)
    monomials, primitives = np.zeros((count, count)), np.zeros((count, count + 1))
    for n, one in enumerate(np.eye(count)):
        for row, series in ((monomials[n], one), (primitives[n], legendre.legint(one, lbnd=-1))):
            powers = legendre.leg2poly(series)
            row[: len(powers)] = powers
    to_powers = (0.5 * w * table).T @ monomials
    return tuple(torch.from_numpy(m).to(device, dtype) for m in (table, to_powers, monomials, primitives))


def crossing(kinks: Kinks, x: Tensor, order: int) -> Crossing:
    """Where a map with increasing values x [n] at nodes in cells of `order` nodes crosses kinks."""
    table, to_powers, monomials, primitives = _tables(order, x.dtype, x.device)
    power = torch.arange(len(table) + 1, device=x.device)
    cells, at = x.reshape(-1, order), kinks.x[:, None]
    polynomials = cells @ to_powers  # [C, N]
    right = polynomials.sum(1)
    left = polynomials[0, ::2].sum() - polynomials[0, 1::2].sum()
    near = ROUNDING * torch.finfo(x.dtype).eps * right.abs().amax()
    cell = torch.searchsorted(right, torch.cat([at - near, at + near], 1)).clamp(max=len(right) - 1)  # [K, 2]
    inside = (at > left) & (at < right[-1])
    c = polynomials[cell]
    dc = c[..., 1:] * power[1:-1]
    s = torch.zeros_like(cell, dtype=x.dtype)
    low, high = s - 1, s + 1
    for turn in range(STEPS):
        powers = s[..., None] ** power
        gap = (powers[..., :-1] * c).sum(-1) - at
        low, high = torch.where(gap < 0, s, low), torch.where(gap < 0, high, s)
        s = s - gap / (powers[..., :-2] * dc).sum(-1)
        other = 0.5 * (low + high) if turn % 2 == 0 else s.clamp(low, high)  # a crossing may lie at an end
        s = torch.where((s >= low) & (s <= high), s, other)
    s = s.nan_to_num(0.0)
    powers = s[..., None] ** power
    sigma = 1 - (powers @ primitives.T) @ table
    slope = (powers[..., :-2] * dc).sum(-1)
    rise = torch.where(inside & (slope > 0), 0.25 / slope, 0.0)[..., None] * ((powers[..., :-1] @ monomials.T) @ table)
    y = cells[cell] - at[..., None]
    share = torch.where(inside[..., None], 0.25 * (sigma - y.sign()), 0.0)
    nodes = cell[..., None] * order + torch.arange(order, device=x.device)
    return Crossing(nodes.flatten(1), y.flatten(1), share.flatten(1), rise.flatten(1))


def find(expression: Expression) -> Kinks | None:
    """Kinks of a formula where its abs, sign, max, min and where switch; None if there are none.

    A kink that is not found costs accuracy at the quadrature, no more.
    """
    x, near = places(expression, expression.switches())
    slope, bend, lasts = _lasting(expression, x, near)
    # a place that is known to fewer digits sees the kinks of others, which are counted by then
    order = near[lasts].argsort(stable=True)
    return _counted(*(part[lasts][order] for part in (x, near, slope, bend)))


def places(expression: Expression, parts: Sequence[ast.AST]) -> tuple[Tensor, Tensor]:
    """Zeros of parts of a formula, and the origin [K]; how far beside them both sides are known, NaN where a part keeps
    its sign [K] (length)."""
    found = [*zeros(expression, parts)]
    origin = torch.zeros(1, dtype=torch.float64)
    x = torch.cat([origin, *(at for _, at in found)])
    width = torch.cat([origin * math.nan, *(_width(expression, part, at) for part, at in found)])
    return x, torch.maximum(NEAR * x.abs(), 4 * width)


def zeros(
    expression: Expression, parts: Sequence[ast.AST], window: Tensor | None = None
) -> Iterator[tuple[ast.AST, Tensor]]:
    """Parts of a formula with their zeros [K] (length).

    All zeros of polynomials are found, other zeros within 100 of the origin, and around it and around those of
    polynomials at any scale, if their distances from there differ by 1 %, of too many those next to the origin; or all
    between the increasing places `window` [n] (length).
    """
    centres, others = [torch.zeros(1, dtype=torch.float64)], list[ast.AST]()
    for part in parts:
        if (coefficients := expression.polynomial(part)) is None:
            others.append(part)
        elif len(coefficients) > 1:
            roots = np.polynomial.polynomial.polyroots(coefficients)
            centres.append(
                torch.from_numpy(np.real(roots[np.abs(np.imag(roots)) <= REAL * np.abs(roots)]).astype(float))
            )
            yield part, centres[-1]
    if not others:
        return
    around = torch.cat(centres)[:MOST, None]
    grid = torch.linspace(-WINDOW, WINDOW, SAMPLES, dtype=torch.float64) if window is None else window
    sought = torch.cat([grid, (around - SCALES).flatten(), (around + SCALES).flatten()]).unique()
    if window is not None:
        sought = sought[(sought >= window[0]) & (sought <= window[-1])]
    for part in others:
        yield part, _zeros(expression, part, sought, MOST if window is None else len(sought))


def _counted(x: Tensor, near: Tensor, slope: Tensor, bend: Tensor) -> Kinks | None:
    """Kinks in increasing order, each once, of too many those next to the origin, from places [K] at which jumps are
    known at increasing distances `near`."""
    kept: list[int] = []
    for k in range(len(x)):
        close = [j for j in kept if abs(x[j] - x[k]) <= FARTHER * near[k]]
        rest = slope[k] - slope[close].sum()
        if close and (near[k] <= FARTHER * near[close].max() or abs(rest) <= JUMP * abs(slope[k])):
            continue
        slope[k], bend[k] = rest, bend[k] - bend[close].sum()
        kept.append(k)
    nearest = sorted(kept, key=lambda k: abs(float(x[k])))[:MOST]
    at = torch.tensor(sorted(nearest, key=lambda k: float(x[k])), dtype=torch.int64)
    return Kinks(x[at], slope[at], bend[at]) if kept else None


def _lasting(expression: Expression, x: Tensor, near: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Jumps of V' and V'' at places x by values at distances `near`, and where there are some that do not depend on the
    distance, as those of a root do, such as |x|^1.5."""
    (slope, bend), (sizes, sizes_of_bend), sane = _jumps(expression, x, near)
    (farther, farther_bend), _, _ = _jumps(expression, x, FARTHER * near)
    jumps = (slope.abs() > sizes) | (bend.abs() > sizes_of_bend)
    lasts, varies = (farther - slope).abs() <= LASTING * slope.abs() + sizes, (farther_bend - bend).abs()
    # where V'' is 0 without the kink, it varies by more than itself
    kinked = (slope.abs() > sizes) & (near * varies <= LASTING * slope.abs())
    lasts &= kinked | (varies <= LASTING * bend.abs() + VARIES * sizes_of_bend)
    bend = bend + (bend - farther_bend) / (FARTHER - 1)  # without what V'' varies between both sides
    return slope, bend, jumps & lasts & sane


def _jumps(expression: Expression, x: Tensor, near: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
    """Jumps of V' and V'' at places x by values at distances `near`, their errors, and where they are sane."""
    (v0, s0, b0), (v1, s1, b1) = (_jet(expression, x + side * near) for side in (-1.0, 1.0))
    slope, bend, steep, bent = s1 - s0 - near * (b1 + b0), b1 - b0, s0.abs() + s1.abs(), b0.abs() + b1.abs()
    sizes = LEAST * steep + DIGITS * x.abs() * bent, 1e3 * LEAST * bent
    rounding = DIGITS * (v0.abs() + v1.abs())
    steady = (v1 - v0).abs() <= 2 * near * (steep + near * bent) + rounding  # V itself does not jump
    return (slope, bend), sizes, torch.isfinite(slope) & torch.isfinite(bend) & steady


def _jet(expression: Expression, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    with torch.enable_grad():
        x = x.requires_grad_()
        v = expression(x)
        slope = torch.autograd.grad(v.sum(), x, create_graph=True)[0]
        bend = torch.autograd.grad(slope.sum(), x, materialize_grads=True)[0] if slope.requires_grad else 0 * slope
    return v.detach(), slope.detach(), bend.detach()


def _zeros(expression: Expression, switch: ast.AST, x: Tensor, most: int) -> Tensor:
    """Zeros of a part of a formula between increasing places x [n] at which it changes its sign, of too many those next
    to the origin (length)."""
    value = expression.part(switch, x)
    x, value = x[value != 0], value[value != 0]  # it may be 0 to rounding all around a zero
    begin = torch.nonzero(value[:-1].sign() * value[1:].sign() < 0).flatten()
    begin = begin[x[begin].abs().argsort()[:most]]
    low, high, sign = x[begin], x[begin + 1], value[begin].sign()
    while not bool((high - low <= SHARP).all()):
        middle = 0.5 * (low + high)
        if bool(((middle <= low) | (middle >= high) | (high - low <= SHARP)).all()):
            break
        same = expression.part(switch, middle).sign() == sign
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    return high


def _width(expression: Expression, switch: ast.AST, x: Tensor) -> Tensor:
    """How far from zeros x [K] of a part of a formula it has opposite signs; NaN where it has none (length)."""
    h = torch.maximum(WIDTHS, 2 * torch.finfo(x.dtype).eps * x[:, None].abs())
    left, right = (expression.part(switch, x[:, None] + side * h).sign() for side in (-1.0, 1.0))
    differ = (left * right < 0).expand_as(h)
    first = differ.to(torch.uint8).argmax(1, keepdim=True)
    return torch.where(differ.any(1), h.gather(1, first)[:, 0], math.nan)
