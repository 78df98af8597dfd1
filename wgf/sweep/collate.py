"""The command `wgf-collate DIR`: the runs below a folder as results.csv, figures and a page of TensorBoard.

Every sweep is collated when it ends; the command does the same at any later time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from wgf import files
from wgf.errors import ConfigError
from wgf.result import clear
from wgf.run.loggers.base import watch
from wgf.settings.flat import label, leaves, number
from wgf.sweep import closing
from wgf.sweep import job_folder as job
from wgf.sweep.command import command

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wgf.saved_maps import SavedMaps

USAGE = "usage: wgf-collate DIR   write one table and one TensorBoard page of all runs below DIR"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, which takes a tenth of the time, where yaml has it
LABEL = 44  # letters of a name that fits in a legend
Cells = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """One row per job.

    Attributes:
        root: the folder of the jobs.
        axes: the overrides that vary from job to job; each is a column.
        rows: with the keys `job` (folder below the root), the axes, `status`, `message`, every number of result.json
            (its `t_end` as `t_reached` where that is an axis), and `w1_clear`, `w2_clear`: whether an error is
            clearly above that of the reference solution.
    """

    root: Path
    axes: list[str]
    rows: list[Cells]

    @property
    def columns(self) -> list[str]:
        """The keys of all rows, in order."""
        names = ["job", *self.axes, "status", "message"]
        return list(dict.fromkeys([*names, *(name for row in self.rows for name in row)]))

    def failed(self) -> list[Cells]:
        """The rows of jobs that neither completed nor ended as their configs expect, or are not fully saved."""
        return [row for row in self.rows if not job.finished(self.root / row["job"])]

    def label(self, row: Cells) -> str:
        """The values of a job that vary from job to job, on one line."""
        return label(row, self.axes) or row["job"]

    def ends(self, solutions: Mapping[str, SavedMaps]) -> dict[str, SavedMaps]:
        """The maps of the jobs to compare, by their labels: of those that completed, or of all where none did.

        Args:
            solutions: the maps at the end, by `job`.
        """
        done = [row for row in self.rows if row["status"] == "completed"]
        names = [self.label(row) for row in self.rows]
        short = len(set(names)) == len(names) and max(map(len, names)) <= LABEL
        compared = [row for row in done or self.rows if row["job"] in solutions]
        return {self.label(row) if short else row["job"]: solutions[row["job"]] for row in compared}


def jobs(root: Path) -> list[Path]:
    """The folders of all runs below a folder."""
    found = []
    for place, folders, _ in os.walk(root):
        if ".hydra" in folders and Path(place) != root:
            found.append(Path(place))
            folders.clear()
    return found


def table(root: Path) -> Table:
    """Read every run below a folder, sorted by the values that vary."""
    given_to = {folder: overrides(folder) for folder in jobs(root)}
    keys = dict.fromkeys(key for given in given_to.values() for key in given)
    axes = [key for key in keys if len({given.get(key) for given in given_to.values()}) > 1]
    rows = [
        {
            "job": folder.relative_to(root).as_posix(),
            **_numbers(folder, axes),
            **{axis: given.get(axis) for axis in axes},
        }
        for folder, given in given_to.items()
    ]
    return Table(root, axes, sorted(rows, key=lambda row: _order([row[axis] for axis in axes], row["job"])))


def _numbers(folder: Path, axes: list[str]) -> Cells:
    """The outcome of a run; where the end time is an axis, the time reached is called t_reached."""
    found = job.outcome(folder)
    found |= clear(found)
    return found | {"t_reached": found.get("t_end")} if "t_end" in axes else found


def overrides(folder: Path) -> dict[str, str]:
    """The overrides of a job: setting -> value."""
    path = folder / ".hydra" / "overrides.yaml"
    words = read_yaml(path) if path.exists() else []
    return {key.lstrip("+~"): value for key, _, value in (word.partition("=") for word in words or [])}


def _order(values: list[str | None], last: str) -> list[tuple[bool, float, str]]:
    """A key that sorts numbers by size and before words."""
    return [(number(text) is None, number(text) or 0.0, text) for text in [*map(str, values), last]]


def read_yaml(path: Path) -> Any:
    """The content of a YAML file."""
    return yaml.load(path.read_text(encoding="utf-8"), LOADER)


def collate(root: Path) -> Table:
    """Write results.csv, figures, and the TensorBoard summary of the experiment into a folder of runs.

    Raises:
        ConfigError: there are none.
    """
    found = table(root)
    if not found.rows:
        raise ConfigError(f"{root} holds no runs: expected the folder of a sweep, or outputs/")
    files.write_table(root / "results.csv", found.columns, found.rows)
    configs = [path for row in found.rows if (path := root / row["job"] / "config.yaml").exists()]
    shown = [leaves(read_yaml(path)) for path in configs if any(path.parent.glob("events.out.tfevents.*"))]
    if shown:
        from wgf.run.loggers.hparams import write_experiment  # tensorboard

        write_experiment(root, shown, {name for row in found.rows for name, value in row.items() if value is not None})
    if any(map(_draws, configs)):
        _draw(found)
    return found


def _draws(config: Path) -> bool:
    """Whether the config of a job asks for figures: only this line of it is parsed."""
    lines = [line for line in config.read_text(encoding="utf-8").splitlines() if line.startswith("figures:")]
    return any(yaml.load(line, LOADER)["figures"] for line in lines)


def _draw(found: Table) -> None:
    """Draw errors against the refined settings, or the densities at the end if nothing was refined."""
    from wgf.figures.comparison import convergences, finals  # matplotlib

    drawn = convergences(found.axes, found.rows)
    if not drawn.keys() - {"cost"} and (ends := found.ends(_solutions(found))):
        drawn["final"] = finals(ends)
    write_figures(found.root, drawn, ["png"])


def write_figures(folder: Path, figures: Mapping[str, Figure], kinds: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write figures/<name>.<kind> for every figure and kind; returns their paths."""
    from wgf.figures.style import encoded  # matplotlib

    return [
        files.write(folder / "figures" / f"{name}.{kind}", encoded(figure, kind))
        for name, figure in figures.items()
        for kind in kinds
    ]


def _solutions(found: Table) -> dict[str, SavedMaps]:
    """The maps at the end of the jobs; a damaged file is left out."""
    from wgf.saved_maps import DAMAGED, SavedMaps

    solutions = {}
    for row in found.rows:
        with suppress(*DAMAGED):  # or missing
            solutions[row["job"]] = SavedMaps.load(found.root / row["job"] / "solution.npz").end
    return solutions


def summary(found: Table, total: int = 0) -> str:
    """The number of jobs with each status: 60 jobs: 57 completed, 1 folded, 2 not started.

    Args:
        found: the jobs that have a folder.
        total: how many there should be, where this is known.
    """
    counts = Counter(str(row["status"]) for row in found.rows)
    waiting = counts.pop("waiting", 0)
    parts = [*counts.most_common(), ("not started", max(waiting, total - counts.total()))]
    said = ", ".join(f"{count} {status}" for status, count in parts if count)
    return f"{sum(count for _, count in parts)} jobs: {said}"


def report(found: Table, total: int = 0) -> None:
    """Print the table of the jobs, those that failed, and the paths of the results; arguments as in `summary`."""
    closing.show(found.rows, found.axes)
    for row in found.failed():
        lost = f"; not saved: {row['unsaved']}" if row.get("unsaved") else ""
        print(f"{row['status']}: {found.label(row)}: {row['message']}{lost}")
    print(summary(found, total))
    print(f"results in   {found.root / 'results.csv'}")
    if any(found.root.glob("events.out.tfevents.*")):
        print(*watch(found.root), sep="\n")


def main() -> None:
    """Entry point of wgf-collate. Exit status: 0 collated, 1 full disk, 2 bad input."""
    command("wgf-collate", USAGE, lambda folder: report(collate(Path(folder))), alone=True)


if __name__ == "__main__":
    main()
