"""Records a run: turns the events of the time loop into rows, saved states and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import monotonic
from typing import Any

import torch
from torch import Tensor

from wgf.certificates.own_bound import OwnBound
from wgf.integrators.base import State
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.time_loop import Clock, End, LoopCallback
from wgf.networks.base import TransportMap
from wgf.run.callbacks.base import Callback
from wgf.run.metrics import Metrics
from wgf.run.signals import Signals

BOUND = "w2_bound_own"  # column of the bound, which is known at the end
ROWS = 200  # approximate number of logged steps per run
FIRST = 1.0  # seconds up to the first checkpoint of a run without rows; a shorter one has that of its end alone
EVERY = 10.0  # seconds between two checkpoints
SHARE = 50  # computing time per checkpoint time: checkpoints take at most 2 % of a run


class Recorder(LoopCallback):
    """Passes the events of the time loop on to the callbacks of a run.

    Args:
        metrics: metrics of this run, with the problem.
        callbacks: receive steps, rows and checkpoints.
        signals: the recorder checks them after every step.
        origin: entries of every checkpoint that identify the run.
        past: the checkpoint from which the run resumes, or None.
        bound: records what bounds the error, or None.
        rows: whether to measure states on the way, for the rows of a history.

    Attributes:
        saved: the states at the saved times.
        rows, last_row: number of rows so far, and the step of the last row.
        wall: wall time of earlier parts of this run (seconds).
    """

    def __init__(
        self,
        metrics: Metrics,
        callbacks: Callback,
        signals: Signals,
        origin: dict[str, Any],
        past: dict[str, Any] | None = None,
        bound: OwnBound | None = None,
        rows: bool = True,
    ) -> None:
        self.metrics, self.callbacks, self.signals, self.origin = metrics, callbacks, signals, origin
        self.bound, self._wanted = bound, rows
        self.saved = SavedStates(metrics.map)
        self.rows, self.last_row = 0, -1
        self.wall = 0.0
        self._logged = 0  # intervals of t_end / ROWS that already have a row
        if past is not None:
            self.saved = saved_states(metrics.map, past)
            self.remesh(metrics.map.on_breakpoints(past["breakpoints"].to(metrics.map.theta.device)))
            self.rows, self.last_row, self._logged = past["rows"], past["last_row"], past["logged"]
            self.wall = past["wall"]
        self.begin()

    def begin(self) -> None:
        """Start the clock of the flow: what was loaded before does not count."""
        self._begin = monotonic()
        self._due = self._begin + (0.0 if self._wanted else FIRST)

    def step(self, clock: Clock, state: State, energy: float) -> None:
        self.callbacks.step(clock.t, clock.dt, energy)
        if self.bound is not None:
            self.bound.step(clock, state, energy)
        if clock.target < len(self.saved.times):  # else `stop` follows and saves this state
            if clock.t >= (self._logged + 1) * self.metrics.problem.t_end / ROWS:
                self._row(clock, state, saved=False)
            self._between_steps(clock, state)

    def remesh(self, map: TransportMap) -> None:
        if map is self.metrics.map:
            return
        self.metrics = self.metrics.on(map)
        self.saved.remesh(map)

    def stop(self, clock: Clock, state: State) -> None:
        self._save(clock, state)
        self._between_steps(clock, state)

    def close(self, end: End) -> None:
        """Save the last state, for every status. The checkpoint of a run that can resume holds no status."""
        if not self.saved.times:
            return
        if end.map is not None:  # interrupted before `remesh`
            self.remesh(end.map)
        if end.clock.target == len(self.saved.times):  # interrupted before `stop` saved this state
            self._save(end.clock, end.state)
        final = {} if end.status.can_resume else {"status": end.status.name, "detail": end.detail}
        self._checkpoint(end.clock, end.state, final)
        if end.clock.t > self.saved.times[-1]:
            self._save(end.clock, end.state)

    @property
    def seconds(self) -> float:
        """Wall time so far (seconds)."""
        return self.wall + monotonic() - self._begin

    def _row(self, clock: Clock, state: State, saved: bool = True) -> None:
        if self._wanted and clock.steps != self.last_row:
            self.callbacks.row(self.metrics.row(clock, state, saved) | {BOUND: None})
            self.rows, self.last_row = self.rows + 1, clock.steps
            self._logged = math.floor(clock.t / self.metrics.problem.t_end * ROWS)

    def _save(self, clock: Clock, state: State) -> None:
        if self.bound is not None:
            self.bound.stop(clock, state)
        self._row(clock, state)
        self.saved.stop(clock, state)

    def _between_steps(self, clock: Clock, state: State) -> None:
        """Write a checkpoint if it is due, and stop on a signal. Called between two steps, when all is consistent."""
        if monotonic() >= self._due:
            self._checkpoint(clock, state, {})
        self.signals.check()

    def _checkpoint(self, clock: Clock, state: State, final: dict[str, Any]) -> None:
        begin = monotonic()
        self.callbacks.checkpoint(
            {
                "step": clock.steps,
                "clock": dict(vars(clock)),
                "theta": state.theta,
                "breakpoints": self.saved.map.breakpoints(),
                "terms": state.terms,
                "saved_t": list(self.saved.times),
                "saved_theta": _rows(self.saved.theta),
                "saved_breakpoints": _rows(self.saved.breakpoints),
                "saved_terms": _rows(self.saved.terms),
                "saved_clocks": [dict(vars(each)) for each in self.saved.clocks],
                "rows": self.rows,
                "last_row": self.last_row,
                "logged": self._logged,
                "wall": self.seconds,
                "bound": None if self.bound is None else self.bound.saved(),
                **self.origin,
                **final,
            }
        )
        end = monotonic()
        self._due = end + max(EVERY, SHARE * (end - begin))


def _rows(tensors: Sequence[Tensor]) -> Tensor | list[Tensor]:
    """Tensors of one shape as the rows of one, which torch saves many times as fast; else a list of them."""
    alike = len({part.shape for part in tensors}) == 1
    return torch.stack(list(tensors)) if alike else list(tensors)


def saved_states(map: TransportMap, checkpoint: dict[str, Any]) -> SavedStates:
    """Saved states of a checkpoint, on the device of a map."""
    device = map.theta.device
    theta, breakpoints, terms = (
        [entry.to(device) for entry in checkpoint[f"saved_{name}"]] for name in ("theta", "breakpoints", "terms")
    )
    clocks = [Clock(**entry) for entry in checkpoint.get("saved_clocks", [])]
    return SavedStates(map, list(checkpoint["saved_t"]), theta, breakpoints, terms, clocks)
