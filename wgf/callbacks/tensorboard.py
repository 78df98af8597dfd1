"""TensorBoard: scalars of every row, the config, and at the end the figures and the particles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from wgf.callbacks.base import Callback, Outcome, Row, Run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PARTICLES = 2000
TAGS = {
    "t": "time/t",
    "dt": "time/dt",
    "evaluations": "time/evaluations",
    "rejected": "time/rejected",
    "energy": "energy/total",
    "dissipation": "energy/dissipation",
    "mean": "moments/mean",
    "second_moment": "moments/second",
    "min_slope": "map/min_slope",
    "w1_error": "error/w1",
    "w2_error": "error/w2",
}


def tag(column: str) -> str:
    """Where a column is shown: energy_entropy under energy/entropy, what has no name above under solver/."""
    if column.startswith("energy_"):
        return "energy/" + column.removeprefix("energy_")
    return TAGS.get(column, "solver/" + column)


class TensorBoard(Callback):
    """One event file in the run's folder: `tensorboard --logdir <folder>`."""

    def __init__(self) -> None:
        self._writer: SummaryWriter | None = None

    def start(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter  # 0.4 s: only for who asks for it

        self._writer = SummaryWriter(str(run.folder), flush_secs=10)
        self._writer.add_text("config", f"```yaml\n{run.config_text.strip()}\n```")
        self._writer.flush()

    def row(self, row: Row) -> None:
        if self._writer is None:
            return
        for column, value in row.items():
            if column != "step" and value is not None and math.isfinite(value):
                self._writer.add_scalar(tag(column), value, row["step"])

    def finish(self, run: Run, outcome: Outcome) -> None:
        if self._writer is None:
            return
        self._writer.add_text("result", _markdown(outcome.result))
        if outcome.result.get("reference_error") is not None:  # the reference came after the rows
            for column in ("w1_error", "w2_error"):
                self._writer.add_scalar(tag(column), outcome.result[column], outcome.result["steps"])
        if outcome.solution is None:
            return
        from wgf.report import figures, pixels  # matplotlib

        for index, positions in enumerate(outcome.solution.particles(PARTICLES)):
            self._writer.add_histogram("particles", positions, index, bins=60)
        for name, figure in figures(outcome.solution, run.title).items():
            self._writer.add_image(f"figures/{name}", pixels(figure), dataformats="HWC")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def _markdown(result: dict[str, Any]) -> str:
    """A table of two columns; what is None is left out."""
    entries = [
        f"| {name} | {value:.8g} |" if isinstance(value, float) else f"| {name} | {value} |"
        for name, value in result.items()
        if value is not None
    ]
    return "\n".join(["| | |", "|---|---|", *entries])
