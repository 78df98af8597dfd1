"""The program in one call: how a run ends, and its pieces."""

import math

import numpy as np
import pytest
import torch
from known_flows import WELL, in_the_well, relaxed, relaxing

import wgf


def test_a_run_says_how_it_ended():
    for t in (-0.1, 1.1, math.nan):
        with pytest.raises(wgf.ConfigError, match=r"expected a time from 0 to 1$"):
            relaxing().map(t, 0.0)
    with pytest.raises(wgf.ConfigError, match=r"u=1\.5 is not allowed"):
        relaxing().quantile(1.0, 1.5)
    assert relaxing().status is wgf.Status.completed
    assert "t = 1 of 1" in repr(relaxing())
    with pytest.warns(wgf.Incomplete, match=r"stopped at t=0\.\d+ of 5, blow_up") as caught:
        flow = wgf.solve(wgf.KellerSegel(chi=1.5), t_end=5.0, saves=50, reference_solution="none")
    assert caught[0].filename == __file__
    assert flow.status is wgf.Status.blow_up
    assert "blow_up" in repr(flow)
    assert 0 < flow.t[-1] < 1
    with pytest.raises(wgf.ConfigError, match=r"expected a time from 0 to 0\.\d+, where the run stopped: blow_up"):
        flow.density(1.0, 0.0)
    assert flow.density(flow.t[-1], 0.0) > flow.density(0.0, 0.0)
    assert any("blow" in text.get_text() for text in flow.plot().axes[0].texts)  # in the heading


def test_every_piece_can_be_given():
    law = wgf.Mixture()
    network = wgf.TwoSidedReLU(12, base=law)
    before = network.theta.detach().clone()
    flow = wgf.solve(
        wgf.AggregationDiffusion(0.5),
        potential=wgf.potentials.Quadratic(2.0),
        interaction=wgf.interactions.Quadratic(0.5),
        network=network,
        integrator=wgf.RK4(1e-3),
        quadrature=wgf.Gauss(4),
        solver=wgf.Banded(),
        t_end=0.05,
        saves=1,
    )
    assert flow.status is wgf.Status.completed
    assert flow.problem.law is law
    assert flow.clock.steps == 50
    assert torch.equal(network.theta, before)
    assert flow.sample(0.05, 7).shape == (7,)
    equal = wgf.solve(wgf.FokkerPlanck(), law=wgf.Mixture(), network=network, t_end=0.01)
    assert equal.problem.law is law  # equal laws are one


class Variance(wgf.Term):
    """Half the variance: it couples all particles, and says no more than its value."""

    name = "variance"

    def value(self, at: wgf.MapAtNodes) -> torch.Tensor:
        return 0.5 * torch.dot(at.w, (at.x - torch.dot(at.w, at.x)) ** 2)


class Gathering(wgf.PDE):
    def internal(self) -> wgf.Term:
        return Variance()


def test_an_energy_that_is_only_a_value():
    law = wgf.Laplace(1.0)  # T = 1 + (z - 1) e^-t
    flow = wgf.solve(Gathering(), law=law, integrator=wgf.Dopri5(1e-9), t_end=1.0, saves=1)
    assert flow.map(1.0, [1.0, 3.0]) == pytest.approx([1.0, 1 + 2 * math.exp(-1)], abs=1e-8)
    with pytest.raises(wgf.ConfigError, match="implicit steps need the curvature of the energy Variance"):
        wgf.solve(Gathering(), law=law, t_end=1.0)


class Squares(wgf.Local):
    """U = rho^2 or, for warm > 0, something that depends on the place."""

    name, barrier = "squares", True

    def __init__(self, warm: float) -> None:
        self.warm = warm

    def density(self, x: torch.Tensor, dx: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
        return torch.exp(log_p) / dx * (1 + self.warm * x**2)


class Spreading(wgf.PDE):
    def __init__(self, warm: float = 0.0) -> None:
        self.warm = warm

    def internal(self) -> wgf.Term:
        return Squares(self.warm)


def test_finite_volumes_of_an_energy_of_ones_own(caplog: pytest.LogCaptureFixture):
    own = wgf.solve(Spreading(), law=wgf.Barenblatt(), t_end=0.1, saves=1)
    known = wgf.solve(wgf.PorousMedium(), law=wgf.Barenblatt(), t_end=0.1, saves=1)
    assert own.map(0.1, 0.5) == pytest.approx(known.map(0.1, 0.5), abs=1e-9)
    assert own.reference_solution.name.startswith("finite volumes")
    assert known.w1(own.reference_solution) < max(1e-6, own.reference_solution.error)
    warm = wgf.solve(Spreading(0.1), t_end=0.01, saves=1)
    assert warm.reference_solution is None
    assert "the internal energy Squares depends on more than the density" in caplog.text


@pytest.mark.parametrize(
    ("network", "method"),
    [
        (wgf.Spline(8, base=wgf.Gaussian()), wgf.Rodas4),
        (wgf.TwoSidedReLU(8, train="all", base=wgf.Gaussian()), wgf.Limex),
    ],
    ids=["spline", "relu"],
)
def test_the_integrator_suits_the_network(network: wgf.TransportMap, method: type[wgf.Integrator]):
    flow = in_the_well(1, t_end=0.01, network=network)
    assert type(flow.integrator) is method
    assert flow.status is wgf.Status.completed


def test_single_precision():
    options = {"law": wgf.Gaussian(1.0, 0.5), "potential": "x**2/2", "saves": np.int64(3)}
    flow = wgf.solve(wgf.FokkerPlanck(), t_end=1.0, dtype="float32", device="auto", **options)
    assert flow.saved.theta[-1].dtype == torch.float32
    assert flow.t[[0, -1]].tolist() == [0.0, 1.0]
    assert flow.density(1.0, [0.0, 1.0]) == pytest.approx(relaxed(1.0).pdf([0.0, 1.0]), abs=1e-4)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"t_end": 0}, "t_end=0 is not allowed: expected a finite number > 0"),
        ({"dtype": "float16"}, "dtype='float16' is not allowed: expected one of float64, float32"),
        ({"device": "cuda:9"}, "device='cuda:9' is unavailable"),
        ({"device": "nowhere"}, "device='nowhere' is not allowed: expected cpu, cuda, cuda:<number> or auto"),
        ({"device": "meta"}, "device='meta' is not allowed"),
        ({"saves": 0}, "saves=0 is not allowed: expected a whole number >= 1, or increasing times in (0, 1]"),
        ({"saves": [0.2, 0.1]}, "saves=[0.2, 0.1] is not allowed"),
        ({"saves": [0.5, 2.0]}, "saves=[0.5, 2.0] is not allowed"),
        ({"potential": "log(x)"}, "potential=log(x) is not finite at x=-"),
        ({"potential": "x/0"}, "potential=x/0 is not finite at x=-"),
        ({"potential": "-x**4", "t_end": 9}, "falls so fast that what is at x="),
        ({"law": wgf.Gaussian(1e9, 1e-3)}, "law is too narrow, too wide or too far from 0"),
        ({"potential": "x~2"}, "expr='x~2'"),
        ({"potential": 3}, "potential=3 is not allowed: expected an object of wgf.Potential or a text"),
        ({"integrator": "rk4"}, "integrator='rk4' is not allowed: expected an object of wgf.Integrator"),
        ({"pde": None}, "pde=None is not allowed: expected an object of wgf.PDE"),
        ({"pde": wgf.FokkerPlanck}, "such as wgf.FokkerPlanck(); did you forget ()?"),
        ({"interaction": wgf.interactions.Log()}, "only pde=aggregation_diffusion takes an interaction"),
        (
            {"law": wgf.Laplace(), "network": wgf.TwoSidedReLU(base=wgf.Gaussian())},
            "law and network.base are not the same: pass",
        ),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict, line: str):
    call = {"pde": wgf.FokkerPlanck(), "potential": WELL, "t_end": 1.0} | wrong
    with pytest.raises(wgf.ConfigError) as caught:
        wgf.solve(call.pop("pde"), **call)
    assert line in str(caught.value)
