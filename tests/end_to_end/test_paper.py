"""The figures of the paper's scheme, from config to error: exact and Chebyshev maps, invariants, moments."""

import math

import numpy as np
import pytest
import torch
from chebyshev import fokker_planck_map
from composed_configs import composed

from wgf.integrators.base import State
from wgf.integrators.status import Status
from wgf.integrators.time_loop import Clock, End, evolve
from wgf.run import runner
from wgf.run.metrics import Metrics
from wgf.run.runner import Experiment


class Witness:
    """Holds every accepted step to the invariants: mass is exact by construction, the energy falls, f' > 0."""

    def __init__(self) -> None:
        self.energies: list[float] = []
        self.slopes: list[float] = []

    def step(self, clock: Clock, state: State, energy: float) -> None:
        self.energies.append(energy)
        self.slopes.append(float(state.evaluation.min_slope))

    def stop(self, clock: Clock, state: State) -> None:
        pass

    def check(self) -> None:
        energies = np.array(self.energies)
        assert min(self.slopes) > 0
        assert (np.diff(energies) <= 1e-13 * (1 + np.abs(energies[1:]))).all()


def solved(*overrides: str) -> tuple[Experiment, End]:
    """The end of the paper's network, or another one, under these overrides."""
    experiment = runner.build(composed("network=two_sided_relu", "integrator=rodas4", *overrides))
    witness = Witness()
    problem, theta = experiment.problem, experiment.map.theta.detach()
    attractive = problem.collapses
    end = evolve(experiment.projection, experiment.integrator, theta, [problem.t_end], witness, attractive=attractive)
    witness.check()
    return experiment, end


def measured(experiment: Experiment, end: End, exact=None) -> dict[str, float]:
    metrics = Metrics(experiment.problem, experiment.map, exact or experiment.exact)
    found, error = metrics.moments(end.state), metrics.error(end.clock.t, end.state.theta)
    if error is not None:
        found |= {"w1_error": error.w1, "w2_error": error.w2}
    assert found["mass"] == pytest.approx(1, abs=1e-10)  # the rest is quadrature of an algebraic edge
    return found


class Chebyshev:
    """The quartic Fokker-Planck map by an independent code."""

    name = "chebyshev"

    def __call__(self, t: float, z: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(fokker_planck_map(lambda x: (x - 1) ** 3 - (x - 1), 1.0, t, -7, 7, 240, z.numpy()))


# ln W1 of weights only, bound 4; transport by Euler with dt = 1e-4, and with the error of time gone
TABLE = {4: -2.116, 8: -3.719, 16: -5.353, 32: -6.877, 64: -8.302}
TRANSPORT = {8: (-3.665, -3.665), 16: (-5.383, -5.385), 32: (-6.903, -6.918), 64: (-8.264, -8.359)}


@pytest.mark.parametrize("width", TABLE)
def test_weights_only_fokker_planck(width: int):
    experiment, end = solved(f"network.width={width}")
    assert end.status is Status.completed
    assert math.log(measured(experiment, end, Chebyshev())["w1_error"]) == pytest.approx(TABLE[width], abs=0.005)


@pytest.mark.parametrize("width", TRANSPORT)
def test_weights_only_transport(width: int):
    by_euler, converged = TRANSPORT[width]
    common = ("pde=linear_transport", f"network.width={width}")
    experiment, end = solved(*common, "integrator=euler", "integrator.dt=1e-4")
    assert end.status is Status.completed
    assert math.log(measured(experiment, end)["w1_error"]) == pytest.approx(by_euler, abs=0.005)
    experiment, end = solved(*common, "integrator.rtol=1e-8")
    assert math.log(measured(experiment, end)["w1_error"]) == pytest.approx(converged, abs=0.005)


def test_four_neurons_fold_the_transport_map():
    """The projected flow of m = 4 truly folds at t = 0.014. Stepping on regardless gives the figure of a folded map."""
    common = ("pde=linear_transport", "network.width=4", "integrator=euler", "integrator.dt=2e-4")
    experiment, end = solved(*common)
    assert end.status is Status.folded
    assert end.clock.t == pytest.approx(0.014, abs=1e-3)
    field, state = experiment.projection, end.state
    theta = experiment.map.theta.detach()
    state = State(theta, field(theta))
    for _ in range(1000):
        state = experiment.integrator.step(field, 2e-4, state).state
    assert float(state.evaluation.min_slope) < -3
    metrics = Metrics(experiment.problem, experiment.map, experiment.exact)
    assert math.log(metrics.error(0.2, state.theta).w1) == pytest.approx(-1.993, abs=0.005)


def test_the_set_up_of_the_paper():
    experiment = runner.build(composed("experiment=paper_default"))
    witness = Witness()
    end = evolve(experiment.projection, experiment.integrator, experiment.map.theta.detach(), [0.2], witness)
    witness.check()
    assert end.clock.steps == 1000
    assert math.log(measured(experiment, end, Chebyshev())["w1_error"]) == pytest.approx(-5.35, abs=0.05)


def test_biases_are_of_first_order_at_least_over_a_short_time():
    """Later the knots have moved by more than their distance, cross, and leave gaps: the order is lost."""
    errors = []
    for width in (8, 16):
        overrides = (f"network.width={width}", "network.train=biases", "t_end=0.02", "integrator=dopri5")
        experiment, end = solved(*overrides, "integrator.rtol=1e-6")
        assert end.status is Status.completed
        errors.append(measured(experiment, end, Chebyshev())["w1_error"])
    order = math.log2(errors[0] / errors[-1])
    assert order > 0.9
    assert errors[-1] < 2.2e-3


AFFINE = {
    "shifted": ("potential=quadratic", "t_end=1", "law.mean=1", "law.std=0.5"),
    "drifting": ("potential=quadratic", "potential.center=2", "potential.stiffness=1.5", "pde.diffusion=0.3"),
    "heat": ("potential=none", "t_end=0.5", "law.mean=-1", "law.std=2"),
    "barenblatt": ("pde=porous_medium", "potential=none", "law=barenblatt", "t_end=1"),
    "barenblatt of g = 3": (
        "pde=porous_medium",
        "pde.exponent=3",
        "potential=none",
        "law=barenblatt",
        "law.exponent=3",
        "law.t0=0.5",
        "t_end=0.5",
    ),
    "attraction": (
        "pde=aggregation_diffusion",
        "pde.diffusion=0",
        "interaction=quadratic",
        "interaction.strength=2",
        "potential=none",
        "law=laplace",
        "t_end=0.5",
    ),
    "transport": ("pde=linear_transport", "potential=quadratic", "law=uniform", "t_end=1"),
}
METHODS = {
    "rk4": ("integrator=rk4", "integrator.dt=2e-3"),
    "dopri5": ("integrator=dopri5", "integrator.rtol=1e-10", "integrator.atol=1e-12"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", AFFINE)
def test_affine_solutions_to_nine_digits(case: str, method: str):
    experiment, end = solved("network.width=4", *AFFINE[case], *METHODS[method])
    assert end.status is Status.completed
    found = measured(experiment, end)
    assert found["w1_error"] < 1e-9
    assert found["w2_error"] < 1e-9


@pytest.mark.parametrize("chi", [0.5, 1.5])
def test_the_second_moment_of_keller_segel(chi: float):
    experiment, end = solved(
        "pde=keller_segel", f"pde.chi={chi}", "potential=none", "t_end=0.3", "integrator.rtol=1e-7"
    )
    assert end.status is Status.completed
    assert measured(experiment, end)["second_moment"] == pytest.approx(1 + 2 * (1 - chi) * 0.3, abs=1e-8)


def test_particles_reach_their_sampling_floor():
    """The paper's quadrature: the error of 10^5 particles is about their number to the power -1/2."""
    overrides = ("quadrature=monte_carlo", "quadrature.particles=100000", "network.width=16")
    experiment, end = solved(*overrides)
    assert end.status is Status.completed
    assert measured(experiment, end, Chebyshev())["w1_error"] == pytest.approx(math.exp(TABLE[16]), abs=5e-3)


@pytest.mark.parametrize("integrator", ["euler", "dopri5", "jko", "sdirk3", "rodas4"])
def test_single_precision_follows_double(integrator: str):
    ends = [solved("network.width=12", f"integrator={integrator}", f"dtype={d}") for d in ("float32", "float64")]
    assert all(end.status is Status.completed for _, end in ends)
    (_, single), (_, double) = ends
    assert single.state.theta.dtype is torch.float32
    assert double.state.evaluation.length(single.state.theta.double() - double.state.theta) < 2e-5
