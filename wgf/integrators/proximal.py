"""The proximal map of the energy in a chart, which every implicit stage is made of:

    prox(a, tau) = argmin_c  |c - a|^2_M / (2 tau) + F(c),     M the mass matrix.

Newton's method with a line search. Where the energy is displacement convex the problem is strictly convex; elsewhere,
as long as the Hessian is not positive definite, its convex part leads the way down. Diffusion is a barrier against
f' <= 0, which the line search respects. It is no barrier where next to no mass is: should Newton's method run into
f' = 0 there, a barrier that sees all nodes alike is added and taken back step by step (an interior point method).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wgf.problem.energy import Curvature, Local, MapAtNodes, Term
from wgf.projection.chart_energy import Landscape

MOST_ITERATIONS, MOST_CUTS = 50, 50
TO_THE_BOUNDARY = 0.9  # share of the way to f' = 0 that one iteration may go
SUFFICIENT = 1e-4  # share of the predicted decrease that a step must bring
CONVERGED, STALLED, KINKED = 1e-24, 1e-11, 1e-7  # squared Newton steps, relative to the size of the objective
HIDDEN = 1e-14  # the same, below which rounding hides whether the objective falls
BARRIERS = [10.0**-k for k in range(1, 14)]  # relative to the size of the objective
ENOUGH = 1e-9  # barrier that is small enough where the objective falls; a minimiser with a barrier is that close to one


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


class Barrier(Term):
    """-mu times the mean of log f' over the nodes, whatever their mass.

    Args:
        mu: energy.
    """

    name, barrier = "barrier", True

    def __init__(self, mu: float) -> None:
        self.mu = mu

    def value(self, at: MapAtNodes) -> Tensor:
        return -self.mu * torch.log(at.dx).mean()

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(at.x), -self.mu / len(at.dx) / at.dx

    def curvature(self, at: MapAtNodes) -> Curvature:
        return Curvature(dd=self.mu / len(at.dx) / at.dx**2)


class Objective:
    """|c - a|^2_M / (2 tau) + F(c)."""

    def __init__(self, landscape: Landscape, anchor: Tensor, tau: float) -> None:
        self.landscape, self.anchor, self.tau = landscape, anchor, tau
        self.barrier = any(term.barrier for term in landscape.energies)

    def __call__(self, c: Tensor, at: MapAtNodes) -> tuple[float, float]:
        """Value and the scale of its rounding."""
        terms = self.landscape.terms(at)
        distance = 0.5 / self.tau * self.landscape.chart.length(c - self.anchor) ** 2
        value, size = torch.stack([terms.sum() + distance, terms.abs().sum() + distance]).tolist()
        return value, size

    def kinks(self, here: MapAtNodes, there: MapAtNodes) -> Tensor:
        """By how much the local forces rise from one map to another in excess of their derivative [n]."""
        excess, way = torch.zeros_like(here.x), there.x - here.x
        for term in self.landscape.energies:
            if isinstance(term, Local):
                curved = term.curvature(here).xx
                excess = excess + (term.covector(there)[0] - term.covector(here)[0]) / way
                excess = excess if curved is None else excess - curved
        return torch.where(way.abs() > 1e-12 * here.rms, excess, 0.0).clamp(min=0)

    def plus(self, term: Term) -> Objective:
        """The same with another energy."""
        landscape = copy.copy(self.landscape)
        landscape.energies = (*landscape.energies, term)
        return Objective(landscape, self.anchor, self.tau)

    def direction(self, c: Tensor, at: MapAtNodes, kinks: Tensor | None = None) -> tuple[Tensor, float]:
        """A way down [M], Newton's where the Hessian is positive definite, and twice the decrease that it promises.

        kinks: curvature of the potential [n] that its second derivative does not show.
        """
        landscape = self.landscape
        gradient = landscape.chart.mass.matvec(c - self.anchor) / self.tau + landscape.gradient(at)
        for hessian in (landscape.hessian, landscape.convex_hessian):
            matrix = hessian(at)
            if kinks is not None:
                matrix = replace(matrix, band=matrix.band + landscape.chart.band(kinks, torch.zeros_like(kinks)))
            factor = matrix.plus_mass(1 / self.tau)
            if factor.positive:
                break
        step = -factor.solve(gradient)
        return step, -torch.dot(gradient, step).item()

    def reach(self, at: MapAtNodes, step: Tensor, most: float) -> float:
        """How much of a step [M] may be gone, `most` or what keeps f' > 0 at the nodes."""
        if not self.barrier:
            return most
        change = self.landscape.chart.at_nodes(step).dx
        ratio = torch.where(change < 0, -at.dx / change, math.inf).min().item()
        return min(most, TO_THE_BOUNDARY * ratio)


def newton(objective: Objective, start: Tensor) -> Proximal:
    """A minimiser near a start [M] with f' > 0, where the objective is not larger."""
    chart = objective.landscape.chart
    c, at, before = start, chart.at_nodes(start), math.inf
    value, size = objective(c, at)
    grain = torch.finfo(c.dtype).eps / torch.finfo(torch.float64).eps  # rounding, in units of that of float64
    hidden, stalled, kinked = HIDDEN * grain, max(STALLED, 10 * HIDDEN * grain), max(KINKED, 10 * HIDDEN * grain)
    for iteration in range(MOST_ITERATIONS):
        step, decrement = objective.direction(c, at)
        kinks, most = torch.zeros_like(at.x), 1.0
        far = objective.reach(at, step, most)
        for _ in range(MOST_CUTS):
            if not (math.isfinite(decrement) and decrement >= 0):
                return Proximal(c, iteration, "a Newton step is not finite")
            trial = c + far * step
            there = chart.at_nodes(trial)
            stiffer = False
            if not objective.barrier or bool(there.dx.min() > 0):
                new, new_size = objective(trial, there)
                rounding = (0.1 if decrement > hidden * size else 1.0) * hidden * size
                if new <= value - SUFFICIENT * far * decrement + rounding:
                    break
                seen = objective.kinks(at, there)
                stiffer = bool((seen > 1.1 * kinks).any()) and bool(seen.isfinite().all())
            if stiffer:
                kinks = torch.maximum(seen, kinks)
                step, decrement = objective.direction(c, at, kinks)
                far = objective.reach(at, step, most)
            else:
                far = most = 0.5 * far
        else:
            # rounding hides the rest of the way down, or a kink ends it
            if decrement <= (kinked if bool(kinks.any()) else stalled) * size:
                return Proximal(c, iteration)
            return Proximal(c, iteration, "the line search found no way down")
        c, at, value, size = trial, there, new, new_size
        small = decrement <= stalled * size
        if decrement <= CONVERGED * size or (small and far == 1.0 and decrement >= 0.1 * before):
            return Proximal(c, iteration + 1)
        before = decrement
    return Proximal(c, MOST_ITERATIONS, f"no convergence in {MOST_ITERATIONS} Newton iterations")


def proximal(landscape: Landscape, anchor: Tensor, tau: float, start: Tensor) -> Proximal:
    """prox(anchor, tau), found from a start with f' > 0.

    Args:
        landscape: F.
        anchor: a [M] (length).
        tau: time.
        start: [M] (length); the objective there is an upper bound of the minimum.
    """
    objective = Objective(landscape, anchor, tau)
    found = newton(objective, start)
    if found.failure is None or not objective.barrier:
        return found
    c, chart, count = start, landscape.chart, found.iterations
    value, size = objective(start, chart.at_nodes(start))
    for share in BARRIERS:
        inner = newton(objective.plus(Barrier(share * size)), c)
        c, count = inner.c, count + inner.iterations
        if share <= ENOUGH and inner.failure is None and objective(c, chart.at_nodes(c))[0] <= value:
            return Proximal(c, count)
    # the last barrier costs no more than rounding, and so does staying
    return Proximal(start, count, inner.failure and found.failure)
