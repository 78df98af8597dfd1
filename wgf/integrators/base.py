"""What the time loop asks of an integrator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from wgf.projection.field import Evaluation, Projection

Field = Callable[[Tensor], Evaluation]


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
    """

    order: int
    max_steps: int
    adaptive = False
    dt_min = 0.0

    def on(self, field: Projection) -> Integrator:
        """The method that takes the steps on this field: itself, unless it is a choice among others."""
        return self

    @abstractmethod
    def step(self, field: Field, dt: float, state: State) -> Step:
        """Propose the state at t + dt; nothing is changed."""

    @abstractmethod
    def first_dt(self, t_end: float) -> float:
        """The step to begin with (time)."""

    def next_dt(self, dt: float, error: float, previous: float) -> float:
        """The step after one of size dt with relative error `error`, the accepted one before it having `previous`."""
        return dt
