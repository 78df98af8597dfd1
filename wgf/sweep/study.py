"""The command `wgf-study`: a convergence study of the runs of a sweep.

It writes a table with observed orders and quasi-optimality ratios, and figures with fitted slopes.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from signal import SIGINT
from typing import Any

from wgf.errors import ConfigError
from wgf.files import write, write_table
from wgf.result import CLEAR, compared
from wgf.run.signals import Signals
from wgf.settings.flat import number, short
from wgf.settings.refusals import parsed
from wgf.sweep import closing, orders
from wgf.sweep import collate as sweep
from wgf.sweep.command import command
from wgf.sweep.working import working

USAGE = """\
wgf-study: a convergence study of Wasserstein gradient flows

usage: wgf-study key=value,value ... [key=value ...]   run the sweep `wgf -m ...` on all cores and study its runs
       wgf-study DIR                                   study the runs of an earlier sweep

  wgf-study network.width=8,16,32,64 network.degree=1,3,5 integrator.rtol=1e-9
  wgf-study experiment=ornstein_uhlenbeck integrator=euler,heun,rk4 integrator.dt=0.05,0.025,0.0125
  wgf-study experiment=paper/fokker_planck_quartic     the widths, bounds and updates of the paper

The folder of the sweep (multirun/<date>/<time>, or hydra.sweep.dir=...) gets study.csv, study.md and figures/:
errors, observed orders between successive widths, step sizes or particles, W2 error / best W2 error within reach of the
network, energy balance, cost. A * marks an error that is not clearly above that of the reference solution.
Exit status: 0 all runs completed, 1 some ended early (their rows say how), 2 bad input, 130 Ctrl-C, 143 SIGTERM."""

NUMBERS = (  # columns of results.csv that a study keeps
    *("status", *compared(), "w2_best", "rejected"),
    *("reference_solution", "reference_error", "reference_w2_error", "w1_clear", "w2_clear"),
)
IN_SPACE = {"float32": 1e-5, "float64": 1e-11}  # a best W2 error below is rounding: the map lies in the space

Row = dict[str, Any]


@dataclass(frozen=True)
class Study(sweep.Table):
    """The runs of a sweep; their rows hold job, the axes, NUMBERS, and what `_judge` and `orders.add` add.

    Attributes:
        command: the command that repeats the sweep; empty where it is unknown.
    """

    command: str


def read(root: Path) -> Study:
    """The study of the runs below a folder.

    Raises:
        ConfigError: there are none.
    """
    found = sweep.table(root)
    if not found.rows:
        raise ConfigError(f"{root} holds no runs: expected the folder of a sweep, with a folder for each of its jobs")
    axes = sorted(found.axes, key=lambda axis: axis in orders.REFINED)  # refined axes come last, beside the errors
    rows = [
        {name: row.get(name) for name in ("job", *axes, *NUMBERS)}
        | {"t_reached": row.get("t_reached", row.get("t_end"))}
        | {name: row[name] for name in ("mean_step", "mesh_tolerance") if name in row}
        for row in found.rows
    ]
    study = Study(root, axes, rows, _command(root))
    if refined := orders.refined(axes):
        along = refined[-1]
        curves = list(dict.fromkeys(orders.curve(row, axes, along) for row in rows))
        rows.sort(key=lambda row: (curves.index(orders.curve(row, axes, along)), number(row[along]) or 0.0))
    for row in rows:
        _judge(row, root / str(row["job"]))
    orders.add(rows, axes)
    return study


def _command(root: Path) -> str:
    """`wgf-study` with the overrides of a sweep, from the file that Hydra keeps at its root."""
    path = root / "multirun.yaml"
    if not path.exists():
        return ""
    words = sweep.read_yaml(path)["hydra"]["overrides"]["task"]
    return shlex.join(["wgf-study", *(word for word in words if word != "figures=false")])


def _judge(row: Row, folder: Path) -> None:
    """Add the ratio of the W2 error to the best W2 error of the network."""
    doubt, error, best = row["reference_w2_error"] or 0.0, row["w2_error"], row["w2_best"]
    row["quasi_optimality"] = None
    if row["status"] == "completed" and None not in (error, best):
        precision = sweep.read_yaml(folder / "config.yaml")["dtype"]
        if best > max(CLEAR * doubt, IN_SPACE[precision]):
            row["quasi_optimality"] = error / best


def save(study: Study, drawn: bool = True) -> list[Path]:
    """Write study.csv, study.md and, if `drawn`, the figures to the root; returns their paths."""
    figures = list[Path]()
    if drawn:
        from wgf.figures.comparison import convergences  # matplotlib

        figures = sweep.write_figures(study.root, convergences(study.axes, study.rows, study.command))
    pictures = [path for path in figures if path.suffix == ".png"]
    return [
        write_table(study.root / "study.csv", [*dict.fromkeys(chain.from_iterable(study.rows))], study.rows),
        write(study.root / "study.md", markdown(study, pictures).encode()),
        *figures,
    ]


def markdown(study: Study, figures: list[Path]) -> str:
    """The table, the fitted slopes and the figures."""
    lines = ["# Convergence study", "", *([f"    {study.command}", ""] if study.command else []), *table(study), ""]
    if any(row[f"{distance}_clear"] is False for row in study.rows for distance in ("w1", "w2")):
        lines += [r"\* not clearly above the error of the reference solution", ""]
    for line in orders.notes(study.rows, study.axes):
        lines += [line, ""]
    lines += [f"![{path.stem}]({path.relative_to(study.root).as_posix()})" for path in figures]
    return "\n".join(lines).rstrip() + "\n"


def table(study: Study) -> list[str]:
    """The rows of a Markdown table, the header first."""
    refined = [short(axis) for axis in orders.refined(study.axes)]
    heads = [
        *map(short, study.axes),
        *("W1 error", *(f"order ({name})" for name in refined), "W2 error", *(f"order ({name})" for name in refined)),
        *("W2 / best", "energy balance", "steps", "evaluations", "wall time", "status"),
    ]
    return [_line(heads), _line(["---"] * len(heads)), *(_line(_cells(study, row, refined)) for row in study.rows)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(study: Study, row: Row, refined: list[str]) -> list[str]:
    done = row["status"] == "completed"
    errors = [
        [_cell(row[f"{w}_error"] if done else None, ".2e", r"\*" if row[f"{w}_clear"] is False else "")]
        + [_cell(row[f"{w}_order_{name}"], ".2f") for name in refined]
        for w in ("w1", "w2")
    ]
    return [
        *(_cell(row[axis]) for axis in study.axes),
        *(cell for part in errors for cell in part),
        _cell(row["quasi_optimality"], ".3f"),
        _cell(row["dissipation_gap"], ".1e"),
        _cell(row["steps"], ","),
        _cell(row["evaluations"], ","),
        _cell(row["wall_s"], ".2f", " s"),
        row["status"] if done or row["t_reached"] is None else f"{row['status']} at {row['t_reached']:.3g}",
    ]


def _cell(value: Any, form: str = "", mark: str = "") -> str:
    return "" if value is None else f"{value:{form}}{mark}"


def launch(words: list[str]) -> tuple[Path, int]:
    """Run `wgf -m` with these words, one thread for each run; returns its folder and exit status."""
    given = {word.lstrip("+~").partition("=")[0]: word.partition("=")[2] for word in words}
    root = Path(given.get("hydra.sweep.dir") or datetime.now().strftime("multirun/%Y-%m-%d/%H-%M-%S"))
    extra = [] if "hydra.sweep.dir" in given else [f"hydra.sweep.dir={root}"]
    extra += [] if "figures" in given else ["figures=false"]
    process_words = [sys.executable, "-m", "wgf.cli", "-m", *words, *extra]
    # in a process group of its own, so that Ctrl-C reaches it once, from here
    with Signals() as signals, subprocess.Popen(process_words, process_group=0) as process:
        while True:
            try:
                return root, process.wait()
            except KeyboardInterrupt:
                process.send_signal(signals.received or SIGINT)


def work(*words: str) -> int:
    """Study a sweep, after launching it where the words are overrides; returns the exit status."""
    root, status = _root(list(words))
    if status > 128:
        print("wgf-study: interrupted", file=sys.stderr)
    if status > 128 or not root.is_dir():  # then the sweep has printed why
        return status
    with working("writing table and figures"):
        study = read(root)
        save(study, "figures=false" not in words)
    failed = sum(row["status"] != "completed" for row in study.rows)
    if root == Path(words[0]):  # else the sweep has printed its table
        closing.show(study.rows, study.axes, file="study.csv")
    closing.show_w2(study.rows, study.axes)
    print(f"{len(study.rows)} runs, {failed} of them not completed")
    print(f"study in     {os.path.relpath(root)}")
    return 1 if failed else 0


def main() -> None:
    """Entry point. Exit status: 0 all runs completed, 1 some did not, 2 bad input, 128 + n after signal n."""
    command("wgf-study", USAGE, work)


def _root(words: list[str]) -> tuple[Path, int]:
    """The folder to study and the exit status of its sweep, which is launched where the words are overrides."""
    folders = [word for word in words if "=" not in word and not word.startswith(("-", "~"))]
    if not folders:
        parsed(words)
        return launch(words)
    if len(words) > 1:
        raise ConfigError(f"{shlex.join(words)}: expected either the folder of a sweep alone, or overrides key=value")
    if not Path(folders[0]).is_dir():
        raise ConfigError(f"{folders[0]} is not a folder: expected the folder of a sweep, or overrides key=value,value")
    return Path(folders[0]), 0


if __name__ == "__main__":
    main()
