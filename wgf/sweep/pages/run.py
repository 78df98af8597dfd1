"""The page of a run: its numbers, its density, map and error over time, all figures, config and provenance."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from wgf.result import Result, at_most, is_clear
from wgf.run import summary
from wgf.saved_maps import SavedMaps
from wgf.sweep.collate import read_yaml
from wgf.sweep.pages import html

KILLED = "there is no result.json: the run has not ended, or was killed"


def page(folder: Path, result: Result | None, solution: SavedMaps | None, pictures: list[str]) -> str:
    """The page.

    Args:
        folder: of the run.
        result: its numbers, or None.
        solution: its maps, or None.
        pictures: its figures as HTML.
    """
    known = result or Result(status="no result", message=KILLED)
    title = str(known.equation or folder.resolve().name)
    first = html.tiles(numbers(known)) if result else ""
    if solution is not None and len(solution.t) > 1:
        from wgf.sweep.pages.film import film  # matplotlib

        first += film(solution)
    facts = [(name, text) for name, text in summary.lines(known) if name != "status"] if result else []
    parts = [
        html.head(title, str(known.status), known.status in ("completed", "steady"), str(known.message)),
        html.warning(f"numbers that may be wrong: {known.doubts}" if known.doubts else ""),
        html.tag("div", first, class_="first") if first else "",
        html.section("Figures", html.figures(pictures)),
        html.section(
            "More",
            html.command(command(folder), "This command repeats the run:"),
            html.folded("All numbers", html.facts(facts)) if facts else "",
            html.listing("config.yaml", text(folder / "config.yaml")),
            html.listing("provenance.json", text(folder / "provenance.json")),
        ),
    ]
    return html.page(title, parts)


def numbers(r: Result) -> list[tuple[str, str, str]]:
    """Name, number and note of the numbers that matter most; numbers that are None are left out."""
    gap = r.dissipation_gap
    return [
        ("status", str(r.status), f"t = {_form(r.t_end)}"),
        ("W1 error", _form(r.w1_error, ".1e"), against(r.w1_error, r.reference_error, r.reference_solution)),
        _w2(r),
        ("energy balance", _form(gap, ".1e"), "energy lost and dissipated differ by this share")
        if gap is not None
        else ("energy", _form(r.energy, ".6g"), "at the end"),
        ("time", _form(r.wall_s, ".2f", " s"), f"{_form(r.steps, ',')} steps, {_form(r.evaluations, ',')} evaluations"),
    ]


def against(error: float | None, own: float | None, name: str | None) -> str:
    """What an error is measured against, and whether it can be told from the reference's own error."""
    words = [f"against {name}" if name else "", "" if own is None else f"own error {own:.0e}"]
    if not is_clear(error, own):
        words.append("not clearly above that")
    return ", ".join(word for word in words if word)


def _w2(r: Result) -> tuple[str, str, str]:
    """The W2 error with its bound, or the bound alone, or why there is neither."""
    bound = None if r.w2_bound is None else f"at most {at_most(r.w2_bound)}"
    if r.w2_error is None:
        return "W2 error", bound or "", "computable bound"
    unknown = f"no bound: {r.w2_bound_unknown}" if r.w2_bound_unknown else "no bound"
    doubt = against(r.w2_error, r.reference_w2_error, "")
    return "W2 error", f"{r.w2_error:.1e}", f"{bound} (computable bound)" if bound else doubt or unknown


def command(folder: Path) -> str:
    """The command that repeats a run, from its overrides; empty without them."""
    path = folder / ".hydra" / "overrides.yaml"
    return shlex.join(["wgf", *map(str, read_yaml(path) or [])]) if path.exists() else ""


def text(path: Path) -> str:
    """Content of a text file; empty where there is none."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _form(value: Any, form: str = ".6g", unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"
