"""Tables of docs/results.md from the studies of scripts/results.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
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


def experiments(studies: dict[str, Study], bound: int) -> str:
    """Errors of the nine experiments at one bound, weights only and weights and biases, and the ratio of the two."""
    body = []
    for name, label in PAPER.items():
        for train in ("weights", "all"):
            rows = [pick(studies[name], width=w, bound=bound, train=train) for w in WIDTHS]
            body.append([label if train == "weights" else "", train, *map(error, rows)])
    return markdown(["", "trained", *(f"m = {w}" for w in WIDTHS)], body)


def steps(studies: dict[str, Study], root: Path) -> str:
    """Errors of the paper's own steps: weights and biases together, in turn, and biases only."""
    body = []
    for part, label in (("paper", "all at once"), ("alternating", "in turn"), ("biases", "biases only")):
        for bound in (4, 10):
            name = f"transport_quartic_{part}"
            widths = {row["network.width"] for row in studies[name].rows}
            rows = [pick(studies[name], width=w, bound=bound) for w in WIDTHS if str(w) in widths]
            cells = [marked(row, root / name) for row in rows] + [""] * (len(WIDTHS) - len(rows))
            body.append([label if bound == 4 else "", f"B = {bound}", *cells])
    return markdown(["", "", *(f"m = {w}" for w in WIDTHS)], body)


def marked(row: Row, folder: Path) -> str:
    """Cell with the error of a run of a study in a folder, marked if the map is folded."""
    result = json.loads((folder / str(row["job"]) / "result.json").read_text())
    return error(row) + (" (folded)" if "folded since" in (result["doubts"] or "") else "")


# W1 errors printed in the notebook two_layer_1d_new-checkpoint.ipynb of commit 9470462: cell, setting as its comment
# and the nearest numbers suggest, (?) without B in the comment, study here, bound, errors at m = 4, 8, 16, 32
NOTEBOOK = (
    (77, "transport, quartic, weights", "transport_quartic", 4, "weights", (0.1365, 0.0257, 0.00482, 0.00151)),
    (76, "transport, quartic, all", "transport_quartic_paper", 4, "all", (0.0430, 0.00783, 0.00208, 0.00112)),
    (79, "transport, quartic, alternating (?)", "transport_quartic_alternating", 4, "alternating",
     (0.120, 0.0240, 0.00468, 0.00178)),
    (78, "transport, sextic, weights", "transport_sextic", 10, "weights", (0.116, 0.0644, 0.0135, 0.00327)),
    (75, "transport, sextic, all", "transport_sextic_paper", 10, "all", (0.0715, 0.0191, 0.00545, 0.00263)),
    (25, "Fokker-Planck, quartic, weights (?)", "fokker_planck_quartic", 4, "weights",
     (0.0910, 0.0169, 0.00316, 0.00133)),
    (24, "Fokker-Planck, quartic, all (?)", "fokker_planck_quartic_paper", 4, "all",
     (0.0123, 0.00361, 0.00163, 0.00105)),
    (23, "Fokker-Planck, sextic, all (?)", "fokker_planck_sextic_paper", 10, "all",
     (0.0708, 0.0189, 0.00540, 0.00257)),
)  # fmt: skip


def published(studies: dict[str, Study], root: Path) -> str:
    """Errors in the authors' notebook and errors here, in pairs of rows."""
    body = []
    for cell, label, name, bound, train, errors in NOTEBOOK:
        body.append([label, f"{bound}", f"cell {cell}", *(f"{e:.1e}" for e in errors)])
        rows = (pick(studies[name], width=w, bound=bound, train=train) for w in PUBLISHED)
        body.append(["", "", "wgf", *(marked(row, root / name) for row in rows)])
    return markdown(["", "B", "", *(f"m = {w}" for w in PUBLISHED)], body)


def ratios(studies: dict[str, Study]) -> str:
    """W2 error by the W2 error of the best map, weights only, B = 4."""

    def cell(row: Row) -> str:
        return "" if row["quasi_optimality"] is None else f"{row['quasi_optimality']:.3f}"

    body = [
        [PAPER[n], *(cell(pick(studies[n], width=w, bound=4, train="weights")) for w in WIDTHS)]
        for n in ("fokker_planck_quartic", "transport_quartic", "transport_sextic")
    ]
    return markdown(["", *(f"m = {w}" for w in WIDTHS)], body)


def moments(studies: dict[str, Study], root: Path) -> str:
    body = []
    for chi, name in (("0.5", "keller_segel_subcritical"), ("1.5", "keller_segel_supercritical")):
        here = [
            row for row in table(root / name).rows if row["network.train"] == "weights" and row["network.bound"] == "4"
        ]
        law = here[0]["second_moment_law"]
        found = {row["network.width"]: row["second_moment"] for row in here}
        spline = [row for row in table(root / "moments").rows if row["experiment"] == name]
        worst = max(abs(row["second_moment"] - law) for row in spline)
        body.append([f"chi = {chi}", f"{law:.6g}", *(f"{found[str(w)]:.8f}" for w in WIDTHS), f"{worst:.0e}"])
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


def fitted_order(results: Study, only: Callable[[Row], bool] = lambda row: True) -> float:
    """Order in the width, by least squares over the completed runs with a clear error."""
    rows = [row for row in results.rows if row["status"] == "completed" and row["w1_clear"] and only(row)]
    rate = slope(np.array([float(r["network.width"]) for r in rows]), np.array([r["w1_error"] for r in rows]))
    assert rate is not None
    return -rate
