"""Initial laws of ensembles: their base is that of single flows, and their numbers are parameters."""

import numpy as np
import pytest

import wgf
from wgf.ensembles.richer import SAFETY
from wgf.problem.quadrature import LeanGauss

RANKS = [0.01, 0.3, 0.9]
SETTINGS = {"t_end": 0.2, "potential": "x**2/2", "integrator": wgf.Rodas4(1e-7, 1e-9)}
SAMPLES = np.random.default_rng(0).normal(size=100)


@pytest.mark.parametrize(
    ("pde", "name", "values", "law"),
    [
        (wgf.FokkerPlanck, "diffusion", [0.5, 1.0], wgf.Uniform()),
        (wgf.FokkerPlanck, "diffusion", [0.5, 1.0], SAMPLES),
        (wgf.PorousMedium, "diffusion", [0.5, 1.0], wgf.Uniform()),
        (wgf.KellerSegel, "chi", [0.1, 0.5], wgf.Laplace()),
    ],
)
def test_a_law_has_the_base_and_the_accuracy_of_a_single_flow(pde, name, values, law):
    flows = wgf.ensemble(pde(), {name: values}, law=law, nodes=8, **SETTINGS)
    for k, value in enumerate(values):
        single = wgf.solve(pde(**{name: value}), law=law, saves=1, quadrature=LeanGauss(8), **SETTINGS)
        assert type(flows.base) is type(single.base)
        for t in (0.0, 0.2):
            np.testing.assert_allclose(flows.quantile(t, RANKS)[k], single.quantile(t, RANKS), atol=1e-8)


def test_a_uniform_law_has_six_digits():
    settings = {"law": wgf.Uniform(), "nodes": 8, "errors": True, **SETTINGS}
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": [0.5, 1.0]}, **settings)
    known = wgf.solve(wgf.FokkerPlanck(), law=wgf.Uniform(), saves=1, **SETTINGS).reference_solution
    assert flows.w2_error.max() < 1e-5 * SAFETY
    z = flows.z
    gap = flows.map(None, z.numpy())[1] - known(0.2, z).numpy()
    assert np.sqrt(gap**2 @ flows.w) < 1e-5


CASES = {
    "mean and std": (wgf.Gaussian(), {"law.mean": [0.0, 1.0], "law.std": [1.0, 0.5]}, lambda m, s: wgf.Gaussian(m, s)),
    "ends": (wgf.Uniform(), {"law.low": [-1.0, 0.5], "law.high": [1.0, 2.0]}, wgf.Uniform),
    "a and b": (wgf.Beta(), {"law.a": [2.0, 4.0], "law.b": [3.0, 2.0]}, wgf.Beta),
    "shape": (wgf.Gamma(3.0), {"law.shape": [3.0, 5.0], "law.scale": [1.0, 0.5]}, wgf.Gamma),
    "a mean of a mixture": (
        wgf.Mixture(stds=(1.0, 1.0)),
        {"law.means.1": [0.5, 0.8]},
        lambda m: wgf.Mixture((-1.5, m), (1.0, 1.0)),
    ),
    "a weight": (
        wgf.Mixture([-1.0, 1.0], [1.0, 1.0], [1.0, 1.0]),
        {"law.weights.0": [1.0, 2.0]},
        lambda w: wgf.Mixture([-1.0, 1.0], [1.0, 1.0], [w, 1.0]),
    ),
    "a formula": (
        wgf.Formula("exp(-a*x**2)", low=-4.0, a=1.0),
        {"law.a": [1.0, 0.7], "law.low": [-4.0, -3.8]},
        lambda a, low: wgf.Formula("exp(-a*x**2)", low=low, a=a),
    ),
    "a place": (wgf.Laplace(), {"law.loc": [0.2, -0.3]}, lambda m: wgf.Laplace(m)),
}


@pytest.mark.parametrize("case", CASES)
def test_numbers_of_a_law_act_as_those_of_single_flows(case):
    law, parameters, make = CASES[case]
    parameters = {**parameters, "shift": [0.5, 0.0]}
    network = wgf.Spline(48, base=wgf.Gaussian(0.0, 1.5))
    flows = wgf.ensemble(wgf.FokkerPlanck(), parameters, law=law, network=network, nodes=8, **SETTINGS)
    assert len(flows.mesh.points) == 48
    for k, (*row, shift) in enumerate(zip(*parameters.values(), strict=True)):
        single = wgf.solve(
            wgf.FokkerPlanck(), law=make(*row), network=network, saves=1, quadrature=LeanGauss(8),
            **SETTINGS | {"potential": f"(x + {shift})**2/2"},
        )  # fmt: skip
        for t in (0.0, 0.2):
            np.testing.assert_allclose(flows.quantile(t, RANKS)[k], shift + single.quantile(t, RANKS), atol=1e-8)


def test_slices_of_laws_have_one_base():
    std = np.array([0.5, 1.0, 2.0])
    parts = [
        wgf.ensemble(wgf.FokkerPlanck(), {"law.std": part}, law=wgf.Gaussian(), **SETTINGS)
        for part in (std[:2], std[2:])
    ]
    assert wgf.Ensemble.joined(parts).std(0.0) == pytest.approx(std, rel=1e-5)


def test_the_base_is_a_choice():
    settings = {"law": wgf.LogNormal(), "base": "gaussian", "nodes": 8, **SETTINGS}
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"law.low": [0.0, 0.2]}, **settings)
    assert type(flows.base) is wgf.Gaussian
    assert flows.completed.all()


def test_a_first_map_that_misses_its_law_is_announced(caplog):
    wgf.ensemble(
        wgf.FokkerPlanck(), {"law.weights.0": [0.5, 0.01, 0.5]}, law=wgf.Mixture(stds=(0.2, 0.2)), t_end=1e-3,
        network=wgf.Spline(5, base=wgf.Gaussian()),
    )  # fmt: skip
    assert "the first maps of 1 flows miss their laws" in caplog.text


@pytest.mark.parametrize(
    ("law", "parameters", "message"),
    [
        (wgf.Gaussian(), {"law.std": [1.0, -1.0]}, "std=-1.0 is not allowed: expected a finite number > 0"),
        (wgf.Gaussian(), {"law.a": [1.0]}, "law.a: expected names among diffusion, law.mean, law.std, scale, shift"),
        (wgf.Uniform(), {"law.low": [0.0, 2.0]}, "expected a number below high=1"),
        (wgf.Mixture(), {"law.means.2": [0.0]}, "law.means.2: expected names among"),
        (SAMPLES, {"law.mean": [0.0]}, "law.mean: expected names among diffusion, scale, shift"),
    ],
)
def test_bad_numbers_of_a_law_get_one_line(law, parameters, message):
    with pytest.raises(wgf.ConfigError, match=message):
        wgf.ensemble(wgf.FokkerPlanck(), parameters, law=law, **SETTINGS)
