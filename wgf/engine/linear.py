"""Linear algebra of the kernel: banded and dense factorisations, in place."""

from __future__ import annotations

import math

from wgf.engine.arrays import TAPS, WOODBURY, copy
from wgf.engine.machine_code import compiled, entry


@compiled
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


@entry
def factorise(A, m):
    """L D L^T of a band [m + TAPS, TAPS] in place, D inverted; whether the matrix is positive definite."""
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
def back(A, y, m):
    """Solve with the factors of a band, in place; y [m + TAPS] ends with zeros."""
    forward(A, y, m)
    a = b = c = d = e = 0.0
    for j in range(m - 1, -1, -1):
        v = y[j] * A[j, 0] - A[j, 5] * e - A[j, 4] * d - A[j, 3] * c - A[j, 2] * b
        v -= A[j, 1] * a
        y[j] = v
        a, b, c, d, e = v, a, b, c, d


@compiled
def solve(mesh, pair, work, y):
    """Solve with the matrix of `hessian`, in place."""
    m = len(mesh.mean) - TAPS
    if pair is None:
        back(work.band, y, m)
    elif len(work.dense) > 0:
        back_dense(work.dense, y)
    else:
        back(work.band, y, m)
        s = 0.0
        for j in range(m):
            s += mesh.mean[j] * y[j]
        for j in range(m):
            y[j] += s * work.vectors[WOODBURY, j]


@compiled
def back_dense(L, y):
    """Solve with a Cholesky factor, in place."""
    for i in range(len(L)):
        s = y[i]
        for j in range(i):
            s -= L[i, j] * y[j]
        y[i] = s * L[i, i]
    for i in range(len(L) - 1, -1, -1):
        v = y[i] * L[i, i]
        y[i] = v
        for j in range(i):
            y[j] -= L[i, j] * v


@compiled
def multiply(A, x, y):
    """Band times x, into y; both end with zeros."""
    a = b = c = d = e = 0.0
    for j in range(len(x) - TAPS):
        v, t = x[j], a
        for r in range(TAPS):
            t += A[j, r] * x[j + r]
        y[j] = t
        a, b, c, d, e = b + A[j, 1] * v, c + A[j, 2] * v, d + A[j, 3] * v, e + A[j, 4] * v, A[j, 5] * v


@compiled
def half_solved(A, g, y):
    """D^(1/2) L^-1 g into y: the square of its length is g mass^-1 g, the dissipation."""
    m = len(g) - TAPS
    copy(g, y)
    forward(A, y, m)
    for j in range(m):
        y[j] *= math.sqrt(A[j, 0])
