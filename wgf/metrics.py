"""The figures of a run: distances to the exact solution, moments, mass, and the rows of its history.

All of them are integrals over the reference law (mathematics of an increasing map): W2^2 = int |f - T|^2 p,
W1 = int |f - T| p. They are computed in float64 on a mesh of their own, finer than the network's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wgf.evolve import Clock
from wgf.exact import Exact, equilibrium
from wgf.integrators.base import State
from wgf.networks.base import TransportMap
from wgf.problem import Problem
from wgf.quadrature import Gauss

CELLS = 400  # of the mesh for the figures, so that |f - T| may change sign in a cell at little cost
FIGURES = ("rank", "condition", "residual", "truncated", "damped", "iterations")


class Metrics:
    """Measures the states of one run.

    Args:
        problem: what is solved.
        map: the network.
        exact: the exact solution, or None.
    """

    def __init__(self, problem: Problem, map: TransportMap, exact: Exact | None) -> None:
        self.problem, self.map = problem, map
        self.exact = exact  # finite volumes come later: they are computed once the flow has run
        panels = problem.law.panels()
        kinks = map.knots(map.theta.detach()).double()
        mesh = torch.linspace(panels[0], panels[-1], CELLS + 1, dtype=torch.float64, device=kinks.device)
        self.nodes = Gauss(4).nodes(problem.law, torch.cat([mesh[1:-1], kinks]))
        self.columns = [
            "step",
            "t",
            "dt",
            "energy",
            *(f"energy_{term.name}" for term in problem.terms),
            "dissipation",
            "dissipated",
            "mean",
            "second_moment",
            "min_slope",
            "w1_error",
            "w2_error",
            *FIGURES,
            "evaluations",
            "rejected",
        ]

    def at(self, theta: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """f and f' in float64 [n] at z [n]."""
        with torch.no_grad():
            return self.map.evaluate(theta.double(), z)

    def measure(self, t: float, theta: Tensor) -> dict[str, float | None]:
        """mean, second_moment, mass, and w1_error, w2_error where there is something to compare with."""
        z, w = self.nodes.z, self.nodes.w
        x, _ = self.at(theta, z)
        figures = [torch.dot(w, x), torch.dot(w, x * x), w.sum()]
        if self.exact is not None:
            gap = (x - self.exact(t, z)).abs()
            figures += [torch.dot(w, gap), torch.dot(w, gap * gap).sqrt()]
        mean, second, mass, *errors = torch.stack(figures).tolist()
        w1, w2 = errors or (None, None)
        return {"mean": mean, "second_moment": second, "mass": mass, "w1_error": w1, "w2_error": w2}

    def to_equilibrium(self, theta: Tensor) -> float | None:
        """The W2 distance to the law where a Fokker-Planck equation ends (length); None where there is none."""
        end = equilibrium(self.problem)
        if end is None:
            return None
        z, w = self.nodes.z, self.nodes.w
        return float(torch.dot(w, (self.at(theta, z)[0] - end(math.inf, z)) ** 2).sqrt())

    def row(self, clock: Clock, state: State) -> dict[str, float | int | None]:
        """A row of the history, keys as in `columns`."""
        e = state.evaluation
        terms = e.terms.tolist()
        known = {
            "step": clock.steps,
            "t": clock.t,
            "dt": clock.dt,
            "energy": sum(terms),
            "dissipation": e.dissipation.item(),
            "dissipated": clock.dissipated,
            "min_slope": e.min_slope.item(),
            "evaluations": clock.evaluations,
            "rejected": clock.rejected,
        }
        known |= {f"energy_{term.name}": value for term, value in zip(self.problem.terms, terms, strict=True)}
        known |= self.measure(clock.t, state.theta) | e.solution.report()
        return {column: known[column] for column in self.columns}
