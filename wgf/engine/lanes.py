"""Energy, gradient, Hessian and linear algebra of several flows side by side, one flow in each lane.

A number of one flow is here a row with one entry for each lane, so loops over lanes run in vector registers. The
formulas are those of `wgf.engine.landscape` and `wgf.engine.linear`, for energies without pairs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from wgf.engine.arrays import VECTORS, Energy, Mesh, Work, begin, clear, padded, workspace
from wgf.engine.llvm.references import by_address
from wgf.engine.llvm.vectors import WIDTH, aligned
from wgf.engine.machine_code import compiled
from wgf.engine.program import BENDS, BLOCK, FIRST, FIXED, NODAL, SECOND, SLOPES, VALUE, VALUES, execute

WHOLE, SIZE, SQUARE, LEAST, MEAN = range(5)  # rows of `Lanes.sums`
ONE, OTHER, SHIFT, TRIAL, NOW, LENGTH, COORDINATES, FORCE = range(8)  # rows of `Lanes.rows`
SOUND, OPENING, LANDS, TAKEN = range(4)  # rows of `Lanes.flags`
LANES = 32  # most flows side by side
FREE = -1  # number of the flow in a lane without one


@by_address
class Lanes(NamedTuple):
    """Arrays of L flows, L a power of 2 and a multiple of WIDTH.

    Attributes:
        alone: arrays of one flow, for what depends on the nodes only.
        registers: registers of the program for some cells; node b of cell i of n in lane l is column (b n + i) L + l.
            The last row is zero: row -1 holds what is zero by definition.
        kept: results that depend on the nodes only [instructions, Q C, L].
        band: matrix [M + WIDTH, K, L].
        vectors: [14, M + WIDTH, L], in the order of `wgf.engine.arrays`.
        terms: energies [k, L].
        sums: energy, sum of the sizes of the energies, variance, smallest slope, and mean position [5, L].
        rows: two products, 1/(gamma h), the length h of the attempt (time), energy before it,
            norm of the error estimate (length), and sums of the coordinates and of the forces [8, L].
        flags: whether the matrix is positive definite, the flow has just begun, the attempt ends at a goal, and the
            attempt is accepted [4, L].
        flows: numbers of the flows, FREE for none [L].
    """

    alone: Work
    registers: np.ndarray
    kept: np.ndarray
    band: np.ndarray
    vectors: np.ndarray
    terms: np.ndarray
    sums: np.ndarray
    rows: np.ndarray
    flags: np.ndarray
    flows: np.ndarray


def lanes_of(mesh: Mesh, energy: Energy, flows: int) -> Lanes:
    """Arrays of some flows on a mesh whose cells a program treats at once, in enough lanes or in LANES."""
    lanes = min(LANES, max(WIDTH, 2 ** (flows - 1).bit_length()))
    size, k, q, p = len(mesh.mean), mesh.taps, mesh.tables.shape[1], energy.local
    columns = max(1, BLOCK // (q * lanes)) * q * lanes
    registers, rows = aligned(len(p.start) + 1, columns), aligned(8, lanes)
    registers[:-1], rows[:] = p.start[:, None], 1.0
    return Lanes(
        workspace(mesh, energy),
        registers,
        aligned(p.layout[NODAL + 1] - p.layout[NODAL], mesh.nodes.shape[1], lanes),
        aligned(size, k, lanes),
        aligned(VECTORS, size, lanes),
        aligned(energy.size, lanes),
        aligned(5, lanes),
        rows,
        np.zeros((4, lanes), dtype=np.bool_),
        np.full(lanes, FREE),
    )


@compiled
def enter(mesh, energy, parameters, lane, work):
    """Put the parameters of a flow into a lane."""
    p, lanes, alone, cells = energy.local, work.rows.shape[1], work.alone.registers, mesh.cells.shape[1]
    begin(mesh, energy, None, parameters, work.alone)
    for k in range(len(p.parameters)):
        if p.parameters[k] >= 0:
            work.registers[p.parameters[k], lane::lanes] = parameters[k]
    for k in range(p.layout[FIXED], p.layout[FIXED + 1]):
        work.registers[p.code[k, 4], lane::lanes] = alone[p.code[k, 4], 0]
    for k in range(len(work.kept)):
        row = alone[p.code[p.layout[NODAL] + k, 4]]
        for b in range(mesh.tables.shape[1]):
            for i in range(cells):
                work.kept[k, b * cells + i, lane] = row[b * padded(cells) + i]


@compiled
def run(part, c, mesh, energy, low, high, work):
    """f, f' and a part of the program at the nodes of the cells from `low` to `high`."""
    r, p, n, k = work.registers, energy.local, high - low, mesh.taps
    q, cells, lanes = mesh.tables.shape[1], mesh.cells.shape[1], work.rows.shape[1]
    for b in range(q):
        for i in range(n):
            s, node = (b * n + i) * lanes, b * cells + low + i
            first, at = mesh.cells[0, low + i], mesh.cells[1, low + i]
            x, d, log_p, rank, w = r[0, s:], r[1, s:], r[2, s:], r[3, s:], r[4, s:]
            for j in range(k):
                value, slope, by = mesh.tables[0, b, j, at], mesh.tables[1, b, j, at], c[first + j]
                if j == 0:
                    for lane in range(lanes):
                        x[lane] = value * by[lane]
                        d[lane] = slope * by[lane]
                else:
                    for lane in range(lanes):
                        x[lane] += value * by[lane]
                        d[lane] += slope * by[lane]
            for lane in range(lanes):
                log_p[lane] = mesh.nodes[1, node]
                rank[lane] = mesh.nodes[2, node]
                w[lane] = mesh.nodes[0, node]
            for m in range(len(work.kept)):
                to = r[p.code[p.layout[NODAL] + m, 4], s:]
                for lane in range(lanes):
                    to[lane] = work.kept[m, node, lane]
    execute(p, part, r, n * q * lanes, lanes)


@compiled
def judge_lanes(c, mesh, energy, work):
    """Fill the sums and the energies."""
    p, r, lanes = energy.local, work.registers, work.rows.shape[1]
    q, cells = mesh.tables.shape[1], mesh.cells.shape[1]
    per, count, sums = r.shape[1] // (q * lanes), (len(p.layout) - VALUES) // 2, work.sums
    for k in range(len(work.terms)):
        clear(work.terms[k])
    for k in range(len(sums)):
        clear(sums[k])
    for lane in range(lanes):
        sums[LEAST, lane] = math.inf
    mean, least, square = sums[MEAN], sums[LEAST], sums[SQUARE]
    for i in range(len(c)):
        for lane in range(lanes):
            mean[lane] += mesh.mean[i] * c[i, lane]
    for low in range(0, cells, per):
        high = low + per if low + per < cells else cells
        n = high - low
        run(VALUE, c, mesh, energy, low, high, work)
        for b in range(q):
            for i in range(n):
                s, w = (b * n + i) * lanes, mesh.nodes[0, b * cells + low + i]
                x, d = r[0, s:], r[1, s:]
                for k in range(count):
                    to, value = work.terms[p.layout[VALUES + count + k]], r[p.layout[VALUES + k], s:]
                    for lane in range(lanes):
                        to[lane] += w * value[lane]
                for lane in range(lanes):
                    least[lane] = d[lane] if d[lane] != d[lane] or d[lane] < least[lane] else least[lane]
                    square[lane] += w * (x[lane] - mean[lane]) * (x[lane] - mean[lane])
    for k in range(len(work.terms)):
        for lane in range(lanes):
            sums[WHOLE, lane] += work.terms[k, lane]
            sums[SIZE, lane] += abs(work.terms[k, lane])


@compiled
def gradient_lanes(c, mesh, energy, work, g):
    """Derivative of the energies in the coordinates, into g [M + WIDTH, L]."""
    p, r, lanes, k = energy.local, work.registers, work.rows.shape[1], mesh.taps
    q, cells = mesh.tables.shape[1], mesh.cells.shape[1]
    per = r.shape[1] // (q * lanes)
    for i in range(len(g)):
        clear(g[i])
    for low in range(0, cells, per):
        high = low + per if low + per < cells else cells
        n = high - low
        run(FIRST, c, mesh, energy, low, high, work)
        force, stress = r[p.layout[SLOPES]], r[p.layout[SLOPES + 1]]
        for b in range(q):
            for i in range(n):
                s, w, at, first = (b * n + i) * lanes, mesh.nodes[0, b * cells + low + i], low + i, 0
                at, first = mesh.cells[1, at], mesh.cells[0, at]
                u, v = force[s:], stress[s:]
                for j in range(k):
                    value, slope, to = w * mesh.tables[0, b, j, at], w * mesh.tables[1, b, j, at], g[first + j]
                    for lane in range(lanes):
                        to[lane] += value * u[lane] + slope * v[lane]


@compiled
def hessian_lanes(c, mesh, energy, work, shift):
    """shift [L] times the mass matrix plus the Hessian, factorised."""
    p, r, lanes, k, A = energy.local, work.registers, work.rows.shape[1], mesh.taps, work.band
    q, cells = mesh.tables.shape[1], mesh.cells.shape[1]
    per, m = r.shape[1] // (q * lanes), len(A) - WIDTH
    for j in range(len(A)):
        for b in range(k):
            to, mass = A[j, b], mesh.mass[b, WIDTH + j]
            for lane in range(lanes):
                to[lane] = shift[lane] * mass
    y, z = work.rows[ONE], work.rows[OTHER]
    for low in range(0, cells, per):
        high = low + per if low + per < cells else cells
        n = high - low
        run(SECOND, c, mesh, energy, low, high, work)
        xx, xd, dd = r[p.layout[BENDS]], r[p.layout[BENDS + 1]], r[p.layout[BENDS + 2]]
        for b in range(q):
            for i in range(n):
                s, w = (b * n + i) * lanes, mesh.nodes[0, b * cells + low + i]
                first, at = mesh.cells[0, low + i], mesh.cells[1, low + i]
                u, mixed, v = xx[s:], xd[s:], dd[s:]
                for j in range(k):
                    value, slope = w * mesh.tables[0, b, j, at], w * mesh.tables[1, b, j, at]
                    for lane in range(lanes):
                        y[lane] = value * u[lane] + slope * mixed[lane]
                        z[lane] = slope * v[lane] + value * mixed[lane]
                    for h in range(j, k):
                        by, rise, to = mesh.tables[0, b, h, at], mesh.tables[1, b, h, at], A[first + j, h - j]
                        for lane in range(lanes):
                            to[lane] += by * y[lane] + rise * z[lane]
    factorise_lanes(A, m, work.flags[SOUND], y)


@compiled
def factorise_lanes(A, m, sound, ratio):
    """L D L^T of each band in place, and whether the matrix is positive definite."""
    k, lanes = A.shape[1], A.shape[2]
    for lane in range(lanes):
        sound[lane] = True
    for j in range(m):
        first = A[j, 0]
        for lane in range(lanes):
            sound[lane] &= first[lane] > 0.0 and first[lane] < math.inf
        for lane in range(lanes):
            first[lane] = 1.0 / first[lane]
        for r in range(1, k):
            of = A[j, r]
            for lane in range(lanes):
                ratio[lane] = of[lane] * first[lane]
            for s in range(r, k):
                by, to = A[j, s], A[j + r, s - r]
                for lane in range(lanes):
                    to[lane] -= ratio[lane] * by[lane]
        for r in range(1, k):
            of = A[j, r]
            for lane in range(lanes):
                of[lane] *= first[lane]


@compiled
def solve_lanes(A, y, m):
    """Solve with the factors of each band, in place."""
    k, lanes = A.shape[1], A.shape[2]
    for j in range(m):
        v = y[j]
        for r in range(1, k):
            of, to = A[j, r], y[j + r]
            for lane in range(lanes):
                to[lane] -= of[lane] * v[lane]
    for j in range(m, len(y)):
        clear(y[j])
    for j in range(m - 1, -1, -1):
        v, of = y[j], A[j, 0]
        for lane in range(lanes):
            v[lane] *= of[lane]
        for r in range(1, k):
            of, by = A[j, r], y[j + r]
            for lane in range(lanes):
                v[lane] -= of[lane] * by[lane]


@compiled
def multiply_lanes(mesh, x, y):
    """Mass matrix times x [M + WIDTH, L], into y."""
    k, lanes = mesh.taps, x.shape[1]
    for j in range(len(x)):
        clear(y[j])
    for j in range(len(x) - WIDTH):
        v, to = x[j], y[j]
        for r in range(k):
            mass, by, other = mesh.mass[r, WIDTH + j], x[j + r], y[j + r]
            for lane in range(lanes):
                to[lane] += mass * by[lane]
            if r > 0:
                for lane in range(lanes):
                    other[lane] += mass * v[lane]


@compiled
def place(row, lane, to):
    """Copy the coordinates of one flow [M + WIDTH] into a lane."""
    for i in range(len(row)):
        to[i, lane] = row[i]


@compiled
def take(of, lane, row):
    """Copy a lane into the coordinates of one flow [M + WIDTH]."""
    for i in range(len(row)):
        row[i] = of[i, lane]
