"""Values of a formula over intervals: what nodes between their ends may miss."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy  # its modules are loaded when they are first used

from wgf.settings.formulas.expression import literal
from wgf.settings.formulas.intervals import Interval, absolute, constant, cosine, exponential, logarithm, outward, sine

INCREASING = {"sqrt": np.sqrt, "sinh": np.sinh, "tanh": np.tanh, "atan": np.arctan, "erf": scipy.special.erf}
OTHERS = {"abs": absolute, "exp": exponential, "log": logarithm, "sin": sine, "cos": cosine}


def values(tree: ast.AST, low: np.ndarray, high: np.ndarray, names: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a formula on intervals from low to high [n] of the name that `names` lacks; numbers or arrays [n] stand
    for the others."""
    with np.errstate(all="ignore"):
        found = _values(tree, Interval(low, high), names)
    return found.low, found.high


def _values(node: ast.AST, x: Interval, names: Mapping[str, Any]) -> Interval:
    match node:
        case ast.Constant(value=value):
            return constant(float(value), x)  # type: ignore[arg-type]
        case ast.Name(id=name):
            return constant(names[name], x) if name in names else x
        case ast.UnaryOp(op=op, operand=operand):
            inner = _values(operand, x, names)
            return -inner if isinstance(op, ast.USub) else inner
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base, power = _values(left, x, names), literal(right)
            if power is not None:
                return base.to_power(power)
            return exponential(_values(right, x, names) * logarithm(base))
        case ast.BinOp(left=left, op=op, right=right):
            u, v = _values(left, x, names), _values(right, x, names)
            if isinstance(op, ast.Mult):
                return u * v
            if isinstance(op, ast.Div):
                return u * v.reciprocal()
            return u + v if isinstance(op, ast.Add) else u - v
        case ast.Call(func=ast.Name(id="where"), args=[ast.Compare(left=left, ops=[op], comparators=[right]), *rest]):
            sign = _sign(_values(left, x, names) - _values(right, x, names))
            first, second = (_values(part, x, names) for part in rest)
            if isinstance(op, (ast.Lt, ast.LtE)):
                first, second = second, first  # where left > right
            low = np.minimum(np.where(sign.high > 0, first.low, np.inf), np.where(sign.low < 0, second.low, np.inf))
            high = np.maximum(
                np.where(sign.high > 0, first.high, -np.inf), np.where(sign.low < 0, second.high, -np.inf)
            )
            return Interval(low, high)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _function(name, *(_values(part, x, names) for part in arguments))
    raise TypeError(f"{node!r} is no part of a formula")


def _function(name: str, u: Interval, *rest: Interval) -> Interval:
    if name in ("max", "min"):
        pick = np.maximum if name == "max" else np.minimum
        return Interval(pick(u.low, rest[0].low), pick(u.high, rest[0].high))
    if name == "sign":
        return _sign(u)
    if name == "tan":
        return sine(u) * cosine(u).reciprocal()
    if name == "cosh":
        size = absolute(u)
        return outward(np.cosh(size.low), np.cosh(size.high))
    return u.mapped(INCREASING[name]) if name in INCREASING else OTHERS[name](u)


def _sign(u: Interval) -> Interval:
    """Where formulas switch at the end of an interval, that end counts for nothing."""
    return Interval(np.where((u.low >= 0) & (u.high > 0), 1.0, -1.0), np.where((u.high <= 0) & (u.low < 0), -1.0, 1.0))
