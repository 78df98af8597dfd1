"""Expressions: values against plain Python, derivatives against finite differences, and everything that is refused."""

import ast
import math
import string

import pytest
import torch
from formulas import formulas
from hypothesis import assume, given
from hypothesis import strategies as st
from laws_and_terms import differences, tensor

from wgf.errors import ConfigError
from wgf.problem.potential import Expressed
from wgf.settings.formulas.expression import CONSTANTS, FUNCTIONS, Expression

OWN = {"abs": abs, "sign": lambda x: (x > 0) - (x < 0)}
PYTHON = {name: OWN[name] if name in OWN else getattr(math, name) for name in FUNCTIONS} | CONSTANTS
PYTHON |= {"max": max, "min": min, "where": lambda holds, a, b: a if holds else b}


@given(formulas(), st.floats(-3, 3))
def test_values_are_those_of_python(text, x):
    assume(len(text) <= 1000)
    try:
        expected = eval(text, {"__builtins__": {}}, PYTHON | {"x": x})
    except (ValueError, ZeroDivisionError, OverflowError):  # where Python raises, tensors hold nan, inf or a limit
        return
    assume(math.isfinite(expected) and abs(expected) < 1e12)
    value = Expression(text)(tensor([x]))
    # ill-conditioned expressions such as tan near a pole amplify the last bit of their argument
    wiggle = abs(float(Expression(text)(tensor([x * (1 + 1e-13) + 1e-15]))) - expected)
    assume(wiggle < 1e-6 * (1 + abs(expected)))
    assert float(value) == pytest.approx(expected, rel=1e-9, abs=1e-9 + 1e3 * wiggle)


KNOWN = {
    "x**4/4 - x**2/2": lambda x: x**4 / 4 - x**2 / 2,
    " 2 ": lambda x: 2.0,
    "-x**2": lambda x: -(x**2),
    "2**-1 * x": lambda x: x / 2,
    "x**-2": lambda x: 1 / x**2,
    "2**x": lambda x: 2.0**x,
    "abs(x)**1.5": lambda x: abs(x) ** 1.5,
    "2**3**2": lambda x: 512.0,
    "1 - 2 - x": lambda x: -1 - x,
    "1e-3*exp(-x**2/2)": lambda x: 1e-3 * math.exp(-(x**2) / 2),
    "erf(x)*pi + e": lambda x: math.erf(x) * math.pi + math.e,
    "log(sqrt(x**2)) + atan(x)": lambda x: math.log(abs(x)) + math.atan(x),
    "sinh(x) - cosh(x) + tanh(x)": lambda x: math.sinh(x) - math.cosh(x) + math.tanh(x),
    "x**" + "9" * 200: lambda x: 0.0 if abs(x) < 1 else math.inf,
}


@pytest.mark.parametrize("text", KNOWN)
def test_known_values(text):
    x = tensor([-1.3, -0.4, 0.7, 2.1])
    assert Expression(text)(x).tolist() == pytest.approx([KNOWN[text](v) for v in x.tolist()], rel=1e-14)


SMOOTH = "x**4/4 - x**2/2; exp(-x**2)*cos(3*x); x**2.5/(1 + x**2); x**x; erf(x) + tanh(2*x); log(1 + exp(x)); 7"


@pytest.mark.parametrize("text", SMOOTH.split("; "))
@pytest.mark.parametrize("x", [0.3, 1.1, 2.4])
def test_derivatives_are_those_of_finite_differences(text, x):
    expression, one = Expression(text), tensor([1.0])
    expected = differences(lambda x: expression(x).sum(), tensor([x]), one, 1e-4)
    assert float(Expressed(text).derivative(tensor([x]))) == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_integer_powers_have_two_derivatives_at_zero():
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(Expression("x**4/4 - x**2/2").__call__(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert (first.item(), second.item()) == (0, -1)


def test_shape_and_precision_are_those_of_x():
    value = Expression("3")(torch.zeros(2, 3, dtype=torch.float32))
    assert value.dtype == torch.float32
    assert torch.equal(value, torch.full((2, 3), 3.0))


FORBIDDEN = r"""x.real | x.__class__ | ().__class__.__bases__ | __import__('os') | import os | open('f') | y + 1 | X
exp | exp() | exp(x, x) | exp(x=x) | exp(x, out=x) | exp(*[x]) | exp(x)(x) | x(2) | pi(x) | max(x) | x < 1 | x == x
x if x else 1 | x and 1 | not x | ~x | x // 2 | x % 2 | x @ x | x & 1 | x << 2 | [x] | (x, x) | {x} | {} | x[0]
[x for x in x] | lambda: x | (y := x) | f'{x}' | 'x' | b'x' | True | None | ... | 2j | 1e400 | x; x | x = 1 | x + | (x
await x | yield"""
ODD = ["x\n+ 1", "", "  ", "x\x00", "\ud800"]
LONG = ["9" * 400, "x # " + "y" * 1000, "x" + " + x" * 60, "-" * 60 + "x", "(" * 400 + "x" + ")" * 400]
LONG += ["exp(" * 60 + "x" + ")" * 60, "x" + ".a" * 490, "x" + "[0]" * 300, "not " * 240 + "x", "lambda: " * 110 + "x"]


@pytest.mark.parametrize(
    "text", [*FORBIDDEN.replace("\n", " | ").split(" | "), *ODD, *LONG], ids=lambda text: ascii(text[:20])
)
def test_everything_else_is_refused(text):
    with pytest.raises(ConfigError, match="expr"):
        Expression(text)


REFUSALS = {
    "1 + x.real": r"'x\.real' is not allowed; allowed are numbers, x, .* exp, log",
    "z**2": "the name 'z' is not allowed",
    "x" + " " * 1000: "1001 characters long: at most 1000",
}


@pytest.mark.parametrize("text", REFUSALS, ids=lambda text: text[:20])
def test_the_refusal_names_what_was_met_and_what_is_allowed(text):
    with pytest.raises(ConfigError, match=REFUSALS[text]):
        Expression(text)


WORDS = """x pi exp exp( sin( ( ) [ ] . , = := ** * / // + - < ~ 0 1 2.5 1e9 1_0 0x1f 3j 'a' f'{x}' lambda if else
for in not and None __class__ __import__ # @ : { } ... await"""
TEXTS = {"text": st.text(max_size=40)}
TEXTS["words"] = st.lists(st.sampled_from([*WORDS.split(), " ", "\n"]), max_size=12).map("".join)


@pytest.mark.parametrize("kind", TEXTS)
@given(data=st.data())
def test_any_text_is_refused_or_harmless(kind, data):
    """Harmless: made of what is allowed alone, and callable."""
    text = data.draw(TEXTS[kind])
    try:
        expression = Expression(text)
    except ConfigError:
        return
    names = {node.id for node in ast.walk(ast.parse(text.strip(), mode="eval")) if isinstance(node, ast.Name)}
    assert names <= {"x", *CONSTANTS, *FUNCTIONS}
    assert expression(tensor([0.5, -2.0])).shape == (2,)


@given(st.text(string.ascii_letters + "_", min_size=1, max_size=6))
def test_no_other_name_passes(name):
    assume(name not in {"x", *CONSTANTS})
    for text in (f"x + {name}", *([] if name in FUNCTIONS else [f"{name}(x)"])):
        with pytest.raises(ConfigError):
            Expression(text)


def test_the_caret_is_the_power():
    assert float(Expression("-x^2 + 2^3^2")(tensor([3.0]))) == 503.0
    assert Expression("x^4/4 - x^2/2").polynomial() == [0, 0, -0.5, 0, 0.25]


def test_constants_have_names():
    formula = Expression("a*x**2 + b", {"a": 1.5, "b": -2.0})
    assert float(formula(tensor([2.0]))) == 4.0
    assert formula.polynomial() == [-2.0, 0, 1.5]
    assert str(formula) == "a*x**2 + b with a = 1.5, b = -2"
    assert Expressed("k*x^2/2", k=3.0).parabola().stiffness == 3.0


@pytest.mark.parametrize(
    ("text", "constants", "what"),
    [
        ("a*x", {}, "the name 'a' is not allowed"),
        ("a*x", {"a": 1.0, "b": 2.0}, "b=2.0 is not a constant"),
        ("x", {"x": 1.0}, "x=1.0 is not a constant"),
        ("e*x", {"e": 1.0}, "e=1.0 is not a constant"),
        ("where(x, 1, 2)", {}, "a condition other than"),
        ("where(0 < x < 1, 1, 2)", {}, "a condition other than"),
        ("where(x == 1, 1, 2)", {}, "a condition other than"),
        ("x < 1", {}, "'x < 1' is not allowed"),
        ("max(x)", {}, "the call of 'max'"),
    ],
)
def test_bad_constants_and_conditions_are_refused(text, constants, what):
    with pytest.raises(ConfigError, match=what):
        Expression(text, constants)


def test_a_branch_that_does_not_hold_has_no_derivative():
    v = Expressed("where(x > 0, sqrt(x) + x^2, 3*x)")
    x = tensor([-1.0, 4.0, -0.0])
    assert v.value_at(x).tolist() == [-3.0, 18.0, 0.0]
    assert v.derivative(x).tolist() == [3.0, 8.25, 3.0]
    assert v.second_derivative(x).tolist() == pytest.approx([0.0, 2 - 0.25 / 8, 0.0])


@pytest.mark.parametrize("expr", ["max(x, 0)^2", "min(x^2, 1 + x)", "sign(x)*x^3", "where(x < 0.5, x^2, x - 0.25)"])
def test_piecewise_potentials_have_the_derivatives_of_differences(expr):
    v, x, h = Expressed(expr), tensor([-1.3, -0.2, 0.3, 0.8, 1.9]), 1e-6
    slope = (v.value_at(x + h) - v.value_at(x - h)) / (2 * h)
    bend = (v.derivative(x + h) - v.derivative(x - h)) / (2 * h)
    assert torch.allclose(v.derivative(x), slope, atol=1e-8)
    assert torch.allclose(v.second_derivative(x), bend, atol=1e-8)
