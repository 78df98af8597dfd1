"""Many runs as one table: `wgf-collate DIR` writes results.csv, figures and what TensorBoard needs to compare runs.

A sweep is collated when it ends, whatever way it ends; the command does the same at any time afterwards.
"""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from wgf import files
from wgf.errors import ConfigError
from wgf.result import clear
from wgf.settings.flat import Leaf, leaves
from wgf.sweep import job_folder as job

if TYPE_CHECKING:
    from wgf.saved_maps import SavedMaps  # numpy

LABEL = 44  # letters of a name that fits in a legend
Cells = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """One row per job.

    Attributes:
        root: the folder it was made of.
        axes: the overrides that vary from job to job; each is a column.
        rows: with the keys `job` (folder below the root), the axes, `status`, `message`, every figure of result.json
            (its `t_end` as `t_reached` where that is an axis) and `w1_clear`, `w2_clear`: whether an error is
            the run's own.
    """

    root: Path
    axes: list[str]
    rows: list[Cells]

    @property
    def columns(self) -> list[str]:
        """Those of every row, in order."""
        names = ["job", *self.axes, "status", "message"]
        return list(dict.fromkeys([*names, *(name for row in self.rows for name in row)]))

    def failed(self) -> list[Cells]:
        """The rows of jobs that neither completed nor ended as their configs expect, or are not saved as a whole."""
        return [row for row in self.rows if not job.finished(self.root / row["job"])]

    def label(self, row: Cells) -> str:
        """What tells a job from the others, on one line."""
        return ", ".join(f"{axis}={row[axis]}" for axis in self.axes if row[axis] is not None) or row["job"]

    def ends(self, solutions: Mapping[str, SavedMaps]) -> dict[str, SavedMaps]:
        """What can be compared at the end, by what tells the jobs apart: those that completed, or all where none did,
        since the others ended at other times.

        Args:
            solutions: by `job`.
        """
        done = [row for row in self.rows if row["status"] == "completed"]
        names = [self.label(row) for row in self.rows]
        short = len(set(names)) == len(names) and max(map(len, names)) <= LABEL
        compared = [row for row in done or self.rows if row["job"] in solutions]
        return {self.label(row) if short else row["job"]: solutions[row["job"]] for row in compared}


def jobs(root: Path) -> list[Path]:
    """Every run folder below a folder."""
    found = []
    for place, folders, _ in os.walk(root):
        if ".hydra" in folders and Path(place) != root:
            found.append(Path(place))
            folders.clear()
    return found


def table(root: Path) -> Table:
    """Read every run below a folder, sorted by what varies."""
    overrides = {folder: _overrides(folder) for folder in jobs(root)}
    keys = dict.fromkeys(key for given in overrides.values() for key in given)
    axes = [key for key in keys if len({given.get(key) for given in overrides.values()}) > 1]
    rows = [
        {
            "job": folder.relative_to(root).as_posix(),
            **_figures(folder, axes),
            **{axis: given.get(axis) for axis in axes},
        }
        for folder, given in overrides.items()
    ]
    return Table(root, axes, sorted(rows, key=lambda row: _order([row[axis] for axis in axes], row["job"])))


def _figures(folder: Path, axes: list[str]) -> Cells:
    """How a run ended; where the end time is an axis, the time that was reached has another name."""
    found = job.outcome(folder)
    found |= clear(found)
    return found | {"t_reached": found.get("t_end")} if "t_end" in axes else found


def _overrides(folder: Path) -> dict[str, str]:
    path = folder / ".hydra" / "overrides.yaml"
    words = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else []
    return {key.lstrip("+~"): value for key, _, value in (word.partition("=") for word in words or [])}


def _order(values: list[str | None], last: str) -> list[tuple[bool, float, str]]:
    """Numbers by size and before words."""
    return [(not _number(text), float(text) if _number(text) else 0.0, text) for text in [*map(str, values), last]]


def _number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", text, re.IGNORECASE) is not None


def collate(root: Path) -> Table:
    """Write results.csv, figures, and the TensorBoard summary of the experiment into a folder of runs.

    Raises:
        ConfigError: there are none.
    """
    found = table(root)
    if not found.rows:
        raise ConfigError(f"{root} holds no runs: expected the folder of a sweep, or outputs/")
    text = io.StringIO()
    writer = csv.DictWriter(text, found.columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found.rows)
    files.write(root / "results.csv", text.getvalue().encode())
    configs = {folder: _config(folder) for row in found.rows if (folder := root / row["job"] / "config.yaml").exists()}
    shown = [config for path, config in configs.items() if any(path.parent.glob("events.out.tfevents.*"))]
    if shown:
        from wgf.run.callbacks.hparams import write_experiment  # tensorboard

        write_experiment(root, shown)
    if any(config.get("figures") for config in configs.values()):
        _draw(found)
    return found


def _draw(found: Table) -> None:
    """figures/*.png of what the sweep has refined, or where it has refined nothing of the densities at the end."""
    from wgf.figures.comparison import convergences, finals  # matplotlib
    from wgf.figures.style import encoded

    drawn = convergences(found.axes, found.rows)
    if not drawn.keys() - {"cost"} and (ends := found.ends(_solutions(found))):
        drawn["final"] = finals(ends)
    for name, figure in drawn.items():
        files.write(found.root / "figures" / f"{name}.png", encoded(figure, "png"))


def _solutions(found: Table) -> dict[str, SavedMaps]:
    """Where the jobs ended; a file that is damaged costs no more than its own curve."""
    from wgf.saved_maps import DAMAGED, SavedMaps

    solutions = {}
    for row in found.rows:
        with suppress(*DAMAGED):  # or not there
            solutions[row["job"]] = SavedMaps.load(found.root / row["job"] / "solution.npz").end
    return solutions


def _config(path: Path) -> dict[str, Leaf]:
    return leaves(yaml.safe_load(path.read_text(encoding="utf-8")))


def summary(found: Table) -> str:
    """How the jobs ended, in one line: 60 jobs: 58 completed, 1 folded, 1 killed."""
    counts = Counter(str(row["status"]) for row in found.rows)
    return f"{len(found.rows)} jobs: " + ", ".join(f"{count} {status}" for status, count in counts.most_common())


def report(found: Table) -> None:
    """What a person wants to know when a sweep is over."""
    for row in found.failed():
        lost = f"; not saved: {row['unsaved']}" if row.get("unsaved") else ""
        print(f"{row['status']}: {found.label(row)}: {row['message']}{lost}")
    print(summary(found))
    print(f"results in   {found.root / 'results.csv'}")
    if any(found.root.glob("events.out.tfevents.*")):
        print(f"look at it   tensorboard --logdir {found.root}")


def main() -> None:
    """Entry point of wgf-collate. Exit status: 0 collated, 2 bad input."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: wgf-collate DIR   one table, and one TensorBoard page, of all runs below DIR")
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    root = Path(sys.argv[1])
    try:
        report(collate(root))
    except (ConfigError, OSError) as error:
        print(f"wgf-collate: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
