"""Errors against what was refined: curves, fitted slopes, and the densities of many runs."""

import math

import numpy as np
import pytest
from drawn_figures import image, labelled, texts
from hypothesis import given
from hypothesis import strategies as st
from saved_solutions import solution

from wgf.figures.comparison import convergences, finals
from wgf.figures.comparison import curves as curves_of
from wgf.figures.convergence import asymptotic, convergence, positive
from wgf.figures.convergence import slope as rate


def test_convergence_finds_the_slopes():
    m = [4, 8, 16, 32]
    second, fourth = [3.0 * k**-2 for k in m], [5.0 * k**-4.0 for k in m]
    figure = convergence({"ReLU": (m, second), "cubic": (m, fourth)}, "width $m$", "$W_1$ error", floor=1e-9)
    assert labelled(figure, "ReLU, slope -2.00").tolist() == [m, second]
    assert labelled(figure, "cubic, slope -4.00")[1] == pytest.approx(fourth)
    axes = figure.axes[0]
    assert labelled(figure, "error of the reference 1e-09, below this axis").size == 0  # it does not stretch the axis
    assert axes.get_ylim()[0] > 1e-9
    above = convergence({"ReLU": (m, second)}, "m", "e", floor=9.0)
    assert labelled(above, "error of the reference 9e+00, above this axis").size == 0
    inside = convergence({"ReLU": (m, second)}, "m", "e", floor=0.02)
    assert labelled(inside, "error of the reference 2e-02")[1] == pytest.approx(0.02)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("width $m$", "$W_1$ error")
    image(figure)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4", "8", "16", "32"]


@pytest.mark.parametrize("flip", [False, True], ids=["width", "step size"])
def test_slopes_are_those_of_the_asymptotic_points(flip: bool):
    """Rough first, then h^3, then the error of the reference: only the middle counts."""
    h = 2.0 ** -np.arange(6)
    error = np.maximum(h**3, 2e-4) * np.array([0.2, 1, 1, 1, 1, 1])
    x, error = (h[::-1], error[::-1]) if flip else (1 / h, error)
    used = asymptotic(x, error)
    assert error[used].tolist() == sorted([h[k] ** 3 for k in (1, 2, 3, 4)], reverse=not flip)
    assert rate(x[used], error[used]) == pytest.approx(3.0 if flip else -3.0)
    assert asymptotic(x[:2], error[:2]) == slice(0, 2)
    drawn = convergence({"": (x, error)}, "m", "e")
    (dots,) = [line for line in drawn.axes[0].lines if line.get_label().startswith("slope")]
    assert dots.get_label() == ("slope 3.00 (0.0625 to 0.5)" if flip else "slope -3.00 (2 to 16)")
    assert dots.get_markevery() == used
    (hollow,) = [line for line in drawn.axes[0].lines if line.get_mfc() == "none" and len(line.get_xdata())]
    assert sorted(hollow.get_xdata()) == sorted([x[0], x[-1]])
    assert "outside the fit: less than half as steep" in texts(drawn)


def test_orders_that_vary_are_all_in_the_fit():
    """The orders of a spline of degree 3 at widths 8 to 64: no point is left out, as in the table of the sweep."""
    x = np.array([8.0, 16.0, 32.0, 64.0])
    assert asymptotic(x, np.array([4.37e-3, 3.07e-4, 6.48e-6, 4.01e-7])) == slice(0, 4)


@pytest.mark.parametrize("along", ["width", "step size"])
def test_orders_that_differ_have_no_line(along: str):
    """The orders of a spline of degree 5, whose last point gains more than the order: 3.32, 3.15, 8.54."""
    steps = np.array([3.32, 3.15, 8.54])
    x, error = 8.0 * 2.0 ** np.arange(4), 2.0 ** -np.r_[0.0, np.cumsum(steps)]
    x = 1 / x if along == "step size" else x
    drawn = convergence({"degree=5": (x, error), "": (x, x**-2.0)}, "m", "e")
    assert labelled(drawn, "degree=5, orders 3.1 to 8.5").shape == (2, 4)
    assert "slope -2.00" in texts(drawn)
    assert [line.get_linestyle() for line in drawn.axes[0].lines] == ["-", "--", "None"]
    near = 2.0 ** -np.r_[0.0, np.cumsum([3.83, 5.57, 4.01])]
    assert "orders" not in texts(convergence({"degree=3": (x, near)}, "m", "e"))


def test_errors_that_hardly_differ_are_not_blown_up():
    figure = convergence({"flat": ([1, 2, 4], [1.0, 1.0 - 1e-9, 1.0 - 2e-9])}, "m", "e")
    low, high = figure.axes[0].get_ylim()
    assert high / low == pytest.approx(16)
    assert "slope 0.00" in texts(figure)
    image(figure)


def test_convergence_without_a_fit():
    m = [4, 8, 16]
    series = {"one": ([4, 4, None], [1e-2, 2e-2, 1.0]), "failed": (m, [None, None, None])}
    words = texts(convergence(series, "m", "e"))
    assert "slope" not in words
    assert "one" in words
    assert "slope" not in texts(convergence({"a": (m, m)}, "m", "e", fit=False))
    assert image(convergence({}, "m", "e")).std() > 1


def test_points_that_a_logarithm_has():
    x, y = positive(([8, 4, 2, None, 16, 0, 3], [1.0, 2.0, math.nan, 1.0, 0.0, 1.0, math.inf]))
    assert (x.tolist(), y.tolist()) == ([4.0, 8.0], [2.0, 1.0])


@given(st.floats(-8, 8), st.floats(1e-6, 1e6), st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=9, unique=True))
def test_a_power_has_its_exponent_as_slope(a: float, b: float, places: list[float]):
    x = np.array(places)
    if x.max() / x.min() > 1.1:
        assert rate(x, b * x**a) == pytest.approx(a, abs=1e-7)


ROWS = [
    {"network.width": str(m), "network.degree": str(k), "seed": "0", "status": "completed"}
    | {"w1_error": m ** -(k + 1.0), "evaluations": 300, "parameters": m}
    for k in (1, 3)
    for m in (4, 8, 16)
]


def test_convergence_in_what_was_refined():
    axes = ["network.width", "network.degree"]
    other = ROWS[0] | {"network.width": "32"}
    found = convergences(axes, [*ROWS, other | {"w1_error": None}, other | {"status": "folded", "w1_error": 1.0}])
    assert list(found) == ["convergence-width", "convergence-degree", "cost"]
    legend = found["convergence-width"].axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["degree=1, slope -2.00", "degree=3, slope -4.00"]
    assert found["convergence-width"].axes[0].get_xlabel().startswith("width")
    unclear = other | {"w1_error": 1e-2, "w1_clear": False}
    assert len(convergences(axes, [*ROWS, unclear])["convergence-width"].axes[0].lines[1].get_xdata()) == 3
    assert convergences(["seed"], ROWS[:1]) == {}
    unrelated = [ROWS[0] | {"pde": "a", "equation": "a"}, ROWS[1] | {"pde": "b", "equation": "b"}]
    assert convergences(["network.width", "pde"], unrelated) == {}
    assert list(convergences(["seed"], ROWS)) == ["cost"]


def test_slopes_over_dt_are_those_over_the_steps_taken():
    """Steps of 0.04 and 0.02 were shortened to meet saved times; those of an adaptive method have no slope."""
    fixed = [
        {"integrator.dt": str(dt), "status": "completed", "w1_error": steps**-4.0, "mean_step": 1 / steps}
        | {"evaluations": steps, "parameters": 10}
        for dt, steps in ((0.04, 40), (0.02, 60), (0.01, 100))
    ]
    legend = convergences(["integrator.dt"], fixed)["convergence-dt"].axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["slope 4.00"]
    assert list(convergences(["integrator.dt"], [row | {"mean_step": None} for row in fixed])) == ["cost"]


def test_curves_of_the_other_axes():
    found = curves_of("network.width", ["network.width", "network.degree"], ROWS)
    assert list(found) == ["degree=1", "degree=3"]
    assert found["degree=3"] == ([4.0, 8.0, 16.0], [4**-4, 8**-4, 16**-4])
    assert curves_of("network.width", ["network.width"], [{"network.width": "auto", "w1_error": 1.0}]) == {}


@pytest.mark.parametrize("count", [1, 3, 12])
def test_densities_at_the_end(count: int):
    figure = finals({f"job=${k}": solution(2, exact=k < 5) for k in range(count)})
    lines = figure.axes[0].lines
    assert len(lines) == count + (count < 6)
    assert np.trapezoid(lines[0].get_ydata(), lines[0].get_xdata()) == pytest.approx(1.0, abs=1e-6)
    figure.canvas.draw()
