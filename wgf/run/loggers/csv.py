"""Scalars of a run as a table: scalars.csv with the columns step, t, tag, value."""

from __future__ import annotations

from typing import TextIO

from wgf.run.callbacks.base import Outcome, Run
from wgf.run.loggers.base import Logger, finals

HEADER = "step,t,tag,value\n"


class Csv(Logger):
    """Writes the scalars that other loggers send to trackers; figures and files lie in the folder of the run anyway."""

    _file: TextIO | None = None

    def begin(self, run: Run) -> None:
        path = run.folder / "scalars.csv"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:] if run.rows and path.exists() else []
        self._file = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115 (closed in close)
        kept = [line for line in lines if line.endswith("\n") and int(line.partition(",")[0]) <= run.last_row]
        self._file.write(HEADER + "".join(kept))

    def scalars(self, values: dict[str, float], step: int, t: float) -> None:
        if self._file is not None:
            self._file.write("".join(f"{step},{t!r},{tag},{value!r}\n" for tag, value in values.items()))

    def end(self, run: Run, outcome: Outcome) -> None:
        self.scalars(finals(outcome.result), outcome.result.steps or 0, outcome.result.t_end or 0.0)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
