"""Factorisations of one matrix for each flow; the last dimension of every tensor is that of the flows.

They wait for nothing, so that a CUDA graph can hold them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor


class Factors(ABC):
    """Factorisation of B symmetric matrices [M, M].

    Attributes:
        matrix: their entries on the diagonal and on one side of it, in some form [M, ., B].
        positive: whether each matrix is positive definite [B].
    """

    matrix: Tensor
    positive: Tensor

    def solve(self, y: Tensor) -> Tensor:
        """Solutions [M, B] for y [M, B], differentiable in the matrices and in y."""
        return Solution.apply(self.matrix, y, self)

    @abstractmethod
    def solved(self, y: Tensor) -> Tensor:
        """Solutions [M, B] for y [M, B]."""

    @abstractmethod
    def outer(self, v: Tensor, x: Tensor) -> Tensor:
        """v x^T + x v^T, half of it on the diagonal, in the form of `matrix`."""


class Solution(torch.autograd.Function):
    """x of W x = y for symmetric W. From the derivative b in x follow v with W v = b in y, and -v x^T in W."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, y: Tensor, factors: Factors) -> Tensor:
        x = factors.solved(y)
        ctx.factors = factors
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor, Tensor, None]:
        (x,), v = ctx.saved_tensors, ctx.factors.solved(bars[0])
        return -ctx.factors.outer(v, x), v, None


class Banded(Factors):
    """L D L^T of bands, row by row for all flows.

    Args:
        band: A[j + r, j] in row j, column r [M, K, B].
    """

    @torch.no_grad()
    def __init__(self, band: Tensor) -> None:
        m, k, flows = band.shape
        self.matrix = band
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

    def solved(self, y: Tensor) -> Tensor:
        y, rows, (m, flows) = y.clone(memory_format=torch.contiguous_format), self._rows, y.shape
        for j in range(m - 1):
            below = y[j + 1 : j + self._k]
            below.addcmul_(rows[j, 1 : 1 + len(below)], y[j], value=-1)
        y *= self._inverse
        for j in range(m - 1, 0, -1):
            low = max(0, j + 1 - self._k)
            column = self._strided(rows, low, j - low, (j - low, flows), (self._width - 1,))  # L[j, i] of i < j
            y[low:j].addcmul_(column, y[j], value=-1)
        return y

    def outer(self, v: Tensor, x: Tensor) -> Tensor:
        m, k = len(x), self._k
        below_v, below_x = (
            torch.stack([torch.cat([y[r:], y.new_zeros(min(r, m), y.shape[1])]) for r in range(k)], 1) for y in (v, x)
        )
        found = torch.addcmul(v[:, None] * below_x, below_v, x[:, None])
        found[:, 0] *= 0.5
        return found


class Dense(Factors):
    """Inverse Cholesky factors of dense matrices.

    Args:
        matrix: [M, M, B], of which the lower half counts.
    """

    @torch.no_grad()
    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        factor, info = torch.linalg.cholesky_ex(matrix.permute(2, 0, 1).contiguous())
        pivots = factor.diagonal(dim1=1, dim2=2)
        self.positive = (info == 0) & ((pivots > 0) & (pivots < torch.inf)).all(1)
        identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device).expand_as(factor)
        self._inverse = torch.linalg.solve_triangular(factor, identity, upper=False)

    def solved(self, y: Tensor) -> Tensor:
        half = self._inverse @ y.T.contiguous()[:, :, None]
        return (self._inverse.mT @ half)[:, :, 0].T.contiguous()

    def outer(self, v: Tensor, x: Tensor) -> Tensor:
        lower = torch.ones(len(x), len(x), dtype=x.dtype, device=x.device).tril()
        lower.diagonal().mul_(0.5)
        return torch.addcmul(v[:, None] * x, x[:, None], v) * lower[:, :, None]
