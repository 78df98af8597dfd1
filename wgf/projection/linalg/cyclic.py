"""Block cyclic reduction of a symmetric positive definite banded system in log2(n) sweeps of batched small matrices.

Blocks of the size of the half-bandwidth make the matrix block tridiagonal. Every sweep eliminates all odd blocks in
parallel and leaves a system of half the size. This suits a GPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class _Level(NamedTuple):
    """One sweep: factors of the odd blocks, and odd^-1 times their couplings to the left and right even blocks."""

    factor: Tensor
    left: Tensor
    right: Tensor


class CyclicReduction:
    """Factorisation of a symmetric positive definite banded matrix.

    Args:
        band: [k + 1, n], band[d, j] = A[j + d, j].

    Attributes:
        positive: whether all pivots are positive (a scalar tensor: reading it waits for the device).
    """

    def __init__(self, band: Tensor) -> None:
        k, n = max(len(band) - 1, 1), band.shape[1]
        self.n, self.k = n, k
        count = 1 << (-(-n // k) - 1).bit_length()  # number of blocks, a power of two; identities fill the end
        self.count = count
        padded = torch.nn.functional.pad(band, (0, count * k + k - n, 0, k + 1 - len(band)))
        padded[0, n:] = 1.0
        i, j = torch.arange(k, device=band.device)[:, None], torch.arange(k, device=band.device)
        start = k * torch.arange(count, device=band.device)[:, None, None]
        lower = torch.where(i >= j, padded[(i - j).clamp(min=0), start + j], 0.0)
        diagonal = lower + lower.tril(-1).mT
        # coupling of block b + 1 (rows) with block b (columns): entries k + i - j <= k below the diagonal
        coupling = torch.where(i <= j, padded[(k + i - j).clamp(max=k), start + j], 0.0)[:-1]
        self.levels: list[_Level] = []
        info = []
        while len(diagonal) > 1:
            factor, failed = torch.linalg.cholesky_ex(diagonal[1::2])
            info.append(failed.sum())
            below, above = coupling[0::2], coupling[1::2]  # couple odd to previous even, even to previous odd
            left = torch.cholesky_solve(below, factor)
            after = torch.nn.functional.pad(above.mT, (0, 0, 0, 0, 0, len(factor) - len(above)))
            right = torch.cholesky_solve(after, factor)
            self.levels.append(_Level(factor, left, right))
            diagonal = diagonal[0::2] - below.mT @ left
            diagonal[1:] -= above @ right[: len(above)]
            coupling = -above @ left[: len(above)]
        self._last, failed = torch.linalg.cholesky_ex(diagonal)
        info.append(failed.sum())
        self.positive = torch.stack(info).sum() == 0

    def solve(self, rhs: Tensor) -> Tensor:
        """The solution [n], or [n, r], for rhs [n], or r columns [n, r]."""
        columns = rhs.reshape(self.n, -1)
        b = torch.nn.functional.pad(columns, (0, 0, 0, self.count * self.k - self.n)).reshape(self.count, self.k, -1)
        odds = []
        for factor, left, right in self.levels:
            even, odd = b[0::2].clone(), b[1::2]
            # (odd^-1 C)^T b = C^T odd^-1 b, so the couplings serve both ways
            even -= left.mT @ odd
            even[1:] -= (right.mT @ odd)[:-1]
            odds.append(torch.cholesky_solve(odd, factor))
            b = even
        x = torch.cholesky_solve(b, self._last)
        for (_, left, right), odd in zip(reversed(self.levels), reversed(odds), strict=True):
            after = torch.cat([x[1:], torch.zeros_like(x[:1])])
            x = torch.stack([x, odd - left @ x - right @ after], dim=1).reshape(-1, self.k, columns.shape[1])
        return x.reshape(-1, columns.shape[1])[: self.n].reshape(rhs.shape)
