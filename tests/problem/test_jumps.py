"""Jumps of formulas, at which a force would be infinite."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wgf
from wgf.problem.changes.jumps import jump
from wgf.settings.formulas.expression import Expression

JUMPS = {
    "x^2/2 + 0.3*sign(x)": (0.0, 0.6),
    "x^2/2 + 0.2*where(x > 0.129032258, 1, 0)": (0.129032258, 0.2),
    "x^2/2 + where(abs(x) < 0.5, -0.3, 0)": (0.5, 0.3),
    "cos(x) + 0.5*sign(cos(x))": (math.pi / 2, -1.0),
    "atan(1/(x - 0.3))": (0.3, math.pi),
    "x/abs(x)": (0.0, 2.0),
    "tanh((x + 1)**-1)": (-1.0, 2.0),
    "where(x > 1e6, x, 1e6 + 1)": (1e6, -1.0),
    "where(x < 1/3, 0.33333*x, 0.1111)": (1 / 3, 0.1111 - 0.33333 / 3),
}
CONTINUOUS = [
    "x^2/2", "abs(x)", "max(x, 0)", "where(x < 1, x^2/2, x - 0.5)", "sqrt(abs(x))", "abs(x - 0.3) + sin(3*x)",
    "1/(1 + x^2)", "where(x > 0, sin(x)/x, 1)", "sign(x)*x", "sign(x)*abs(x)^0.1", "abs(sin(x))", "abs(abs(x-10)-10)",
    "where(x > 1/3, 3*x, 1)", "where(x > 0.7, exp(x), exp(0.7))", "max(x - 1e6, 0)", "1e-6*abs(x*1e9)", "1/x",
    "log(abs(x))",
]  # fmt: skip


@pytest.mark.parametrize("text", JUMPS)
def test_jumps_are_found(text: str):
    found = jump(Expression(text))
    assert found is not None
    x, height = JUMPS[text]
    assert (abs(found.x), found.height) == pytest.approx(
        (abs(x), math.copysign(1, x * found.x or 1) * height), abs=1e-8
    )


@pytest.mark.parametrize("text", CONTINUOUS)
def test_continuous_formulas_have_none(text: str):
    assert jump(Expression(text)) is None


@given(
    place=st.floats(-50, 50),
    height=st.floats(1e-4, 1e3),
    unit=st.sampled_from([2.0**-30, 1.0, 2.0**30]),
    shape=st.sampled_from(["(X^2)", "cos(X)", "(X + abs(X))"]),
)
def test_a_jump_is_the_same_in_other_units_of_length(place: float, height: float, unit: float, shape: str):
    text = shape.replace("X", f"(x/{unit!r})")
    found = jump(Expression(f"{text} + {height!r}*where(x > {place * unit!r}, 1, 0)"))
    assert found is not None
    assert found.x == pytest.approx(place * unit, rel=1e-12)
    assert found.height == pytest.approx(height, rel=1e-3, abs=1e-6)


def test_only_jumps_inside_count():
    text = "where(x < 0, 100, x)"
    assert jump(Expression(text), 0.0, 1.0) is None
    assert jump(Expression(text), -1.0, 1.0) is not None


def test_problems_with_jumps_are_refused():
    """The gas would feel no force, and finite volumes would not either: W1 errors of 4e-12 where 0.23 was right."""
    said = r"potential=x\^2/2\+0.3\*sign\(x\) jumps by 0.6 at x=0: expected a continuous V"
    with pytest.raises(wgf.ConfigError, match=said):
        wgf.solve(wgf.FokkerPlanck(), potential="x^2/2+0.3*sign(x)", t_end=0.1)
    with pytest.raises(wgf.ConfigError, match=r"jumps by 0\.6 at x=1 at t=0\.0125"):
        wgf.solve(wgf.FokkerPlanck(), potential="x^2/2+where(t < 0.01, 0, 0.3*sign(x-1))", t_end=0.1)
    kernel = wgf.interactions.Expressed("0.5*where(abs(r) < 1, 1, 0)")
    with pytest.raises(wgf.ConfigError, match=r"jumps by -0\.5 at r=1: expected a continuous W"):
        wgf.solve(wgf.AggregationDiffusion(), interaction=kernel, t_end=0.1)
    with pytest.raises(wgf.WgfError, match="jump"):
        wgf.ensemble(
            wgf.FokkerPlanck(),
            {"a": [0.0, 1.0, 2.0]},
            potential="x^2/2 + where(abs(a - 1) < 0.5, sign(x), 0)",
            t_end=0.1,
        )


def test_a_jump_outside_the_walls_is_none_of_the_problem():
    walls = {"law": wgf.Uniform(0.0, 1.0), "domain": wgf.Interval(0.0, 1.0), "t_end": 0.01}
    found, known = (wgf.solve(wgf.FokkerPlanck(), potential=v, **walls) for v in ("where(x < 0, 100, x)", "x"))
    assert found.quantile(0.01, 0.5) == pytest.approx(known.quantile(0.01, 0.5), abs=1e-12)
