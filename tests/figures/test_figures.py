"""Figures: right size, right curves, right words."""

import io
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from saved_solutions import TITLE, history, solution

from wgf.errors import ConfigError
from wgf.figures.animation import film, kinds
from wgf.figures.comparison import convergences, finals
from wgf.figures.comparison import curves as curves_of
from wgf.figures.convergence import asymptotic, convergence, positive
from wgf.figures.convergence import slope as rate
from wgf.figures.dark import GROUND, contrast, dark, follows
from wgf.figures.density import density, ridgeline, spacetime
from wgf.figures.errors import errors
from wgf.figures.history import energy, steps
from wgf.figures.map import map, slope
from wgf.figures.notebook import TIMES, UNKNOWN, html
from wgf.figures.style import encoded
from wgf.saved_maps import SavedMaps

OF_SOLUTIONS = [density, ridgeline, spacetime, map, slope, errors]


def curves(figure: Figure, axes: int = 0) -> list[np.ndarray]:
    """The points [2, n] of every line on some axes."""
    return [np.array(line.get_data(orig=True), dtype=float) for line in figure.axes[axes].lines]


def labelled(figure: Figure, label: str) -> np.ndarray:
    """The points [2, n] of the line with that name."""
    (line,) = [line for axes in figure.axes for line in axes.lines if line.get_label() == label]
    return np.array(line.get_data(orig=True), dtype=float)


def texts(figure: Figure) -> str:
    """Everything written in a figure."""
    legends = [axes.get_legend() for axes in figure.axes]
    words = [entry.get_text() for legend in legends if legend for entry in legend.get_texts()]
    words += [figure.get_suptitle()]
    for axes in figure.axes:
        words += [axes.get_title(), axes.get_title("left"), axes.get_title("right")]
        words += [axes.get_xlabel(), axes.get_ylabel(), *(text.get_text() for text in axes.texts)]
    return "\n".join(words)


def image(figure: Figure) -> np.ndarray:
    """The pixels of a figure."""
    with Image.open(io.BytesIO(encoded(figure, "png"))) as picture:
        return np.asarray(picture.convert("RGB"))


# files


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


# densities


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


# maps, slopes, errors


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


# histories


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


def test_steps_and_moments():
    rows = history()
    figure = steps(rows, TITLE)
    assert curves(figure)[0][1] == pytest.approx(1 / 29)
    assert labelled(figure, "rejected")[1][-1] == 5
    assert labelled(figure, "mean")[1] == pytest.approx(0.5)
    assert labelled(figure, "standard deviation")[1] == pytest.approx(1 + rows["t"])


@pytest.mark.parametrize("draw", [energy, steps])
def test_a_history_of_one_row(draw: Callable[..., Figure]):
    assert image(draw({name: column[:1] for name, column in history().items()}, TITLE)).std() > 5


# convergence


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


# sweeps

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


# the animation


def test_animation_moves():
    with Image.open(io.BytesIO(film(solution(4), TITLE).gif)) as movie:
        assert (movie.format, movie.size, movie.n_frames, movie.info["loop"]) == ("GIF", (640, 426), 5, 0)
        frames = []
        for k in range(5):
            movie.seek(k)
            frames.append(np.asarray(movie.convert("RGB"), dtype=float))
            assert movie.info["duration"] == (1200 if k == 4 else 750)
    assert (frames[3][5, 5] == 255).all()  # white, as in every other figure
    still = np.abs(frames[1] - frames[0]).max(axis=2) == 0
    assert 0.8 < still.mean() < 0.999
    assert all(np.abs(b - a).max() > 50 for a, b in pairwise(frames))
    with Image.open(io.BytesIO(film(solution(200), TITLE).gif)) as movie:
        assert movie.n_frames == 60  # many saved times make no long film


def test_a_film_is_shown_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    moving = film(solution(4), TITLE)
    assert moving._repr_html_().startswith('<img alt="film of the density" src="data:image/gif;base64,')
    moving.save(tmp_path / "film.gif")
    assert (tmp_path / "film.gif").read_bytes() == moving.gif
    with pytest.raises(ConfigError, match=r"expected a name that ends in \.gif or \.mp4"):
        moving.save(tmp_path / "film.avi")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kinds() == [".gif"]
    with pytest.raises(ConfigError, match=r"an \.mp4 file needs the program ffmpeg: install it, or save a \.gif"):
        moving.save(tmp_path / "film.mp4")
    program = tmp_path / "ffmpeg"  # counts the bytes of the frames
    program.write_text('#!/bin/sh\nfor target; do :; done\n/usr/bin/wc -c > "$target"\n')
    program.chmod(0o755)
    assert kinds() == [".gif", ".mp4"]
    film(solution(4), TITLE).save(tmp_path / "film.mp4")
    assert int((tmp_path / "film.mp4").read_text()) == (5 + 2) * 640 * 426 * 3  # the last one is held 1.2 s
    program.write_text("#!/bin/sh\necho no codec >&2\nexit 1\n")
    with pytest.raises(ConfigError, match=r"ffmpeg wrote no film \(no codec\): save a \.gif file"):
        film(solution(4), TITLE).save(tmp_path / "again.mp4")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_a_real_ffmpeg_keeps_the_frames(tmp_path: Path):
    moving = film(solution(4), TITLE)
    moving.save(tmp_path / "film.mp4")
    read = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "film.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    frames = np.frombuffer(subprocess.run(read, capture_output=True, check=True).stdout, dtype=np.uint8)
    seen = frames.reshape(-1, 426, 640, 3).astype(float)
    assert len(seen) == 5 + 2
    for one, other in zip(seen, [*moving.frames, moving.frames[-1], moving.frames[-1]], strict=True):
        assert np.abs(one - np.asarray(other, dtype=float)).mean() < 4  # of 255


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


# odd runs


def only_start() -> SavedMaps:
    s = solution()
    return replace(s, t=s.t[:1], T=s.T[:1], dT=s.dT[:1], exact_T=s.exact_T[:1], errors=s.errors[:1], knots=s.knots[:1])


def with_gap() -> SavedMaps:
    """A density that ends inside the grid, the exact map unknown after a while."""
    s = solution()
    exact, errors = s.exact_T.copy(), s.errors.copy()
    exact[10:] = errors[10:] = np.nan
    return replace(s, rho0=np.where(np.abs(s.z) < 1, 0.5, 0.0), exact_T=exact, errors=errors)


@pytest.mark.parametrize("make", [only_start, with_gap], ids=["failed in the first step", "no exact map in the end"])
@pytest.mark.parametrize("draw", OF_SOLUTIONS)
def test_figures_of_odd_runs(make: Callable[[], SavedMaps], draw: Callable[[SavedMaps, str], Figure | None]):
    figure = draw(make(), TITLE)
    if figure is None:
        assert (make, draw) == (only_start, errors)
    else:
        assert image(figure).std() > 5


@pytest.mark.parametrize("make", [only_start, with_gap])
def test_animation_of_odd_runs(make: Callable[[], SavedMaps]):
    with Image.open(io.BytesIO(film(make(), TITLE).gif)) as movie:
        assert np.asarray(movie.convert("RGB")).std() > 5
