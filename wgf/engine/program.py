"""Programs: tapes as arrays, and the machine that runs them on the nodes of a quadrature."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numba.extending
import numpy as np
from llvmlite import ir
from numba import types

from wgf.engine.machine_code import compiled, entry
from wgf.engine.tapes.tape import CODES, Tape

BLOCK = 480  # nodes that a program treats at once; its registers then fit into the cache, and 512 would share its sets
PANEL = 10  # coefficients of a panel of a table
ROOT_HALF, BIAS = 0x3FE6A09E667F3BCD, 1024 << 52  # bits of sqrt(1/2); an exponent of 1024
LOG_2, SMALLEST = math.log(2.0), 2.2250738585072014e-308

ADD, SUB, MUL, DIV, NEG, INVERSE, LOG, EXP = (
    CODES[n] for n in ("add", "sub", "mul", "div", "neg", "inverse", "log", "exp")
)
SIN, COS, TANH, SQRT, POW, ABS, SIGN, ERF = (
    CODES[n] for n in ("sin", "cos", "tanh", "sqrt", "pow", "abs", "sign", "erf")
)
ATAN, EXPM1, EQUAL, SELECT, TABLE = (CODES[n] for n in ("atan", "expm1", "equal", "select", "table"))


# parts of a program, and all of them; numba makes a copy of a function for each int
FIXED, NODAL, VALUE, FIRST, SECOND, EVERY = np.arange(6)
SLOPES, BENDS, VALUES = 6, 8, 11  # places in `layout`


class Program(NamedTuple):
    """A tape in five parts: what depends on constants only, what depends on the node but not on the map, the energies,
    their first and their second derivatives.

    Attributes:
        code: instructions [., 5]: operation, three operands, result.
        layout: ends of the parts [6], registers of the derivatives in f and f' [2], of the second derivatives xx, xd,
            dd [3], and of the energies, followed by the terms to which they belong; -1 for zero by definition.
        parameters: registers of the parameters; -1 for a parameter that the program does not use.
        start: initial value of every register.
        reads: whether the parts, and any of them, read log p and 2 P - 1 [6, 2].
        tables: tabulated functions [t, 3 + panels PANEL], see `wgf.engine.tapes.table`.
    """

    code: np.ndarray
    layout: np.ndarray
    parameters: np.ndarray
    start: np.ndarray
    reads: np.ndarray
    tables: np.ndarray


def program(
    tape: Tape,
    values: list[int],
    terms: list[int],
    slopes: list[int | None],
    bends: list[int | None],
    names: Sequence[str] = (),
) -> Program:
    """The program of a tape for given results; `names` are those of all parameters, in their order."""

    def needed(results: Iterable[int | None], level: int) -> list[tuple[int, int, int, int, int]]:
        wanted = {r for r in results if r is not None}
        kept = []
        for code in reversed(tape.code):
            if code[4] in wanted:
                wanted |= set(code[1:4])
                if tape.level[code[4]] == level:
                    kept.append(code)
        return kept[::-1]

    everything = [*values, *slopes, *bends]
    parts = [needed(everything, 0), needed(everything, 1)]
    parts += [needed(results, 2) for results in (values, slopes, bends)]
    ends = np.cumsum([0, *map(len, parts)])
    results = [-1 if r is None else r for r in (*slopes, *bends, *values)]
    start = np.zeros(tape.count)
    start[list(tape.constants.values())] = list(tape.constants)
    tables = np.zeros((len(tape.tables), max((len(t) for t in tape.tables), default=0)))
    for row, entries in zip(tables, tape.tables, strict=True):
        row[: len(entries)] = entries
    return Program(
        np.array(list(chain.from_iterable(parts)), dtype=np.int64).reshape(-1, 5),
        np.array([*ends, *results, *terms], dtype=np.int64),
        np.array([tape.parameters.get(name, -1) for name in names], dtype=np.int64),
        start,
        np.array([[any(r in code[1:4] for code in part) for r in (2, 3)] for part in (*parts, tape.code)]),
        tables,
    )


@compiled
def prepare(p, parameters, registers):
    """Fill the registers [count, n] that are the same for all nodes."""
    for k in range(len(p.start)):
        for i in range(registers.shape[1]):
            registers[k, i] = p.start[k]
    for k in range(len(p.parameters)):
        if p.parameters[k] >= 0:
            for i in range(registers.shape[1]):
                registers[p.parameters[k], i] = parameters[k]
    execute(p, FIXED, registers, registers.shape[1])


intrinsic: Any = numba.extending.intrinsic


@intrinsic
def bits(typing: Any, x: Any) -> Any:
    """The 64 bits of a number as a whole number."""
    return types.int64(types.float64), lambda _, builder, signature, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic
def number(typing: Any, bits: Any) -> Any:
    """The number with these 64 bits."""
    return types.float64(types.int64), lambda _, builder, signature, args: builder.bitcast(args[0], ir.DoubleType())


@compiled
def logarithm(x):
    """log x, without branches, so that loops over it run in vector registers; to 2 ulp.

    x = 2^k m with m from sqrt(1/2) to sqrt(2), and log m = 2 artanh(s) with s = (m - 1)/(m + 1) as in fdlibm, e_log.c.
    """
    k = (bits(x) - ROOT_HALF + BIAS) >> 52
    f = number(bits(x) + BIAS - (k << 52)) - 1.0
    exponent = float(np.int32(k - 1024))
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = z * (
        0.6666666666666735130 + w * (0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591))
    )
    even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332))
    half = 0.5 * f * f
    y = exponent * LOG_2 - (half - s * (half + odd + even) - f)
    if x < math.inf:
        return y if x >= SMALLEST else (-math.inf if x == 0.0 else math.nan)
    return x


@entry
def tabulated(table, x, order):
    """Derivative of order 0, 1 or 2 of a tabulated function; NaN outside the table."""
    s = (x - table[0]) * table[1]
    count = int(table[2])
    if not (s >= 0.0 and s <= count):
        return math.nan
    i = min(int(s), count - 1)
    t, o, v = 2.0 * (s - i) - 1.0, 3 + PANEL * i, 0.0
    if order == 0:
        for a in range(PANEL - 1, -1, -1):
            v = v * t + table[o + a]
        return v
    if order == 1:
        for a in range(PANEL - 1, 0, -1):
            v = v * t + a * table[o + a]
        return 2.0 * table[1] * v
    for a in range(PANEL - 1, 1, -1):
        v = v * t + a * (a - 1) * table[o + a]
    return 4.0 * table[1] * table[1] * v


@compiled
def execute(p, part, registers, n):
    """Run a part of a program on the first n columns of the registers [count, columns]."""
    code = p.code
    for k in range(p.layout[part], p.layout[part + 1]):
        op, u, v = code[k, 0], registers[code[k, 1]], registers[code[k, 2]]
        out = registers[code[k, 4]]
        if op == MUL:
            for i in range(n):
                out[i] = u[i] * v[i]
        elif op == ADD:
            for i in range(n):
                out[i] = u[i] + v[i]
        elif op == SUB:
            for i in range(n):
                out[i] = u[i] - v[i]
        elif op == NEG:
            for i in range(n):
                out[i] = -u[i]
        elif op == INVERSE:
            for i in range(n):
                out[i] = 1.0 / u[i]
        elif op == SELECT:
            other = registers[code[k, 3]]
            for i in range(n):
                out[i] = v[i] if u[i] != 0.0 else other[i]
        elif op == EQUAL:
            for i in range(n):
                out[i] = 1.0 if u[i] == v[i] else 0.0
        elif op == ABS:
            for i in range(n):
                out[i] = abs(u[i])
        elif op == LOG:
            for i in range(n):
                out[i] = logarithm(u[i])
        elif op == TABLE:
            for i in range(n):
                out[i] = tabulated(p.tables[code[k, 2]], u[i], code[k, 3])
        else:
            for i in range(n):
                out[i] = function(op, u[i], v[i])


@compiled
def function(op, x, y):
    """A function of one or two numbers."""
    if op == EXP:
        return math.exp(x)
    if op == POW:
        return x**y
    if op == DIV:
        return x / y
    if op == SQRT:
        return math.sqrt(x)
    if op == SIN:
        return math.sin(x)
    if op == COS:
        return math.cos(x)
    if op == TANH:
        return math.tanh(x)
    if op == SIGN:
        return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else 0.0)
    if op == ERF:
        return math.erf(x)
    if op == ATAN:
        return math.atan(x)
    return math.expm1(x)  # EXPM1
