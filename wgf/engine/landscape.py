"""Energy, gradient and Hessian in a chart, in machine code; the formulas are those of `wgf.projection.chart_energy`."""

from __future__ import annotations

import math

from wgf.engine.arrays import IMAGE, TAPS, WOODBURY, clear, copy, nodal
from wgf.engine.linear import back, cholesky, factorise
from wgf.engine.machine_code import compiled
from wgf.engine.pairs import coupling, pair_energy, pair_force
from wgf.engine.program import BENDS, FIRST, SECOND, SLOPES, VALUE, VALUES, execute


@compiled
def evaluate(c, mesh, low, high, local, x, d):
    """f and f' at the nodes of the cells from `low` to `high`, node b of cell low + i at b n + i for n cells."""
    k, q, n, at = mesh.taps, mesh.tables.shape[1], high - low, mesh.cells[1, low]
    first = mesh.cells[0, low:high]
    for j in range(k):
        to = local[j]
        for i in range(n):
            to[i] = c[first[i] + j]
    for b in range(q):
        x_b, d_b = x[b * n : b * n + n], d[b * n : b * n + n]
        for j in range(k):
            value, slope, by = mesh.tables[0, b, j, at : at + n], mesh.tables[1, b, j, at : at + n], local[j]
            if j == 0:
                for i in range(n):
                    x_b[i] = value[i] * by[i]
                    d_b[i] = slope[i] * by[i]
            else:
                for i in range(n):
                    x_b[i] += value[i] * by[i]
                    d_b[i] += slope[i] * by[i]


@compiled
def gathered(tables, j, at, n, force, stress, to):
    """sum over the nodes of each of n cells of force B_j + stress B_j', for cells with columns from `at`."""
    for b in range(tables.shape[1]):
        value, slope = tables[0, b, j, at : at + n], tables[1, b, j, at : at + n]
        u, v = force[b * n : b * n + n], stress[b * n : b * n + n]
        if b == 0:
            for i in range(n):
                to[i] = value[i] * u[i] + slope[i] * v[i]
        else:
            for i in range(n):
                to[i] += value[i] * u[i] + slope[i] * v[i]


@compiled
def judge(c, mesh, energy, pair, work):
    """Sum of the energies, sum of their sizes, the variance and the smallest slope; the energies go to work.terms."""
    r, p, q = work.registers, energy.local, mesh.tables.shape[1]
    per, cells = r.shape[1] // q, mesh.cells.shape[1]
    terms, least, square, bad = work.terms, math.inf, 0.0, 0
    center = 0.0
    for i in range(len(c)):
        center += mesh.mean[i] * c[i]
    clear(terms)
    for low in range(0, cells, per):
        high = min(cells, low + per)
        n = (high - low) * q
        evaluate(c, mesh, low, high, work.local, r[0], r[1])
        if cells > per:
            nodal(mesh, energy, VALUE, low, high, work)
        execute(p, VALUE, r, n)
        x, d, w = r[0], r[1], r[4]
        count = (len(p.layout) - VALUES) // 2
        for k in range(count):
            row, total = r[p.layout[VALUES + k]], 0.0
            for i in range(n):
                total += w[i] * row[i]
            terms[p.layout[VALUES + count + k]] += total
        for i in range(n):
            bad += d[i] != d[i]
            least = min(least, d[i])
            square += w[i] * (x[i] - center) * (x[i] - center)
        if pair is not None:
            for b in range(q):
                for i in range(high - low):
                    work.nodes[0, b * cells + low + i] = x[b * (high - low) + i]
    if pair is not None:
        terms[energy.term] += 0.5 * energy.quadratic * square
        if energy.interacts:
            terms[energy.term] += pair_energy(mesh.nodes[0], work.nodes[0], pair, work.pairs)
    whole = size = 0.0
    for k in range(len(terms)):
        whole += terms[k]
        size += abs(terms[k])
    return whole, size, square, (math.nan if bad else least)


@compiled
def gradient(c, mesh, energy, pair, work, g):
    """Derivative of the energy in the coordinates, into g [M + TAPS]."""
    r, p, k, q = work.registers, energy.local, mesh.taps, mesh.tables.shape[1]
    per, cells = r.shape[1] // q, mesh.cells.shape[1]
    clear(g)
    if pair is not None:
        x, force, mean = work.nodes[0], work.nodes[2], 0.0
        positions(c, mesh, work)
        for i in range(len(x)):
            mean += mesh.nodes[0, i] * x[i]
        if energy.interacts:
            pair_force(mesh.nodes[0], x, pair, work.pairs, force)
        else:
            clear(force)
        for i in range(len(x)):
            force[i] += energy.quadratic * (x[i] - mean)
    for low in range(0, cells, per):
        high = min(cells, low + per)
        n = high - low
        evaluate(c, mesh, low, high, work.local, r[0], r[1])
        if cells > per:
            nodal(mesh, energy, FIRST, low, high, work)
        execute(p, FIRST, r, n * q)
        u, v, to, w = work.local[0], work.local[1], work.local[2], r[4]
        weighted(p.layout[SLOPES], r, w, n * q, u)
        weighted(p.layout[SLOPES + 1], r, w, n * q, v)
        if pair is not None:
            for b in range(q):
                for i in range(n):
                    u[b * n + i] += w[b * n + i] * work.nodes[2, b * cells + low + i]
        first = mesh.cells[0, low:high]
        for j in range(k):
            gathered(mesh.tables, j, mesh.cells[1, low], n, u, v, to)
            for i in range(n):
                g[first[i] + j] += to[i]
    if mesh.held[0]:
        g[0] = 0.0
    if mesh.held[1]:
        g[len(g) - TAPS - 1] = 0.0


@compiled
def weighted(row, r, w, n, to):
    """Weights times a row of the registers, which is zero by definition for row = -1."""
    if row >= 0:
        by = r[row]
        for i in range(n):
            to[i] = w[i] * by[i]
    else:
        for i in range(n):
            to[i] = 0.0


@compiled
def positions(c, mesh, work):
    """f at all nodes, into work.nodes."""
    q, cells = mesh.tables.shape[1], mesh.cells.shape[1]
    per = work.registers.shape[1] // q
    for low in range(0, cells, per):
        high = min(cells, low + per)
        n = high - low
        x = work.registers[0]
        evaluate(c, mesh, low, high, work.local, x, work.registers[1])
        for b in range(q):
            for i in range(n):
                work.nodes[0, b * cells + low + i] = x[b * n + i]


@compiled
def hessian(c, mesh, energy, pair, work, shift):
    """shift times the mass matrix plus the Hessian, factorised; whether it is positive definite."""
    r, p, k, q, A = work.registers, energy.local, mesh.taps, mesh.tables.shape[1], work.band
    per, cells = r.shape[1] // q, mesh.cells.shape[1]
    m = len(A) - TAPS
    for j in range(m + TAPS):
        for b in range(TAPS):
            A[j, b] = shift * mesh.bands[0, j, b]
    if pair is not None:
        for j in range(len(work.dense)):
            clear(work.dense[j])
        clear(work.nodes[3])
        if energy.interacts:
            positions(c, mesh, work)
            coupling(mesh, work.nodes[0], pair, work.pairs, work.cross, work.vectors[IMAGE], work.nodes[3], work.dense)
        for a in range(len(work.dense)):
            for b in range(m):
                work.dense[a, b] -= energy.quadratic * mesh.mean[a] * mesh.mean[b]
    for low in range(0, cells, per):
        high = min(cells, low + per)
        n = high - low
        evaluate(c, mesh, low, high, work.local, r[0], r[1])
        if cells > per:
            nodal(mesh, energy, SECOND, low, high, work)
        execute(p, SECOND, r, n * q)
        local, w = work.local, r[4]
        xx, xd, dd, y, z, to = local[0], local[1], local[2], local[3], local[4], local[5]
        weighted(p.layout[BENDS], r, w, n * q, xx)
        weighted(p.layout[BENDS + 1], r, w, n * q, xd)
        weighted(p.layout[BENDS + 2], r, w, n * q, dd)
        if pair is not None:
            for b in range(q):
                for i in range(n):
                    xx[b * n + i] += energy.quadratic * w[b * n + i] + work.nodes[3, b * cells + low + i]
        first, at = mesh.cells[0, low:high], mesh.cells[1, low]
        for j in range(k):
            for b in range(q):
                value, slope, s = mesh.tables[0, b, j, at : at + n], mesh.tables[1, b, j, at : at + n], b * n
                for i in range(n):
                    y[s + i] = xx[s + i] * value[i] + xd[s + i] * slope[i]
                    z[s + i] = dd[s + i] * slope[i] + xd[s + i] * value[i]
            for h in range(j, k):
                gathered(mesh.tables, h, at, n, y, z, to)
                for i in range(n):
                    A[first[i] + j, h - j] += to[i]
    for end in range(2):
        if mesh.held[end]:
            hold(A, end * (m - 1), shift * mesh.bands[0, end * (m - 1), 0])
    if pair is not None:
        return coupled(mesh, energy, work)
    return factorise(A, m)


@compiled
def hold(A, j, diagonal):
    """Row and column j of a band without all other entries: the coordinate of a wall."""
    for b in range(1, TAPS):
        A[j, b] = 0.0
        if j >= b:
            A[j - b, b] = 0.0
    A[j, 0] = diagonal


@compiled
def coupled(mesh, energy, work):
    """Factorise the band together with what couples distant nodes; whether the sum is positive definite."""
    A, m, k = work.band, len(mesh.mean) - TAPS, mesh.taps
    if len(work.dense) > 0:
        for j in range(m):
            for b in range(min(k, m - j)):
                work.dense[j + b, j] += A[j, b]
        return cholesky(work.dense)
    if not factorise(A, m):
        return False
    z, s = work.vectors[WOODBURY], 0.0
    copy(mesh.mean, z)
    back(A, z, m)
    for j in range(m):
        s += z[j] * mesh.mean[j]
    s = 1.0 - energy.quadratic * s
    for j in range(m):
        z[j] *= energy.quadratic / s
    return s > 0.0
