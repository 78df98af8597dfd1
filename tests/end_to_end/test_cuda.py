"""Runs on a GPU against the same runs on the CPU, and runs that go on on the other device.

Where torch has no GPU, a pretended one shows tensors on the wrong device.
"""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from acting_callback import At
from composed_configs import composed
from devices import needs_cuda
from pretended_device import pretended

import wgf
from wgf import assemble
from wgf.run import recorder
from wgf.run.runner import build, run


@pytest.fixture(
    params=[pytest.param(pretended, id="pretended"), pytest.param(nullcontext, id="cuda", marks=needs_cuda)]
)
def gpu(request):
    """Context in which device=cuda is a GPU or the pretended one."""
    return request.param


EQUATIONS = {
    "Fokker-Planck": (wgf.FokkerPlanck(), {"potential": "x**4/4 - x**2/2"}),
    "linear transport": (wgf.LinearTransport(), {"potential": "x**2/2 + cos(x)"}),
    "porous medium": (wgf.PorousMedium(), {"potential": "x**2/2"}),
    "Keller-Segel": (wgf.KellerSegel(chi=0.5), {}),
}
NETWORKS = {
    "splines": lambda: wgf.Spline(12, 4, base=wgf.Gaussian()),
    "moving splines": lambda: wgf.Spline(12, 3, knots="quantile", base=wgf.Gaussian()),
    "weights": lambda: wgf.TwoSidedReLU(8, base=wgf.Gaussian()),
    "moving knots": lambda: wgf.TwoSidedReLU(6, train="all", base=wgf.Gaussian()),
    "MLP": lambda: wgf.MLP(4, base=wgf.Gaussian(), generator=torch.Generator().manual_seed(0)),
}
TINY = wgf.Spline(4, 2, base=wgf.Gaussian())
SETTINGS = {
    "a driven potential": {"potential": "x**4/4 - sin(3*t)*x", "network": TINY, "integrator": wgf.Rodas4(1e-4)},
    "kinks": {"potential": "abs(x)"},
    "rodas4 of an interaction": {"potential": "x**2/2", "integrator": wgf.Rodas4()},
    "implicit Euler steps of W2": {"potential": "x**2/2", "integrator": wgf.JKO(dt=2.5e-3)},
    "particles": {"potential": "x**2/2", "quadrature": wgf.MonteCarlo(500), "network": TINY},
    "walls": {"law": wgf.Uniform(0.0, 1.0), "domain": wgf.Interval(0.0, 1.0), "potential": "cos(x)"},
    "a circle": {"law": wgf.Uniform(0.0, 2 * np.pi), "domain": wgf.Circle(), "potential": "cos(x)"},
    "another base": {"law": wgf.Uniform(-1.0, 1.0), "potential": "x**2/2"},
}
SLOW = "the pretended GPU is slow"
LONG, SHORT = 0.1, 0.005
RANKS = [0.01, 0.3, 0.5, 0.9]


LENGTHS = {"moving knots": 2e-4, "MLP": 5e-4}  # t_end where steps are small, else LONG


def assert_same(gpu, pde, t_end, **settings):
    here = wgf.solve(pde, t_end=t_end, **settings)
    with gpu():
        there = wgf.solve(pde, t_end=t_end, device="cuda", **settings)
        positions = there.quantile(t_end, RANKS)
    assert there.status is here.status
    np.testing.assert_allclose(positions, here.quantile(t_end, RANKS), rtol=0, atol=1e-10)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("equation", EQUATIONS)
def test_a_flow_on_cuda_is_that_on_the_cpu(equation, network, gpu):
    if gpu is pretended and (equation != "Fokker-Planck" or network not in ("splines", "weights")):
        pytest.skip(SLOW)
    pde, settings = EQUATIONS[equation]
    t_end = SHORT if gpu is pretended else LENGTHS.get(network, LONG)
    assert_same(gpu, pde, t_end, network=NETWORKS[network](), **settings)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_on_cuda(name, gpu):
    if gpu is pretended and name not in ("a driven potential", "particles"):
        pytest.skip(SLOW)
    assert_same(gpu, wgf.FokkerPlanck(), SHORT, **SETTINGS[name])


def test_gradients_on_cuda(gpu):
    def slope(device):
        network, method = TINY, wgf.Rodas4(1e-3, 1e-3, 1e-3)
        d = torch.tensor(1.2, dtype=torch.float64, requires_grad=True)
        flow = wgf.solve(
            wgf.FokkerPlanck(d), potential="x**4/4", t_end=1e-3, device=device, network=network, integrator=method
        )
        flow.differentiable().std.backward()
        return float(d.grad)

    known = slope("cpu")
    with gpu():
        assert slope("cuda") == pytest.approx(known, rel=1e-8)


class Killed(BaseException):
    """What no part of the program catches."""


def kill(*_):
    raise Killed


@pytest.mark.parametrize("begins_here", [True, False])
def test_a_run_goes_on_where_there_is_another_device(begins_here, gpu, tmp_path, monkeypatch):
    """As with device=auto on a machine with a GPU and on one without."""
    monkeypatch.setattr(recorder, "monotonic", itertools.count().__next__)
    monkeypatch.setattr(recorder, "EVERY", 2)
    monkeypatch.setattr(recorder, "SHARE", 0)
    cfg = composed(
        "network.width=4",
        "saves=3",
        "t_end=0.1",
        "logger=none",
        "figures=false",
        "reference_solution=none",
        "device=auto",
    )

    def go_on(kills, gpu, folder, resuming):
        with gpu(), monkeypatch.context() as patched:
            if gpu is nothing:
                patched.setattr(assemble, "device_of", lambda _: torch.device("cpu"))
            experiment = build(cfg)
            if kills:
                experiment.logger = At(4, kill)
            return run(experiment, cfg, tmp_path / folder, resuming).as_dict()

    known = go_on(False, nothing, "whole", False)
    devices = (nothing, gpu) if begins_here else (gpu, nothing)
    with pytest.raises(Killed):
        go_on(True, devices[0], "part", False)
    found = go_on(False, devices[1], "part", True)
    assert found["steps"] == known["steps"] > 5
    assert found["energy"] == pytest.approx(known["energy"], abs=1e-10)


def nothing():
    return nullcontext()
