"""Linear algebra of the kernel: banded and dense factorisations, in place."""

from __future__ import annotations

import math

from wgf.engine.arrays import TAPS, WOODBURY, copy
from wgf.engine.machine_code import compiled, entry
from wgf.engine.vectors import WIDTH, fill, load, store, total


@compiled
def factorise_dense(A, pivots):
    """L D L^T of a matrix with this upper triangle [M, .], in place: L^T above the diagonal and zeros below, 1/D in the
    pivots; whether the matrix is positive definite."""
    m = len(A)
    for k in range(m):
        v, row = A[k, k], A[k]
        if not (v > 0.0 and v < math.inf):
            return False
        pivots[k] = 1.0 / v
        for i in range(k & -WIDTH, k + 1):
            row[i] = 0.0
        for i in range(k + 1, m):
            factor, to = fill(row[i] / v), A[i]
            for j in range(i & -WIDTH, m, WIDTH):
                store(to, j, load(to, j) - factor * load(row, j))
        for j in range(k & -WIDTH, m, WIDTH):
            store(row, j, fill(pivots[k]) * load(row, j))
    return True


@entry
def factorise(A, m):
    """L D L^T of a band [m + WIDTH, TAPS] in place, D inverted; whether the matrix is positive definite."""
    for j in range(m):
        v = A[j, 0]
        if not (v > 0.0 and v < math.inf):
            return False
        w = 1.0 / v
        A[j, 0] = w
        for r in range(1, TAPS):
            ratio = A[j, r] * w
            for s in range(r, TAPS):
                A[j + r, s - r] -= ratio * A[j, s]
        for r in range(1, TAPS):
            A[j, r] *= w
    return True


@compiled
def forward(A, y, m):
    """Solve with L, in place. What is known of the next rows waits in registers."""
    a, b, c, d, e = y[0], y[1], y[2], y[3], y[4]
    for j in range(m):
        v = a
        y[j] = v
        a, b, c, d, e = (
            b - A[j, 1] * v,
            c - A[j, 2] * v,
            d - A[j, 3] * v,
            e - A[j, 4] * v,
            y[j + 5] - A[j, 5] * v,
        )


@compiled
def backward(A, y, m):
    """Solve with D L^T, in place; y [m + WIDTH] ends with zeros."""
    a = b = c = d = e = 0.0
    for j in range(m - 1, -1, -1):
        v = y[j] * A[j, 0] - A[j, 5] * e - A[j, 4] * d - A[j, 3] * c - A[j, 2] * b
        v -= A[j, 1] * a
        y[j] = v
        a, b, c, d, e = v, a, b, c, d


@compiled
def forward_both(A, y, B, x, m):
    """Solve with two L, in place. Each waits for itself: together they take little longer than one."""
    a, b, c, d, e = y[0], y[1], y[2], y[3], y[4]
    p, q, r, s, t = x[0], x[1], x[2], x[3], x[4]
    for j in range(m):
        u, v = a, p
        y[j], x[j] = u, v
        a, b, c, d, e = (
            b - A[j, 1] * u,
            c - A[j, 2] * u,
            d - A[j, 3] * u,
            e - A[j, 4] * u,
            y[j + 5] - A[j, 5] * u,
        )
        p, q, r, s, t = (
            q - B[j, 1] * v,
            r - B[j, 2] * v,
            s - B[j, 3] * v,
            t - B[j, 4] * v,
            x[j + 5] - B[j, 5] * v,
        )


@compiled
def solve(mesh, pair, work, pull, g, y, speed):
    """Solve A y = mass pull - g with the matrix A of `hessian`; speed = L^-1 g with the factors of the mass matrix."""
    m = len(mesh.mean) - WIDTH
    multiply(mesh.bands[0], pull, y)
    for j in range(m):
        y[j] -= g[j]
    copy(g, speed)
    forward_both(work.band, y, mesh.bands[1], speed, m)
    if pair is not None and len(work.dense) > 0:
        back_dense(work.dense, work.vectors[WOODBURY], y)
        return
    backward(work.band, y, m)
    if pair is not None:
        s = 0.0
        for j in range(m):
            s += mesh.mean[j] * y[j]
        for j in range(m):
            y[j] += s * work.vectors[WOODBURY, j]


@compiled
def back_dense(A, pivots, y):
    """Solve with the factors of `factorise_dense`, in place."""
    m = len(A)
    for k in range(m):
        v, row = fill(y[k]), A[k]
        for j in range(k & -WIDTH, m, WIDTH):
            store(y, j, load(y, j) - v * load(row, j))
    for k in range(m - 1, -1, -1):
        found, row = fill(0.0), A[k]
        for j in range(k & -WIDTH, m, WIDTH):
            found += load(row, j) * load(y, j)
        y[k] = y[k] * pivots[k] - total(found)


@compiled
def multiply(A, x, y):
    """Band times x, into y; both end with zeros."""
    a = b = c = d = e = 0.0
    for j in range(len(x) - WIDTH):
        v, t = x[j], a
        for r in range(TAPS):
            t += A[j, r] * x[j + r]
        y[j] = t
        a, b, c, d, e = b + A[j, 1] * v, c + A[j, 2] * v, d + A[j, 3] * v, e + A[j, 4] * v, A[j, 5] * v
