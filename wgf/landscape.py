"""The energy of a problem in the coordinates of a chart: value, gradient and Hessian, the last one banded unless an
interaction couples distant particles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from wgf.chart import Chart
from wgf.energies.base import Record
from wgf.linalg.banded import Banded, Cholesky, DenseCholesky
from wgf.problem import Problem


@dataclass(frozen=True)
class Hessian:
    """Second derivatives of F by the coordinates.

    Attributes:
        band: the local part [k + 1, M].
        dense: the nonlocal part [M, M], or None.
        mass: the mass matrix.
    """

    band: Tensor
    dense: Tensor | None
    mass: Banded

    def plus_mass(self, factor: float) -> Cholesky | DenseCholesky:
        """The factorisation of factor * mass + H; it knows whether that is positive definite."""
        band = torch.add(self.band, self.mass.band, alpha=factor)
        return Cholesky(band) if self.dense is None else DenseCholesky(Banded(band).dense() + self.dense)


class Landscape:
    """F(c) for the map sum_i c_i B_i.

    Args:
        problem: law and energies.
        chart: coordinates, with their quadrature.
    """

    def __init__(self, problem: Problem, chart: Chart) -> None:
        self.chart, self.energies = chart, problem.terms

    def terms(self, record: Record) -> Tensor:
        """Every term of F [number of terms]."""
        return torch.stack([term.value(record) for term in self.energies]) if self.energies else record.x.new_zeros(0)

    def gradient(self, record: Record) -> Tensor:
        """dF of every basis function [M]."""
        if not self.energies:
            return record.x.new_zeros(self.chart.size)
        forces, stresses = zip(*(term.covector(record) for term in self.energies), strict=True)
        return self.chart.load(reduce(torch.add, forces), reduce(torch.add, stresses))

    def hessian(self, record: Record) -> Hessian:
        """The second derivative at a map."""
        xx, dd, mixed, dense = torch.zeros_like(record.x), torch.zeros_like(record.x), None, None
        for term in self.energies:
            part, coupled = term.curvature(record), term.coupling(record, self.chart.loads)
            xx = xx if part.xx is None else xx + part.xx
            dd = dd if part.dd is None else dd + part.dd
            if part.xd is not None:
                mixed = part.xd if mixed is None else mixed + part.xd
            if coupled is not None:
                dense = coupled if dense is None else dense + coupled
        return Hessian(self.chart.band(xx, dd, mixed), dense, self.chart.mass)

    def convex_hessian(self, record: Record) -> Hessian:
        """The part of the second derivative that is local and convex in f and f' apart."""
        xx, dd = torch.zeros_like(record.x), torch.zeros_like(record.x)
        for term in self.energies:
            part = term.curvature(record)
            xx = xx if part.xx is None else xx + part.xx
            dd = dd if part.dd is None else dd + part.dd
        return Hessian(self.chart.band(xx.clamp(min=0), dd.clamp(min=0)), None, self.chart.mass)
