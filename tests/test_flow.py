"""What a flow answers, against closed forms and an independent code."""

import math

import numpy as np
import pytest
import torch
from chebyshev import fokker_planck_density
from hypothesis import given, settings
from hypothesis import strategies as st
from known_flows import in_the_well, relaxed, relaxing, saved_often, still, well
from scipy import stats

import wgf


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


def test_a_map_by_a_function_must_increase_and_may_return_arrays():
    """A map that falls carries a normal law to itself, but its particles have other ranks: the distance was 2."""
    flow = relaxing()
    gap = flow.w2(lambda t, z: z)
    assert flow.w2(lambda t, z: z.numpy()) == gap
    assert flow.w2(lambda t, z: 0.0) == pytest.approx(math.hypot(relaxed(1.0).mean(), relaxed(1.0).std()), rel=1e-6)
    for falling in (lambda t, z: -z, lambda t, z: z - 0.01 * torch.sin(200 * z)):
        with pytest.raises(wgf.ConfigError, match=r"^other falls somewhere in z: expected a map .* that increases$"):
            flow.w2(falling)
    for wrong, what in ((lambda t, z: None, "NoneType"), (lambda t, z: z[:2], r"Tensor of shape \[2\]")):
        with pytest.raises(wgf.ConfigError, match=f"^other returns a {what}: expected a tensor of one real number"):
            flow.w2(wrong)


def test_reference_solution():
    flow = relaxing()
    assert "self-similar" in flow.reference_solution.name
    assert flow.w2(flow.reference_solution, 0.77) < 1e-8
    coarse = in_the_well(2, network=wgf.Spline(8, base=wgf.Gaussian()))
    assert coarse.w1(coarse.reference_solution) == pytest.approx(coarse.w1(well()), abs=1e-6)
    z = coarse.saved_maps.z
    inside = np.abs(z) < 4
    assert coarse.saved_maps.exact_T[-1, inside] == pytest.approx(well().map(0.2, z[inside]), abs=1e-5)
    with pytest.raises(
        wgf.ConfigError, match=r"other is unknown at t=0.15: it has failed, or is known at \[0.0, 0.1, 0.2\] only"
    ):
        coarse.w1(coarse.reference_solution, 0.15)
    alone = in_the_well(1, reference_solution="none")
    assert alone.reference_solution is None
    assert alone.saved_maps.exact_T is None
    with pytest.raises(wgf.ConfigError, match="other=None is not allowed: expected a flow"):
        alone.w2(alone.reference_solution)
    with pytest.raises(wgf.ConfigError, match="reference_solution=exact is impossible"):
        in_the_well(1, reference_solution="exact")


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


def test_times_much_shorter_than_the_end_are_known():
    """The law was that of the last saved time within 1e-12 of the end."""
    stiffness = 1e5
    flow = wgf.solve(
        wgf.FokkerPlanck(stiffness), law=wgf.Gaussian(3.0, 0.5), potential=wgf.potentials.Quadratic(stiffness),
        t_end=1e6, saves=[1e-6, 1.0],
    )  # fmt: skip
    for t in (9e-7, 1e-6, 1.9e-6):
        assert flow.quantile(t, 0.5) == pytest.approx(3.0 * math.exp(-stiffness * t), abs=1e-5)


@pytest.mark.parametrize("law", [wgf.Student(3.0), wgf.Student(2.5, -4.0, 2.0), wgf.LogNormal(2.0)])
def test_the_inverse_map_is_as_sharp_for_heavy_tails(law: wgf.Base):
    """It was so only relative to the cell, which reaches 1e10 into the tail: 1.4e-5 off."""
    flow = wgf.solve(wgf.FokkerPlanck(0.3), law=law, potential="x^2/2", t_end=0.1, saves=1)
    x = flow.quantile(0.1, np.linspace(0.05, 0.95, 91))
    assert flow.map(0.1, flow.inverse(0.1, x)) == pytest.approx(x, rel=1e-13, abs=1e-14)
