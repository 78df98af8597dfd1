"""Continuation of a run between its recorded states: maps at Gauss times, by Hermite interpolation."""

from __future__ import annotations

from functools import cache
from math import factorial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Record(NamedTuple):
    """Recorded states: times [r] (time), spline coefficients and their first two time derivatives [r, M]."""

    t: Tensor
    c: Tensor
    v: Tensor
    a: Tensor


class Curve(NamedTuple):
    """A curve of maps at Gauss times: s and weights [r - 1, nt] (time), coefficients and velocities [r - 1, nt, M]."""

    s: Tensor
    weights: Tensor
    c: Tensor
    v: Tensor


def continuation(record: Record, derivatives: int, order: int, which: slice | Tensor = slice(None)) -> Curve:
    """Interpolate linearly (0 derivatives at the ends), by cubics (1) or by quintics (2).

    Args:
        record: two or more states.
        derivatives: number of time derivatives that the curve shares with the record.
        order: Gauss nodes per step.
        which: steps, a part of the r - 1.
    """
    x, w, shape, slope = (torch.from_numpy(part).to(record.c) for part in _shapes(derivatives, order))
    dt = record.t.diff()[:, None]
    parts = [record.c, record.v, record.a][: derivatives + 1]
    data = torch.stack(
        [dt**j * part[end] for end in (slice(None, -1), slice(1, None)) for j, part in enumerate(parts)], 1
    )
    c, v = torch.einsum("xb,rbm->rxm", shape, data), torch.einsum("xb,rbm->rxm", slope, data) / dt[:, None]
    return Curve(*(part[which] for part in (record.t[:-1, None] + dt * x, dt * w, c, v)))


@cache
def _shapes(derivatives: int, order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gauss nodes and weights on (0, 1), values and slopes there of the Hermite basis [order, 2 (derivatives + 1)]."""
    x, w = np.polynomial.legendre.leggauss(order)
    x, w = 0.5 * (x + 1), 0.5 * w
    n = 2 * (derivatives + 1)
    power = np.arange(n)

    def rows(points: np.ndarray, j: int) -> np.ndarray:  # j-th derivative of the monomials
        factor = np.array([factorial(i) // factorial(i - j) if i >= j else 0 for i in power])
        return factor * points[:, None] ** np.maximum(power - j, 0)

    ends = np.concatenate([rows(np.array([end]), j) for end in (0.0, 1.0) for j in range(derivatives + 1)])
    monomials = np.linalg.inv(ends)
    return x, w, rows(x, 0) @ monomials, rows(x, 1) @ monomials
