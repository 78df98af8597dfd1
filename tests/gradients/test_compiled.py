"""The compiled way back against that of torch, and its tapes against autograd."""

import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from gradient_problems import LADDER, expressed, small, solved, tensor
from tapes import interpreted

import wgf
from wgf.engine.backward import sweep as backward
from wgf.engine.backward.programs import backward_energy
from wgf.engine.backward.reverse import reverse
from wgf.engine.compiled import Compiled
from wgf.engine.energies import INPUTS
from wgf.engine.tapes.tape import Tape, Untraceable
from wgf.engine.tapes.traced import Traced, record, variable
from wgf.gradients.adjoint import announce, sweep
from wgf.gradients.tensors import replaced, tensors_of
from wgf.problem import internal, potential
from wgf.problem.energy import Parts

ENERGIES = [
    internal.Entropy(tensor(1.3)),
    internal.PowerLaw(tensor(2.0), tensor(0.7)),
    internal.PowerLaw(tensor(1.5)),
    potential.Quadratic(tensor(0.7), tensor(-0.2)),
    expressed(
        "a*x**4/4 + cos(b*x)/2 - exp(-a*x**2) + sqrt(x**2 + b**2) + atan(x)*sinh(x/a) + b**x - erf(a*x)/(b + x**2)"
        " + abs(x - b)**a + tanh(b*x)",
        a=tensor(2.3),
        b=tensor(0.8),
    ),
]


@pytest.mark.parametrize("term", ENERGIES, ids=lambda term: type(term).__name__)
def test_reversed_tapes_are_the_derivatives_of_autograd(term):
    draw = np.random.default_rng(0)
    numbers = [draw.normal(size=9), draw.uniform(0.5, 2, 9), *draw.normal(size=(2, 9))]
    numbers += [draw.random(9), *draw.normal(size=(3, 9))]
    tensors = tensors_of(term)
    tape = Tape((*INPUTS, "a", "b", "c"))
    names = [f"p{k}" for k in range(len(tensors))]
    bound = replaced(term, tensors, [Traced(tape, {(0, 0): tape.parameter(name)}) for name in names])
    d = record(lambda: bound.density(*(variable(tape, name) for name in INPUTS[:3])), tape).jet
    wanted = [0, 1, *(tape.parameters[name] for name in names)]
    first = tape.add(tape.mul(d.get((1, 0)), 5), tape.mul(d.get((0, 1)), 6))
    second = tape.add(tape.mul(d.get((2, 0)), 5), tape.mul(d.get((1, 1)), 6), tape.mul(d.get((0, 2)), 7))
    given = dict(enumerate(numbers))
    given |= {r: np.full(9, float(t)) for r, t in zip(wanted[2:], (t.detach() for t in tensors), strict=True)}

    x, dx, log_p = (torch.tensor(v, requires_grad=k < 2) for k, v in enumerate(numbers[:3]))
    a, b, c = (torch.tensor(v) for v in numbers[5:])
    options = {"create_graph": True, "materialize_grads": True}
    value = term.density(x, dx, log_p)
    slopes = torch.autograd.grad(value.sum(), (x, dx), **options)
    bends = [torch.autograd.grad((g + 0 * x + 0 * dx).sum(), (x, dx), **options) for g in slopes]
    known = [slopes[0] * a + slopes[1] * b, bends[0][0] * a + bends[0][1] * b + bends[1][1] * c]
    for register, scalar in zip((first, second), known, strict=True):
        found = [np.zeros(9) if r is None else interpreted(tape, given, r) for r in reverse(tape, register, wanted)]
        scalar = (scalar + 0 * x + 0 * dx).sum()
        by_map = torch.autograd.grad(scalar, (x, dx), retain_graph=True, materialize_grads=True)
        by_number = torch.autograd.grad(scalar, tensors, retain_graph=True, materialize_grads=True)
        np.testing.assert_allclose(np.stack(found[:2]), torch.stack(by_map), rtol=1e-10, atol=1e-10)
        sums = [np.broadcast_to(row, 9).sum() for row in found[2:]]
        np.testing.assert_allclose(sums, torch.stack(by_number), rtol=1e-10, atol=1e-10)


def both(flow):
    """Derivatives of a functional by the compiled way back and by that of torch, in one vector each."""
    history = flow.history
    shape = len(history.recorded.counts), history.landscape.chart.size
    bars = torch.linspace(-3, 2, shape[0] * shape[1], dtype=torch.float64).sin().reshape(shape)
    assert isinstance(history.method, Compiled)
    by_torch = replace(history, method=wgf.Rodas4(history.method.rtol, history.method.atol))
    found = []
    for each in (history, by_torch):
        start, numbers = sweep(each, bars)
        found.append(torch.cat([start, *(number.reshape(-1) for number in numbers)]))
    return found


class Well(wgf.Pairwise):
    """A kernel of a user."""

    def __init__(self, depth, width):
        self.depth, self.width = depth, width

    def kernel(self, r):
        return -self.depth * torch.exp(-((r / self.width) ** 2))

    def force(self, r):
        return 2 * self.depth * r / self.width**2 * torch.exp(-((r / self.width) ** 2))

    def stiffness(self, r):
        return (1 - 2 * (r / self.width) ** 2) * self.force(r) / r.masked_fill(r == 0, 1.0)


class Springs(wgf.interactions.Interaction):
    """W = a x^2, as a function of a number that is no coefficient by itself."""

    def __init__(self, a):
        self.a = a

    def parts(self):
        return Parts(quadratic=2 * self.a)

    def value(self, at):
        return self.a * torch.dot(at.w, at.centred**2)

    def curvature(self, at):
        return wgf.Curvature(xx=2 * self.a * at.w)

    def coupling(self, at, loads):
        mean = loads(at.w[:, None])
        return -2 * self.a / at.w.sum() * mean @ mean.T


PAIRS = {
    "springs": (
        [0.4, 0.5],
        lambda a, d: (wgf.AggregationDiffusion(d), {"interaction": Springs(a), "network": small()}),
    ),
    "a kernel of a user": (
        [0.7, 1.2, 0.5],
        lambda a, b, d: (wgf.AggregationDiffusion(d), {"interaction": Well(a, b), "network": small()}),
    ),
    "pairs of many nodes": (
        [0.4, 1.1],
        lambda chi, d: (wgf.KellerSegel(chi, d), {"network": small(width=130), "t_end": 0.02, "saves": 1}),
    ),
    "a kernel and many nodes": (
        [0.7],
        lambda s: (
            wgf.AggregationDiffusion(0.5),
            {
                "interaction": wgf.interactions.PowerLaw(4.0, 2.0, s),
                "network": small(width=130),
                "t_end": 0.02,
                "saves": 1,
            },
        ),
    ),
}


@pytest.mark.parametrize("name", [*LADDER, *PAIRS])
def test_both_ways_back_agree(name, caplog):
    numbers, make = (LADDER | PAIRS)[name]
    flow = solved(make, [tensor(number) for number in numbers], engine="compiled")
    with caplog.at_level(logging.INFO):
        ours, known = both(flow)
    torch.testing.assert_close(ours, known, rtol=1e-10, atol=1e-10 * float(known.abs().max()))
    assert "gradients by torch" not in caplog.text


def test_a_network_as_potential_goes_back_by_torch(caplog):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Parameter(torch.tensor(0.8, dtype=torch.float64))

        def forward(self, x):
            return 0.5 * x**2 + torch.tanh(self.a * x).sum(1, keepdim=True) ** 2

    announce.cache_clear()
    with caplog.at_level(logging.INFO):
        flow = wgf.solve(
            wgf.FokkerPlanck(), potential=Net().double(), t_end=0.05, saves=1, engine="compiled", network=small()
        )
        for _ in range(2):
            flow.differentiable().std.backward()
    assert caplog.text.count("gradients by torch: compiled code cannot hold a potential in a table") == 1


def full(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("_pull_back", {(False, False): full}, "numba failed ([Errno 28] No space left on device)"),
        ("sweep", None, "numba cannot be loaded"),
    ],
    ids=["a full disk", "no numba"],
)
def test_where_numba_fails_torch_goes_back(name, value, why, caplog, monkeypatch):
    numbers, make = LADDER["fokker_planck"]
    flow = solved(make, [tensor(number) for number in numbers], engine="compiled")
    _, known = both(flow)
    announce.cache_clear()
    monkeypatch.setattr(backward, name, value) if value else monkeypatch.setitem(sys.modules, backward.__name__, None)
    with caplog.at_level(logging.INFO):
        ours, _ = both(flow)
    assert torch.equal(ours, known)
    assert f"gradients by torch: {why}" in caplog.text


class Branching(wgf.Potential):
    """A definition that no tape can hold where its number is a parameter; counts how often one tries."""

    derivable = ("a",)
    tries = 0

    def __init__(self, a):
        self.a = a

    def value_at(self, x):
        type(self).tries += isinstance(self.a, Traced)
        return self.a * x**2 if self.a > 0 else x**4


Branching.__module__ = "wgf.problem.branching"  # as a class of wgf, whose settings are known


def test_what_no_tape_can_hold_is_tried_once(monkeypatch):
    monkeypatch.setattr(Branching, "tries", 0)
    tries = []
    for _ in range(2):
        with pytest.raises(Untraceable):
            backward_energy(lambda numbers: [Branching(numbers[0])], 1)
        tries.append(Branching.tries)
    assert tries[0] == tries[1] > 0


def test_a_flow_that_stops_early_has_gradients_too():
    numbers, make = LADDER["fokker_planck"]
    short = wgf.Rodas4(1e-6, 1e-8, max_steps=4)
    with pytest.warns(RuntimeWarning, match="stopped"):
        flow = solved(make, [tensor(number) for number in numbers], engine="compiled", integrator=short)
    assert flow.status is wgf.Status.max_steps
    ours, known = both(flow)
    torch.testing.assert_close(ours, known, rtol=1e-10, atol=1e-10 * float(known.abs().max()))


@pytest.mark.parametrize("engine", ["torch", "compiled"])
def test_a_step_of_another_method_is_refused(engine):
    numbers, make = LADDER["fokker_planck"]
    flow = solved(make, [tensor(number) for number in numbers], engine=engine)
    flow.history.recorded.coordinates[2][3] += 1e-4
    with pytest.raises(wgf.WgfError, match="another method took a step"):
        flow.differentiable().std.backward()


def test_flows_without_gradients_do_not_load_the_way_back():
    code = """
import sys, wgf
flow = wgf.solve(wgf.FokkerPlanck(), potential="x**2", t_end=0.01, saves=1, engine="compiled")
print(type(flow.integrator).__name__, "wgf.engine.backward.kernel" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert answer.stdout.split() == ["Compiled", "False"]


def test_flows_with_and_without_pairs_follow_each_other():
    """Springs of strength 0 pull nothing in the steps, but their derivative needs pairs. In a process of its own: the
    first flow decides about what is loaded."""
    code = """
import torch, wgf
def number(v): return torch.tensor(v, dtype=torch.float64, requires_grad=True)
def springs():
    s = number(0.0)
    return s, wgf.AggregationDiffusion(0.5), dict(interaction=wgf.interactions.Quadratic(s))
def diffusion():
    d = number(0.5)
    return d, wgf.FokkerPlanck(d), dict()
for make in (diffusion, springs, diffusion):
    for engine in ("compiled", "torch"):
        t, pde, given = make()
        network = wgf.Spline(9, 3, 3.0, base=wgf.Gaussian())
        wgf.solve(pde, t_end=0.2, saves=1, network=network, engine=engine, **given).differentiable().std.backward()
        print(float(t.grad))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert answer.returncode == 0, answer.stderr
    found = [float(word) for word in answer.stdout.split()]
    assert all(abs(slope) > 0.1 for slope in found)
    assert found[::2] == pytest.approx(found[1::2], rel=1e-10)
