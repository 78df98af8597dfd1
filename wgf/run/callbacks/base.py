"""The interface of callbacks of a run, and a guard that drops a failing callback instead of stopping the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wgf.errors import in_one_line
from wgf.integrators.status import Status
from wgf.process import loading
from wgf.result import Result

if TYPE_CHECKING:  # numpy is loaded when the number of its threads is known
    from wgf.saved_maps import SavedMaps

log = logging.getLogger("wgf")

Row = dict[str, float | int | None]
PHASES = ("flow", "reference", "errors", "certificate", "figures")  # of a run, in this order


@dataclass
class Run:
    """Facts about a run before its first step.

    Attributes:
        folder: folder for all files of the run.
        title: title for people, usually the equation; one line.
        t_end: end time (time).
        columns: the keys of every row, in order.
        config_text: the resolved config, YAML.
        provenance: the content of provenance.json.
        rows: number of rows of earlier parts of this run; drop any further rows of an old file.
        last_row: step of the last of these rows; -1 for a new run.
        figures: whether anything is drawn.
    """

    folder: Path
    title: str
    t_end: float
    columns: list[str]
    config_text: str
    provenance: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    last_row: int = -1
    figures: bool = True


@dataclass
class Outcome:
    """Facts about a run after its last step.

    Attributes:
        status: why the run stopped.
        result: every number of the run.
        maps: the maps at the saved times; None if the run failed at the start.
        late: the numbers of some rows that are known at the end only, each with its t.
    """

    status: Status
    result: Result
    maps: SavedMaps | None
    late: list[Row] = field(default_factory=list)
    _pictures: dict[str, bytes] | None = field(default=None, repr=False)

    def pictures(self, run: Run) -> dict[str, bytes]:
        """PNG contents of the figures "density" and "map"; drawn once for all callbacks."""
        if self._pictures is None:
            with loading():  # matplotlib
                from wgf.figures.density import density
                from wgf.figures.map import map
                from wgf.figures.style import encoded

            self._pictures = {}
            if self.maps is not None:
                for name, draw in (("density", density), ("map", map)):
                    self._pictures[name] = encoded(draw(self.maps, run.title), "png")
        return self._pictures


class Callback:
    """Base class of callbacks; ignores all events. Subclasses override the events they need."""

    def __init__(self) -> None:
        pass

    def start(self, run: Run) -> None:
        """Called before the first step."""

    def look(self) -> list[str]:
        """Lines for the end of the terminal's output that say how to look at what was written."""
        return []

    def phase(self, name: str) -> None:
        """Called when a phase of the run begins; `name` is one of `PHASES`."""

    def step(self, t: float, dt: float, energy: float) -> None:
        """Called after every accepted step; must be cheap.

        Args:
            t: time reached.
            dt: the last step (time).
            energy: F at t (energy).
        """

    def row(self, row: Row) -> None:
        """Called at each logged step, including the first and the last. row: keys as in `Run.columns`."""

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Called every few seconds and at the end. state: all that a run needs to resume, with its "step"."""

    def finish(self, run: Run, outcome: Outcome) -> None:
        """Called after the last step, for every status."""

    def close(self) -> None:
        """Release what `start` opened. Called last; a second call has no effect."""


class Callbacks(Callback):
    """Several callbacks as one. If a callback raises, `Callbacks` logs one line, closes the callback and drops it.

    It catches only `Exception`: Ctrl-C still stops the run. `finish` closes every callback; use
    `contextlib.closing(Callbacks(...))` if the run may raise before `finish`.

    Args:
        callbacks: called in this order.

    Attributes:
        dropped: one line for each failure, with its reason.
    """

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self._callbacks = list(callbacks)
        self.dropped: list[str] = []

    def start(self, run: Run) -> None:
        self._tell("start", run)

    def phase(self, name: str) -> None:
        self._tell("phase", name)

    def step(self, t: float, dt: float, energy: float) -> None:
        self._tell("step", t, dt, energy)

    def row(self, row: Row) -> None:
        self._tell("row", row)

    def checkpoint(self, state: dict[str, Any]) -> None:
        self._tell("checkpoint", state)

    def finish(self, run: Run, outcome: Outcome) -> None:
        try:
            self._tell("finish", run, outcome)
        finally:
            self.close()

    def close(self) -> None:
        while self._callbacks:
            self._close(self._callbacks.pop())

    def _tell(self, event: str, *args: Any) -> None:
        for callback in tuple(self._callbacks):
            try:
                getattr(callback, event)(*args)
            except Exception as error:
                self.dropped.append(_report(callback, event, error))
                self._callbacks.remove(callback)
                self._close(callback)

    def _close(self, callback: Callback) -> None:
        try:
            callback.close()
        except Exception as error:
            self.dropped.append(_report(callback, "close", error))


def _report(callback: Callback, event: str, error: Exception) -> str:
    reason = in_one_line(error)
    name = type(callback).__name__
    log.error("%s failed in %s, the run continues without it: %s", name, event, reason)
    log.debug("traceback", exc_info=error)
    return f"{name}: {reason}"
