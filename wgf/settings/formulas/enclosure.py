"""Lower bound of the second derivative of a formula on the whole line.

A formula is evaluated on boxes as a jet: intervals that contain f, f' and f''. Boxes are cut where that may raise
the bound (branch and bound). Kinks of |u| count as the measure they are: convex ones as +inf, concave ones as -inf.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy  # its modules are loaded when they are first used

from wgf.settings.formulas.expression import PAIRS, Expression, literal
from wgf.settings.formulas.intervals import (
    FAR,
    Interval,
    absolute,
    constant,
    cosine,
    exponential,
    logarithm,
    outward,
    sine,
)

ACCURACY, FLOOR = 1e-4, 1e-9  # of the bound, relative to it and to the terms that cancel there, and absolute
BOXES, BATCH, PIECES = 20_000, 512, 8  # most boxes, most boxes cut at once, and pieces of each
AWAY, CUTS = 64, 24  # boxes on either side of a range, as many as are cut at once, and how often
JUMPS = {"sign", "where", *PAIRS}  # functions with jumps and kinks that no jet describes
# a box without a bound holds a singular point if it is so narrow, relative to its distance from 0 between CLOSE and 1
NARROW, CLOSE = 1e-6, 1e-9

Jet = tuple[Interval, Interval, Interval]  # f, f', f''


def _chain(u: Jet, f: Interval, df: Interval, ddf: Interval) -> Jet:
    """Jet of f(u)."""
    return f, df * u[1], ddf * u[1].to_power(2) + df * u[2]


def _power(u: Jet, c: float) -> Jet:
    one = constant(c, u[0])
    if c == 0:
        return constant(1.0, u[0]), one, one
    df = one if c == 1 else one * u[0].to_power(c - 1)
    rest = constant(c * (c - 1), u[0])
    return _chain(u, u[0].to_power(c), df, rest if rest.is_zero or c == 2 else rest * u[0].to_power(c - 2))


def _multiplied(u: Jet, v: Jet) -> Jet:
    cross = u[1] * v[1]
    return u[0] * v[0], u[1] * v[0] + u[0] * v[1], u[2] * v[0] + cross + cross + u[0] * v[2]


def _added(u: Jet, v: Jet) -> Jet:
    return u[0] + v[0], u[1] + v[1], u[2] + v[2]


def _negated(u: Jet) -> Jet:
    return -u[0], -u[1], -u[2]


def _absolute(u: Jet) -> Jet:
    sign = Interval(np.where(u[0].low > 0, 1.0, -1.0), np.where(u[0].high < 0, -1.0, 1.0))
    kink = np.where((u[0].low <= 0) & (u[0].high >= 0), math.inf, 0.0)
    return absolute(u[0]), sign * u[1], sign * u[2] + Interval(np.zeros_like(kink), kink)


def _absolute_power(u: Jet, c: float) -> Jet:
    """Jet of |u|^c for c > 1, which has no kink."""
    sign = Interval(np.where(u[0].low > 0, 1.0, -1.0), np.where(u[0].high < 0, -1.0, 1.0))
    size, one = absolute(u[0]), constant(c, u[0])
    bend = constant(c * (c - 1), u[0]) * size.to_power(c - 2)
    return _chain(u, size.to_power(c), one * sign * size.to_power(c - 1), bend)


def _function(name: str, u: Jet) -> Jet:
    f, one = u[0], constant(1.0, u[0])
    if name == "abs":
        return _absolute(u)
    if name == "sqrt":
        return _power(u, 0.5)
    if name == "exp":
        return _chain(u, *[exponential(f)] * 3)
    if name == "log":
        inverse = f.reciprocal()
        return _chain(u, logarithm(f), inverse, -inverse.to_power(2))
    if name in ("sin", "cos"):
        s, c = sine(f), cosine(f)
        return _chain(u, s, c, -s) if name == "sin" else _chain(u, c, -s, -c)
    if name == "tan":
        t = sine(f) * cosine(f).reciprocal()
        square = one + t.to_power(2)
        return _chain(u, t, square, (t + t) * square)
    if name == "atan":
        square = (one + f.to_power(2)).reciprocal()
        return _chain(u, f.mapped(np.arctan), square, -(f + f) * square.to_power(2))
    if name == "erf":
        bell = constant(2 / math.sqrt(math.pi), f) * exponential(-f.to_power(2))
        return _chain(u, f.mapped(scipy.special.erf), bell, -(f + f) * bell)
    if name not in ("sinh", "cosh", "tanh"):
        raise TypeError(f"{name} has jumps")
    half, up, down = constant(0.5, f), exponential(f), exponential(-f)
    cosh, sinh = half * (up + down), half * (up - down)
    if f.power == 0:  # tighter
        cosh, sinh = outward(np.cosh(absolute(f).low), np.cosh(absolute(f).high)), f.mapped(np.sinh)
    if name == "tanh":
        bell, t = cosh.reciprocal().to_power(2), f.mapped(np.tanh)
        return _chain(u, t, bell, -(t + t) * bell)
    return _chain(u, cosh, sinh, cosh) if name == "cosh" else _chain(u, sinh, cosh, sinh)


def _jet(node: ast.AST, x: Jet, names: Mapping[str, Any]) -> Jet:
    """Jet of a part of a formula."""
    match node:
        case ast.Constant(value=value):
            zero = constant(0.0, x[0])
            return constant(float(value), x[0]), zero, zero  # type: ignore[arg-type]
        case ast.Name(id=name):
            zero = constant(0.0, x[0])
            return (constant(names[name], x[0]), zero, zero) if name in names else x
        case ast.UnaryOp(op=op, operand=operand):
            inner = _jet(operand, x, names)
            return _negated(inner) if isinstance(op, ast.USub) else inner
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return _function(name, _jet(argument, x, names))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            power = literal(right)
            if power is not None:
                match left:
                    case ast.Call(func=ast.Name(id="abs"), args=[argument]) if power > 1:
                        return _absolute_power(_jet(argument, x, names), power)
                return _power(_jet(left, x, names), power)
            return _function("exp", _multiplied(_jet(right, x, names), _function("log", _jet(left, x, names))))
        case ast.BinOp(left=left, op=op, right=right):
            u, v = _jet(left, x, names), _jet(right, x, names)
            if isinstance(op, ast.Mult):
                return _multiplied(u, v)
            if isinstance(op, ast.Div):
                return _multiplied(u, _power(v, -1.0))
            return _added(u, v if isinstance(op, ast.Add) else _negated(v))
    raise TypeError(f"{node!r} is no part of a formula")


def _bends(expression: Expression, low: np.ndarray, high: np.ndarray) -> Interval:
    """f'' in boxes from low to high [boxes]."""
    x = Interval(low, high)
    return _jet(expression.tree, (x, constant(1.0, x), constant(0.0, x)), expression.constants)[2]


def slope_range(part: ast.AST, low: np.ndarray, high: np.ndarray, names: Mapping[str, Any]) -> np.ndarray:
    """By how much at most the slope of a part of a formula varies in boxes from low to high [boxes] of the name that
    `names` lacks; numbers or arrays [boxes] stand for the others."""
    x = Interval(low, high)
    slope = _jet(part, (x, constant(1.0, x), constant(0.0, x)), names)[1]
    return slope.high - slope.low


def _far(expression: Expression, side: float) -> float:
    """Lower bound of f'' at x = side |x| for |x| >= FAR."""
    sign = np.array([side])
    x = Interval(sign, sign, 1.0)
    jet = _jet(expression.tree, (x, Interval(sign, sign), constant(0.0, x)), expression.constants)
    return float(jet[2].values().low[0])


def _size(node: ast.AST, x: Jet, names: Mapping[str, Any]) -> float:
    """Sum of |f''| of the terms of a formula at a point."""
    match node:
        case ast.UnaryOp(operand=operand):
            return _size(operand, x, names)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return _size(left, x, names) + _size(right, x, names)
        case ast.BinOp(left=left, op=ast.Mult(), right=right) if (factor := literal(left)) is not None:
            return abs(factor) * _size(right, x, names)
    bend = _jet(node, x, names)[2]
    return float(max(abs(bend.low[0]), abs(bend.high[0])))


def least_bends(expression: Expression, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Lower bounds of f'' in boxes from low to high [boxes]; -inf where interval arithmetic finds none."""
    with np.errstate(all="ignore"):
        return _bends(expression, low, high).low


def least_bend_outside(expression: Expression, low: float, high: float) -> float:
    """Lower bound of f'' outside [low, high]; -inf where interval arithmetic finds none."""
    steps = np.concatenate([[0.0], np.geomspace(1e-3 * (high - low), 2 * FAR + abs(low) + abs(high), AWAY)])
    boxes = np.concatenate([[high + steps[:-1], high + steps[1:]], [low - steps[1:], low - steps[:-1]]], 1)
    with np.errstate(all="ignore"):
        tails = min(_far(expression, side) for side in (-1.0, 1.0))
        bounds = _bends(expression, *boxes).low
        for _ in range(CUTS):
            order, below = bounds.argsort(), int((bounds < 0).sum())
            if not below:
                break
            worst = order[: min(below, AWAY)]
            ends = np.linspace(boxes[0, worst], boxes[1, worst], PIECES + 1)
            pieces = np.stack([ends[:-1].ravel(), ends[1:].ravel()])
            rest = order[len(worst) :]
            boxes = np.concatenate([boxes[:, rest], pieces], 1)
            bounds = np.concatenate([bounds[rest], _bends(expression, *pieces).low])
    return min(float(bounds.min()), tails)


def has_jumps(expression: Expression) -> bool:
    """Whether a formula has parts that interval arithmetic does not describe."""
    calls = {node.func.id for node in ast.walk(expression.tree) if isinstance(node, ast.Call)}  # type: ignore[attr-defined]
    return bool(calls & JUMPS)


def _least_bend_of_quartic(powers: list[float]) -> float | None:
    """The infimum of f'' = c + b x + a x^2 of a polynomial with these weights of 1, x, ..., less its rounding."""
    c, b, a = (
        factor * weight for factor, weight in zip((2, 6, 12), [*powers, 0.0, 0.0, 0.0, 0.0, 0.0][2:5], strict=True)
    )
    if a < 0 or (a == 0 and b != 0):
        return None
    depth = b * b / (4 * a) if a > 0 else 0.0
    found = c - depth - 8 * np.finfo(float).eps * (abs(c) + depth)
    return found if math.isfinite(found) else None


def least_bend(expression: Expression) -> float | None:
    """Lower bound of f'' on the whole line, close to its infimum; None where interval arithmetic finds none."""
    if has_jumps(expression):
        return None
    if (powers := expression.polynomial()) is not None and len(powers) <= 5:
        return _least_bend_of_quartic(powers)
    with np.errstate(all="ignore"):
        tails = min(_far(expression, side) for side in (-1.0, 1.0))
        if tails == -math.inf:
            return None
        steps = np.geomspace(1 / FAR, FAR, 100)  # in any unit of length
        ends = np.concatenate([-steps[::-1], steps])
        boxes = np.stack([ends[:-1], ends[1:]])
        bounds = _bends(expression, *boxes).low
        least, gap = math.inf, math.inf  # an upper bound of the infimum
        while boxes.shape[1] < BOXES:
            middle = boxes.mean(0)
            seen = _bends(expression, middle, middle).high
            at = seen.argmin()
            if seen[at] < least:
                least, x = float(seen[at]), Interval(*[middle[[at]]] * 2)
                size = _size(expression.tree, (x, constant(1.0, x), constant(0.0, x)), expression.constants)
                gap = ACCURACY * max(abs(least), size if math.isfinite(size) else 0.0) + FLOOR
            if (bounds == -math.inf)[boxes[1] - boxes[0] < NARROW * np.abs(middle).clip(CLOSE, 1.0)].any():
                return None
            loose = bounds < min(least - gap, tails)
            loose &= (boxes[0] < middle) & (middle < boxes[1])  # numbers between the ends
            worst = np.flatnonzero(loose)[bounds[loose].argsort()[:BATCH]]
            if not len(worst):
                break
            ends = np.linspace(boxes[0, worst], boxes[1, worst], PIECES + 1)
            keep = np.ones(boxes.shape[1], dtype=bool)
            keep[worst] = False
            pieces = np.stack([ends[:-1].ravel(), ends[1:].ravel()])
            boxes = np.concatenate([boxes[:, keep], pieces], 1)
            bounds = np.concatenate([bounds[keep], _bends(expression, *pieces).low])
    found = min(float(bounds.min()), tails)
    return found if math.isfinite(found) else None
