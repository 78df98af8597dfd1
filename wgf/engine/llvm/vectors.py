"""Vectors of WIDTH numbers in compiled code.

LLVM makes vector loops of its own, but those finish up to 31 numbers one by one and check that arrays do not overlap;
for a mesh of 50 cells that takes longer than the vectors.
"""

from __future__ import annotations

import math
import operator
from functools import partial, reduce
from typing import Any

import numba.core.datamodel.models
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_model

WIDTH = 8
FLAGS = ("contract", "reassoc", "nsz", "arcp")  # those of `machine_code.OPTIONS`
DOUBLES = ir.VectorType(ir.DoubleType(), WIDTH)
WHOLES, LANES = ir.VectorType(ir.IntType(64), WIDTH), ir.VectorType(ir.IntType(32), WIDTH)
EXACT = ("contract",)
ROOT_HALF, BIAS = 0x3FE6A09E667F3BCD, 1024 << 52  # bits of sqrt(1/2); an exponent of 1024
SMALLEST = 2.2250738585072014e-308
ODD = 0.6666666666666735130, 0.2857142874366239149, 0.1818357216161805012, 0.1479819860511658591
EVEN = 0.3999999999940941908, 0.2222219843214978396, 0.1531383769920937332

typed: Any = intrinsic


class VectorType(types.Type):
    """The type of vectors for numba."""

    def __init__(self) -> None:
        super().__init__(name="Vector")


vector = VectorType()


@register_model(VectorType)
class Model(numba.core.datamodel.models.PrimitiveModel):
    """Vectors in LLVM."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, DOUBLES)


def whole(count: int) -> int:
    """The least multiple of WIDTH from `count` on."""
    return -(-count // WIDTH) * WIDTH


def aligned(*shape: int) -> np.ndarray:
    """Zeros at whole vectors of the memory: a vector across two lines of the cache takes twice as long. A vector may be
    read that begins in the last row and ends after it."""
    size = math.prod(shape)
    zeros = np.zeros(size + 2 * WIDTH)
    first = -zeros.__array_interface__["data"][0] // 8 % WIDTH
    return zeros[first : first + size].reshape(shape)


def _place(context: Any, builder: Any, kinds: Any, x: Any, i: Any) -> Any:
    data = builder.extract_value(x, context.data_model_manager[kinds.args[0]].get_field_position("data"))
    return builder.bitcast(builder.gep(data, [i]), DOUBLES.as_pointer())


@typed
def load(typing: Any, x: Any, i: Any) -> Any:
    """The numbers of x from x[i] on."""

    def emit(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, kinds, *args), align=8)

    return vector(x, types.intp), emit


@typed
def store(typing: Any, x: Any, i: Any, v: Any) -> Any:
    """Write the numbers of v to x from x[i] on."""

    def emit(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, kinds, *args[:2]), align=8)
        return context.get_dummy_value()

    return types.none(x, types.intp, vector), emit


@typed
def fill(typing: Any, number: Any) -> Any:
    """The vector of one number."""

    return vector(types.float64), lambda context, builder, kinds, args: _all_of(builder, args[0])


def _all(number: float, kind: ir.VectorType = DOUBLES) -> Any:
    return ir.Constant(kind, [number] * WIDTH)


def _all_of(builder: Any, number: Any) -> Any:
    one = builder.insert_element(ir.Constant(DOUBLES, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, _all(0, LANES))


@typed
def total(typing: Any, v: Any) -> Any:
    """Sum of the numbers."""

    def emit(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.DoubleType(), [ir.DoubleType(), DOUBLES])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{WIDTH}f64")
        return builder.call(function, [ir.Constant(ir.DoubleType(), -0.0), *args], fastmath=FLAGS)

    return types.float64(vector), emit


def _lower(builder: Any, x: Any, y: Any) -> Any:
    """The lower number, or NaN if one is. LLVM's own function needs LLVM 17."""
    first = builder.or_(builder.fcmp_ordered("<", x, y), builder.fcmp_unordered("uno", x, x))
    return builder.select(first, x, y)


@typed
def least(typing: Any, v: Any) -> Any:
    """The least number, or NaN if one is."""

    def emit(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
        numbers = [builder.extract_element(args[0], ir.Constant(ir.IntType(32), k)) for k in range(WIDTH)]
        return reduce(partial(_lower, builder), numbers)

    return types.float64(vector), emit


@typed
def lower(typing: Any, u: Any, v: Any) -> Any:
    """The lower of each two numbers, or NaN if one is."""
    return vector(vector, vector), lambda context, builder, kinds, args: _lower(builder, *args)


@typed
def choose(typing: Any, test: Any, v: Any, other: Any) -> Any:
    """The numbers of v, and `other` where `test` is 0."""

    def emit(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
        test, v, other = args
        return builder.select(builder.fcmp_ordered("==", test, _all(0.0)), _all_of(builder, other), v)

    return vector(vector, vector, types.float64), emit


@typed
def logarithm(typing: Any, v: Any) -> Any:
    """log v, to 2 ulp.

    v = 2^k m with m from sqrt(1/2) to sqrt(2), and log m = 2 artanh(s) with s = (m - 1)/(m + 1) as in fdlibm, e_log.c.
    """

    def emit(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
        x, add, mul = args[0], partial(builder.fadd, flags=EXACT), partial(builder.fmul, flags=EXACT)
        bits = builder.bitcast(x, WHOLES)
        k = builder.ashr(builder.add(bits, _all(BIAS - ROOT_HALF, WHOLES)), _all(52, WHOLES))
        m = builder.sub(builder.add(bits, _all(BIAS, WHOLES)), builder.shl(k, _all(52, WHOLES)))
        f = add(builder.bitcast(m, DOUBLES), _all(-1.0))
        exponent = builder.sitofp(builder.trunc(builder.sub(k, _all(1024, WHOLES)), LANES), DOUBLES)
        s = builder.fdiv(f, add(f, _all(2.0)))
        z = mul(s, s)
        w, half = mul(z, z), mul(mul(_all(0.5), f), f)

        def polynomial(coefficients: tuple[float, ...]) -> Any:
            value = _all(coefficients[-1])
            for each in coefficients[-2::-1]:
                value = add(mul(value, w), _all(each))
            return value

        series = add(mul(z, polynomial(ODD)), mul(w, polynomial(EVEN)))
        inner = builder.fsub(builder.fsub(half, mul(s, add(half, series))), f)
        y = builder.fsub(mul(exponent, _all(math.log(2.0))), inner)
        low = builder.select(builder.fcmp_ordered("==", x, _all(0.0)), _all(-math.inf), _all(math.nan))
        known = builder.select(builder.fcmp_ordered(">=", x, _all(SMALLEST)), y, low)
        return builder.select(builder.fcmp_ordered("<", x, _all(math.inf)), known, x)

    return vector(vector), emit


@typed
def absolute(typing: Any, v: Any) -> Any:
    """|v|."""

    def emit(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
        bits = builder.and_(builder.bitcast(args[0], WHOLES), _all(2**63 - 1, WHOLES))
        return builder.bitcast(bits, DOUBLES)

    return vector(vector), emit


class Binary(ConcreteTemplate):
    """An operation of two vectors, for numba."""

    cases = [signature(vector, vector, vector)]  # noqa: RUF012
    metadata = {"target": "cpu"}  # noqa: RUF012  # so that numba tries it before its own, of which it has many


def _operators(name: str, emitted: str) -> None:
    """Give vectors an operator of Python, also in place, that is an instruction of LLVM."""

    def emit(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
        return getattr(builder, emitted)(*args, flags=FLAGS)

    for function in (getattr(operator, name), getattr(operator, f"i{name}")):
        infer_global(function)(type(name, (Binary,), {}))
        lower_builtin(function, vector, vector)(emit)


for _name in ("add", "sub", "mul"):
    _operators(_name, f"f{_name}")
_operators("truediv", "fdiv")
