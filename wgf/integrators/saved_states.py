"""The states of a flow at its saved times."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from wgf.integrators.base import State
from wgf.integrators.time_loop import Clock, LoopCallback
from wgf.networks.base import TransportMap

Moment = tuple[TransportMap, Tensor]  # a network and its parameters at one time


@dataclass
class SavedStates(LoopCallback):
    """The states at the saved times.

    Attributes:
        map: the network on its present breakpoints.
        times: t = 0 first (time).
        theta: parameters [p] at each time.
        breakpoints: breakpoints of the mesh at each time [m] (length).
        terms: energy terms [k] at each time (energy).
        clocks: the counts at each time; empty for a flow from an old checkpoint.
    """

    map: TransportMap
    times: list[float] = field(default_factory=list)
    theta: list[Tensor] = field(default_factory=list)
    breakpoints: list[Tensor] = field(default_factory=list)
    terms: list[Tensor] = field(default_factory=list)
    clocks: list[Clock] = field(default_factory=list)

    def remesh(self, map: TransportMap) -> None:
        self.map = map

    def stop(self, clock: Clock, state: State) -> None:
        self.times.append(clock.t)
        self.theta.append(state.theta)
        self.breakpoints.append(self.map.breakpoints())
        self.terms.append(state.terms)
        self.clocks.append(replace(clock))

    def __getitem__(self, k: int) -> Moment:
        """Network on the breakpoints of state k, and its parameters."""
        return self.map.on_breakpoints(self.breakpoints[k]), self.theta[k]
