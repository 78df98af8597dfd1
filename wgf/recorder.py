"""What the time loop tells, turned into rows, saved maps and checkpoints."""

from __future__ import annotations

import dataclasses
import math
from time import monotonic
from typing import Any

import numpy as np
import torch

from wgf.callbacks.base import Callback
from wgf.evolve import Clock, End
from wgf.integrators.base import State
from wgf.metrics import Metrics
from wgf.signals import Signals
from wgf.solution import Solution
from wgf.status import Status

ROWS = 200  # logged steps per run, about
GRID = 2001  # points of the reference space in solution.npz
EVERY = 10.0  # seconds between two checkpoints
SHARE = 50  # times what a checkpoint takes is computed before the next one: 2 % of the time at most
LASTING = (Status.interrupted, Status.max_steps)  # ends that are no end of the flow


class Recorder:
    """Observes the loop.

    Args:
        metrics: of this run, with the problem.
        sinks: told about rows and checkpoints.
        signals: asked after every step.
        origin: entries of every checkpoint, which say what run it is of.
        past: the checkpoint a run goes on from, or None.

    Attributes:
        snapshots: times and parameters of the saved maps.
        rows, last_row: how many rows there are, and the step of the last one.
        wall: seconds that earlier parts of this run took.
    """

    def __init__(
        self,
        metrics: Metrics,
        sinks: Callback,
        signals: Signals,
        origin: dict[str, Any],
        past: dict[str, Any] | None = None,
    ) -> None:
        self.metrics, self.sinks, self.signals, self.origin = metrics, sinks, signals, origin
        panels, device = metrics.problem.law.panels(), metrics.nodes.z.device
        self.z = torch.linspace(panels[0], panels[-1], GRID, dtype=torch.float64, device=device)
        self.snapshots: list[tuple[float, torch.Tensor]] = []
        self.rows, self.last_row = 0, -1
        self.wall = 0.0
        self._logged = 0  # intervals of t_end / ROWS that have their row
        if past is not None:
            self.snapshots = list(zip(past["saved_t"], past["saved_theta"].to(device), strict=True))
            self.rows, self.last_row, self._logged = past["rows"], past["last_row"], past["logged"]
            self.wall = past["wall"]
        self._begin = self._due = monotonic()

    def step(self, clock: Clock, state: State, energy: float) -> None:
        self.sinks.step(clock.t, clock.dt, energy)
        if clock.t >= (self._logged + 1) * self.metrics.problem.t_end / ROWS:
            self._row(clock, state)
        if clock.target < len(self.snapshots):  # else this step's map is saved next
            self._between_steps(clock, state)

    def stop(self, clock: Clock, state: State) -> None:
        self._save(clock, state)
        self._between_steps(clock, state)

    def close(self, end: End) -> None:
        """The last state, whatever the reason for stopping. Who goes on from its checkpoint does not see this end."""
        if not self.snapshots:
            return
        if end.clock.target == len(self.snapshots):  # interrupted before the map of this step was saved
            self._save(end.clock, end.state)
        final = {} if end.status in LASTING else {"status": end.status.name, "detail": end.detail}
        self._checkpoint(end.clock, end.state, final)
        if end.clock.t > self.snapshots[-1][0]:
            self._save(end.clock, end.state)

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return self.wall + monotonic() - self._begin

    def _row(self, clock: Clock, state: State) -> None:
        if clock.steps != self.last_row:
            self.sinks.row(self.metrics.row(clock, state))
            self.rows, self.last_row = self.rows + 1, clock.steps
            self._logged = math.floor(clock.t / self.metrics.problem.t_end * ROWS)

    def _save(self, clock: Clock, state: State) -> None:
        self._row(clock, state)
        self.snapshots.append((clock.t, state.theta))

    def _between_steps(self, clock: Clock, state: State) -> None:
        """Where nothing is half done: time for a checkpoint, and for an interruption."""
        if monotonic() >= self._due:
            self._checkpoint(clock, state, {})
        self.signals.check()

    def _checkpoint(self, clock: Clock, state: State, final: dict[str, Any]) -> None:
        begin = monotonic()
        times, thetas = zip(*self.snapshots, strict=True)
        self.sinks.checkpoint(
            {
                "step": clock.steps,
                "clock": dataclasses.asdict(clock),
                "theta": state.theta,
                "saved_t": list(times),
                "saved_theta": torch.stack(thetas),
                "rows": self.rows,
                "last_row": self.last_row,
                "logged": self._logged,
                "wall": self.seconds,
                **self.origin,
                **final,
            }
        )
        end = monotonic()
        self._due = end + max(EVERY, SHARE * (end - begin))

    def solution(self) -> Solution | None:
        """The saved maps."""
        if not self.snapshots:
            return None
        times = [t for t, _ in self.snapshots]
        maps = [self.metrics.at(theta, self.z) for _, theta in self.snapshots]
        known = self.metrics.exact
        rows = {"T": [x for x, _ in maps], "dT": [dx for _, dx in maps]}
        if known is not None:
            rows["exact_T"] = [known(t, self.z) for t in times]
        knots = [self.metrics.map.knots(theta).double() for _, theta in self.snapshots]
        if len(knots[0]):
            rows["knots"] = knots
        arrays = {name: torch.stack(row).cpu().numpy() for name, row in rows.items()}
        density = self.metrics.problem.law.density(self.z)
        return Solution(t=np.array(times), z=self.z.cpu().numpy(), rho0=density.cpu().numpy(), **arrays)
