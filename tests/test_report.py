"""Figures and the table: right size, right curves, right words."""

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from wgf.report import figures, pixels, save_figures, table
from wgf.solution import Solution

TITLE = "rho_t = rho_xx + d/dx(rho d/dx((x - 1)^4/4 - (x - 1)^2/2))"


def solution(saves: int = 20, exact: bool = True) -> Solution:
    """The standard Gaussian widening to N(0, 4), with an error of 1e-3 in the map."""
    z = np.linspace(-8, 8, 801)
    t = np.linspace(0, 1, saves + 1)
    positions = (1 + t[:, None]) * z
    slopes = np.broadcast_to(1 + t[:, None], positions.shape)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return Solution(t, z, positions, slopes, density, positions + 1e-3 * t[:, None] if exact else None)


def curves(figure: Figure) -> list[np.ndarray]:
    """The points [2, n] of every line on the first axes."""
    return [np.array(line.get_data(orig=True), dtype=float) for line in figure.axes[0].lines]


def texts(figure: Figure) -> str:
    """Everything written in a figure."""
    legends = [axes.get_legend() for axes in figure.axes]
    words = [entry.get_text() for legend in legends if legend for entry in legend.get_texts()]
    for axes in figure.axes:
        words += [axes.get_title(), axes.get_title("left"), axes.get_title("right")]
        words += [axes.get_xlabel(), axes.get_ylabel(), *(text.get_text() for text in axes.texts)]
    return "\n".join(words)


def opened(path: Path) -> np.ndarray:
    """The pixels of a figure on the disk."""
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (1200, 800))
        return np.asarray(image.convert("RGB"))


def test_figures_are_saved_with_their_size(tmp_path: Path):
    paths = save_figures(solution(), tmp_path, TITLE)
    assert paths == [tmp_path / "figures" / "density.png", tmp_path / "figures" / "map.png"]
    for path in paths:
        colors = np.unique(opened(path).reshape(-1, 3), axis=0)
        assert len(colors) > 100
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["density.png", "map.png"]


def test_pixels_are_those_of_the_file(tmp_path: Path):
    s = solution(4)
    save_figures(s, tmp_path, TITLE)
    for name, figure in figures(s, TITLE).items():
        image = pixels(figure)
        assert (image.shape, image.dtype) == ((800, 1200, 3), np.uint8)
        assert np.abs(image.astype(int) - opened(tmp_path / "figures" / f"{name}.png")).mean() < 1


def test_no_figure_stays_with_pyplot():
    figures(solution(2), TITLE)
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []


def test_density_shows_the_saved_densities():
    drawn = curves(figures(solution(20), TITLE)["density"])
    computed, exact = drawn[:6], drawn[6:]
    for k, (x, rho) in enumerate(computed):
        width = 1 + 0.2 * k
        assert rho.max() == pytest.approx(1 / (width * math.sqrt(2 * math.pi)), rel=1e-6)
        assert np.trapezoid(rho, x) == pytest.approx(1.0, abs=1e-6)
    assert len(exact) == 5  # all but the start
    assert exact[-1][1].max() == pytest.approx(computed[-1][1].max(), rel=1e-3)


def test_map_shows_maps_and_error():
    figure = figures(solution(20), TITLE)["map"]
    drawn = curves(figure)
    identity, last = drawn[0], drawn[5]
    assert identity[0] == pytest.approx(identity[1])
    assert last[1] == pytest.approx(2 * last[0])
    error = figure.axes[1].lines[0].get_ydata()
    assert max(error) == pytest.approx(1e-3 / math.sqrt(2 * math.pi), rel=1e-3)
    assert r"W_1=1.00 \cdot 10^{-3}" in texts(figure)


@pytest.mark.parametrize("name", ["density", "map"])
@pytest.mark.parametrize("exact", [True, False])
def test_words_of_the_figures(name: str, exact: bool):
    words = texts(figures(solution(5, exact), TITLE)[name])
    assert "rho_t = rho_xx" in words
    assert "computed" in words
    assert ("\nreference" in f"\n{words}") == exact
    assert "time $t$" in words


def with_spike() -> Solution:
    s = solution()
    slopes = s.dT.copy()
    slopes[-1, 395:406] = 1e-3
    return replace(s, dT=slopes)


def test_a_spike_does_not_hide_the_rest():
    figure = figures(with_spike(), TITLE)["density"]
    assert figure.axes[0].get_ylim()[1] < 2
    assert "peak cut off: 399 at $t=1$" in texts(figure)
    assert "peak cut off" not in texts(figures(solution(), TITLE)["density"])


def only_start() -> Solution:
    s = solution()
    return replace(s, t=s.t[:1], T=s.T[:1], dT=s.dT[:1], exact_T=s.exact_T[:1])


def with_gap() -> Solution:
    """A density that ends inside the grid, the exact map unknown after a while."""
    s = solution()
    exact = s.exact_T.copy()
    exact[10:] = np.nan
    return replace(s, rho0=np.where(np.abs(s.z) < 1, 0.5, 0.0), exact_T=exact)


@pytest.mark.parametrize("make", [only_start, with_gap], ids=["failed in the first step", "no exact map in the end"])
def test_figures_of_odd_runs(make, tmp_path: Path):
    for path in save_figures(make(), tmp_path, TITLE):
        assert opened(path).std() > 5


# the table

RESULT = {
    "status": "completed",
    "message": "reached the end time",
    "equation": TITLE,
    "t_end": 0.2,
    "t_wanted": 0.2,
    "steps": 1234,
    "rejected": 5,
    "evaluations": 7435,
    "energy": -1.0043668,
    "energy_potential": 0.1435985,
    "energy_entropy": -1.1479653,
    "dissipated": 1.08,
    "dissipation_gap": 0.0031,
    "w1_error": math.exp(-5.35),
    "w2_error": None,
    "reference_solution": "exact: characteristics",
    "mass": 1.0,
    "mean": 0.25,
    "second_moment": 0.75,
    "second_moment_law": 0.7500001,
    "min_slope": 0.13,
    "parameters": 64,
    "rank": 18,
    "condition": 3.04,
    "residual": 1e-16,
    "truncated": 0,
    "damped": 0.0,
    "iterations": None,
    "wall_s": 1.354,
}


def printed(result: dict[str, Any], folder: Path, width: int = 100) -> str:
    stream = io.StringIO()
    table(result, TITLE, folder, Console(file=stream, width=width))
    return stream.getvalue()


def cell(text: str, name: str) -> str | None:
    """What stands in the line of that name."""
    lines = [line.strip("│ ").split("│") for line in text.splitlines() if line.startswith("│")]
    return next((value.strip() for key, value in lines if key.strip() == name), None)


def test_table(tmp_path: Path):
    text = printed(RESULT, tmp_path)
    assert text.startswith(TITLE)
    expected = {
        "status": "completed: reached the end time",
        "time": "0.2",
        "steps": "1,234 accepted, 5 rejected, 7,435 evaluations",
        "energy": "-1.00437, potential 0.143598, entropy -1.14797",
        "dissipated": "1.08, energy balance within 3.1e-03",
        "W1 error": "4.7482e-03 (ln -5.350) against exact: characteristics",
        "W2 error": None,
        "mass": "1",
        "mean": "0.25",
        "second moment": "0.75, -1.0e-07 off its law",
        "min slope": "0.13",
        "parameters": "64",
        "solver": "rank 18, condition 3.04e+00, residual 1.00e-16",
        "wall time": "1.35 s",
    }
    assert {name: cell(text, name) for name in expected} == expected
    assert "None" not in text
    assert "\x1b" not in text  # no colour in a pipe


def test_table_of_a_run_that_ended_early(tmp_path: Path):
    result = RESULT | {"status": "folded", "message": "the map folded", "t_end": 0.05, "energy": None, "note": "new"}
    text = printed(result, tmp_path)
    assert cell(text, "status") == "folded: the map folded"
    assert cell(text, "time") == "0.05 of 0.2"
    assert cell(text, "note") == "new"  # what has no line of its own comes last


def test_table_says_how_to_look_at_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / ("a long name with spaces " * 5 + "[red]x[/red]").strip() / "run"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "tensorboard" not in printed(RESULT, folder)
    (folder / "events.out.tfevents.1").touch()
    line = printed(RESULT, folder, width=40).splitlines()[-1]  # one line, ready to be copied
    assert line == f"look at it   tensorboard --logdir '{folder.relative_to(tmp_path)}'"
    monkeypatch.chdir(folder)  # a place outside the working directory is written in full
    assert printed(RESULT, tmp_path / "elsewhere").splitlines()[-1] == f"results in   {tmp_path.resolve()}/elsewhere"
