"""The proximal map of the energy in a chart, the building block of implicit stages:

    prox(a, tau) = argmin_c  |c - a|^2_M / (2 tau) + F(c),     M the mass matrix.

The solver is Newton's method with a line search. If the energy is displacement convex, the problem is strictly convex.
If the Hessian is not positive definite, its convex part gives a descent direction. Diffusion is a barrier against
f' <= 0, but a weak one where there is little mass. If Newton's method reaches f' = 0 there, an interior point method
adds a barrier that weights all nodes equally and reduces it step by step.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from wgf.problem.energy import Curvature, Local, MapAtNodes, Term
from wgf.projection.chart_energy import Landscape


@dataclass(frozen=True)
class Tolerances:
    """Tolerances and limits of Newton's method.

    Tolerances are for the Newton decrement (the squared step), relative to the size of the objective.

    Attributes:
        iterations, halvings: limits, per call of Newton's method and per line search.
        to_the_boundary: largest share of the distance to f' = 0 that one iteration may cover.
        near, stuck: an iteration that covers a smaller share of its step for f' = 0 is near the boundary, and Newton's
            method is stuck after so many of them in a row.
        decrease: share of the predicted decrease that a step must achieve.
        converged: tolerance of the minimiser.
        stalled: tolerance if no step lowers the objective any more.
        kinked: tolerance if a kink of the potential stops the line search.
        hidden: decrement below which rounding hides whether the objective falls.
        barriers: successive strengths of the barrier, relative to the size of the objective.
        weak_barrier: strength below which a minimiser with the barrier counts as a minimiser without it.
    """

    iterations: int = 50
    halvings: int = 50
    to_the_boundary: float = 0.9
    near: float = 1e-4
    stuck: int = 3
    decrease: float = 1e-4
    converged: float = 1e-24
    stalled: float = 1e-11
    kinked: float = 1e-7
    hidden: float = 1e-14
    barriers: tuple[float, ...] = tuple(10.0**-k for k in range(1, 14))
    weak_barrier: float = 1e-9

    def rounded(self, at: MapAtNodes) -> Tolerances:
        """Tolerances for maps like this one: not below their rounding, which grows with the distance from 0."""
        eps, far = torch.finfo(at.x.dtype).eps, at.nodes.mean(at.x).abs().item() / at.nodes.base.std
        hidden = self.hidden * eps / torch.finfo(torch.float64).eps * (1 + far)
        return replace(
            self, hidden=hidden, stalled=max(self.stalled, 10 * hidden), kinked=max(self.kinked, 10 * hidden)
        )


TOLERANCES = Tolerances()


@dataclass(frozen=True)
class Proximal:
    """Result of a minimisation.

    Attributes:
        c: coordinates [M].
        iterations: number of Newton iterations.
        failure: why c is not a minimiser, or None.
    """

    c: Tensor
    iterations: int
    failure: str | None = None


class Barrier(Term):
    """Barrier -mu mean(log f') over the nodes, independent of their mass.

    Args:
        mu: strength (energy).
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
    """Objective |c - a|^2_M / (2 tau) + F(c) of the proximal map."""

    def __init__(self, landscape: Landscape, anchor: Tensor, tau: float) -> None:
        self.landscape, self.anchor, self.tau = landscape, anchor, tau
        self.barrier = any(term.barrier for term in landscape.energies)
        width = math.log(landscape.chart.nodes.base.std)
        self._logarithms = anchor.new_tensor([width * float(term.logarithm) for term in landscape.energies])
        self._local = [term for term in landscape.energies if isinstance(term, Local)]

    def __call__(self, c: Tensor, at: MapAtNodes) -> tuple[float, float]:
        """Value, and the sum of absolute terms, with the base's width as the unit, as the scale of its rounding."""
        terms = self.landscape.terms(at)
        distance = 0.5 / self.tau * self.landscape.chart.length(c - self.anchor) ** 2
        sizes = (terms - self._logarithms).abs()
        value, size = torch.stack([terms.sum() + distance, sizes.sum() + distance]).tolist()
        return value, size

    def force(self, at: MapAtNodes) -> Tensor:
        """Sum of the local forces [n]."""
        return sum((term.covector(at)[0] for term in self._local), torch.zeros_like(at.x))

    def stiffness(self, at: MapAtNodes) -> Tensor:
        """Derivative of the local forces [n]."""
        curved = (term.curvature(at).xx for term in self._local)
        return sum((each for each in curved if each is not None), torch.zeros_like(at.x))

    def plus(self, term: Term) -> Objective:
        """Objective with one more energy term."""
        landscape = copy.copy(self.landscape)
        landscape.energies = (*landscape.energies, term)
        return Objective(landscape, self.anchor, self.tau)

    def direction(self, c: Tensor, at: MapAtNodes, kinks: Tensor | None = None) -> tuple[Tensor, float]:
        """Descent direction [M] (Newton's if the Hessian is positive definite), and twice its predicted decrease.

        kinks: curvature of kinks of the potential [n], which its second derivative does not contain.
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
        """Largest factor <= `most` of a step [M] that keeps f' > 0 at the nodes."""
        if not self.barrier:
            return most
        change = self.landscape.chart.change(step).dx
        ratio = torch.where(change < 0, -at.dx / change, math.inf).min().item()
        return min(most, TOLERANCES.to_the_boundary * ratio)


class KinkCurvature:
    """Curvature of kinks of the local forces as the trials of one line search see it.

    Args:
        objective: what is minimised.
        here: the map where the line search starts.
    """

    def __init__(self, objective: Objective, here: MapAtNodes) -> None:
        self._objective, self._here = objective, here

    @cached_property
    def _known(self) -> tuple[Tensor, Tensor]:
        return self._objective.force(self._here), self._objective.stiffness(self._here)

    @cached_property
    def moved(self) -> float:
        """Scale of what rounded places change in the local energies: far from the origin it exceeds these."""
        return torch.dot(self._known[0].abs(), self._here.x.abs()).item()

    def seen(self, there: MapAtNodes) -> Tensor:
        """Difference quotient of the forces between two maps minus their derivative and rounding [n], at least 0."""
        force, stiffness = self._known
        way, other = there.x - self._here.x, self._objective.force(there)
        rounded = force.abs() + other.abs() + stiffness.abs() * (there.x.abs() + self._here.x.abs())
        excess = (other - force - 4 * torch.finfo(way.dtype).eps * rounded.copysign(way)) / way - stiffness
        return torch.where(way.abs() > 1e-12 * self._here.rms, excess, 0.0).clamp(min=0)


def newton(objective: Objective, start: Tensor, patient: bool = True) -> Proximal:
    """Minimise the objective from a start [M] with f' > 0. The objective at the result is not larger.

    patient: whether to go on where the iterates are stuck at f' = 0.
    """
    chart = objective.landscape.chart
    c, at, before = start, chart.at_nodes(start), math.inf
    value, size = objective(c, at)
    tolerances = TOLERANCES.rounded(at)
    hidden, stalled, kinked = tolerances.hidden, tolerances.stalled, tolerances.kinked
    near = 0
    for iteration in range(tolerances.iterations):
        step, decrement = objective.direction(c, at)
        kinks, most, forces = torch.zeros_like(at.x), 1.0, KinkCurvature(objective, at)
        far = objective.reach(at, step, most)
        near = near + 1 if far < tolerances.near else 0
        if near >= tolerances.stuck and not patient:
            return Proximal(c, iteration, "Newton's method is stuck at f' = 0")
        for _ in range(tolerances.halvings):
            if not (math.isfinite(decrement) and decrement >= 0):
                return Proximal(c, iteration, "a Newton step is not finite")
            trial = c + far * step
            there = chart.at_nodes(trial)
            stiffer = False
            if not objective.barrier or bool(there.dx.min() > 0):
                new, new_size = objective(trial, there)
                rounding = (0.1 if decrement > hidden * size else 1.0) * hidden * size
                allowed = value - tolerances.decrease * far * decrement + rounding
                if new <= allowed or new <= allowed + hidden * forces.moved:
                    break
                seen = forces.seen(there)
                stiffer = bool((seen > 1.1 * kinks).any()) and bool(seen.isfinite().all())
            if stiffer:
                kinks = torch.maximum(seen, kinks)
                step, decrement = objective.direction(c, at, kinks)
                far = objective.reach(at, step, most)
            else:
                far = most = 0.5 * far
        else:
            # rounding or a kink hides a further decrease
            if decrement <= (kinked if bool(kinks.any()) else stalled) * size:
                return Proximal(c, iteration)
            return Proximal(c, iteration, "the line search found no decrease")
        c, at, value, size = trial, there, new, new_size
        small, unseen = decrement <= stalled * size, decrement <= hidden * size
        idle = (small and far == 1.0 and decrement >= 0.1 * before) or (unseen and decrement >= 0.5 * before)
        if decrement <= tolerances.converged * size or idle:
            return Proximal(c, iteration + 1)
        before = decrement
    return Proximal(c, tolerances.iterations, f"no convergence in {tolerances.iterations} Newton iterations")


def proximal(landscape: Landscape, anchor: Tensor, tau: float, start: Tensor) -> Proximal:
    """Compute prox(anchor, tau) by iterations from a start with f' > 0.

    Args:
        landscape: the energy F.
        anchor: a [M] (length).
        tau: step (time).
        start: first iterate [M] (length); the objective at the result is not larger than here.
    """
    objective = Objective(landscape, anchor, tau)
    found = newton(objective, start, patient=False)
    if found.failure is None or not objective.barrier:
        return found
    c, chart, count = start, landscape.chart, found.iterations
    value, size = objective(start, chart.at_nodes(start))
    for share in TOLERANCES.barriers:
        inner = newton(objective.plus(Barrier(share * size)), c)
        c, count = inner.c, count + inner.iterations
        if share <= TOLERANCES.weak_barrier and inner.failure is None and objective(c, chart.at_nodes(c))[0] <= value:
            return Proximal(c, count)
    # no strength improved on the start: return it. The last barrier is as small as rounding
    return Proximal(start, count, inner.failure and found.failure)
