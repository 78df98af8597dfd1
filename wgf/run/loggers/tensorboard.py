"""TensorBoard output: scalars of every row with a custom layout, the config, and at the end figures and particles.

The axis "Step" counts accepted steps. The axis "Relative" is the time of the equation, with a unit of time shown as a
second: use it to compare runs with different steps.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from wgf.files import relative
from wgf.result import Result
from wgf.run.callbacks.base import Outcome, Run
from wgf.run.loggers.base import LOGARITHMS, LOST, TAGS, Logger, finals, tag, watch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PARTICLES = 2000
THUMBNAIL = 600, 400  # pixels: TensorBoard shows images about as small, and shrinks larger ones without smoothing
# tab CUSTOM SCALARS: chapter -> tags, or none for all of its group.
# All curves of a run have one colour, so each has its own chart.
CHAPTERS = {
    "error": list(LOGARITHMS.values()),
    "free_energy": [],
    "steps": [TAGS[name] for name in ("dt", "rejected", "min_slope", "breakpoints")],
    "moments": [TAGS["mean"], TAGS["second_moment"]],
    "observed": [],
}


def layout(columns: Iterable[str]) -> dict[str, dict[str, list]]:
    """Chapters, charts and tags of CUSTOM SCALARS for the columns of a history: errors first."""
    tags = [*map(tag, columns), LOST]
    known = {*tags, *LOGARITHMS.values()}
    chapters = {
        chapter: [name for name in names if name in known] or [name for name in tags if name.startswith(f"{chapter}/")]
        for chapter, names in CHAPTERS.items()
    }
    charts = {chapter: {name: ["Multiline", [f"^{name}$"]] for name in names} for chapter, names in chapters.items()}
    return {chapter: inside for chapter, inside in charts.items() if inside}


class TensorBoard(Logger):
    """Writes one event file to the folder of the run: `tensorboard --logdir <parent folder>`."""

    _writer: SummaryWriter

    def look(self) -> list[str]:
        return watch(relative(self._run.folder.resolve().parent))  # it would call a run without siblings "."

    def begin(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes 0.4 s: load it only when needed

        self._writer = SummaryWriter(str(run.folder), flush_secs=10)
        self._began = min(int(path.name.split(".")[3]) for path in run.folder.glob("events.out.tfevents.*"))  # seconds
        from wgf.run.loggers import hparams

        self._events.add_summary(hparams.session_start(run.config_text, hparams.group(run.folder)))
        self._writer.add_text("config", _code("yaml", run.config_text))
        self._writer.add_text("provenance", _code("json", json.dumps(run.provenance, indent=2)))
        self._writer.add_custom_scalars(layout(run.columns))
        if run.rows:  # drop later scalars of the part before
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog

            self._events.add_event(Event(session_log=SessionLog(status=SessionLog.START)), run.last_row + 1)
        self._writer.flush()

    @property
    def _events(self) -> Any:
        """The file behind the writer, which takes protocol messages."""
        return self._writer._get_file_writer()

    def scalars(self, values: dict[str, float], step: int, t: float) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        entries = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._events.add_summary(Summary(value=entries), step, walltime=self._began + t)

    def figure(self, name: str, png: bytes, step: int) -> None:
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        file = io.BytesIO()
        small = Image.open(io.BytesIO(png)).convert("RGB")
        small.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
        small.quantize(128).save(file, "PNG")
        image = Summary.Image(
            height=small.height, width=small.width, colorspace=3, encoded_image_string=file.getvalue()
        )
        entry = Summary.Value(tag=f"figures/{name}", image=image)
        self._events.add_summary(Summary(value=[entry]), step)

    def end(self, run: Run, outcome: Outcome) -> None:
        from wgf.run.loggers import hparams

        self._writer.add_text("result", _markdown(outcome.result))
        for name, value in finals(outcome.result).items():
            self._writer.add_scalar(name, value, outcome.result.steps)
        self._events.add_summary(hparams.session_end(outcome.status.is_success))
        if outcome.maps is None:
            return
        for t, positions in zip(outcome.maps.t.tolist(), outcome.maps.particles(PARTICLES), strict=True):
            if t in self._steps:
                self._writer.add_histogram("particles", positions, self._steps[t], bins=60, walltime=self._began + t)

    def close(self) -> None:
        if hasattr(self, "_writer"):
            self._writer.close()


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
