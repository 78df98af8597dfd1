"""Factorisations of one matrix for each flow; the last dimension of every tensor is that of the flows.

They wait for nothing, so that a CUDA graph can hold them.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Factors(Protocol):
    """Factorisation of B matrices [M, M].

    Attributes:
        positive: whether each matrix is positive definite [B].
    """

    positive: Tensor

    def solve(self, y: Tensor) -> Tensor:
        """Solutions [M, B] for y [M, B]."""
        ...


class Banded:
    """L D L^T of bands, row by row for all flows.

    Args:
        band: A[j + r, j] in row j, column r [M, K, B].
    """

    def __init__(self, band: Tensor) -> None:
        m, k, flows = band.shape
        self._width = 2 * k - 1  # with room for what the updates write left of a row
        rows = band.new_zeros((m + k, self._width, flows))
        rows[:m, :k] = band
        for j in range(m):
            row = rows[j, 1:k]
            below = self._strided(rows, j + 1, 0, (k - 1, k - 1, flows), (self._width - 1, 1))
            below.addcmul_((row / rows[j, 0])[:, None], row[None], value=-1)  # A[j + r, s - r] of r, s >= 1
        pivots = rows[:m, 0]
        self.positive = ((pivots > 0) & (pivots < torch.inf)).all(0)
        self._inverse = 1 / pivots
        rows[:m, 1:k] *= self._inverse[:, None]
        self._rows, self._k = rows, k

    def _strided(self, rows: Tensor, i: int, r: int, size: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
        """View that begins in row i and column r; strides count columns."""
        flows = rows.shape[2]
        return rows.as_strided(size, (*(s * flows for s in strides), 1), (i * self._width + r) * flows)

    def solve(self, y: Tensor) -> Tensor:
        y, rows, (m, flows) = y.clone(), self._rows, y.shape
        for j in range(m - 1):
            below = y[j + 1 : j + self._k]
            below.addcmul_(rows[j, 1 : 1 + len(below)], y[j], value=-1)
        y *= self._inverse
        for j in range(m - 1, 0, -1):
            low = max(0, j + 1 - self._k)
            column = self._strided(rows, low, j - low, (j - low, flows), (self._width - 1,))  # L[j, i] of i < j
            y[low:j].addcmul_(column, y[j], value=-1)
        return y


class Dense:
    """Inverse Cholesky factors of dense matrices.

    Args:
        matrix: [M, M, B].
    """

    def __init__(self, matrix: Tensor) -> None:
        factor, info = torch.linalg.cholesky_ex(matrix.permute(2, 0, 1).contiguous())
        pivots = factor.diagonal(dim1=1, dim2=2)
        self.positive = (info == 0) & ((pivots > 0) & (pivots < torch.inf)).all(1)
        identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device).expand_as(factor)
        self._inverse = torch.linalg.solve_triangular(factor, identity, upper=False)

    def solve(self, y: Tensor) -> Tensor:
        half = self._inverse @ y.T.contiguous()[:, :, None]
        return (self._inverse.mT @ half)[:, :, 0].T.contiguous()
