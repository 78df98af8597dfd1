"""The interface of loggers: what is logged of a run is decided here, once for all trackers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from wgf.errors import ConfigError, install
from wgf.result import Result, compared
from wgf.run.callbacks.base import Callback, Outcome, Row, Run
from wgf.run.callbacks.history import read
from wgf.settings.formulas.expression import PREFIX

TAGS = {  # TensorBoard sorts the groups by name: the error comes first
    "t": "steps/t",
    "dt": "steps/size",
    "evaluations": "steps/evaluations",
    "rejected": "steps/rejected",
    "energy": "free_energy/total",
    "dissipation": "free_energy/dissipation",
    "dissipated": "free_energy/dissipated",
    "work": "free_energy/work",  # of a potential that moves: lost + work = dissipated
    "mean": "moments/mean",
    "second_moment": "moments/second",
    "min_slope": "map/min_slope",
    "breakpoints": "map/breakpoints",
}
LOGARITHMS = {"w1_error": "error/log10_w1", "w2_error": "error/log10_w2", "w2_bound_own": "error/log10_w2_bound"}
LOST = "free_energy/lost"
ROUNDING = 1e-15  # an error so small is 0 (length)
FILES = ("config.yaml", "provenance.json", "result.json", "history.csv", "solution.npz")


def tag(column: str) -> str:
    """Tag of a column: energy_entropy becomes free_energy/entropy; columns that are not in a table go to solver/."""
    if column.startswith("energy_"):
        return "free_energy/" + column.removeprefix("energy_")
    if column.startswith(PREFIX):
        return "observed/" + column.removeprefix(PREFIX)
    return LOGARITHMS.get(column) or TAGS.get(column, "solver/" + column)


def measured(row: Mapping[str, float | int | None]) -> dict[str, float]:
    """Tag and value of every number of a row that is finite; errors as log10, without those that are only rounding."""
    found = {}
    for column, value in row.items():
        if column != "step" and value is not None and math.isfinite(value):
            if column not in LOGARITHMS:
                found[tag(column)] = float(value)
            elif value > ROUNDING:
                found[tag(column)] = math.log10(value)
    return found


def finals(result: Result) -> dict[str, float]:
    """Tag and value of the numbers of a result that tables of several runs compare, if they are finite."""
    known = {name: value for name in compared() if (value := getattr(result, name)) is not None}
    return {f"final/{name}": value for name, value in known.items() if math.isfinite(value)}


def identity(run: Run) -> str:
    """Eight letters that a run keeps when it is resumed."""
    text = f"{run.folder.resolve()} {run.provenance.get('start')}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def require(name: str) -> None:
    """Check that the package of a logger, its extra and its choice in the configs, all of one name, is installed.

    Raises:
        ConfigError: it is not; the line says how to install it.
    """
    if find_spec(name) is None:
        raise ConfigError(f"logger={name} needs {name}: {install(name)}, or choose another logger")


def watch(place: str | Path) -> list[str]:
    """How to look at the runs below a folder: smoothing would draw curves that no run has."""
    return [f"look at it   tensorboard --logdir {place}", "at           http://localhost:6006/?smoothing=0"]


class Logger(Callback):
    """Base class of loggers. Subclasses override the five methods at the end."""

    def start(self, run: Run) -> None:
        self._run = run
        self._steps: dict[float, int] = {}  # t -> step of the rows so far
        self._energy = math.nan  # at t = 0
        self._known: dict[int, set[str]] = {}  # step -> tags that are logged
        if run.rows:  # a resumed run
            earlier = read(run.folder / "history.csv")
            self._steps = {t: int(k) for t, k in zip(earlier["t"].tolist(), earlier["step"].tolist(), strict=True)}
            self._energy = float(earlier["energy"][0])
            for k, step in enumerate(self._steps.values()):
                self._known[step] = {*measured({name: float(column[k]) for name, column in earlier.items()})}
        self.begin(run)

    def row(self, row: Row) -> None:
        step, t = int(row["step"] or 0), float(row["t"] or 0.0)
        values, energy = measured(row), float("nan" if row.get("energy") is None else row["energy"] or 0.0)
        if not self._steps:
            self._energy = energy
        self._steps[t] = step
        self._known[step] = {*values}
        if math.isfinite(lost := self._energy - energy):
            values[LOST] = lost
        self.scalars(values, step, t)

    def finish(self, run: Run, outcome: Outcome) -> None:
        maps, last = outcome.maps, outcome.result.steps or 0
        for row in outcome.late:
            t = float(row["t"] or 0.0)
            new = measured({name: value for name, value in row.items() if name != "t"})
            if (step := self._steps.get(t)) is not None and (new.keys() - self._known[step]):
                self.scalars({name: new[name] for name in new if name not in self._known[step]}, step, t)
        for name, picture in outcome.pictures(run).items() if run.figures and maps is not None else ():
            self.figure(name, picture, last)
        for name in FILES:
            if (path := run.folder / name).exists():
                self.file(path)
        self.end(run, outcome)

    # what a tracker does

    def begin(self, run: Run) -> None:
        """Open the tracker; a resumed run has `run.rows` earlier rows."""

    def scalars(self, values: dict[str, float], step: int, t: float) -> None:
        """Log some scalars at an accepted step and the time of the equation."""

    def figure(self, name: str, png: bytes, step: int) -> None:
        """Log a figure, the content of a PNG file of 1200 pixels."""

    def file(self, path: Path) -> None:
        """Log a file of the run; trackers that read the folder of the run need not."""

    def end(self, run: Run, outcome: Outcome) -> None:
        """Log the result, for every status."""
