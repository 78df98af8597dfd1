"""What came out of a run, as a table on the terminal."""

from __future__ import annotations

import math
import os
import shlex
from pathlib import Path
from typing import Any

from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table
from rich.text import Text

COUNTS = {"steps": "accepted", "rejected": "rejected", "evaluations": "evaluations"}
CLEAR = 3.0  # times the reference's own error: what is smaller may be the reference's
SOLVER = {
    "rank": "rank {:,}",
    "condition": "condition {:.2e}",
    "residual": "residual {:.2e}",
    "truncated": "{:,} truncated",
    "damped": "damping {:.2e}",
    "iterations": "{:,} iterations",
}


def show(result: dict[str, Any], title: str, folder: Path, console: Console | None = None) -> None:
    """Print what came out: plain text in a pipe, a little colour on a terminal.

    Args:
        result: the content of result.json; what is None or absent is left out, what has no line of its own comes last.
        title: above the table.
        folder: of the run. The lines with it can be copied as they stand: they are never wrapped.
        console: where to; standard output by default.
    """
    console = console or Console()
    grid = Table(title=Text(title, "bold"), title_justify="left", box=ROUNDED, show_header=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, cell in lines(result):
        grid.add_row(name, Text(cell, ("green" if "completed" in cell else "red") if name == "status" else ""))
    console.print(grid)
    place = _relative(folder)
    commands = [f"results in   {place}"]
    if any(folder.glob("events.out.tfevents.*")):
        commands.append(f"look at it   tensorboard --logdir {place}")
    for line in commands:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and figures of every line, in the order a person asks for them."""
    left = {key: value for key, value in result.items() if key != "equation"}

    def take(key: str, pattern: str = "{:.6g}") -> str:
        value = left.pop(key, None)
        return "" if value is None else pattern.format(value)

    def join(*parts: str) -> str:
        return ", ".join(part for part in parts if part)

    def distance(key: str, phrase: str, doubt: float | None) -> str:
        value = left.pop(key, None)
        if value is None:
            return ""
        log = f" (ln {math.log(value):.3f})" if 0 < value < math.inf else ""
        own = f", error {doubt:.0e}" if phrase and doubt is not None else ""
        note = ", not clearly above that" if doubt is not None and value < CLEAR * doubt else ""
        return f"{value:.4e}{log}" + (f" {phrase}" if phrase else "") + own + note

    status, message = take("status", "{}"), take("message", "{}")
    against = take("reference_solution", "against {}")
    doubt, doubt2 = left.pop("reference_error", None), left.pop("reference_w2_error", None)
    time, wanted = take("t_end"), take("t_wanted")
    moment, law = left.get("second_moment"), left.pop("second_moment_law", None)
    balance = left.pop("dissipation_gap", None)
    terms = [take(key, key.removeprefix("energy_") + " {:.6g}") for key in list(left) if key.startswith("energy_")]
    known = [
        ("status", ": ".join(part for part in (status, message) if part)),
        ("time", time + (f" of {wanted}" if wanted not in ("", time) else "")),
        ("steps", join(*(take(key, f"{{:,}} {noun}") for key, noun in COUNTS.items()))),
        ("energy", join(take("energy"), *(terms if len(terms) > 1 else []))),
        ("dissipated", take("dissipated") + (f", energy balance within {balance:.1e}" if balance is not None else "")),
        ("W1 error", distance("w1_error", against, doubt)),
        ("W2 error", distance("w2_error", against, doubt2)),
        ("estimate", join(take("time_error", "W2 error in time {:.1e}"), take("space_error", "in space {:.1e}"))),
        ("doubts", take("doubts", "{}")),
        ("unsaved", take("unsaved", "{}")),
        ("best W2", distance("w2_best", "within reach of this network", None)),
        ("equilibrium", take("w2_to_equilibrium", "W2 distance {:.4e}")),
        ("mass", take("mass", "{:.15g}")),
        ("mean", take("mean", "{:.8g}")),
        ("second moment", take("second_moment", "{:.8g}") + (f", {moment - law:+.1e} off its law" if law else "")),
        ("min slope", take("min_slope", "{:.4g}")),
        ("blow-up", take("blow_up_bound", "no later than t = {:.6g} (the variance would vanish)")),
        ("parameters", take("parameters", "{:,}")),
        ("solver", join(*(take(key, pattern) for key, pattern in SOLVER.items() if left.get(key) or left.pop(key, 0)))),
        ("wall time", take("wall_s", "{:.2f} s")),
    ]
    rest = [
        (key, take(key, "{:.6g}" if isinstance(value, float) else "{}"))
        for key, value in list(left.items())
        if not isinstance(value, (dict, list))
    ]
    return [(name, cell) for name, cell in known + rest if cell]


def _relative(folder: Path) -> str:
    """The folder as it can be typed in the shell this runs in."""
    path = os.path.relpath(folder)
    return shlex.quote(str(folder.resolve()) if path.startswith("..") else path)
