"""The steps of a flow, kept for its derivatives."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from wgf.errors import ConfigError, WgfError
from wgf.integrators.base import Integrator, State
from wgf.integrators.implicit import Rodas4
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.time_loop import Clock
from wgf.problem.equations import Problem
from wgf.projection.chart import Chart
from wgf.projection.chart_energy import Landscape
from wgf.projection.field import Projection


@dataclass
class RecordedStates(SavedStates):
    """The states at the saved times, and every step between them.

    Attributes:
        chart: the coordinates.
        steps: length of each step (time).
        coordinates: coordinates before each step, and after the last one [M].
        counts: number of steps before each saved time.

    A signal can come between a step and its record.
    """

    chart: Chart = field(kw_only=True)
    steps: list[float] = field(default_factory=list)
    coordinates: list[Tensor] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def step(self, clock: Clock, state: State, energy: float) -> None:
        self.steps.append(clock.dt)
        self.coordinates.append(self.chart.coordinates(state.theta))

    def take_path(self, rows: np.ndarray) -> None:
        """Several steps of the compiled engine, see `wgf.engine.compiled`."""
        lengths, coordinates = rows[:, -1].tolist(), [*torch.from_numpy(rows[:, : self.chart.size].copy())]
        self.steps += lengths
        self.coordinates += coordinates

    def stop(self, clock: Clock, state: State) -> None:
        super().stop(clock, state)
        if not self.coordinates:
            self.coordinates.append(self.chart.coordinates(state.theta))
        self.counts.append(len(self.steps))

    @property
    def is_complete(self) -> bool:
        """Whether the record holds every step of the clock."""
        counted = [clock.steps for clock in self.clocks] == self.counts and len(self.counts) == len(self.times)
        return counted and len(self.coordinates) == len(self.steps) + 1


@dataclass(frozen=True)
class History:
    """A computed flow with what its derivatives need.

    Attributes:
        projection: the flow as it was computed, without derivatives.
        method: takes the steps.
        recorded: the steps.
        problem: the problem with its tensors.
        tensors: the tensors that require grad in the energies of `problem`.
        values: what all tensors of `problem` were when the flow was computed.
    """

    projection: Projection
    method: Rodas4
    recorded: RecordedStates
    problem: Problem
    tensors: list[Tensor]
    values: list[tuple[Tensor, Tensor]]

    @property
    def landscape(self) -> Landscape:
        assert self.projection.landscape is not None
        return self.projection.landscape

    def check_values(self) -> None:
        """Check that the tensors are what they were.

        Raises:
            WgfError: one is not.
        """
        for tensor, value in self.values:
            if not torch.equal(tensor.detach(), value):
                raise WgfError(
                    f"a tensor of shape {list(tensor.shape)} has changed since the flow was computed: the flow has no "
                    "gradients any more, solve again"
                )


def check(projection: Projection, method: Integrator) -> None:
    """Check that a flow has derivatives.

    Raises:
        ConfigError: it does not.
    """
    if projection.problem.domain.period is not None:
        raise ConfigError("gradients need a line, a half line or an interval: a circle has none")
    if not isinstance(method, Rodas4) or type(method).step is not Rodas4.step or not projection.by_chart:
        raise ConfigError(
            f"gradients need integrator=rodas4, not {type(method).__name__.lower()}: use network=Spline(...), or "
            "network=TwoSidedReLU(..., train='weights'), with integrator=Rodas4(...)"
        )
