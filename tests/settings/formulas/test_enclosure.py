"""The lower bound of the second derivative of a formula: below a scan, close to it, and none where there is none."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from wgf.problem.potential import Expressed
from wgf.settings.formulas.enclosure import least_bend
from wgf.settings.formulas.expression import Expression
from wgf.settings.formulas.intervals import FAR, Interval, exponential

KNOWN = {
    "3": 0.0,
    "x": 0.0,
    "x**2/2": 1.0,
    "-x**2": -2.0,
    "x**4/4 - x**2/2": -1.0,
    "(x-100)**4/4 - (x-100)**2/2": -1.0,
    "1048576*((x/1024 + 1024)**4/4 - (x/1024 + 1024)**2/2)": -1.0,
    "x**4 - x**3 - 2*x**2": -4.75,
    "x**6/6": 0.0,
    "abs(x)": 0.0,
    "abs(x)**3": 0.0,
    "abs(x)**1.5": 0.0,
    "abs(x - 1) + x**2": 2.0,
    "2*abs(x - 1)**2.5 + x**2": 2.0,
    "sqrt(1 + x**2)": 0.0,
    "log(1 + x**2)": -0.25,
    "1/(1 + x**2)": -2.0,
    "cos(x)": -1.0,
    "sin(x)": -1.0,
    "x**2/2 + 3*cos(2*x)": -11.0,
    "exp(-x**2)": -2.0,
    "x**2/2 - exp(-x**2)": 1 - 4 * math.exp(-1.5),
    "exp(x) - x": 0.0,
    "exp(-x) + exp(2*x)": 3.0,
    "2**x": 0.0,
    "tanh(x)": -4 / (3 * math.sqrt(3)),
    "cosh(x) - 3*x**2": -5.0,
    "x*atan(x)": 0.0,
    "erf(x)": -2 * math.sqrt(2 / (math.pi * math.e)),
}


@pytest.mark.parametrize("text", KNOWN)
def test_known_infima(text):
    found = least_bend(Expression(text))
    assert found is not None
    assert found <= KNOWN[text] + 1e-13 * abs(KNOWN[text])
    assert found >= KNOWN[text] - 2e-4 * max(1.0, abs(KNOWN[text]))


def test_the_infimum_of_a_quartic_is_exact_and_not_exceeded():
    rng = np.random.default_rng(5)
    for a, b, c in rng.standard_normal((200, 3)) * 10.0 ** rng.uniform(-3, 3, (200, 3)):
        quartic = f"{abs(a)}*x**4/12 + {b}*x**3/6 + {c}*x**2/2 - x"
        exact = Fraction(c) - Fraction(b) ** 2 / (4 * Fraction(abs(a)))
        found = least_bend(Expression(quartic))
        assert found <= exact
        assert found == pytest.approx(float(exact), rel=1e-13, abs=1e-13 * (abs(c) + b * b / abs(a)))
        assert least_bend(Expression(f"{c}*x**2/2 + {b}*x")) == pytest.approx(c)
        assert least_bend(Expression(quartic.replace("x**4", "-x**4"))) is None
        assert least_bend(Expression(f"{b}*x**3/6 + x**2")) is None


def test_a_root_raises_the_bound_where_it_is():
    """|x|^1.5 bends most where the Gaussian bends least: a scan of f'' finds the infimum, which lies beside."""
    text, x = "0.45*exp(-(x+0.231)**2) + 1.04*abs(x+0.389)**1.5 + x**2/2", np.linspace(-3, 3, 600_001)
    bend = 0.45 * np.exp(-((x + 0.231) ** 2)) * (4 * (x + 0.231) ** 2 - 2) + 0.78 / np.sqrt(abs(x + 0.389)) + 1
    for shift in (0.0, 8.0):
        found = least_bend(Expression(text.replace("x", f"(x-{shift})").replace(f"e(x-{shift})p", "exp")))
        assert found == pytest.approx(min(bend.min(), 1.0), rel=2e-4)


@pytest.mark.parametrize(
    "text",
    [
        "x**3",
        "-x**4",
        "-abs(x)",
        "x**2 - abs(x)",
        "sinh(x)",
        "1/x",
        "x**-2",
        "sqrt(x)",
        "tan(x)",
        "x**4*sin(x)",
        "x**x",
    ],
)
def test_none_where_the_formula_has_none(text):
    assert least_bend(Expression(text)) is None


@pytest.mark.parametrize("text", ["x**2/2 + tanh(exp(x))", "x**2 + exp(-exp(x)**2)", "x**2/2 + exp(-cosh(x)**2)"])
def test_none_where_intervals_reach_beyond_the_largest_number(text):
    assert least_bend(Expression(text)) is None


@pytest.mark.parametrize(("power", "factor"), [(2, 1e-3), (30, 1.0), (40, 1e-300)])
def test_an_exponential_far_away_is_below_its_bound(power, factor):
    """log(x^64 exp(-h x^p)) at x >= FAR, where x^p may be beyond the largest number."""
    one = np.ones(1)
    with np.errstate(all="ignore"):
        found = exponential(Interval(-factor * one, -factor * one, float(power)))
    assert found.power == -64
    for x in (12.0, 12.5, 20.0, 40.0):  # powers of 10
        grown = math.log(factor) + power * x * math.log(10)
        decayed = 64 * x * math.log(10) - (math.exp(grown) if grown < 700 else math.inf)
        assert np.log(found.high[0]) >= decayed - 1e-9 * abs(decayed) or found.high[0] == math.inf


def test_random_formulas_stay_below_a_scan():
    rng = np.random.default_rng(0)
    x = torch.linspace(-30, 30, 30001, dtype=torch.float64)
    for _ in range(3):
        a, b, c, d, e, f = rng.normal(size=6).round(3).tolist()
        text = f"{abs(a) + 0.1}*x**4 + {b}*x**3 + {c}*x**2 + {d}*sin({e}*x + {f}) + {f}*exp(-(x - {a})**2)"
        potential = Expressed(text)
        least = float(potential.second_derivative(x).min())
        assert potential.convexity is not None
        assert least - 2e-3 * (1 + abs(least)) <= potential.convexity <= least + 1e-12 * (1 + abs(least))


def test_arithmetic_far_away():
    """x^2 - x + 1 at x >= FAR, and its reciprocal."""
    one = np.ones(1)
    x = Interval(one, one, 1.0)
    f = x * x - x + Interval(one, one)
    assert f.power == 2
    assert f.low[0] == pytest.approx(1 - 1 / FAR)
    assert f.high[0] == pytest.approx(1 + 1 / FAR**2)
    inverse = f.reciprocal().values()
    assert inverse.low[0] <= 0 < 1 / FAR**2 <= inverse.high[0] <= 1.1 / FAR**2


@pytest.mark.parametrize("unit", [2.0**-30, 2.0**-9, 2.0**30])
def test_the_bound_is_as_close_in_any_unit_of_length(unit: float):
    """f'' falls to 0 far out."""
    text = f"{unit!r}**2*(1.86*sqrt(1 + (x/{unit!r}-1.11)**2) + abs(x/{unit!r}))"
    found = least_bend(Expression(text))
    assert found is not None
    assert -2e-4 < found <= 0
