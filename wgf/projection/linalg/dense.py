"""Dense least squares for a metric that may be singular. Every solve reports what it dropped or damped.

torch.linalg.lstsq does not serve: its CPU default is not deterministic on near-singular systems, and on CUDA it
assumes full rank.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

RETRIES = 8


class Dense(NamedTuple):
    """Result of a dense solve. All are tensors: reading one on the host waits for the device.

    Attributes:
        value: the solution [p], NaN if the solve failed.
        truncated: number of dropped directions.
        damped: shift d: added to the diagonal, or as d^2 to the squared eigenvalues.
    """

    value: Tensor
    truncated: Tensor
    damped: Tensor


def _failed(rhs: Tensor) -> Dense:
    return Dense(torch.full_like(rhs, torch.nan), rhs.new_zeros(()), rhs.new_zeros(()))


def truncated_eigen(matrix: Tensor, rhs: Tensor, rcond: float) -> Dense:
    """Solve with the eigenvalues of a symmetric matrix [p, p] above rcond times the largest; drop the others."""
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:
        return _failed(rhs)
    keep = ~(values <= rcond * values[-1])  # keep NaN, so that it shows in the solution
    inverse = torch.where(keep, 1 / values, 0.0)
    return Dense(vectors @ (inverse * (vectors.T @ rhs)), (~keep).sum(), rhs.new_zeros(()))


def filtered_eigen(matrix: Tensor, rhs: Tensor, rcond: float) -> Dense:
    """Solve as `truncated_eigen` with a smooth cut: e/(e^2 + (rcond e_max)^2) replaces 1/e."""
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:
        return _failed(rhs)
    cut = rcond * values[-1]
    inverse = values.clamp(min=0) / (values**2 + cut**2)
    return Dense(vectors @ (inverse * (vectors.T @ rhs)), rhs.new_zeros(()), cut)


def truncated_qr(features: Tensor, rhs: Tensor, rcond: float) -> Dense:
    """Solve J^T J x = rhs by a QR of J [n, p] and an SVD of R; drop singular values with s^2 <= rcond s_max^2.

    The function never forms J^T J, so it resolves directions below the rounding of J^T J.
    """
    try:
        _, s, vh = torch.linalg.svd(torch.linalg.qr(features, mode="r").R)
    except torch.linalg.LinAlgError:
        return _failed(rhs)
    vh, squares = vh[: len(s)], s**2
    keep = ~(squares <= rcond * squares[0])
    inverse = torch.where(keep, 1 / squares, 0.0)
    return Dense(vh.T @ (inverse * (vh @ rhs)), len(rhs) - keep.sum(), rhs.new_zeros(()))


def damped_cholesky(matrix: Tensor, rhs: Tensor, damping: float) -> Dense:
    """Solve (A + lambda mean(diag A) I) x = rhs; lambda starts at `damping` and grows tenfold until Cholesky succeeds.

    After RETRIES retries the value is NaN.
    """
    scale = matrix.diagonal().mean()
    added = scale * damping
    for _ in range(RETRIES + 1):
        shifted = matrix.clone()
        shifted.diagonal().add_(added)
        factor, info = torch.linalg.cholesky_ex(shifted)
        if not info.item():
            return Dense(torch.cholesky_solve(rhs[:, None], factor)[:, 0], rhs.new_zeros(()), added)
        added = torch.maximum(10 * added, 1e-16 * scale)
    return _failed(rhs)
