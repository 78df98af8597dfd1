"""Work of a potential that moves: dF/dt = -D + P along the flow, with the power P = int dV/dt rho."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wgf.integrators.base import Field, State
from wgf.projection.chart_energy import rates


class Work(NamedTuple):
    """Work over a step.

    Attributes:
        done: integral of P by Simpson's rule (energy).
        doubt: distance to the trapezoid rule, which estimates an error (energy).
    """

    done: float = 0.0
    doubt: float = 0.0

    @property
    def most(self) -> float:
        """Energy that the flow can have gained (energy)."""
        return self.done + self.doubt

    @classmethod
    def over(cls, field: Field, dt: float, before: State, after: State) -> Work:
        """Work over a step of length dt (time); 0 if the potential does not move.

        The state in the middle is that of the cubic Hermite interpolation, so the integral has order 4.
        """
        if field.stage(1.0) is field:
            return cls()
        bend = before.evaluation.velocity - after.evaluation.velocity
        middle = 0.5 * (before.theta + after.theta) + dt / 8 * bend
        places = (before.theta, middle, after.theta)
        powers = [power(field.stage(share), theta) for share, theta in zip((0.0, 0.5, 1.0), places, strict=True)]
        first, half, last = torch.stack(powers).tolist()
        simpson, trapezoid = dt / 6 * (first + 4 * half + last), dt / 2 * (first + last)
        return cls(simpson, abs(simpson - trapezoid))


def power(field: Field, theta: Tensor) -> Tensor:
    """P at parameters theta [p], scalar (energy/time)."""
    with torch.no_grad():
        at = field.at_nodes(theta)
    return torch.dot(at.w, rates(field.problem.potential, at.x)[0])
