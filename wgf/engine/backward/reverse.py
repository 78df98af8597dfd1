"""Derivatives of a register of a tape in others, recorded on the same tape: the reverse mode of automatic
differentiation (Griewank and Walther, Evaluating Derivatives, chapter 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from wgf.engine.tapes.parts import NAMES, read
from wgf.engine.tapes.tape import Tape, Untraceable

Slope = Callable[..., int | None]
BELL = 2 / math.sqrt(math.pi)


def _times(t: Tape, *factors: int) -> int | None:
    """A product, whose factors that are the same for all nodes come first: programs compute their product once."""
    fixed: list[int] = []
    others: list[int] = []
    for factor in factors:
        one, rest = t.split(factor)
        fixed.append(one)
        others.append(rest)
    return t.mul(t.mul(*fixed), t.mul(*others))


def _plus(t: Tape, x: int | None, y: int | None) -> int | None:
    """A sum, of multiples of one register by one product."""
    if x is None or y is None:
        return t.add(x, y)
    (one, rest), (other, same) = t.split(x), t.split(y)
    return _times(t, t.emit("add", one, other), rest) if rest == same else t.add(x, y)


def _is_slope(t: Tape, a: int) -> bool:
    """Whether a register is f', which is never 0."""
    return a == t.inputs.get("dx")


def _base(t: Tape, bar: int, y: int, a: int, b: int) -> int | None:
    """Derivative of a^b in a."""
    if _is_slope(t, a):
        return _times(t, bar, b, y, t.inverse(a))
    return _times(t, bar, b, t.emit("pow", a, t.emit("sub", b, t.constant(1.0))))


def _exponent(t: Tape, bar: int, y: int, a: int, b: int) -> int | None:
    """Derivative of a^b in b; 0 at a = 0, as in torch."""
    slope, zero = t.emit("mul", y, t.emit("log", a)), t.constant(0.0)
    return _times(t, bar, slope if _is_slope(t, a) else t.emit("select", t.emit("equal", a, zero), zero, slope))


def _divisor(t: Tape, bar: int, y: int, a: int, b: int) -> int | None:
    """Derivative of a/b in b; products are faster than a division."""
    if value := t.values.get(a):
        return _times(t, t.constant(-1.0 / value), bar, y, y)
    return _times(t, t.constant(-1.0), bar, y, t.inverse(b))


# derivatives in the operands a, b, ... of an instruction with result y, from the derivative `bar` in y
SLOPES: dict[str, tuple[Slope | None, ...]] = {
    "add": (lambda t, bar, y, a, b: bar, lambda t, bar, y, a, b: bar),
    "sub": (lambda t, bar, y, a, b: bar, lambda t, bar, y, a, b: _times(t, t.constant(-1.0), bar)),
    "mul": (lambda t, bar, y, a, b: _times(t, bar, b), lambda t, bar, y, a, b: _times(t, bar, a)),
    "div": (lambda t, bar, y, a, b: _times(t, bar, t.inverse(b)), _divisor),
    "pow": (_base, _exponent),
    "log": (lambda t, bar, y, a: _times(t, bar, t.inverse(a)),),
    "exp": (lambda t, bar, y, a: _times(t, bar, y),),
    "expm1": (lambda t, bar, y, a: _times(t, bar, t.emit("exp", a)),),
    "sin": (lambda t, bar, y, a: _times(t, bar, t.emit("cos", a)),),
    "cos": (lambda t, bar, y, a: _times(t, t.constant(-1.0), bar, t.emit("sin", a)),),
    "tanh": (lambda t, bar, y, a: _times(t, bar, t.emit("sub", t.constant(1.0), t.emit("mul", y, y))),),
    "sqrt": (lambda t, bar, y, a: _times(t, t.constant(0.5), bar, t.inverse(y)),),
    "abs": (lambda t, bar, y, a: _times(t, bar, t.emit("sign", a)),),
    "erf": (lambda t, bar, y, a: _times(t, t.constant(BELL), bar, t.emit("exp", t.neg(t.emit("mul", a, a)))),),
    "atan": (lambda t, bar, y, a: _times(t, bar, t.inverse(t.emit("add", t.constant(1.0), t.emit("mul", a, a)))),),
    "select": (
        None,
        lambda t, bar, y, a, b, c: t.emit("select", a, bar, t.constant(0.0)),
        lambda t, bar, y, a, b, c: t.emit("select", a, t.constant(0.0), bar),
    ),
    "equal": (None, None),
    "sign": (None,),
}


def reverse(tape: Tape, result: int | None, wanted: Sequence[int]) -> list[int | None]:
    """Registers of the derivatives of `result` in the registers `wanted`; None is zero.

    Raises:
        Untraceable: the result depends on them by a table, which has two derivatives only.
    """
    code, moves = list(tape.code), set(wanted)
    for each in code:
        if not moves.isdisjoint(read(each)):
            moves.add(each[4])
    bars: dict[int, int | None] = {} if result is None else {result: tape.constant(1.0)}
    for each in reversed(code):
        bar, name = bars.get(each[4]), NAMES[each[0]]
        if bar is None or each[4] not in moves:
            continue
        if name not in SLOPES:
            raise Untraceable("third derivatives of a potential in a table")
        operands = read(each)
        for operand, slope in zip(operands, SLOPES[name], strict=True):
            if operand in moves and slope is not None:
                bars[operand] = _plus(tape, bars.get(operand), slope(tape, bar, each[4], *operands))
    return [bars.get(register) for register in wanted]
