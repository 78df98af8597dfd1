"""What the time loop asks of an integrator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from wgf.errors import ConfigError
from wgf.networks.base import TransportMap
from wgf.problem.energy import MapAtNodes
from wgf.problem.equations import Problem
from wgf.projection.chart_energy import Landscape
from wgf.projection.field import Evaluation, Projection

MANY_STEPS = 1_000_000  # fixed steps beyond which a run must have been asked for by max_steps


class Field(Protocol):
    """The velocity field of a projected flow, as far as integrators ask for it; `Projection` is one."""

    problem: Problem
    map: TransportMap
    landscape: Landscape | None

    def __call__(self, theta: Tensor) -> Evaluation:
        """The field at theta [p]."""

    def at_nodes(self, theta: Tensor) -> MapAtNodes:
        """The map at the quadrature nodes."""

    def terms(self, at: MapAtNodes) -> Tensor:
        """Every term of F [k]."""

    def gradient(self, theta: Tensor) -> tuple[Tensor, Tensor, MapAtNodes]:
        """grad F [p], the terms of F [k] and the map at the nodes."""


@dataclass(frozen=True)
class State:
    """A point of the flow with the field there, which is the first stage of the next step.

    Attributes:
        theta: parameters [p].
        evaluation: the field at theta.
    """

    theta: Tensor
    evaluation: Evaluation


@dataclass(frozen=True)
class Step:
    """A proposed step.

    Attributes:
        state: where it leads.
        error: estimated error of the step relative to the tolerances, scalar; None where there is no estimate.
        failure: why there is no step, the state being the old one; None for a step.
        evaluations: of the field or of its derivatives.
    """

    state: State
    error: Tensor | None = None
    failure: str | None = None
    evaluations: int = 1


class Integrator(ABC):
    """A one-step method for the autonomous flow theta' = field(theta).

    Attributes:
        order: of the error at a fixed time.
        max_steps: attempts, rejected ones included, before the run stops.
        dt_min: smallest step worth trying (time); only an adaptive method tries smaller ones.
        adaptive: whether a rejected step is tried again smaller.
        implicit: whether a step solves with second derivatives of the energy.
        dt: the step, of an adaptive method the first one (time); None leaves the first one to the method.
    """

    order: int
    max_steps: int
    adaptive = False
    dt_min = 0.0
    implicit = False
    dt: float | None = None

    def on(self, field: Projection) -> Integrator:
        """The method that takes the steps on this field: itself, unless it is a choice among others."""
        return self

    def check(self, t_end: float) -> None:
        """Check that the steps fit the end time.

        Raises:
            ConfigError: they are too long, too short or too many.
        """
        dt, least, most = self.dt, self.dt_min, self.max_steps
        if dt is not None and dt > t_end:
            raise ConfigError(
                f"integrator.dt={dt:g} with t_end={t_end:g} is impossible: a step cannot be longer than the run, say "
                f"integrator.dt={t_end / 100:.0e} or less"
            )
        if least > (dt or t_end):
            which = f"integrator.dt={dt:g}" if dt else f"t_end={t_end:g}"
            raise ConfigError(
                f"integrator.dt_min={least:g} with {which} is impossible: expected a smaller integrator.dt_min"
            )
        if not self.adaptive and dt is not None and t_end / dt > max(most, MANY_STEPS) * (1 + 1e-9):
            raise ConfigError(
                f"integrator.dt={dt:g} with t_end={t_end:g} is impossible: {t_end / dt:.2g} steps are more than "
                f"integrator.max_steps={most:g}; raise one of integrator.dt and integrator.max_steps, or lower t_end"
            )

    @abstractmethod
    def step(self, field: Field, dt: float, state: State) -> Step:
        """Propose the state at t + dt; nothing is changed."""

    def first_dt(self, t_end: float) -> float:
        """The step to begin with (time)."""
        return self.dt or t_end / 100

    def next_dt(self, dt: float, error: float, previous: float) -> float:
        """The step after one of size dt with relative error `error`, the accepted one before it having `previous`."""
        return dt
