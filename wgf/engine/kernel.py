"""The machine code of one flow: energy, gradient and Hessian in a chart, and the Rosenbrock steps between two stops.

The arithmetic is that of `wgf.integrators.implicit.Rodas4` and the decisions are those of
`wgf.integrators.time_loop.evolve`; the tests compare both. A vector of coordinates has K = k + 1 zeros at its end, and a
band holds A[j + r, j] in row j, column r.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from wgf.engine.program import BENDS, BLOCK, FAST, FIRST, NODAL, SECOND, SLOPES, VALUE, VALUES, Program, execute, prepare

COMPLETED, PAUSED, BLOW_UP, MAX_STEPS, STUCK = range(5)
SOUND, FOLDED, NOT_FINITE, NOT_SOLVED, ENERGY_RISE, CONCAVE, INACCURATE = range(7)
BANDED, RANK_ONE, DENSE = range(3)
SAFETY, SHRINK, GROW, COLLAPSE = 0.9, 0.2, 5.0, 1e-3
TINY = 2.2250738585072014e-308


class Mesh(NamedTuple):
    """A chart at its quadrature nodes, Q nodes in each cell.

    Attributes:
        taps: K zeros; their number is known to the compiler.
        cells: first basis function of each cell, and its row in the tables [c, 2].
        tables: basis functions and their slopes [2, kinds, Q, K].
        nodes: weights, log densities and 2 P - 1 at the nodes [3, c Q].
        bands: mass matrix and its factorisation [2, M + K, K].
        mean: integrals of the basis functions [M + K].
    """

    taps: Any
    cells: np.ndarray
    tables: np.ndarray
    nodes: np.ndarray
    bands: np.ndarray
    mean: np.ndarray


class Energy(NamedTuple):
    """The energy of a problem.

    Attributes:
        local: program of the pointwise energies; inputs f, f', log p, 2 P - 1 and w.
        pair: program of the kernel W(r) and of its force; input r.
        interacts: whether there are pairs.
        term: index of the interaction among the terms.
        quadratic: coefficient s of a kernel s x^2/2.
        count: number of terms.
    """

    local: Program
    pair: Program
    interacts: bool
    term: int
    quadratic: float
    count: int


class Method(NamedTuple):
    """Tableau [2, 6, 6] and tolerances of the Rosenbrock method."""

    tableau: np.ndarray
    gamma: float
    rtol: float
    atol: float
    dt_min: float
    max_steps: int
    attractive: bool


class Work(NamedTuple):
    """Arrays of one flow: registers of both programs, band, dense matrix, vectors [13, M + K], nodes [4, n], terms.

    The nodes hold f, f', force and bend of an interaction.
    """

    registers: np.ndarray
    pairs: np.ndarray
    band: np.ndarray
    dense: np.ndarray
    vectors: np.ndarray
    nodes: np.ndarray
    terms: np.ndarray


GRADIENT, NEW, PULL, SLOPE, IMAGE, SPEED, WOODBURY, STAGES = range(8)  # rows of the vectors


@njit(**FAST)
def clear(x):
    for i in range(len(x)):
        x[i] = 0.0


@njit(**FAST)
def copy(x, y):
    for i in range(len(x)):
        y[i] = x[i]


@njit(**FAST)
def total(x):
    s = 0.0
    for i in range(len(x)):
        s += x[i]
    return s


@njit(**FAST)
def workspace(mesh, energy):
    size, n = len(mesh.mean), mesh.nodes.shape[1]
    d = size - len(mesh.taps) if energy.interacts or energy.quadratic < 0.0 else 0
    return Work(
        np.zeros((len(energy.local.start), max(min(n, BLOCK), mesh.tables.shape[2]))),
        np.zeros((len(energy.pair.start), n if energy.interacts else 1)),
        np.zeros((size, len(mesh.taps))),
        np.zeros((d, d)),
        np.zeros((13, size)),
        np.zeros((4, n if energy.interacts or energy.quadratic != 0.0 else 0)),
        np.zeros(energy.count),
    )


@njit(**FAST)
def begin(mesh, energy, parameters, work):
    """Fill the registers that do not depend on the map."""
    prepare(energy.local, parameters, work.registers)
    prepare(energy.pair, parameters, work.pairs)
    if mesh.nodes.shape[1] <= work.registers.shape[1]:
        nodal(mesh, energy, 0, mesh.nodes.shape[1], work)


@njit(**FAST)
def nodal(mesh, energy, start, n, work):
    r = work.registers
    for i in range(n):
        r[2, i] = mesh.nodes[1, start + i]
        r[3, i] = mesh.nodes[2, start + i]
        r[4, i] = mesh.nodes[0, start + i]
    execute(energy.local, NODAL, r, n)


@njit(**FAST)
def evaluate(c, mesh, low, high, x, d):
    """f and f' at the nodes of the cells from `low` to `high`."""
    k = len(mesh.taps)
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


@njit(**FAST)
def judge(c, mesh, energy, work):
    """Sum of the energies, sum of their sizes, int f^2 p and the smallest slope; the energies go to work.terms."""
    r, p, q = work.registers, energy.local, mesh.tables.shape[2]
    per, cells = r.shape[1] // q, len(mesh.cells)
    terms, least, square, bad = work.terms, math.inf, 0.0, False
    clear(terms)
    mean = 0.0
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
            square += mesh.nodes[0, s + i] * r[0, i] * r[0, i]
            mean += mesh.nodes[0, s + i] * r[0, i]
        if len(work.nodes[0]):
            for i in range(n):
                work.nodes[0, s + i] = r[0, i]
    if energy.quadratic != 0.0:
        total = 0.0
        for i in range(mesh.nodes.shape[1]):
            total += mesh.nodes[0, i] * (work.nodes[0, i] - mean) ** 2
        terms[energy.term] += 0.5 * energy.quadratic * total
    if energy.interacts:
        terms[energy.term] += pair_energy(mesh.nodes[0], work.nodes[0], energy.pair, work.pairs)
    whole = size = 0.0
    for k in range(len(terms)):
        whole += terms[k]
        size += abs(terms[k])
    return whole, size, square, (math.nan if bad else least)


@njit(**FAST)
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


@njit(**FAST)
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


@njit(**FAST)
def gradient(c, mesh, energy, work, g):
    """Derivative of the energy in the coordinates, into g [M + K]."""
    r, p, k, q = work.registers, energy.local, len(mesh.taps), mesh.tables.shape[2]
    per, cells = r.shape[1] // q, len(mesh.cells)
    clear(g)
    mean, outside = 0.0, len(work.nodes[0]) > 0
    if outside:
        x, force = work.nodes[0], work.nodes[2]
        evaluate(c, mesh, 0, cells, x, work.nodes[1])
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


@njit(**FAST)
def hessian(c, mesh, energy, work, shift):
    """shift times the mass matrix plus the Hessian, factorised; whether it is positive definite."""
    r, p, k, q, A = work.registers, energy.local, len(mesh.taps), mesh.tables.shape[2], work.band
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
        evaluate(c, mesh, 0, cells, work.nodes[0], work.nodes[1])
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
                    for l in range(j, k):
                        A[f + j, l - j] += mesh.tables[0, t, b, l] * y + mesh.tables[1, t, b, l] * z
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


@njit(**FAST)
def coupling(mesh, x, p, r, bend, dense):
    """The second derivative of the pairs: sums of w_i w_j W'' per node, and the matrix, minus that of the pairs."""
    k, q, n = len(mesh.taps), mesh.tables.shape[2], len(x)
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


@njit(**FAST)
def cholesky(A):
    """Lower Cholesky factor in place; whether the matrix is positive definite."""
    for i in range(len(A)):
        for j in range(i + 1):
            s = A[i, j]
            for k in range(j):
                s -= A[i, k] * A[j, k]
            if i > j:
                A[i, j] = s * A[j, j]
            else:
                if not (s > 0.0 and s < math.inf):
                    return False
                A[i, i] = 1.0 / math.sqrt(s)
    return True


@njit(**FAST)
def factorise(A, m):
    """L D L^T of a band in place; whether the matrix is positive definite."""
    k = A.shape[1]
    for j in range(m):
        v = A[j, 0]
        if not (v > 0.0 and v < math.inf):
            return False
        w = 1.0 / v
        A[j, 0] = w
        for r in range(1, k):
            l = A[j, r] * w
            for s in range(r, k):
                A[j + r, s - r] -= l * A[j, s]
        for r in range(1, k):
            A[j, r] *= w
    return True


@njit(**FAST)
def back(A, y, m, taps):
    """Solve with the factors of a band, in place."""
    k = len(taps)
    for j in range(m):
        v = y[j]
        for r in range(1, k):
            y[j + r] -= A[j, r] * v
    clear(y[m:])
    for j in range(m - 1, -1, -1):
        v = y[j] * A[j, 0]
        for r in range(1, k):
            v -= A[j, r] * y[j + r]
        y[j] = v


@njit(**FAST)
def solve(mesh, energy, work, y):
    """Solve with the matrix of `hessian`, in place."""
    m, L = len(mesh.mean) - len(mesh.taps), work.dense
    if len(L) > 0:
        for i in range(m):
            s = y[i]
            for j in range(i):
                s -= L[i, j] * y[j]
            y[i] = s * L[i, i]
        for i in range(m - 1, -1, -1):
            v = y[i] * L[i, i]
            y[i] = v
            for j in range(i):
                y[j] -= L[i, j] * v
        return
    back(work.band, y, m, mesh.taps)
    if energy.quadratic > 0.0:
        s = 0.0
        for j in range(m):
            s += mesh.mean[j] * y[j]
        for j in range(m):
            y[j] += s * work.vectors[WOODBURY, j]


@njit(**FAST)
def multiply(mesh, x, y):
    """Mass matrix times x, into y."""
    k = len(mesh.taps)
    m = len(x) - k
    clear(y)
    for j in range(m):
        v = x[j]
        t = mesh.bands[0, j, 0] * v
        for r in range(1, k):
            y[j + r] += mesh.bands[0, j, r] * v
            t += mesh.bands[0, j, r] * x[j + r]
        y[j] += t


@njit(**FAST)
def velocity(mesh, g, v):
    """Velocity -mass^-1 g into v; the dissipation."""
    copy(g, v)
    m = len(v) - len(mesh.taps)
    back(mesh.bands[1], v, m, mesh.taps)
    s = 0.0
    for j in range(m):
        s += v[j] * g[j]
    return s


@njit(**FAST)
def factor_of_step(error, previous):
    error = max(error, 1e-10)
    if error > 1.0:
        f = SAFETY * error ** (-1.0 / 4.0)
    else:
        f = SAFETY * error ** (-0.7 / 4.0) * max(previous, 1e-4) ** (0.4 / 4.0)
    return min(GROW, max(SHRINK, f))


@njit(**FAST)
def advance(c, goals, saved, mesh, energy, method, parameters, times, counts, report, most, single):
    """Steps of several flows on one mesh, each from its coordinates through all goals, or until something ends it.

    Args:
        c: coordinates [b, M + K], updated.
        goals: times of the stops [s]; a flow continues with the goal number counts[3].
        saved: coordinates [b, s, M + K] and energies [b, s, terms] at the goals met.
        parameters: parameters of the energy [b, p].
        times: t, dt, next_dt, error and dissipated of the clocks [b, 5], updated.
        counts: steps, rejected, evaluations and target of the clocks [b, 4], updated.
        report: how a flow ended, energy, smallest slope, why the last attempt failed, and its length [b, 5].
        most: largest number of attempts of a flow in this call.
        single: whether to return after every accepted step.
    """
    work = workspace(mesh, energy)
    v, size, k = work.vectors, c.shape[1], len(mesh.taps)
    new = v[NEW]
    rounding = 64 * 2.220446049250313e-16
    for flow in range(len(c)):
        begin(mesh, energy, parameters[flow], work)
        copy(c[flow], new)
        end, attempts, opening = -1, 0, True
        now = scale = slope = lost = trial = length = 0.0
        lands = False
        while end == -1:
            # the field at the new coordinates; in the first turn these are the old ones
            then, then_scale, square, then_slope = judge(new, mesh, energy, work)
            gradient(new, mesh, energy, work, v[SLOPE])
            then_lost = velocity(mesh, v[SLOPE], v[SPEED])
            if not opening:
                fault = SOUND
                error = length / max(method.atol + method.rtol * math.sqrt(square), TINY)
                if length < 0.0:
                    fault, error = CONCAVE, 0.0
                elif then_slope <= 0:
                    fault = FOLDED
                elif not (math.isfinite(then) and math.isfinite(then_slope) and math.isfinite(total(new))):
                    fault = NOT_FINITE
                elif not (math.isfinite(total(v[SPEED])) and math.isfinite(error)):
                    fault = NOT_SOLVED
                elif then > now + rounding * (1 + max(scale, then_scale)):
                    fault = ENERGY_RISE
                accepted = fault == SOUND and error <= 1.0
                attempts += 1
                if accepted:
                    dt = times[flow, 2]
                    grown = trial * factor_of_step(error, times[flow, 3])
                    times[flow, 4] += 0.5 * trial * (lost + then_lost)
                    counts[flow, 0] += 1
                    times[flow, 0] = goals[counts[flow, 3]] if lands else times[flow, 0] + trial
                    times[flow, 2] = max(dt, grown) if trial < dt else grown
                    times[flow, 1], times[flow, 3] = trial, error
                else:
                    counts[flow, 1] += 1
                    times[flow, 2] = 0.25 * trial if fault != SOUND else trial * factor_of_step(error, 1.0)
                    report[flow, 3], report[flow, 4] = (fault if fault != SOUND else INACCURATE), trial
            if opening or accepted:
                now, scale, slope, lost = then, then_scale, then_slope, then_lost
                copy(new, c[flow])
                copy(v[SLOPE], v[GRADIENT])
                report[flow, 1], report[flow, 2] = now, slope
                if not opening and lands:
                    stop = counts[flow, 3]
                    copy(c[flow], saved[0][flow, stop])
                    copy(work.terms, saved[1][flow, stop])
                    counts[flow, 3] += 1
                if method.attractive and slope < COLLAPSE:
                    end = BLOW_UP
                elif counts[flow, 3] == len(goals):
                    end = COMPLETED
                elif single and not opening:
                    end = PAUSED
            elif times[flow, 2] < method.dt_min:
                end = STUCK
            if end == -1 and counts[flow, 0] + counts[flow, 1] >= method.max_steps:
                end = MAX_STEPS
            if end == -1 and attempts >= most:
                end = PAUSED
            if end != -1:
                break
            opening = False
            t, dt, goal = times[flow, 0], times[flow, 2], goals[counts[flow, 3]]
            lands = t + dt * (1 + 1e-9) >= goal
            trial = goal - t if lands else dt
            if not lands and t + 2 * dt > goal:
                trial = 0.5 * (goal - t)
            copy(c[flow], new)
            if not hessian(new, mesh, energy, work, 1.0 / (method.gamma * trial)):
                length = -1.0
                continue
            counts[flow, 2] += 6
            for s in range(6):
                copy(c[flow], new)
                clear(v[PULL])
                for r in range(s):
                    a, b = method.tableau[0, s, r], method.tableau[1, s, r] / trial
                    for i in range(size):
                        new[i] += a * v[STAGES + r, i]
                        v[PULL, i] += b * v[STAGES + r, i]
                if s == 0:
                    copy(v[GRADIENT], v[SLOPE])
                else:
                    gradient(new, mesh, energy, work, v[SLOPE])
                multiply(mesh, v[PULL], v[IMAGE])
                for i in range(size - k):
                    v[STAGES + s, i] = v[IMAGE, i] - v[SLOPE, i]
                clear(v[STAGES + s][size - k :])
                solve(mesh, energy, work, v[STAGES + s])
            multiply(mesh, v[STAGES + 5], v[IMAGE])
            length = 0.0
            for i in range(size):
                new[i] += v[STAGES + 5, i]
                length += v[STAGES + 5, i] * v[IMAGE, i]
            length = math.sqrt(length)
        report[flow, 0] = end
