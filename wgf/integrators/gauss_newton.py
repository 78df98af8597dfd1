"""Implicit steps for networks without a chart (biases, MLP): damped Gauss-Newton steps on the JKO objective

    |f(theta, .) - f(theta_k, .)|^2_p / (2 dt) + lambda |D^-1 (theta - theta_k)|^2 / (2 dt) + F(f(theta, .)),

(G + lambda D^-2 + dt H) d = -dt grad F with the curvature H = J^T e_xx J + J'^T e_dd J' of the energy without its
concave part, and the natural units D of the parameters. The damping lambda limits parameters that hardly move the map:
where knots meet, the metric loses a direction and the energy has a kink, at which a full minimisation would not
converge.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.integrators.base import Field, State, Step
from wgf.integrators.controller import Adaptive
from wgf.projection.field import Projection
from wgf.projection.knots import KnotFlow
from wgf.settings.ranges import Count, NonNegative, Positive, PositiveOrNone, checked

DAMPING = 1e-5  # lambda, relative to the largest diagonal entry of D G D
MOST_HALVINGS, MOST_TRIALS = 40, 400  # per step


class Model:
    """Quadratic model of the objective at one theta: gradient and matrices.

    Args:
        field: map, energy and quadrature.
        theta: parameters [p].
        damping: lambda relative to the largest diagonal entry of D G D.
    """

    def __init__(self, field: Field, theta: Tensor, damping: float) -> None:
        self.theta = theta
        self.gradient, _, at = field.gradient(theta)
        nodes, map = at.nodes, field.map
        values = map.jacobian(theta, nodes.z, nodes.cell)
        slopes = torch.func.jacfwd(lambda t: map.evaluate(t, nodes.z, nodes.cell)[1])(theta)
        xx, dd = torch.zeros_like(nodes.w), torch.zeros_like(nodes.w)
        for term in field.problem.terms:
            curvature = term.curvature(at)
            xx = xx if curvature.xx is None else xx + curvature.xx
            dd = dd if curvature.dd is None else dd + curvature.dd
        bend = values.T @ (xx.clamp(min=0)[:, None] * values)
        self.curvature = bend + slopes.T @ (dd.clamp(min=0)[:, None] * slopes)
        self.metric = values.T @ (nodes.w[:, None] * values)
        units, diagonal = map.units(), self.metric.diagonal()
        squares = torch.ones_like(diagonal) if units is None else units**2
        diagonal.add_(damping * (squares * diagonal).max() / squares)

    def displacement(self, tau: float) -> Tensor:
        """Displacement d [p] for the step tau (time); NaN if the matrix is not positive definite."""
        factor, failed = torch.linalg.cholesky_ex(self.metric / tau + self.curvature)
        d = -torch.cholesky_solve(self.gradient[:, None], factor)[:, 0]
        return torch.where(failed > 0, torch.nan, d)

    def moved(self, tau: float) -> Tensor:
        """Parameters [p] after a step tau (time); NaN if there is none."""
        return self.theta + self.displacement(tau)


class KnotModel:
    """Quadratic model of the objective with moving knots, where the regularisation replaces the damping.

    Args:
        knots: the flow in these coordinates.
        theta: parameters [p].
    """

    def __init__(self, knots: KnotFlow, theta: Tensor) -> None:
        self.knots, self.point = knots, knots.at(knots.space.coordinates(theta))

    def moved(self, tau: float) -> Tensor:
        """Parameters [p] after a step tau (time); NaN if it folds the map."""
        y = self.point.y + self.point.displacement(tau)
        theta = self.knots.space.lift(y)
        return theta if self.knots.is_increasing(y) else torch.full_like(theta, torch.nan)


def descend(field: Field, state: State, tau: float) -> Step:
    """Take one step of length tau, split into parts that neither raise the energy nor fold the map."""
    theta, left, part, count = state.theta, tau, tau, 0
    moves, field = field.problem is not field.stage(1.0).problem, field.stage(1.0)
    energy = (field.terms(field.at_nodes(theta)) if moves else state.evaluation.terms).sum().item()

    def model_at(theta: Tensor) -> Model | KnotModel:
        return Model(field, theta, DAMPING) if field.knots is None else KnotModel(field.knots, theta)

    model = model_at(theta)
    while left > 0:
        if count == MOST_TRIALS:
            return Step(state, failure=f"the step is not complete after {count} trials", evaluations=count)
        part = min(part, left)
        trial = model.moved(part)
        count += 1
        with torch.no_grad():
            at = field.at_nodes(trial)
            slope, new = torch.stack([field.map.min_slope(trial, at.dx), field.terms(at).sum()]).tolist()
        if slope > 0 and new <= energy:
            theta, energy, left = trial, new, left - part
            model = model_at(theta) if left > 0 else model
            part *= 2
        elif part > 0.5**MOST_HALVINGS * tau:
            part *= 0.5
        else:
            return Step(state, failure="no part of the step lowers the energy without a fold", evaluations=count)
    return Step(State(theta, field(theta)), evaluations=count + 1)


class GaussNewton(Adaptive):
    """Extrapolated linearly implicit Euler method: twice (two steps of dt/2) minus one step of dt; order 2, adaptive.

    Args:
        rtol, atol, dt, dt_min, max_steps: as in `Adaptive`.
        damping: lambda relative to the largest diagonal entry of D G D (no unit).
    """

    implicit = True
    order = 2

    @checked
    def __init__(
        self,
        rtol: Positive = 1e-4,
        atol: NonNegative = 1e-8,
        dt: PositiveOrNone = None,
        dt_min: PositiveOrNone = None,
        max_steps: Count = 1_000_000,
        damping: NonNegative = DAMPING,
    ) -> None:
        super().__init__(rtol, atol, dt, dt_min, max_steps)
        self.damping = damping

    def on(self, field: Projection) -> GaussNewton:
        if field.map.parts:
            raise ConfigError(
                "integrator=gauss_newton does not update parameters in turn: for network.train=alternating use "
                "integrator=alternating, or auto"
            )
        if field.knots is not None:
            raise ConfigError(
                "integrator=gauss_newton does not move knots with their values: use integrator=limex or auto for "
                "network.train=all, or another solver such as solver=truncated"
            )
        return self

    def step(self, field: Field, dt: float, state: State) -> Step:
        here = Model(field, state.theta, self.damping)
        whole, half = here.displacement(dt), here.displacement(0.5 * dt)
        middle = state.theta + half
        with torch.no_grad():
            slope = field.map.min_slope(middle, field.at_nodes(middle).dx).item()
        if not (slope > 0 and math.isfinite(slope)):
            return Step(state, failure="half a step folds the map", evaluations=1)
        two = half + Model(field.stage(0.5), middle, self.damping).displacement(0.5 * dt)
        theta = state.theta + 2 * two - whole
        new = State(theta, field.stage(1.0)(theta))
        error = torch.dot(two - whole, here.metric @ (two - whole)).sqrt()
        return Step(new, self.of_length(error, new.evaluation, field), evaluations=3)
