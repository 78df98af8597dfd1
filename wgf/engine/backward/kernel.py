"""The machine code of the way back: the discrete adjoint of the compiled steps. The formulas, and the names of the
vectors, are those of `wgf.gradients.adjoint`."""

from __future__ import annotations

import math

from wgf.engine.arrays import IMAGE, NEW, PULL, SLOPE, SPEED, STAGES, begin, clear, copy, nodal, padded
from wgf.engine.backward.pairs import along_pairs
from wgf.engine.kernel import combine
from wgf.engine.landscape import added, end_of_block, evaluate, field, hessian, pull, spread
from wgf.engine.linear import multiply, solve
from wgf.engine.llvm.vectors import WIDTH, fill, load, store, total
from wgf.engine.machine_code import compiled, entry
from wgf.engine.program import ALONE, FIRST, SECOND, SLOPES, execute

OLD, ZERO, PLACES, BARS, DIRECTIONS, ROWS = 0, 1, 2, 8, 14, 20  # rows of the vectors of the way back, and their number
A, B, C = 5, 6, 7  # registers of the directions


@compiled
def repeat(c, h, mesh, energy, pair, method, work, rows):
    """The stages of a step of length h from c again, and the coordinates where they look, into `rows`; whether the
    matrix is positive definite."""
    v, new = work.vectors, work.vectors[NEW]
    copy(c, new)
    if not hessian(new, mesh, energy, pair, work, False, 1.0 / (method.gamma * h)):
        return False
    for s in range(6):
        combine(c, v, method.tableau, s, h)
        copy(new, rows[PLACES + s])
        field(new, mesh, energy, pair, work, v[SLOPE], False)
        if s == 0:
            clear(v[IMAGE])
        else:
            multiply(mesh.mass, v[PULL], v[IMAGE])
        solve(mesh, pair, work, v[IMAGE], v[SLOPE], v[STAGES + s], v[SPEED])
    return True


@compiled
def products(mesh, low, high, work, v, rows, nodes):
    """sum_s u_s v_s, u_s v_s' + u_s' v_s and u_s' v_s' of the stages and directions at the nodes of some cells."""
    r, size = work.registers, padded(high - low) * mesh.tables.shape[1]
    clear(r[A])
    clear(r[B])
    clear(r[C])
    for s in range(6):
        evaluate(v[STAGES + s], mesh, low, high, work.local, nodes[0], nodes[1])
        evaluate(rows[DIRECTIONS + s], mesh, low, high, work.local, nodes[2], nodes[3])
        for i in range(0, size, WIDTH):
            u, slope = load(nodes[0], i), load(nodes[1], i)
            other, bend = load(nodes[2], i), load(nodes[3], i)
            store(r[A], i, load(r[A], i) + u * other)
            store(r[B], i, load(r[B], i) + u * bend + slope * other)
            store(r[C], i, load(r[C], i) + slope * bend)


@compiled
def along(part, c, stage, mesh, energy, back, pair, work, v, rows, nodes, far, g, found):
    """Derivative in the coordinates c, into g, of dF(c)(v) for the direction of a stage, or of sum d2F(c)(v_i, u_i), as
    the part says; those in the numbers are subtracted from `found`."""
    r, p, q, cells = work.registers, back.local, mesh.tables.shape[1], mesh.cells.shape[1]
    per, width = r.shape[1] // q, 2 + len(found)
    results = SLOPES if part == FIRST else SLOPES + width
    clear(g)
    if pair is not None:
        along_pairs(part, c, stage, mesh, energy, back, pair, work, v, rows, DIRECTIONS, far, found)
    for low in range(0, cells, per):
        high = end_of_block(mesh, low, work)
        n = padded(high - low)
        evaluate(c, mesh, low, high, work.local, r[0], r[1])
        if part == FIRST:
            evaluate(rows[DIRECTIONS + stage], mesh, low, high, work.local, r[A], r[B])
        else:
            products(mesh, low, high, work, v, rows, nodes)
        if cells > per:
            nodal(mesh, back, part, low, high, work)
        execute(p, part, r, n * q, ALONE)
        for k in range(len(found)):
            row, sum_of = r[p.layout[results + 2 + k]], fill(0.0)
            for i in range(0, n * q, WIDTH):
                sum_of += load(r[4], i) * load(row, i)
            found[k] -= total(sum_of)
        force, stress = r[p.layout[results]], r[p.layout[results + 1]]
        if pair is not None:
            added(force, work.nodes[2], mesh, low, high, work.local[0])
            force = work.local[0]
        pull(mesh, mesh.cells[1, low], n, r[4], force, stress, work.rows)
        spread(work.rows, mesh.taps, mesh, low, high, g[mesh.cells[0, low] :], g)
    hold(mesh, g)


@compiled
def hold(mesh, x):
    """No entries for the coordinates of walls."""
    if mesh.held[0]:
        x[0] = 0.0
    if mesh.held[1]:
        x[len(x) - WIDTH - 1] = 0.0


@entry
def pull_back(
    path, lengths, bars, mesh, energy, back, method, given, numbers, found, kept, work, other, rows, nodes, far, same
):
    """Derivatives of a loss back through all steps of a flow.

    Args:
        path: coordinates before each step and after the last one [k + 1, M + WIDTH].
        lengths: of the steps [k] (time).
        bars: derivatives of the loss in each row of the path; the first row becomes that in the start, through all
            steps.
        energy, back: programs of the steps, whose parameters are `given` [1, p], and of the way back, whose parameters
            are the `numbers` [1, q].
        found: derivatives in the numbers [q], added to.
        kept: stages and directions of the steps [2, k, 6, M + WIDTH]; empty to keep none.
        work, other: arrays for the two programs.
        rows, nodes, far: vectors [ROWS, M + WIDTH], numbers of the nodes of some cells [4, .] and of all [12, .].
        same: largest difference between a repeated step and the path, relative to the coordinates. Where it is larger,
            lengths[0] becomes NaN and the way ends.
    """
    v, pair, far_pair, size = work.vectors, energy.pair, back.pair, path.shape[1]
    begin(mesh, energy, pair, given[0], work)
    begin(mesh, back, far_pair, numbers[0], other)
    clear(rows[ZERO])
    old, y = rows[OLD], v[SLOPE]
    for k in range(len(lengths) - 1, -1, -1):
        h = lengths[k]
        sound = repeat(path[k], h, mesh, energy, pair, method, work, rows)
        apart = scale = 0.0
        for i in range(size):
            apart += abs(v[NEW, i] + v[STAGES + 5, i] - path[k + 1, i])
            scale += abs(path[k + 1, i])
        if not (sound and apart <= same * scale):
            lengths[0] = math.nan
            return
        clear(old)
        for s in range(5):
            clear(rows[BARS + s])
        copy(bars[k + 1], rows[BARS + 5])
        for s in range(5, -1, -1):
            direction = rows[DIRECTIONS + s]
            solve(mesh, pair, work, rows[BARS + s], rows[ZERO], direction, v[SPEED])
            hold(mesh, direction)
            along(FIRST, rows[PLACES + s], s, mesh, energy, back, far_pair, other, v, rows, nodes, far, y, found)
            multiply(mesh.mass, direction, v[IMAGE])
            for i in range(size):
                y[i] = (bars[k + 1, i] if s == 5 else 0.0) - y[i]
                old[i] += y[i]
            for j in range(s):
                a, b, bar = method.tableau[0, s, j], method.tableau[1, s, j] / h, rows[BARS + j]
                for i in range(size):
                    bar[i] += a * y[i] + b * v[IMAGE, i]
            if len(kept) > 0:
                copy(v[STAGES + s], kept[0, k, s])
                copy(direction, kept[1, k, s])
        along(SECOND, path[k], 0, mesh, energy, back, far_pair, other, v, rows, nodes, far, y, found)
        for i in range(size):
            bars[k, i] += old[i] - y[i]
