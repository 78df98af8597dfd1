"""The energy of a problem in the coordinates of a chart: value, gradient and Hessian. The Hessian is banded unless an
interaction couples distant particles."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor

from wgf.problem.energy import Local, MapAtNodes
from wgf.problem.equations import Problem
from wgf.problem.potential import Potential
from wgf.problem.quadrature import Nodes
from wgf.projection.chart import Chart
from wgf.projection.linalg.banded import Banded, Cholesky, DenseCholesky

BLOCK = 1 << 15  # so many nodes fit into the cache


@dataclass(frozen=True)
class Hessian:
    """Second derivatives of F with respect to the coordinates.

    Attributes:
        band: the local part [k + 1, M].
        dense: the nonlocal part [M, M], or None.
        mass: the mass matrix.
    """

    band: Tensor
    dense: Tensor | None
    mass: Banded

    def matvec(self, u: Tensor) -> Tensor:
        """Product H u [M]."""
        product = Banded(self.band).matvec(u)
        return product if self.dense is None else product + self.dense @ u

    def plus_mass(self, factor: float) -> Cholesky | DenseCholesky:
        """Factorisation of factor * mass + H; its `positive` says whether this matrix is positive definite."""
        band = torch.add(self.band, self.mass.band, alpha=factor)
        return Cholesky(band) if self.dense is None else DenseCholesky(Banded(band).dense() + self.dense)


class Landscape:
    """Energy F(c) of the map sum_i c_i B_i.

    Args:
        problem: law and energies.
        chart: coordinates, with their quadrature.
    """

    def __init__(self, problem: Problem, chart: Chart) -> None:
        self.chart, self.energies, self.potential = chart, problem.terms, problem.potential

    def of(self, problem: Problem) -> Landscape:
        """The energy of another problem in the same coordinates."""
        other = copy.copy(self)
        other.energies, other.potential = problem.terms, problem.potential
        return other

    def drift(self, at: MapAtNodes) -> Tensor:
        """Time derivative of the gradient of F at a fixed map [M]."""
        rate = rates(self.potential, at.x)[1]
        return self.chart.load(at.w * rate, torch.zeros_like(rate))

    @property
    def _is_local(self) -> bool:
        """Whether every term is a sum over cells."""
        return all(isinstance(term, Local) for term in self.energies)

    @property
    def is_pointwise(self) -> bool:
        """Whether every term is a sum over nodes."""
        return self._is_local and self.potential.kinks is None

    def _parts(self, at: MapAtNodes) -> list[MapAtNodes]:
        """The map in blocks of nodes that fit the cache, if every term is a sum over nodes; else in one piece."""
        if len(at.x) <= BLOCK or not self._is_local:
            return [at]
        size = len(self._nodes[0].z)
        return [MapAtNodes(*part) for part in zip(self._nodes, at.x.split(size), at.dx.split(size), strict=True)]

    @cached_property
    def _nodes(self) -> list[Nodes]:
        nodes = self.chart.nodes
        size = BLOCK - BLOCK % (nodes.order or 1)  # whole cells
        parts = zip(nodes.z.split(size), nodes.w.split(size), strict=True)
        return [Nodes(z, w, nodes.base, None, nodes.order) for z, w in parts]

    def terms(self, at: MapAtNodes) -> Tensor:
        """Values of all terms of F [number of terms] (energy)."""
        if not self.energies:
            return at.x.new_zeros(0)
        values = [torch.stack([term.value(part) for term in self.energies]) for part in self._parts(at)]
        return reduce(torch.add, values)

    def gradient(self, at: MapAtNodes) -> Tensor:
        """Derivative of F along every basis function [M]."""
        if not self.energies:
            return at.x.new_zeros(self.chart.size)
        forces, stresses = zip(*map(self._covector, self._parts(at)), strict=True)
        return self.chart.load(_joined(forces), _joined(stresses))

    def _covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        forces, stresses = zip(*(term.covector(at) for term in self.energies), strict=True)
        return reduce(torch.add, forces), reduce(torch.add, stresses)

    def _curvature(self, at: MapAtNodes) -> tuple[Tensor, Tensor, Tensor | None]:
        """Sums over the terms of xx [n], dd [n] and xd [n]; xd is None if no term has it."""
        parts: list[tuple[Tensor, Tensor, Tensor | None]] = []
        for part in self._parts(at):
            xx, dd, xd = torch.zeros_like(part.x), torch.zeros_like(part.x), None
            for term in self.energies:
                curvature = term.curvature(part)
                xx = xx if curvature.xx is None else xx + curvature.xx
                dd = dd if curvature.dd is None else dd + curvature.dd
                if curvature.xd is not None:
                    xd = curvature.xd if xd is None else xd + curvature.xd
            parts.append((xx, dd, xd))
        xxs, dds, xds = zip(*parts, strict=True)
        return _joined(xxs), _joined(dds), None if xds[0] is None else _joined(xds)

    def hessian(self, at: MapAtNodes) -> Hessian:
        """Second derivative at a map."""
        coupled = [term.coupling(at, self.chart.loads) for term in self.energies]
        dense = [block for block in coupled if block is not None]
        band = self.chart.band(*self._curvature(at))
        return Hessian(band, reduce(torch.add, dense) if dense else None, self.chart.mass)

    def motion(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """Velocities c' = -M^-1 grad F and accelerations c'' = -M^-1 F'' c' of maps [r, M], pointwise."""
        chart = self.chart
        if not self.energies:
            return torch.zeros_like(c), torch.zeros_like(c)
        many = max(1, BLOCK // len(chart.nodes.z))
        parts = [self._motion(part) for part in c.split(many)]
        velocities, accelerations = zip(*parts, strict=True)
        return torch.cat(velocities), torch.cat(accelerations)

    def _motion(self, c: Tensor) -> tuple[Tensor, Tensor]:
        chart, at, rows = self.chart, self.chart.rows_at_nodes(c), (len(c), -1)

        def pulled(force: Tensor, stress: Tensor) -> Tensor:
            return -chart.project(chart.load_rows(force.view(rows), stress.view(rows)).T).T

        velocity = pulled(*self._covector(at))
        xx, dd, xd = self._curvature(at)
        v, dv = (part.flatten() for part in chart.changes(velocity).unbind(1))
        force, stress = xx * v, dd * dv
        if xd is not None:
            force, stress = force + xd * dv, stress + xd * v
        return velocity, pulled(force, stress)

    def convex_hessian(self, at: MapAtNodes) -> Hessian:
        """Part of the second derivative that is local and convex in f and in f' separately."""
        xx, dd, _ = self._curvature(at)
        return Hessian(self.chart.band(xx.clamp(min=0), dd.clamp(min=0)), None, self.chart.mass)


def rates(potential: Potential, x: Tensor) -> tuple[Tensor, Tensor]:
    """Time derivatives of V [n] (energy/(mass time)) and of V' [n] (length/time^2) at x [n] and its time."""
    other = copy.copy(potential)
    with torch.enable_grad():
        x, other.t = x.detach().requires_grad_(), torch.full_like(x, float(potential.t)).requires_grad_()
        value = other.value_at(x).sum()
        if not value.requires_grad:
            return torch.zeros_like(x), torch.zeros_like(x)
        rate = torch.autograd.grad(value, other.t, create_graph=True, materialize_grads=True)[0]
        bend = torch.zeros_like(x)
        if rate.requires_grad:
            bend = torch.autograd.grad(rate.sum(), x, materialize_grads=True)[0]
    return rate.detach(), bend


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
