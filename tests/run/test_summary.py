"""The table on the terminal: right words, right figures."""

import io
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from wgf.files import relative
from wgf.result import Result
from wgf.run import summary
from wgf.run.loggers.base import watch

TITLE = "rho_t = rho_xx + (rho V')_x, V = (x - 1)^4/4 - (x - 1)^2/2"
RESULT = {"status": "completed", "message": "reached the end time", "equation": TITLE, "t_end": 0.2, "t_wanted": 0.2}
RESULT |= {"steps": 1234, "rejected": 5, "evaluations": 7435, "dissipated": 1.08, "dissipation_gap": 0.0031}
RESULT |= {"energy": -1.0043668, "energy_potential": 0.1435985, "energy_entropy": -1.1479653, "mass": 1.0}
RESULT |= {"w1_error": math.exp(-5.35), "w2_error": None, "reference_solution": "exact: characteristics"}
RESULT |= {"mean": 0.25, "second_moment": 0.75, "second_moment_law": 0.7500001, "min_slope": 0.13, "parameters": 64}
RESULT |= {"rank": 18, "condition": 3.04, "residual": 1e-16, "truncated": 0, "damped": 0.0, "iterations": None}
RESULT |= {"wall_s": 1.354}


def printed(result: dict[str, Any], folder: Path, width: int = 100, look: tuple[str, ...] = ()) -> str:
    stream, phases = io.StringIO(), {"loading": 2.345, "flow": 1.4, "errors": 0.0049, "figures": 75.0}
    summary.show(Result.from_dict(result), folder, phases, look, Console(file=stream, width=width))
    return stream.getvalue()


def cell(text: str, name: str) -> str | None:
    """What stands in the line of that name."""
    lines = [line.strip("│ ").split("│") for line in text.splitlines() if line.startswith("│")]
    return next((value.strip() for key, value in lines if key.strip() == name), None)


def test_table(tmp_path: Path):
    text = printed(RESULT, tmp_path)
    assert TITLE not in text  # the first line of the run names it
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
        "wall time": "loading 2.35 s, flow 1.35 s, figures 1.2 min",  # a phase without time is left out
    }
    assert {name: cell(text, name) for name in expected} == expected
    assert "None" not in text
    assert "\x1b" not in text  # no colour in a pipe


def test_rounding_is_zero(tmp_path: Path):
    text = printed(RESULT | {"mean": 4.19e-17, "energy_potential": -2e-17}, tmp_path)
    assert (cell(text, "mean"), cell(text, "energy")) == ("0", "-1.00437, potential 0, entropy -1.14797")
    assert cell(printed(RESULT | {"mean": 1e-12}, tmp_path), "mean") == "1e-12"


def test_bound_of_the_error():
    def line(**parts: Any) -> str:
        return (
            " ".join(cell.split())
            if (cell := dict(summary.lines(Result.from_dict(RESULT | parts))).get("bound"))
            else ""
        )

    known = {"w2_bound": 3.811e-5, "w2_bound_quadrature": 3e-4}
    words = "W2 error <= 3.82e-05, proved up to quadrature, which changes it by 0.03 %, and rounding"
    assert line(**known) == words
    assert line(**known, w2_bound_distance=3e-5) == words + "; W2 distance 3.0e-05 to a richer run"
    assert line(w2_bound_unknown="W folds") == "no bound of the W2 error: W folds"
    assert line() == ""


def test_what_the_reference_solution_does_not_know(tmp_path: Path):
    doubtful = RESULT | {"w2_best": 1.2e-10, "w2_error": 4e-8, "reference_w2_error": 5e-8}
    text = printed(doubtful, tmp_path, 120)
    assert cell(text, "W2 error").endswith(", error 5e-08, not clearly above that")
    assert cell(text, "best W2").endswith(" within reach of this network, error 5e-08, not clearly above that")
    assert "not clearly" not in cell(printed(doubtful | {"w2_best": 1e-6}, tmp_path, 120), "best W2")


def test_table_of_a_run_that_ended_early(tmp_path: Path):
    result = RESULT | {"status": "folded", "message": "the map folded", "t_end": 0.05, "energy": None}
    text = printed(result, tmp_path)
    assert cell(text, "status") == "folded: the map folded"
    assert cell(text, "time") == "0.05 of 0.2"
    assert cell(text, "energy") == "potential 0.143598, entropy -1.14797"
    assert cell(text, "doubts") is None  # nothing has looked for them
    assert cell(printed(RESULT, tmp_path), "doubts") == "none"


def test_table_says_how_to_look_at_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / ("a long name with spaces " * 5 + "[red]x[/red]").strip() / "run"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    look = watch(relative(folder.parent))
    where, line, address = printed(RESULT, folder, 40, tuple(look)).splitlines()[-3:]  # one line, ready to be copied
    assert where == f"results in   '{folder.relative_to(tmp_path)}'"
    assert line == f"look at it   tensorboard --logdir '{folder.parent.relative_to(tmp_path)}'"
    assert address == "at           http://localhost:6006/?smoothing=0"
    monkeypatch.chdir(folder)  # a place outside the working directory is written in full
    assert printed(RESULT, tmp_path / "elsewhere").splitlines()[-1] == f"results in   {tmp_path.resolve()}/elsewhere"


def test_other_breakpoints_are_named_where_those_of_the_run_do_not_fit(tmp_path: Path):
    coarse = RESULT | {"w2_best": 0.05, "mean": 0.0}
    assert "network.knots=adaptive" in printed(coarse, tmp_path)
    assert "network.knots=adaptive" not in printed(coarse | {"w2_best": 0.005}, tmp_path)
    assert "network.knots=adaptive" not in printed(coarse | {"transfers": 3}, tmp_path)
    far = {"mean": 1e8, "second_moment": 1e16, "second_moment_law": None, "w2_best": 1e-8}
    assert "network.knots=adaptive" not in printed(coarse | far, tmp_path)  # rounding hides the width
