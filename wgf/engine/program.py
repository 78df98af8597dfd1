"""Programs: tapes as arrays, and the machine that runs them on the nodes of a quadrature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from wgf.engine.llvm.references import by_address
from wgf.engine.llvm.vectors import WIDTH, load, logarithm, store
from wgf.engine.machine_code import compiled
from wgf.engine.tapes.parts import fused, needed, placed, read
from wgf.engine.tapes.tape import CODES, Tape

ALONE = np.array([WIDTH])[0]  # period of the registers of one flow
BLOCK = 480  # nodes that a program treats at once; its registers then fit into the cache, and 512 would share its sets
PANEL = 10  # coefficients of a panel of a table

ADD, SUB, MUL, DIV, FMA, LOG, EXP = (CODES[n] for n in ("add", "sub", "mul", "div", "fma", "log", "exp"))
SIN, COS, TANH, SQRT, POW, ABS, SIGN, ERF = (
    CODES[n] for n in ("sin", "cos", "tanh", "sqrt", "pow", "abs", "sign", "erf")
)
ATAN, EXPM1, EQUAL, SELECT, TABLE = (CODES[n] for n in ("atan", "expm1", "equal", "select", "table"))


# parts of a program, and all of them; numba makes a copy of a function for each int
FIXED, NODAL, VALUE, FIRST, SECOND, EVERY = np.arange(6)
SLOPES, BENDS, VALUES = 6, 8, 11  # places in `layout`


@by_address
class Program(NamedTuple):
    """A tape in five parts: what depends on constants only, what depends on the node but not on the map, the energies,
    their first and their second derivatives.

    Attributes:
        code: instructions [., 5]: operation, three operands, result.
        varies: whether each operand differs from node to node: -1 for yes, 0 for no [., 3].
        layout: ends of the parts [6], registers of the derivatives in f and f' [2], of the second derivatives xx, xd,
            dd [3], and of the energies, followed by the terms to which they belong; -1 for zero by definition.
        parameters: registers of the parameters; -1 for a parameter that the program does not use.
        start: initial value of every register.
        reads: whether the parts, and any of them, read log p and 2 P - 1 [6, 2].
        tables: tabulated functions [t, 3 + panels PANEL], see `wgf.engine.tapes.table`.
    """

    code: np.ndarray
    varies: np.ndarray
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

    kept = [r for r in range(tape.count) if r < len(tape.inputs) or tape.level[r] < 2]
    place = {r: k for k, r in enumerate(kept)}
    fixed = {place[r] for r in kept if tape.level[r] == 0}
    parts = [placed(needed(tape, (*values, *slopes, *bends), level), (), place)[0] for level in (0, 1)]
    found: list[list[int]] = []
    for results in (values, slopes, bends):
        part, where = placed(fused(needed(tape, results, 2), results), results, place)
        parts.append(part)
        found.append([-1 if r is None else where[r] for r in results])
    code = list(chain.from_iterable(parts))
    start = np.zeros(1 + max([len(kept) - 1, *(each[4] for each in code)]))
    start[[place[r] for r in tape.constants.values()]] = list(tape.constants)
    tables = np.zeros((len(tape.tables), max((len(t) for t in tape.tables), default=0)))
    for row, entries in zip(tables, tape.tables, strict=True):
        row[: len(entries)] = entries
    return Program(
        np.array(code, dtype=np.int64).reshape(-1, 5),
        -np.array([[r not in fixed for r in each[1:4]] for each in code], dtype=np.int64).reshape(-1, 3),
        np.array([*np.cumsum([0, *map(len, parts)]), *found[1], *found[2], *found[0], *terms], dtype=np.int64),
        np.array([place[tape.parameters[name]] if name in tape.parameters else -1 for name in names], dtype=np.int64),
        start,
        np.array([[any(r in read(each) for each in part) for r in (2, 3)] for part in (*parts, code)]),
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
    execute(p, FIXED, registers, registers.shape[1], ALONE)


@compiled
def tabulated(table, x, order):
    """Derivative of order 0, 1 or 2 of a tabulated function; NaN outside the table."""
    s = (x - table[0]) * table[1]
    count = np.int64(table[2])
    if not (s >= 0.0 and s <= count):
        return math.nan
    i = np.int64(s) if s < count else count - 1
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
def execute(p, part, registers, n, period):
    """Run a part of a program on the first n columns of the registers [count, columns], and on those up to a multiple
    of WIDTH. Registers that hold the same for all nodes repeat themselves after `period` columns, a power of 2."""
    code = p.code
    for k in range(p.layout[part], p.layout[part + 1]):
        op, u, v, w = code[k, 0], registers[code[k, 1]], registers[code[k, 2]], registers[code[k, 3]]
        out, f, g, h = registers[code[k, 4]], p.varies[k, 0], p.varies[k, 1], p.varies[k, 2]
        f, g, h = f | (period - 1), g | (period - 1), h | (period - 1)
        if op == MUL:
            for i in range(0, n, WIDTH):
                store(out, i, load(u, i & f) * load(v, i & g))
        elif op == FMA:
            for i in range(0, n, WIDTH):
                store(out, i, load(u, i & f) * load(v, i & g) + load(w, i & h))
        elif op == ADD:
            for i in range(0, n, WIDTH):
                store(out, i, load(u, i & f) + load(v, i & g))
        elif op == DIV:
            for i in range(0, n, WIDTH):
                store(out, i, load(u, i & f) / load(v, i & g))
        elif op == SUB:
            for i in range(0, n, WIDTH):
                store(out, i, load(u, i & f) - load(v, i & g))
        elif op == SELECT:
            for i in range(n):
                out[i] = v[i] if u[i] != 0.0 else w[i]
        elif op == EQUAL:
            for i in range(n):
                out[i] = 1.0 if u[i] == v[i] else 0.0
        elif op == ABS:
            for i in range(n):
                out[i] = abs(u[i])
        elif op == LOG:
            for i in range(0, n, WIDTH):
                store(out, i, logarithm(load(u, i)))
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
