"""Proximal steps with an error estimate, and the time loop that falls back on them."""

import math
from dataclasses import replace

import pytest
import torch

import wgf
from wgf.integrators import time_loop
from wgf.integrators.base import State, Step
from wgf.integrators.cautious import Cautious, fallback_of
from wgf.integrators.implicit import JKO, Rodas4
from wgf.integrators.status import Status
from wgf.integrators.time_loop import LoopCallback, run
from wgf.networks.spline import Spline
from wgf.problem import interaction, potential
from wgf.problem.laws import Gaussian, Uniform
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto


def projection(pde=None, law=None, kernel=None, base="auto"):
    pde, law = pde or wgf.FokkerPlanck(), law or Gaussian()
    problem = pde.problem(law, potential.Quadratic(), kernel or interaction.Zero(), 0.2, base)
    return Projection(problem, Spline(16, base=problem.base), Gauss(), Auto())


class Folding(Rodas4):
    """Rodas4 whose steps fold the map while its size is between `low` and `high`."""

    low: float
    high: float

    def step(self, field, dt, state):
        found = super().step(field, dt, state)
        if self.low < float(state.evaluation.scale) < self.high:
            bad = replace(found.state.evaluation, min_slope=-torch.ones_like(found.state.evaluation.min_slope))
            return Step(State(found.state.theta, bad), found.error, evaluations=found.evaluations)
        return found


def test_a_step_is_two_jko_steps_and_their_distance_from_one():
    field, dt = projection(law=Gaussian(0.5, 1.3)), 0.01
    state = State(field.initial, field(field.initial))
    step = Cautious(rtol=1e-3, atol=0.0).step(field, dt, state)
    jko = JKO(dt)
    two = jko.step(field, dt / 2, jko.step(field, dt / 2, state).state).state
    one = jko.step(field, dt, state).state
    assert torch.allclose(step.state.theta, two.theta, atol=1e-12)
    distance = field(two.theta).length(one.theta - two.theta)
    assert float(step.error) == pytest.approx(float(distance / (1e-3 * two.evaluation.scale)), rel=1e-6)


def test_the_error_of_a_run_is_of_first_order():
    field = projection(law=Gaussian(0.5, 1.3))
    exact = math.sqrt(1 + (1.3**2 - 1) * math.exp(-0.4))
    errors = []
    for rtol in (1e-3, 1e-4, 1e-5):
        end = run(field, Cautious(rtol=rtol), field.initial, [0.2], LoopCallback())
        assert end.status is Status.completed
        x = field.at_nodes(end.state.theta)
        mean = torch.dot(x.w, x.x)
        errors.append(abs(float(torch.dot(x.w, (x.x - mean) ** 2).sqrt()) - exact))
    assert errors[2] < 2e-4
    assert errors[1] / errors[2] == pytest.approx(math.sqrt(10), rel=0.3)  # two steps less one: of second order in dt


def test_three_folds_in_a_row_call_the_proximal_step(monkeypatch):
    field = projection(law=Gaussian(0.0, 0.5))
    method = Folding(rtol=1e-4)
    method.low, method.high = 0.6, 0.7
    calls = []
    step = Cautious.step
    monkeypatch.setattr(Cautious, "step", lambda self, *args: calls.append(1) or step(self, *args))
    end = run(field, method, field.initial, [0.5], LoopCallback())
    assert end.status is Status.completed
    assert calls
    at = field.at_nodes(end.state.theta)
    assert float(at.rms) == pytest.approx(math.sqrt(1 - 0.75 * math.exp(-1.0)), rel=1e-3)
    assert end.clock.folds == 0
    monkeypatch.setattr(time_loop, "FOLDS", 10**9)
    assert run(field, method, field.initial, [0.5], LoopCallback()).status is Status.folded


def test_only_a_diffusion_that_holds_has_a_fallback():
    assert type(fallback_of(projection(), Rodas4())) is Cautious
    assert fallback_of(projection(), JKO()) is None
    assert fallback_of(projection(wgf.LinearTransport()), Rodas4()) is None
    assert fallback_of(projection(wgf.KellerSegel(chi=2.0)), Rodas4()) is None


def test_jumps_and_edges_do_not_fold():
    for law in (Uniform(), wgf.Histogram([-2, -1.9, 1, 1.01, 3], [1, 0, 2, 1])):
        flow = wgf.solve(wgf.FokkerPlanck(0.1), law=law, t_end=0.2, saves=1, reference_solution="none")
        assert flow.status is Status.completed
        second = law.std**2 + 2 * 0.1 * 0.2
        x = flow.projection.at_nodes(flow.parameters(0.2))
        assert float(torch.dot(x.w, (x.x - law.mean) ** 2)) == pytest.approx(second, rel=3e-3)
