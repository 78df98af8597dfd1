"""Tables of docs/results.md from the studies of scripts/results.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from wgf.figures.convergence import slope
from wgf.sweep.collate import table
from wgf.sweep.orders import curve
from wgf.sweep.study import Row, Study

PAPER = {
    "transport_quadratic": "transport, quadratic",
    "transport_sextic": "transport, sextic",
    "transport_quartic": "transport, quartic",
    "fokker_planck_quadratic": "Fokker-Planck, quadratic",
    "fokker_planck_sextic": "Fokker-Planck, sextic",
    "fokker_planck_quartic": "Fokker-Planck, quartic",
    "porous_medium_barenblatt": "porous medium, Barenblatt",
    "keller_segel_subcritical": "Keller-Segel, chi = 0.5",
    "keller_segel_supercritical": "Keller-Segel, chi = 1.5",
}
AFFINE = tuple(name for name in PAPER if name.endswith(("quadratic", "barenblatt")))  # their exact maps are affine
WIDTHS = (4, 8, 16, 32, 64, 128)
PUBLISHED = (4, 8, 16, 32)  # widths of the authors


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def pick(results: Study, **wanted: Any) -> Row:
    """The only row with these values on its axes."""
    (row,) = (
        row
        for row in results.rows
        if all(
            row.get(axis) == str(wanted[axis.rpartition(".")[2]])
            for axis in results.axes
            if axis.rpartition(".")[2] in wanted
        )
    )
    return row


def error(row: Row, name: str = "w1_error") -> str:
    """Cell with the error of a run, or with the status of a run that did not complete."""
    if row["status"] != "completed":
        return f"*{row['status'].replace('_', ' ')} at {row['t_reached']:.2g}*"
    if row[name] is None:
        return "no reference"
    if row[name] < 1e-11:
        return "0"
    return f"{row[name]:.1e}" + (r"\*" if row[name.replace("error", "clear")] is False else "")


Cells = dict[tuple[str, str, int, int], Row]  # by experiment, what is trained, bound and width


def cells(*studies: Study) -> Cells:
    """Runs of the paper's experiments with their folders."""
    found = {}
    for study in studies:
        names = ("experiment", "network.train", "network.bound", "network.width")
        only = {name: command_value(study, name) for name in names}
        for row in study.rows:
            full = only | {name: str(row[name]) for name in study.axes}
            key = full["experiment"].removeprefix("paper/"), full["network.train"]
            found[*key, int(full["network.bound"]), int(full["network.width"])] = row | {
                "folder": study.root / str(row["job"])
            }
    return found


def command_value(study: Study, name: str) -> str:
    """Value of a setting in the command of a study; empty if it does not give one."""
    return next((word.partition("=")[2] for word in study.command.split() if word.startswith(f"{name}=")), "")


TRAINED = {"weights": "weights", "all": "all", "biases": "biases", "alternating": "in turn"}


def experiments(found: Cells, bound: int) -> str:
    """Errors of the nine experiments at one bound."""
    body = [
        [
            label if train == "weights" else "",
            words,
            *(marked(found[name, train, bound, w]) for w in WIDTHS),
        ]
        for name, label in PAPER.items()
        for train, words in TRAINED.items()
    ]
    return markdown(["", "trained", *(f"m = {w}" for w in WIDTHS)], body)


def shares(found: Cells, bound: int = 4) -> str:
    """Error of full updates divided by that of weights only."""

    def cell(name: str, width: int) -> str:
        weights, full = (found[name, train, bound, width] for train in ("weights", "all"))
        if full["status"] != "completed":
            return error(full)
        return "weights fold" if weights["status"] != "completed" else f"{full['w1_error'] / weights['w1_error']:.3f}"

    body = [[PAPER[name], *(cell(name, w) for w in WIDTHS)] for name in PAPER if name not in AFFINE]
    return markdown(["", *(f"m = {w}" for w in WIDTHS)], body)


def stopped(found: Cells) -> str:
    """Sentences that count the runs which did not complete, by what they train."""
    sentences = []
    for train, words in TRAINED.items():
        ended = [(key, row) for key, row in found.items() if key[1] == train and row["status"] != "completed"]
        if ended:
            widths: dict[str, set[int]] = {}
            for (name, _, _, width), _ in ended:
                widths.setdefault(PAPER[name], set()).add(width)
            names = " and ".join(f"{name}, m = {', '.join(map(str, sorted(w)))}" for name, w in widths.items())
            causes = " or ".join(sorted({row["status"].replace("_", " ") for _, row in ended}))
            verb = "that trains" if len(ended) == 1 else "that train"
            sentences.append(f"{len(ended)} {verb} {words} ({causes}): {names}")
    return "; ".join(sentences) or "none"


def own_steps(found: Cells) -> str:
    """Errors of weights and biases together by the paper's own steps."""
    body = [
        [PAPER[name] if bound == 4 else "", f"B = {bound}", *(marked(found[name, "all", bound, w]) for w in PUBLISHED)]
        for name in PAPER
        if (name, "all", 4, 4) in found
        for bound in (4, 10)
    ]
    return markdown(["", "", *(f"m = {w}" for w in PUBLISHED)], body)


def marked(row: Row) -> str:
    """Cell with the error of a run, with its mark, and with another if the map is folded or else the energy rose."""
    doubts = json.loads((row["folder"] / "result.json").read_text())["doubts"] or ""
    fault = " (f)" if "folded since" in doubts else " (e)" if "energy: rose" in doubts else ""
    return error(row) + row.get("mark", "") + fault


# W1 errors printed in the notebook two_layer_1d_new-checkpoint.ipynb of commit 9470462: cell, setting as its comment
# and the nearest numbers suggest, (?) without B in the comment, study here, bound, errors at m = 4, 8, 16, 32
NOTEBOOK = (
    (77, "transport, quartic, weights", "transport_quartic", 4, "weights", (0.1365, 0.0257, 0.00482, 0.00151)),
    (76, "transport, quartic, all", "transport_quartic", 4, "all", (0.0430, 0.00783, 0.00208, 0.00112)),
    (79, "transport, quartic, alternating (?)", "transport_quartic", 4, "alternating",
     (0.120, 0.0240, 0.00468, 0.00178)),
    (78, "transport, sextic, weights", "transport_sextic", 10, "weights", (0.116, 0.0644, 0.0135, 0.00327)),
    (75, "transport, sextic, all", "transport_sextic", 10, "all", (0.0715, 0.0191, 0.00545, 0.00263)),
    (25, "Fokker-Planck, quartic, weights (?)", "fokker_planck_quartic", 4, "weights",
     (0.0910, 0.0169, 0.00316, 0.00133)),
    (24, "Fokker-Planck, quartic, all (?)", "fokker_planck_quartic", 4, "all", (0.0123, 0.00361, 0.00163, 0.00105)),
    (23, "Fokker-Planck, sextic, all (?)", "fokker_planck_sextic", 10, "all", (0.0708, 0.0189, 0.00540, 0.00257)),
)  # fmt: skip


def published(found: Cells, own: Cells) -> str:
    """Errors in the authors' notebook and errors here, in pairs of rows."""
    body = []
    for cell, label, name, bound, train, errors in NOTEBOOK:
        body.append([label, f"{bound}", f"cell {cell}", *(f"{e:.1e}" for e in errors)])
        here = own if train == "all" else found
        body.append(["", "", "wgf", *(marked(here[name, train, bound, w]) for w in PUBLISHED)])
    return markdown(["", "B", "", *(f"m = {w}" for w in PUBLISHED)], body)


def ratios(found: Cells) -> str:
    """W2 error by the W2 error of the best map, weights only, B = 4."""

    def cell(row: Row) -> str:
        return "" if row["quasi_optimality"] is None else f"{row['quasi_optimality']:.3f}"

    body = [
        [PAPER[n], *(cell(found[n, "weights", 4, w]) for w in WIDTHS)]
        for n in ("fokker_planck_quartic", "transport_quartic", "transport_sextic")
    ]
    return markdown(["", *(f"m = {w}" for w in WIDTHS)], body)


def moments(found: Cells, splines: Study) -> str:
    """Second moments of Keller-Segel at the end time and the law that they obey."""
    body = []
    for chi, name in (("0.5", "keller_segel_subcritical"), ("1.5", "keller_segel_supercritical")):
        here = [json.loads((found[name, "weights", 4, w]["folder"] / "result.json").read_text()) for w in WIDTHS]
        law = here[0]["second_moment_law"]
        worst = max(abs(row["second_moment"] - law) for row in table(splines.root).rows if row["experiment"] == name)
        body.append([f"chi = {chi}", f"{law:.6g}", *(f"{row['second_moment']:.8f}" for row in here), f"{worst:.0e}"])
    return markdown(["", "law", *(f"weights, m = {w}" for w in WIDTHS), "splines, worst deviation"], body)


def orders(results: Study, cell: Callable[[Row], str], along: str, columns: Iterable[str], head: str) -> str:
    """Table with a row for each curve and a column for each value along the refined axis."""
    curves: dict[str, list[Row]] = {}
    for row in results.rows:
        curves.setdefault(curve(row, results.axes, along), []).append(row)
    columns = list(columns)
    body = []
    for label, rows in curves.items():
        cells = {row[along]: cell(row) for row in rows}
        body.append([label, *(cells.get(value, "") for value in columns)])
    return markdown([head, *columns], body)


def with_order(name: str) -> Callable[[Row], str]:
    """A function that makes a cell with the error and the observed order."""

    def cell(row: Row) -> str:
        rate = row.get(f"w1_order_{name}")
        return error(row) + ("" if rate is None else f" ({rate:.2f})")

    return cell


def particles(studies: dict[str, Study]) -> str:
    counts = ("10000", "100000", "1000000")
    body = [
        [f"seed {seed}", *(error(pick(studies["particles"], particles=n, seed=seed)) for n in counts)]
        for seed in (0, 1, 2)
    ]
    exact = error(studies["cells"].rows[0])
    return markdown(["", *(f"{int(n):,} particles" for n in counts), "quadrature"], [[*row, exact] for row in body])


def fitted_order(rows: Iterable[Row]) -> float:
    """Order in the width, by least squares over the completed runs with a clear error."""
    rows = [row for row in rows if row["status"] == "completed" and row["w1_clear"]]
    rate = slope(np.array([float(r["network.width"]) for r in rows]), np.array([r["w1_error"] for r in rows]))
    assert rate is not None
    return -rate
