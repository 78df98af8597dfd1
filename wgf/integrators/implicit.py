"""Implicit one-step methods in a chart, for stiff problems: every step size is stable.

All are L-stable and stiffly accurate, so fast modes of the equation also decay fast in the step.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.integrators.base import Field, Integrator, State, Step
from wgf.integrators.cautious import Cautious, chart_state, displaced
from wgf.integrators.controller import Adaptive
from wgf.integrators.gauss_newton import descend
from wgf.integrators.proximal import proximal
from wgf.projection.chart import Chart
from wgf.projection.field import Projection
from wgf.settings.ranges import Count, Positive, checked


def needs_chart(integrator: Integrator, field: Projection) -> None:
    """Check that steps in a chart are possible.

    Raises:
        ConfigError: the map has no chart, or the solver does not use it.
    """
    if not field.by_chart:
        raise ConfigError(
            f"integrator={type(integrator).__name__.lower()} needs a map that is linear in its parameters, and "
            "solver=auto or banded: use network=spline, or network=two_sided_relu with network.train=weights, or "
            "integrator=auto, or an explicit method such as integrator=dopri5"
        )


class DiagonallyImplicit(Integrator):
    """Singly diagonally implicit Runge-Kutta method: stage i is prox(c + dt sum_{j<i} a_ij k_j, gamma dt). The last
    stage is the new state, and its time is the end of the step.

    Args:
        dt: the step (time); the time loop takes equal steps between the saved times, none longer, and says so if they
            are shorter.
        max_steps: largest number of steps.

    Attributes:
        gamma: the diagonal of the tableau. lower: the rows below the diagonal, from the second row.
    """

    implicit = True
    gamma: float
    lower: tuple[tuple[float, ...], ...] = ()

    @checked
    def __init__(self, dt: Positive = 1e-2, max_steps: Count = 1_000_000) -> None:
        self.dt, self.max_steps = dt, max_steps

    def on(self, field: Projection) -> Integrator:
        needs_chart(self, field)
        return self

    def step(self, field: Field, dt: float, state: State) -> Step:
        landscape, point = chart_state(field, state)
        velocities: list[Tensor] = []
        tau, count = self.gamma * dt, 0
        c, last = point.c, len(self.lower)
        for i, row in enumerate(((), *self.lower)):
            landscape, _ = chart_state(field.stage(1.0 if i == last else self.gamma + sum(row)), state)
            anchor = point.c
            for a, k in zip(row, velocities, strict=True):
                anchor = anchor.add(k, alpha=dt * a)
            found = proximal(landscape, anchor, tau, c)
            count += found.iterations
            if found.failure is not None:
                return Step(state, failure=found.failure, evaluations=count)
            c = found.c
            velocities.append((c - anchor) / tau)
        new = displaced(field, landscape, state, c - point.c)
        if self.order == 1:  # a trapezoid is better
            return Step(new, evaluations=count + 1)
        rates = [torch.dot(k, landscape.chart.mass.matvec(k)) for k in velocities]  # D = |k|^2 in the metric
        weights = (*self.lower[-1], self.gamma)
        lost = dt * sum((b * rate for b, rate in zip(weights, rates, strict=True)), torch.zeros_like(rates[0]))
        return Step(new, dissipated=lost, evaluations=count + 1)


class JKO(DiagonallyImplicit):
    """The scheme of Jordan, Kinderlehrer and Otto (SIAM J. Math. Anal. 29 (1998), 1-17); order 1.

    It is backward Euler as a minimisation: theta+ = argmin |f(theta, .) - f(theta_k, .)|^2_p / (2 dt) + F(f(theta, .)).
    The energy falls and the map stays increasing for every dt. With a chart, a step is one proximal map, solved to
    rounding. Without a chart, a step is a chain of damped Gauss-Newton steps on the same objective.
    """

    order, gamma = 1, 1.0

    def on(self, field: Projection) -> JKO:
        """This integrator; it accepts every map. Without a chart `descend` takes the steps."""
        return self

    def step(self, field: Field, dt: float, state: State) -> Step:
        if state.evaluation.point is None:
            return descend(field, state, dt)
        return super().step(field, dt, state)


class SDIRK2(DiagonallyImplicit):
    """Alexander's method of order 2 (SIAM J. Numer. Anal. 14 (1977), 1006-1021)."""

    order, gamma = 2, 1 - math.sqrt(0.5)
    lower = ((math.sqrt(0.5),),)


class SDIRK3(DiagonallyImplicit):
    """Alexander's method of order 3."""

    order, gamma = 3, 0.4358665215084590
    lower = (
        ((1 - gamma) / 2,),
        (-1.5 * gamma**2 + 4 * gamma - 0.25, 1.5 * gamma**2 - 5 * gamma + 1.25),
    )


class Rodas4(Adaptive):
    """Steinebach's Rosenbrock method RODASP of orders 4 and 3. It keeps its order for parabolic equations.

    Each step factorises the matrix M/(gamma dt) + H once. The stages u_i solve

        (M/(gamma dt) + H) u_i = -grad F(t_i, c + sum_{j<i} a_ij u_j) + M sum_{j<i} c_ij u_j / dt - gamma_i dt dF'/dt,

    with t_i = t + alpha_i dt and dF'/dt = d/dt grad F(t, c) for a potential that moves. The new state is
    c + sum_{j<5} a_5j u_j + u_5 + u_6, and u_6 estimates its error. Settings of `Adaptive`.

    Source: G. Steinebach, preprint 1741, TU Darmstadt (1995); Hairer and Wanner, Solving ODEs II, section IV.7.
    """

    implicit = True
    order, gamma = 4, 0.25
    a = (
        (),
        (3.0,),
        (1.831036793486759, 0.4955183967433795),
        (2.304376582692669, -0.05249275245743001, -1.176798761832782),
        (-7.170454962423024, -4.741636671481785, -16.31002631330971, -1.062004044111401),
        (-7.170454962423024, -4.741636671481785, -16.31002631330971, -1.062004044111401, 1.0),
    )
    c = (
        (),
        (-12.0,),
        (-8.791795173947035, -2.207865586973518),
        (10.81793056857153, 6.780270611428266, 19.53485944642410),
        (34.19095006749676, 15.49671153725963, 54.74760875964130, 14.16005392148534),
        (34.62605830930532, 15.30084976114473, 56.99955578662667, 18.40807009793095, -5.714285714285717),
    )

    @classmethod
    @cache
    def times(cls) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """alpha_i, the row sums of a (1/gamma - c)^-1, and gamma_i, those of (1/gamma - c)^-1."""
        lower, strict = (np.array([[*row, *[0.0] * (6 - len(row))] for row in rows]) for rows in (cls.a, cls.c))
        ones = np.linalg.solve(np.eye(6) / cls.gamma - strict, np.ones(6))
        return tuple((lower @ ones).round(14)), tuple(ones.round(14))

    def on(self, field: Projection) -> Rodas4:
        needs_chart(self, field)
        return self

    def fallback(self) -> Cautious:
        return Cautious(self.rtol, self.atol, self.dt, self.dt_min, self.max_steps)

    def step(self, field: Field, dt: float, state: State) -> Step:
        landscape, point = chart_state(field, state)
        chart = landscape.chart
        factor = landscape.hessian(point.at).plus_mass(1 / (self.gamma * dt))
        if not factor.positive:
            return Step(state, failure="the step is too long for the concave part of the energy", evaluations=0)
        stages, pulls = point.c.new_empty(6, len(point.c)), point.c.new_zeros(6, len(point.c))
        gradients, (alpha, gamma) = [point.gradient], self.times()
        drift = None if field.stage(1.0) is field else dt * landscape.drift(point.at)

        def load(i: int) -> Tensor:
            return gradients[i] if drift is None else gradients[i] + gamma[i] * drift

        stages[0] = factor.solve(-load(0))
        tables, _ = self._tables(point.c.dtype, point.c.device)
        for i in range(1, 6):
            where, pulls[i] = tables[i] @ stages[:i]
            there, _ = chart_state(field.stage(alpha[i]), state)
            gradients.append(there.gradient(chart.at_nodes(point.c + where)))
            stages[i] = factor.solve(chart.mass.matvec(pulls[i] / dt) - load(i))
        new = displaced(field, landscape, state, where + stages[5])
        error = self.of_length(chart.length(stages[5]), new.evaluation, field)
        lost = self.dissipated(chart, dt, torch.stack(gradients), pulls - stages / self.gamma)
        return Step(new, error, dissipated=lost, evaluations=6)

    def dissipated(self, chart: Chart, dt: float, g: Tensor, pull: Tensor) -> Tensor | None:
        """Energy dissipated in a step by the same method for E' = D(t, c), a scalar; None if nobody needs it.

        H u_i is known from the equation of u_i, and dD/dt cancels its dF'/dt.

        Args:
            chart: the coordinates.
            dt: the step (time).
            g: gradients of F at the stages [6, M].
            pull: sum_{j<i} c_ij u_j - u_i / gamma [6, M].
        """
        v = chart.project(g.T).T
        rates = (g * v).sum(1) - 2 * (g @ v[0]) + 2 / dt * (pull @ g[0])
        return dt * torch.dot(self._tables(g.dtype, g.device)[1], rates)

    @classmethod
    @cache
    def quadrature(cls) -> tuple[float, ...]:
        """Weights b_i with which the method integrates E' = D(c): E + dt sum_i b_i (D(c_i) + D'(c) u_i)."""
        lower = np.array([[*row, *[0.0] * (6 - len(row))] for row in cls.c])
        last = np.array([*cls.a[5], 1.0])
        return tuple(cls.gamma * np.linalg.solve((np.eye(6) - cls.gamma * lower).T, last))

    @classmethod
    @cache
    def _tables(cls, dtype: torch.dtype, device: torch.device) -> tuple[list[Tensor], Tensor]:
        """Rows a_i and c_i of every stage [2, i], and the weights of the quadrature [6]."""
        rows = [torch.tensor(pair, dtype=dtype, device=device) for pair in zip(cls.a, cls.c, strict=True)]
        return rows, torch.tensor(cls.quadrature(), dtype=dtype, device=device)
