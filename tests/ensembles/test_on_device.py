"""Ensembles in torch against those in machine code: on the CPU, and on a GPU where there is one."""

import numpy as np
import pytest
import torch
from devices import needs_cuda
from ensembles_with_gradients import ROUGH

import wgf
from wgf.ensembles import in_threads
from wgf.ensembles.batched import on_device
from wgf.ensembles.batched.factors import Banded, Dense

N = 11
DRAW = np.random.default_rng(3)
QUARTIC = {
    "diffusion": DRAW.uniform(0.1, 2.0, N),
    "a": DRAW.uniform(0.0, 3.0, N),
    "b": DRAW.uniform(-3.0, 3.0, N),
    "scale": DRAW.uniform(0.3, 2.0, N),
    "shift": DRAW.uniform(-0.5, 0.5, N),
}
NETWORK = wgf.Spline(16, 4, base=wgf.Gaussian())
SMALL = wgf.Spline(8, 3, base=wgf.Gaussian())
BOWLS = {"a": [-1.0, 1.0, -10.0, 0.5, 9.0]}
BOWL = (wgf.FokkerPlanck(), BOWLS, {"potential": "a*x**2/2", "t_end": 0.5, "network": NETWORK})


class Tabulated(wgf.Potential):
    """A potential that no tape can hold."""

    def value_at(self, x):
        return torch.logaddexp(x, -x) + 0.1 * x**2


CASES = {
    "quartic": (
        wgf.FokkerPlanck(), QUARTIC,
        {
            "potential": "a*x**4/4 - cos(b*x)", "t_end": 0.5, "saves": 3, "network": NETWORK,
            "integrator": wgf.Rodas4(1e-3, 0.0, 0.2),
        },
    ),
    "many operations": (
        wgf.FokkerPlanck(), {"a": [0.5, 1.0], "b": [0.3, 0.9]},
        {
            "potential": "a*tanh(x)**2 + b*sqrt(1 + x**2) + exp(-x**2) + erf(x)*x/(2 + sin(x)) + atan(x)", "t_end": 0.2,
            "network": SMALL,
        },
    ),
    "porous medium": (
        wgf.PorousMedium(), {**QUARTIC, "exponent": DRAW.uniform(1.2, 3.0, N)},
        {"potential": "a*x**2/2 + b*x", "t_end": 0.5, "network": NETWORK, "integrator": wgf.Rodas4(1e-1, 0.0, 0.2)},
    ),
    "linear transport": (
        wgf.LinearTransport(), {"k": [0.5, 2.0]}, {"potential": "k*x**2/2", "t_end": 0.5, "network": SMALL},
    ),
    "table": (
        wgf.FokkerPlanck(), {"diffusion": [0.5, 1.0]}, {"potential": Tabulated(), "t_end": 0.2, "network": SMALL},
    ),
    "keller segel": (wgf.KellerSegel(), {"chi": [0.2, 0.5, 0.9]}, {"t_end": 0.3, "network": SMALL}),
    "attraction": (
        wgf.AggregationDiffusion(), {"diffusion": [0.5, 3.0]},
        {"interaction": wgf.interactions.Quadratic(2.0), "t_end": 0.5, "network": SMALL},
    ),
    "attraction where mass is missing": (
        wgf.AggregationDiffusion(), {"diffusion": [0.5, 3.0]},
        {"interaction": wgf.interactions.Quadratic(2.0), "t_end": 0.5} | ROUGH,
    ),
    "repulsion": (
        wgf.AggregationDiffusion(), {"diffusion": [0.5, 3.0]},
        {"interaction": wgf.interactions.Quadratic(-0.5), "t_end": 0.5, "network": SMALL},
    ),
    "morse": (
        wgf.AggregationDiffusion(), {"diffusion": [0.5, 3.0]},
        {"interaction": wgf.interactions.Morse(), "t_end": 0.5, "network": SMALL},
    ),
    "too long for a hill": (*BOWL[:2], BOWL[2] | {"integrator": wgf.Rodas4(1e-3, 0.0, 0.5)}),
    "smallest step": (*BOWL[:2], BOWL[2] | {"integrator": wgf.Rodas4(1e-4, 0.0, 1e-2, 5e-3)}),
    "most steps": (*BOWL[:2], BOWL[2] | {"integrator": wgf.Rodas4(1e-6, 0.0, 1e-3, 1e-12, 12)}),
}  # fmt: skip


def assert_same(flows, others):
    """The same steps, ends and maps."""
    for name in ("status", "steps", "rejected", "t"):
        np.testing.assert_array_equal(getattr(flows, name), getattr(others, name))
    size = max(np.nanmax(np.abs(others.coordinates)), 1.0)
    for t in flows.t:
        np.testing.assert_array_less(np.nan_to_num(flows.gap(others, t)), 1e-10 * size)
    np.testing.assert_allclose(flows.coordinates, others.coordinates, rtol=0, atol=1e-8 * size)  # hardly any mass
    np.testing.assert_allclose(
        flows.reached, others.reached, rtol=1e-8
    )  # steps move by the rounding of error estimates


@pytest.mark.parametrize("case", CASES)
def test_torch_does_the_steps_of_the_machine_code(case, monkeypatch):
    pde, parameters, settings = CASES[case]
    flows = wgf.ensemble(pde, parameters, threads=1, **settings)
    monkeypatch.setattr(on_device, "LANES", 4)  # fewer than flows
    monkeypatch.setattr(in_threads, "compute", lambda job, threads: on_device.compute(job, torch.device("cpu")))
    assert_same(wgf.ensemble(pde, parameters, **settings), flows)


@needs_cuda
@pytest.mark.parametrize("case", CASES)
def test_cuda_does_the_steps_of_the_machine_code(case):
    pde, parameters, settings = CASES[case]
    assert_same(wgf.ensemble(pde, parameters, device="cuda", **settings), wgf.ensemble(pde, parameters, **settings))


def blow_up(device):
    return wgf.ensemble(wgf.KellerSegel(), {"chi": [0.5, 3.0]}, t_end=1.0, network=SMALL, device=device)


def assert_blown_up(flows):
    """Rounding decides where the steps end in a collapse, so that only statuses and times agree."""
    known = blow_up("cpu")
    assert list(flows.status) == list(known.status) == ["completed", "blow_up"]
    np.testing.assert_allclose(flows.reached, known.reached, rtol=1e-6)
    np.testing.assert_allclose(flows.coordinates[0], known.coordinates[0], atol=1e-10)
    assert np.isnan(flows.map(None, 0.0)[1])


def test_a_collapse_ends_one_flow_only(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(in_threads, "compute", lambda job, threads: on_device.compute(job, torch.device("cpu")))
        flows = blow_up("cpu")
    assert_blown_up(flows)


@needs_cuda
def test_a_collapse_ends_one_flow_only_on_cuda():
    assert_blown_up(blow_up("cuda"))


@needs_cuda
def test_errors_on_cuda_are_those_of_the_machine_code():
    pde, parameters, settings = CASES["quartic"]
    here, there = (wgf.ensemble(pde, parameters, errors=True, device=d, **settings) for d in ("cpu", "cuda"))
    np.testing.assert_allclose(there.w2_error, here.w2_error, rtol=1e-3, atol=1e-10)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:99", "device='cuda:99' is unavailable: torch has .* CUDA devices; use device=cpu or device=auto"),
        ("nowhere", "device='nowhere' is not allowed: expected cpu, cuda, cuda:<number> or auto"),
        ("meta", "device='meta' is not allowed"),
    ],
)
def test_devices_that_do_not_exist_are_refused(device, message):
    with pytest.raises(wgf.ConfigError, match=message):
        wgf.ensemble(*BOWL[:2], **BOWL[2], device=device)


def test_maps_of_many_coordinates_are_refused(monkeypatch):
    monkeypatch.setattr(in_threads, "compute", lambda job, threads: on_device.compute(job, torch.device("cpu")))
    with pytest.raises(wgf.ConfigError, match=r"at most 512 coordinates, not 61\d: reduce"):
        wgf.ensemble(*BOWL[:2], **BOWL[2] | {"network": wgf.Spline(610, 3, base=wgf.Gaussian())})


@pytest.mark.parametrize(("m", "k"), [(1, 1), (1, 4), (3, 4), (9, 2), (12, 4)])
def test_factors_solve_each_system(m, k):
    draw, flows = torch.Generator().manual_seed(m), 3
    band = torch.rand(m, k, flows, generator=draw, dtype=torch.float64)
    band[:, 0] += k
    band[:, :, 1] *= -1.0  # not positive definite
    for j in range(m):
        band[j, m - j :] = 0.0
    matrix = torch.zeros(m, m, flows, dtype=torch.float64)
    for r in range(min(k, m)):
        matrix.diagonal(-r).copy_(band[: m - r, r].T)
    full = matrix + matrix.transpose(0, 1) - torch.diag_embed(matrix.diagonal()).permute(1, 2, 0)
    y = torch.rand(m, flows, generator=draw, dtype=torch.float64)
    for factors in (Banded(band), Dense(matrix)):
        assert factors.positive.tolist() == [True, False, True]
        x = factors.solve(y)
        for flow in (0, 2):
            torch.testing.assert_close(full[:, :, flow] @ x[:, flow], y[:, flow], rtol=1e-12, atol=1e-12)
