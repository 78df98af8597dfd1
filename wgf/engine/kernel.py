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

from wgf.engine.program import BLOCK, FAST, Program, execute, prepare

LANDED, STEPPED, PAUSED, BLOW_UP, MAX_STEPS, STUCK = range(6)
SOUND, FOLDED, NOT_FINITE, NOT_SOLVED, ENERGY_RISE, CONCAVE, INACCURATE = range(7)
BANDED, RANK_ONE, DENSE = range(3)
SAFETY, SHRINK, GROW, COLLAPSE = 0.9, 0.2, 5.0, 1e-3


class Mesh(NamedTuple):
    """A chart at its quadrature nodes, Q nodes in each cell.

    Attributes:
        taps: K zeros; the length is known to the compiler.
        first: first basis function of each cell [c].
        kind: row of the tables for each cell [c].
        basis, slopes: basis functions and their slopes [kinds, Q, K].
        w, log_p, rank: weights, log densities and 2 P - 1 at the nodes [c Q].
        mass, factor: mass matrix [M + K, K] and its factorisation.
        mean: integrals of the basis functions [M + K].
    """

    taps: Any
    first: np.ndarray
    kind: np.ndarray
    basis: np.ndarray
    slopes: np.ndarray
    w: np.ndarray
    log_p: np.ndarray
    rank: np.ndarray
    mass: np.ndarray
    factor: np.ndarray
    mean: np.ndarray


class Energy(NamedTuple):
    """The energy of a problem.

    Attributes:
        local: program of the pointwise energies; inputs f, f', log p, 2 P - 1 and w.
        pair: program of the kernel W(r) and of its force; input r.
        interacts: whether there are pairs.
        term: index of the interaction among the terms.
        quadratic: coefficient s of a kernel s x^2/2.
    """

    local: Program
    pair: Program
    interacts: bool
    term: int
    quadratic: float


class Method(NamedTuple):
    """Tableau and tolerances of the Rosenbrock method."""

    a: np.ndarray
    c: np.ndarray
    gamma: float
    rtol: float
    atol: float
    dt_min: float
    max_steps: int
    attractive: bool


class Work(NamedTuple):
    """Arrays of one flow: registers of both programs, band, dense matrix, stages, vectors [M + K], nodes [n]."""

    registers: np.ndarray
    pairs: np.ndarray
    band: np.ndarray
    dense: np.ndarray
    stages: np.ndarray
    vectors: np.ndarray
    nodes: np.ndarray
    terms: np.ndarray


@njit(**FAST)
def workspace(mesh, energy, terms):
    size, n = len(mesh.mean), len(mesh.w)
    m = size - len(mesh.taps)
    nonlocal_ = energy.interacts or energy.quadratic != 0.0
    d = m if energy.interacts or energy.quadratic < 0.0 else 0
    block = max(min(n, BLOCK), mesh.basis.shape[1])
    return Work(
        np.zeros((energy.local.count, block)),
        np.zeros((energy.pair.count, n if energy.interacts else 1)),
        np.zeros((size, len(mesh.taps))),
        np.zeros((d, d)),
        np.zeros((6, size)),
        np.zeros((7, size)),
        np.zeros((4, n if nonlocal_ else 0)),
        np.zeros(terms),
    )


@njit(**FAST)
def begin(mesh, energy, parameters, work):
    """Fill the registers that do not depend on the map."""
    prepare(energy.local, parameters, work.registers)
    prepare(energy.pair, parameters[:0], work.pairs)
    if len(mesh.w) <= work.registers.shape[1]:
        nodal(mesh, energy, 0, len(mesh.w), work)


@njit(**FAST)
def nodal(mesh, energy, start, n, work):
    r = work.registers
    r[2, :n] = mesh.log_p[start : start + n]
    r[3, :n] = mesh.rank[start : start + n]
    r[4, :n] = mesh.w[start : start + n]
    execute(energy.local.nodal, r, n, energy.local.tables)


@njit(**FAST)
def evaluate(c, mesh, low, high, x, d):
    """f and f' at the nodes of the cells from `low` to `high`."""
    k = len(mesh.taps)
    q = mesh.basis.shape[1]
    i = 0
    for cell in range(low, high):
        f, t = mesh.first[cell], mesh.kind[cell]
        for p in range(q):
            u = v = 0.0
            for j in range(k):
                u += mesh.basis[t, p, j] * c[f + j]
                v += mesh.slopes[t, p, j] * c[f + j]
            x[i], d[i] = u, v
            i += 1


@njit(**FAST)
def judge(c, mesh, energy, work):
    """Sum of the energies, sum of their sizes, int f^2 p and the smallest slope; the energies go to work.terms."""
    r, p, q = work.registers, energy.local, mesh.basis.shape[1]
    per, cells = r.shape[1] // q, len(mesh.first)
    terms, least, square, bad = work.terms, math.inf, 0.0, False
    terms[:] = 0.0
    mean = 0.0
    for low in range(0, cells, per):
        high = min(cells, low + per)
        n, s = (high - low) * q, low * q
        evaluate(c, mesh, low, high, r[0], r[1])
        if cells > per:
            nodal(mesh, energy, s, n, work)
        execute(p.value, r, n, p.tables)
        for k in range(len(p.values)):
            row, total = r[p.values[k]], 0.0
            for i in range(n):
                total += mesh.w[s + i] * row[i]
            terms[p.terms[k]] += total
        for i in range(n):
            d = r[1, i]
            bad |= d != d
            least = min(least, d)
            square += mesh.w[s + i] * r[0, i] * r[0, i]
            mean += mesh.w[s + i] * r[0, i]
        if len(work.nodes[0]):
            work.nodes[0, s : s + n] = r[0, :n]
    if energy.quadratic != 0.0:
        total = 0.0
        for i in range(len(mesh.w)):
            total += mesh.w[i] * (work.nodes[0, i] - mean) ** 2
        terms[energy.term] += 0.5 * energy.quadratic * total
    if energy.interacts:
        terms[energy.term] += pair_energy(mesh.w, work.nodes[0], energy.pair, work.pairs)
    total = size = 0.0
    for k in range(len(terms)):
        total += terms[k]
        size += abs(terms[k])
    return total, size, square, (math.nan if bad else least)


@njit(**FAST)
def pair_energy(w, x, p, r):
    """1/2 sum w_i w_j W(x_i - x_j)."""
    energy = 0.0
    for i in range(len(w)):
        n = i + 1
        for j in range(n):
            r[0, j] = x[i] - x[j]
        execute(p.value, r, n, p.tables)
        row, total = r[p.values[0]], 0.0
        for j in range(i):
            total += w[j] * row[j]
        energy += w[i] * (total + 0.5 * w[i] * row[i])
    return energy


@njit(**FAST)
def pair_force(w, x, p, r, force):
    """force_i = sum_j w_j W'(x_i - x_j)."""
    force[:] = 0.0
    for i in range(1, len(w)):
        for j in range(i):
            r[0, j] = x[i] - x[j]
        execute(p.first, r, i, p.tables)
        row, total = r[p.slopes[0]], 0.0
        for j in range(i):
            total += w[j] * row[j]
            force[j] -= w[i] * row[j]
        force[i] += total


@njit(**FAST)
def gradient(c, mesh, energy, work, g):
    """Derivative of the energy in the coordinates, into g [M + K]."""
    r, p, k, q = work.registers, energy.local, len(mesh.taps), mesh.basis.shape[1]
    per, cells = r.shape[1] // q, len(mesh.first)
    g[:] = 0.0
    mean, outside = 0.0, len(work.nodes[0]) > 0
    if outside:
        x, force = work.nodes[0], work.nodes[2]
        evaluate(c, mesh, 0, cells, x, work.nodes[1])
        for i in range(len(x)):
            mean += mesh.w[i] * x[i]
        if energy.interacts:
            pair_force(mesh.w, x, energy.pair, work.pairs, force)
        else:
            force[:] = 0.0
        for i in range(len(x)):
            force[i] += energy.quadratic * (x[i] - mean)
    for low in range(0, cells, per):
        high = min(cells, low + per)
        n, s = (high - low) * q, low * q
        evaluate(c, mesh, low, high, r[0], r[1])
        if cells > per:
            nodal(mesh, energy, s, n, work)
        execute(p.first, r, n, p.tables)
        has_x, has_d = p.slopes[0] >= 0, p.slopes[1] >= 0
        row_x, row_d = r[p.slopes[0]], r[p.slopes[1]]
        i = 0
        for cell in range(low, high):
            f, t = mesh.first[cell], mesh.kind[cell]
            for b in range(q):
                w = mesh.w[s + i]
                u = w * row_x[i] if has_x else 0.0
                v = w * row_d[i] if has_d else 0.0
                if outside:
                    u += w * work.nodes[2, s + i]
                for j in range(k):
                    g[f + j] += mesh.basis[t, b, j] * u + mesh.slopes[t, b, j] * v
                i += 1


@njit(**FAST)
def hessian(c, mesh, energy, work, shift):
    """shift times the mass matrix plus the Hessian, factorised; whether it is positive definite."""
    r, p, k, q, A = work.registers, energy.local, len(mesh.taps), mesh.basis.shape[1], work.band
    per, cells = r.shape[1] // q, len(mesh.first)
    m = len(A) - k
    for j in range(m):
        for b in range(k):
            A[j, b] = shift * mesh.mass[j, b]
    A[m:, :] = 0.0
    dense = len(work.dense) > 0
    if dense:
        work.dense[:] = 0.0
        evaluate(c, mesh, 0, cells, work.nodes[0], work.nodes[1])
        work.nodes[3, :] = 0.0
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
        execute(p.second, r, n, p.tables)
        has_xx, has_xd, has_dd = p.bends[0] >= 0, p.bends[1] >= 0, p.bends[2] >= 0
        row_xx, row_xd, row_dd = r[p.bends[0]], r[p.bends[1]], r[p.bends[2]]
        i = 0
        for cell in range(low, high):
            f, t = mesh.first[cell], mesh.kind[cell]
            for b in range(q):
                w = mesh.w[s + i]
                xx = energy.quadratic * w + (w * row_xx[i] if has_xx else 0.0)
                xd = w * row_xd[i] if has_xd else 0.0
                dd = w * row_dd[i] if has_dd else 0.0
                if dense:
                    xx += work.nodes[3, s + i]
                for j in range(k):
                    u, v = mesh.basis[t, b, j], mesh.slopes[t, b, j]
                    y, z = xx * u + xd * v, dd * v + xd * u
                    for l in range(j, k):
                        A[f + j, l - j] += mesh.basis[t, b, l] * y + mesh.slopes[t, b, l] * z
                i += 1
    if dense:
        for j in range(m):
            for b in range(min(k, m - j)):
                work.dense[j + b, j] += A[j, b]
        return cholesky(work.dense)
    if not factorise(A, m):
        return False
    if energy.quadratic > 0.0:
        z = work.vectors[6]
        z[:] = mesh.mean
        back(A, z, m, mesh.taps)
        s = 0.0
        for j in range(m):
            s += z[j] * mesh.mean[j]
        s = 1.0 - energy.quadratic * s
        z *= energy.quadratic / s
        return s > 0.0
    return True


@njit(**FAST)
def coupling(mesh, x, p, r, bend, dense):
    """The second derivative of the pairs: sums of w_i w_j W'' per node, and the matrix, minus that of the pairs."""
    k, q, n = len(mesh.taps), mesh.basis.shape[1], len(x)
    load = np.zeros(len(mesh.mean))
    has = p.bends[0] >= 0
    for i in range(n):
        load[:] = 0.0
        for j in range(n):
            r[0, j] = x[i] - x[j]
        if not has:
            return
        execute(p.second, r, n, p.tables)
        row, total, j = r[p.bends[0]], 0.0, 0
        for cell in range(len(mesh.first)):
            f, t = mesh.first[cell], mesh.kind[cell]
            for b in range(q):
                v = mesh.w[i] * mesh.w[j] * row[j] if r[0, j] != 0.0 else 0.0
                total += v
                for a in range(k):
                    load[f + a] += v * mesh.basis[t, b, a]
                j += 1
        bend[i] = total
        f, t = mesh.first[i // q], mesh.kind[i // q]
        for a in range(k):
            v = mesh.basis[t, i % q, a]
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
    y[m:] = 0.0
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
            y[j] += s * work.vectors[6, j]


@njit(**FAST)
def multiply(mesh, x, y):
    """Mass matrix times x, into y."""
    k = len(mesh.taps)
    m = len(x) - k
    y[:] = 0.0
    for j in range(m):
        v = x[j]
        t = mesh.mass[j, 0] * v
        for r in range(1, k):
            y[j + r] += mesh.mass[j, r] * v
            t += mesh.mass[j, r] * x[j + r]
        y[j] += t


@njit(**FAST)
def velocity(mesh, g, v):
    """Velocity -mass^-1 g into v; the dissipation."""
    v[:] = g
    m = len(v) - len(mesh.taps)
    back(mesh.factor, v, m, mesh.taps)
    s = 0.0
    for j in range(m):
        s += v[j] * g[j]
    return s


@njit(**FAST)
def attempt(c, mesh, energy, method, work, dt):
    """Propose a step from c, where the gradient is work.vectors[0]; the new coordinates go to work.vectors[1].

    Returns the length of its error; -1 if the matrix is not positive definite.
    """
    if not hessian(c, mesh, energy, work, 1.0 / (method.gamma * dt)):
        return -1.0
    u, g0, where, pull, g, mv = (
        work.stages,
        work.vectors[0],
        work.vectors[1],
        work.vectors[2],
        work.vectors[3],
        work.vectors[4],
    )
    u[0] = -g0
    solve(mesh, energy, work, u[0])
    size = len(c)
    for s in range(1, 6):
        where[:] = c
        pull[:] = 0.0
        for r in range(s):
            a, b = method.a[s, r], method.c[s, r] / dt
            for i in range(size):
                where[i] += a * u[r, i]
                pull[i] += b * u[r, i]
        gradient(where, mesh, energy, work, g)
        multiply(mesh, pull, mv)
        u[s] = mv - g
        u[s, size - len(mesh.taps) :] = 0.0
        solve(mesh, energy, work, u[s])
    where += u[5]
    multiply(mesh, u[5], mv)
    return math.sqrt(np.dot(u[5], mv))


@njit(**FAST)
def factor_of_step(error, previous):
    error = max(error, 1e-10)
    if error > 1.0:
        f = SAFETY * error ** (-1.0 / 4.0)
    else:
        f = SAFETY * error ** (-0.7 / 4.0) * max(previous, 1e-4) ** (0.4 / 4.0)
    return min(GROW, max(SHRINK, f))


@njit(**FAST)
def advance(c, goal, mesh, energy, method, work, times, counts, report, most, single):
    """Steps from the coordinates c towards a goal (time), until it is met or something else ends them.

    Args:
        times: t, dt, next_dt, error and dissipated of the clock, updated.
        counts: steps, rejected, evaluations, updated.
        report: energy, smallest slope, why the last attempt failed, and its length.
        most: largest number of attempts of this call.
        single: whether to return after every accepted step.
    """
    now, size, _, slope = judge(c, mesh, energy, work)
    gradient(c, mesh, energy, work, work.vectors[0])
    lost = velocity(mesh, work.vectors[0], work.vectors[5])
    tolerance = 64 * 2.220446049250313e-16
    report[0], report[1] = now, slope
    for _ in range(most):
        if method.attractive and slope < COLLAPSE:
            return BLOW_UP
        if counts[0] + counts[1] >= method.max_steps:
            return MAX_STEPS
        t, dt = times[0], times[2]
        lands = t + dt * (1 + 1e-9) >= goal
        trial = goal - t if lands else dt
        if not lands and t + 2 * dt > goal:
            trial = 0.5 * (goal - t)
        length = attempt(c, mesh, energy, method, work, trial)
        new = work.vectors[1]
        fault, error, then, then_size, then_slope, then_lost = SOUND, 0.0, now, size, slope, lost
        if length == -1.0:
            fault = CONCAVE
        else:
            counts[2] += 6
            then, then_size, square, then_slope = judge(new, mesh, energy, work)
            gradient(new, mesh, energy, work, work.vectors[3])
            then_lost = velocity(mesh, work.vectors[3], work.vectors[5])
            error = length / max(method.atol + method.rtol * math.sqrt(square), 2.2250738585072014e-308)
            if then_slope <= 0:
                fault = FOLDED
            elif not (math.isfinite(then) and math.isfinite(then_slope) and math.isfinite(np.sum(new))):
                fault = NOT_FINITE
            elif not (math.isfinite(np.sum(work.vectors[5])) and math.isfinite(error)):
                fault = NOT_SOLVED
            elif then > now + tolerance * (1 + max(size, then_size)):
                fault = ENERGY_RISE
        if fault != SOUND or error > 1.0:
            counts[1] += 1
            times[2] = 0.25 * trial if fault != SOUND else trial * factor_of_step(error, 1.0)
            report[2], report[3] = (fault if fault != SOUND else INACCURATE), trial
            if times[2] < method.dt_min:
                return STUCK
            continue
        grown = trial * factor_of_step(error, times[3])
        dt = max(dt, grown) if trial < dt else grown
        times[4] += 0.5 * trial * (lost + then_lost)
        counts[0] += 1
        times[1], times[2], times[3] = trial, dt, error
        times[0] = goal if lands else t + trial
        c[:] = new
        work.vectors[0, :] = work.vectors[3]
        now, size, slope, lost = then, then_size, then_slope, then_lost
        report[0], report[1] = now, slope
        if lands:
            return LANDED
        if single:
            return STEPPED
    return PAUSED
