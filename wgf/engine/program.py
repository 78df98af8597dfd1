"""Programs: tapes as arrays, and the machine that runs them on the nodes of a quadrature."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numba import njit

from wgf.engine.tape import CODES, Tape

FAST = {"fastmath": {"contract", "reassoc", "nsz", "arcp"}, "error_model": "numpy", "cache": True, "nogil": True}
BLOCK = 1024  # nodes that a program treats at once; its registers then fit into the cache
PANEL = 10  # coefficients of a panel of a table

ADD, SUB, MUL, DIV, NEG, INVERSE, LOG, EXP = (
    CODES[n] for n in ("add", "sub", "mul", "div", "neg", "inverse", "log", "exp")
)
SIN, COS, TANH, SQRT, POW, ABS, SIGN, ERF = (
    CODES[n] for n in ("sin", "cos", "tanh", "sqrt", "pow", "abs", "sign", "erf")
)
ATAN, EXPM1, EQUAL, SELECT, TABLE = (CODES[n] for n in ("atan", "expm1", "equal", "select", "table"))


class Program(NamedTuple):
    """A tape in five parts and the registers of its results; -1 where a result is zero by definition.

    Attributes:
        count: number of registers.
        fixed, nodal: instructions [., 5] that depend on constants only, and on the node but not on the map.
        value, first, second: instructions for the energies and for their first and second derivatives.
        numbers, registers: constants [.] and their registers.
        parameters: registers of the parameters.
        values, terms: register of each energy, and the term of the problem to which it belongs.
        slopes: registers of the derivatives in f and f' [2].
        bends: registers of the second derivatives xx, xd, dd [3].
        tables: tabulated functions [t, 3 + panels PANEL], see `wgf.engine.table`.
    """

    count: int
    fixed: np.ndarray
    nodal: np.ndarray
    value: np.ndarray
    first: np.ndarray
    second: np.ndarray
    numbers: np.ndarray
    registers: np.ndarray
    parameters: np.ndarray
    values: np.ndarray
    terms: np.ndarray
    slopes: np.ndarray
    bends: np.ndarray
    tables: np.ndarray


def program(
    tape: Tape, values: list[int], terms: list[int], slopes: list[int | None], bends: list[int | None]
) -> Program:
    """The program of a tape for given results."""

    def needed(results: Iterable[int | None], level: int) -> np.ndarray:
        wanted = {r for r in results if r is not None}
        kept = []
        for code in reversed(tape.code):
            if code[4] in wanted:
                wanted |= set(code[1:4])
                if tape.level[code[4]] == level:
                    kept.append(code)
        return np.array(kept[::-1], dtype=np.int64).reshape(-1, 5)

    everything = [*values, *slopes, *bends]
    width = max((len(t) for t in tape.tables), default=0)
    tables = np.zeros((len(tape.tables), width))
    for row, entries in zip(tables, tape.tables, strict=True):
        row[: len(entries)] = entries

    def numbered(results: Iterable[int | None]) -> np.ndarray:
        return np.array([-1 if r is None else r for r in results], dtype=np.int64)

    return Program(
        tape.count,
        needed(everything, 0),
        needed(everything, 1),
        needed(values, 2),
        needed(slopes, 2),
        needed(bends, 2),
        np.array(list(tape.constants), dtype=np.float64),
        numbered(tape.constants.values()),
        numbered(tape.parameters.values()),
        numbered(values),
        np.array(terms, dtype=np.int64),
        numbered(slopes),
        numbered(bends),
        tables,
    )


@njit(**FAST)
def prepare(p, parameters, registers):
    """Fill the registers [count, n] that are the same for all nodes."""
    for k in range(len(p.numbers)):
        registers[p.registers[k], :] = p.numbers[k]
    for k in range(len(p.parameters)):
        registers[p.parameters[k], :] = parameters[k]
    execute(p.fixed, registers, registers.shape[1], p.tables)


@njit(**FAST)
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


@njit(**FAST)
def execute(code, registers, n, tables):
    """Run instructions on the first n columns of the registers [count, columns]."""
    for k in range(len(code)):
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
        elif op == DIV:
            for i in range(n):
                out[i] = u[i] / v[i]
        elif op == LOG:
            for i in range(n):
                out[i] = math.log(u[i])
        elif op == EXP:
            for i in range(n):
                out[i] = math.exp(u[i])
        elif op == POW:
            for i in range(n):
                out[i] = u[i] ** v[i]
        elif op == SQRT:
            for i in range(n):
                out[i] = math.sqrt(u[i])
        elif op == SIN:
            for i in range(n):
                out[i] = math.sin(u[i])
        elif op == COS:
            for i in range(n):
                out[i] = math.cos(u[i])
        elif op == TANH:
            for i in range(n):
                out[i] = math.tanh(u[i])
        elif op == ABS:
            for i in range(n):
                out[i] = abs(u[i])
        elif op == SIGN:
            for i in range(n):
                out[i] = 1.0 if u[i] > 0.0 else (-1.0 if u[i] < 0.0 else 0.0)
        elif op == ERF:
            for i in range(n):
                out[i] = math.erf(u[i])
        elif op == ATAN:
            for i in range(n):
                out[i] = math.atan(u[i])
        elif op == EXPM1:
            for i in range(n):
                out[i] = math.expm1(u[i])
        elif op == EQUAL:
            for i in range(n):
                out[i] = 1.0 if u[i] == v[i] else 0.0
        elif op == SELECT:
            other = registers[code[k, 3]]
            for i in range(n):
                out[i] = v[i] if u[i] != 0.0 else other[i]
        elif op == TABLE:
            table, order = tables[code[k, 2]], code[k, 3]
            for i in range(n):
                out[i] = tabulated(table, u[i], order)
