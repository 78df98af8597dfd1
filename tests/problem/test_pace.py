"""Pace of potentials that move: no method steps over what V does for a short while."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

import wgf
from wgf.problem.base import Law
from wgf.problem.equations import (
    NO_INTERACTION,
    AggregationDiffusion,
    FokkerPlanck,
    LinearTransport,
    Problem,
)
from wgf.problem.interaction import Interaction, Pairwise
from wgf.problem.laws import Gaussian, Student
from wgf.problem.potential import Expressed, Potential, Quartic
from wgf.reference_solutions import choose as comparison
from wgf.reference_solutions import exact, particles
from wgf.reference_solutions.finite_volumes import refinement

PUSH = "20*exp(-((t - 0.37)/0.003)**2)"  # for a hundredth of the end time
LAW = Gaussian(0.3, 1.2)


def pushed(
    pde: wgf.PDE, v: str | Potential, law: Law = LAW, w: Interaction = NO_INTERACTION, unit: float = 1.0
) -> Problem:
    return pde.problem(law, Expressed(v) if isinstance(v, str) else v, w, unit)


def mean_at_the_end() -> float:
    """M(1) of M' = -M + g(t) by quadrature."""

    def effect(s: float) -> float:
        return 20 * math.exp(-(((s - 0.37) / 0.003) ** 2) - (1 - s))

    return 0.3 * math.exp(-1) + quad(effect, 0, 1, points=[0.36, 0.37, 0.38], epsabs=1e-14)[0]


class Still(Potential):
    """A potential of one's own, which moves without a formula."""

    moves = True

    def value_at(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x * x - x * 20 * torch.exp(-(((self.t - 0.37) / 0.003) ** 2))


class Bump(Pairwise):
    """W = -exp(-r^2)."""

    def kernel(self, r: torch.Tensor) -> torch.Tensor:
        return -torch.exp(-r * r)

    def force(self, r: torch.Tensor) -> torch.Tensor:
        return 2 * r * torch.exp(-r * r)


@given(st.floats(0.02, 0.97), st.floats(0.002, 0.1), st.floats(-9, 9), st.floats(1e-3, 1e3), st.floats(-3, 3))
def test_steps_look_at_every_push(at: float, width: float, size: float, unit: float, lag: float) -> None:
    """With two thirds of the largest push at least, in any unit of time, after any number of steps of any lengths."""
    expr = f"x**2/2 + x*exp({size})*exp(-((t/{unit} - {at})/{width})**2)"
    pace = pushed(FokkerPlanck(), expr, unit=unit).pace(1e-12)
    t, nearest = 0.0, math.inf
    while t < unit:
        t += min(pace.longest(t), unit * 10**-lag)
        nearest = min(nearest, abs(t / unit - at) / width)
    assert nearest < 0.64


@given(st.floats(0.02, 0.3), st.floats(0.4, 0.9), st.floats(0.002, 0.02), st.floats(0.0, 1e5))
def test_a_large_change_hides_no_small_one(first: float, second: float, width: float, ratio: float) -> None:
    assume(second - first > 14 * width)  # else the large one is within 16 tau of the small one
    push = f"exp(-((t - {second})/{width})**2) + {ratio}*exp(-((t - {first})/{width})**2)"
    pace, t, nearest = pushed(FokkerPlanck(), f"x**2/2 + x*({push})").pace(1e-12), 0.0, math.inf
    while t < 1.0:
        t += pace.longest(t)
        nearest = min(nearest, abs(t - second) / width)
    assert nearest < 0.8


@pytest.mark.parametrize("place", [-1.1, 0.0, 0.65, 2.0])
def test_pushes_of_a_few_particles_count(place: float) -> None:
    push = f"20*exp(-((x - {place})/0.07)**2)*exp(-((t - 0.37)/0.003)**2)"
    assert 0.36 < pushed(FokkerPlanck(), f"x**2/2 + {push}").pace(1e-12).longest(0.0) < 0.375


@pytest.mark.parametrize("omega", [3.0, 40.0, 300.0])
def test_an_oscillation_is_followed_at_its_own_pace(omega: float) -> None:
    pace = pushed(FokkerPlanck(), f"x**2/2 + 0.1*x*sin({omega}*t)").pace(1e-12)
    steps = [pace.longest(t) * omega for t in np.linspace(0.1, 0.9, 50)]
    assert min(steps) > 0.7
    assert max(steps) < 3.2


@pytest.mark.parametrize("expr", ["x**4/4", "x**2/2 + t*x", "(1 + t)*x**2/2", "x**2/2 + 1e-9*x*sin(40*t)"])
def test_what_rests_or_moves_evenly_or_does_nothing_sets_no_pace(expr: str) -> None:
    pace = pushed(FokkerPlanck(), expr).pace(1e-6)
    assert pace.longest(0.0) == pace.longest(0.7) == pace.longest(1.0) == math.inf
    assert pace.shortest == math.inf


def test_a_jump_is_seen_within_a_look() -> None:
    pace = pushed(FokkerPlanck(), "x**2/2 - x*where(t < 0.5003, 0, 1)").pace(1e-12)
    assert 0.5 < pace.longest(0.0) < 0.5015
    assert pace.longest(0.5002) < 1e-3
    assert pace.shortest > 1e-4


def test_places_where_v_is_no_number_do_not_count() -> None:
    law = Student(3.0)  # so wide that some places lie far beyond the wall of log
    pace = pushed(FokkerPlanck(), "x**2/2 - t**2*log(x + 7)", law).pace(1e-12)
    assert 0.1 < pace.longest(0.1) < 3


def test_a_potential_of_ones_own_and_its_formula_have_one_pace() -> None:
    """But for what the formula shows between the looks, 3e-4 apart while the push lasts."""
    own = pushed(FokkerPlanck(), Still()).pace(1e-12)
    same = pushed(FokkerPlanck(), f"x**2/2 - x*{PUSH}").pace(1e-12)
    times = 0.0, 0.36, 0.4
    assert [own.longest(t) for t in times] == pytest.approx([same.longest(t) for t in times], rel=0.03)


PULSES = {
    "bell": "exp(-((t - {at})/{tau})**2)/sqrt(pi)/{tau}",
    "fraction": "1/(1 + ((t - {at})/{tau})**2)/pi/{tau}",
    "box": "where(abs(t - {at}) < {tau}/2, 1/{tau}, 0)",
}


@pytest.mark.parametrize("tau", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("at", [0.37, 0.370123], ids=["at a look", "between looks"])
@pytest.mark.parametrize("form", PULSES)
def test_a_formula_shows_pulses_between_the_looks(form: str, at: float, tau: float) -> None:
    """Few steps reach it, and some begin while it lasts."""
    pace = pushed(FokkerPlanck(), f"x**2/2 - x*{PULSES[form].format(at=at, tau=tau)}").pace(1e-7)
    t, inside, count = 0.0, 0, 0
    while t < at + tau and count < 5000:
        t, count = t + min(pace.longest(t), 0.3), count + 1
        inside += abs(t - at) < tau
    assert inside > 1
    assert count < 5000


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_pulses_are_found_in_any_unit_of_length(unit: float) -> None:
    """1e-7 of the end time long, they move particles by a standard deviation."""
    law = Gaussian(0.0, unit)
    found = pushed(FokkerPlanck(1e-12), f"-{unit}*x*{PULSES['bell'].format(at=0.6180339, tau=1e-7)}", law)._changes
    assert len(found) > 1
    assert all(abs(each.begin - 0.618034) < 1e-3 for each in found[1:])


@pytest.mark.parametrize(
    "expr",
    ["(x - sin(30*t))**2/2 + cos(x)*t", "x**4*(1 + exp(-t)*sin(7*t))", "abs(x - t)", "where(x < t, 0, x - t)**2"],
)
def test_what_the_looks_show_is_no_pulse(expr: str) -> None:
    assert len(pushed(FokkerPlanck(), expr)._changes) == 1


@pytest.mark.parametrize("pde", [LinearTransport(), FokkerPlanck()], ids=["transport", "diffusion"])
@pytest.mark.parametrize("tau", [1e-5, 1e-7])
def test_flows_and_closed_forms_feel_a_pulse(pde: wgf.PDE, tau: float) -> None:
    """It moves the law by 1 at t = 0.370123."""
    v = f"x**2/2 - x*{PULSES['bell'].format(at=0.370123, tau=tau)}"
    flow = wgf.solve(pde, law=LAW, potential=v, t_end=1.0, saves=1)
    right = 0.3 * math.exp(-1) + math.exp(0.370123 - 1)
    assert flow.expectation(1.0, "x") == pytest.approx(right, abs=1e-6)
    known = flow.reference_solution
    assert isinstance(known, exact.Driven)
    assert known.moments(1.0)[0] == pytest.approx(right, abs=1e-10)


def test_finite_volumes_feel_a_pulse() -> None:
    """It moves a normal law that is at rest by 1 at t = 0.370123."""
    law, t = Gaussian(0.0, 1.0), 0.5
    v = f"x**2/2 - x*{PULSES['bell'].format(at=0.370123, tau=1e-6)}"
    found = refinement.solve(pushed(FokkerPlanck(), v, law), [t])
    z = torch.linspace(-3, 3, 99, dtype=torch.float64)
    gap = (found(t, z) - z).numpy() - math.exp(0.370123 - t)
    assert np.abs(gap).max() < 1e-6
    assert found.error < 1e-6


@pytest.mark.parametrize("method", [wgf.Rodas4(), wgf.Dopri5(), wgf.Rodas4(dt=0.5, rtol=1e-3)], ids=["a", "b", "c"])
def test_a_run_feels_a_short_push(method: wgf.Integrator) -> None:
    flow = wgf.solve(FokkerPlanck(), law=LAW, potential=f"x**2/2 - x*{PUSH}", t_end=1.0, saves=1, integrator=method)
    rough = method.rtol > 1e-4
    assert flow.expectation(1.0, "x") == pytest.approx(mean_at_the_end(), abs=1e-2 if rough else 2e-5)


def test_closed_forms_feel_a_short_push() -> None:
    known = exact.find(pushed(FokkerPlanck(), f"x**2/2 - x*{PUSH}"))
    assert isinstance(known, exact.Driven)
    first = known.moments(1.0)
    assert first[0] == pytest.approx(mean_at_the_end(), abs=1e-12)
    assert known.moments(0.38) != first  # the time goes back, and forth again to the same bits
    assert known.moments(1.0) == first
    assert pickle.loads(pickle.dumps(known)).moments(1.0) == first


@pytest.mark.parametrize("force", ["sqrt(1-t)", "log(1.0001-t)"])
@pytest.mark.parametrize("pde", [FokkerPlanck(), LinearTransport()])
def test_no_closed_form_looks_beyond_the_end(pde: wgf.PDE, force: str) -> None:
    """There V may be no number."""
    known = exact.find(pushed(pde, f"x**2/2 - x*{force}"))
    assert known is not None
    z = torch.zeros(1, dtype=torch.float64)
    right = {"sqrt(1-t)": lambda s: math.sqrt(1 - s), "log(1.0001-t)": lambda s: math.log(1.0001 - s)}[force]
    mean = quad(lambda s: right(s) * math.exp(s - 1), 0, 1, epsabs=1e-12)[0]
    tail = known(1.0, z + LAW.mean).item() - LAW.mean * math.exp(-1)
    assert tail == pytest.approx(mean, abs=1e-7)


def test_characteristics_feel_a_short_push() -> None:
    known = exact.find(pushed(LinearTransport(), f"x**4/4 - x**2/2 - x*{PUSH}"))
    assert known is not None
    z = torch.tensor([-2.0, 0.1, 1.3], dtype=torch.float64)

    def velocity(t: float, x: np.ndarray) -> np.ndarray:
        return x - x**3 + 20 * math.exp(-(((t - 0.37) / 0.003) ** 2))

    truth = solve_ivp(velocity, (0, 1), z.numpy(), rtol=1e-11, atol=1e-11, max_step=1e-3).y[:, -1]
    assert known(1.0, z).numpy() == pytest.approx(truth, abs=1e-9)


def test_particles_feel_a_short_push() -> None:
    found = particles.solve(pushed(AggregationDiffusion(0.0), f"x**2/2 - x*{PUSH}", w=Bump()), [1.0])
    z, w = (torch.from_numpy(part) for part in particles.yardstick(LAW))
    assert float(w @ found(1.0, z)) == pytest.approx(mean_at_the_end(), abs=1e-8)  # W moves no mean


def test_finite_volumes_feel_a_short_push() -> None:
    found = comparison.computed(pushed(FokkerPlanck(), f"x**2/2 - x*{PUSH}"), [1.0], "finite_volume")
    assert found is not None
    z, w = (torch.from_numpy(part) for part in particles.yardstick(LAW))
    assert float(w @ found(1.0, z)) == pytest.approx(mean_at_the_end(), abs=1e-6)
    assert found.error < 1e-6


def test_runs_in_potentials_at_rest_keep_their_steps() -> None:
    assert pushed(FokkerPlanck(), Quartic()).pace(1e-12).longest(0.0) == math.inf
