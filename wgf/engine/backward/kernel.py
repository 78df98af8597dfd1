"""The machine code of the way back: the discrete adjoint of the compiled steps. The formulas, and the names of the
vectors, are those of `wgf.gradients.adjoint`."""

from __future__ import annotations

import math

from wgf.engine.arrays import IMAGE, NEW, PULL, SLOPE, SPEED, STAGES, begin, clear, copy, nodal, padded
from wgf.engine.backward.pairs import along_pairs
from wgf.engine.kernel import combine
from wgf.engine.landscape import added, end_of_block, evaluate, field, hessian, pull, spread
from wgf.engine.linear import forward, multiply, solve
from wgf.engine.llvm.vectors import WIDTH, fill, load, store, total
from wgf.engine.machine_code import compiled, entry
from wgf.engine.program import ALONE, FIRST, SECOND, SLOPES, execute

OLD, HERE, ZERO, PLACES, BARS, DIRECTIONS, ROWS = 0, 1, 2, 3, 9, 15, 21  # rows of the vectors, and their number
A, B, C = 5, 6, 7  # registers of the directions


@compiled
def repeat(c, h, mesh, energy, pair, method, work, rows):
    """The stages of a step of length h from c again, and the coordinates where they look, into `rows`; whether the
    matrix is positive definite."""
    v, new = work.vectors, work.vectors[NEW]
    for s in range(6):
        combine(c, v, method.tableau, s, h)
        copy(new, rows[PLACES + s])
        field(new, mesh, energy, pair, work, v[SLOPE], False)
        if s == 0:
            if not hessian(new, mesh, energy, pair, work, True, 1.0 / (method.gamma * h)):
                return False
            clear(v[IMAGE])
        else:
            multiply(mesh.mass, v[PULL], v[IMAGE])
        solve(mesh, pair, work, v[IMAGE], v[SLOPE], v[STAGES + s], v[SPEED])
    return True


@compiled
def collect(u, mesh, low, high, first, work, nodes, sums):
    """Add u v, u v' + u' v and u' v' of a stage u and the direction in the registers, at the nodes of some cells, to
    the sums [3, .] from column `first` on."""
    r = work.registers
    evaluate(u, mesh, low, high, work.local, nodes[0], nodes[1])
    for i in range(0, padded(high - low) * mesh.tables.shape[1], WIDTH):
        x, slope, v, bend = load(nodes[0], i), load(nodes[1], i), load(r[A], i), load(r[B], i)
        store(sums[0], first + i, load(sums[0], first + i) + x * v)
        store(sums[1], first + i, load(sums[1], first + i) + x * bend + slope * v)
        store(sums[2], first + i, load(sums[2], first + i) + slope * bend)


@compiled
def along(part, c, stage, mesh, energy, back, pair, work, v, rows, nodes, sums, far, g, found):
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
        first = low // per * r.shape[1]
        if part == FIRST:
            evaluate(rows[DIRECTIONS + stage], mesh, low, high, work.local, r[A], r[B])
            collect(v[STAGES + stage], mesh, low, high, first, work, nodes, sums)
        else:
            for k in range(3):
                copy(sums[k, first : first + n * q], r[A + k])
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


@compiled
def length(mesh, bar, y):
    """Length of a derivative [M], in the dual of the W2 length; y [M + WIDTH] is for work."""
    m, square = len(mesh.mean) - WIDTH, 0.0
    for i in range(m):
        y[i] = bar[i]
    forward(mesh.factors, y, m)
    for i in range(m):
        square += mesh.pivots[i] * y[i] * y[i]
    return math.sqrt(square)


@compiled
def is_zero(x):
    found = True
    for i in range(len(x)):
        found &= x[i] == 0.0
    return found


@compiled
def pull_step(h, after, bar, mesh, energy, back, method, found, kept, work, other, rows, nodes, sums, far, same):
    """Derivative in the coordinates rows[HERE] before a step of length h, into rows[OLD], from `bar` [M] in those after
    it; whether the step ends there again."""
    v, pair, far_pair, m = work.vectors, energy.pair, back.pair, len(after)
    c, old, y = rows[HERE], rows[OLD], v[SLOPE]
    sound = repeat(c, h, mesh, energy, pair, method, work, rows)
    apart = scale = 0.0
    for i in range(m):
        apart += abs(v[NEW, i] + v[STAGES + 5, i] - after[i])
        scale += abs(after[i])
    if not (sound and apart <= same * scale):
        return False
    clear(old)
    for k in range(3):
        clear(sums[k])
    for s in range(5):
        clear(rows[BARS + s])
    copy(bar, rows[BARS + 5])
    for s in range(5, -1, -1):
        direction = rows[DIRECTIONS + s]
        solve(mesh, pair, work, rows[BARS + s], rows[ZERO], direction, v[SPEED])
        hold(mesh, direction)
        along(FIRST, rows[PLACES + s], s, mesh, energy, back, far_pair, other, v, rows, nodes, sums, far, y, found)
        multiply(mesh.mass, direction, v[IMAGE])
        for i in range(m):
            y[i] = (bar[i] if s == 5 else 0.0) - y[i]
            old[i] += y[i]
        for j in range(s):
            a, b, to = method.tableau[0, s, j], method.tableau[1, s, j] / h, rows[BARS + j]
            for i in range(m):
                to[i] += a * y[i] + b * v[IMAGE, i]
        if len(kept) > 0:
            for i in range(m):
                kept[0, 0, s, i], kept[0, 1, s, i] = v[STAGES + s, i], direction[i]
    along(SECOND, c, 0, mesh, energy, back, far_pair, other, v, rows, nodes, sums, far, y, found)
    for i in range(m):
        old[i] -= y[i]
    return True


@entry
def pull_back(
    first, path, steps, bars, sizes, mesh, energy, back, method, given, numbers, found, repeats, kept, work, other,
    rows, nodes, sums, far, same,
):  # fmt: skip
    """Derivatives of a loss back through all steps of several flows on one mesh.

    Args:
        first: flow k has the rows from first[k] to first[k + 1] of the next arrays [b + 1].
        path: coordinates before each step and after the last one [r, M].
        steps: lengths of the steps that begin there [r] (time).
        bars: derivatives of the loss there [r, M]; those through later steps are added.
        sizes: lengths of the derivatives through later steps, of all, and of those of the loss alone [3, r], filled.
        energy, back: programs of the steps, whose parameters are `given` [b, p], and of the way back, whose parameters
            are the `numbers` [b, q].
        found: derivatives in the numbers [b, q], added to.
        repeats: whether the steps of each flow, taken again, end on its path [b], filled; its way ends where not.
        kept: stages and directions of the steps [r, 2, 6, M]; empty to keep none.
        work, other: arrays for the two programs.
        rows: vectors [ROWS, M + WIDTH]. nodes: numbers of the nodes of some cells [2, .]. sums, far: numbers of all
            nodes, those that fill up the last cells among them or not [3, .], [12, .].
        same: largest difference between a repeated step and the path, relative to the coordinates.
    """
    speed, old = work.vectors[SPEED], rows[OLD]
    clear(rows[ZERO])
    for flow in range(len(found)):
        begin(mesh, energy, energy.pair, given[flow], work)
        begin(mesh, back, back.pair, numbers[flow], other)
        last, repeats[flow] = first[flow + 1] - 1, True
        for k in range(last, first[flow] - 1, -1):
            sizes[0, k], sizes[2, k] = 0.0, length(mesh, bars[k], speed)
            if k < last and not is_zero(bars[k + 1]):
                copy(path[k], rows[HERE])
                step = steps[k], path[k + 1], bars[k + 1]
                to, keep = found[flow], kept[k : k + 1]
                if not pull_step(
                    *step, mesh, energy, back, method, to, keep, work, other, rows, nodes, sums, far, same
                ):
                    repeats[flow] = False
                    break
                sizes[0, k] = length(mesh, old, speed)
                for i in range(path.shape[1]):
                    bars[k, i] += old[i]
            sizes[1, k] = length(mesh, bars[k], speed)
