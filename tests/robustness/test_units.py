"""The same problem in metres and in nanometres: every number follows."""

import math

import numpy as np
import pytest
import torch
from loaded_scripts import script
from scipy.special import gammainccinv

import wgf
from wgf.reference_solutions.exact import Driven
from wgf.reference_solutions.finite_volumes.refinement import LEVELS

script("stress")
from random_problems.similar import Similarity, applied, expected  # noqa: E402
from random_problems.solve import run_in_passing  # noqa: E402

SMALL = 2.0**-30
UNSTABLE = {
    "t_end": 36.4, "saves": 1, "dtype": "float64", "pde": "aggregation_diffusion", "pde.diffusion": 0.0,
    "interaction": "morse", "interaction.attraction": 0.963, "interaction.repulsion": 1.24,
    "interaction.attraction_length": 1.54, "interaction.repulsion_length": 0.555, "potential": "none", "law": "uniform",
    "law.low": -1.98, "law.high": -1.177, "network": "spline", "network.width": 32, "network.bound": 4.57,
    "network.degree": 4, "quadrature.order": 7, "integrator": "heun", "integrator.dt": 3.64,
}  # fmt: skip
KINKED = {
    "t_end": 0.0555, "saves": 1, "dtype": "float64", "pde": "linear_transport", "potential": "expression",
    "potential.expr": "1.83*abs(abs((x+1.35)) - 1) + 0.289*sin(2*(x+1.34))", "law": "semicircle", "law.radius": 1.95,
    "network": "spline", "network.width": 4, "network.degree": 3, "quadrature.order": 6, "integrator": "auto",
}  # fmt: skip
lengths = pytest.mark.parametrize("length", [1.0, SMALL, 2.0**-60])


@pytest.mark.parametrize("settings", [UNSTABLE, KINKED], ids=["unstable", "kinked"])
def test_a_run_in_another_unit_is_the_same(settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(LEVELS, False, (128, 256, 512))  # the finer grids take ten seconds
    unit = Similarity(SMALL, 0.0, 1.0, False)
    here, there = (run_in_passing(each, False) for each in (settings, applied(unit, settings)))
    assert here["status"] == there["status"] == ("energy_rise" if settings is UNSTABLE else "completed")
    assert here["steps"] == there["steps"]
    known = expected(unit, settings, here)
    for name in ("mean", "min_slope", "w2_error", "dissipated"):
        assert there[name] == (None if known[name] is None else pytest.approx(known[name], rel=1e-9)), name


@lengths
def test_the_path_in_a_parabola_that_moves(length):
    """m' = sin(3 t) - m."""
    law = wgf.Gaussian(0.5 * length, length)
    flow = wgf.solve(
        wgf.FokkerPlanck(length**2),
        law=law,
        potential=f"{length**2!r}*(x/{length!r} - sin(3*t))**2/2",
        t_end=2.0,
        saves=1,
    )
    assert isinstance(flow.reference_solution, Driven)
    mean = float(flow.reference_solution(2.0, torch.tensor([0.5 * length], dtype=torch.float64)))
    right = 0.8 * math.exp(-2) + (math.sin(6) - 3 * math.cos(6)) / 10
    assert mean / length == pytest.approx(right, abs=1e-12)


def test_distances_on_a_circle():
    found = []
    for length in (1.0, SMALL):
        law = wgf.TruncatedNormal(0.4 * length, 0.2 * length, 0.1 * length, 0.7 * length)
        flow = wgf.solve(
            wgf.FokkerPlanck(0.1 * length**2),
            domain=wgf.Circle(length),
            law=law,
            potential=f"{length**2!r}*sin(2*pi*x/{length!r})",
            t_end=0.01,
            saves=1,
            reference_solution="none",
            integrator=wgf.SDIRK2(dt=0.005),
        )
        found.append([distance / length for distance in (flow.w1(law), flow.w2(law), flow.w2(law, 0.0))])
    assert found[1] == pytest.approx(found[0], rel=1e-9)


@lengths
def test_densities_of_ensembles_reach_the_edges(length):
    law, at = wgf.Uniform(0.0, length), np.array([1e-5, 0.5, 1 - 1e-5]) * length
    flows = wgf.ensemble(
        wgf.LinearTransport(),
        {"k": [0.5, -1.0]},
        law=law,
        potential="k*x**2/2",
        t_end=0.1,
        saves=1,
        network=wgf.Spline(8, base=law),
    )
    edge = np.exp(-0.1 * flows.parameters["k"])
    right = np.where(at / length < edge[:, None], 1 / edge[:, None], 0.0) / length
    np.testing.assert_allclose(flows.density(0.1, at), right, rtol=1e-4)


@lengths
def test_differentiable_densities_reach_the_edges(length):
    law, k = wgf.Uniform(0.0, length), torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
    flows = wgf.ensemble(
        wgf.LinearTransport(),
        {"k": k},
        law=law,
        potential="k*x**2/2",
        t_end=0.1,
        saves=1,
        network=wgf.Spline(8, base=law),
    )
    found = flows.differentiable().log_density(np.array([1e-5, 0.5]) * length) + math.log(length)
    np.testing.assert_allclose(found.detach(), [[0.05, 0.05], [-0.1, -0.1]], rtol=1e-4)
    np.testing.assert_allclose(torch.autograd.grad(found[:, 0].sum(), k)[0], [0.1, 0.1], rtol=1e-4)


@lengths
def test_what_is_impossible_is_refused(length):
    law, form = wgf.Gaussian(0.0, length), f"{length**2!r}*(x/{length!r})"
    with pytest.raises(wgf.ConfigError, match="falls so fast"):
        wgf.solve(wgf.LinearTransport(), law=law, potential=f"-{form}**4", t_end=0.02)
    with pytest.raises(wgf.ConfigError, match="expected a periodic slope"):
        wgf.solve(
            wgf.FokkerPlanck(length**2),
            domain=wgf.Circle(length),
            law=wgf.Uniform(0.0, length),
            potential=f"{form}**2",
            t_end=0.01,
        )


FLAT = {  # flows to rest, where the energy is a small difference of large numbers
    "exponentials": (wgf.LinearTransport(), wgf.Gaussian(0.3, 0.1), "exp(x) - x - 1", None),
    "slow": (wgf.FokkerPlanck(1e-6), wgf.Gaussian(0.3, 0.1), "exp(x) - x - 1", None),
    "far": (wgf.FokkerPlanck(1e-4), wgf.Gaussian(1000.3, 0.1), "(x - 1000)**2/2", wgf.SDIRK2(dt=0.05)),
    "well": (wgf.FokkerPlanck(1e-4), wgf.Gaussian(1.3, 0.1), "x**4/4 - x**2/2 + 0.25", wgf.SDIRK2(dt=0.05)),
}


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("engine", ["torch", "compiled"])
def test_rounding_of_a_small_energy_is_no_rise(name, engine):
    pde, law, potential, integrator = FLAT[name]
    if engine == "compiled" and integrator is not None:
        pytest.skip("compiled code takes steps of rodas4")
    flow = wgf.solve(
        pde, law=law, potential=potential, t_end=30.0, saves=1, reference_solution="none", engine=engine,
        integrator=integrator or wgf.Rodas4(max_steps=300),
    )  # fmt: skip
    assert flow.status is wgf.Status.completed
    assert flow.clock.steps < 700


@lengths
def test_laws_by_formula(length):
    law = wgf.Formula(f"exp(-(x/{length!r})**4)")
    quantiles = law.quantile(torch.tensor([1e-6, 0.1], dtype=torch.float64)) / length
    assert quantiles.tolist() == pytest.approx([-(gammainccinv(0.25, 2 * u) ** 0.25) for u in (1e-6, 0.1)], rel=1e-10)
    assert law.std / length == pytest.approx(math.sqrt(math.gamma(0.75) / math.gamma(0.25)), rel=1e-12)
