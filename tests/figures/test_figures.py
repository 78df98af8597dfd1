"""Figures of a run: right size, right curves, right words."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from drawn_figures import curves, image, labelled, texts
from matplotlib import pyplot
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from saved_solutions import TITLE, history, only_start, solution, with_gap

from wgf.figures.density import density, ridgeline, spacetime
from wgf.figures.errors import errors
from wgf.figures.history import energy, steps
from wgf.figures.map import map, slope
from wgf.figures.notebook import TIMES, UNKNOWN, html
from wgf.figures.style import encoded
from wgf.saved_maps import SavedMaps
from wgf.sweep.pages.dark import GROUND, contrast, dark, follows

OF_SOLUTIONS = [density, ridgeline, spacetime, map, slope, errors]


def test_figures_become_files():
    figure = density(solution(2), TITLE)
    pixels = image(figure)
    assert pixels.shape == (800, 1200, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    assert encoded(figure, "pdf").startswith(b"%PDF")
    before = dict(matplotlib.rcParams)
    one, other = (encoded(density(solution(2), TITLE), "svg") for _ in range(2))
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    assert ElementTree.fromstring(one).tag.endswith("svg")
    assert one == other  # no date, no random names
    image(density(solution(2), "rho_t = $rho_xx$ ^_ \\frac"))  # dollars in an equation are no formula


@pytest.mark.parametrize("draw", OF_SOLUTIONS)
@pytest.mark.parametrize("exact", [True, False])
def test_words(draw: Callable[[SavedMaps, str], Figure | None], exact: bool):
    figure = draw(solution(5, exact), TITLE)
    if figure is None:
        assert (draw, exact) == (errors, False)
        return
    words = texts(figure)
    assert r"$\rho_{t} = \rho_{xx} + (\rho \ V')_{x}" in words
    assert "time $t$" in words
    assert "position $x$" in words or "start $z$" in words
    if draw not in (spacetime, errors):
        assert "computed" in words
        assert ("reference" in words) == exact


def test_dark_figures_can_be_read():
    svg = encoded(density(solution(2), TITLE), "svg")
    follows_page = follows(svg)
    assert ElementTree.fromstring(follows_page).tag.endswith("svg")
    light, night = (dict(re.findall(r"--(\w+):(#\w+)", rules)) for rules in follows_page.decode().split("@media", 1))
    night = {color: night[color] for color in light}
    assert all(f"#{name}" == color for name, color in light.items())
    assert all(f": #{color}".encode() not in follows_page for color in light)
    for color, other in night.items():
        grey = color[:2] == color[2:4] == color[4:]
        assert grey or contrast(to_rgb(other), GROUND) >= 3
    assert contrast(to_rgb(dark("#000000")), GROUND) > 12
    assert dark("#ffffff") == "#16171a"
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast(to_rgb("#777777"), (1, 1, 1)) == pytest.approx(4.48, abs=0.005)  # as the tools of WCAG say
    assert b"<image" not in svg  # the bar of the times changes its colours, too
    filled = follows(encoded(spacetime(solution(2), TITLE), "svg"), filled=True)
    assert b"stroke: #ffffff" in filled  # white lines on colours stay white


def test_density_shows_the_saved_densities():
    figure = density(solution(20), TITLE)
    computed, gaps = curves(figure), curves(figure, 1)
    assert len(computed) == 6  # a reference that differs by less than the lines are wide is not drawn over them
    for k, (x, rho) in enumerate(computed):
        width = 1 + 0.2 * k
        assert rho.max() == pytest.approx(1 / (width * math.sqrt(2 * math.pi)), rel=1e-6)
        assert np.trapezoid(rho, x) == pytest.approx(1.0, abs=1e-6)
    for k, (x, gap) in enumerate(gaps, 1):  # all but the start
        own, other = NormalDist(0, 1 + 0.2 * k), NormalDist(2e-4 * k, 1 + 0.2 * k)
        expected = [own.pdf(each) - other.pdf(each) for each in x]
        assert gap == pytest.approx(expected, abs=2e-6)
    assert len(gaps) == 5
    assert figure.axes[0].get_legend().get_texts()[-1].get_text() == "computed"  # no name of what is not drawn
    wrong = solution(20)
    apart = density(replace(wrong, exact_T=wrong.exact_T + 0.3), TITLE)
    assert len(curves(apart)) == 11
    assert apart.axes[0].get_legend().get_texts()[-1].get_text() == "reference"


def test_ridges_stand_on_their_lines():
    figure = ridgeline(solution(8, exact=False), TITLE)
    axes = figure.axes[0]
    feet = axes.get_yticks()
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"{k / 8:.3g}" for k in range(9)]
    assert np.diff(feet) == pytest.approx(feet[1])
    for k, (x, raised) in enumerate(reversed(curves(figure))):
        assert np.trapezoid(raised - feet[k], x) == pytest.approx(1.0, abs=1e-6)
    assert f"from line to line: a density of {feet[1]:.3g}" in texts(figure)


def test_spacetime_has_the_density_and_the_quantiles():
    s = solution(10)
    figure = spacetime(s, TITLE)
    (mesh,) = figure.axes[0].collections
    places, colors = np.asarray(mesh.get_coordinates()), np.asarray(mesh.get_array()).reshape(81, -1)
    t = places[:, 7, 1]
    assert t == pytest.approx(np.arange(81) / 80)
    z = places[0, :, 0]
    assert (z[0], z[-1], len(z)) == (-8.0, 8.0, 321)
    assert places[..., 0] == pytest.approx((1 + t[:, None]) * z)  # this flow is straight between the saved times too
    assert colors == pytest.approx(np.interp(z, s.z, s.rho0) / (1 + t[:, None]))
    for q, (path, times) in zip((0.05, 0.25, 0.5, 0.75, 0.95), curves(figure), strict=True):
        assert times == pytest.approx(s.t)
        assert path == pytest.approx((1 + s.t) * NormalDist().inv_cdf(q), abs=1e-3)


def test_spacetime_is_dark_where_no_mass_is():
    """Two halves of a uniform law 2 apart: of the 2000 cells one spans the gap, and one of those drawn holds it."""
    z = np.linspace(0.0, 1.0, 2001)
    T = np.stack([z + 2 * (z > 0.5)] * 2)
    (mesh,) = (
        spacetime(SavedMaps(np.array([0.0, 1.0]), z, T, np.ones_like(T), np.ones_like(z)), TITLE).axes[0].collections
    )
    places, colors = np.asarray(mesh.get_coordinates()), np.asarray(mesh.get_array())
    for x, rho in zip(places[..., 0], colors.reshape(places.shape[:2]), strict=True):
        assert (np.diff(x) >= 0).all()
        drawn = np.interp([0.2, 0.499, 0.51, 1.5, 2.49, 2.502, 2.9], x, rho)
        assert drawn == pytest.approx([1, 1, 2.5e-4, 2.5e-4, 2.5e-4, 1, 1], rel=1e-3)


def with_spike() -> SavedMaps:
    s = solution()
    slopes = s.dT.copy()
    slopes[-1, 395:406] = 1e-3
    return replace(s, dT=slopes)


def test_a_spike_does_not_hide_the_rest():
    figure = density(with_spike(), TITLE)
    assert figure.axes[0].get_ylim()[1] < 2
    assert "peak cut off: 399 at $t = 1$" in texts(figure)
    assert "peak cut off" not in texts(density(solution(), TITLE))


def test_map_shows_maps_knots_and_error():
    figure = map(solution(20), TITLE)
    drawn = curves(figure)
    identity, last, knots = drawn[0], drawn[5], drawn[-1]
    assert identity[0] == pytest.approx(identity[1])
    assert last[1] == pytest.approx(2 * last[0])
    assert knots.tolist() == [[-2.0, 0.0, 2.0], [-4.0, 0.0, 4.0]]  # each once, none beyond the axis
    error = figure.axes[1].lines[0].get_ydata()
    assert max(error) == pytest.approx(1e-3 / math.sqrt(2 * math.pi), rel=1e-3)
    assert r"W_1=1 \cdot 10^{-3}" in texts(figure)
    other = replace(solution(20), errors=np.full((21, 2), 1.25e-3))
    assert r"W_1=1.25 \cdot 10^{-3}" in texts(map(other, TITLE))  # the number of the run, not another quadrature
    assert "knots" in texts(figure)
    smooth = map(replace(solution(20), knots=None), TITLE)
    assert len(curves(smooth)[-1][0]) == 0
    assert "knots" not in texts(smooth)


def test_slopes():
    figure = slope(solution(20), TITLE)
    drawn = curves(figure)
    assert drawn[0][1] == pytest.approx([1, 1])
    for k in range(1, 6):
        assert drawn[k][1] == pytest.approx(1 + 0.2 * k)
        assert drawn[5 + k][1] == pytest.approx(1 + 0.2 * k)  # the reference is only shifted
    assert figure.axes[0].get_yscale() == "log"


def test_errors_over_time_and_space():
    figure = errors(solution(20), TITLE, floor=1e-6)
    assert figure is not None
    for name in ("$W_1$", "$W_2$"):
        t, error = labelled(figure, name)
        assert t == pytest.approx(np.arange(1, 21) / 20)
        assert error == pytest.approx(1e-3 * t, rel=1e-9)
    assert labelled(figure, "$W_1$ error of the reference")[1] == pytest.approx(1e-6)
    assert max(curves(figure, 1)[-1][1]) == pytest.approx(1e-3 / math.sqrt(2 * math.pi), rel=1e-3)
    assert len(figure.axes[1].lines) == 5
    assert "error of the reference" not in texts(errors(solution(20), TITLE))


def test_a_bound_is_shown_without_a_reference():
    alone = replace(solution(20), exact_T=None, errors=None, w2_bound=np.linspace(0.0, 1e-3, 21))
    figure = errors(alone, TITLE)
    assert labelled(figure, "$W_2$ is below (certificate)")[1][1:] == pytest.approx(alone.w2_bound[1:])
    assert len(figure.axes) == 1
    assert errors(replace(alone, w2_bound=None), TITLE) is None


def test_energy_dissipation_and_their_balance():
    rows = history()
    figure = energy(rows, TITLE)
    assert labelled(figure, "total $F$")[1] == pytest.approx(-np.log1p(rows["t"]))
    assert labelled(figure, "potential")[1] == pytest.approx(rows["t"])
    assert curves(figure, 1)[0][1] == pytest.approx(1 / (1 + rows["t"]))
    gap = curves(figure, 2)[0][1]
    assert gap[1:] == pytest.approx(1e-4 * rows["t"][1:], rel=1e-9)
    alone = {name: column for name, column in rows.items() if name not in ("energy_potential", "dissipated")}
    assert "entropy" not in texts(energy(alone, TITLE))  # a term alone is the total


def test_the_work_of_a_potential_is_no_gap():
    """V = a t with a the energy that is lost and comes back: F = 0 at all times."""
    rows = history()
    figure = energy(rows | {"energy": 0 * rows["t"], "work": np.log1p(rows["t"])}, TITLE)
    assert curves(figure, 2)[0][1][1:] == pytest.approx(1e-4 * rows["t"][1:], rel=1e-9)
    assert "dF/dt" not in texts(figure)
    assert r"$|F(0) + \mathrm{work} - F(t)" in texts(figure)


def test_steps_and_moments():
    rows = history()
    figure = steps(rows, TITLE)
    assert curves(figure)[0][1] == pytest.approx(1 / 29)
    assert labelled(figure, "rejected")[1][-1] == 5
    assert labelled(figure, "mean")[1] == pytest.approx(0.5)
    assert labelled(figure, "standard deviation")[1] == pytest.approx(1 + rows["t"])


def test_a_width_that_rounding_hides_is_not_drawn():
    rows = history()
    far = np.where(rows["t"] < 0.5, 1e4, 1e8)
    second = far**2 + (1 + rows["t"]) ** 2
    drawn = labelled(steps(rows | {"mean": far, "second_moment": second}, TITLE), "standard deviation")[1]
    near = rows["t"] < 0.5
    assert drawn[near] == pytest.approx(1 + rows["t"][near], rel=1e-6)
    assert np.isnan(drawn[~near]).all()
    assert "deviation" not in texts(steps(rows | {"mean": far + 1e8, "second_moment": (far + 1e8) ** 2}, TITLE))


@pytest.mark.parametrize("draw", [energy, steps])
def test_a_history_of_one_row(draw: Callable[..., Figure]):
    assert image(draw({name: column[:1] for name, column in history().items()}, TITLE)).std() > 5


def test_the_summary_of_a_notebook():
    facts = {"equation": "rho_t = rho_xx, V = x<1", "status": "completed: reached the end time", "network": "Spline"}
    text = html(facts, np.array([1.0, -0.5]), solution(8), "finite volumes")
    root = ElementTree.fromstring(text)
    words = [part.text for part in root.iter() if part.text]
    assert {"rho_t = rho_xx, V = x<1", "completed: reached the end time", "Spline", "1 to -0.5", "W2 error"} <= {*words}
    assert "1.00e-03 against finite volumes" in words
    assert "blue: t = 0, orange: t = 1; highest density 0.399" in words
    assert UNKNOWN in html(facts, np.array([1.0, -0.5]), solution(8, exact=False), None)
    assert all(contrast(TIMES(t)[:3], ground) >= 3 for t in np.linspace(0, 1, 20) for ground in ((1, 1, 1), GROUND))
    lines = [part.get("points", "") for part in root.iter() if part.tag.endswith("polyline")]
    assert len(lines) == 6
    places = np.array([[float(number) for number in place.split(",")] for line in lines for place in line.split()])
    assert (places >= 0).all()
    assert (places <= (330, 130)).all()
    assert len(text) < 20_000


@pytest.mark.parametrize("make", [only_start, with_gap], ids=["failed in the first step", "no exact map in the end"])
@pytest.mark.parametrize("draw", OF_SOLUTIONS)
def test_figures_of_odd_runs(make: Callable[[], SavedMaps], draw: Callable[[SavedMaps, str], Figure | None]):
    figure = draw(make(), TITLE)
    if figure is None:
        assert (make, draw) == (only_start, errors)
    else:
        assert image(figure).std() > 5
