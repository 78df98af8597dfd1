"""Jumps of a formula: places where the force of such a potential, or such a kernel, would be infinite."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import NamedTuple

from wgf.problem.changes.kinks import DIGITS, places
from wgf.settings.formulas.expression import Expression, literal

LEAST = 1e-9  # height of a jump relative to the values on its sides: constants of 10 digits join two formulas
DISTANCES = 1.0, 4.0, 16.0  # times the least, at which the sides are looked at
LASTING = 0.01  # relative change of its height farther away: that of a root grows there


class Jump(NamedTuple):
    """A place (length), and by how much the formula rises there."""

    x: float
    height: float


def jump(expression: Expression, low: float = -math.inf, high: float = math.inf) -> Jump | None:
    """The jump of a formula next to the origin, strictly between two places (length); None if there is none.

    It is sought where abs, sign, max, min and where switch, and where something is divided by 0, such as in atan(1/x).
    """
    parts = [*expression.switches(), *_divisors(expression.tree)]
    if not parts:
        return None
    x, near = places(expression, parts)
    left, right = ([expression(x + side * farther * near) for farther in DISTANCES] for side in (-1.0, 1.0))
    near_height, height, far_height = (b - a for a, b in zip(left, right, strict=True))
    # without what a smooth formula rises by between both sides
    first, second = near_height - (height - near_height) / 3, height - (far_height - height) / 3
    rise = (left[0] - left[1]).abs() + (right[1] - right[0]).abs()
    least = LEAST * (left[0].abs() + right[0].abs()) + DIGITS * x.abs() * rise / near
    jumps = (first.abs() > least) & first.isfinite() & (x > low) & (x < high)
    jumps &= (second - first).abs() <= LASTING * first.abs()
    found = [Jump(*pair) for pair in zip((x[jumps] + 0.0).tolist(), first[jumps].tolist(), strict=True)]
    return min(found, key=lambda each: abs(each.x), default=None)


def _divisors(tree: ast.AST) -> Iterator[ast.AST]:
    """What a formula divides by."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            yield node.right
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and (literal(node.right) or 0.0) < 0:
            yield node.left
