"""Explicit integrators: order, error estimate, step control, and steps that change nothing but their answer."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from laws_and_terms import away, network, problem, tensor
from scipy import integrate

from wgf.errors import ConfigError
from wgf.integrators.base import State
from wgf.integrators.explicit import RK4, Dopri5, Euler, Heun
from wgf.problem import potential as potentials
from wgf.problem.internal import Entropy
from wgf.problem.laws import Gaussian
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Evaluation, Projection
from wgf.projection.solvers import Auto

# method, steps of a refinement by 2 and the largest error at the finest on the flow below
METHODS = {
    "euler": (Euler, (160, 320, 640), 3e-3),
    "heun": (Heun, (40, 80, 160), 5e-5),
    "rk4": (RK4, (10, 20, 40), 2e-7),
    "dopri5": (Dopri5, (10, 20, 40), 5e-9),
}
every_method = pytest.mark.parametrize("name", METHODS)


def field_of(velocity):
    """A field that knows its velocity alone; the W2 length is that of the parameters."""

    def field(theta):
        zero = theta.new_zeros(())
        return Evaluation(velocity(theta), zero[None], zero + 1, zero, theta.norm(), torch.linalg.vector_norm, dict)

    field.problem, field.stage = SimpleNamespace(law=SimpleNamespace(std=1.0)), lambda share: field
    return field


def run(method, field, theta, t, steps):
    """theta(t) by equal steps."""
    integrator, state = method(), State(theta, field(theta))
    for _ in range(steps):
        state = integrator.step(field, t / steps, state).state
    return state.theta


def slopes_of(errors):
    return [math.log2(a / b) for a, b in pairwise(errors)]


def swing(theta):
    """A pendulum and a logistic growth: smooth, nonlinear, and the second one known in closed form."""
    angle, speed, grown = theta
    return torch.stack([speed, -torch.sin(angle), grown * (1 - grown)])


@every_method
def test_the_order_is_the_measured_one(name):
    method, steps, largest = METHODS[name]
    start, t = tensor([1.0, 0.3, 0.1]), 2.0

    def numpy_swing(_, y):
        return [y[1], -math.sin(y[0]), y[2] * (1 - y[2])]

    solved = integrate.solve_ivp(numpy_swing, (0, t), start.numpy(), method="DOP853", rtol=1e-13, atol=1e-14)
    exact = tensor(solved.y[:, -1].tolist())
    exact[2] = 0.1 * math.exp(t) / (1 + 0.1 * (math.exp(t) - 1))
    errors = [float((run(method, field_of(swing), start, t, n) - exact).norm()) for n in steps]
    assert slopes_of(errors) == pytest.approx([method.order] * 2, abs=0.15)
    assert errors[-1] < largest


@every_method
def test_the_order_on_the_projected_flow(name):
    method = METHODS[name][0]
    steps = {"euler": (40, 80, 160), "heun": (20, 40, 80), "rk4": (20, 40, 80), "dopri5": (30, 60, 120)}[name]
    law = Gaussian()
    map = network(law, "weights", 4)
    theta = away(map, 0.05)
    field = Projection(problem(law, potentials.Quartic(0.5), Entropy(0.3)), map, Gauss(), Auto())

    def velocity(_, y):
        return field(tensor(y)).velocity.numpy()

    exact = integrate.solve_ivp(velocity, (0, 0.1), theta.numpy(), method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    errors = [float((run(method, field, theta, 0.1, n) - tensor(exact)).norm()) for n in steps]
    assert slopes_of(errors) == pytest.approx([method.order] * 2, abs=0.15)
    assert errors[-1] < {"euler": 1e-2, "heun": 2e-4, "rk4": 2e-8, "dopri5": 1e-11}[name]


@pytest.mark.parametrize("name", ["euler", "heun", "rk4"])
def test_one_step_of_a_linear_flow_is_the_taylor_polynomial(name):
    method, rate, dt = METHODS[name][0], -1.7, 0.4
    stepped = run(method, field_of(lambda theta: rate * theta), tensor([1.0]), dt, 1)
    expected = sum((rate * dt) ** k / math.factorial(k) for k in range(method.order + 1))
    assert float(stepped) == pytest.approx(expected, rel=1e-14)


@every_method
def test_a_step_is_pure_and_counts_its_evaluations(name):
    calls = []

    def counted(theta):
        calls.append(theta)
        return field_of(swing)(theta)

    counted.problem, counted.stage = field_of(swing).problem, lambda share: counted
    integrator, theta = METHODS[name][0](), tensor([1.0, 0.3, 0.1])
    state = State(theta, field_of(swing)(theta))
    before = theta.clone(), state.evaluation.velocity.clone()
    first = integrator.step(counted, 0.1, state)
    assert len(calls) == first.evaluations
    second = integrator.step(counted, 0.1, state)
    assert torch.equal(theta, before[0])
    assert torch.equal(state.evaluation.velocity, before[1])
    assert torch.equal(first.state.theta, second.state.theta)
    assert torch.equal(first.state.evaluation.velocity, swing(first.state.theta))  # the first stage of the next step
    assert first.failure is None
    assert (first.error is None) == (name != "dopri5")


# the embedded pair


def scipy_step(theta, dt):
    """One step of scipy's own Dormand-Prince tableau: the new state and the defect of order 4."""
    pair = integrate.RK45
    stages = [swing(theta).numpy()]
    for row, _ in zip(pair.A[1:], pair.C[1:], strict=True):
        y = theta.numpy() + dt * sum(a * k for a, k in zip(row, stages, strict=False))
        stages.append(swing(tensor(y.tolist())).numpy())
    new = theta.numpy() + dt * np.dot(pair.B, stages)
    stages.append(swing(tensor(new.tolist())).numpy())
    return new, dt * np.dot(pair.E, stages)


def test_the_error_is_the_defect_over_the_tolerance():
    theta, dt = tensor([1.0, 0.3, 0.1]), 0.5
    integrator = Dopri5(rtol=1e-4, atol=1e-3)
    step = integrator.step(field_of(swing), dt, State(theta, field_of(swing)(theta)))
    new, defect = scipy_step(theta, dt)
    assert step.state.theta.tolist() == pytest.approx(new.tolist(), rel=1e-14)
    expected = np.linalg.norm(defect) / (1e-3 + 1e-4 * np.linalg.norm(new))
    assert float(step.error) == pytest.approx(expected, rel=1e-10)


def test_the_error_estimate_is_of_order_five():
    theta, integrator = tensor([1.0, 0.3, 0.1]), Dopri5(rtol=1e-4, atol=1e-3)
    state = State(theta, field_of(swing)(theta))
    errors = [float(integrator.step(field_of(swing), dt, state).error) for dt in (0.2, 0.1, 0.05)]
    assert slopes_of(errors) == pytest.approx([5, 5], abs=0.15)


def test_the_error_of_the_projected_flow_is_a_distance_of_laws():
    law = Gaussian()
    map = network(law, "weights", 4)
    field = Projection(problem(law, potentials.Quartic(0.5)), map, Gauss(), Auto())
    theta = away(map, 0.05)
    state, integrator = State(theta, field(theta)), Dopri5(rtol=1e-30, atol=1.0)
    step = integrator.step(field, 0.2, state)
    stages = integrator.stages(field, 0.2, state)[1]
    defect = sum(0.2 * d * stage.velocity for d, stage in zip(integrator.defect, stages, strict=True))
    nodes = Gauss().nodes(law, map.knots(step.state.theta))
    moved = map.jacobian(step.state.theta, nodes.z) @ defect
    assert float(step.error) == pytest.approx(float(torch.dot(nodes.w, moved**2).sqrt()), rel=1e-7)


def test_nothing_that_moves_is_no_division_by_zero():
    still = field_of(torch.zeros_like)
    theta = torch.zeros(3, dtype=torch.float64)
    step = Dopri5(rtol=1e-6, atol=0.0).step(still, 0.1, State(theta, still(theta)))
    assert float(step.error) == 0


def test_the_next_step_follows_the_error():
    pair = Dopri5()
    assert pair.next_dt(0.1, 1.0, 1.0) == pytest.approx(0.09)
    assert pair.next_dt(0.1, 0.0, 1.0) == pytest.approx(0.5)  # grows fivefold at most
    assert pair.next_dt(0.1, 1e12, 1.0) == pytest.approx(0.02)  # shrinks fivefold at most
    assert pair.next_dt(0.1, 32.0, 1e-3) == pytest.approx(0.045)  # a rejected step forgets the one before
    proposals = [pair.next_dt(0.1, error, 0.5) for error in np.geomspace(1e-6, 1e6, 60)]
    assert all(a >= b for a, b in pairwise(proposals))
    assert all(dt < 0.1 for dt, error in zip(proposals, np.geomspace(1e-6, 1e6, 60), strict=True) if error > 1)
    growing, falling = pair.next_dt(0.1, 0.5, 0.1), pair.next_dt(0.1, 0.5, 0.9)
    assert growing < falling  # an error on the rise asks for caution


def test_the_controller_holds_a_smooth_flow_at_the_tolerance():
    pair, field = Dopri5(rtol=1e-12, atol=1e-7), field_of(swing)
    theta = tensor([1.0, 0.3, 0.1])
    state, dt, previous, errors = State(theta, field(theta)), 1e-3, 1.0, []
    for _ in range(60):
        step = pair.step(field, dt, state)
        error = float(step.error)
        if error <= 1:
            state, errors = step.state, [*errors, error]
        dt, previous = pair.next_dt(dt, error, previous), min(error, 1.0)
    assert len(errors) > 50  # few are rejected
    settled = 0.9 ** (5 / 0.3)  # where the factor 0.9 e^(-0.7/5) e^(0.4/5) is 1
    assert float(np.median(errors[10:])) == pytest.approx(settled, rel=0.3)


def test_first_steps_and_refusals():
    assert Euler(dt=0.25).first_dt(10.0) == 0.25
    assert Euler(dt=0.25).next_dt(0.25, 0.0, 1.0) == 0.25
    assert Dopri5(dt=0.1).first_dt(10.0) == 0.1
    assert 0 < Dopri5().first_dt(10.0) <= 0.1
    refused = [(Euler, "dt", 0.0), (RK4, "max_steps", 0), (Dopri5, "rtol", 0.0), (Dopri5, "atol", -1.0)]
    for method, name, value in [*refused, (Dopri5, "dt_min", 0.0)]:
        with pytest.raises(ConfigError, match=f"{name}={value}"):
            method(**{name: value})
