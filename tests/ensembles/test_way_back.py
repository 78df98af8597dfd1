"""The way back through ensembles in machine code against that of torch."""

import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from ensembles_with_gradients import CASES, NETWORK, computed, functional
from gradient_problems import FINE, tensor
from pretended_device import DEVICE, pretended

import wgf
from wgf.engine.backward import sweep as engine
from wgf.ensembles import in_threads
from wgf.ensembles.batched import backward, on_device
from wgf.gradients.adjoint import SAME, announce


def bars_of(flows):
    """Derivatives of a loss in the coordinates at the goals [n, s, M]."""
    arrived = flows.history.saved.isfinite()
    bars = torch.linspace(-3, 2, arrived.numel(), dtype=torch.float64).sin()
    return bars.reshape(arrived.shape).where(arrived, 0.0)


def both(flows):
    """What the ways back by machine code and by torch find."""
    job, path, back, bars = flows.history.job, flows.history.path, flows.history.back, bars_of(flows)
    return in_threads.pull_back(job, back, path, bars, SAME, 1), backward.pull_back(job, path, bars)


def assert_agree(ours, known):
    for found, wanted in zip(ours, known, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10 * float(wanted.abs().max()))
    assert known.start.abs().amax(1).min() > 0


@pytest.mark.parametrize("case", [case for case in CASES if case != "table"])
def test_both_ways_back_agree(case):
    assert_agree(*both(computed(case)[1]))


def test_both_ways_agree_where_flows_fail_and_laws_differ():
    given = {
        "chi": tensor([0.5, 3.0, 1.2]),
        "diffusion": tensor(1.0),
        "shift": tensor([0.1, 0.4, -0.2]),
        "scale": tensor([0.8, 1.1, 1.0]),
    }
    flows = wgf.ensemble(wgf.KellerSegel(), given, t_end=1.0, saves=[0.05, 0.1, 1.0], network=NETWORK)
    assert list(flows.status) == ["completed", "blow_up", "completed"]
    assert_agree(*both(flows))


def test_a_flow_of_many_blocks_of_cells():
    given = {"diffusion": tensor([0.5, 0.7]), "a": tensor([1.0, 0.4])}
    network = wgf.Spline(140, 3, 3.0, base=wgf.Gaussian())
    flows = wgf.ensemble(wgf.FokkerPlanck(), given, potential="a*x**4/4", t_end=0.02, network=network)
    assert_agree(*both(flows))


def slopes(tensors, flows):
    loss = functional(flows.differentiable(flows.t).coordinates).sum()
    return torch.cat(torch.autograd.grad(loss, tensors.values()))


@pytest.mark.parametrize("case", ["quartic", "keller segel"])
def test_parts_and_threads_change_nothing(case, monkeypatch):
    tensors, flows = computed(case)
    known = slopes(tensors, flows)
    monkeypatch.setattr(in_threads, "CHUNK", 1)
    for threads in (1, 2, None):
        assert torch.equal(slopes(tensors, replace(flows, history=replace(flows.history, threads=threads))), known)


@pytest.mark.parametrize("chunk", [1, 512])
def test_flows_that_never_begin_have_no_derivatives(chunk, monkeypatch):
    monkeypatch.setattr(in_threads, "CHUNK", chunk)
    a, shift = tensor([1.0, 1e308, 2.0]), tensor(0.1)
    flows = wgf.ensemble(
        wgf.FokkerPlanck(), {"a": a, "shift": shift}, potential="a*x**4", t_end=0.05, network=NETWORK, integrator=FINE
    )
    assert list(flows.status) == ["completed", "not_finite", "completed"]
    std = flows.differentiable().std[torch.tensor(flows.completed)].sum()
    slopes = torch.autograd.grad(std, a)[0]
    assert slopes[1] == 0.0
    assert (slopes[::2] < -0.05).all()


def test_laws_alone_have_derivatives():
    shift = tensor([0.1, 0.2])
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"shift": shift}, potential="x**2/2", t_end=0.3, network=NETWORK)
    slopes = torch.autograd.grad(flows.differentiable().mean.sum(), shift)[0]
    np.testing.assert_allclose(slopes, np.exp(-0.3), rtol=1e-6)  # the mean is shift exp(-t)


def test_torch_goes_back_in_parts(monkeypatch):
    flows = computed("quartic")[1]
    known = both(flows)[1]
    monkeypatch.setattr(backward, "MEMORY", 1)
    for found, wanted in zip(both(flows)[1], known, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_another_device_keeps_its_numbers():
    flows = computed("keller segel")[1]
    with pretended():
        path = on_device.compute(flows.history.job, DEVICE).path
        found = backward.pull_back(flows.history.job, path, bars_of(flows))
    assert path.coordinates.device == DEVICE
    assert_agree(both(flows)[0], found._replace(factor=found.factor.cpu()))


def test_torch_goes_back_through_tables(caplog):
    announce.cache_clear()
    with caplog.at_level(logging.INFO):
        tensors, flows = computed("table")
        assert flows.history.back is None
        slopes(tensors, flows)
    assert caplog.text.count("gradients by torch: compiled code cannot hold a potential in a table") == 1
    with pytest.raises(wgf.ConfigError, match=r"a potential in a table need maps of at most 512 coordinates, not 61\d"):
        computed("table", network=wgf.Spline(610, 3, base=wgf.Gaussian()))


def test_wide_maps_go_back():
    """Wider than the maps of torch: against differences."""
    wide, a = wgf.Spline(610, 3, base=wgf.Gaussian()), [0.7, 1.1]
    given = {"potential": "a*x**4/4", "t_end": 0.01, "network": wide, "integrator": wgf.Rodas4(1e-6, 1e-8), "nodes": 4}
    numbers = tensor(a)
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"a": numbers}, **given)
    (found,) = torch.autograd.grad(flows.differentiable().quantile(0.9).sum(), numbers)
    beside = wgf.ensemble(wgf.FokkerPlanck(), {"a": [v + h for v in a for h in (-1e-4, 1e-4)]}, **given)
    np.testing.assert_allclose(found, beside.quantile(0.01, 0.9).reshape(2, 2) @ [-5e3, 5e3], rtol=1e-5)


def full(*_):
    raise OSError(28, "No space left on device")


def test_where_numba_fails_torch_goes_back(caplog, monkeypatch):
    tensors, flows = computed("quartic")
    known = slopes(tensors, flows)
    announce.cache_clear()
    monkeypatch.setattr(engine, "_pull_back", {(False, False): full})
    with caplog.at_level(logging.INFO):
        torch.testing.assert_close(slopes(tensors, flows), known, rtol=1e-10, atol=1e-10)
    assert "gradients by torch: numba failed ([Errno 28] No space left on device)" in caplog.text


def test_steps_that_end_elsewhere_are_refused():
    tensors, flows = computed("quartic")
    flows.history.path.coordinates[2, 3] += 1e-4
    with pytest.raises(wgf.WgfError, match="their steps, taken again, end elsewhere"):
        slopes(tensors, flows)


def test_flows_without_gradients_do_not_load_the_way_back():
    code = """
import sys, wgf
flows = wgf.ensemble(wgf.FokkerPlanck(), {"a": [1.0, 2.0]}, potential="a*x**2", t_end=0.01)
print("wgf.engine.kernel" in sys.modules, "wgf.engine.backward.kernel" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert answer.stdout.split() == ["True", "False"]
