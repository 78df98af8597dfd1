"""Energy, gradient and Hessian in a chart, in machine code; the formulas are those of `wgf.projection.chart_energy`."""

from __future__ import annotations

import math

import numpy as np

from wgf.engine.arrays import ALL, WOODBURY, clear, copy, nodal
from wgf.engine.linear import back, cholesky, factorise
from wgf.engine.program import BENDS, FIRST, SECOND, SLOPES, VALUE, VALUES, compiled, execute


@compiled
def evaluate(c, mesh, low, high, x, d):
    """f and f' at the nodes of the cells from `low` to `high`."""
    k = mesh.taps
    i = 0
    for cell in range(low, high):
        f, t = mesh.cells[cell, 0], mesh.cells[cell, 1]
        for p in range(mesh.tables.shape[2]):
            u = v = 0.0
            for j in range(k):
                u += mesh.tables[0, t, p, j] * c[f + j]
                v += mesh.tables[1, t, p, j] * c[f + j]
            x[i], d[i] = u, v
            i += 1


@compiled
def judge(c, mesh, energy, work):
    """Sum of the energies, sum of their sizes, the variance and the smallest slope; the energies go to work.terms."""
    r, p, q = work.registers, energy.local, mesh.tables.shape[2]
    per, cells = r.shape[1] // q, len(mesh.cells)
    terms, least, square, bad = work.terms, math.inf, 0.0, False
    center = 0.0
    for i in range(len(c)):
        center += mesh.mean[i] * c[i]
    clear(terms)
    for low in range(0, cells, per):
        high = min(cells, low + per)
        n, s = (high - low) * q, low * q
        evaluate(c, mesh, low, high, r[0], r[1])
        if cells > per:
            nodal(mesh, energy, s, n, work)
        execute(p, VALUE, r, n)
        count = (len(p.layout) - VALUES) // 2
        for k in range(count):
            row, total = r[p.layout[VALUES + k]], 0.0
            for i in range(n):
                total += mesh.nodes[0, s + i] * row[i]
            terms[p.layout[VALUES + count + k]] += total
        for i in range(n):
            d = r[1, i]
            bad |= d != d
            least = min(least, d)
            square += mesh.nodes[0, s + i] * (r[0, i] - center) ** 2
        if len(work.nodes[0]):
            for i in range(n):
                work.nodes[0, s + i] = r[0, i]
    if energy.quadratic != 0.0:
        total = 0.0
        for i in range(mesh.nodes.shape[1]):
            total += mesh.nodes[0, i] * (work.nodes[0, i] - center) ** 2
        terms[energy.term] += 0.5 * energy.quadratic * total
    if energy.interacts:
        terms[energy.term] += pair_energy(mesh.nodes[0], work.nodes[0], energy.pair, work.pairs)
    whole = size = 0.0
    for k in range(len(terms)):
        whole += terms[k]
        size += abs(terms[k])
    return whole, size, square, (math.nan if bad else least)


@compiled
def pair_energy(w, x, p, r):
    """1/2 sum w_i w_j W(x_i - x_j)."""
    energy = 0.0
    for i in range(len(w)):
        n = i + 1
        for j in range(n):
            r[0, j] = x[i] - x[j]
        execute(p, VALUE, r, n)
        row, total = r[p.layout[VALUES]], 0.0
        for j in range(i):
            total += w[j] * row[j]
        energy += w[i] * (total + 0.5 * w[i] * row[i])
    return energy


@compiled
def pair_force(w, x, p, r, force):
    """force_i = sum_j w_j W'(x_i - x_j)."""
    clear(force)
    for i in range(1, len(w)):
        for j in range(i):
            r[0, j] = x[i] - x[j]
        execute(p, FIRST, r, i)
        row, total = r[p.layout[SLOPES]], 0.0
        for j in range(i):
            total += w[j] * row[j]
            force[j] -= w[i] * row[j]
        force[i] += total


@compiled
def gradient(c, mesh, energy, work, g):
    """Derivative of the energy in the coordinates, into g [M + K]."""
    r, p, k, q = work.registers, energy.local, mesh.taps, mesh.tables.shape[2]
    per, cells = r.shape[1] // q, len(mesh.cells)
    clear(g)
    mean, outside = 0.0, len(work.nodes[0]) > 0
    if outside:
        x, force = work.nodes[0], work.nodes[2]
        evaluate(c, mesh, ALL, cells, x, work.nodes[1])
        for i in range(len(x)):
            mean += mesh.nodes[0, i] * x[i]
        if energy.interacts:
            pair_force(mesh.nodes[0], x, energy.pair, work.pairs, force)
        else:
            clear(force)
        for i in range(len(x)):
            force[i] += energy.quadratic * (x[i] - mean)
    for low in range(0, cells, per):
        high = min(cells, low + per)
        n, s = (high - low) * q, low * q
        evaluate(c, mesh, low, high, r[0], r[1])
        if cells > per:
            nodal(mesh, energy, s, n, work)
        execute(p, FIRST, r, n)
        has_x, has_d = p.layout[SLOPES] >= 0, p.layout[SLOPES + 1] >= 0
        row_x, row_d = r[p.layout[SLOPES]], r[p.layout[SLOPES + 1]]
        i = 0
        for cell in range(low, high):
            f, t = mesh.cells[cell, 0], mesh.cells[cell, 1]
            for b in range(q):
                w = mesh.nodes[0, s + i]
                u = w * row_x[i] if has_x else 0.0
                v = w * row_d[i] if has_d else 0.0
                if outside:
                    u += w * work.nodes[2, s + i]
                for j in range(k):
                    g[f + j] += mesh.tables[0, t, b, j] * u + mesh.tables[1, t, b, j] * v
                i += 1


@compiled
def hessian(c, mesh, energy, work, shift):
    """shift times the mass matrix plus the Hessian, factorised; whether it is positive definite."""
    r, p, k, q, A = work.registers, energy.local, mesh.taps, mesh.tables.shape[2], work.band
    per, cells = r.shape[1] // q, len(mesh.cells)
    m = len(A) - k
    for j in range(m):
        for b in range(k):
            A[j, b] = shift * mesh.bands[0, j, b]
    for j in range(m, m + k):
        for b in range(k):
            A[j, b] = 0.0
    dense = len(work.dense) > 0
    if dense:
        for j in range(m):
            clear(work.dense[j])
        evaluate(c, mesh, ALL, cells, work.nodes[0], work.nodes[1])
        clear(work.nodes[3])
        if energy.interacts:
            coupling(mesh, work.nodes[0], energy.pair, work.pairs, work.nodes[3], work.dense)
        for a in range(m):
            for b in range(m):
                work.dense[a, b] -= energy.quadratic * mesh.mean[a] * mesh.mean[b]
    for low in range(0, cells, per):
        high = min(cells, low + per)
        n, s = (high - low) * q, low * q
        evaluate(c, mesh, low, high, r[0], r[1])
        if cells > per:
            nodal(mesh, energy, s, n, work)
        execute(p, SECOND, r, n)
        has_xx, has_xd, has_dd = p.layout[BENDS] >= 0, p.layout[BENDS + 1] >= 0, p.layout[BENDS + 2] >= 0
        row_xx, row_xd, row_dd = r[p.layout[BENDS]], r[p.layout[BENDS + 1]], r[p.layout[BENDS + 2]]
        i = 0
        for cell in range(low, high):
            f, t = mesh.cells[cell, 0], mesh.cells[cell, 1]
            for b in range(q):
                w = mesh.nodes[0, s + i]
                xx = energy.quadratic * w + (w * row_xx[i] if has_xx else 0.0)
                xd = w * row_xd[i] if has_xd else 0.0
                dd = w * row_dd[i] if has_dd else 0.0
                if dense:
                    xx += work.nodes[3, s + i]
                for j in range(k):
                    u, v = mesh.tables[0, t, b, j], mesh.tables[1, t, b, j]
                    y, z = xx * u + xd * v, dd * v + xd * u
                    for h in range(j, k):
                        A[f + j, h - j] += mesh.tables[0, t, b, h] * y + mesh.tables[1, t, b, h] * z
                i += 1
    if dense:
        for j in range(m):
            for b in range(min(k, m - j)):
                work.dense[j + b, j] += A[j, b]
        return cholesky(work.dense)
    if not factorise(A, m):
        return False
    if energy.quadratic > 0.0:
        z = work.vectors[WOODBURY]
        copy(mesh.mean, z)
        back(A, z, m, mesh.taps)
        s = 0.0
        for j in range(m):
            s += z[j] * mesh.mean[j]
        s = 1.0 - energy.quadratic * s
        for j in range(m):
            z[j] *= energy.quadratic / s
        return s > 0.0
    return True


@compiled
def coupling(mesh, x, p, r, bend, dense):
    """The second derivative of the pairs: sums of w_i w_j W'' per node, and the matrix, minus that of the pairs."""
    k, q, n = mesh.taps, mesh.tables.shape[2], len(x)
    load = np.zeros(len(mesh.mean))
    has = p.layout[BENDS] >= 0
    for i in range(n):
        clear(load)
        for j in range(n):
            r[0, j] = x[i] - x[j]
        if not has:
            return
        execute(p, SECOND, r, n)
        row, total, j = r[p.layout[BENDS]], 0.0, 0
        for cell in range(len(mesh.cells)):
            f, t = mesh.cells[cell, 0], mesh.cells[cell, 1]
            for b in range(q):
                v = mesh.nodes[0, i] * mesh.nodes[0, j] * row[j] if r[0, j] != 0.0 else 0.0
                total += v
                for a in range(k):
                    load[f + a] += v * mesh.tables[0, t, b, a]
                j += 1
        bend[i] = total
        f, t = mesh.cells[i // q, 0], mesh.cells[i // q, 1]
        for a in range(k):
            v = mesh.tables[0, t, i % q, a]
            for b in range(f + a + 1):
                dense[f + a, b] -= v * load[b]
