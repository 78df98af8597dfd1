"""The projected flow theta' = -G(theta)^+ grad F(f(theta, .)) (Wasserstein natural gradient, arXiv:2402.16821).

`Projection` combines map, energy, quadrature and solver into the velocity field that the integrators use.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.networks.base import Neurons, TransportMap
from wgf.problem.base import Start
from wgf.problem.energy import MapAtNodes
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Quadrature
from wgf.projection.chart_energy import Landscape
from wgf.projection.evaluation import Evaluation, Point
from wgf.projection.knots import KnotFlow
from wgf.projection.neurons.derivative import derivative
from wgf.projection.shared_charts import nodes_of, shared_chart
from wgf.projection.solvers import Solver, Velocity
from wgf.projection.start import initial
from wgf.projection.tangent import Tangent


class Projection:
    """The velocity field theta -> theta' of a problem on a network.

    Args:
        problem: law, energies.
        map: the network.
        quadrature: for the energy and its gradient; the metric of `tangent` always uses Gauss quadrature.
        solver: solves G theta' = -grad F.

    Raises:
        ConfigError: map, quadrature and solver do not fit together.

    Attributes:
        start: T(0), the map that carries the base to the initial law.
        by_chart: whether the solver works in the coordinates of a chart.
        knots: the flow in the coordinates of moving knots, if the solver works in them.
    """

    def __init__(self, problem: Problem, map: TransportMap, quadrature: Quadrature, solver: Solver) -> None:
        self.problem, self.map, self.quadrature, self.solver = problem, map, quadrature, solver
        self._moving, self._span = problem, (0.0, 0.0)
        self.start = Start(problem.law, map.base)
        solver.check(map)
        if quadrature.fixed and map.moving_knots and map.moving_neurons(map.theta.detach()) is None:
            raise ConfigError(
                "quadrature=monte_carlo needs a ReLU network (two_sided_relu, one_sided_relu) or one without knots"
            )
        least = quadrature.least(map.least_order)
        if quadrature.order is not None and quadrature.order < least:
            raise ConfigError(
                f"quadrature.order={quadrature.order} is impossible: this network needs at least {least} nodes in a "
                f"cell, use quadrature.order={least} or more"
            )
        self._metric_rule = quadrature.for_metric()
        # an accepted step may raise the energy by this share: sampled energies jump when a knot passes a particle
        self.noise = quadrature.noise if map.moving_knots else 0.0
        self._nodes = self._metric_nodes = None
        self.landscape: Landscape | None = None
        if not map.moving_knots and (space := map.space()) is not None:
            chart = shared_chart(map, space, quadrature, problem.domain)
            self._nodes, self._metric_nodes = chart.nodes, chart.metric_nodes
            self.landscape = Landscape(problem, chart)
        elif not map.moving_knots:  # fixed knots have fixed nodes
            self._nodes, self._metric_nodes = nodes_of(map, quadrature)
        elif quadrature.fixed:
            self._nodes = quadrature.nodes(map.base, map.knots(map.theta.detach()))
        self.by_chart = self.landscape is not None and solver.uses_chart
        map.check_domain(problem.domain)
        if not (problem.domain.is_line or self.by_chart):
            raise ConfigError(
                f"{type(solver).__name__} cannot hold a map on {problem.domain}: use solver=auto or banded"
            )
        self.knots: KnotFlow | None = None
        knot_space, factors = map.knot_space(), solver.regularisation(map)
        if knot_space is not None and factors is not None:
            self.knots = KnotFlow(problem, knot_space, map.base, quadrature, self._metric_rule, *factors)

    @cached_property
    def initial(self) -> Tensor:
        """Parameters at t = 0 [p], see `wgf.projection.start`."""
        return initial(self.map, self.start, self.problem.domain)

    @cached_property
    def at_start(self) -> Evaluation:
        """The field at t = 0."""
        return self(self.initial)

    @cached_property
    def first_slope(self) -> float:
        """Smallest slope of the map at t = 0."""
        if self.start.is_identity:
            return 1.0
        return float(self.map.min_slope(self.initial, self.at_nodes(self.initial).dx))

    def __getstate__(self) -> dict[str, Any]:
        """Without the field at the start, which holds functions: a copy evaluates it anew."""
        return {name: value for name, value in vars(self).items() if name != "at_start"}

    def on(self, map: TransportMap) -> Projection:
        """Projection with the same problem, quadrature and solver on another map."""
        other = Projection(self.problem, map, self.quadrature, self.solver)
        other.first_slope, other._moving, other._span = self.first_slope, self._moving, self._span
        return other

    def freed(self, left: bool, right: bool) -> Projection:
        """Projection whose map has free ends on the left and on the right, although there are walls."""
        domain = self.problem.domain.freed(left, right)
        other = Projection(replace(self.problem, domain=domain), self.map, self.quadrature, self.solver)
        other.first_slope, other._span, other._moving = (
            self.first_slope,
            self._span,
            replace(self._moving, domain=domain),
        )
        return other

    def over(self, begin: float, end: float) -> Projection:
        """The field at `begin` of a step that ends at `end` (time); itself if the potential does not move."""
        if not self._moving.potential.moves:
            return self
        other = copy.copy(self)
        other._span = begin, end
        return other.stage(0.0)

    def stage(self, share: float) -> Projection:
        """The field at a share of the step, 1 for its end; itself if the potential does not move."""
        if not self._moving.potential.moves:
            return self
        begin, end = self._span
        other = copy.copy(self)
        other.problem = self._moving.at(end if share == 1 else begin + share * (end - begin))
        other.landscape = self.landscape and self.landscape.of(other.problem)
        other.knots = self.knots and self.knots.of(other.problem)
        return other

    def at_nodes(self, theta: Tensor) -> MapAtNodes:
        """The map at the quadrature nodes, differentiable in theta. Nodes that move with the knots depend on theta."""
        nodes = self._nodes
        if nodes is None:
            nodes = self.quadrature.nodes(self.map.base, self.map.knots(theta))
        return MapAtNodes(nodes, *self.map.evaluate(theta, nodes.z, nodes.cell))

    def energy(self, theta: Tensor) -> Tensor:
        """Values of all terms of F [k] (energy), differentiable in theta."""
        return self.terms(self.at_nodes(theta))

    def terms(self, at: MapAtNodes) -> Tensor:
        """Values of all terms of F [k] (energy) for a map."""
        terms = [term.value(at) for term in self.problem.terms]
        return torch.stack(terms) if terms else at.x.new_zeros(0)

    def gradient(self, theta: Tensor) -> tuple[Tensor, Tensor, MapAtNodes]:
        """grad F [p], the terms of F [k] and the map at the nodes, all detached from autograd."""
        if (neurons := self.map.moving_neurons(theta)) is not None:
            gradient, at = self._by_neurons(theta, neurons)
            with torch.no_grad():
                return gradient, self.terms(at), at
        theta = theta.detach().requires_grad_()
        with torch.enable_grad():
            at = self.at_nodes(theta)
            terms = self.terms(at)
            gradient = torch.zeros_like(theta)
            if len(terms):
                gradient = torch.autograd.grad(terms.sum(), theta, materialize_grads=True)[0]
        theta = theta.detach()
        return gradient, terms.detach(), at.detach()

    @torch.no_grad()
    def _by_neurons(self, theta: Tensor, neurons: Neurons) -> tuple[Tensor, MapAtNodes]:
        """grad F [p] of a network whose knots move, and the map at the nodes; without the terms of F."""
        at = self.at_nodes(theta)
        return self.map.pulled_back(*derivative(self.problem.terms, at, neurons, self.map.cells(theta))), at

    def tangent(self, theta: Tensor, part: slice = slice(None), at: MapAtNodes | None = None) -> Tangent:
        """Tangent space at theta, or the span of the derivatives with respect to a part of the parameters.

        Args:
            theta: parameters [p].
            part: these parameters.
            at: the map at the nodes, if known.
        """
        nodes = self._metric_nodes
        if nodes is None and at is not None and self._metric_rule is self.quadrature:
            nodes = at.nodes
        elif nodes is None:
            nodes = self._metric_rule.nodes(self.map.base, self.map.knots(theta))
        return Tangent(self.map, theta, nodes, part)

    @torch.no_grad()
    def __call__(self, theta: Tensor) -> Evaluation:
        """Evaluate the field at theta [p]."""
        if self.landscape is not None and self.by_chart:
            return self._on_chart(self.landscape, theta)
        if self.knots is not None:
            return self._on_knots(self.knots, theta)
        gradient, terms, at = self.gradient(theta)
        min_slope = self.map.min_slope(theta, at.dx)
        tangent = self.tangent(theta, at=at)
        velocity = self._in_turn(theta, gradient, at) if self.map.parts else self.solver.velocity(tangent, gradient)
        dissipation = -torch.dot(gradient, velocity.value)
        scale = self.problem.domain.scale(at)
        return Evaluation(velocity.value, terms, min_slope, dissipation, scale, tangent.length, velocity.report)

    @torch.no_grad()
    def velocity_of(self, theta: Tensor, part: slice) -> Tensor:
        """Velocity of a part of the parameters while the others stand still."""
        neurons = self.map.moving_neurons(theta)
        if neurons is None:
            gradient, _, at = self.gradient(theta)
        else:
            gradient, at = self._by_neurons(theta, neurons)
        return self.solver.velocity(self.tangent(theta, part, at), gradient[part]).value

    def _in_turn(self, theta: Tensor, gradient: Tensor, at: MapAtNodes) -> Velocity:
        """Mean velocity of parts that are updated in turn for equal times: each part follows its own projection."""
        parts = self.map.parts
        found = [self.solver.velocity(self.tangent(theta, part, at), gradient[part]) for part in parts]

        def report() -> dict[str, float | None]:
            reports = [each.report() for each in found]
            known = {key: [x for r in reports if (x := r[key]) is not None] for key in reports[0]}
            return {key: max(values, default=None) for key, values in known.items()}

        return Velocity(torch.cat([each.value for each in found]) / len(parts), report)

    def _on_chart(self, landscape: Landscape, theta: Tensor) -> Evaluation:
        chart = landscape.chart
        c = chart.coordinates(theta)
        at = chart.at_nodes(c)
        gradient = landscape.gradient(at)
        velocity = -chart.project(gradient)

        def report() -> dict[str, float | None]:
            norm = gradient.norm()
            residual = (chart.mass.matvec(velocity) + gradient).norm() / torch.where(norm > 0, norm, 1.0)
            return {
                "rank": chart.size,
                "condition": chart.mass.condition,
                "residual": float(residual),
                "truncated": chart.space.truncated,
                "damped": 0.0,
                "iterations": None,
            }

        return Evaluation(
            chart.lift(velocity),
            landscape.terms(at),
            chart.space.min_slope(theta, at.dx),
            -torch.dot(gradient, velocity),
            self.problem.domain.scale(at),
            lambda displacement: chart.length(chart.displacement(displacement)),
            report,
            Point(c, at, gradient),
        )

    def _on_knots(self, knots: KnotFlow, theta: Tensor) -> Evaluation:
        space = knots.space
        point = knots.at(space.coordinates(theta))

        def report() -> dict[str, float | None]:
            norm = point.gradient.norm()
            residual = (point.metric.matvec(point.velocity) + point.gradient).norm() / torch.where(norm > 0, norm, 1.0)
            return {
                "rank": len(point.y),
                "condition": point.metric.condition,
                "residual": float(residual),
                "truncated": space.truncated,
                "damped": None,
                "iterations": None,
            }

        return Evaluation(
            space.velocity(point.y, point.velocity),
            self.terms(point.at),
            point.map.min_slope,
            -torch.dot(point.gradient, point.velocity),
            self.problem.domain.scale(point.at),
            lambda displacement: point.length(space.change(theta, displacement)),
            report,
            knots=point,
        )
