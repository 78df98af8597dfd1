"""How far the slope of a formula is from polynomials in small intervals, by discs in the complex plane.

Around the middle m of an interval of half width s, let |f - f(m)| <= M for |z - m| <= R. The coefficients of its power
series are at most M / R^k (Cauchy), so that the terms of f' beyond the degree q - 1 add up to at most

    (M / R) sigma^q (q + 1 - q sigma) / (1 - sigma)^2,   sigma = s / R.

M comes from arithmetic with discs, of which the best of several R counts. Numbers are not rounded outward.

Source: M. S. Petkovic, L. D. Petkovic, Complex Interval Arithmetic and Its Applications (1998), chapter 2.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy  # its modules are loaded when they are first used

from wgf.settings.formulas.enclosure import slope_range
from wgf.settings.formulas.expression import FUNCTIONS, Expression, literal

RADII = 2.0 ** np.arange(1, 8)  # R / s
INNER = 1 - 1e-6  # of an interval, in which |u| has one sign: a kink at its end is a cut


class Disc(NamedTuple):
    """Values in discs around real centers: centers and radii [1 + R, n]; the first row contains the interval only."""

    c: np.ndarray
    r: np.ndarray


def _sum(u: Disc, v: Disc, sign: float = 1.0) -> Disc:
    return Disc(u.c + sign * v.c, u.r + v.r)


def _product(u: Disc, v: Disc) -> Disc:
    return Disc(u.c * v.c, abs(u.c) * v.r + abs(v.c) * u.r + u.r * v.r)


def _reciprocal(u: Disc) -> Disc:
    gap = np.where(abs(u.c) > u.r, u.c**2 - u.r**2, np.nan)
    return Disc(u.c / gap, u.r / gap)


def _times(factor: float, u: Disc) -> Disc:
    return Disc(factor * u.c, abs(factor) * u.r)


def _plus(value: float, u: Disc) -> Disc:
    return Disc(value + u.c, u.r)


def _power(u: Disc, p: float) -> Disc:
    if p == 0:
        return Disc(np.ones_like(u.c), np.zeros_like(u.r))
    if p != int(p):
        return _series(u, u.c**p, np.abs(u.c) ** p * ((1 - u.r / u.c) ** -abs(p) - 1))
    found = Disc(u.c ** abs(p), (abs(u.c) + u.r) ** abs(p) - abs(u.c) ** abs(p))
    return found if p > 0 else _reciprocal(found)


def _series(u: Disc, c: np.ndarray, r: np.ndarray) -> Disc:
    """A function with a singular point at 0, on discs to the right of it."""
    return Disc(c, np.where(u.c > u.r, r, np.nan))


def _absolute(u: Disc) -> Disc:
    """|u|, continued analytically from an interval where u has one sign."""
    return Disc(abs(u.c), np.where(abs(u.c[:1]) >= u.r[:1], u.r, np.nan))


def _exponential(u: Disc) -> Disc:
    c = np.exp(u.c)
    return Disc(c, np.exp(u.c + u.r) - c)


def _most(u: Disc) -> np.ndarray:
    return abs(u.c) + u.r


def _function(name: str, u: Disc) -> Disc:
    c, r = u
    match name:
        case "abs":
            return _absolute(u)
        case "sqrt":
            return _power(u, 0.5)
        case "exp":
            return _exponential(u)
        case "log":
            return _series(u, np.log(c), -np.log1p(-r / c))
        case "sin" | "cos":
            s, o = (np.sin(c), np.cos(c)) if name == "sin" else (np.cos(c), np.sin(c))
            return Disc(s, abs(s) * (np.cosh(r) - 1) + abs(o) * np.sinh(r))
        case "sinh" | "cosh":
            s, o = (np.sinh(c), np.cosh(c)) if name == "sinh" else (np.cosh(c), np.sinh(c))
            return Disc(s, abs(s) * (np.cosh(r) - 1) + abs(o) * np.sinh(r))
        case "tan":
            return _product(_function("sin", u), _reciprocal(_function("cos", u)))
        case "tanh":  # (1 - e)/(1 + e), e = exp(-2 |u|)
            sign = np.where(c < 0, -1.0, 1.0)
            e = _exponential(Disc(-2 * abs(c), 2 * r))
            found = _product(_plus(1.0, _times(-1.0, e)), _reciprocal(_plus(1.0, e)))
            return Disc(sign * found.c, found.r)
        case "atan":
            return Disc(np.arctan(c), r * _most(_reciprocal(_plus(1.0, _product(u, u)))))
    bell = _exponential(_times(-1.0, _product(u, u)))
    return Disc(scipy.special.erf(c), 2 / math.sqrt(math.pi) * r * _most(bell))


def _disc(node: Any, x: Disc, names: Mapping[str, float]) -> Disc:
    """Discs that contain a part of a formula."""
    match node:
        case ast.Constant(value=value):
            return Disc(np.full_like(x.c, float(value)), np.zeros_like(x.r))  # type: ignore[arg-type]
        case ast.Name(id=name):
            return Disc(np.full_like(x.c, names[name]), np.zeros_like(x.r)) if name in names else x
        case ast.UnaryOp(op=op, operand=operand):
            inner = _disc(operand, x, names)
            return _times(-1.0, inner) if isinstance(op, ast.USub) else inner
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return _function(name, _disc(argument, x, names))
    u, right = _disc(node.left, x, names), node.right
    if isinstance(node.op, ast.Pow):
        p = literal(right)
        return _power(u, p) if p is not None else _exponential(_product(_disc(right, x, names), _function("log", u)))
    v = _disc(right, x, names)
    match node.op:
        case ast.Mult():
            return _product(u, v)
        case ast.Div():
            return _product(u, _reciprocal(v))
    return _sum(u, v, 1.0 if isinstance(node.op, ast.Add) else -1.0)


def _terms(node: Any, names: Mapping[str, float]) -> list[Any]:
    """Parts whose sum is a formula, each up to its sign."""
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return _terms(left, names) + _terms(right, names)
        case ast.UnaryOp(operand=operand):
            return _terms(operand, names)
        case ast.BinOp(left=left, op=ast.Mult(), right=right) if not _varies(left, names):
            return [ast.BinOp(left, ast.Mult(), term) for term in _terms(right, names)]
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right) if not _varies(right, names):
            return [ast.BinOp(term, op, right) for term in _terms(left, names)]
    return [node]


def _varies(node: Any, names: Mapping[str, float]) -> bool:
    """Whether a part contains the variable, which is no name of a constant or a function."""
    known = {*names, *FUNCTIONS}
    return any(isinstance(part, ast.Name) and part.id not in known for part in ast.walk(node))


class Roughness:
    """How far the slope f' of a formula is from polynomials of degree order - 1, in intervals.

    Attributes:
        terms: the terms of the formula that are no such polynomials, for which there is something to compute.
    """

    def __init__(self, expression: Expression, order: int) -> None:
        self.expression, self.order = expression, order
        known = [(term, expression.polynomial(term)) for term in _terms(expression.tree, expression.constants)]
        self.terms = [term for term, c in known if c is None or len(c) > order + 1]

    def __call__(self, low: np.ndarray, high: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """Bound of the distance of f' from such polynomials in intervals from low to high [n].

        Every term counts with the bound of its discs; where that is more than is allowed [n], with the range of its
        slope if that is less.
        """
        half, sigma, q = 0.5 * (high - low), 1 / RADII[:, None], self.order
        radii = np.concatenate([[INNER], RADII])[:, None] * half
        x = Disc(np.broadcast_to(0.5 * (low + high), radii.shape), radii)
        tail = sigma ** (q + 1) * (q + 1 - q * sigma) / (1 - sigma) ** 2 / half
        found = np.zeros((len(self.terms), len(half)))
        with np.errstate(all="ignore"):
            for row, term in zip(found, self.terms, strict=True):
                rest = np.fmin.reduce(tail * _disc(term, x, self.expression.constants).r[1:])
                row[:] = np.fmin(rest, math.inf)
            rough = found.sum(0) > allowed
            if rough.any():
                for row, term in zip(found, self.terms, strict=True):
                    row[rough] = np.fmin(
                        row[rough], slope_range(term, low[rough], high[rough], self.expression.constants)
                    )
        return found.sum(0)
