"""Energy, force and second derivative of the pairs of an interaction, in machine code.

A program treats many pairs at once: those of node i with the nodes before it, for some neighbouring nodes i.
"""

from __future__ import annotations

from wgf.engine.arrays import NONE, ONE, clear
from wgf.engine.machine_code import compiled
from wgf.engine.program import BENDS, FIRST, SECOND, SLOPES, VALUE, VALUES, execute


@compiled
def distances(x, i, itself, r):
    """Fill the first register with x_i - x_j for j < i, and for j = i if `itself`, for as many rows i as fit. The row
    after the last of them, and the number of entries."""
    n = 0
    while i < len(x) and n + i + itself <= r.shape[1]:
        for j in range(i + itself):
            r[0, n + j] = x[i] - x[j]
        n += i + itself
        i += 1
    return i, n


@compiled
def pair_energy(w, x, p, r):
    """1/2 sum w_i w_j W(x_i - x_j)."""
    energy, i = 0.0, NONE
    while i < len(w):
        end, n = distances(x, i, ONE, r)
        execute(p, VALUE, r, n)
        row = r[p.layout[VALUES]]
        while i < end:
            total = 0.5 * w[i] * row[i]
            for j in range(i):
                total += w[j] * row[j]
            energy += w[i] * total
            row, i = row[i + 1 :], i + 1
    return energy


@compiled
def pair_force(w, x, p, r, force):
    """force_i = sum_j w_j W'(x_i - x_j)."""
    clear(force)
    i = ONE
    while i < len(w):
        end, n = distances(x, i, NONE, r)
        execute(p, FIRST, r, n)
        row = r[p.layout[SLOPES]]
        while i < end:
            total, weight = 0.0, w[i]
            for j in range(i):
                total += w[j] * row[j]
                force[j] -= weight * row[j]
            force[i] += total
            row, i = row[i:], i + 1


@compiled
def coupling(mesh, x, p, r, cross, load, bend, dense):
    """The second derivative of the pairs: sums of w_i w_j W'' per node, and the matrix, minus that of the pairs.

    With K_ij = w_i w_j W''(x_i - x_j) for j < i the matrix is B K B^T + B K^T B^T, and `cross` [M, n] holds B K.
    `load` [M + TAPS] is for work.
    """
    clear(bend)
    if p.layout[BENDS] < 0:
        return
    for a in range(len(cross)):
        clear(cross[a])
    w, cells, i = mesh.nodes[0], mesh.cells.shape[1], ONE
    while i < len(x):
        end, n = distances(x, i, NONE, r)
        execute(p, SECOND, r, n)
        row = r[p.layout[BENDS]]
        while i < end:
            total = 0.0
            for j in range(i):
                v = w[i] * w[j] * row[j] if x[i] != x[j] else 0.0
                row[j] = v
                total += v
                bend[j] += v
            bend[i] += total
            at, first = mesh.cells[1, i % cells], mesh.cells[0, i % cells]
            for a in range(mesh.taps):
                v, to = mesh.tables[0, i // cells, a, at], cross[first + a]
                for j in range(i):
                    to[j] += v * row[j]
            row, i = row[i:], i + 1
    for j in range(len(x)):
        at, first = mesh.cells[1, j % cells], mesh.cells[0, j % cells]
        for m in range(len(cross)):
            load[m] = cross[m, j]
        for a in range(mesh.taps):
            v, to = mesh.tables[0, j // cells, a, at], dense[first + a]
            for m in range(len(to)):
                to[m] -= v * load[m]
    for a in range(len(dense)):
        dense[a, a] *= 2.0
        for b in range(a):
            dense[a, b] += dense[b, a]
