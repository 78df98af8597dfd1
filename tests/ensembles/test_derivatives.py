"""Derivatives of ensembles against those of single flows and against differences of the same steps."""

import copy
import pickle

import numpy as np
import pytest
import torch
from devices import needs_cuda
from ensembles_with_gradients import CASES, NETWORK, computed, functional
from gradient_problems import FINE, tensor

import wgf
from wgf.ensembles import in_threads
from wgf.ensembles.batched import on_device
from wgf.ensembles.batched.factors import Banded, Dense
from wgf.integrators.base import State
from wgf.integrators.implicit import Rodas4
from wgf.problem.quadrature import LeanGauss
from wgf.projection.solvers import Auto


def nodes_of(flows):
    """The quadrature of an ensemble."""
    return LeanGauss(flows.history.job.mesh.tables.shape[1])


@pytest.mark.parametrize("where", ["machine code", "torch"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_single_flows(case, where, monkeypatch):
    if where == "torch":
        monkeypatch.setattr(on_device, "LANES", 2)  # fewer than flows
        monkeypatch.setattr(in_threads, "compute", lambda job, threads: on_device.compute(job, torch.device("cpu")))
    monkeypatch.setattr(in_threads, "LEG", 3)  # fewer than steps
    tensors, flows = computed(case)
    found = torch.autograd.grad(functional(flows.differentiable(flows.t).coordinates).sum(), tensors.values())
    for k in range(len(flows)):
        numbers = [tensor(values[k]) for values in CASES[case][1].values()]
        pde, given = CASES[case][3](*numbers)
        single = wgf.solve(
            pde, t_end=0.1, saves=2, integrator=FINE, quadrature=nodes_of(flows), engine="torch",
            **{"network": NETWORK} | given,
        )  # fmt: skip
        assert single.clock.steps == flows.steps[k]
        loss = functional(torch.stack([single.differentiable(float(t)).coordinates for t in single.t]))
        known = torch.autograd.grad(loss, numbers)
        np.testing.assert_allclose([float(g[k]) for g in found], known, rtol=1e-8, atol=1e-8)


def repeated(flows, k, d, a, shift, scale):
    """Coordinates of a flow at the saved times by steps of the recorded lengths, one by one."""
    pde, potential = wgf.FokkerPlanck(d), wgf.potentials.Expressed("a*x**4/4", a=a)
    problem = pde.problem(flows.base, potential, wgf.interactions.Zero(), 0.1)
    projection = wgf.Projection(problem, NETWORK.twin(), nodes_of(flows), Auto())
    chart = projection.landscape.chart
    c = scale * chart.coordinates(projection.initial) + shift * chart.constant()
    theta, t, found = projection.initial + chart.lift(c - chart.coordinates(projection.initial)), 0.0, [c]
    path = flows.history.path
    for dt in path.lengths[path.first[k] : path.first[k + 1] - 1].tolist():
        theta = Rodas4.step(FINE, projection, dt, State(theta, projection(theta))).state.theta
        t += dt
        if np.isclose(flows.t, t, rtol=1e-12, atol=0).any():
            found.append(chart.coordinates(theta))
    return torch.stack(found)


@pytest.mark.parametrize("scale", [tensor([0.8, 1.2]), tensor(1.1)])
def test_gradients_are_those_of_differences(scale):
    given = {"diffusion": tensor([0.6, 1.1]), "a": tensor([0.8, 0.3]), "shift": tensor([0.4, -0.2]), "scale": scale}
    flows = wgf.ensemble(
        wgf.FokkerPlanck(), given, potential="a*x**4/4", t_end=0.1, saves=2, network=NETWORK, integrator=FINE
    )
    found = torch.autograd.grad(functional(flows.differentiable(flows.t).coordinates).sum(), given.values())

    def central(k, j, h):
        numbers = np.array([values[k] for values in flows.parameters.values()])
        step = h * np.eye(len(numbers))[j]
        up, down = (float(functional(repeated(flows, k, *p.tolist()))) for p in (numbers + step, numbers - step))
        return (up - down) / (2 * h)

    known = [[(4 * central(k, j, 1e-3) - central(k, j, 2e-3)) / 3 for k in range(2)] for j in range(4)]
    known[3] = known[3] if scale.dim() else [sum(known[3])]
    for slopes, wanted in zip(found, known, strict=True):
        np.testing.assert_allclose(slopes.reshape(-1), wanted, rtol=1e-8, atol=1e-8)


def test_gradcheck():
    def coordinates(d, a, shift, scale):
        return wgf.ensemble(
            wgf.FokkerPlanck(), {"diffusion": d, "a": a, "shift": shift, "scale": scale}, potential="a*x**2",
            t_end=0.05, integrator=wgf.Rodas4(1e-9, 1e-9), network=wgf.Spline(5, 2, 3.0, base=wgf.Gaussian()),
        ).differentiable().coordinates  # fmt: skip

    given = tensor([0.8, 1.3]), tensor(0.6), tensor([0.1, -0.2]), tensor([0.9, 1.1])
    assert torch.autograd.gradcheck(coordinates, given, eps=1e-4, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", [Banded, Dense])
def test_solutions_have_derivatives_in_matrices_and_loads(kind):
    draw = torch.Generator().manual_seed(0)
    m, k, flows = 5, 3, 2
    entries = torch.rand(m, k if kind is Banded else m, flows, generator=draw, dtype=torch.float64)
    (entries[:, 0] if kind is Banded else entries.diagonal()).add_(4.0)
    if kind is Banded:
        for j in range(m):
            entries[j, m - j :] = 0.0
    y = torch.rand(m, flows, generator=draw, dtype=torch.float64)
    inside = entries != 0 if kind is Banded else torch.ones(m, m, dtype=torch.bool).tril()[:, :, None]
    assert torch.autograd.gradcheck(
        lambda w, y: kind(torch.where(inside, w, 0.0)).solve(y), (entries.requires_grad_(), y.requires_grad_())
    )


def test_all_numbers_are_those_of_the_flows():
    tensors, flows = computed("quartic")
    law, start = flows.differentiable(0.05), flows.differentiable(0.0)
    u, z, x = np.array([[0.1, 0.9]]), np.linspace(-2, 2, 5), np.array([-0.5, 0.3, 40.0])
    nodes, w = flows._rule
    for found, known in [
        (law.mean, flows.mean(0.05)),
        (law.std, flows.std(0.05)),
        (law.moment(4), flows.moment(4, 0.05)),
        (law.quantile(u), flows.quantile(0.05, u)),
        (law.map(z), flows.map(0.05, z)),
        (law.map(np.inf), flows.map(0.05, np.inf)),
        (law.log_density(x).exp(), flows.density(0.05, x)),
        (law.squared_w2(start), ((flows.map(0.05, nodes) - flows.map(0.0, nodes)) ** 2) @ w),
        (law.w2(wgf.Gaussian()), law.w2(start).detach()),
        (flows.differentiable([0.1, 0.0]).mean, np.stack([flows.mean(0.1), flows.mean(0.0)], axis=1)),
    ]:
        np.testing.assert_allclose(found.detach(), known, rtol=1e-10, atol=1e-12)
    samples = wgf.Gaussian(0.3, 1.2).sample(400, torch.Generator().manual_seed(0)).numpy()
    (slope,) = torch.autograd.grad(law.squared_w2(samples).sum(), tensors["a"])
    assert (slope.abs() > 1e-3).all()


def test_densities_are_differentiable_in_the_points_and_in_the_parameters():
    """A Gaussian law in a bowl stays Gaussian."""
    k, d = tensor([1.0, 2.0]), tensor(0.7)
    flows = wgf.ensemble(
        wgf.FokkerPlanck(), {"k": k, "diffusion": d}, potential="k*x**2/2", t_end=0.3, network=NETWORK,
        integrator=wgf.Rodas4(1e-9, 1e-9), nodes=8,
    )  # fmt: skip
    x, fade = tensor([-1.0, 0.2, 1.5]), (-2 * k * 0.3).exp()
    normal = torch.distributions.Normal(0.0, (fade + d / k * (1 - fade)).sqrt()[:, None])
    weights = torch.tensor([[1.0, -0.3, 2.0], [0.4, 1.2, -0.7]], dtype=torch.float64)
    found, known = flows.differentiable().log_density(x), normal.log_prob(x)
    torch.testing.assert_close(found, known, rtol=1e-8, atol=1e-8)
    found, known = (torch.autograd.grad((weights * rows).sum(), (k, d, x)) for rows in (found, known))
    for ours, wanted in zip(found, known, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-7, atol=1e-7)


def collapsing(chi):
    d = tensor(1.0)
    flows = wgf.ensemble(wgf.KellerSegel(), {"chi": chi, "diffusion": d}, t_end=1.0, saves=[0.05, 1.0], network=NETWORK)
    return d, flows


def test_a_flow_that_fails_harms_no_other():
    chi, x = tensor([0.5, 3.0]), tensor([0.1, 0.7])
    d, flows = collapsing(chi)
    assert list(flows.status) == ["completed", "blow_up"]
    law = flows.differentiable()
    every = law.mean, law.std, law.quantile(0.9), law.log_density(x).sum(1)
    assert law.map(np.inf).isnan().tolist() == [False, True]
    for rows in every:
        assert rows.isfinite().tolist() == [True, False]
        assert rows.isnan().tolist() == [False, True]
    found = torch.autograd.grad(sum(rows[torch.tensor(flows.completed)].sum() for rows in every), (chi, d, x))
    alone = tensor([0.5])
    d, flows = collapsing(alone)
    law = flows.differentiable()
    known = torch.autograd.grad(
        sum(rows.sum() for rows in (law.mean, law.std, law.quantile(0.9), law.log_density(x))), (alone, d, x)
    )
    assert found[0][1] == 0.0
    for ours, wanted in zip((found[0][:1], *found[1:]), known, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)


def test_a_flow_that_fails_has_derivatives_until_then():
    chi = tensor([0.5, 3.0])
    _, flows = collapsing(chi)
    early = flows.differentiable(0.05)
    (slope,) = torch.autograd.grad(early.std.sum(), chi)
    alone = tensor([3.0])
    (known,) = torch.autograd.grad(collapsing(alone)[1].differentiable(0.05).std.sum(), alone)
    assert float(slope[1]) == pytest.approx(float(known), rel=1e-10)
    assert float(known) < -1e-3


def test_estimated_errors_stay_beside_gradients():
    _, flows = computed("quartic", errors=True)
    _, others = computed("quartic")
    assert (flows.w2_error[:, -1] > 0).all()
    (slope,), (known,) = (
        torch.autograd.grad(f.differentiable().std.sum(), f.history.tensors["a"]) for f in (flows, others)
    )
    torch.testing.assert_close(slope, known)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda flows: pickle.loads(pickle.dumps(flows))])
def test_copies_have_the_same_gradients(copied):
    _, flows = computed("quartic")
    found = []
    for each in (flows, copied(flows)):
        found += torch.autograd.grad(each.differentiable().std.sum(), each.history.tensors["a"])
    assert torch.equal(*found)


def test_single_precision_and_computed_parameters():
    log_d = torch.tensor([-0.5, 0.1], requires_grad=True)
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": log_d.exp()}, t_end=0.1, network=NETWORK)
    flows.differentiable().std.sum().backward()
    # the variance of a free law is 1 + 2 D t
    d = log_d.detach().double().exp()
    np.testing.assert_allclose(log_d.grad, 0.1 * d / (1 + 0.2 * d).sqrt(), rtol=1e-5)


def test_gradients_that_are_impossible_get_one_line():
    tensors, flows = computed("quartic")
    law = flows.differentiable()
    with pytest.raises(wgf.WgfError, match="second derivatives of a flow are unavailable"):
        torch.autograd.grad(law.mean.sum(), tensors["a"], create_graph=True)
    with torch.no_grad():
        tensors["a"][0] += 1.0
    with pytest.raises(wgf.WgfError, match=r"parameters\['a'\] has changed since"):
        flows.differentiable()
    for other in (wgf.Ensemble.joined([flows]), wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": [1.0]}, t_end=0.1)):
        with pytest.raises(wgf.ConfigError, match="no parameter is a tensor that requires grad"):
            other.differentiable()
    with pytest.raises(wgf.ConfigError, match=r"parameters\['exponent'\] requires grad, but no flow depends on it"):
        wgf.ensemble(
            wgf.AggregationDiffusion(0.0), {"exponent": tensor([1.0, 2.0])}, t_end=0.1, potential="x**2/2",
            network=NETWORK,
        )  # fmt: skip
    with pytest.raises(wgf.ConfigError, match=r"parameters\['law.mean'\] has no derivative: use shift and scale"):
        wgf.ensemble(wgf.FokkerPlanck(), {"law.mean": tensor([0.0, 1.0])}, t_end=0.1, network=NETWORK)
    with pytest.raises(wgf.ConfigError, match="a saved time"):
        computed("quartic")[1].differentiable([0.1, 0.07])


@needs_cuda
@pytest.mark.parametrize("case", CASES)
def test_gradients_on_cuda_are_those_on_the_cpu(case):
    found = []
    for device in ("cpu", "cuda"):
        tensors, flows = computed(case, device=device)
        loss = functional(flows.differentiable(flows.t).coordinates).sum()
        found.append(torch.cat(torch.autograd.grad(loss, tensors.values())))
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-8)
