"""The projected flow theta' = -G(theta)^+ grad F(f(theta, .)) (Wasserstein natural gradient, arXiv:2402.16821).

A solver answers for one theta: solve(tangent, gradient) -> Solution. `Projection` puts map, energy, quadrature and
solver together into the velocity field that the integrators see.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wgf.chart import chart_of, has_chart
from wgf.energies.base import Local, Record
from wgf.errors import ConfigError
from wgf.landscape import Landscape
from wgf.linalg import dense
from wgf.linalg.iterative import minres
from wgf.networks.base import TransportMap
from wgf.networks.relu import TwoSidedReLU
from wgf.problem import Problem
from wgf.quadrature import Gauss, MonteCarlo
from wgf.ranges import Count, Fraction, NonNegative, checked
from wgf.tangent import StepSpace, Tangent


@dataclass(frozen=True)
class Solution:
    """A velocity and how it was found.

    Attributes:
        value: theta' [p]; NaN throughout when the solver failed.
        report: computes on demand rank, condition (of what was solved), residual (|G theta' + grad F| / |grad F|, of
            the full metric: it shows what truncation or damping left out), truncated (directions dropped), damped
            (added to the diagonal) and iterations. Numbers that do not apply are None.
    """

    value: Tensor
    report: Callable[[], dict[str, float | None]]


class Solver(ABC):
    """A way to solve G theta' = -grad F for a metric that may be singular."""

    @abstractmethod
    def solve(self, tangent: Tangent, gradient: Tensor) -> Solution:
        """theta' for grad F [p]."""

    def uses_chart(self, map: TransportMap) -> bool:
        """Whether this solver replaces the neurons of this map by a banded basis of the same functions."""
        return False


def _report(tangent: Tangent, gradient: Tensor, value: Tensor, **known: Any) -> dict[str, float | None]:
    norm = gradient.norm()
    residual = (tangent.apply(value) + gradient).norm() / torch.where(norm > 0, norm, 1.0)
    figures: dict[str, float | None] = {
        "rank": None,
        "condition": None,
        "residual": float(residual),
        "truncated": 0,
        "damped": 0.0,
        "iterations": None,
    }
    return figures | {key: (v.item() if isinstance(v, Tensor) else v) for key, v in known.items()}


def _dense_report(tangent: Tangent, gradient: Tensor, found: dense.Dense) -> dict[str, float | None]:
    """Rank and condition by the eigenvalues, which only a logged step pays for."""
    values = torch.linalg.eigvalsh(tangent.metric)
    rank = len(values) - int(found.truncated)
    damped = float(found.damped)
    smallest = max(float(values[-rank]) if rank else 0.0, 0.0) + damped
    condition = (float(values[-1]) + damped) / smallest if smallest > 0 else None
    return _report(
        tangent, gradient, found.value, rank=rank, condition=condition, truncated=found.truncated, damped=damped
    )


class Truncated(Solver):
    """Eigenvalues of G below rcond times the largest are dropped.

    Args:
        rcond: relative cut; part of the method, not a tolerance: too small and the map folds, too large and it is stiff
            to move.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        self.rcond = rcond

    def solve(self, tangent: Tangent, gradient: Tensor) -> Solution:
        found = dense.truncated_eigen(tangent.metric, -gradient, self.rcond)
        return Solution(found.value, lambda: _dense_report(tangent, gradient, found))


class QR(Solver):
    """QR of sqrt(w) J and an SVD of R: the metric is never squared.

    Args:
        rcond: squared singular values below rcond times the largest are dropped.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        self.rcond = rcond

    def solve(self, tangent: Tangent, gradient: Tensor) -> Solution:
        found = dense.truncated_qr(tangent.features, -gradient, self.rcond)
        return Solution(found.value, lambda: _dense_report(tangent, gradient, found))


class Cholesky(Solver):
    """Cholesky of G + lambda I, lambda = damping times the mean diagonal (more if that is not positive definite).

    Args:
        damping: relative; 0 asks for a metric of full rank.
    """

    @checked
    def __init__(self, damping: NonNegative = 1e-8) -> None:
        self.damping = damping

    def solve(self, tangent: Tangent, gradient: Tensor) -> Solution:
        found = dense.damped_cholesky(tangent.metric, -gradient, self.damping)
        return Solution(found.value, lambda: _dense_report(tangent, gradient, found))


class MINRES(Solver):
    """Krylov iteration with products G v only, no matrix: for networks of many parameters.

    Args:
        rtol: relative residual to stop at.
        max_iter: most products.
    """

    @checked
    def __init__(self, rtol: Fraction = 1e-10, max_iter: Count = 1000) -> None:
        self.rtol, self.max_iter = rtol, max_iter

    def solve(self, tangent: Tangent, gradient: Tensor) -> Solution:
        found = minres(tangent.apply, -gradient, self.rtol, self.max_iter)
        return Solution(found.value, lambda: _report(tangent, gradient, found.value, iterations=found.iterations))


class Banded(Solver):
    """The closed forms of the paper, O(m): hat functions for the weights, cell averages for the biases.

    Args:
        rcond: for biases, the mass of a cell relative to the largest below which its two knots move as one.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        self.rcond = rcond

    def uses_chart(self, map: TransportMap) -> bool:
        return has_chart(map)

    def solve(self, tangent: Tangent, gradient: Tensor) -> Solution:
        map = tangent.map
        if not (isinstance(map, TwoSidedReLU) and map.train_part == "biases"):
            raise ConfigError(
                "solver=banded has closed forms for network=spline, and for network=two_sided_relu with "
                "network.train=weights or biases, only: say solver=auto"
            )
        space = StepSpace(map, tangent.theta, self.rcond)
        value = space.solve(gradient)
        return Solution(value, lambda: _report(tangent, gradient, value, truncated=space.truncated))


class Auto(Banded):
    """The closed form where there is one, else the eigenvalues of G with a smooth cut.

    The smooth cut, e/(e^2 + (rcond e_max)^2) in place of 1/e, keeps the velocity continuous when knots meet and a
    direction disappears, where a sharp one would jump between two answers from step to step.

    Args:
        rcond: where the cut lies, relative to the largest eigenvalue.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        super().__init__(rcond)

    def solve(self, tangent: Tangent, gradient: Tensor) -> Solution:
        if isinstance(tangent.map, TwoSidedReLU) and tangent.map.train_part == "biases":
            return super().solve(tangent, gradient)
        found = dense.filtered_eigen(tangent.metric, -gradient, self.rcond)
        return Solution(found.value, lambda: _dense_report(tangent, gradient, found))


@dataclass(frozen=True)
class Point:
    """A map in the coordinates of a chart.

    Attributes:
        c: coordinates [M].
        record: the map at the nodes.
        gradient: of F [M].
    """

    c: Tensor
    record: Record
    gradient: Tensor


@dataclass(frozen=True)
class Evaluation:
    """Everything the flow knows at one theta.

    Attributes:
        velocity: theta' [p].
        terms: value of every energy term [k] (energy).
        min_slope: smallest f', scalar; <= 0 is a folded map.
        dissipation: -grad F . theta', the rate at which the energy falls, scalar (energy/time).
        rms: root mean square of f, the size of the solution (length).
        length: the W2 length sqrt(d^T G d) of a small displacement d [p] of the parameters (length).
        solution: how the velocity was found.
        point: the same in the coordinates of a chart, where the map has one.
    """

    velocity: Tensor
    terms: Tensor
    min_slope: Tensor
    dissipation: Tensor
    rms: Tensor
    length: Callable[[Tensor], Tensor]
    solution: Solution
    point: Point | None = None


class Projection:
    """The velocity field theta -> theta' of a problem on a network.

    Args:
        problem: law, energies.
        map: the network.
        quadrature: for the energy and its gradient; the metric is always integrated by Gauss quadrature.
        solver: how G is solved.
    """

    def __init__(self, problem: Problem, map: TransportMap, quadrature: Gauss | MonteCarlo, solver: Solver) -> None:
        self.problem, self.map, self.quadrature, self.solver = problem, map, quadrature, solver
        self._metric_rule = quadrature if isinstance(quadrature, Gauss) else Gauss()
        theta = map.theta.detach()
        # what does not move is integrated over the same nodes for ever
        self._nodes = self._metric_nodes = None
        if not map.moving_knots:
            self._nodes = quadrature.nodes(problem.law, map.knots(theta))
            self._metric_nodes = self._metric_rule.nodes(problem.law, map.knots(theta))
        elif quadrature.fixed:
            self._nodes = quadrature.nodes(problem.law, map.knots(theta))
        # what an accepted step may raise the energy by: sampled energies jump when a knot passes a particle
        self.noise = quadrature.particles**-0.5 if isinstance(quadrature, MonteCarlo) and map.moving_knots else 0.0
        chart = None if self._nodes is None else chart_of(map, self._nodes, self._metric_nodes or self._nodes)
        self.landscape = None if chart is None else Landscape(problem, chart)
        self._by_chart = chart is not None and solver.uses_chart(map)

    def record(self, theta: Tensor) -> Record:
        """The map at the quadrature nodes; gradients pass to theta, through the nodes too where knots move."""
        nodes = self._nodes
        if nodes is None:
            nodes = self.quadrature.nodes(self.problem.law, self.map.knots(theta))
        return Record(nodes, *self.map.evaluate(theta, nodes.z, nodes.cell))

    def energy(self, theta: Tensor) -> Tensor:
        """Every term of F [k], differentiable in theta."""
        return self._terms(self.record(theta))

    def _terms(self, record: Record) -> Tensor:
        terms = [term.value(record) for term in self.problem.terms]
        return torch.stack(terms) if terms else record.x.new_zeros(0)

    def gradient(self, theta: Tensor) -> tuple[Tensor, Tensor, Record]:
        """grad F [p], the terms of F [k] and the map at the nodes, without derivatives."""
        theta = theta.detach().requires_grad_()
        with torch.enable_grad():
            record = self.record(theta)
            terms = self._terms(record)
            gradient = torch.zeros_like(theta)
            if len(terms):
                gradient = torch.autograd.grad(terms.sum(), theta, materialize_grads=True)[0]
        theta = theta.detach()
        if self.map.moving_knots and self.quadrature.fixed:
            gradient = gradient + self._jumps(theta)
        return gradient, terms.detach(), record.detach()

    def _jumps(self, theta: Tensor) -> Tensor:
        """What fixed particles cannot see when a knot moves: p(b) [e(b-) - e(b+)] for every local term."""
        if not isinstance(self.map, TwoSidedReLU):
            raise ConfigError("quadrature=monte_carlo needs network=two_sided_relu or a network without knots")
        knots, slope, intercept = self.map.cells(theta)
        log_p, x = self.problem.law.log_density(knots), slope[1:] * knots + intercept[1:]
        p, log_p = log_p.exp(), log_p.masked_fill(log_p == -math.inf, 0.0)  # nothing jumps beyond the support
        local = [term for term in self.problem.terms if isinstance(term, Local)]
        jump = sum(
            (t.density(x, slope[:-1], log_p) - t.density(x, slope[1:], log_p) for t in local), torch.zeros_like(x)
        )
        order = self.map.knots(theta).argsort(stable=True)
        gradient = torch.zeros_like(theta)
        gradient[-len(knots) :].index_copy_(0, order, jump * p)
        return gradient

    def tangent(self, theta: Tensor) -> Tangent:
        """The tangent space at theta."""
        nodes = self._metric_nodes
        if nodes is None:
            nodes = self._metric_rule.nodes(self.problem.law, self.map.knots(theta))
        return Tangent(self.map, theta, nodes)

    @torch.no_grad()
    def __call__(self, theta: Tensor) -> Evaluation:
        """Evaluate the field at theta [p]."""
        if self.landscape is not None and self._by_chart:
            return self._on_chart(self.landscape, theta)
        gradient, terms, record = self.gradient(theta)
        min_slope = self.map.min_slope(theta, record.dx)
        tangent = self.tangent(theta)
        solution = self.solver.solve(tangent, gradient)
        dissipation = -torch.dot(gradient, solution.value)
        return Evaluation(solution.value, terms, min_slope, dissipation, record.rms, tangent.length, solution)

    def _on_chart(self, landscape: Landscape, theta: Tensor) -> Evaluation:
        chart = landscape.chart
        c = chart.coordinates(theta)
        record = chart.record(c)
        gradient = landscape.gradient(record)
        velocity = -chart.project(gradient)

        def report() -> dict[str, float | None]:
            norm = gradient.norm()
            residual = (chart.mass.matvec(velocity) + gradient).norm() / torch.where(norm > 0, norm, 1.0)
            return {
                "rank": chart.size,
                "condition": chart.mass.condition,
                "residual": float(residual),
                "truncated": chart.truncated,
                "damped": 0.0,
                "iterations": None,
            }

        return Evaluation(
            chart.lift(velocity),
            landscape.terms(record),
            chart.min_slope(theta, record),
            -torch.dot(gradient, velocity),
            record.rms,
            lambda displacement: chart.length(chart.displacement(displacement)),
            Solution(chart.lift(velocity), report),
            Point(c, record, gradient),
        )
