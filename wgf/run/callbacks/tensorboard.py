"""TensorBoard output: scalars of every row with a custom layout, the config, and at the end figures and particles.

The axis "Step" counts accepted steps. The axis "Relative" is the time of the equation, with a unit of time shown as a
second: use it to compare runs with different steps.
"""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING

import numpy as np

from wgf.result import Result
from wgf.run.callbacks.base import Callback, Outcome, Row, Run
from wgf.run.callbacks.history import read
from wgf.settings.expression import PREFIX

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PARTICLES = 2000
TAGS = {
    "t": "steps/t",
    "dt": "steps/size",
    "evaluations": "steps/evaluations",
    "rejected": "steps/rejected",
    "energy": "energy/total",
    "dissipation": "balance/dissipation",
    "dissipated": "balance/dissipated",
    "mean": "moments/mean",
    "second_moment": "moments/second",
    "min_slope": "map/min_slope",
    "breakpoints": "map/breakpoints",
    "w1_error": "error/w1",
    "w2_error": "error/w2",
    "w2_bound_own": "error/w2_bound",
}
LOST = "balance/energy_lost"
LAYOUT = {  # tab CUSTOM SCALARS: chapter -> chart -> tags
    "energy": {"energy and its terms": ["energy/"]},
    "error": {"error against the reference solution": ["error/"]},
    "balance": {"energy lost and dissipated": [LOST, TAGS["dissipated"]], "dissipation": [TAGS["dissipation"]]},
    "steps": {
        "step size": [TAGS["dt"]],
        "rejected steps": [TAGS["rejected"]],
        "smallest slope": [TAGS["min_slope"]],
        "breakpoints": [TAGS["breakpoints"]],
    },
    "moments": {"mean and second moment": ["moments/"]},
}


def tag(column: str) -> str:
    """Tag of a column: energy_entropy becomes energy/entropy; columns that are not in TAGS go to solver/."""
    if column.startswith("energy_"):
        return "energy/" + column.removeprefix("energy_")
    if column.startswith(PREFIX):
        return "observed/" + column.removeprefix(PREFIX)
    return TAGS.get(column, "solver/" + column)


class TensorBoard(Callback):
    """Writes one event file to the folder of the run: `tensorboard --logdir <folder>`."""

    _writer: SummaryWriter

    def start(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes 0.4 s: load it only when needed

        self._run = run
        self._steps: dict[float, int] = {}  # t -> step of the rows so far
        self._energy = math.nan  # at t = 0
        self._compared = False  # whether the rows contain errors
        self._writer = SummaryWriter(str(run.folder), flush_secs=10)
        self._began = min(int(path.name.split(".")[3]) for path in run.folder.glob("events.out.tfevents.*"))  # seconds
        from wgf.run.callbacks import hparams

        self._writer._get_file_writer().add_summary(hparams.session_start(run.config_text))
        self._writer.add_text("config", _code("yaml", run.config_text))
        self._writer.add_text("provenance", _code("json", json.dumps(run.provenance, indent=2)))
        charts = {
            chapter: {chart: ["Multiline", tags] for chart, tags in known.items()} for chapter, known in LAYOUT.items()
        }
        self._writer.add_custom_scalars(charts)
        self._writer.flush()

    def row(self, row: Row) -> None:
        step, t = int(row["step"] or 0), float(row["t"] or 0.0)
        if not self._steps:
            self._first(step, row)
        self._steps[t] = step
        self._compared |= row.get("w1_error") is not None
        for column, value in row.items():
            if column != "step" and value is not None:
                self._scalar(tag(column), value, step, t)
        if row.get("energy") is not None:
            self._scalar(LOST, self._energy - float(row["energy"] or 0.0), step, t)

    def finish(self, run: Run, outcome: Outcome) -> None:
        from wgf.run.callbacks import hparams

        self._writer.add_text("result", _markdown(outcome.result))
        for name, value in hparams.metrics(outcome.result).items():
            self._writer.add_scalar(name, value, outcome.result.steps)
        self._writer._get_file_writer().add_summary(hparams.session_end(outcome.status.is_success))
        maps, last = outcome.maps, outcome.result.steps or 0
        if maps is None:
            return
        steps = [self._steps.get(t) for t in maps.t.tolist()]
        if maps.errors is not None and not self._compared:  # the reference solution was computed after the rows
            for step, t, *both in zip(steps, maps.t.tolist(), *maps.errors.T, strict=True):
                for column, value in zip(("w1_error", "w2_error"), both, strict=True):
                    if step is not None:
                        self._scalar(tag(column), value, step, t)
        for step, t, positions in zip(steps, maps.t.tolist(), maps.particles(PARTICLES), strict=True):
            if step is not None:
                self._writer.add_histogram("particles", positions, step, bins=60, walltime=self._began + t)
        if not run.figures:
            return
        for name, picture in outcome.pictures(run).items():
            _image(self._writer, f"figures/{name}", picture, last)

    def close(self) -> None:
        if hasattr(self, "_writer"):
            self._writer.close()

    def _first(self, step: int, row: Row) -> None:
        """Prepare the first row. A resumed run reads its earlier rows from history.csv and drops later scalars."""
        if step == 0:
            self._energy = float(row["energy"] or 0.0) if row.get("energy") is not None else math.nan
            return
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        earlier = read(self._run.folder / "history.csv")
        self._steps = {t: int(k) for t, k in zip(earlier["t"].tolist(), earlier["step"].tolist(), strict=True)}
        self._energy = float(earlier["energy"][0])
        self._compared = bool(np.isfinite(earlier["w1_error"]).any())
        self._writer._get_file_writer().add_event(
            Event(session_log=SessionLog(status=SessionLog.START)), self._run.last_row + 1
        )

    def _scalar(self, tag: str, value: float, step: int, t: float) -> None:
        if math.isfinite(value):
            self._writer.add_scalar(tag, value, step, walltime=self._began + t)


def _image(writer: SummaryWriter, tag: str, content: bytes, step: int) -> None:
    """Add a PNG or GIF file unchanged; add_image would encode it again and lose the animation of a GIF."""
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = Image.open(io.BytesIO(content)).size
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def _code(language: str, text: str) -> str:
    return f"```{language}\n{text.strip()}\n```"


def _markdown(result: Result) -> str:
    """Table of two columns, without entries that are None."""
    entries = [
        f"| {name} | {value:.8g} |" if isinstance(value, float) else f"| {name} | {value} |"
        for name, value in result.as_dict().items()
        if value is not None
    ]
    return "\n".join(["| | |", "|---|---|", *entries])
