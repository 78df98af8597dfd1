"""The proximal map of the energy in a chart, which every implicit stage is made of:

    prox(a, tau) = argmin_c  |c - a|^2_M / (2 tau) + F(c),     M the mass matrix.

Newton's method with a line search. Where the energy is displacement convex the problem is strictly convex; elsewhere
the Hessian is shifted by a multiple of M until it is positive definite, so that every step still goes down. Diffusion
is a barrier against f' <= 0, which the line search respects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from wgf.energies.base import Record
from wgf.landscape import Landscape

MOST_ITERATIONS, MOST_SHIFTS, MOST_CUTS = 100, 60, 50
TO_THE_BOUNDARY = 0.9  # share of the way to f' = 0 that one iteration may go
SUFFICIENT = 1e-4  # share of the predicted decrease that a step must bring
CONVERGED, STALLED = 1e-24, 1e-11  # squared Newton steps, relative to the size of the objective


@dataclass(frozen=True)
class Proximal:
    """A minimiser.

    Attributes:
        c: coordinates [M].
        iterations: of Newton's method.
        failure: why this is no minimiser, or None.
    """

    c: Tensor
    iterations: int
    failure: str | None = None


def _reach(record: Record, change: Record) -> float:
    """The largest multiple of a change of the map that keeps f' >= 0 at the nodes."""
    falling = change.dx < 0
    return torch.where(falling, -record.dx / change.dx, math.inf).min().item()


def proximal(landscape: Landscape, anchor: Tensor, tau: float, start: Tensor) -> Proximal:
    """prox(anchor, tau), found from a start with f' > 0.

    Args:
        landscape: F.
        anchor: a [M] (length).
        tau: time.
        start: [M] (length); the objective there is an upper bound of the minimum.
    """
    chart, barrier = landscape.chart, any(term.barrier for term in landscape.energies)

    def objective(c: Tensor, record: Record) -> tuple[float, float]:
        """Value and the scale of its rounding."""
        terms = landscape.terms(record)
        distance = 0.5 / tau * chart.length(c - anchor) ** 2
        value, size = torch.stack([terms.sum() + distance, terms.abs().sum() + distance]).tolist()
        return value, size

    c, record, before = start, chart.record(start), math.inf
    value, size = objective(c, record)
    for iteration in range(MOST_ITERATIONS):
        gradient = chart.mass.matvec(c - anchor) / tau + landscape.gradient(record)
        hessian = landscape.hessian(record)
        factor, shift = hessian.plus_mass(1 / tau), 1.0
        for _ in range(MOST_SHIFTS):
            if factor.positive:
                break
            factor, shift = hessian.plus_mass((1 + shift) / tau), 2 * shift
        else:
            return Proximal(c, iteration, "the Hessian is not positive definite whatever the shift")
        step = -factor.solve(gradient)
        decrement = -torch.dot(gradient, step).item()
        if not math.isfinite(decrement):
            return Proximal(c, iteration, "a Newton step is not finite")
        change = chart.record(step)
        far = min(1.0, TO_THE_BOUNDARY * _reach(record, change)) if barrier else 1.0
        rounding = 1e-15 * size
        for _ in range(MOST_CUTS):
            trial = c + far * step
            there = Record(record.nodes, record.x + far * change.x, record.dx + far * change.dx)
            new, new_size = objective(trial, there)
            if new <= value - SUFFICIENT * far * decrement + rounding:
                break
            far *= 0.5
        else:
            if decrement <= STALLED * size:  # rounding hides the rest of the way down
                return Proximal(c, iteration)
            return Proximal(c, iteration, "the line search found no way down")
        c, record, value, size = trial, there, new, new_size
        small = decrement <= STALLED * size
        if decrement <= CONVERGED * size or (small and far == 1.0 and decrement >= 0.1 * before):
            return Proximal(c, iteration + 1)
        before = decrement
    return Proximal(c, MOST_ITERATIONS, f"no convergence in {MOST_ITERATIONS} Newton iterations")
