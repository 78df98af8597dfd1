"""Linear algebra of the kernel: banded and dense factorisations, in place."""

from __future__ import annotations

import math

from wgf.engine.arrays import TAPS, WOODBURY, copy
from wgf.engine.llvm.vectors import WIDTH, fill, load, store, total
from wgf.engine.machine_code import compiled


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


@compiled
def factorise(A, m):
    """L D L^T of a band [m + WIDTH, TAPS] in place, D inverted; whether the matrix is positive definite. What is known
    of the next rows waits in registers."""
    a = b = c = d = e = 0.0  # of the next row
    f = g = h = i = k = l = n = o = u = x = 0.0  # noqa: E741  # of the row after it: f to i; and so on
    for j in range(m):
        v = A[j, 0] + a
        if not (v > 0.0 and v < math.inf):
            return False
        p, q, r, s, t = A[j, 1] + b, A[j, 2] + c, A[j, 3] + d, A[j, 4] + e, A[j, 5]
        w = 1.0 / v
        A[j, 0], A[j, 1], A[j, 2], A[j, 3], A[j, 4], A[j, 5] = w, p * w, q * w, r * w, s * w, t * w
        a, b, c, d, e = f - p * p * w, g - p * q * w, h - p * r * w, i - p * s * w, -p * t * w
        f, g, h, i = k - q * q * w, l - q * r * w, n - q * s * w, -q * t * w
        k, l, n = o - r * r * w, u - r * s * w, -r * t * w  # noqa: E741
        o, u = x - s * s * w, -s * t * w
        x = -t * t * w
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
def solve(mesh, pair, work, load_of, g, y, speed):
    """Solve A y = load - g with the matrix A of `hessian`; speed = L^-1 g with the factors of the mass matrix."""
    m = len(mesh.mean) - WIDTH
    for j in range(m):
        y[j] = load_of[j] - g[j]
    copy(g, speed)
    forward_both(work.band, y, mesh.factors, speed, m)
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
    """A symmetric matrix, given by diagonals A[r, WIDTH + j], times x, into y; zeros precede x and follow both."""
    for j in range(0, len(x) - WIDTH, WIDTH):
        found = load(A[0], WIDTH + j) * load(x, j)
        for r in range(1, TAPS):
            found += load(A[r], WIDTH + j) * load(x, j + r) + load(A[r], WIDTH + j - r) * load(x, j - r)
        store(y, j, found)
