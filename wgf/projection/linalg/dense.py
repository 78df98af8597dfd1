"""Dense least squares for a metric that may be singular: every solve says what it dropped or damped.

torch.linalg.lstsq is not used: its default on the CPU is not deterministic on near-singular systems, and on CUDA it
assumes full rank.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

RETRIES = 8


class Dense(NamedTuple):
    """What a dense solve returns; tensors, so that reading them is the caller's choice of when to wait for the device.

    Attributes:
        value: the solution [p], NaN when there is none.
        truncated: directions dropped.
        damped: what was added to the diagonal, or to the square of an eigenvalue as its square.
    """

    value: Tensor
    truncated: Tensor
    damped: Tensor


def _failed(rhs: Tensor) -> Dense:
    return Dense(torch.full_like(rhs, torch.nan), rhs.new_zeros(()), rhs.new_zeros(()))


def truncated_eigen(matrix: Tensor, rhs: Tensor, rcond: float) -> Dense:
    """Solve with the eigenvalues of a symmetric matrix [p, p] above rcond times the largest; the others are dropped."""
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:
        return _failed(rhs)
    keep = ~(values <= rcond * values[-1])  # NaN is kept, so that it shows
    inverse = torch.where(keep, 1 / values, 0.0)
    return Dense(vectors @ (inverse * (vectors.T @ rhs)), (~keep).sum(), rhs.new_zeros(()))


def filtered_eigen(matrix: Tensor, rhs: Tensor, rcond: float) -> Dense:
    """As `truncated_eigen` with a smooth cut: 1/e becomes e/(e^2 + (rcond e_max)^2), nothing is dropped at once."""
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:
        return _failed(rhs)
    cut = rcond * values[-1]
    inverse = values.clamp(min=0) / (values**2 + cut**2)
    return Dense(vectors @ (inverse * (vectors.T @ rhs)), rhs.new_zeros(()), cut)


def truncated_qr(features: Tensor, rhs: Tensor, rcond: float) -> Dense:
    """Solve J^T J x = rhs from a QR of J [n, p] and an SVD of R, dropping singular values with s^2 <= rcond s_max^2.

    J is never squared, so directions far below the rounding of J^T J can be told from noise.
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
    """Solve (A + lambda mean(diag A) I) x = rhs; lambda starts at `damping` and grows tenfold while A is not positive.

    At most 8 retries; then the value is NaN.
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
