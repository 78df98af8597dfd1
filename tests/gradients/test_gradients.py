"""Gradients of flows against differences of the same steps, and against closed forms."""

import math

import numpy as np
import pytest
import torch
from gradient_problems import FINE, LADDER, TINY, expressed, repeated, small, solved, tensor
from torch import nn

import wgf
from wgf.gradients.history import RecordedStates
from wgf.problem import kernels
from wgf.problem.domain import Line
from wgf.problem.interaction import Interaction
from wgf.problem.laws import Mixture, Uniform
from wgf.settings.tensors import is_foreign


class Net(nn.Module):
    """x^2/2 + a small network, in float64."""

    def __init__(self, size, bend):
        super().__init__()
        self.size, self.bend = nn.Parameter(size.detach().clone()), nn.Parameter(bend.detach().clone())

    def forward(self, x):
        return 0.5 * x**2 + self.size * torch.tanh(self.bend * x) ** 2


def functional(coordinates):
    """A scalar of the coordinates at all saved times."""
    weights = torch.linspace(-1, 1.3, coordinates.numel(), dtype=torch.float64).cos().reshape(coordinates.shape)
    return (weights * coordinates).sum()


def differences(history, numbers, make):
    """Derivatives of `functional` by Richardson's central differences."""
    flat = np.concatenate([np.ravel(number) for number in numbers])

    def at(flat):
        parts, k = [], 0
        for number in numbers:
            size = np.size(number)
            parts.append(torch.tensor(flat[k : k + size].reshape(np.shape(number)), requires_grad=True))
            k += size
        return float(functional(repeated(history, parts, make)))

    def central(j, h):
        step = h * np.eye(len(flat))[j]
        return (at(flat + step) - at(flat - step)) / (2 * h)

    return np.array([(4 * central(j, 1e-3) - central(j, 2e-3)) / 3 for j in range(len(flat))])


UNTRACEABLE = {  # goes back by torch
    "repulsion": (
        [3.5, 1.5, 0.7],
        lambda a, b, s: (wgf.AggregationDiffusion(0.5), {"interaction": kernels.PowerLaw(a, b, s)} | TINY),
    ),
}


@pytest.mark.parametrize("engine", ["torch", "compiled"])
@pytest.mark.parametrize("name", [*LADDER, *UNTRACEABLE])
def test_gradients_are_those_of_differences(name, engine):
    numbers, make = (LADDER | UNTRACEABLE)[name]
    tensors = [tensor(number) for number in numbers]
    flow = solved(make, tensors, engine=engine)
    laws = [flow.differentiable(float(t)) for t in flow.t]
    torch.testing.assert_close(laws[-1].theta.detach(), flow.parameters(0.1), rtol=1e-13, atol=1e-13)
    loss = functional(torch.stack([law.coordinates for law in laws]))
    found = torch.autograd.grad(loss, tensors)
    known = differences(flow.history, numbers, make)
    np.testing.assert_allclose(np.concatenate([g.reshape(-1) for g in found]), known, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("engine", ["torch", "compiled"])
@pytest.mark.parametrize("domain", [None, wgf.Interval(-2.0, 3.0)])
def test_no_attraction_has_a_derivative(engine, domain):
    """The derivative for chi = 0, where the steps know no interaction, is the limit of those for chi > 0."""
    law = None if domain is None else wgf.Uniform(-2.0, 3.0)
    slopes = []
    for value in (0.0, 1e-5, 2e-5):
        chi = tensor(value)
        on = "torch" if value else engine  # between walls the compiled engine knows no interactions
        flow = wgf.solve(
            wgf.KellerSegel(chi), potential="x**2", law=law, domain=domain, t_end=0.1, saves=1, integrator=FINE,
            network=wgf.Spline(6, 3, base=law or wgf.Gaussian()), engine=on,
        )  # fmt: skip
        slopes += torch.autograd.grad(flow.differentiable().std, chi)
    assert float(slopes[0]) == pytest.approx(float(2 * slopes[1] - slopes[2]), rel=1e-7)
    assert slopes[0] < -0.01


@pytest.mark.parametrize("engine", ["torch", "compiled"])
def test_gradcheck(engine):
    tight = wgf.Rodas4(1e-9, 1e-9)

    def theta(d, a, m):
        network = wgf.Spline(5, 2, 3.0, base=wgf.Gaussian())
        return wgf.solve(
            wgf.FokkerPlanck(d), potential=expressed("a*x**2", a=a), law=wgf.Gaussian(m, 1.0), t_end=0.05, saves=1,
            integrator=tight, network=network, engine=engine,
        ).differentiable().theta  # fmt: skip

    given = (tensor(0.8), tensor(0.6), tensor(0.1))
    assert torch.autograd.gradcheck(theta, given, eps=1e-4, atol=1e-6, rtol=1e-6)


LAWS = {
    "mixture": lambda p: Mixture([-1.0, p], [0.5, 0.8], [0.3, p]),
    "uniform": lambda p: Uniform(-p, 1.0),
    "exponential": lambda p: wgf.Exponential(0.5 * p, 0.2 - p),
    "semicircle": wgf.Semicircle,
    "barenblatt": lambda p: wgf.Barenblatt(3.0, p),
    "beta": lambda p: wgf.Beta(2.0, 3.0, -p, 2 * p),
    "gamma": lambda p: wgf.Gamma(2.5, 0.4 * p, -p),
    "student": lambda p: wgf.Student(9.0, 0.3 * p, 0.5 * p),
    "formula": lambda p: wgf.Formula("exp(-(x + 0.3*p)**2/p)", p=p),
    "truncated": lambda p: wgf.TruncatedNormal(0.2 * p, p, -p, 3 * p),
}


@pytest.mark.parametrize("name", LAWS)
def test_initial_laws(name):
    """x' = -x shrinks every law: int x^2 rho falls by exp(-2 t)."""
    law = LAWS[name]
    p = tensor(1.2)
    bowl = wgf.potentials.Quadratic(1.0)
    network = wgf.Spline(24, base=wgf.Gaussian())
    flow = wgf.solve(wgf.LinearTransport(), potential=bowl, law=law(p), t_end=0.3, saves=1, network=network)
    (found,) = torch.autograd.grad(flow.differentiable().moment(2), p)
    h = 1e-6
    squares = [law(1.2 + step).mean ** 2 + law(1.2 + step).std ** 2 for step in (h, -h)]
    known = math.exp(-0.6) * (squares[0] - squares[1]) / (2 * h)
    assert float(found) == pytest.approx(known, rel=1e-5)


def test_an_ornstein_uhlenbeck_process():
    d, m, s = tensor(0.7), tensor(0.4), tensor(1.3)
    flow = wgf.solve(
        wgf.FokkerPlanck(d), potential="x**2/2", law=wgf.Gaussian(m, s), t_end=0.5, saves=1,
        integrator=wgf.Rodas4(1e-8, 1e-8), network=small(), engine="torch",
    )  # fmt: skip
    law, fade = flow.differentiable(), math.exp(-0.5)
    known = torch.distributions.Normal(m * fade, (s**2 * fade**2 + d * (1 - fade**2)).sqrt())
    x = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    pairs = [
        (law.log_density(x).sum(), known.log_prob(x).sum()),
        (law.quantile(0.8), known.icdf(torch.tensor(0.8, dtype=torch.float64))),
        (law.mean, known.mean),
        (law.std, known.stddev),
        (law.w2(wgf.Gaussian(1.0, 2.0)), ((known.mean - 1) ** 2 + (known.stddev - 2) ** 2).sqrt()),
    ]
    for ours, theirs in pairs:
        assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-6)
        ours, theirs = (
            torch.autograd.grad(value, [d, m, s], retain_graph=True, materialize_grads=True) for value in (ours, theirs)
        )
        torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=2e-6)
    ours, theirs = (torch.autograd.grad(value, x, retain_graph=True)[0] for value in pairs[0])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_module_is_a_potential():
    size, bend = tensor(0.7), tensor(1.2)
    net = Net(size, bend)
    flows = [
        wgf.solve(wgf.FokkerPlanck(), potential=potential, t_end=0.1, network=small(), saves=1)
        for potential in (net, expressed("x**2/2 + s*tanh(b*x)**2", s=size, b=bend))
    ]
    for flow in flows:
        flow.differentiable().quantile(0.7).backward()
    torch.testing.assert_close([net.size.grad, net.bend.grad], [size.grad, bend.grad], rtol=1e-9, atol=1e-12)
    assert flows[0].density(0.1, 0.0) == pytest.approx(flows[1].density(0.1, 0.0), rel=1e-12)


def hidden():
    secret = tensor(2.0)

    class Closure(wgf.Potential):
        def value_at(self, x):
            return secret * x**2

    return {"potential": Closure()}


def lost():
    class Rounded(wgf.Potential):
        def __init__(self):
            self.a = tensor(2.0)

        def value_at(self, x):
            return self.a.item() * x**2

    return {"potential": Rounded()}


def hidden_pairs():
    secret = tensor(2.0)

    class Secret(wgf.Pairwise):
        def kernel(self, r):
            return secret * r**4

        def force(self, r):
            return 4 * secret * r**3

    return {"pde": wgf.AggregationDiffusion(tensor(1.0)), "interaction": Secret()}


def hidden_density():
    secret = tensor(2.0)
    return {"law": lambda x: torch.exp(-secret * x**2), "network": None}


class Held(Line):
    """A domain of a user."""

    def __init__(self, end):
        self.end = end


class Dropped(wgf.AggregationDiffusion):
    """An equation of a user that loses its number."""

    def internal(self):
        return None


BOWL = {"potential": wgf.potentials.Quadratic(1.0)}
REFUSED = {
    "an explicit method": (lambda: {"integrator": wgf.Dopri5()}, "gradients need integrator=rodas4, not dopri5"),
    "moving knots": (
        lambda: {"network": wgf.TwoSidedReLU(6, train="all", base=wgf.Gaussian())},
        "gradients need integrator=rodas4",
    ),
    "adaptive breakpoints": (
        lambda: {"network": wgf.Spline(20, knots="adaptive", base=wgf.Gaussian())},
        "derivatives need fixed breakpoints",
    ),
    "float32": (lambda: {"dtype": "float32"}, "gradients need dtype=float64"),
    "a base": (lambda: {"base": wgf.Gaussian(tensor(0.0), 1.0), "network": None}, "the base has tensors"),
    "end time": (lambda: {"t_end": tensor(0.1)}, "t_end="),
    "a hidden tensor": (hidden, "is not its attribute"),
    "a hidden tensor in a kernel": (hidden_pairs, "is not its attribute"),
    "a domain": (lambda: {"domain": Held(tensor(1.0))}, "the domain has tensors that require grad"),
    "a method": (lambda: {"integrator": wgf.Rodas4(tensor(1e-4))}, "rtol=.* it has no derivative, detach it"),
    "saved times": (lambda: {"saves": [tensor(0.05), 0.1]}, "saves="),
    "weights of samples": (
        lambda: {"law": wgf.Samples([0.0, 1.0], [tensor(1.0), 2.0]), "network": None},
        "weights require grad",
    ),
    "a density": (hidden_density, "density depends on a tensor that requires grad"),
    "a rounded tensor": (lost, "its derivative would be lost"),
    "a module in float32": (lambda: {"potential": nn.Linear(1, 1)}, "use .double()"),
    "no diffusion": (lambda: {"pde": wgf.AggregationDiffusion(tensor(0.0))}, "diffusion=0 has no derivative"),
    "linear diffusion": (lambda: {"pde": wgf.AggregationDiffusion(1.0, tensor(1.0))}, "exponent=1 has no derivative"),
    "a kink": (lambda: {"interaction": kernels.PowerLaw(2.0, tensor(1.0))}, "repulsion=1 has no derivative"),
    "a shape": (lambda: {"law": wgf.Gamma(tensor(2.0))}, "shape=.* it has no derivative, detach it"),
    "a jump": (
        lambda: {"law": wgf.Formula("where(x < a, exp(-x), 0)", 0.0, a=tensor(2.0))},
        "switches where a tensor that requires grad says",
    ),
    "a histogram": (lambda: {"law": wgf.Histogram([0.0, 1.0], [tensor(1.0)])}, "counts=.* it has no derivative"),
    "a number that the equation drops": (lambda: {"pde": Dropped(tensor(2.0))}, "its derivative would be lost"),
    "samples": (lambda: {"law": torch.randn(50, requires_grad=True), "network": None}, "a law of data has no deriv"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_derivatives_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(wgf.ConfigError, match=message):
        wgf.solve(**{"pde": wgf.FokkerPlanck(tensor(1.0)), "t_end": 0.1, "network": small()} | BOWL | make())


def test_a_tensor_that_acts_on_the_right_only_is_found():
    class Wall(wgf.Potential):
        def __init__(self, a):
            self.a = a

        def value_at(self, x):
            return x**2 / 2 + (self.a * torch.relu(x - 1) ** 3 if bool((x > 1).any()) else 0.0)

    a = tensor(0.5)
    flow = wgf.solve(wgf.FokkerPlanck(), potential=Wall(a), t_end=0.05, saves=1, network=small(), engine="torch")
    (found,) = torch.autograd.grad(flow.differentiable().mean, a)
    assert float(found) < 0


@pytest.mark.parametrize("number", [torch.tensor(0.7, dtype=torch.float64), tensor(0.7)], ids=["plain", "no_grad"])
def test_a_tensor_without_derivatives_is_its_number(number):
    def flow(d, saves):
        mixture = Mixture([0.0, d], torch.stack([number, number]).detach(), [d, d])
        return wgf.solve(wgf.FokkerPlanck(d), potential=wgf.potentials.Quadratic(d), law=mixture, t_end=d, saves=saves)

    with torch.no_grad():
        ours, known = flow(number, torch.stack([number / 2, number])), flow(0.7, [0.35, 0.7])
    assert ours.history is None
    assert torch.equal(ours.parameters(0.7), known.parameters(0.7))


@pytest.mark.parametrize("derivative", [torch.func.grad, torch.func.jacfwd, torch.func.hessian])
def test_derivatives_of_other_kinds_are_refused(derivative):
    def std(d, pde):
        return wgf.solve(pde(d), t_end=0.1, network=small(), saves=1).differentiable().std

    class Own(wgf.FokkerPlanck):
        def __init__(self, d):
            self.diffusion = d

    for pde in (wgf.FokkerPlanck, Own):
        with pytest.raises(wgf.ConfigError, match=r"torch.func and forward mode have no derivatives here"):
            derivative(lambda d, pde=pde: std(d, pde))(torch.tensor(1.0, dtype=torch.float64))
        with torch.autograd.forward_ad.dual_level(), pytest.raises(wgf.ConfigError, match="forward mode"):
            std(torch.autograd.forward_ad.make_dual(torch.tensor(1.0), torch.tensor(1.0)), pde)


def test_networks_made_inside_torch_func_serve_outside():
    def start(width):
        return wgf.Spline(width, 3, 3.0625, base=wgf.Gaussian()).theta.detach().sum()  # a bound of no other test

    for derivative in (torch.func.grad, torch.func.hessian):
        width = 11 if derivative is torch.func.grad else 13
        derivative(lambda d, width=width: d * 0 + start(width))(torch.tensor(1.0))
        network = wgf.Spline(width, 3, 3.0625, base=wgf.Gaussian())
        assert not is_foreign(network.points)
        assert wgf.solve(wgf.FokkerPlanck(), t_end=0.1, network=network, saves=1).status is wgf.Status.completed


def test_other_refusals():
    with pytest.raises(wgf.ConfigError, match="diffusion"):
        wgf.FokkerPlanck(tensor(-1.0))
    number = wgf.solve(wgf.FokkerPlanck(), t_end=0.1, network=small(), saves=1)
    with pytest.raises(wgf.ConfigError, match="no number of its problem"):
        number.differentiable()
    flow = wgf.solve(wgf.FokkerPlanck(tensor(1.0)), t_end=0.1, network=small(), saves=1)
    with pytest.raises(wgf.ConfigError, match="a saved time"):
        flow.differentiable(0.05)
    with pytest.raises(wgf.WgfError, match="second derivatives"):
        flow.differentiable().std.backward(create_graph=True)


def test_an_interaction_of_a_user_without_parts():
    class Spring(Interaction):
        def __init__(self, a):
            self.a = a

        def value(self, at):
            return 0.5 * self.a * torch.dot(at.w, (at.x - torch.dot(at.w, at.x)) ** 2)

        def curvature(self, at):
            return wgf.Curvature(xx=self.a * at.w)

        def coupling(self, at, loads):
            mean = loads(at.w[:, None])
            return -self.a * mean @ mean.T

    found = []
    for kind in (Spring, wgf.interactions.Quadratic):
        a = tensor(0.7)
        flow = wgf.solve(wgf.AggregationDiffusion(), interaction=kind(a), t_end=0.1, network=small(), saves=1)
        found += torch.autograd.grad(flow.differentiable().std, a)
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


class Linear(wgf.Potential):
    """a x."""

    def __init__(self, a):
        self.a = a

    def value_at(self, x):
        return self.a.sum() * x


class Scaled(wgf.Gaussian):
    """A law of a user: N(0, s^2)."""

    def __init__(self, s):
        super().__init__(0.0, 1.0)
        self.std = s


CHANGED = {
    "an energy": ([0.5], lambda a: {"potential": Linear(a)}),
    "a vector": ([[0.5, 0.2]], lambda a: {"potential": Linear(a)}),
    "a law": ([1.2], lambda s: {"law": Scaled(s), "network": None, "base": wgf.Gaussian()}),
}


@pytest.mark.parametrize("engine", ["torch", "compiled"])
@pytest.mark.parametrize("name", CHANGED)
def test_a_tensor_that_changed_has_no_gradients(name, engine):
    numbers, make = CHANGED[name]
    tensors = [tensor(number) for number in numbers]
    flow = solved(lambda *t: (wgf.FokkerPlanck(), make(*t)), tensors, engine=engine)
    early = [flow.differentiable().mean + flow.differentiable().std for _ in range(2)]
    between, search = flow.quantile(0.07, 0.3), torch.optim.SGD(tensors, lr=0.1)
    early[0].backward()
    search.step()
    assert flow.quantile(0.07, 0.3) == between
    for later in (early[1].backward, flow.differentiable):
        with pytest.raises(wgf.WgfError, match=r"has changed since the flow was computed: .* solve again"):
            later()


def interrupted(monkeypatch, engine, name, late):
    """A flow that Ctrl-C stops before or after the second call of a method of its record, and the tensor of it."""
    keep, calls = getattr(RecordedStates, name), []

    def stopped(*given):
        calls.append(1)
        if late or len(calls) != 2:
            keep(*given)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RecordedStates, name, stopped)
    monkeypatch.setattr("wgf.engine.compiled.PATH", 36)  # four steps a call
    d = tensor(0.8)
    with pytest.warns(RuntimeWarning, match="stopped"):
        flow = solved(lambda d: (wgf.FokkerPlanck(d), {"potential": "x**4"}), [d], engine=engine)
    assert flow.status is wgf.Status.interrupted
    assert flow.clock.steps > 0
    return flow, d


INTERRUPTS = [("torch", "step"), ("compiled", "take_path")]


@pytest.mark.parametrize(("engine", "name"), INTERRUPTS)
def test_a_flow_whose_record_lacks_steps_has_no_gradients(engine, name, monkeypatch):
    flow, _ = interrupted(monkeypatch, engine, name, late=False)
    with pytest.raises(wgf.ConfigError, match=r"Ctrl-C came before .* solve again"):
        flow.differentiable()


@pytest.mark.parametrize(("engine", "name"), INTERRUPTS)
def test_a_flow_that_was_interrupted_has_the_gradients_of_its_steps(engine, name, monkeypatch):
    flow, d = interrupted(monkeypatch, engine, name, late=True)
    known = differences(flow.history, [0.8], lambda d: (wgf.FokkerPlanck(d), {"potential": "x**4"}))
    loss = functional(torch.stack([flow.differentiable(float(t)).coordinates for t in flow.t]))
    np.testing.assert_allclose(torch.autograd.grad(loss, d)[0], known[0], rtol=1e-8)


@pytest.mark.parametrize("engine", ["torch", "compiled"])
def test_a_number_that_changed_changes_no_gradient(engine):
    class Power(Linear):
        power = 2.0

        def value_at(self, x):
            return self.a * (1 + x**2) ** (self.power / 2)

    found = []
    for power in (2.0, 3.0):
        potential = Power(tensor(0.5))
        flow = wgf.solve(wgf.FokkerPlanck(), potential=potential, t_end=0.1, network=small(), saves=1, engine=engine)
        potential.power = power
        found += torch.autograd.grad(flow.differentiable().std, potential.a)
    assert found[0] == found[1]


def test_derivatives_at_kinks_are_refused():
    a = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    with pytest.raises(wgf.ConfigError, match=r"potential=abs\(x-a\) with a = 0.3 has kinks, .* detach the tensors"):
        wgf.solve(wgf.FokkerPlanck(), potential=wgf.potentials.Expressed("abs(x-a)", a=a), t_end=0.1)
