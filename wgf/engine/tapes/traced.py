"""Records tapes from definitions in torch.

`Traced` stands for a number during the recording. It answers to the operators of Python and to the functions of torch,
so a `density` written for tensors records itself.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wgf.engine.tapes.parts import read
from wgf.engine.tapes.tape import MOST_PRODUCTS, ORDERS, Jet, Tape, Untraceable


class Traced:
    """A number during the recording of a tape, with its jet."""

    requires_grad = False

    def __init__(self, tape: Tape, jet: Jet) -> None:
        self.tape, self.jet = tape, jet

    def _of(self, value: Any) -> Traced:
        if isinstance(value, Traced):
            return value
        if (isinstance(value, Tensor) and value.numel() == 1) or isinstance(value, (int, float)):
            return Traced(self.tape, {(0, 0): self.tape.constant(float(value))})
        raise Untraceable(f"a {type(value).__name__}")

    def __bool__(self) -> bool:
        raise Untraceable(f"a branch that depends on {self._named}")

    @property
    def _named(self) -> str:
        """What its value depends on."""
        if self.tape.level[self.jet[0, 0]] > 0:
            return "the map"
        behind = {self.jet[0, 0]}
        for code in reversed(self.tape.code):
            behind |= set(read(code)) if code[4] in behind else set()
        return " and ".join(name for name, register in self.tape.parameters.items() if register in behind)

    def _compare(self, other: Any) -> Traced:
        raise Untraceable(f"a comparison of {self._named} with < or >")

    __lt__ = __le__ = __gt__ = __ge__ = _compare

    def __float__(self) -> float:
        raise Untraceable("a conversion to a number")

    def __neg__(self) -> Traced:
        return Traced(self.tape, {key: self.tape.neg(r) for key, r in self.jet.items()})

    def __add__(self, other: Any) -> Traced:
        u, v, t = self.jet, self._of(other).jet, self.tape
        return Traced(t, t.jet({key: t.add(u.get(key), v.get(key)) for key in ORDERS}))

    def __sub__(self, other: Any) -> Traced:
        return self + -self._of(other)

    def __rsub__(self, other: Any) -> Traced:
        return self._of(other) - self

    def __mul__(self, other: Any) -> Traced:
        return Traced(self.tape, self.tape.product(self.jet, self._of(other).jet))

    def __truediv__(self, other: Any) -> Traced:
        return self * self._of(other).reciprocal()

    def __rtruediv__(self, other: Any) -> Traced:
        return self._of(other) / self

    def __rpow__(self, other: Any) -> Traced:
        return self._of(other) ** self

    def __eq__(self, other: Any) -> Traced:  # type: ignore[override]
        t = self.tape
        return Traced(t, {(0, 0): t.emit("equal", self.jet[0, 0], self._of(other).jet[0, 0])})

    __radd__, __rmul__, __hash__ = __add__, __mul__, object.__hash__

    def reciprocal(self) -> Traced:
        t = self.tape
        y = self.jet[0, 0]
        if (known := t.values.get(y)) is not None and known != 0:
            return Traced(t, {(0, 0): t.constant(1.0 / known)})
        r = t.inverse(y)
        square = lambda: t.emit("mul", r, r)  # noqa: E731
        two = lambda: t.mul(t.constant(2.0), square(), r)  # noqa: E731
        return Traced(t, t.chain(self.jet, r, lambda: t.neg(square()), two))

    def __pow__(self, other: Any) -> Traced:
        t, exponent = self.tape, self._of(other)
        if len(exponent.jet) > 1:
            return (self._unary("log") * exponent)._unary("exp")
        q, y = exponent.jet[0, 0], self.jet[0, 0]
        k = t.values.get(q)
        if k is not None and k < 0 and k == int(k):
            return (self**-k).reciprocal()
        if k is not None and k == int(k) and k <= MOST_PRODUCTS:
            n = int(k)
            lower = [t.power(y, n - r) if n >= r else None for r in range(3)]
            slope = t.mul(t.constant(float(n)), lower[1])
            return Traced(
                t, t.chain(self.jet, lower[0] or 0, lambda: slope, lambda: t.mul(t.constant(n * (n - 1.0)), lower[2]))
            )
        minus = lambda r: t.emit("sub", q, t.constant(float(r)))  # noqa: E731
        power = lambda r: t.emit("pow", y, minus(r) if r else q)  # noqa: E731
        value = power(0)
        return Traced(t, t.chain(self.jet, value, lambda: t.mul(q, power(1)), lambda: t.mul(q, minus(1), power(2))))

    def masked_fill(self, mask: Any, value: Any) -> Traced:
        t, fill = self.tape, self._of(value)
        m = self._of(mask).jet[0, 0]
        zero = t.constant(0.0)
        keys = self.jet.keys() | fill.jet.keys()
        jet = {k: t.emit("select", m, fill.jet.get(k, zero), self.jet.get(k, zero)) for k in sorted(keys)}
        return Traced(t, jet)

    def _unary(self, name: str) -> Traced:
        t, y = self.tape, self.jet[0, 0]
        v = t.emit(name, y)
        c = t.constant
        one_less = lambda: t.emit("sub", c(1.0), t.emit("mul", v, v))  # noqa: E731
        inverse = lambda: t.inverse(y)  # noqa: E731
        bell = lambda: t.mul(c(2 / math.sqrt(math.pi)), t.emit("exp", t.neg(t.emit("mul", y, y))))  # noqa: E731
        lorentz = lambda: t.inverse(t.emit("add", c(1.0), t.emit("mul", y, y)))  # noqa: E731
        root = lambda: t.mul(c(0.5), t.inverse(v))  # noqa: E731
        slopes: dict[str, tuple[Callable[[], int | None], Callable[[], int | None]]] = {
            "log": (inverse, lambda: t.neg(t.emit("mul", inverse(), inverse()))),
            "exp": (lambda: v, lambda: v),
            "expm1": (lambda: t.emit("exp", y), lambda: t.emit("exp", y)),
            "sin": (lambda: t.emit("cos", y), lambda: t.neg(v)),
            "cos": (lambda: t.neg(t.emit("sin", y)), lambda: t.neg(v)),
            "tanh": (one_less, lambda: t.mul(c(-2.0), v, one_less())),
            "sqrt": (root, lambda: t.mul(c(-0.5), root(), inverse())),
            "abs": (lambda: t.emit("sign", y), lambda: None),
            "sign": (lambda: None, lambda: None),
            "erf": (bell, lambda: t.mul(c(-2.0), y, bell())),
            "atan": (lorentz, lambda: t.mul(c(-2.0), y, lorentz(), lorentz())),
        }
        return Traced(t, t.chain(self.jet, v, *slopes[name]))

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return lambda *args, **kwargs: METHODS[name](self, *args, **kwargs)
        raise Untraceable(f"the method {name} of a tensor")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", str(function)).strip("_").removesuffix("_")
        first = next((a for a in args if isinstance(a, Traced)), None)
        if name not in METHODS or first is None:
            raise Untraceable(f"torch.{name}")
        return METHODS[name](first._of(args[0]), *args[1:], **(kwargs or {}))


METHODS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "truediv": operator.truediv,
    "true_divide": operator.truediv,
    "multiply": operator.mul,
    "pow": operator.pow,
    "neg": operator.neg,
    "rsub": lambda x, y: y - x,
    "rpow": lambda x, y: y**x,
    "eq": operator.eq,
    "square": lambda x: x * x,
    "reciprocal": Traced.reciprocal,
    "masked_fill": Traced.masked_fill,
    "full_like": lambda x, value, **_: x._of(value),
    "zeros_like": lambda x, **_: x._of(0.0),
    "ones_like": lambda x, **_: x._of(1.0),
    "new_zeros": lambda x, *_, **__: x._of(0.0),
    "clone": lambda x: x,
    "detach": lambda x: x,
    "sinh": lambda x: (x._unary("exp") - (-x)._unary("exp")) * 0.5,
    "cosh": lambda x: (x._unary("exp") + (-x)._unary("exp")) * 0.5,
    "tan": lambda x: x._unary("sin") / x._unary("cos"),
    **{
        name: lambda x, name=name: x._unary(name)
        for name in ("log", "exp", "sin", "cos", "tanh", "sqrt", "abs", "sign", "erf", "atan", "expm1")
    },
    "special_erf": lambda x: x._unary("erf"),
    "arctan": lambda x: x._unary("atan"),
}


def variable(tape: Tape, name: str) -> Any:
    """An input of a tape; derivatives are in the first two."""
    k = tape.inputs[name]
    slope = {(1, 0) if k == 0 else (0, 1): tape.constant(1.0)} if k < 2 else {}
    return Traced(tape, {(0, 0): k} | slope)


def record(value: Callable[[], Any], tape: Tape) -> Traced:
    """Result of a function of traced numbers.

    Raises:
        Untraceable: the function uses what a tape does not have.
    """
    try:
        with torch.no_grad():
            found = value()
    except (TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise Untraceable(f"an operation that failed ({type(error).__name__})") from error
    return variable(tape, next(iter(tape.inputs)))._of(found)
