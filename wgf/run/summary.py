"""The result of a run as a table on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wgf.files import relative
from wgf.integrators.status import Status
from wgf.result import Result, at_most, is_clear, label

SHORT = 0.005  # seconds of a phase that is not worth a word
ROUNDING = 1e-14  # of a sum, relative to its terms
HIDDEN = 1e-8  # of a second moment: a variance of which rounding leaves few digits
COARSE = 0.01  # best W2 error, in standard deviations of the law, that asks for other breakpoints
COUNTS = {"steps": "accepted", "rejected": "rejected", "evaluations": "evaluations"}
SOLVER = {
    "rank": "rank {:,}",
    "condition": "condition {:.2e}",
    "residual": "residual {:.2e}",
    "truncated": "{:,} truncated",
    "damped": "damping {:.2e}",
    "iterations": "{:,} iterations",
}


def show(
    result: Result,
    folder: Path,
    phases: Mapping[str, float] | None = None,
    look: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print a result: plain text in a pipe, some colour on a terminal. The first line of the run names the equation.

    Args:
        result: the result; the table omits numbers that are None.
        folder: folder of the run. Lines with the folder are never wrapped, so that people can copy them.
        phases: wall time of each phase of the run (s); that of the flow is the number of the result.
        look: lines that say how to look at the run.
        console: output; standard output by default.
    """
    console = console or Console()
    grid = Table(box=ROUNDED, show_header=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    known = {**phases, "flow": result.wall_s or 0.0} if phases else {}
    spent = _join(*(f"{name} {_seconds(seconds)}" for name, seconds in known.items() if seconds >= SHORT))
    rows = dict(lines(result))
    for name, cell in (rows | ({"wall time": spent} if spent else {})).items():
        color = "green" if cell.startswith(("completed", "steady")) else "red"
        grid.add_row(name, Text(cell, color if name == "status" else ""))
    console.print(grid)
    for line in (f"results in   {relative(folder)}", *look):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def lines(result: Result) -> list[tuple[str, str]]:
    """Name and text of every line of the table, most important first, without empty lines."""
    r, terms = result, result.energy_terms or {}
    size = sum(map(abs, terms.values()))
    parts = terms.items() if len(terms) > 1 else ()
    against = f" against {r.reference_solution}" if r.reference_solution else ""
    of_wanted = f" of {r.t_wanted:.6g}" if r.t_wanted not in (None, r.t_end) else ""
    law = r.second_moment_law
    off_law = f", {r.second_moment - law:+.1e} off its law" if law else ""
    known = [
        ("status", _join(r.status, r.message, between=": ")),
        ("time", _number(r.t_end) + of_wanted),
        ("steps", _join(*(_number(getattr(r, name), f"{{:,}} {noun}") for name, noun in COUNTS.items()))),
        (
            "energy",
            _join(
                _number(r.energy),
                *(f"{name} {_seen(value, size):.6g}" for name, value in parts),
            ),
        ),
        ("dissipated", _number(r.dissipated) + _number(r.dissipation_gap, ", energy balance within {:.1e}")),
        (label("w1_error"), _error(r.w1_error, against, r.reference_error)),
        (label("w2_error"), _error(r.w2_error, against, r.reference_w2_error)),
        ("bound", _bound(r)),
        ("doubts", r.doubts or ("none" if r.status and Status[r.status].is_success else "")),
        ("unsaved", r.unsaved or ""),
        (
            "best W2",
            _join(_error(r.w2_best, " within reach of this network", r.reference_w2_error), _finer(r), between="; "),
        ),
        ("start", _number(r.initial_w2 or None, "W2 distance {:.1e} to the initial law")),
        ("equilibrium", _number(r.w2_to_equilibrium, "W2 distance {:.4e}")),
        (
            "breakpoints",
            ""
            if r.transfers is None
            else _join(
                _number(r.breakpoints),
                _number(r.transfers, "{:,} changes"),
                _number(r.mesh_error, "W2 distance {:.1e} unresolved at most"),
                _number(r.confirmed_w2, "confirmed by a run at W2 distance {:.1e}"),
            ),
        ),
        ("mass", _number(r.mass, "{:.15g}")),
        ("mean", _number(_seen(r.mean, math.sqrt(r.second_moment or 0.0)), "{:.8g}")),
        ("second moment", _number(r.second_moment, "{:.8g}") + off_law),
        ("min slope", _number(r.min_slope, "{:.4g}")),
        ("blow-up", _number(r.blow_up_bound, "no later than t = {:.6g} (the variance would vanish)")),
        ("parameters", _number(r.parameters, "{:,}")),
        ("solver", _join(*(form.format(value) for name, form in SOLVER.items() if (value := getattr(r, name))))),
        ("wall time", _number(r.wall_s, "{:.2f} s")),
    ]
    return [(name, cell) for name, cell in known if cell]


def _finer(r: Result) -> str:
    """What reaches a smaller error where the fixed breakpoints of a network do not fit the law any more."""
    square, mean = r.second_moment or 0.0, r.mean or 0.0
    variance = square - mean**2
    if variance <= HIDDEN * square:  # rounding: far from the origin
        return ""
    fits = r.transfers is not None or (r.w2_best or 0.0) <= COARSE * math.sqrt(variance)
    return "" if fits else "a larger network.width, or network=spline with network.knots=adaptive, reaches less"


def _seen(value: float | None, size: float) -> float | None:
    """A number of a sum of this size, and 0 where it is only rounding."""
    return 0.0 if value is not None and abs(value) <= ROUNDING * size else value


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 60 else f"{value / 60:.1f} min"


def _join(*parts: str | None, between: str = ", ") -> str:
    return between.join(part for part in parts if part)


def _number(value: float | None, form: str = "{:.6g}", factor: float = 1) -> str:
    return "" if value is None else form.format(factor * value)


def _error(value: float | None, phrase: str, doubt: float | None) -> str:
    """Text of an error: value, logarithm, reference solution, and the reference solution's own error."""
    if value is None:
        return ""
    log = f" (ln {math.log(value):.3f})" if 0 < value < math.inf else ""
    own = f", error {doubt:.0e}" if phrase and doubt is not None else ""
    note = "" if is_clear(value, doubt) else ", not clearly above that"
    return f"{value:.4e}{log}{phrase}{own}{note}"


def _bound(r: Result) -> str:
    """Text of the bound of the W2 error, or why there is none."""
    away = _number(r.w2_bound_distance, "W2 distance {:.1e} to a richer run")
    if r.w2_bound is None:
        return _join(away, r.w2_bound_unknown and f"no bound of the W2 error: {r.w2_bound_unknown}", between="; ")
    change = _number(r.w2_bound_quadrature, "quadrature, which changes it by {:.2g} %, and ", 100)
    return _join(f"W2 error <= {at_most(r.w2_bound)}, proved up to {change}rounding", away, between="; ")
