"""First and second derivatives of a formula, computed beside its value: several times faster than backward passes."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wgf.settings.formulas.expression import BINARY, COMPARISONS, Expression, literal

Number = Any  # a tensor, or a number that broadcasts to it


class Jet(NamedTuple):
    """A part of a formula: its value, and its derivatives in the variable; None is 0.

    cut: whether max, min or where may have made the derivatives 0 at some points; there nothing makes them NaN later.
    """

    value: Number
    first: Number | None = None
    second: Number | None = None
    cut: bool = False


# of f = f(u): f' from (u, f), and f'' from (u, f, f'); None is 0
RULES: dict[str, tuple[Callable[..., Tensor] | None, Callable[..., Tensor] | None]] = {
    "exp": (lambda u, f: f, lambda u, f, d: f),
    "log": (lambda u, f: 1 / u, lambda u, f, d: -d * d),
    "sqrt": (lambda u, f: 0.5 / f, lambda u, f, d: -0.5 * d / u),
    "abs": (lambda u, f: torch.sign(u), None),
    "sin": (lambda u, f: torch.cos(u), lambda u, f, d: -f),
    "cos": (lambda u, f: -torch.sin(u), lambda u, f, d: -f),
    "tan": (lambda u, f: 1 + f * f, lambda u, f, d: 2 * f * d),
    "sinh": (lambda u, f: torch.cosh(u), lambda u, f, d: f),
    "cosh": (lambda u, f: torch.sinh(u), lambda u, f, d: f),
    "tanh": (lambda u, f: 1 - f * f, lambda u, f, d: -2 * f * d),
    "atan": (lambda u, f: 1 / (1 + u * u), lambda u, f, d: -2 * u * d * d),
    "erf": (lambda u, f: 2 / math.sqrt(math.pi) * torch.exp(-u * u), lambda u, f, d: -2 * u * d),
    "sign": (None, None),
}


@torch.no_grad()
def derivatives(expression: Expression, x: Tensor, order: int) -> tuple[Tensor, Tensor] | None:
    """The first and, for order 2, the second derivative of a formula at x [...], else 0.

    None if a formula has a power whose exponent is not constant, for which there is no rule here, or divides numbers by
    0, which Python refuses and a tensor does not.
    """
    try:
        found = _Rules(expression, order).jet(expression.tree, x)
    except (_Unknown, ArithmeticError):
        return None
    first, second = (torch.zeros_like(x) if d is None else d + torch.zeros_like(x) for d in found[1:3])
    return first, second


class _Unknown(Exception):
    """There is no rule."""


@lru_cache(maxsize=256)
def _varying(tree: ast.AST, variable: str) -> frozenset[ast.AST]:
    """The parts of a formula that contain its variable."""
    parts = [part for part in ast.walk(tree) if isinstance(part, ast.expr)]
    names = [part for part in parts if isinstance(part, ast.Name) and part.id == variable]
    return frozenset(part for part in parts if not {*names}.isdisjoint(ast.walk(part)))


class _Rules:
    def __init__(self, expression: Expression, order: int) -> None:
        self.expression, self.order = expression, order
        self.varying = _varying(expression.tree, expression.variable)
        self.shaped = any(isinstance(value, Tensor) and value.dim() for value in expression.constants.values())

    def jet(self, node: Any, x: Tensor) -> Jet:
        """A part of the formula at x."""
        if node not in self.varying:
            number = literal(node)
            return Jet(self.expression.part(node, x if self.shaped else x.new_zeros(())) if number is None else number)
        if isinstance(node, ast.Name):
            return Jet(x, 1.0)
        if isinstance(node, ast.UnaryOp):
            u = self.jet(node.operand, x)
            if isinstance(node.op, ast.UAdd):
                return u
            return Jet(-u.value, _times(-1.0, u.first), _times(-1.0, u.second), u.cut)
        if isinstance(node, ast.BinOp):
            return self._binary(type(node.op), self.jet(node.left, x), self.jet(node.right, x))
        name = node.func.id
        if name == "where":
            test, *branches = node.args
            sides = (self.expression.part(side, x) for side in (test.left, test.comparators[0]))
            holds = COMPARISONS[type(test.ops[0])](*sides)
            return _chosen(x, holds, *(self.jet(branch, x) for branch in branches))
        if name in ("max", "min"):
            u, v = (self.jet(part, x) for part in node.args)
            first, second = (_times(0.5, _plus(*pair)) for pair in zip(u[1:3], v[1:3], strict=True))
            tie = Jet(0.5 * (u.value + v.value), first, second)
            higher, lower = (u, v) if name == "max" else (v, u)
            return _chosen(x, u.value > v.value, higher, _chosen(x, u.value < v.value, lower, tie))
        u = self.jet(node.args[0], x)
        value = torch.special.erf(u.value) if name == "erf" else getattr(torch, name)(u.value)
        slope, bend = RULES[name]
        d = None if slope is None else slope(u.value, value)
        return self._chain(u, value, d, None if bend is None or self.order < 2 else bend(u.value, value, d))

    def _chain(self, u: Jet, value: Tensor, d: Number | None, dd: Number | None) -> Jet:
        """f(u) from f, f' and f'' at u."""
        bent, moved = (_times(f, by, also) for f, by, also in ((dd, u.first, u.first), (d, u.second, 1.0)))
        second = self._second(_shielded(bent, u.first, u.cut), _shielded(moved, u.second, u.cut))
        return Jet(value, _shielded(_times(d, u.first), u.first, u.cut), second, u.cut)

    def _second(self, *terms: Number | None) -> Number | None:
        return _plus(*terms) if self.order > 1 else None

    def _binary(self, op: type, u: Jet, v: Jet) -> Jet:
        value, cut = BINARY[op](u.value, v.value), u.cut or v.cut
        if op is ast.Mult:
            cross = _times(2.0, u.first, v.first)
            second = self._second(_times(u.second, v.value), cross, _times(u.value, v.second))
            return Jet(value, _plus(_times(u.first, v.value), _times(u.value, v.first)), second, cut)
        if op is ast.Div:
            first = _over(_plus(u.first, _times(-1.0, value, v.first)), v.value)
            terms = u.second, _times(-2.0, first, v.first), _times(-1.0, value, v.second)
            return Jet(value, first, _over(self._second(*terms), v.value), cut)
        if op is ast.Pow:
            if v.first is not None:
                raise _Unknown
            p = v.value
            return self._chain(u, value, _power(p, u.value, p - 1), _power(p * (p - 1), u.value, p - 2))
        sign = 1.0 if op is ast.Add else -1.0
        return Jet(value, _plus(u.first, _times(sign, v.first)), self._second(u.second, _times(sign, v.second)), cut)


def _power(factor: Number, u: Tensor, exponent: Number) -> Tensor | None:
    """factor u^exponent, but 0 where the factor is 0: u may be 0."""
    if isinstance(factor, Tensor):
        return torch.where(factor == 0, 0.0, factor * u**exponent)
    return None if factor == 0 else factor * u**exponent


def _plus(*terms: Number | None) -> Number | None:
    known = [term for term in terms if term is not None]
    return sum(known[1:], known[0]) if known else None


def _times(*factors: Number | None) -> Number | None:
    if any(factor is None for factor in factors):
        return None
    product: Number = 1.0
    for factor in factors:  # most are 1
        if not isinstance(factor, float) or factor != 1.0:
            product = factor if isinstance(product, float) and product == 1.0 else product * factor
    return product


def _over(above: Number | None, below: Number) -> Number | None:
    return None if above is None else above / below


def _shielded(product: Number | None, by: Number | None, cut: bool) -> Number | None:
    """A product, but 0 where its factor `by` is 0 because a part is cut off: the other factor may be infinite."""
    return torch.where(by == 0, 0.0, product) if cut and product is not None and isinstance(by, Tensor) else product


def _chosen(x: Tensor, holds: Any, u: Jet, v: Jet) -> Jet:
    """u where a condition holds, else v."""

    def either(a: Number | None, b: Number | None) -> Tensor | None:
        if a is None and b is None:
            return None
        # two plain numbers would be rounded to float32
        one, other = (side if isinstance(side, Tensor) else x.new_full((), side or 0.0) for side in (a, b))
        return torch.where(holds, one, other)

    return Jet(*(either(a, b) for a, b in zip(u[:3], v[:3], strict=True)), cut=True)
