"""Linear algebra of the kernel: banded and dense factorisations, in place."""

from __future__ import annotations

import math

from wgf.engine.arrays import WOODBURY, clear, copy
from wgf.engine.program import compiled, entry


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
    """L D L^T of a band in place; whether the matrix is positive definite."""
    k = A.shape[1]
    for j in range(m):
        v = A[j, 0]
        if not (v > 0.0 and v < math.inf):
            return False
        w = 1.0 / v
        A[j, 0] = w
        for r in range(1, k):
            ratio = A[j, r] * w
            for s in range(r, k):
                A[j + r, s - r] -= ratio * A[j, s]
        for r in range(1, k):
            A[j, r] *= w
    return True


@compiled
def back(A, y, m, taps):
    """Solve with the factors of a band, in place."""
    k = taps
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


@compiled
def solve(mesh, energy, work, y):
    """Solve with the matrix of `hessian`, in place."""
    m, L = len(mesh.mean) - mesh.taps, work.dense
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


@compiled
def multiply(mesh, x, y):
    """Mass matrix times x, into y."""
    k = mesh.taps
    m = len(x) - k
    clear(y)
    for j in range(m):
        v = x[j]
        t = mesh.bands[0, j, 0] * v
        for r in range(1, k):
            y[j + r] += mesh.bands[0, j, r] * v
            t += mesh.bands[0, j, r] * x[j + r]
        y[j] += t


@compiled
def velocity(mesh, g, v):
    """Velocity -mass^-1 g into v; the dissipation."""
    copy(g, v)
    m = len(v) - mesh.taps
    back(mesh.bands[1], v, m, mesh.taps)
    s = 0.0
    for j in range(m):
        s += v[j] * g[j]
    return s
