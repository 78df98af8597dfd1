"""Derivatives of formulas by rules, against backward passes through their values."""

import math

import pytest
import torch
from formulas import formulas
from hypothesis import assume, given
from hypothesis import strategies as st
from laws_and_terms import tensor

from wgf.problem.potential import Expressed, Potential
from wgf.settings.formulas.derivatives import derivatives
from wgf.settings.formulas.expression import Expression


def backward(expression, x):
    """V' and V'' by autograd."""
    x = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(expression(x).sum(), x, create_graph=True)
    second = torch.zeros_like(x)
    if first.requires_grad:
        (second,) = torch.autograd.grad(first.sum(), x, materialize_grads=True)
    return first.detach(), second.detach()


@given(formulas(), st.lists(st.integers(-3000, 3000), min_size=1, max_size=3))
def test_rules_are_backward_passes(text, places):
    """At multiples of 1/1000: terms of x/sin(x) cancel to no digit at 1e-100."""
    assume(len(text) <= 1000)
    expression, x = Expression(text), tensor(places) / 1000
    found, known, near = derivatives(expression, x, 2), backward(expression, x), backward(expression, x * (1 + 1e-13))
    assume(found is not None)  # numbers are divided by 0
    assert derivatives(expression, x, 1)[0].equal(found[0]) or found[0].isnan().any()
    for ours, theirs, beside in zip(found, known, near, strict=True):
        sure = (
            expression(x).isfinite()
            & theirs.isfinite()
            & ((theirs - beside).abs() <= 1e-6 * (1 + theirs.abs()))
            & (theirs.abs() < 1e100)
        )
        assert ((ours - theirs).abs() <= 1e-4 * (1 + theirs.abs()))[sure].all()


def test_everything_a_formula_may_contain_at_kinks_and_zeros():
    """Ties and zeros are as in autograd: the mean of two branches, sign(0) = 0, no NaN from the branch not taken."""
    x = tensor([-1.0, 0.0, 0.5, 1.0])
    for text in (
        "abs(x)", "sign(x)", "max(x, 0)", "min(x, x**2)", "x**0", "x**1", "x**2", "x**3", "(x - 1)**4/4", "x**p",
        "where(x > 0, log(x), x)", "where(x < 0.5, sqrt(1 - x), 3)", "pi", "2*x", "-(+x)", "1/(2 + x)", "x/x",
        "cos(1)*x",
    ):  # fmt: skip
        expression = Expression(text, {"p": 2.0} if text == "x**p" else {})
        for ours, theirs in zip(derivatives(expression, x, 2), backward(expression, x), strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-14, atol=0.0, equal_nan=True), text
    for d in derivatives(Expression("x**q", {"q": 0.0}), x, 2):  # autograd has NaN here
        assert d.equal(torch.zeros_like(x))


CUT = {
    "max(x, 0)**1.5 + x**2/2": lambda x: (1.5 * max(x, 0) ** 0.5 + x, (0.75 * x**-0.5 if x > 0 else 0) + 1),
    "where(x > 0, x, 0)**1.5": lambda x: (1.5 * max(x, 0) ** 0.5, 0.75 * x**-0.5 if x > 0 else 0),
    "max(abs(x) - 1, 0)**1.5": lambda x: (
        math.copysign(1.5 * max(abs(x) - 1, 0) ** 0.5, x), 0.75 * (abs(x) - 1) ** -0.5 if abs(x) > 1 else 0
    ),
    "-sqrt(max(x, 0))*x": lambda x: (-1.5 * x**0.5, -0.75 * x**-0.5) if x > 0 else (0, 0),
    "where(x > 1e60, 1e50, 1)*x**2": lambda x: (2 * x, 2),
    "where(x < 0, 0.1*x, 0.3*x)": lambda x: (0.1 if x < 0 else 0.3, 0),
    "max(0.1*x, 0.1*x - 1)": lambda x: (0.1, 0),
    "where(x > 0, 0.7, 0.3)*x**2": lambda x: (1.4 * x, 1.4) if x > 0 else (0.6 * x, 0.6),
}  # fmt: skip


@pytest.mark.parametrize("text", CUT)
def test_parts_that_are_cut_off_leave_no_trace(text):
    """No infinite derivative of a power times 0, and all digits of the numbers chosen from."""
    x = [-2.3, -0.4, 0.6, 1.9]
    found = derivatives(Expression(text), tensor(x), 2)
    expected = torch.tensor([CUT[text](place) for place in x], dtype=torch.float64).T
    for ours, known in zip(found, expected, strict=True):
        assert torch.allclose(ours, known, rtol=1e-15, atol=1e-16)


def test_the_time_may_have_the_shape_of_the_places():
    x = tensor([0.4, 1.3])
    first, second = derivatives(Expression("x**2/2 + sin(t)*x", clock="t").at(tensor([0.1, 0.2])), x, 2)
    assert torch.allclose(first, x + torch.sin(tensor([0.1, 0.2])), rtol=1e-15)
    assert second.equal(torch.ones_like(x))


def test_constants_may_be_tensors():
    """A constant with a derivative, and the time at many times at once."""
    a = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    V = Expressed("a*x**4 - x**a", a=a)
    x = tensor([0.4, 1.3])
    assert torch.allclose(V.derivative(x), (4 * a * x**3 - a * x ** (a - 1)).detach(), rtol=1e-14)
    assert torch.allclose(V.second_derivative(x), (12 * a * x**2 - a * (a - 1) * x ** (a - 2)).detach(), rtol=1e-14)
    assert not V.second_derivative(x).requires_grad
    moving = Expressed("cos(t)*x**2", force=0.3).at(2.0)
    assert torch.allclose(moving.derivative(x), 2 * math.cos(2.0) * x - 0.3, rtol=1e-14)


@pytest.mark.parametrize("text", ["2**x", "x**x", "(1 + x**2)**sin(x)"])
def test_exponents_that_vary_are_left_to_autograd(text):
    x = tensor([0.3, 1.2])
    assert derivatives(Expression(text), x, 2) is None
    V = Expressed(text)
    assert V.derivative(x).equal(Potential.derivative(V, x))
    assert V.second_derivative(x).equal(Potential.second_derivative(V, x))
