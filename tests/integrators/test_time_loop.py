"""The time loop on small fields whose solution is known: when it stops, where it stands, what it keeps."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from wgf.integrators.base import Integrator, State
from wgf.integrators.explicit import RK4, Dopri5, Euler, Heun
from wgf.integrators.status import Status
from wgf.integrators.time_loop import Clock, End, evolve
from wgf.projection.field import Evaluation

FIXED = [Euler, Heun, RK4]
NAN = math.nan


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def evaluation(velocity: Tensor, energy: Tensor | float, slope: Tensor | float = 1.0) -> Evaluation:
    slope = torch.as_tensor(slope, dtype=velocity.dtype)
    return Evaluation(
        velocity=velocity,
        terms=torch.as_tensor(energy, dtype=velocity.dtype).reshape(1),
        min_slope=slope,
        dissipation=velocity.square().sum(),
        scale=torch.ones_like(slope),
        length=lambda displacement: displacement.norm(),
        report=dict,
    )


def climbing(theta: Tensor, rate: float = 1.0) -> Evaluation:
    """Every step raises the energy, however short."""
    return evaluation(torch.ones_like(theta), rate * theta.sum())


# a problem whose lengths are in standard deviations
UNIT = SimpleNamespace(law=SimpleNamespace(std=1.0), least_size=1.0, rounding=64.0)


@dataclass
class Decay:
    """theta' = -rate theta, the gradient flow of F = rate |theta|^2/2.

    Attributes:
        slope: min f' as a function of theta.
        calls: evaluations so far.
    """

    rate: float = 1.0
    slope: Callable[[Tensor], Tensor] = lambda theta: theta.new_ones(())
    calls: int = 0
    problem = UNIT

    def __call__(self, theta: Tensor) -> Evaluation:
        self.calls += 1
        return evaluation(-self.rate * theta, 0.5 * self.rate * theta.square().sum(), self.slope(theta))


@dataclass
class Log:
    """Remembers what the loop reports."""

    steps: list[tuple[Clock, Tensor, float]] = field(default_factory=list)
    stops: list[tuple[Clock, Tensor]] = field(default_factory=list)

    def step(self, clock: Clock, state: State, energy: float) -> None:
        self.steps.append((replace(clock), state.theta, energy))

    def stop(self, clock: Clock, state: State) -> None:
        self.stops.append((replace(clock), state.theta))

    @property
    def times(self) -> list[float]:
        return [clock.t for clock, _, _ in self.steps]


def flow(
    velocity: Callable[[Tensor], Evaluation],
    integrator: Integrator,
    stops: list[float],
    theta: Tensor | None = None,
    observer: Log | None = None,
    **options,
) -> tuple[End, Log]:
    if not hasattr(velocity, "problem"):
        velocity.problem = UNIT
    velocity.over, velocity.stage = lambda begin, end: velocity, lambda share: velocity
    observer, start = observer or Log(), vector(1.0) if theta is None else theta
    try:
        return evolve(velocity, integrator, start, stops, observer, **options), observer
    except KeyboardInterrupt:  # would end the whole test session
        pytest.fail("an interruption went through the loop")


# the end


@pytest.mark.parametrize("method", [*FIXED, Dopri5])
@pytest.mark.parametrize("stops", [[1.0], [0.1 * 3], [1 / 3, 2 / 3, 1.0], [0.7 * k / 7 for k in range(1, 8)], [1e-9]])
@pytest.mark.parametrize("dt", [0.3, 0.07, 0.1])
def test_stops_are_met_exactly(method: type[Integrator], stops: list[float], dt: float):
    end, log = flow(Decay(), method(dt=dt), stops)
    assert end.status is Status.completed
    assert end.clock.t == stops[-1]
    assert [clock.t for clock, _ in log.stops] == [0.0, *stops]
    assert torch.equal(log.stops[-1][1], end.state.theta)
    assert torch.equal(log.stops[0][1], vector(1.0))  # the start is not changed
    assert log.times == sorted(set(log.times))
    assert len(log.steps) == end.clock.steps
    assert set(stops) <= set(log.times)
    assert float(end.state.theta) == pytest.approx(math.exp(-stops[-1]), rel=0.6 * dt)


@pytest.mark.parametrize(
    ("dt", "t_end", "count"), [(0.3, 1.0, 4), (0.1, 0.3, 3), (1e-3, 1.0, 1000), (0.1, 0.1 * 3, 3), (1 / 49, 1, 49)]
)
def test_equal_steps_reach_the_end_without_a_sliver(dt: float, t_end: float, count: int):
    end, log = flow(Decay(), Euler(dt=dt), [t_end])
    assert end.clock.steps == count
    taken = t_end / count
    assert log.times == [*(k * taken for k in range(1, count)), t_end]  # no rounding adds up
    assert end.clock.dt == taken <= dt * (1 + 1e-9)
    assert float(end.state.theta) == pytest.approx((1 - taken) ** count, rel=1e-12)


def test_fixed_steps_that_do_not_fit_are_named():
    assert Euler(dt=0.1).shortened([0.1 * k for k in range(1, 11)]) is None
    assert Dopri5(dt=0.3).shortened([1.0]) is None
    words = Euler(dt=0.3).shortened([0.6, 1.0])
    assert words is not None
    assert words.startswith("integrator.dt: steps of 0.2 instead of 0.3")


@pytest.mark.parametrize("method", FIXED)
def test_order_with_saved_times_inside_of_steps(method: type[Integrator]):
    """Fixed steps that do not fit between the saved times are equal ones, so that the order holds at all of them."""
    stops = [0.37, 0.71, 1.0]

    def error(dt: float) -> float:
        _, log = flow(Decay(), method(dt=dt), stops)
        return max(abs(float(theta) - math.exp(-clock.t)) for clock, theta in log.stops)

    coarse, fine = (error(0.37 / n) for n in (8, 16))
    assert math.log2(coarse / fine) > method.order - 0.35


@pytest.mark.parametrize("method", [*FIXED, Dopri5])
def test_a_step_longer_than_the_time(method: type[Integrator]):
    end, _ = flow(Decay(), method(dt=50.0), [0.01])
    assert (end.status, end.clock.t, end.clock.steps) == (Status.completed, 0.01, 1)
    assert float(end.state.theta) == pytest.approx(math.exp(-0.01), abs=1e-4)


@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
def test_tolerance_is_kept(rtol: float):
    end, log = flow(Decay(3.0), Dopri5(rtol=rtol, atol=1e-14), [0.5, 2.0], vector(1.0, 0.3))
    assert end.state.theta.tolist() == pytest.approx([math.exp(-6), 0.3 * math.exp(-6)], abs=10 * rtol)
    assert end.clock.steps < (40 if rtol > 1e-5 else 200)
    # a saved time cuts a step at most in two and leaves no sliver behind
    dts = [clock.dt for clock, _, _ in log.steps]
    assert min(dts[1:]) > 0.1 * max(dts[:1])


def test_saved_times_do_not_slow_an_adaptive_run_down():
    """A step cut short by a saved time says nothing against longer ones."""
    end, log = flow(Decay(), Dopri5(dt=0.1, rtol=1e-4), [0.1, 0.1 + 1e-6, 1.0])
    dts = [clock.dt for clock, _, _ in log.steps]
    assert dts[:2] == pytest.approx([0.1, 1e-6])
    assert dts[2] > 0.09
    assert end.clock.steps < 10


def test_clock_counts():
    velocity = Decay()
    end, log = flow(velocity, RK4(dt=0.1), [1.0])
    assert (end.clock.steps, end.clock.rejected) == (10, 0)
    assert end.clock.evaluations == velocity.calls == 41
    energies = [energy for _, _, energy in log.steps]
    assert energies == sorted(energies, reverse=True)
    assert energies[-1] == pytest.approx(0.5 * float(end.state.theta) ** 2)
    # the trapezoid rule for the dissipated energy
    assert end.clock.dissipated == pytest.approx(0.5 - energies[-1], rel=5e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_steady_state_is_no_rise_of_energy(dtype: torch.dtype):
    """The energy of a state at rest jitters in its last digits."""

    def velocity(theta: Tensor) -> Evaluation:
        jitter = 3 * torch.finfo(dtype).eps * torch.rand((), dtype=dtype)
        return evaluation(torch.zeros_like(theta) * theta, -5.0 * (1 - jitter))

    end, _ = flow(velocity, Euler(dt=0.1), [10.0], torch.ones(3, dtype=dtype))
    assert end.status is Status.completed


# the other ends


FIXED_ENDS = {
    # theta -> (1 - 0.4) theta until the slope, theta - 0.3, is negative
    "fold": (Decay(4.0, slope=lambda theta: theta.min() - 0.3), Euler(dt=0.1), Status.folded, 2, 0.36),
    "flat map": (Decay(1.0, slope=lambda theta: theta.min() - 0.5), Euler(dt=0.5), Status.folded, 0, 1.0),
    "energy rise": (Decay(30.0), Euler(dt=0.1), Status.energy_rise, 0, 1.0),  # theta -> -2 theta
    "max_steps": (Decay(), Euler(dt=0.1, max_steps=3), Status.max_steps, 3, 0.9**3),
    "as many steps as allowed": (Decay(), Euler(dt=0.1, max_steps=10), Status.completed, 10, 0.9**10),
}


@pytest.mark.parametrize(("velocity", "method", "status", "steps", "theta"), FIXED_ENDS.values(), ids=FIXED_ENDS)
def test_a_failed_step_leaves_the_state_before_it(velocity, method, status: Status, steps: int, theta: float):
    end, log = flow(velocity, method, [1.0])
    assert end.status is status
    assert end.clock.steps == len(log.steps) == steps
    assert end.clock.t == pytest.approx(method.dt * steps)
    assert end.clock.rejected == (status in (Status.folded, Status.energy_rise))
    assert float(end.state.theta) == pytest.approx(theta)
    if status is Status.folded:
        assert float(end.state.evaluation.min_slope) == float(velocity.slope(end.state.theta))
        assert str(method.dt) in end.detail


@pytest.mark.parametrize(
    ("rate", "least_size", "status"),
    [
        (1e-18, 1e-18, Status.energy_rise),
        (1e-18, 0.0, Status.energy_rise),
        (1e-34, 1e-18, Status.completed),
        (1e18, 1e18, Status.energy_rise),
        (1.0, 1e18, Status.completed),
    ],
)
def test_the_energy_may_rise_by_rounding_in_any_unit(rate: float, least_size: float, status: Status):
    def velocity(theta: Tensor) -> Evaluation:
        return climbing(theta - 1, rate)

    velocity.problem = SimpleNamespace(law=UNIT.law, least_size=least_size, rounding=64.0)
    assert flow(velocity, Euler(dt=0.1), [1.0])[0].status is status


def test_sampling_noise_excuses_a_small_rise():
    for noise, status in ((0.0, Status.energy_rise), (0.01, Status.completed)):
        assert flow(lambda theta: climbing(theta, 0.01), Euler(dt=0.1), [1.0], noise=noise)[0].status is status


def after(threshold: float, velocity: float = -1.0, energy: float = 0.0) -> Callable[[Tensor], Evaluation]:
    """A field that moves to the left, and answers with the values given once theta is below the threshold."""

    def field(theta: Tensor) -> Evaluation:
        beyond = bool(theta.min() < threshold)
        return evaluation(torch.full_like(theta, velocity if beyond else -1.0), theta.sum() + (energy if beyond else 0))

    return field


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
def test_an_energy_that_is_not_finite(bad: float):
    end, _ = flow(after(0.45, energy=bad), Euler(dt=0.1), [1.0])
    assert end.status is Status.not_finite
    assert (float(end.state.theta), end.clock.t) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("bad", [NAN, math.inf])
def test_a_solver_without_an_answer(bad: float):
    end, _ = flow(after(0.45, velocity=bad), Euler(dt=0.1), [1.0])
    assert end.status is Status.solver_failed
    assert end.state.theta.isfinite().all()
    assert end.state.evaluation.velocity.isfinite().all()


def test_parameters_that_overflow():
    end, _ = flow(lambda theta: evaluation(torch.full_like(theta, 1e308), 0.0), Euler(dt=1.0), [10.0])
    assert end.status is Status.not_finite
    assert end.state.theta.isfinite().all()


STARTS = {
    Status.folded: lambda theta: evaluation(-theta, theta.sum(), -1.0),
    Status.not_finite: lambda theta: evaluation(-theta, NAN),
    Status.solver_failed: lambda theta: evaluation(-theta * NAN, theta.sum()),
}


@pytest.mark.parametrize("status", STARTS, ids=str)
@pytest.mark.parametrize("method", [Euler, Dopri5])
def test_a_bad_start_is_no_run(method: type[Integrator], status: Status):
    end, log = flow(STARTS[status], method(), [1.0])
    assert end.status is status
    assert (end.clock.t, end.clock.steps, log.steps, log.stops) == (0.0, 0, [], [])
    assert "start" in end.detail


def test_max_steps_counts_rejected_ones():
    """Otherwise a run that rejects for ever never returns."""
    wall = Decay(1.0, slope=lambda theta: theta.min() - 0.5)
    end, _ = flow(wall, Dopri5(dt=0.1, dt_min=1e-300, max_steps=200), [2.0])
    assert end.status is Status.max_steps
    assert end.clock.steps + end.clock.rejected == 200
    assert end.clock.rejected > 50


# adaptive retries


def test_a_rejected_step_is_tried_again_smaller():
    """The first step is far too long: it would fold the map, and raise the energy."""
    velocity = Decay(1.0, slope=lambda theta: theta.min())
    end, log = flow(velocity, Dopri5(dt=100.0, rtol=1e-6), [30.0])
    assert end.status is Status.completed
    assert end.clock.rejected >= 1
    assert log.steps[0][0].dt < 30.0
    assert min(float(theta.min()) for _, theta, _ in log.steps) > 0
    for (_, _, before), (_, _, after) in pairwise(log.steps):
        assert after <= before + 1e-12
    assert end.clock.evaluations == velocity.calls


def test_a_step_with_a_large_error_is_tried_again_smaller():
    def velocity(theta: Tensor) -> Evaluation:  # theta' = -sin(20 theta), smooth but fast
        return evaluation(-torch.sin(20 * theta), -torch.cos(20 * theta).sum() / 20)

    end, _ = flow(velocity, Dopri5(dt=0.5, rtol=1e-8, atol=1e-12), [0.5], vector(0.02))
    assert end.status is Status.completed
    assert end.clock.rejected >= 1
    exact = 2 * math.atan(math.tan(10 * 0.02) * math.exp(-20 * 0.5)) / 20
    assert float(end.state.theta) == pytest.approx(exact, abs=1e-8)


def test_fold_that_no_shorter_step_avoids():
    """Nothing but the state itself passes: the flow runs into a wall at theta = 0.5."""
    wall = Decay(1.0, slope=lambda theta: theta.min() - 0.5)
    end, _ = flow(wall, Dopri5(dt=0.01, dt_min=1e-9), [2.0])
    assert end.status is Status.folded
    assert end.clock.t == pytest.approx(math.log(2), abs=1e-6)
    assert 0 < float(end.state.evaluation.min_slope) < 1e-6


def test_step_too_small():
    end, log = flow(climbing, Dopri5(dt=0.01, dt_min=1e-9), [2.0])
    assert end.status is Status.step_too_small
    assert (end.clock.t, end.clock.steps, log.steps, float(end.state.theta)) == (0.0, 0, [], 1.0)
    assert end.clock.rejected > 5
    assert Status.energy_rise.value in end.detail


def test_step_too_small_says_that_the_error_was_the_reason():
    def velocity(theta: Tensor) -> Evaluation:  # a jump of the field at 0.5, attracting from both sides
        return evaluation(-torch.sign(theta - 0.5), (theta - 0.5).abs().sum())

    end, _ = flow(velocity, Dopri5(dt=0.01, dt_min=1e-6, rtol=1e-12, atol=1e-14), [2.0])
    assert end.status is Status.step_too_small
    assert end.detail
    assert float(end.state.theta) == pytest.approx(0.5, abs=1e-4)


# blow-up


@pytest.mark.parametrize("integrator", [RK4(dt=0.1), Dopri5()])
def test_blow_up_when_the_slope_vanishes(integrator: Integrator):
    velocity = Decay(1.0, slope=lambda theta: theta.min())
    assert flow(velocity, RK4(dt=0.1), [20.0])[0].status is Status.completed  # without attraction
    end, log = flow(velocity, integrator, [20.0], attractive=True)
    assert end.status is Status.blow_up
    assert 0 < end.clock.t < 20.0
    assert 0 < float(end.state.evaluation.min_slope) < 1e-3
    assert torch.equal(log.steps[-1][1], end.state.theta)


def test_a_blow_up_is_a_slope_that_is_small_against_the_first_one():
    velocity = Decay(1.0, slope=lambda theta: 1e-3 * theta.min())  # a steep law: the map starts with small slopes
    end = flow(velocity, RK4(dt=0.1), [20.0], attractive=True, first_slope=1e-3)[0]
    assert end.status is Status.blow_up
    assert 1e-7 < float(end.state.evaluation.min_slope) < 1e-6
    assert flow(velocity, RK4(dt=0.1), [1.0], attractive=True)[0].clock.steps < 3


@pytest.mark.parametrize("attractive", [True, False])
def test_blow_up_in_finite_time_when_no_step_is_short_enough(attractive: bool):
    """theta = (1 - t)^(1/2) ends at t = 1."""

    def velocity(theta: Tensor) -> Evaluation:
        return evaluation(-0.5 / theta, 0.5 * theta.clamp(min=1e-30).log().sum(), theta.min())

    end, _ = flow(velocity, Dopri5(dt_min=1e-9), [2.0], attractive=attractive)
    assert end.status in ([Status.blow_up] if attractive else [Status.step_too_small, Status.folded])
    assert end.clock.t == pytest.approx(1.0, abs=1e-3)
    assert float(end.state.theta) > 0


# interruption


@pytest.mark.parametrize("at", [1, 14, 16])
def test_interrupted_in_a_step(at: int):
    decay = Decay()

    def velocity(theta: Tensor) -> Evaluation:
        if decay.calls == at:
            raise KeyboardInterrupt
        return decay(theta)

    end, log = flow(velocity, RK4(dt=0.1), [1.0])
    steps = (at - 1) // 4
    assert end.status is Status.interrupted
    assert end.clock.steps == len(log.steps) == steps
    assert end.clock.t == pytest.approx(0.1 * steps)
    assert float(end.state.theta) == pytest.approx(math.exp(-0.1 * steps), rel=1e-6)


@pytest.mark.parametrize(("where", "steps"), [("step", 4), ("stop", 5)])
def test_interrupted_while_the_observer_works(where: str, steps: int):
    """Most of a run with many rows is spent there."""

    class Interrupted(Log):
        def step(self, clock: Clock, state: State, energy: float) -> None:
            super().step(clock, state, energy)
            if where == "step" and clock.steps == 4:
                raise KeyboardInterrupt

        def stop(self, clock: Clock, state: State) -> None:
            super().stop(clock, state)
            if where == "stop" and clock.t == 0.5:
                raise KeyboardInterrupt

    end, log = flow(Decay(), Euler(dt=0.1), [0.5, 1.0], observer=Interrupted())
    assert end.status is Status.interrupted
    assert end.clock.steps == len(log.steps) == steps
    assert float(end.state.theta) == pytest.approx(0.9**steps)


def test_other_errors_are_not_swallowed():
    def velocity(theta: Tensor) -> Evaluation:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        flow(velocity, Euler(), [1.0])


def test_every_status_says_what_it_means():
    assert len({status.value for status in Status}) == len(Status)
    assert all(str(status) == status.name for status in Status)
    assert min(len(status.value) for status in Status) > 10


# integrators that are not strict


@pytest.mark.parametrize("method", FIXED)
def test_a_step_that_is_not_strict_goes_on_and_notes_the_time(method: type[Integrator]):
    """The slope 2 theta - 1 of theta = e^-t turns negative after ln 2."""
    folding = Decay(slope=lambda theta: 2 * theta[0] - 1)
    end, _ = flow(folding, method(dt=0.01, strict=False), [1.0])
    assert end.status is Status.completed
    assert end.clock.folded_at == pytest.approx(math.log(2), abs=0.02)
    assert end.clock.raised_at is None
    assert flow(folding, method(dt=0.01), [1.0])[0].status is Status.folded


def test_a_rise_of_the_energy_is_noted_and_a_number_that_is_not_finite_still_ends_the_run():
    """The energy ends at 0.5: at the first fold of a diffusion, or after the fold of a transport."""
    end, _ = flow(climbing, Euler(dt=0.1, strict=False), [1.0])
    assert (end.status, end.clock.raised_at, end.clock.folded_at) == (Status.completed, pytest.approx(0.1), None)
    lost = lambda theta, s: evaluation(-theta, torch.where(theta > 0.5, theta, torch.nan).sum(), theta[0] - s)  # noqa: E731
    for slope, status in ((0.5, Status.folded), (0.8, Status.not_finite)):
        end, _ = flow(lambda theta, s=slope: lost(theta, s), Euler(dt=0.1, strict=False), [1.0])
        assert end.status is status
        assert (end.clock.folded_at is None) == (status is Status.folded)
        assert ("where the energy is not finite" in end.detail) == (status is Status.folded)
