"""Potentials that depend on the time, against closed forms, Chebyshev and Fourier collocation; the balance of work.

In V = (x - a sin(w t))^2/2 a Gaussian law stays one: m' = a sin(w t) - m, (s^2)' = 2 D - 2 s^2.
"""

import math

import numpy as np
import pytest
import torch
from chebyshev import differentiation
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev
from scipy.integrate import solve_ivp
from torch import Tensor

import wgf
from wgf.errors import ConfigError
from wgf.integrators.base import Integrator, State
from wgf.integrators.cautious import Cautious
from wgf.integrators.explicit import RK4, Dopri5, Euler, Heun
from wgf.integrators.gauss_newton import GaussNewton
from wgf.integrators.implicit import JKO, SDIRK2, SDIRK3, Rodas4
from wgf.integrators.limex import Limex
from wgf.integrators.status import Status
from wgf.networks.base import TransportMap
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem.equations import FokkerPlanck, Problem
from wgf.problem.interaction import Zero
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed, Potential
from wgf.problem.quadrature import Gauss
from wgf.projection.chart_energy import rates
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.reference_solutions.exact import Driven, find
from wgf.reference_solutions.finite_volumes import refinement as finite_volume
from wgf.run.metrics import measure

LAW, D, A, W = Gaussian(0.5, 0.8), 0.3, 1.2, 3.0
CENTRE = "(x - a*sin(w*t))**2/2"
DRIVEN = "x**4/4 - x**2/2 - sin(3*t)*x"


def moved(t: float, z: Tensor) -> Tensor:
    """The exact map."""
    mean = 0.5 * math.exp(-t) + A * (math.sin(W * t) - W * math.cos(W * t) + W * math.exp(-t)) / (1 + W * W)
    std = math.sqrt(0.8**2 * math.exp(-2 * t) + D * (1 - math.exp(-2 * t)))
    return mean + (z - 0.5) * std / 0.8


def posed(t_end: float = 1.0) -> Problem:
    return FokkerPlanck(D).problem(LAW, Expressed(CENTRE, a=A, w=W), Zero(), t_end)


def error(map: TransportMap, integrator: Integrator, t: float, count: int) -> float:
    """W2 error at t after `count` equal steps, whatever the error estimate says."""
    field = Projection(posed(), map, Gauss(), Auto())
    theta = field.initial
    state = State(theta, field(theta))
    for k in range(count):
        step = integrator.step(field.over(k * t / count, (k + 1) * t / count), t / count, state)
        assert step.failure is None
        state = step.state
    at = field.at_nodes(state.theta)
    return float(torch.dot(at.w, (at.x - moved(t, at.nodes.z)) ** 2).sqrt())


SPLINE = Spline(6, base=LAW)
WEIGHTS = TwoSidedReLU(4, train="weights", base=LAW)
KNOTS = TwoSidedReLU(4, train="all", base=LAW)
METHODS = [
    (Euler(), SPLINE, 1, 32, 0.03),
    (Heun(), SPLINE, 2, 32, 1e-3),
    (RK4(), SPLINE, 4, 32, 2e-6),
    (Dopri5(), SPLINE, 5, 4, 1e-7),
    (JKO(), SPLINE, 1, 16, 0.06),
    (SDIRK2(), SPLINE, 2, 16, 2e-3),
    (SDIRK3(), SPLINE, 3, 16, 2e-4),
    (Cautious(), SPLINE, 1, 16, 0.03),
    (Rodas4(), SPLINE, 4, 16, 2e-6),
    (GaussNewton(damping=1e-9), WEIGHTS, 2, 8, 1e-3),
    (Limex(), KNOTS, 4, 16, 1e-5),
]


@pytest.mark.parametrize(
    ("integrator", "map", "order", "count", "tolerance"), METHODS, ids=[type(row[0]).__name__ for row in METHODS]
)
def test_methods_keep_their_order(integrator: Integrator, map: TransportMap, order: int, count: int, tolerance: float):
    coarse, fine = (error(map, integrator, 0.5, n) for n in (count, 2 * count))
    assert fine < tolerance
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.3)


def test_stages_of_rodas4_are_those_of_its_source():
    alpha, gamma = Rodas4.times()
    assert alpha == pytest.approx((0, 0.75, 0.21, 0.63, 1, 1), abs=1e-13)
    assert gamma == pytest.approx((0.25, -0.5, -0.023504, -0.0362, 0, 0), abs=1e-13)


# whole flows


@pytest.fixture(scope="module")
def flow() -> wgf.Flow:
    potential = Expressed(CENTRE, a=A, w=W)
    return wgf.solve(
        wgf.FokkerPlanck(D), law=LAW, potential=potential, t_end=1.0, saves=4, integrator=wgf.Rodas4(1e-9, 0.0)
    )


def test_a_driven_gaussian_to_eight_digits(flow: wgf.Flow):
    z = torch.linspace(-2, 3, 11, dtype=torch.float64)
    for t in (0.25, 0.6, 1.0):  # 0.6 lies between two saved times
        assert flow.map(t, z) == pytest.approx(moved(t, z).numpy(), abs=3e-8)
    assert flow.w2(flow.reference_solution) < 1e-8
    assert isinstance(flow.reference_solution, Driven)


def test_energy_changes_by_the_work_less_the_dissipation(flow: wgf.Flow):
    first, last = (float(terms.sum()) for terms in (flow.saved.terms[0], flow.saved.terms[-1]))
    # E = D int log rho rho + int V rho, in closed form
    m, s = float(moved(1.0, torch.tensor(0.5))), math.sqrt(0.8**2 * math.exp(-2) + D * (1 - math.exp(-2)))
    exact = -D * math.log(s / 0.8) + 0.5 * (s * s + (m - A * math.sin(W)) ** 2) - 0.5 * (0.8**2 + 0.5**2)
    assert last - first == pytest.approx(exact, abs=3e-8)
    assert last - first == pytest.approx(flow.clock.work - flow.clock.dissipated, abs=2e-6)
    assert flow.clock.work > 0.1
    assert flow.table()["work"][-1] == flow.clock.work


@pytest.mark.parametrize(("at_start", "at_end"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_energies_know_what_ripples_at_either_end_change_them(at_start: float, at_end: float):
    """Four nodes per cell hardly see cos 30 x, which grows or fades in time."""
    potential = Expressed("x**2/2 + 0.1*(a + (b - a)*t)*cos(30*x)", a=at_start, b=at_end)
    flow = wgf.solve(
        wgf.FokkerPlanck(0.5), potential=potential, t_end=1.0, saves=1, network=Spline(8, 3, base=Gaussian()),
        quadrature=Gauss(4), reference_solution="none",
    )  # fmt: skip
    true = [flow.expectation(t, f"x**2/2 + {0.1 * s}*cos(30*x)") for t, s in ((0.0, at_start), (1.0, at_end))]
    wrong = max(abs(float(terms[0]) - v) for terms, v in zip(flow.saved.terms, true, strict=True))
    theta = flow.saved.theta[-1]
    stated = measure(flow, State(theta, flow.projection.over(1.0, 1.0)(theta))).energy_error
    assert stated is not None
    assert (wrong > 1e-3) == (at_start != at_end)
    assert 0.9 * wrong <= stated <= 2.1 * wrong + 1e-4


def test_the_exact_solution_solves_its_equations_and_finite_volumes_agree():
    known = find(posed())
    assert known is not None
    z = torch.linspace(-2, 3, 11, dtype=torch.float64)
    assert torch.allclose(known(0.7, z), moved(0.7, z), atol=1e-11, rtol=0)
    volumes = finite_volume.solve(posed(), [0.5])
    assert torch.allclose(torch.as_tensor(volumes(0.5, z)), moved(0.5, z), atol=3e-7, rtol=0)


def test_a_driven_double_well_against_chebyshev_collocation():
    low, high, n, t = -4.5, 5.5, 112, 0.5
    d, s = differentiation(n)
    x, d = low + (high - low) * (s + 1) / 2, d * 2 / (high - low)
    still, push = (d * (x**3 - x) + D * d @ d)[1:-1, 1:-1], d[1:-1, 1:-1]
    start = np.exp(-((x[1:-1] - 0.5) ** 2) / 1.28) / math.sqrt(1.28 * math.pi)
    path = solve_ivp(
        lambda t, rho: still @ rho - math.sin(3 * t) * (push @ rho),
        (0.0, t),
        start,
        "BDF",
        jac=lambda t, rho: still - math.sin(3 * t) * push,
        rtol=1e-9,
        atol=1e-11,
    )
    rho = chebyshev.Chebyshev(np.linalg.solve(chebyshev.chebvander(s, n), np.pad(path.y[:, -1], 1)), domain=[low, high])
    places = np.array([-1.0, 0.0, 0.5, 1.0, 1.5])
    network = wgf.Spline(base=LAW, knots="adaptive", tol=1e-6)
    flow = wgf.solve(wgf.FokkerPlanck(D), potential=DRIVEN, t_end=t, saves=1, network=network)
    mass = rho.integ(lbnd=low)(places)
    assert flow.cdf(t, places) == pytest.approx(mass, abs=2e-6)
    assert flow.clock.transfers > 0


def test_a_rocked_ring_against_finite_volumes():
    """A force that reverses on a circle: the current of the flow is that of the finite volumes on it."""
    flow = wgf.solve(
        wgf.FokkerPlanck(0.5),
        domain=wgf.Circle(2 * math.pi),
        law=wgf.Formula("1 + 0.5*cos(x-1)", low=0.0, high=2 * math.pi),
        potential="cos(x) - 2*sin(4*t)*x",
        t_end=0.5,
        saves=1,
    )
    assert flow.w2(flow.reference_solution) < 2e-4


class Tweezer(Potential):
    """V = (x - sin(3 t))^2/2 as a class."""

    moves = True

    def value_at(self, x: Tensor) -> Tensor:
        return 0.5 * (x - torch.sin(3 * self.t)) ** 2


def test_a_class_is_the_same_as_its_formula():
    flows = [wgf.solve(wgf.FokkerPlanck(D), potential=v, t_end=0.3, saves=1) for v in (Tweezer(), CENTRE_1)]
    assert flows[0].w2(flows[1]) < 1e-12
    assert flows[0].clock.work == pytest.approx(flows[1].clock.work, rel=1e-12)


CENTRE_1 = "(x - sin(3*t))**2/2"


def test_rates_are_derivatives_in_time():
    v, x, h = Expressed("exp(-t)*x**4 + cos(t)"), torch.linspace(-1, 1, 5, dtype=torch.float64), 1e-5
    rate, bend = rates(v.at(0.3), x)
    one, two = v.at(0.3 - h), v.at(0.3 + h)
    assert torch.allclose(rate, (two.value_at(x) - one.value_at(x)) / (2 * h), atol=1e-9)
    assert torch.allclose(bend, (two.derivative(x) - one.derivative(x)) / (2 * h), atol=1e-9)
    assert [float(part.abs().max()) for part in rates(Expressed("x**2"), x)] == [0, 0]


def test_single_precision_moves_with_the_potential():
    settings = {"potential": Expressed(CENTRE, a=A, w=W), "t_end": 0.2, "saves": 1, "law": LAW}
    one, two = (wgf.solve(wgf.FokkerPlanck(D), **settings, dtype=dtype) for dtype in ("float32", "float64"))
    assert one.status.is_success
    assert one.clock.work == pytest.approx(two.clock.work, rel=1e-3)
    assert one.w2(two) < 1e-4


def test_a_given_t_is_a_constant():
    assert not Expressed("t*x**2/2", t=2.0).moves
    assert Expressed("t*x**2/2", t=2.0).parabola() == (0.0, 2.0, 0.0)
    assert Expressed("t*x**2/2").moves
    assert Expressed("t*x**2/2").parabola() is None
    assert Expressed("t*x**2/2").at(3.0).parabola() == (0.0, 3.0, 0.0)
    assert find(FokkerPlanck().problem(LAW, Expressed("x**2/2 + 0.1*t*x**4"), Zero(), 1.0)) is None


def test_what_needs_a_potential_at_rest_says_so():
    def refused(**more) -> str:
        with pytest.raises(ConfigError) as caught:
            wgf.solve(wgf.FokkerPlanck(D), **{"potential": CENTRE_1, "t_end": 0.1, **more})
        return str(caught.value)

    assert "a driven flow never rests" in refused(stop="steady")
    assert "do not depend on the time" in refused(engine="compiled")
    assert "at t=0.0125" in refused(potential="t*log(abs(x))")
    grown = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    assert "does not depend on the time" in refused(potential=Expressed("a*x**2/2 - t*x", a=grown))
    flow = wgf.solve(wgf.FokkerPlanck(D), potential=CENTRE_1, t_end=0.1, saves=1)
    assert "do not depend on the time" in (flow.certificate(rich=False).unknown or "")


V = (1 + math.exp(-2)) / 2  # variance at t = 1/2 in V = x^2, D = 1, from 1
SWITCHES = {  # V, and the work of its jump: int (V(t+) - V(t-)) rho
    "where(t < 0.5, x**2, x**2/2)": -V / 2,
    "x**2/2 + where(t < 0.3, 0, 5)": 5.0,
    "where(t < 0.31, x**2/2, (x - 1)**2/2)": 0.5,
    "where(t < 0.5, x**2/2, (x - 1)**2/2)": 0.5,
}


@pytest.mark.parametrize("method", [Rodas4(), SDIRK2(), SDIRK3()])
@pytest.mark.parametrize("expr", SWITCHES)
def test_a_potential_that_jumps_in_time_does_its_work(expr: str, method: Integrator):
    """Simpson's rule of dV/dt saw no jump: the work was 0, and runs ended because the energy rose."""
    flow = wgf.solve(wgf.FokkerPlanck(), potential=expr, t_end=1.0, saves=4, integrator=method)
    assert flow.status is Status.completed
    assert flow.clock.work == pytest.approx(SWITCHES[expr], abs=1e-5 if isinstance(method, Rodas4) else 2e-3)
    first, last = (float(flow.table()["energy"][k]) for k in (0, -1))
    assert last - first == pytest.approx(flow.clock.work - flow.clock.dissipated, abs=3e-3)


@given(centre=st.floats(-1e6, 1e6), w=st.floats(0.1, 10.0))
@settings(max_examples=10)
def test_the_work_of_what_does_not_jump_has_no_jumps_by_rounding(centre: float, w: float):
    """V at the particles has few digits far from 0."""
    a, b = (
        wgf.solve(
            wgf.FokkerPlanck(), potential=f"(x - ({c}) - sin({w}*t))**2/2 + 1e3", law=Gaussian(c), t_end=0.1, saves=1,
            network=Spline(8, 3, base=Gaussian(c)),
        ).clock.work
        for c in (0.0, centre)
    )  # fmt: skip
    assert b == pytest.approx(a, abs=1e-9 * (1 + abs(centre)))
