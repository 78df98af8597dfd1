"""The program in one call: what a solution answers, against closed forms and an independent code."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from chebyshev import fokker_planck_density
from composed_configs import composed
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from scipy import stats
from short_runs import config, run_config

import wgf

WELL = "x**4/4 - x**2/2"


@cache
def relaxing(mean: float = 1.0, std: float = 0.5) -> wgf.Flow:
    """N(mean, std^2) on its way to N(0, 1): the map is affine, the network has no error in space."""
    law = wgf.Gaussian(mean, std)
    tight = wgf.Rodas4(rtol=1e-10, atol=1e-12)
    bowl = wgf.potentials.Quadratic()
    return wgf.solve(wgf.FokkerPlanck(), law=law, potential=bowl, t_end=1.0, saves=4, integrator=tight)


def relaxed(t: float, mean: float = 1.0, std: float = 0.5):
    """The law it has at t."""
    return stats.norm(mean * math.exp(-t), math.sqrt(1 + (std**2 - 1) * math.exp(-2 * t)))


@cache
def well() -> wgf.Flow:
    fine = wgf.Spline(96, 5, 5.0, base=wgf.Gaussian())
    return in_the_well(2, network=fine, integrator=wgf.Rodas4(rtol=1e-9, atol=1e-12))


def in_the_well(saves: Any, t_end: float = 0.2, **options: Any) -> wgf.Flow:
    """N(0, 1) in the double well."""
    return wgf.solve(wgf.FokkerPlanck(), potential=WELL, t_end=t_end, saves=saves, **options)


@cache
def saved_often() -> wgf.Flow:
    return in_the_well(20)


def still(**options: Any) -> wgf.Flow:
    """A flow of no energy, which stands still."""
    return wgf.solve(wgf.LinearTransport(), t_end=1.0, saves=1, **options)


# what a solution answers


@pytest.mark.parametrize("t", [0.0, 0.25, 0.4321, 1.0])
def test_a_gaussian_stays_one(t: float):
    flow, law = relaxing(), relaxed(t)
    x, u = np.linspace(-3, 4, 71).reshape(1, 71), np.array([0.0, 1e-12, 0.3, 0.5, 0.999, 1.0])
    assert flow.density(t, x) == pytest.approx(law.pdf(x), rel=1e-7, abs=1e-30)
    assert flow.cdf(t, x) == pytest.approx(law.cdf(x), rel=1e-7, abs=1e-30)
    assert flow.quantile(t, u) == pytest.approx(law.ppf(u), abs=1e-8)
    assert flow.map(t, x) == pytest.approx(law.ppf(relaxed(0).cdf(x)), abs=1e-6)
    assert flow.slope(t, 0.7) == pytest.approx(law.std() / 0.5, abs=1e-8)
    assert flow.inverse(t, flow.map(t, x)) == pytest.approx(x, abs=1e-9)
    assert isinstance(flow.density(t, 1), float)
    assert flow.density(t, torch.ones(2, 1)).shape == (2, 1)


@pytest.mark.parametrize("t", [0.1, 0.2])
def test_density_in_the_double_well_to_six_digits(t: float):
    x = np.linspace(-3, 3, 301)
    truth = fokker_planck_density(lambda y: y**3 - y, 1.0, t, -7.0, 7.0, 240)
    assert np.abs(well().density(t, x) - truth(x)).max() < 1e-6
    assert np.abs(well().cdf(t, x) - truth.integ(lbnd=-7)(x)).max() < 1e-7


def test_between_the_saved_times_the_flow_goes_on_as_it_went():
    times = [0.03, 0.05, 0.111]
    saved = in_the_well(times, integrator=wgf.Rodas4(rtol=1e-8, atol=1e-10))
    assert saved.t.tolist() == [0.0, *times, 0.2]
    free = in_the_well(1, integrator=saved.integrator)
    z = np.linspace(-4, 4, 81)
    for t in times:
        assert free.map(t, z) == pytest.approx(saved.map(t, z), abs=1e-6)
        assert free.w2(saved, t) < 1e-7


def test_bounded_support():
    law = wgf.Uniform(0.0, 1.0)  # T = z e^-t in V = x^2/2
    flow = wgf.solve(wgf.LinearTransport(), law=law, potential="x**2/2", t_end=1, saves=np.int64(1), device="auto")
    end = math.exp(-1)
    x = np.array([-1e-9, 1e-9, 0.2, end - 1e-6, end + 1e-6, 50.0])
    assert flow.density(1.0, x) == pytest.approx([0, *[math.e] * 3, 0, 0], abs=1e-5)
    assert flow.cdf(1.0, x) == pytest.approx([0, 0, 0.2 * math.e, 1, 1, 1], abs=1e-5)
    assert flow.inverse(1.0, x[[0, -1]]).tolist() == [-math.inf, math.inf]
    assert flow.quantile(1.0, [0, 1]) == pytest.approx([0, end], abs=1e-6)


def test_far_beyond_every_knot_the_law_is_that_of_the_map():
    flow = relaxing()
    x = np.array([-40.0, -12.0, 15.0, 30.0])
    assert np.log(flow.density(1.0, x)[1:3]) == pytest.approx(relaxed(1.0).logpdf(x[1:3]), rel=1e-6)
    assert flow.cdf(1.0, x)[-1] == 1.0
    assert flow.density(1.0, np.array([math.nan, math.inf, -math.inf])) == pytest.approx([math.nan, 0, 0], nan_ok=True)


@settings(max_examples=15)
@given(t=st.floats(0, 0.2), z=st.lists(st.floats(-4, 4), min_size=1, max_size=20))
def test_density_map_and_mass_belong_together(t: float, z: list[float]):
    flow, start = saved_often(), np.array(z)
    x = flow.map(t, start)
    assert flow.inverse(t, x) == pytest.approx(start, abs=1e-9)
    assert flow.cdf(t, x) == pytest.approx(stats.norm.cdf(start), abs=1e-10)
    assert flow.quantile(t, stats.norm.cdf(start)) == pytest.approx(x, abs=1e-9)
    h = 1e-5
    slope = (flow.cdf(t, x + h) - flow.cdf(t, x - h)) / (2 * h)
    assert flow.density(t, x) == pytest.approx(slope, abs=1e-6)


def test_sample():
    flow = relaxing()
    particles = flow.sample(1.0, 20_000, seed=3)
    assert stats.kstest(particles, relaxed(1.0).cdf).pvalue > 1e-3
    assert np.array_equal(particles, flow.sample(1.0, 20_000, seed=3))
    assert particles == pytest.approx(flow.map(1.0, flow.sample(0.0, 20_000, seed=3)), abs=1e-12)
    assert not np.array_equal(particles, flow.sample(1.0, 20_000))


def test_energy_is_that_of_the_gaussian():
    flow = relaxing()
    means, stds = np.array([(relaxed(t).mean(), relaxed(t).std()) for t in flow.t]).T
    assert flow.terms["potential"] == pytest.approx(0.5 * (means**2 + stds**2), abs=1e-8)
    assert flow.terms["entropy"] == pytest.approx(-0.5 * np.log(2 * np.pi * np.e * stds**2), abs=1e-8)
    assert flow.energy == pytest.approx(sum(flow.terms.values()))
    assert still().energy.tolist() == [0.0, 0.0]


# distances


def test_distance_of_two_solutions_from_different_laws():
    one, two = relaxing(), relaxing(-0.5, 2.0)
    for t in (0.0, 0.3, 1.0):
        a, b = relaxed(t), relaxed(t, -0.5, 2.0)
        assert one.w2(two, t) == pytest.approx(math.hypot(a.mean() - b.mean(), a.std() - b.std()), abs=1e-7)
        assert two.w1(one, t) == pytest.approx(one.w1(two, t), abs=1e-10)
    assert one.w2(two) == one.w2(two, 1.0)
    assert one.w2(one) == 0.0


def test_distance_to_a_law_of_another_kind():
    flow = still(law=wgf.Uniform())
    # W2^2 = int (2u - 1 - q(u))^2 du = 1/3 + 1 - 2/sqrt(pi), q the normal quantile: int (2u - 1) q = 1/sqrt(pi)
    assert flow.w2(wgf.Gaussian()) == pytest.approx(math.sqrt(4 / 3 - 2 / math.sqrt(math.pi)), abs=1e-9)
    u = (np.arange(1_000_000) + 0.5) / 1_000_000
    assert flow.w1(wgf.Gaussian()) == pytest.approx(np.abs(2 * u - 1 - stats.norm.ppf(u)).mean(), abs=1e-6)
    laplace = still(law=wgf.Laplace())
    assert laplace.w2(flow) == pytest.approx(laplace.w2(wgf.Uniform()), abs=1e-12)
    assert laplace.w2(flow) == pytest.approx(flow.w2(laplace), abs=1e-9)


def test_reference_solution():
    flow = relaxing()
    assert "self-similar" in flow.reference_solution.name
    assert flow.w2(flow.reference_solution, 0.77) < 1e-8
    coarse = in_the_well(2, network=wgf.Spline(8, base=wgf.Gaussian()))
    assert coarse.w1(coarse.reference_solution) == pytest.approx(coarse.w1(well()), abs=1e-6)
    z = coarse.saved_maps.z
    inside = np.abs(z) < 4
    assert coarse.saved_maps.exact_T[-1, inside] == pytest.approx(well().map(0.2, z[inside]), abs=1e-5)
    with pytest.raises(wgf.ConfigError, match=r"t=0.15 is not allowed: .* known at \[0.0, 0.1, 0.2\] only"):
        coarse.w1(coarse.reference_solution, 0.15)
    alone = in_the_well(1, reference_solution="none")
    assert alone.reference_solution is None
    assert alone.saved_maps.exact_T is None
    with pytest.raises(wgf.ConfigError, match="other=None: expected a flow"):
        alone.w2(alone.reference_solution)
    with pytest.raises(wgf.ConfigError, match="reference_solution=exact is impossible"):
        in_the_well(1, reference_solution="exact")


# how a run ends


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


# the folder of a run


def command(folder, *overrides: str) -> dict:
    words = ["logger=none", "figures=false", "reference_solution=none"]
    return run_config(config(*words, *overrides), folder)


def test_the_folder_of_a_run_answers_like_a_flow(tmp_path):
    result = command(tmp_path, "saves=4")
    flow, stored = wgf.load(tmp_path), wgf.SavedMaps.load(tmp_path / "solution.npz")
    assert flow.status is wgf.Status.completed
    assert flow.t.tolist() == stored.t.tolist() == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    assert flow.map(0.15, stored.z) == pytest.approx(stored.T[3], rel=1e-12, abs=1e-14)
    assert flow.energy[-1] == pytest.approx(result["energy"], rel=1e-12)
    assert flow.clock.steps == result["steps"]
    assert flow.density(0.17, 0.5) > 0
    same = wgf.solve(wgf.FokkerPlanck(), potential=wgf.potentials.Quartic(1.0), t_end=0.2, saves=4)
    assert flow.saved.theta[-1].tolist() == pytest.approx(same.saved.theta[-1].tolist(), rel=1e-12)


@pytest.mark.parametrize("overrides", [["integrator.max_steps=7"], ["pde=keller_segel", "pde.chi=1.5", "t_end=5"]])
def test_a_run_that_stopped_early_is_no_longer_than_it_was(tmp_path, overrides: list[str]):
    result = command(tmp_path, "potential=none", *overrides)
    flow = wgf.load(str(tmp_path))
    assert flow.status.name == result["status"] != "completed"
    assert flow.t[-1] == result["t_end"]
    with pytest.raises(wgf.ConfigError, match=f"where the run stopped: {result['status']}"):
        flow.density(result["t_wanted"], 0.0)
    (tmp_path / "result.json").unlink()
    assert wgf.load(tmp_path).status is not wgf.Status.completed


def test_what_is_no_run(tmp_path):
    with pytest.raises(wgf.ConfigError, match="is not the folder of a run: it has no config"):
        wgf.load(tmp_path)
    config = tmp_path / "config.yaml"
    for text in ("a: [", "- 1", "t_end: -1"):
        config.write_text(text)
        with pytest.raises(wgf.ConfigError):
            wgf.load(tmp_path)
    config.write_text(OmegaConf.to_yaml(composed()))
    with pytest.raises(wgf.ConfigError, match="has no checkpoint"):
        wgf.load(tmp_path)


# the pieces


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


# arrays and pictures


def test_arrays_are_those_of_the_network(tmp_path):
    flow = relaxing()
    flow.save(tmp_path / "solution.npz")
    stored = wgf.SavedMaps.load(tmp_path / "solution.npz")
    assert np.array_equal(stored.t, flow.t)
    assert np.array_equal(stored.T[2], flow.map(flow.t[2], stored.z))
    assert stored.rho[-1] == pytest.approx(flow.density(1.0, stored.T[-1]), abs=1e-12)


def test_plot():
    flow = relaxing()
    assert flow.plot().axes[-2].get_xlabel() == "position $x$"  # the last axes are the bar of the times
    assert flow.plot()._repr_png_().startswith(b"\x89PNG")  # what a notebook asks for
    assert flow.plot("map").axes[0].get_ylabel() == "position $x = T(t, z)$"
    with pytest.raises(wgf.ConfigError, match="name='densities' is not allowed: expected one of density, ridgeline"):
        flow.plot("densities")
    assert flow.plot("film").frames
    assert flow.plot("steps").axes[0].lines
    assert "total $F$" in flow.plot("energy").axes[0].get_legend_handles_labels()[1]
    with pytest.raises(wgf.ConfigError, match="needs a reference"):
        wgf.solve(wgf.FokkerPlanck(), t_end=0.01, saves=1, reference_solution="none").plot("errors")


def test_a_notebook_shows_a_flow_without_a_reference():
    flow = wgf.solve(wgf.FokkerPlanck(), t_end=0.01, saves=1)
    assert "W2 error" not in flow._repr_html_()
    assert "reference_solution" not in vars(flow)
    assert flow.saved_maps.errors is not None
    assert "against exact: self-similar solution" in flow._repr_html_()
    assert flow.problem.equation in flow._repr_html_()
