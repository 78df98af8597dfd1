"""The scheme of Jordan, Kinderlehrer and Otto (SIAM J. Math. Anal. 29 (1998), 1-17), backward Euler as a minimisation:

    theta+ = argmin  |f(theta, .) - f(theta_k, .)|^2_p / (2 dt) + F(f(theta, .)).

The energy falls and the map stays increasing for every dt. In a chart this is one proximal map. For any other network
it is a damped Gauss-Newton iteration on the same objective: the sturdy way to train weights and biases together.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wgf.energies.base import Record
from wgf.integrators.base import State, Step
from wgf.integrators.implicit import DiagonallyImplicit
from wgf.projection import Projection
from wgf.quadrature import Nodes

MOST_ITERATIONS, MOST_DAMPINGS = 50, 40
FIRST_DAMPING, LEAST_DAMPING = 1e-3, 1e-10  # relative to the diagonal of the Gauss-Newton matrix
CONVERGED = 1e-8  # decrease of the objective by an iteration, relative to that of all iterations so far


class JKO(DiagonallyImplicit):
    """Backward Euler, order 1; settings of `DiagonallyImplicit`."""

    order, gamma = 1, 1.0

    def step(self, field: Projection, dt: float, state: State) -> Step:  # type: ignore[override]
        if field.landscape is not None and state.evaluation.point is not None:
            return super().step(field, dt, state)
        return gauss_newton(field, dt, state)


class Objective:
    """The objective of one step and its Gauss-Newton model.

    The quadrature follows the knots of both maps, so that every integrand is smooth on every cell.
    """

    def __init__(self, field: Projection, tau: float, start: Tensor) -> None:
        self.field, self.map, self.tau, self.start = field, field.map, tau, start
        self.law = field.problem.law
        import os
        nodes = self._nodes(start)
        self.rigidity = float(os.environ.get("RIG", "1e-5")) * float((nodes.w[:, None] * field.map.jacobian(start, nodes.z) ** 2).sum(0).max())

    def _nodes(self, theta: Tensor) -> Nodes:
        knots = torch.cat([self.map.knots(theta), self.map.knots(self.start)])
        return self.field.quadrature.nodes(self.law, knots)

    def _parts(self, theta: Tensor) -> tuple[Tensor, Tensor, Record]:
        """Distance term, energy terms and the map at the nodes."""
        nodes = self._nodes(theta)
        x, dx = self.map.evaluate(theta, nodes.z)
        before, _ = self.map.evaluate(self.start, nodes.z)
        record = Record(nodes, x, dx)
        terms = [term.value(record) for term in self.field.problem.terms]
        distance = torch.dot(nodes.w, (x - before) ** 2) + self.rigidity * (theta - self.start).square().sum()
        return distance / (2 * self.tau), torch.stack(terms), record

    def value(self, theta: Tensor) -> tuple[float, float]:
        """The objective, infinite for a folded map, and the scale of its rounding."""
        with torch.no_grad():
            distance, terms, record = self._parts(theta)
            slope = self.map.min_slope(theta, record.dx)
            total, size, low = torch.stack([distance + terms.sum(), distance + terms.abs().sum(), slope]).tolist()
        return (total if low > 0 and math.isfinite(total) else math.inf), size

    def model(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient [p], jumps at moving knots included, and the matrix J^T W J / tau + curvature [p, p]."""
        theta = theta.detach().requires_grad_()
        with torch.enable_grad():
            distance, terms, record = self._parts(theta)
            gradient = torch.autograd.grad(distance + terms.sum(), theta)[0]
        theta, record = theta.detach(), record.detach()
        nodes = record.nodes
        values = self.map.jacobian(theta, nodes.z)
        slopes = torch.func.jacfwd(lambda t: self.map.evaluate(t, nodes.z)[1])(theta)
        xx, dd = nodes.w / self.tau, torch.zeros_like(nodes.w)
        for term in self.field.problem.terms:
            curvature = term.curvature(record)
            xx = xx if curvature.xx is None else xx + curvature.xx
            dd = dd if curvature.dd is None else dd + curvature.dd
        xx, dd = xx.clamp(min=0), dd.clamp(min=0)  # concave parts are left to the damping
        matrix = values.T @ (xx[:, None] * values) + slopes.T @ (dd[:, None] * slopes)
        matrix.diagonal().add_(self.rigidity / self.tau)
        return gradient, matrix


def gauss_newton(field: Projection, tau: float, state: State) -> Step:
    """One JKO step of any map: Levenberg-Marquardt damping, accepting only what lowers the objective unfolded."""
    objective = Objective(field, tau, state.theta)
    theta, damping, count = state.theta, FIRST_DAMPING, 0
    (value, size), first = objective.value(theta), objective.value(theta)[0]
    for _ in range(MOST_ITERATIONS):
        gradient, matrix = objective.model(theta)
        scale = matrix.diagonal() + 1e-14 * matrix.diagonal().max()
        for _ in range(MOST_DAMPINGS):
            count += 1
            factor, failed = torch.linalg.cholesky_ex(matrix + torch.diag(damping * scale))
            step = -torch.cholesky_solve(gradient[:, None], factor)[:, 0]
            trial = theta + step
            new, new_size = (math.inf, size) if bool(failed) else objective.value(trial)
            if new < value:
                break
            damping *= 4
        else:
            break  # rounding hides the rest of the way down
        fell, theta, value, size = value - new, trial, new, new_size
        damping = max(damping / 5, LEAST_DAMPING)
        if fell <= CONVERGED * (first - value) or fell <= 1e-14 * size:
            break
    else:
        return Step(state, failure=f"no convergence in {MOST_ITERATIONS} Gauss-Newton iterations", evaluations=count)
    return Step(State(theta, field(theta)), evaluations=count + 1)
