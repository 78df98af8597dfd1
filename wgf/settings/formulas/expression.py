"""Parses a formula of a config, such as "x**4/4 - x**2/2", into a function of tensors without `eval`.

A formula may contain numbers, x, the operators + - * / ** (or ^), named constants, and the functions listed below; also
max(a, b), min(a, b), and where(x < 1, a, b) with one comparison. The parser refuses everything else: other names,
attributes and calls. It needs no torch, so a bad formula fails before torch is loaded.
"""

from __future__ import annotations

import ast
import copy
import math
import operator
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import zip_longest
from typing import Any

from wgf.errors import ConfigError
from wgf.settings.ranges import Rule

FUNCTIONS = ("exp", "log", "sqrt", "abs", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "erf", "sign")
PAIRS = {"max": "maximum", "min": "minimum"}  # functions of two arguments, with their names in torch
COMPARISONS: dict[type, Callable] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
CONSTANTS = {"pi": math.pi, "e": math.e}
BINARY: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
UNARY: dict[type, Callable] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
NAMED = re.compile(r"\s*([A-Za-z]\w*)\s*=(?!=)(.*)", re.DOTALL)  # name = formula
PREFIX = "observed_"  # of the columns of observables in history.csv
MAX_LENGTH, MAX_DEPTH = 1000, 50
MAX_DEGREE, MAX_BITS = 16, 4000  # of the polynomials that `polynomial` recognizes, intermediate ones included


class Expression:
    """Real function of one variable, callable on tensors.

    Args:
        text: the formula; `^` means `**`.
        constants: values of named constants.
        variable: name of the variable.
        clock: name of the time, which the formula may contain; None for none.

    Attributes:
        tree: the syntax tree of the text. given: the constants that were given. clock: the name of the time, or None.
        moves: whether the formula contains the time.

    Raises:
        ConfigError: with the first part of the text that is not allowed, or with a constant that is not in the text.
    """

    def __init__(
        self, text: str, constants: Mapping[str, float] | None = None, variable: str = "x", clock: str | None = None
    ) -> None:
        self.text, self.variable, given = text, variable, dict(constants or {})
        self.clock = None if clock in given else clock
        self.constants: dict[str, Any] = CONSTANTS | given | ({} if self.clock is None else {self.clock: 0.0})
        text = text.replace("^", "**")
        if len(text) > MAX_LENGTH:
            raise ConfigError(f"expr is {len(text)} characters long: at most {MAX_LENGTH} are allowed")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ConfigError(f"expr={text!r} is not a formula: write it like 'x**4/4 - x**2/2'") from None
        self.tree = tree
        self._check(tree, 0)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        taken = {variable, "where", *FUNCTIONS, *PAIRS, *CONSTANTS}
        for name, value in given.items():
            if name in taken or name not in names:
                raise ConfigError(f"{name}={value!r} is not a constant of expr={self.text!r}: give names that it has")
        self.given, self.moves = given, self.clock in names

    def at(self, t: Any) -> Expression:
        """The formula at a time t, a number or a tensor that broadcasts to the variable."""
        other = copy.copy(self)
        if self.clock is not None:
            other.constants = self.constants | {self.clock: t}
        return other

    def __str__(self) -> str:
        values = ", ".join(f"{name} = {value:g}" for name, value in self.given.items())
        return f"{self.text} with {values}" if values else self.text

    def _refuse(self, what: str) -> ConfigError:
        allowed = (
            f"numbers, {self.variable}, + - * / **, {', '.join(self.constants)}, {', '.join(FUNCTIONS)} of one "
            f"argument, {', '.join(PAIRS)} of two, and where({self.variable} < 1, a, b)"
        )
        return ConfigError(f"expr={self.text!r}: {what} is not allowed; allowed are {allowed}")

    def _check(self, node: ast.AST, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ConfigError(f"expr={self.text[:40]!r}... is nested too deeply: expected at most {MAX_DEPTH} levels")
        children: list[ast.AST]
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
                raise self._refuse(f"the constant {node.value!r}")
            if not _is_moderate(node.value):
                raise self._refuse("a number beyond 1e300")
            children = []
        elif isinstance(node, ast.Name):
            if node.id != self.variable and node.id not in self.constants:
                raise self._refuse(f"the name {node.id!r}")
            children = []
        elif isinstance(node, ast.BinOp) and type(node.op) in BINARY:
            children = [node.left, node.right]
        elif isinstance(node, ast.UnaryOp) and type(node.op) in UNARY:
            children = [node.operand]
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else "this call"
            wanted = 1 if name in FUNCTIONS else 2 if name in PAIRS else 3 if name == "where" else -1
            if node.keywords or len(node.args) != wanted:
                raise self._refuse(f"the call of {name!r}")
            children = list(node.args)
            if wanted == 3:
                condition = children.pop(0)
                if (
                    not isinstance(condition, ast.Compare)
                    or [*map(type, condition.ops)][1:]
                    or (type(condition.ops[0]) not in COMPARISONS)
                ):
                    raise self._refuse("a condition other than a < b, a <= b, a > b or a >= b")
                children += [condition.left, condition.comparators[0]]
        else:
            raise self._refuse(repr(ast.get_source_segment(self.text.strip(), node)))
        for child in children:
            self._check(child, depth + 1)

    def __call__(self, x: Any) -> Any:
        """Evaluate at a tensor x [...], differentiably; returns [...]."""
        return self._value(self.tree, x) + 0.0 * x

    def switches(self) -> list[ast.AST]:
        """Parts of the text at whose zeros abs, sign, max, min and where switch."""
        found: list[ast.AST] = []
        for call in (node for node in ast.walk(self.tree) if isinstance(node, ast.Call)):
            name, one = call.func.id, call.args[0]  # type: ignore[attr-defined]
            if name in PAIRS:
                found.append(ast.BinOp(one, ast.Sub(), call.args[1]))
            elif isinstance(one, ast.Compare):
                found.append(ast.BinOp(one.left, ast.Sub(), one.comparators[0]))
            elif name in ("abs", "sign"):
                found.append(one)
        return found

    def part(self, node: ast.AST, x: Any) -> Any:
        """Value of a part of the text at a tensor x [...]."""
        return self._value(node, x)

    def polynomial(self, part: ast.AST | None = None) -> list[float] | None:
        """The coefficients c_0, c_1, ... where the text or a part is a polynomial in x, the last not 0; else None.

        The decision is exact: numbers are added and multiplied as fractions.
        """
        try:
            return [float(c) for c in self._coefficients(part or self.tree)]
        except (ArithmeticError, ValueError):
            return None

    def _coefficients(self, node: Any) -> list[Fraction]:
        """The coefficients of a part of the text.

        Raises:
            ValueError: it is not a polynomial of moderate degree.
            OverflowError: it is a constant that is not finite.
        """
        if not any(isinstance(part, ast.Name) and part.id == self.variable for part in ast.walk(node)):
            import torch

            return _trimmed([Fraction(float(self._value(node, torch.zeros((), dtype=torch.float64))))])
        if isinstance(node, ast.Name):
            return [Fraction(0), Fraction(1)]
        if isinstance(node, ast.UnaryOp):
            return [UNARY[type(node.op)](c) for c in self._coefficients(node.operand)]
        if not isinstance(node, ast.BinOp):
            raise ValueError("a function of x")
        left = self._coefficients(node.left)
        if isinstance(node.op, ast.Pow):
            power = literal(node.right)
            if power is None or power not in range(MAX_DEGREE + 1):
                raise ValueError("not a small whole power")
            product = [Fraction(1)]
            for _ in range(int(power)):
                product = _product(product, left)
            return product
        right = self._coefficients(node.right)
        if isinstance(node.op, ast.Mult):
            return _product(left, right)
        if isinstance(node.op, ast.Div):
            if len(right) != 1:
                raise ValueError("division by x or by 0")
            return [c / right[0] for c in left]
        return _trimmed([BINARY[type(node.op)](a, b) for a, b in zip_longest(left, right, fillvalue=Fraction(0))])

    def _value(self, node: Any, x: Any) -> Any:
        import torch

        if isinstance(node, ast.Constant):
            return torch.full_like(x, float(node.value))  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            if node.id == self.variable:
                return x
            value = self.constants[node.id]  # a number, or a tensor with derivatives
            return value.to(x).expand_as(x) if isinstance(value, torch.Tensor) else torch.full_like(x, value)
        if isinstance(node, ast.UnaryOp):
            return UNARY[type(node.op)](self._value(node.operand, x))
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.Pow) and (power := literal(node.right)) is not None:
                return self._value(node.left, x) ** power  # a float exponent keeps derivatives finite at x = 0
            return BINARY[type(node.op)](self._value(node.left, x), self._value(node.right, x))
        if node.func.id in PAIRS:
            return getattr(torch, PAIRS[node.func.id])(*(self._value(part, x) for part in node.args))
        if node.func.id == "where":
            test, first, second = node.args
            sides = self._value(test.left, x), self._value(test.comparators[0], x)
            holds = COMPARISONS[type(test.ops[0])](*sides)
            # a branch must not pass its derivative on where it does not hold: it may be NaN there
            ours, theirs = torch.where(holds, x, x.detach()), torch.where(holds, x.detach(), x)
            return torch.where(holds, self._value(first, ours), self._value(second, theirs))
        function = torch.special.erf if node.func.id == "erf" else getattr(torch, node.func.id)
        return function(self._value(node.args[0], x))


def _product(left: list[Fraction], right: list[Fraction]) -> list[Fraction]:
    product = [Fraction(0)] * (len(left) + len(right) - 1 if left and right else 0)
    for i, a in enumerate(left):
        for k, b in enumerate(right):
            product[i + k] += a * b
    return _trimmed(product)


def _trimmed(coefficients: list[Fraction]) -> list[Fraction]:
    """Without zeros at the end.

    Raises:
        ValueError: the degree is too high or the numbers are too long.
    """
    while coefficients and coefficients[-1] == 0:
        coefficients = coefficients[:-1]
    long = any(max(c.numerator.bit_length(), c.denominator.bit_length()) > MAX_BITS for c in coefficients)
    if long or len(coefficients) > MAX_DEGREE + 1:
        raise ValueError("a polynomial beyond all bounds")
    return coefficients


def _is_moderate(value: float) -> bool:
    try:
        return math.isfinite(float(value)) and abs(value) <= 1e300
    except OverflowError:
        return False


def literal(node: ast.AST) -> float | None:
    """Value of a literal exponent such as 4 or -0.5, else None."""
    if isinstance(node, ast.UnaryOp) and type(node.op) in UNARY and (inner := literal(node.operand)) is not None:
        return UNARY[type(node.op)](inner)
    return float(node.value) if isinstance(node, ast.Constant) else None  # type: ignore[arg-type]


class Observables(Rule):
    """Rule for a list of formulas of x, each with or without a name."""

    def __str__(self) -> str:
        return 'a list of formulas of x with or without a name, such as ["x**4","right=where(x > 0, 1, 0)"]'

    def admits(self, value: Any) -> bool:
        try:
            return observables(value) is not None
        except ConfigError:
            return False


def observables(entries: Any) -> dict[str, Expression]:
    """Column of history.csv -> formula. A formula without a name is its own name, with ; for commas.

    Raises:
        ConfigError: one is not a formula of x, or two have the same name.
    """
    if isinstance(entries, str) or not hasattr(entries, "__iter__"):
        raise ConfigError(f"observe={entries!r} is not allowed: expected {Observables()}")
    found: dict[str, Expression] = {}
    for entry in entries:
        named = NAMED.fullmatch(str(entry))
        name, text = (named[1], named[2]) if named else ("".join(str(entry).split()).replace(",", ";"), str(entry))
        if PREFIX + name in found:
            raise ConfigError(f"observe: two formulas have the name {name}")
        found[PREFIX + name] = Expression(text.strip())
    return found
