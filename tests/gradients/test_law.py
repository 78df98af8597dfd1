"""The law at a saved time: distances, quantiles and densities, and their derivatives in all that may be a tensor."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from gradient_problems import expressed, repeated, small, solved, tensor

import wgf
from wgf.gradients.law import DifferentiableLaw
from wgf.problem.laws import Barenblatt, Mixture

ENGINES = ("torch", "compiled")


def wells(d, a):
    return wgf.FokkerPlanck(d), {"potential": expressed("x**4/4 - a*x**2/2", a=a), "network": None, "t_end": 0.2}


def medium(d):
    return wgf.PorousMedium(2.0, d), {
        "potential": "x**2/2",
        "law": Barenblatt(2.0, 0.5),
        "network": None,
        "t_end": 0.2,
    }


def central(function, x, h=1e-3):
    """Derivative by Richardson's central differences."""
    slopes = [(function(x + s) - function(x - s)) / (2 * s) for s in (h, 2 * h)]
    return float((4 * slopes[0] - slopes[1]) / 3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("one", "other"), [(wells, wells), (wells, medium), (medium, wells)])
def test_w2_between_two_flows(one, other, engine):
    given = {wells: [0.9, 1.1], medium: [0.6]}
    sides = [(make, [tensor(v + k / 8) for v in given[make]]) for k, make in enumerate((one, other))]
    flows = [solved(make, numbers, engine=engine) for make, numbers in sides]
    laws = [flow.differentiable() for flow in flows]
    value = laws[0].squared_w2(laws[1])
    assert float(value.detach()) == pytest.approx(flows[0].w2(flows[1]) ** 2, rel=1e-8)
    found = torch.autograd.grad(value, [t for _, numbers in sides for t in numbers])

    def at(k, j, x):
        """The value for another number j of side k."""
        make, numbers = sides[k]
        values = [tensor(x if i == j else float(t.detach())) for i, t in enumerate(numbers)]
        both = [*laws]
        both[k] = DifferentiableLaw(flows[k].history, repeated(flows[k].history, values, make)[-1])
        with torch.no_grad():
            return both[0].squared_w2(both[1])

    places = [(k, j, float(t.detach())) for k in range(2) for j, t in enumerate(sides[k][1])]
    known = [central(partial(at, k, j), start) for k, j, start in places]
    assert float(torch.stack(found).abs().min()) > 1e-4
    np.testing.assert_allclose(torch.stack(found), known, rtol=1e-8, atol=1e-8)


@pytest.fixture(scope="module")
def flow():
    return wgf.solve(wgf.FokkerPlanck(tensor(0.7)), potential="x**4/4", t_end=0.2, saves=1, network=small())


LAWS = {
    "gaussian": ([0.3, 1.2], wgf.Gaussian),
    "mixture": ([0.4, 0.7, 0.8], lambda m, s, w: Mixture([-1.0, m], [s, 0.5], [w, 1.0])),
    "uniform": ([-1.0, 1.5], wgf.Uniform),
    "laplace": ([0.3, 0.8], wgf.Laplace),
    "log-normal": ([0.4, 1.2, -0.5], wgf.LogNormal),
    "exponential": ([1.2, -0.5], wgf.Exponential),
    "semicircle": ([1.7], wgf.Semicircle),
    "barenblatt": ([0.6], partial(wgf.Barenblatt, 3.0)),
    "beta": ([-1.0, 1.5], partial(wgf.Beta, 2.0, 3.5)),
    "gamma": ([0.8, -1.0], partial(wgf.Gamma, 2.5)),
    "student": ([0.2, 0.8], partial(wgf.Student, 5.0)),
    "above a point": ([0.3, 0.8, -1.0], wgf.TruncatedNormal),
    "below a point": ([0.3, 0.8, 0.9], lambda m, s, b: wgf.TruncatedNormal(m, s, None, b)),
    "between two points": ([0.3, 0.8, -0.5, 1.0], wgf.TruncatedNormal),
    "a formula": ([0.3, 0.7], lambda a, b: wgf.Formula("exp(-a*x**4 + b*x)", a=a, b=b)),
    "a formula on a half line": ([1.3, 0.7], lambda a, b: wgf.Formula("x**a*exp(-b*x)", 0.0, a=a, b=b)),
    "a formula with a kink": ([1.3], lambda a: wgf.Formula("exp(-a*abs(x - 0.3))", a=a)),
    "a tail": ([-2.3, 0.8, -0.5, 1.0], wgf.TruncatedNormal),
}


@pytest.mark.parametrize("name", LAWS)
def test_w2_to_a_law_has_derivatives_in_its_numbers(flow, name):
    numbers, make = LAWS[name]
    law, tensors = flow.differentiable(), [tensor(v) for v in numbers]
    value = law.squared_w2(make(*tensors))
    assert float(value.detach()) == pytest.approx(float(law.squared_w2(make(*numbers)).detach()), rel=1e-12)
    found = torch.autograd.grad(value, tensors)
    for j, start in enumerate(numbers):
        known = central(lambda x, j=j: law.squared_w2(make(*numbers[:j], x, *numbers[j + 1 :])).detach(), start)
        assert float(found[j]) == pytest.approx(known, rel=1e-7, abs=1e-8)


def test_positions_move_with_their_starts_and_masses(flow):
    law, z = flow.differentiable(), torch.tensor([[-4.0, -0.3], [0.7, 5.0]], dtype=torch.float64, requires_grad=True)
    x = law.map(z)
    (found,) = torch.autograd.grad(x.sum(), z, retain_graph=True)
    np.testing.assert_allclose(found, flow.slope(0.2, z.detach().numpy()), rtol=1e-13)
    assert torch.autograd.gradcheck(law.map, z)
    assert torch.autograd.gradgradcheck(law.map, z)
    u = torch.tensor([1e-3, 0.4, 0.99], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(law.quantile, u, eps=1e-7)
    (found,) = torch.autograd.grad(law.quantile(u).sum(), u)
    at = flow.quantile(0.2, u.detach().numpy())
    np.testing.assert_allclose(found, 1 / flow.density(0.2, at), rtol=1e-12)


def test_second_derivatives_of_the_log_density_in_the_points(flow):
    law, x = flow.differentiable(), torch.tensor([-1.1, 0.2, 1.4], dtype=torch.float64, requires_grad=True)
    (d,) = flow.history.tensors
    value = law.log_density(x)
    (score,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(score.sum(), x, retain_graph=True)
    mixed, slope = (torch.autograd.grad(part.sum(), d, retain_graph=True)[0] for part in (score, value))

    def slopes(points):
        points = points.clone().requires_grad_()
        values = law.log_density(points).sum()
        return torch.autograd.grad(values, points, retain_graph=True)[0], torch.autograd.grad(values, d)[0]

    h = 1e-5
    above, below = slopes(x.detach() + h), slopes(x.detach() - h)
    torch.testing.assert_close(bend, (above[0] - below[0]) / (2 * h), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(mixed, (above[1] - below[1]) / (2 * h), rtol=1e-7, atol=1e-7)
    assert abs(float(mixed)) > 1e-3
    assert float(slope) == pytest.approx(float(slopes(x.detach())[1]), rel=1e-12)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_derivatives_the_values_are_the_same(mode):
    m = tensor(0.3)
    flow = wgf.solve(wgf.FokkerPlanck(), law=wgf.Gaussian(m, 1.0), t_end=0.1, saves=1, network=small())

    def values():
        law = flow.differentiable()
        return [law.std, law.w2(wgf.Laplace(m, 1.0)), law.quantile(0.3), *law.log_density([0.1, 9.0]), law.w2(law)]

    with mode():
        ours = values()
    assert not any(value.requires_grad for value in ours)
    assert [float(value) for value in ours] == [float(value.detach()) for value in values()]


def test_the_ends_of_the_mass():
    line = wgf.solve(wgf.FokkerPlanck(tensor(0.7)), t_end=0.2, saves=1, network=small())
    half = wgf.solve(wgf.FokkerPlanck(tensor(0.7)), law=wgf.Exponential(), domain=wgf.HalfLine(0.0), t_end=0.2, saves=1)
    between = solved(medium, [tensor(0.6)])
    for flow in (line, half, between):
        law, u = flow.differentiable(), [0.0, 0.3, 1.0]
        found = law.quantile(u)
        np.testing.assert_allclose(found.detach(), flow.quantile(0.2, u), rtol=1e-13)
        z = [-math.inf, math.inf, math.nan]
        np.testing.assert_array_equal(law.map(z).detach(), flow.map(0.2, z))
        (slope,) = torch.autograd.grad(found.nan_to_num(posinf=0.0, neginf=0.0).sum(), flow.history.tensors)
        assert slope.isfinite()
        outside = law.log_density([-1e3, 1e3, math.nan, 0.5])
        assert outside.isnan().tolist() == [False, False, True, False]
    assert line.differentiable().quantile([0.0, 1.0]).tolist() == [-math.inf, math.inf]


REFUSED = {
    "a mass below 0": (lambda law, t: law.quantile(-0.1), "u=-0.1 is not allowed: expected masses from 0 to 1"),
    "an end that moves": (lambda law, t: law.quantile(0 * t), "u requires grad and holds 0 or 1"),
    "an order": (lambda law, t: law.moment(2 * t), "order requires grad, but has no derivative"),
    "samples": (lambda law, t: law.w2(t * torch.arange(9.0)), "a law of data has no derivatives"),
    "samples in a list": (lambda law, t: law.w2([t, 2 * t, 0.1]), "a law of data has no derivatives"),
    "weights": (
        lambda law, t: law.w2(wgf.Samples([1.0, 2.0], torch.stack([t, t]))),
        "weights require grad, but a law of data has no derivatives",
    ),
    "points in a list": (lambda law, t: law.map([t, 2 * t]), "expected a real number or an array"),
    "a density": (lambda law, t: law.w2(lambda x: torch.exp(-t * x**2)), "depends on a tensor that requires grad"),
    "an end of a density": (
        lambda law, t: law.w2(wgf.Density(lambda x: torch.exp(-(x**2)), low=-t)),
        "low=.* it has no derivative",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_law_cannot_differentiate_is_refused(flow, name):
    call, message = REFUSED[name]
    with pytest.raises(wgf.ConfigError, match=message):
        call(flow.differentiable(), tensor(1.0))
    with pytest.raises(wgf.ConfigError, match="t requires grad"):
        flow.differentiable(tensor(0.2))


def test_laws_of_scipy_with_tensors_are_refused(flow):
    stats = pytest.importorskip("scipy.stats")
    for frozen in (stats.norm(tensor(1.0), 1.0), stats.norm(0.0, tensor(1.0)), stats.logistic(tensor(1.0))):
        with pytest.raises(wgf.ConfigError, match="distributions have no derivatives"):
            flow.differentiable().w2(frozen)


def test_a_law_of_a_user_that_hides_or_loses_a_tensor_is_refused(flow):
    secret = tensor(1.0)

    class Hidden(wgf.Gaussian):
        def log_density(self, z):
            return super().log_density(z * secret)

    class Lost(wgf.Gaussian):
        def __init__(self, m):
            super().__init__()
            self.m = m

    for law, message in ((Hidden(), "is not its attribute"), (Lost(secret), "its derivative would be lost")):
        with pytest.raises(wgf.ConfigError, match=message):
            flow.differentiable().w2(law)
        with pytest.raises(wgf.ConfigError, match=message):
            wgf.solve(wgf.FokkerPlanck(tensor(1.0)), law=law, base=wgf.Gaussian(), t_end=0.1, saves=1)
