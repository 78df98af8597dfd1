"""Energy, gradient and Hessian in a chart, in machine code; the formulas are those of `wgf.projection.chart_energy`.

Arrays over some cells have q rows of n numbers, one for each node of a cell; n is the number of cells, rounded up to
whole vectors.
"""

from __future__ import annotations

import math

from wgf.engine.arrays import IMAGE, ONE, TAPS, WOODBURY, clear, copy, nodal, padded
from wgf.engine.linear import backward, factorise, factorise_dense, forward
from wgf.engine.llvm.vectors import WIDTH, fill, least, load, lower, store, total
from wgf.engine.machine_code import compiled
from wgf.engine.pairs import coupling, pair_energy, pair_force
from wgf.engine.program import ALONE, BENDS, FIRST, SECOND, SLOPES, VALUE, VALUES, execute


@compiled
def run_of(mesh, low, high):
    """How many of the cells from `low` to `high` have functions that follow each other."""
    end = mesh.run if mesh.run < high else high
    return end - low if end > low else 0


@compiled
def end_of_block(mesh, low, work):
    """The end of the cells that a program treats at once, from `low` on."""
    high, cells = low + work.registers.shape[1] // mesh.tables.shape[1], mesh.cells.shape[1]
    return high if high < cells else cells


@compiled
def evaluate(c, mesh, low, high, local, x, d):
    """f and f' at the nodes of the cells from `low` to `high`."""
    k, q, n, at = mesh.taps, mesh.tables.shape[1], padded(high - low), mesh.cells[1, low]
    run, first = run_of(mesh, low, high), mesh.cells[0, low:high]
    for j in range(k):
        to = local[j]
        for i in range(0, run, WIDTH):
            store(to, i, load(c, first[0] + j + i))
        for i in range(run, high - low):
            to[i] = c[first[i] + j]
        for i in range(high - low, n):
            to[i] = to[high - low - 1]
    for b in range(q):
        for i in range(0, n, WIDTH):
            value, slope = fill(0.0), fill(0.0)
            for j in range(k):
                by = load(local[j], i)
                value += load(mesh.tables[0, b, j], at + i) * by
                slope += load(mesh.tables[1, b, j], at + i) * by
            store(x, b * n + i, value)
            store(d, b * n + i, slope)


@compiled
def pull(mesh, at, n, w, force, stress, rows):
    """rows[j] = sum over the nodes of a cell of w (force B_j + stress B_j'), for n cells with columns from `at`."""
    for i in range(0, n, WIDTH):
        zero, one, two, three, four, five = fill(0.0), fill(0.0), fill(0.0), fill(0.0), fill(0.0), fill(0.0)
        for b in range(mesh.tables.shape[1]):
            value, slope, weight = mesh.tables[0, b], mesh.tables[1, b], load(w, b * n + i)
            u, v = weight * load(force, b * n + i), weight * load(stress, b * n + i)
            zero += load(value[0], at + i) * u + load(slope[0], at + i) * v
            one += load(value[1], at + i) * u + load(slope[1], at + i) * v
            two += load(value[2], at + i) * u + load(slope[2], at + i) * v
            three += load(value[3], at + i) * u + load(slope[3], at + i) * v
            four += load(value[4], at + i) * u + load(slope[4], at + i) * v
            five += load(value[5], at + i) * u + load(slope[5], at + i) * v
        store(rows[0], WIDTH + i, zero)
        store(rows[1], WIDTH + i, one)
        store(rows[2], WIDTH + i, two)
        store(rows[3], WIDTH + i, three)
        store(rows[4], WIDTH + i, four)
        store(rows[5], WIDTH + i, five)


@compiled
def spread(rows, count, mesh, low, high, near, far):
    """Add the numbers rows[j] of the cells from `low` to `high` to entries for the basis functions j < count of these
    cells: for the first cells, whose functions follow each other, to `near`, which begins with the function of the cell
    `low`, and for the others to `far`, which has all functions."""
    run, first = run_of(mesh, low, high), mesh.cells[0, low:high]
    for j in range(count):
        row = rows[j]
        for i in range(run, high - low):
            far[first[i] + j] += row[WIDTH + i]
            row[WIDTH + i] = 0.0
        for i in range(padded(high - low), padded(high - low) + 2 * WIDTH, WIDTH):
            store(row, WIDTH + i, fill(0.0))
    if run > 0:
        for i in range(0, run + count - 1, WIDTH):
            found = load(near, i)
            for j in range(count):
                found += load(rows[j], WIDTH + i - j)
            store(near, i, found)


@compiled
def field(c, mesh, energy, pair, work, g, judges):
    """Derivative of the energy in the coordinates, into g [M + WIDTH]; and, if `judges`, the sum of the energies, that
    of their sizes, the variance and the smallest slope; the energies go to work.terms."""
    r, p, q, cells = work.registers, energy.local, mesh.tables.shape[1], mesh.cells.shape[1]
    per, terms, count = r.shape[1] // q, work.terms, (len(p.layout) - VALUES) // 2
    clear(g)
    clear(terms)
    center, slope, square = 0.0, fill(math.inf), fill(0.0)
    for i in range(len(c)):
        center += mesh.mean[i] * c[i]
    if pair is not None:
        positions(c, mesh, work, work.nodes[0])
        forces(center, mesh, energy, pair, work)
    for low in range(0, cells, per):
        high = end_of_block(mesh, low, work)
        n = padded(high - low)
        evaluate(c, mesh, low, high, work.local, r[0], r[1])
        w = r[4]
        if judges:
            if cells > per:
                nodal(mesh, energy, VALUE, low, high, work)
            execute(p, VALUE, r, n * q, ALONE)
            for k in range(count):
                row, sum_of = r[p.layout[VALUES + k]], fill(0.0)
                for i in range(0, n * q, WIDTH):
                    sum_of += load(w, i) * load(row, i)
                terms[p.layout[VALUES + count + k]] += total(sum_of)
            for i in range(0, n * q, WIDTH):
                away = load(r[0], i) - fill(center)
                square += load(w, i) * away * away
                slope = lower(slope, load(r[1], i))
        if cells > per:
            nodal(mesh, energy, FIRST, low, high, work)
        execute(p, FIRST, r, n * q, ALONE)
        force = r[p.layout[SLOPES]]
        if pair is not None:
            added(force, work.nodes[2], mesh, low, high, work.local[0])
            force = work.local[0]
        pull(mesh, mesh.cells[1, low], n, w, force, r[p.layout[SLOPES + 1]], work.rows)
        spread(work.rows, mesh.taps, mesh, low, high, g[mesh.cells[0, low] :], g[::ONE])
    if mesh.held[0]:
        g[0] = 0.0
    if mesh.held[1]:
        g[len(g) - WIDTH - 1] = 0.0
    variance = total(square)
    if judges and pair is not None:
        terms[energy.term] += 0.5 * energy.quadratic * variance
        if energy.interacts:
            terms[energy.term] += pair_energy(
                mesh.nodes.shape[1], work.nodes[1], work.nodes[0], energy, pair, work.pairs
            )
    whole = size = 0.0
    for k in range(len(terms)):
        whole += terms[k]
        size += abs(terms[k])
    return whole, size, variance, least(slope)


@compiled
def forces(center, mesh, energy, pair, work):
    """Force of the interaction at the nodes; `center` is the mean position."""
    x, force, n = work.nodes[0], work.nodes[2], mesh.nodes.shape[1]
    for i in range(n):
        force[i] = energy.quadratic * (x[i] - center)
    if energy.interacts:
        pair_force(n, work.nodes[1], x, energy, pair, work.pairs, force)


@compiled
def added(row, nodes, mesh, low, high, to):
    """A row of the registers plus numbers of all nodes."""
    n, cells = padded(high - low), mesh.cells.shape[1]
    copy(row[: mesh.tables.shape[1] * n], to)
    for b in range(mesh.tables.shape[1]):
        for i in range(high - low):
            to[b * n + i] += nodes[b * cells + low + i]


@compiled
def positions(c, mesh, work, to):
    """f at all nodes."""
    q, cells = mesh.tables.shape[1], mesh.cells.shape[1]
    per = work.registers.shape[1] // q
    for low in range(0, cells, per):
        high = end_of_block(mesh, low, work)
        n, x = padded(high - low), work.registers[0]
        evaluate(c, mesh, low, high, work.local, x, work.registers[1])
        for b in range(q):
            for i in range(high - low):
                to[b * cells + low + i] = x[b * n + i]


@compiled
def hessian(c, mesh, energy, pair, work, known, shift):
    """shift times the mass matrix plus the Hessian, factorised; whether it is positive definite. `known`: whether c are
    the last coordinates that were evaluated."""
    r, p, k, q, A = work.registers, energy.local, mesh.taps, mesh.tables.shape[1], work.band
    per, cells = r.shape[1] // q, mesh.cells.shape[1]
    m = len(A) - WIDTH
    for j in range(m):
        for h in range(TAPS):
            A[j, h] = shift * mesh.mass[h, WIDTH + j]
    if pair is not None:
        for j in range(len(work.dense)):
            clear(work.dense[j])
        for i in range(work.nodes.shape[1]):
            work.nodes[3, i] = energy.quadratic
        if energy.interacts:
            if not known:
                positions(c, mesh, work, work.nodes[0])
            x, w, bend, n = work.nodes[0], work.nodes[1], work.nodes[3], mesh.nodes.shape[1]
            coupling(mesh, n, w, x, energy, pair, work.pairs, work.cross, work.vectors[IMAGE], bend, work.dense)
        for a in range(len(work.dense)):
            for b in range(m):
                work.dense[a, b] -= energy.quadratic * mesh.weight * mesh.mean[a] * mesh.mean[b]
    for low in range(0, cells, per):
        high = end_of_block(mesh, low, work)
        n = padded(high - low)
        if cells > per or not known:
            evaluate(c, mesh, low, high, work.local, r[0], r[1])
        if cells > per:
            nodal(mesh, energy, SECOND, low, high, work)
        execute(p, SECOND, r, n * q, ALONE)
        bends = work.local
        copy(r[p.layout[BENDS], : n * q], bends[0])
        if pair is not None:
            added(bends[0], work.nodes[3], mesh, low, high, bends[0])
        for i in range(0, n * q, WIDTH):
            w = load(r[4], i)
            store(bends[0], i, w * load(bends[0], i))
            store(bends[1], i, w * load(r[p.layout[BENDS + 1]], i))
            store(bends[2], i, w * load(r[p.layout[BENDS + 2]], i))
        xx, xd, dd = bends[0], bends[1], bends[2]
        at, tables = mesh.cells[1, low], mesh.tables
        for h in range(k):
            for j in range(k - h):
                to = work.rows[j]
                for i in range(0, n, WIDTH):
                    found = fill(0.0)
                    for b in range(q):
                        value, slope = load(tables[0, b, j], at + i), load(tables[1, b, j], at + i)
                        mixed = load(xd, b * n + i)
                        force = load(xx, b * n + i) * value + mixed * slope
                        stress = load(dd, b * n + i) * slope + mixed * value
                        found += load(tables[0, b, j + h], at + i) * force + load(tables[1, b, j + h], at + i) * stress
                    store(to, WIDTH + i, found)
            clear(work.near)
            spread(work.rows, k - h, mesh, low, high, work.near, A[:, h])
            for i in range(run_of(mesh, low, high) + k - 1 - h):
                A[mesh.cells[0, low] + i, h] += work.near[i]
    for end in range(2):
        if mesh.held[end]:
            hold(A, end * (m - 1), shift * mesh.mass[0, WIDTH + end * (m - 1)])
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
    """Factorise the band together with what couples distant nodes; whether the sum is positive definite. A dense matrix
    takes over the band, which then is zero."""
    A, m, k = work.band, len(mesh.mean) - WIDTH, mesh.taps
    if len(work.dense) > 0:
        for j in range(m):
            for b in range(k if k < m - j else m - j):
                work.dense[j, j + b] += A[j, b]
            clear(A[j])
        return factorise_dense(work.dense, work.vectors[WOODBURY])
    if not factorise(A, m):
        return False
    z, s, strength = work.vectors[WOODBURY], 0.0, energy.quadratic * mesh.weight
    copy(mesh.mean, z)
    forward(A, z, m)
    backward(A, z, m)
    for j in range(m):
        s += z[j] * mesh.mean[j]
    s = 1.0 - strength * s
    for j in range(m):
        z[j] *= strength / s
    return s > 0.0
