"""Symmetric banded matrices and their Cholesky factorisation, O(n k^2) once and O(n k) per right-hand side."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import torch
from torch import Tensor

from wgf.projection.linalg.cyclic import CyclicReduction

SMALL = 500  # rows up to which all eigenvalues are affordable


class Banded:
    """A symmetric matrix with k diagonals on either side of the main one.

    Args:
        band: [k + 1, n], band[d, j] = A[j + d, j]; entries outside the matrix are 0.
    """

    def __init__(self, band: Tensor) -> None:
        self.band = band

    def matvec(self, x: Tensor) -> Tensor:
        """Product [n] with x [n]."""
        if x.device.type == "cpu" and x.dtype == torch.float64:
            k = len(self.band) - 1
            return torch.from_numpy(scipy.linalg.blas.dsbmv(k, 1.0, self.band.numpy(), x.numpy(), lower=1))
        product = self.band[0] * x
        for d in range(1, len(self.band)):
            off = self.band[d, :-d]
            product[d:] += off * x[:-d]
            product[:-d] += off * x[d:]
        return product

    def dense(self) -> Tensor:
        """Dense copy of the matrix [n, n]."""
        n = self.band.shape[1]
        full = self.band.new_zeros(n, n)
        for d, row in enumerate(self.band):
            full.diagonal(-d).copy_(row[: n - d])
        return full + full.tril(-1).mT

    @cached_property
    def condition(self) -> float:
        """Condition number of a positive definite matrix after diagonal scaling."""
        scale = self.band[0].rsqrt()
        k, n = len(self.band) - 1, self.band.shape[1]
        shifted = torch.stack([torch.nn.functional.pad(scale[d:], (0, d)) for d in range(k + 1)])
        unit = Banded(self.band * scale * shifted)
        if n <= SMALL:
            values = scipy.linalg.eig_banded(unit.band.cpu().double().numpy(), lower=True, eigvals_only=True)
            return float(values[-1] / values[0])
        factor = Cholesky(unit.band)

        def largest(apply) -> float:
            def on_host(v: np.ndarray) -> np.ndarray:
                return apply(torch.from_numpy(v.reshape(-1)).to(scale)).cpu().double().numpy()

            operator = scipy.sparse.linalg.LinearOperator((n, n), on_host, dtype=np.float64)
            return float(scipy.sparse.linalg.eigsh(operator, 1, v0=np.ones(n), tol=1e-3, return_eigenvectors=False)[0])

        return largest(unit.matvec) * largest(factor.solve)


class Cholesky:
    """Cholesky factorisation of a symmetric banded matrix: LAPACK's pbtrf on the CPU, cyclic reduction on a GPU.

    The banded routines are faster than dense ones at every size in use, so local energies have no dense path.

    Args:
        band: [k + 1, n] as in `Banded`.

    Attributes:
        positive: whether the matrix is positive definite; `solve` requires it.
    """

    def __init__(self, band: Tensor) -> None:
        if band.device.type == "cpu":
            self._factor, info = scipy.linalg.lapack.dpbtrf(band.double().numpy(), lower=1)
            self.positive = bool(info == 0 and self._factor[0, -1] > 0)  # NaN is not positive
        else:
            self._cyclic = CyclicReduction(band.double())
            self.positive = bool(self._cyclic.positive)

    def solve(self, rhs: Tensor) -> Tensor:
        """The solution [n], or [n, r], for rhs [n], or r columns [n, r]."""
        if rhs.device.type != "cpu":
            return self._cyclic.solve(rhs.double()).to(rhs.dtype)
        x, _ = scipy.linalg.lapack.dpbtrs(self._factor, rhs.double().numpy(), lower=1)
        return torch.from_numpy(x.reshape(rhs.shape)).to(rhs.dtype)


class DenseCholesky:
    """Cholesky factorisation of a symmetric dense matrix [n, n], for nonlocal interactions."""

    def __init__(self, matrix: Tensor) -> None:
        self._factor, info = torch.linalg.cholesky_ex(matrix)
        self.positive = not bool(info)

    def solve(self, rhs: Tensor) -> Tensor:
        """The solution [n] for rhs [n]."""
        return torch.cholesky_solve(rhs[:, None], self._factor)[:, 0]
