"""Energy, force and second derivative of the pairs of an interaction, in machine code.

The nodes fill whole vectors; those that fill up the last one have no weight. For node i a row holds what belongs to the
pairs (i, j) for all vectors of nodes j up to the one that contains i. Pairs within this last vector occur twice, as
(i, j) and as (j, i).
"""

from __future__ import annotations

import math

from wgf.engine.arrays import NONE, clear
from wgf.engine.llvm.vectors import WIDTH, absolute, choose, fill, load, logarithm, store, total
from wgf.engine.machine_code import compiled, copied
from wgf.engine.program import ALONE, BENDS, FIRST, SECOND, SLOPES, VALUE, VALUES, execute


@copied
def rows_of(x, i, count, energy, p, part, r):
    """The rows of W, W' or W'' of the distances x_i - x_j, for as many nodes i < count as fit. A logarithm has strength
    1, and W'' is 0 where particles meet. The node after the last of them, and the rows behind each other."""
    n = 0
    while i < count and n + (i & -WIDTH) + WIDTH <= r.shape[1]:
        own = fill(x[i])
        for j in range(0, i + 1, WIDTH):
            apart = own - load(x, j)
            if not energy.logarithmic:
                store(r[0], n + j, apart)
            elif part == VALUE:
                store(r[0], n + j, logarithm(absolute(choose(apart, apart, 1.0))))
            else:
                inverse = fill(1.0) / choose(apart, apart, math.inf)
                store(r[0], n + j, inverse if part == FIRST else fill(0.0) - inverse * inverse)
        n += (i & -WIDTH) + WIDTH
        i += 1
    row = r[0]
    if not energy.logarithmic:
        execute(p, part, r, n, ALONE)
        row = r[p.layout[VALUES if part == VALUE else SLOPES if part == FIRST else BENDS]]
        if part == SECOND:
            for j in range(0, n, WIDTH):
                store(row, j, choose(load(r[0], j), load(row, j), 0.0))
    return i, row


@compiled
def strength(energy, p, r):
    """The factor of the rows: that of a logarithm is W'(1)."""
    if not energy.logarithmic:
        return 1.0
    store(r[0], 0, fill(1.0))
    execute(p, FIRST, r, ALONE, ALONE)
    return r[p.layout[SLOPES], 0]


@compiled
def pushed(i, w, row, factor, force):
    """Add the forces of a row to each force_j and to force_i, times a factor."""
    last, weight = i & -WIDTH, fill(factor * w[i])
    sum_of = load(w, last) * load(row, last)
    for j in range(0, last, WIDTH):
        pull = load(row, j)
        sum_of += load(w, j) * pull
        store(force, j, load(force, j) - weight * pull)
    force[i] += factor * total(sum_of)


@compiled
def summed(i, w, row):
    """Sum of the energies of a row."""
    last = i & -WIDTH
    sum_of = fill(0.5) * load(w, last) * load(row, last)
    for j in range(0, last, WIDTH):
        sum_of += load(w, j) * load(row, j)
    return w[i] * total(sum_of)


@compiled
def pair_energy(count, w, x, energy, p, r):
    """1/2 sum w_i w_j W(x_i - x_j)."""
    sum_of, i = 0.0, NONE
    while i < count:
        end, row = rows_of(x, i, count, energy, p, VALUE, r)
        while i < end:
            sum_of += summed(i, w, row)
            row, i = row[(i & -WIDTH) + WIDTH :], i + 1
    return strength(energy, p, r) * sum_of


@compiled
def pair_force(count, w, x, energy, p, r, force):
    """Add sum_j w_j W'(x_i - x_j) to each force_i."""
    factor, i = strength(energy, p, r), NONE
    while i < count:
        end, row = rows_of(x, i, count, energy, p, FIRST, r)
        while i < end:
            pushed(i, w, row, factor, force)
            row, i = row[(i & -WIDTH) + WIDTH :], i + 1


@compiled
def coupling(mesh, count, w, x, energy, p, r, cross, column, bend, dense):
    """The second derivative of the pairs: this adds sum_j w_j W'' to each bend_i, and the matrix, minus that of the
    pairs, to the upper triangle of `dense` [M, .].

    With K_ij = w_i w_j W''(x_i - x_j), of which a row holds a part, K = L + L^T, the matrix is B L B^T + B L^T B^T, and
    `cross` [M, .] holds B L. `column` [M + WIDTH] is for work.
    """
    if p.layout[BENDS] < 0:
        return
    for a in range(len(cross)):
        clear(cross[a])
    factor, cells, i = strength(energy, p, r), mesh.cells.shape[1], NONE
    while i < count:
        end, row = rows_of(x, i, count, energy, p, SECOND, r)
        while i < end:
            last, weight = i & -WIDTH, fill(factor * w[i])
            found = load(w, last) * load(row, last)
            store(row, last, fill(0.5) * weight * found)
            for j in range(0, last, WIDTH):
                bends = load(row, j)
                pull = load(w, j) * bends
                found += pull
                store(bend, j, load(bend, j) + weight * bends)
                store(row, j, weight * pull)
            bend[i] += factor * total(found)
            at, first = mesh.cells[1, i % cells], mesh.cells[0, i % cells]
            for a in range(mesh.taps):
                value, to = fill(mesh.tables[0, i // cells, a, at]), cross[first + a]
                for j in range(0, last + WIDTH, WIDTH):
                    store(to, j, load(to, j) + value * load(row, j))
            row, i = row[last + WIDTH :], i + 1
    for j in range(count):
        at, first = mesh.cells[1, j % cells], mesh.cells[0, j % cells]
        for m in range(len(cross)):
            column[m] = cross[m, j]
        for a in range(mesh.taps):
            value, to = fill(mesh.tables[0, j // cells, a, at]), dense[first + a]
            for m in range(0, len(cross), WIDTH):
                store(to, m, load(to, m) - value * load(column, m))
    for a in range(len(dense)):
        dense[a, a] *= 2.0
        for b in range(a):
            dense[b, a] += dense[a, b]
