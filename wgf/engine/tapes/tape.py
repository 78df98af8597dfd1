"""Tapes: straight-line programs for a pointwise energy and its derivatives.

A jet holds the value of a quantity and its derivatives up to order two in two variables, f and f' (Griewank and
Walther, Evaluating Derivatives, chapter 13). A derivative that is zero by definition has no entry and costs nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable

import numpy as np

NAMES = (
    *("add", "sub", "mul", "div", "log", "exp", "sin", "cos", "tanh", "sqrt", "pow", "abs", "sign"),
    *("erf", "atan", "expm1", "equal", "select", "table", "fma"),
)
CODES = {name: code for code, name in enumerate(NAMES)}
ORDERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
Jet = dict[tuple[int, int], int]
MOST_PRODUCTS = 32  # whole powers up to this one are products
FOLDED: dict[str, Callable[..., float]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
}


class Untraceable(Exception):
    """The definition of an energy uses an operation that a tape does not have; the message names it."""


class Tape:
    """A program under construction. Its registers are numbered: inputs, constants and results of instructions.

    Args:
        inputs: names of the inputs; the first two are the variables of the derivatives, f and f'.
    """

    def __init__(self, inputs: Iterable[str]) -> None:
        self.inputs = {name: k for k, name in enumerate(inputs)}
        self.count = len(self.inputs)
        self.level = [2 if k < 2 else 1 for k in range(self.count)]  # 0 fixed, 1 depends on the node, 2 on the map
        self.constants: dict[float, int] = {}
        self.values: dict[int, float] = {}
        self.parameters: dict[str, int] = {}
        self.code: list[tuple[int, int, int, int, int]] = []  # operation, operands a, b, c, result
        self.tables: list[np.ndarray] = []
        self._known: dict[tuple[int, int, int, int], int] = {}
        self._made: dict[int, tuple[str, int, int]] = {}

    def _register(self, level: int) -> int:
        self.level.append(level)
        self.count += 1
        return self.count - 1

    def constant(self, value: float) -> int:
        if value not in self.constants:
            self.constants[value] = register = self._register(0)
            self.values[register] = value
        return self.constants[value]

    def parameter(self, name: str) -> int:
        """Register of a number that is given when the program runs."""
        if name not in self.parameters:
            self.parameters[name] = self._register(0)
        return self.parameters[name]

    def emit(self, name: str, a: int, b: int = 0, c: int = 0) -> int:
        """Register with the result of an instruction; the same instruction is recorded once."""
        if name == "mul" and b in self.values:
            a, b = b, a
        if (folded := self._folded(name, a, b)) is not None:
            return folded
        operands = (a, b, c)[: 3 if name == "select" else 2 if name in TWO else 1]
        key = (CODES[name], a, b, c)
        if key not in self._known:
            self._known[key] = register = self._register(max(self.level[r] for r in operands))
            self._made[register] = name, a, b
            self.code.append((*key, register))
        return self._known[key]

    def neg(self, a: int) -> int:
        return self.emit("mul", self.constant(-1.0), a)

    def inverse(self, a: int) -> int:
        return self.emit("div", self.constant(1.0), a)

    def split(self, a: int) -> tuple[int, int]:
        """The factor of a register that is the same for all nodes, and the rest."""
        one, (made, factor, rest) = self.constant(1.0), self._made.get(a, ("", 0, 0))
        if self.level[a] == 0:
            return a, one
        return (factor, rest) if made == "mul" and self.level[factor] == 0 else (one, a)

    def _folded(self, name: str, a: int, b: int) -> int | None:
        """The result of an instruction with constants, where that needs no instruction or another one."""
        x, y = self.values.get(a), self.values.get(b)
        if name in FOLDED and x is not None and y is not None:
            return self.constant(FOLDED[name](x, y))
        if name == "mul" and x == 1.0:
            return b
        if name == "div" and y == 1.0:
            return a
        made, factor, rest = self._made.get(b, ("", 0, 0))
        if name == "mul" and x is not None and made in ("mul", "div") and factor in self.values:
            return self.emit(made, self.constant(x * self.values[factor]), rest)
        return None

    # jets; None is zero

    def add(self, *terms: int | None) -> int | None:
        total = None
        for term in terms:
            if term is not None and self.values.get(term) != 0.0:
                total = term if total is None else self.emit("add", total, term)
        return total

    def mul(self, *factors: int | None) -> int | None:
        product: int | None = None
        for factor in factors:
            if factor is None or self.values.get(factor) == 0.0:
                return None
            product = factor if product is None else self.emit("mul", product, factor)
        return product

    def jet(self, entries: dict[tuple[int, int], int | None]) -> Jet:
        found = {key: register for key, register in entries.items() if register is not None}
        return found if (0, 0) in found else found | {(0, 0): self.constant(0.0)}

    def product(self, u: Jet, v: Jet) -> Jet:
        def leibniz(i: int, j: int) -> int | None:
            parts = []
            for a in range(i + 1):
                for b in range(j + 1):
                    times = math.comb(i, a) * math.comb(j, b)
                    factor = [self.constant(float(times))] if times > 1 else []
                    parts.append(self.mul(*factor, u.get((a, b)), v.get((i - a, j - b))))
            return self.add(*parts)

        return self.jet({key: leibniz(*key) for key in ORDERS})

    def chain(self, u: Jet, value: int, slope: Callable[[], int | None], bend: Callable[[], int | None]) -> Jet:
        """Jet of g(u) from the registers of g(u), g'(u) and g''(u)."""
        if len(u) == 1:
            return {(0, 0): value}
        x, d, g1, g2 = u.get((1, 0)), u.get((0, 1)), slope(), bend()
        return self.jet(
            {
                (0, 0): value,
                (1, 0): self.mul(g1, x),
                (0, 1): self.mul(g1, d),
                (2, 0): self.add(self.mul(g1, u.get((2, 0))), self.mul(g2, x, x)),
                (1, 1): self.add(self.mul(g1, u.get((1, 1))), self.mul(g2, x, d)),
                (0, 2): self.add(self.mul(g1, u.get((0, 2))), self.mul(g2, d, d)),
            }
        )

    def power(self, y: int, k: int) -> int:
        """y^k for a whole k >= 0, by products."""
        if k == 0:
            return self.constant(1.0)
        half = self.power(y, k // 2)
        square = self.emit("mul", half, half) if k > 1 else self.constant(1.0)
        return self.emit("mul", square, y) if k % 2 else square


TWO = {"add", "sub", "mul", "div", "pow", "equal"}
