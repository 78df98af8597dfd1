"""Pages and their pieces: escaped, honest charts, and in a browser: sliders move, columns sort, nothing overflows."""

import math
from pathlib import Path

import numpy as np
import pytest
from browser import asked, needs_chromium
from pages import Reader
from run_pages import result, sweep, write

from wgf.result import Result
from wgf.sweep.collate import table
from wgf.sweep.pages import html
from wgf.sweep.pages import sweep as several
from wgf.sweep.pages.chart import HEIGHT, WIDTH, Axis, Chart, thinned
from wgf.sweep.pages.html import Cell
from wgf.sweep.pages.run import numbers
from wgf.sweep.report import run_page

NARROW_AND_WIDE = (390, 1400)


def test_what_is_written_is_escaped():
    nasty = "<script>alert('\"&')</script>"
    text = html.page(
        nasty,
        [
            html.head(nasty, nasty, False, nasty),
            html.warning(nasty),
            html.tiles([(nasty, nasty, nasty)]),
            html.command(nasty, nasty),
            html.facts([(nasty, nasty)]),
            html.table(nasty, [(nasty, nasty)], [[Cell(nasty, link='"><script>', mark=nasty)]], None),
            html.heat(nasty, nasty, [nasty], [(nasty, [Cell(nasty)])]),
            html.listing(nasty, nasty),
            html.figure(b"", "png", nasty),
            html.data("frames", [nasty]),
        ],
    )
    found = Reader(text)
    assert found.words["h1"] == [nasty]
    assert found.links == ['"><script>']
    assert len(found.words["script"]) == 2  # the data and the script of the page


def test_numbers_stand_on_the_right():
    cells = [[Cell("a"), Cell("1e-3", 1e-3)], [Cell("b"), Cell("")]]
    text = html.table("errors", [("name", ""), ("error", "")], cells, 0)
    assert text.count('class="number"') == 3
    assert '<td class="number" data-value="0.001">1e-3</td>' in text


def test_a_thinned_line_stays_where_it_was():
    x = np.linspace(0, WIDTH, 4001)
    place = np.stack([x, HEIGHT * (0.5 + 0.4 * np.sin(x / 20)) + (x > 200) * 30], axis=1)
    kept = thinned(place)
    assert len(kept) < 500
    assert np.abs(np.interp(x, *kept.T) - place[:, 1]).max() < 0.5  # of 240


def test_a_jump_and_a_needle_survive_thinning():
    place = np.array([[0, 0], [1, 0], [2, 0], [2, 9], [2, 0], [3, 0], [4, 0]], float)
    assert thinned(place).tolist() == [[0, 0], [2, 0], [2, 9], [2, 0], [4, 0]]


@pytest.mark.parametrize("high", [1e-6, 0.2, 1e4])
def test_ticks_lie_on_the_axis_and_differ(high: float):
    ticks = Axis(0.0, high, "").ticks()
    assert all(0.0 <= value <= high for value, _ in ticks)
    assert 3 <= len({text for _, text in ticks}) == len(ticks) <= 7
    assert [float(text) for _, text in ticks] == pytest.approx([value for value, _ in ticks], rel=1e-5)


def test_a_logarithmic_axis_has_decades():
    axis = Axis.decades(np.array([math.nan, 0.0, 3e-9, 2e-2]), "error")
    assert (axis.low, axis.high) == pytest.approx((1e-9, 1e-1))
    assert axis.share(np.array([1e-9, 1e-5, 1e-1])) == pytest.approx([0, 0.5, 1])
    assert [text for _, text in axis.ticks()] == ["1e-9", "1e-7", "1e-5", "1e-3", "1e-1"]


def test_points_of_a_chart():
    chart = Chart(Axis(0, 2, "x"), Axis(0, 1, "y"), "text")
    text = chart.points(np.array([0.0, 1.0, 1.5, 2.0]), np.array([0.0, 1.0, math.nan, 0.5]))
    assert text == f"0.0,{HEIGHT}.0 {WIDTH / 2},0.0 {WIDTH}.0,{HEIGHT / 2}"


def test_an_error_below_that_of_the_reference_says_so():
    tiles = {name: note for name, _, note in numbers(Result(w1_error=1e-9, reference_error=1e-8, w2_error=1e-9))}
    assert "not clearly above" in tiles["W1 error"]
    assert tiles["W2 error"] == "no bound"


RUN = """
const slider = document.getElementById("time"), steps = [...document.querySelectorAll("[data-curve]")];
const state = () => steps.map((curve) => curve.getAttribute("points")).join(" ");
const last = state(), said = document.getElementById("now").textContent;
slider.value = 1; slider.dispatchEvent(new window.Event("input"));
const moved = state(), now = slider.getAttribute("aria-valuetext");
slider.value = slider.max; slider.dispatchEvent(new window.Event("input"));
const root = document.documentElement, names = [...document.querySelectorAll("input, button, svg[role], img")];
return {
  overflow: root.scrollWidth - root.clientWidth, moved: moved !== last, back: state() === last, said, now,
  frames: Number(slider.max) + 1, shown: slider.getClientRects().length,
  dark: window.getComputedStyle(root).colorScheme,
  named: names.every((e) => e.alt || e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length),
};"""


@needs_chromium
def test_a_run_in_a_browser(tmp_path: Path):
    for answer in asked(run_page(write(tmp_path / "run", result()), drawing=False), RUN, NARROW_AND_WIDE, tmp_path):
        assert answer["overflow"] == 0
        assert answer["frames"] == 5
        assert answer["said"] == "t = 1, W1 error 1.00e-03, W2 error 1.00e-03"
        assert answer["now"] == "t = 0.25, W1 error 2.50e-04, W2 error 2.50e-04"
        assert answer["moved"]
        assert answer["back"]
        assert answer["shown"]
        assert answer["named"]
        assert answer["dark"] == "light dark"


SWEEP = """
const rows = () => [...document.querySelectorAll(".rows tbody tr")].map((row) => row.cells[0].textContent);
const head = [...document.querySelectorAll(".rows th")].find((th) => th.textContent === "W1 error");
const before = rows(); head.firstChild.click();
const rising = rows(), state = head.getAttribute("aria-sort"); head.firstChild.click();
const root = document.documentElement, part = document.querySelector(".wide");
const picture = document.querySelector(".picture"), width = () => picture.firstChild.getBoundingClientRect().width;
const small = width(); picture.click();
const whole = [width(), picture.getAttribute("aria-expanded"), root.scrollWidth - root.clientWidth]; picture.click();
return {
  small, whole, closed: width(),
  overflow: root.scrollWidth - root.clientWidth, before, rising, state, falling: rows(),
  sorts: document.querySelectorAll("[aria-sort]").length,
  hinted: window.getComputedStyle(part.nextSibling).display !== "none", scrolls: part.scrollWidth > part.clientWidth,
};"""


@needs_chromium
def test_a_sweep_in_a_browser(tmp_path: Path):
    page = tmp_path / "report.html"
    drawing = html.figure(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 2"/>', "svg", "a drawing")
    page.write_text(several.page(table(sweep(tmp_path / "sweep")), "", 2 * [drawing]), encoding="utf-8")
    for answer in asked(page, SWEEP, NARROW_AND_WIDE, tmp_path):
        assert answer["small"] < 700
        assert answer["whole"][0] >= 1200
        assert answer["whole"][1:] == ["true", 0]
        assert answer["closed"] == answer["small"]
        assert answer["overflow"] == 0
        assert answer["before"][0] == "9"  # by the settings
        assert answer["rising"] == ["5best", "4", "3", "2", "1", "0", "9"]  # no error comes last
        assert answer["falling"] == ["0", "1", "3", "2", "4", "5best", "9"]
        assert answer["state"] == "ascending"
        assert answer["sorts"] == 1
        assert answer["hinted"] == answer["scrolls"]
