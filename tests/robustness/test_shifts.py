"""A shift of the whole problem changes no number but places, also where the quadrature misses some of the mass."""

import numpy as np
import pytest
import torch
from gradient_problems import tensor
from loaded_scripts import script

import wgf
from wgf.ensembles import in_threads
from wgf.ensembles.batched import on_device

script("stress")
from random_problems.similar import Similarity, applied, expected  # noqa: E402
from random_problems.solve import run_in_passing  # noqa: E402

SHIFTS = 1.0, 10.0, 1e3
HEAVY = {
    "t_end": 0.2, "saves": 1, "dtype": "float64", "pde": "aggregation_diffusion", "pde.diffusion": 0.0,
    "potential": "quadratic", "potential.stiffness": 0.5, "potential.center": 0.3, "interaction": "quadratic",
    "interaction.strength": 1.1, "law": "laplace", "law.loc": -0.4, "law.scale": 0.2, "network": "spline",
    "network.width": 6, "network.bound": 3.5, "quadrature.order": 4, "integrator": "rodas4",
}  # fmt: skip
QUANTILE = HEAVY | {"network.knots": "quantile"}
CASES = {
    "attraction": QUANTILE,
    "repulsion": QUANTILE | {"interaction.strength": -0.7},
    "diffusion": QUANTILE | {"pde.diffusion": 0.1},
    "another method": QUANTILE | {"integrator": "sdirk2", "integrator.dt": 0.02},
    "moving knots": HEAVY | {"network": "two_sided_relu", "network.train": "all", "integrator": "limex"},
}
COMPILED = "attraction", "repulsion", "diffusion"
BASE = wgf.Laplace(0.0, 0.2)


def network(base: wgf.Base = BASE) -> wgf.Spline:
    return wgf.Spline(6, 3, 3.5, knots="quantile", base=base)


@pytest.mark.parametrize(("name", "engine"), [(name, "torch") for name in CASES] + [(n, "compiled") for n in COMPILED])
def test_a_shift_changes_no_number(name: str, engine: str):
    settings = CASES[name] | {"engine": engine}
    here = run_in_passing(settings, False)
    assert here["status"] == "completed"
    for shift in SHIFTS:
        similarity = Similarity(1.0, shift, 1.0, False)
        there = run_in_passing(applied(similarity, settings), False)
        known = expected(similarity, settings, here)
        assert {key for key in known if known[key] is None} == {key for key in known if there.get(key) is None}
        for key in known.keys() - {"evaluations"}:  # rounding decides when Newton's method ends
            if known[key] is not None:
                rounding = 1e-13 * {"mean": shift, "second_moment": shift**2}.get(key, 0.0)
                assert abs(there[key] - known[key]) <= 1e-9 * (1 + abs(here[key])) + rounding, (key, shift)


@pytest.mark.parametrize("integrator", ["jko", "sdirk2", "sdirk3"])
@pytest.mark.parametrize("shift", [30.0, 300.0])
def test_implicit_steps_converge_where_places_have_few_digits(integrator: str, shift: float):
    """1e5 and 1e6 standard deviations from 0, with a power of the density in a long tail."""
    settings = {
        "t_end": 0.00247, "saves": 1, "pde": "porous_medium", "pde.diffusion": 9.4e-14, "pde.exponent": 3.0,
        "potential": "none", "law": "lognormal", "law.sigma": 0.964, "law.scale": 3e-4, "law.low": 0.0,
        "network": "spline", "network.width": 32, "network.bound": 3.08, "network.degree": 5, "quadrature.order": 6,
        "integrator": integrator, "integrator.dt": 0.000247,
    }  # fmt: skip
    here, there = (run_in_passing(settings | {"law.low": low}, False) for low in (0.0, shift))
    assert here["status"] == there["status"] == "completed"
    assert there["w2_error"] == pytest.approx(here["w2_error"], rel=1e-3)


@pytest.mark.parametrize("strength", [1.1, -0.7])
@pytest.mark.parametrize("batched", [False, True], ids=["machine code", "torch"])
def test_flows_from_shifted_laws_are_shifted(strength: float, batched: bool, monkeypatch: pytest.MonkeyPatch):
    if batched:
        monkeypatch.setattr(in_threads, "compute", lambda job, threads: on_device.compute(job, torch.device("cpu")))
    flows = wgf.ensemble(
        wgf.AggregationDiffusion(0.1), {"shift": [0.0, *SHIFTS]}, law=BASE, network=network(), t_end=0.2,
        interaction=wgf.interactions.Quadratic(strength), integrator=wgf.Rodas4(1e-4, 1e-6),
    )  # fmt: skip
    assert abs(flows.w.sum() - 1) > 1e-6
    maps, shift = flows.map(None, np.linspace(-2, 2, 21)), flows.parameters["shift"]
    np.testing.assert_allclose(maps - shift[:, None], np.broadcast_to(maps[0], maps.shape), rtol=0, atol=1e-10)
    np.testing.assert_allclose(flows.mean() - shift, 0.0, rtol=0, atol=1e-10)
    np.testing.assert_allclose(flows.std(), flows.std()[0], rtol=1e-10)


@pytest.mark.parametrize("engine", ["torch", "compiled"])
def test_derivatives_do_not_see_where_the_law_is(engine: str):
    found = []
    for shift in (0.0, *SHIFTS):
        law, strength = wgf.Laplace(shift, 0.2), tensor(1.1)
        flow = wgf.solve(
            wgf.AggregationDiffusion(0.1), law=law, network=network(law), t_end=0.2, engine=engine, saves=1,
            interaction=wgf.interactions.Quadratic(strength), quadrature=wgf.Gauss(4), reference_solution="none",
        )  # fmt: skip
        end = flow.differentiable()
        found.append(
            [float(torch.autograd.grad(number, strength, retain_graph=True)[0]) for number in (end.std, end.mean)]
        )
    np.testing.assert_allclose(found, np.broadcast_to(found[0], (4, 2)), rtol=0, atol=1e-10)
    assert found[0][0] < -1e-3
    assert abs(found[0][1]) < 1e-10
