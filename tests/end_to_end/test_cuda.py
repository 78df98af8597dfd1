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
from run_folders import result

import wgf
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
SETTINGS = {
    "a driven potential": {"potential": "x**4/4 - sin(3*t)*x"},
    "kinks": {"potential": "abs(x)"},
    "rodas4 of an interaction": {"potential": "x**2/2", "integrator": wgf.Rodas4()},
    "implicit Euler steps of W2": {"potential": "x**2/2", "integrator": wgf.JKO(dt=2.5e-3)},
    "particles": {"potential": "x**2/2", "quadrature": wgf.MonteCarlo(500)},
    "walls": {"law": wgf.Uniform(0.0, 1.0), "domain": wgf.Interval(0.0, 1.0), "potential": "cos(x)"},
    "a circle": {"law": wgf.Uniform(0.0, 2 * np.pi), "domain": wgf.Circle(), "potential": "cos(x)"},
    "another base": {"law": wgf.Uniform(-1.0, 1.0), "potential": "x**2/2"},
}
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
    if gpu is pretended and equation not in (*EQUATIONS,)[:: 3 if network not in LENGTHS else 4]:
        pytest.skip("the pretended GPU is slow")
    pde, settings = EQUATIONS[equation]
    assert_same(gpu, pde, LENGTHS.get(network, LONG), network=NETWORKS[network](), **settings)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_on_cuda(name, gpu):
    assert_same(gpu, wgf.FokkerPlanck(), SHORT, **SETTINGS[name])


def test_gradients_on_cuda(gpu):
    def slope(device):
        d = torch.tensor(1.2, dtype=torch.float64, requires_grad=True)
        flow = wgf.solve(wgf.FokkerPlanck(d), potential="x**4/4", t_end=SHORT, device=device, integrator=wgf.Rodas4())
        flow.differentiable().std.backward()
        return float(d.grad)

    known = slope("cpu")
    with gpu():
        assert slope("cuda") == pytest.approx(known, rel=1e-8)


class Killed(BaseException):
    """What no part of the program catches."""


def kill(*_):
    raise Killed


@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_goes_on_on_another_device(first, second, gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "monotonic", itertools.count().__next__)
    monkeypatch.setattr(recorder, "EVERY", 2)
    monkeypatch.setattr(recorder, "SHARE", 0)
    words = ["network.width=8", "saves=3", "logger=none", "figures=false", "reference_solution=none"]
    cfg = composed(*words)
    whole = run(build(cfg), cfg, tmp_path / "whole").as_dict()
    with gpu():
        cfg.device = first
        experiment = build(cfg)
        experiment.logger = At(whole["steps"] // 2, kill)
        with pytest.raises(Killed):
            run(experiment, cfg, tmp_path / "part")
        cfg.device = second
        run(build(cfg), cfg, tmp_path / "part", resuming=True)
    found, known = result(tmp_path / "part"), result(tmp_path / "whole")
    assert found["steps"] == known["steps"]
    assert found["energy"] == pytest.approx(known["energy"], abs=1e-10)
