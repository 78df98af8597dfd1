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


@dataclass(frozen=True)
class Tolerances:
    """When Newton's method stops, and how far it may go.

    Squared Newton steps are relative to the size of the objective.

    Attributes:
        iterations, halvings: at most, of Newton's method and of one line search.
        to_the_boundary: share of the way to f' = 0 that one iteration may go.
        decrease: share of the predicted decrease that a step must bring.
        converged: squared step below which the minimiser is found.
        stalled: the same where no step lowers the objective any more.
        kinked: the same where a kink of the potential ends the way down.
        hidden: the same below which rounding hides whether the objective falls.
        barriers: strengths of the barrier, one after the other, relative to the size of the objective.
        weak_barrier: strength below which a minimiser with a barrier counts as one without.
    """

    iterations: int = 50
    halvings: int = 50
    to_the_boundary: float = 0.9
    decrease: float = 1e-4
    converged: float = 1e-24
    stalled: float = 1e-11
    kinked: float = 1e-7
    hidden: float = 1e-14
    barriers: tuple[float, ...] = tuple(10.0**-k for k in range(1, 14))
    weak_barrier: float = 1e-9

    def rounded(self, dtype: torch.dtype) -> Tolerances:
        """The same for numbers of this precision."""
        hidden = self.hidden * torch.finfo(dtype).eps / torch.finfo(torch.float64).eps
        return replace(
            self, hidden=hidden, stalled=max(self.stalled, 10 * hidden), kinked=max(self.kinked, 10 * hidden)
        )


TOLERANCES = Tolerances()


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
        return min(most, TOLERANCES.to_the_boundary * ratio)


def newton(objective: Objective, start: Tensor) -> Proximal:
    """A minimiser near a start [M] with f' > 0, where the objective is not larger."""
    chart = objective.landscape.chart
    c, at, before = start, chart.at_nodes(start), math.inf
    value, size = objective(c, at)
    tolerances = TOLERANCES.rounded(c.dtype)
    hidden, stalled, kinked = tolerances.hidden, tolerances.stalled, tolerances.kinked
    for iteration in range(tolerances.iterations):
        step, decrement = objective.direction(c, at)
        kinks, most = torch.zeros_like(at.x), 1.0
        far = objective.reach(at, step, most)
        for _ in range(tolerances.halvings):
            if not (math.isfinite(decrement) and decrement >= 0):
                return Proximal(c, iteration, "a Newton step is not finite")
            trial = c + far * step
            there = chart.at_nodes(trial)
            stiffer = False
            if not objective.barrier or bool(there.dx.min() > 0):
                new, new_size = objective(trial, there)
                rounding = (0.1 if decrement > hidden * size else 1.0) * hidden * size
                if new <= value - tolerances.decrease * far * decrement + rounding:
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
        if decrement <= tolerances.converged * size or (small and far == 1.0 and decrement >= 0.1 * before):
            return Proximal(c, iteration + 1)
        before = decrement
    return Proximal(c, tolerances.iterations, f"no convergence in {tolerances.iterations} Newton iterations")


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
    for share in TOLERANCES.barriers:
        inner = newton(objective.plus(Barrier(share * size)), c)
        c, count = inner.c, count + inner.iterations
        if share <= TOLERANCES.weak_barrier and inner.failure is None and objective(c, chart.at_nodes(c))[0] <= value:
            return Proximal(c, count)
    # the last barrier costs no more than rounding, and so does staying
    return Proximal(start, count, inner.failure and found.failure)
