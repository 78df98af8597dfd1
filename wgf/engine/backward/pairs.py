"""The second and third derivatives of the pairs of an interaction along directions, in machine code.

Rows of pairs are those of `wgf.engine.pairs`. For a distance r, a program has the derivatives of W'(r) a and of
W''(r) a in r and in the numbers. Particles that meet have none.
"""

from __future__ import annotations

import math

from wgf.engine.arrays import NONE, STAGES, clear
from wgf.engine.landscape import positions
from wgf.engine.llvm.vectors import WIDTH, choose, fill, load, store, total
from wgf.engine.machine_code import compiled
from wgf.engine.pairs import pushed, summed
from wgf.engine.program import ALONE, FIRST, SLOPES, execute

APART = 2  # register of a: v_i - v_j, or the sum of (u_i - u_j)(v_i - v_j) over the stages


@compiled
def rows_along(part, stage, i, count, x, far, logarithmic, results, p, r):
    """The rows of as many nodes i < count as fit, which end in the registers of the results, or in those of r and a for
    a logarithm, of strength 1. The node after the last of them."""
    n, apart = 0, r[APART]
    while i < count and n + (i & -WIDTH) + WIDTH <= r.shape[1]:
        own, v, mine = fill(x[i]), far[stage], fill(far[stage, i])
        for j in range(0, i + 1, WIDTH):
            store(r[0], n + j, own - load(x, j))
            store(apart, n + j, mine - load(v, j))
        if part != FIRST:
            for s in range(6):
                v, u = far[s], far[6 + s]
                mine, other = fill(v[i]), fill(u[i])
                for j in range(0, i + 1, WIDTH):
                    before = load(apart, n + j) if s > 0 else fill(0.0)
                    store(apart, n + j, before + (mine - load(v, j)) * (other - load(u, j)))
        n += (i & -WIDTH) + WIDTH
        i += 1
    if logarithmic:
        for j in range(0, n, WIDTH):
            inverse = fill(1.0) / choose(load(r[0], j), load(r[0], j), math.inf)
            slope = load(apart, j) * inverse
            if part == FIRST:
                store(r[0], j, fill(-1.0) * slope * inverse)
            else:
                slope = fill(-1.0) * slope * inverse
                store(r[0], j, fill(-2.0) * slope * inverse)
            store(apart, j, slope)
        return i
    execute(p, part, r, n, ALONE)
    for k in range(len(results)):
        if results[k] >= 0:
            row = r[results[k]]
            for j in range(0, n, WIDTH):
                store(row, j, choose(load(r[0], j), load(row, j), 0.0))
    return i


@compiled
def unit(p, r):
    """Run the first part for r = a = 1: the results are -s and the derivatives of s, the strength of a logarithm."""
    store(r[0], 0, fill(1.0))
    store(r[APART], 0, fill(1.0))
    execute(p, FIRST, r, WIDTH, ALONE)


@compiled
def weighted(part, stage, count, w, x, far, logarithmic, p, r, force, found):
    """Add the derivatives of the sum of all pairs to each force_i, and subtract those in the numbers from `found`."""
    q, factor, slopes, i = 1 + len(found), 1.0, 0.0, NONE
    first = p.layout[SLOPES : SLOPES + q]
    results = first if part == FIRST else p.layout[SLOPES + q : SLOPES + 2 * q]
    if logarithmic:
        unit(p, r)
        factor = -r[first[0], 0] if first[0] >= 0 else 0.0
    while i < count:
        end, at = rows_along(part, stage, i, count, x, far, logarithmic, results, p, r), 0
        while i < end:
            if logarithmic:
                pushed(i, w, r[0, at:], factor, force)
                slopes += summed(i, w, r[APART, at:])
            else:
                if results[0] >= 0:
                    pushed(i, w, r[results[0], at:], factor, force)
                for k in range(len(found)):
                    if results[1 + k] >= 0:
                        found[k] -= summed(i, w, r[results[1 + k], at:])
            at += (i & -WIDTH) + WIDTH
            i += 1
    if logarithmic:
        unit(p, r)
        for k in range(len(found)):
            if first[1 + k] >= 0:
                found[k] -= r[first[1 + k], 0] * slopes


@compiled
def covariance(w, weight, x, y):
    """Covariance of numbers x and y at the nodes with weights w, whose sum is given."""
    both, one, two = fill(0.0), fill(0.0), fill(0.0)
    for i in range(0, len(w), WIDTH):
        here = load(w, i) * load(y, i)
        both += load(x, i) * here
        one += load(w, i) * load(x, i)
        two += here
    return total(both) - total(one) * total(two) / weight


@compiled
def along_pairs(part, c, stage, mesh, energy, back, pair, work, v, rows, first, far, found):
    """Force of all pairs at the nodes, into work.nodes[2]: that of d2F(c) in the direction of a stage, or that of
    d3F(c) along all directions and stages, as the part says. Derivatives in the numbers are subtracted from `found`.

    Args:
        rows, first: vectors, of which the directions are those from `first` on.
        far: directions and stages at all nodes [12, .], filled.
    """
    w, force, n = work.nodes[1], work.nodes[2], mesh.nodes.shape[1]
    positions(c, mesh, work, work.nodes[0])
    clear(force)
    if part == FIRST:
        positions(rows[first + stage], mesh, work, far[stage])
        mean = 0.0
        for i in range(n):
            mean += w[i] * far[stage, i] / mesh.weight
        for i in range(n):
            force[i] = energy.quadratic * (far[stage, i] - mean)
        if back.term >= 0:
            found[back.term] -= covariance(w, mesh.weight, work.nodes[0], far[stage])
    else:
        for s in range(6):
            positions(v[STAGES + s], mesh, work, far[6 + s])
            if back.term >= 0:
                found[back.term] -= covariance(w, mesh.weight, far[s], far[6 + s])
    if back.interacts:
        weighted(part, stage, n, w, work.nodes[0], far, back.logarithmic, pair, work.pairs, force, found)
