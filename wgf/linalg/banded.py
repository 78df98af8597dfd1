"""Symmetric positive definite tridiagonal systems, factorised once and solved in O(n) per right-hand side."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from wgf.errors import WgfError


class Tridiagonal:
    """A symmetric positive definite tridiagonal matrix with its factorisation.

    On the CPU this is LAPACK's L D L^T (pttrf, pttrs). On a GPU it is parallel cyclic reduction, log2(n) sweeps of a
    few vector operations whose coefficients are computed once.

    Args:
        diagonal: [n], positive, n >= 2.
        off: [n - 1], the entries beside it.

    Raises:
        WgfError: the matrix is not positive definite.
    """

    def __init__(self, diagonal: Tensor, off: Tensor) -> None:
        self.diagonal, self.off = diagonal, off
        # scaled to a unit diagonal, so that hats of tiny mass in the tails harm nothing
        self._scale = diagonal.rsqrt()
        unit = off * self._scale[1:] * self._scale[:-1]
        self._host = diagonal.device.type == "cpu"
        if not bool(torch.isfinite(self._scale).all()):
            raise WgfError("a mass matrix has a diagonal entry that is not positive")
        d, e = np.ones(len(diagonal)), unit.detach().cpu().double().numpy().copy()
        self._factor = scipy.linalg.lapack.dpttrf(d, e)
        if self._factor[2] != 0:
            raise WgfError("a mass matrix is not positive definite")
        if not self._host:
            self._sweeps = _cyclic_reduction(unit)

    def solve(self, rhs: Tensor) -> Tensor:
        """The solution [n] for rhs [n]."""
        b = rhs * self._scale
        if self._host:
            x, _ = scipy.linalg.lapack.dpttrs(self._factor[0], self._factor[1], b.double().numpy())
            return torch.from_numpy(x).to(rhs.dtype) * self._scale
        for stride, lower, upper in self._sweeps[0]:
            shifted = torch.nn.functional.pad(b, (stride, stride))
            b = b + lower * shifted[: len(b)] + upper * shifted[2 * stride :]
        return b * self._sweeps[1] * self._scale

    def matvec(self, x: Tensor) -> Tensor:
        """The product [n] with x [n]."""
        product = self.diagonal * x
        product[1:] += self.off * x[:-1]
        product[:-1] += self.off * x[1:]
        return product

    @cached_property
    def condition(self) -> float:
        """The condition number after diagonal scaling."""
        unit = (self.off * self._scale[1:] * self._scale[:-1]).cpu().double().numpy()
        ends = [
            scipy.linalg.eigvalsh_tridiagonal(np.ones(len(unit) + 1), unit, select="i", select_range=(i, i))[0]
            for i in (0, len(unit))
        ]
        return float(ends[1] / ends[0])


def _cyclic_reduction(unit: Tensor) -> tuple[list[tuple[int, Tensor, Tensor]], Tensor]:
    """Multipliers (stride, lower, upper) of every sweep and the reciprocal of the diagonal they leave.

    Row i is combined with rows i - s and i + s so that its neighbours move to i - 2s and i + 2s, s = 1, 2, 4, ...
    """
    zero = unit.new_zeros(1)
    a, d, c = torch.cat([zero, unit]), torch.ones(len(unit) + 1).to(unit), torch.cat([unit, zero])
    sweeps, stride, n = [], 1, len(unit) + 1

    def shift(v: Tensor, by: int, fill: float) -> Tensor:
        rest = v.new_full((min(abs(by), n),), fill)
        return torch.cat([rest, v[: n - by]]) if by > 0 else torch.cat([v[-by:], rest])

    while stride < n:
        lower, upper = -a / shift(d, stride, 1.0), -c / shift(d, -stride, 1.0)
        sweeps.append((stride, lower, upper))
        d = d + lower * shift(c, stride, 0.0) + upper * shift(a, -stride, 0.0)
        a, c = lower * shift(a, stride, 0.0), upper * shift(c, -stride, 0.0)
        stride *= 2
    return sweeps, 1 / d
