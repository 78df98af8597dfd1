"""How a run can end. Files store the name; people read the value."""

from enum import Enum


class Status(Enum):
    """Reason why the time loop stopped."""

    completed = "reached the end time"
    steady = "reached a steady state: the solution hardly moves any more"
    blow_up = "the solution concentrates into a point mass in finite time"
    step_too_small = "the step size fell below dt_min: no smaller step passes the checks"
    folded = "a step made the map decreasing (f' <= 0); the last increasing map is kept"
    energy_rise = "a step raised the energy; the last state before it is kept"
    not_finite = "a step produced a value that is not finite; the last finite state is kept"
    max_steps = "max_steps was reached before the end time"
    solver_failed = "the solver of a step failed; the last state before it is kept"
    interrupted = "stopped from outside; the last accepted state is kept"

    @property
    def is_success(self) -> bool:
        """Whether the run ended as it should: at the end time or in a steady state."""
        return self in (Status.completed, Status.steady)

    @property
    def can_resume(self) -> bool:
        """Whether a run that stopped for this reason can go on."""
        return self in (Status.interrupted, Status.max_steps)

    def __str__(self) -> str:
        return self.name
