"""The callbacks of a run: which events they get, and the guard which keeps a failing one from killing the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wgf.errors import in_one_line
from wgf.integrators.status import Status
from wgf.result import Result
from wgf.saved_maps import SavedMaps

log = logging.getLogger("wgf")

Row = dict[str, float | int | None]


@dataclass
class Run:
    """What is known of a run before its first step.

    Attributes:
        folder: where everything it leaves behind goes.
        title: one line a person reads, mostly the equation.
        t_end: end time (time).
        columns: the keys of every row, in order.
        config_text: the resolved config, YAML.
        provenance: the content of provenance.json.
        rows: how many rows are there from an earlier part of this run; more than these are not part of it.
        last_row: the step of the last of them; -1 for a new run.
    """

    folder: Path
    title: str
    t_end: float
    columns: list[str]
    config_text: str
    provenance: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    last_row: int = -1


@dataclass
class Outcome:
    """What is known of a run after its last step.

    Attributes:
        status: why it stopped.
        result: every number of the run.
        maps: the map at the saved times; None when the run failed before it had one.
    """

    status: Status
    result: Result
    maps: SavedMaps | None
    _pictures: dict[str, bytes] | None = field(default=None, repr=False)

    def pictures(self, run: Run) -> dict[str, bytes]:
        """The figures of every run as PNG files, "density" and "map"; drawn once for all callbacks that show them."""
        if self._pictures is None:
            from wgf.figures.density import density  # matplotlib: only for who asks for it
            from wgf.figures.map import map
            from wgf.figures.style import encoded

            self._pictures = {}
            if self.maps is not None:
                for name, draw in (("density", density), ("map", map)):
                    self._pictures[name] = encoded(draw(self.maps, run.title), "png")
        return self._pictures


class Callback:
    """Ignores all events; a callback overrides what it needs."""

    def __init__(self) -> None:
        pass

    def start(self, run: Run) -> None:
        """Before the first step."""

    def step(self, t: float, dt: float, energy: float) -> None:
        """After every accepted step, so it must be cheap.

        Args:
            t: time reached.
            dt: the step that led there (time).
            energy: F at t (energy).
        """

    def row(self, row: Row) -> None:
        """At each logged step, the first and the last among them. row: keys as in `Run.columns`."""

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Now and then, and at the end. state: all that a run needs to go on from there, with its "step"."""

    def finish(self, run: Run, outcome: Outcome) -> None:
        """After the last step, whatever the reason."""

    def close(self) -> None:
        """Release what `start` opened. The last call, and a second one does no harm."""


class Callbacks(Callback):
    """Several callbacks as one, each behind a guard: one that raises is logged in a line, closed and dropped.

    Only `Exception`s are caught: Ctrl-C still stops the run. After `finish` every callback is closed; where a run
    may raise before it gets there, `contextlib.closing(Callbacks(...))` closes them.

    Args:
        callbacks: called in this order.

    Attributes:
        dropped: what was dropped and why, a line each.
    """

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self._callbacks = list(callbacks)
        self.dropped: list[str] = []

    def start(self, run: Run) -> None:
        self._tell("start", run)

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
    log.error("%s failed in %s and is dropped, the run goes on without it: %s", name, event, reason)
    log.debug("where it failed", exc_info=error)
    return f"{name}: {reason}"
