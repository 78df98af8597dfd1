"""The numbers of a run: distances to a reference solution, moments, mass, rows of the history, the result.

Distances are integrals over the base of an increasing map: W2^2 = int |f - T|^2 p, W1 = int |f - T| p. `Metrics`
computes them in float64 on a mesh that is finer than the network's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from wgf.errors import in_one_line
from wgf.flow import Flow
from wgf.integrators.base import State
from wgf.integrators.time_loop import Clock
from wgf.networks.base import TransportMap
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Gauss
from wgf.projection.start import target
from wgf.reference_solutions.equilibrium import equilibrium
from wgf.reference_solutions.exact import Exact
from wgf.reference_solutions.moment_laws import blow_up_bound, second_moment
from wgf.result import Result
from wgf.run.best_approximation import best_w2

log = logging.getLogger("wgf")

CELLS = 400  # cells of the mesh: so many that a sign change of |f - T| inside a cell costs little accuracy


class Metrics:
    """Measures the states of one run.

    Args:
        problem: the equation with its law and energies.
        map: the network.
        known: the reference solution, or None.
    """

    def __init__(self, problem: Problem, map: TransportMap, known: Exact | None) -> None:
        self.problem, self.map, self.known = problem, map, known
        panels = map.base.panels()
        kinks = map.knots(map.theta.detach()).double()
        mesh = torch.linspace(panels[0], panels[-1], CELLS + 1, dtype=torch.float64, device=kinks.device)
        self.nodes = Gauss(4).nodes(map.base, torch.cat([mesh[1:-1], kinks]))

    def evaluate(self, theta: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """f and f' in float64 [n] at z [n]."""
        with torch.no_grad():
            return self.map.evaluate(theta.double(), z)

    def integrals(self, t: float, theta: Tensor) -> dict[str, float | None]:
        """mean, second_moment, mass, w1_error and w2_error; the errors are None without a reference solution."""
        z, w = self.nodes.z, self.nodes.w
        x, _ = self.evaluate(theta, z)
        sums = [torch.dot(w, x), torch.dot(w, x * x), w.sum()]
        if self.known is not None:
            gap = (x - self.known(t, z)).abs()
            sums += [torch.dot(w, gap), torch.dot(w, gap * gap).sqrt()]
        mean, second, mass, *errors = torch.stack(sums).tolist()
        w1, w2 = errors or (None, None)
        return {"mean": mean, "second_moment": second, "mass": mass, "w1_error": w1, "w2_error": w2}

    def initial_w2(self, theta: Tensor) -> float:
        """W2 distance between the map at t = 0 with parameters theta [p] and the initial law (length)."""
        if self.problem.start.is_identity:
            return 0.0
        nodes, goal = target(self.problem.start, self.map.breakpoints())
        z, w = nodes.z.to(theta.device), nodes.w.to(theta.device)
        return float(torch.dot(w, (self.evaluate(theta, z)[0] - goal.to(theta.device)) ** 2).sqrt())

    def to_equilibrium(self, theta: Tensor) -> float | None:
        """W2 distance to the Gibbs law of a Fokker-Planck equation (length); None if there is none."""
        end = equilibrium(self.problem)
        if end is None:
            return None
        z, x, w = (nodes.to(self.nodes.z.device) for nodes in end.matched())
        return float(torch.dot(w, (self.evaluate(theta, z)[0] - x) ** 2).sqrt())

    def row(self, clock: Clock, state: State) -> dict[str, float | int | None]:
        """Row of the history. All rows of a run have the same keys in the same order."""
        e = state.evaluation
        terms = e.terms.tolist()
        found = self.integrals(clock.t, state.theta)
        return {
            "step": clock.steps,
            "t": clock.t,
            "dt": clock.dt,
            "energy": sum(terms),
            **{f"energy_{term.name}": value for term, value in zip(self.problem.terms, terms, strict=True)},
            "dissipation": e.dissipation.item(),
            "dissipated": clock.dissipated,
            "mean": found["mean"],
            "second_moment": found["second_moment"],
            "min_slope": e.min_slope.item(),
            "w1_error": found["w1_error"],
            "w2_error": found["w2_error"],
            **e.report(),
            "evaluations": clock.evaluations,
            "rejected": clock.rejected,
        }


def measure(flow: Flow, state: State, seconds: float = 0.0) -> Result:
    """Compute every number of a finished flow.

    Args:
        flow: the flow, with its reference solution.
        state: the last state.
        seconds: wall time of the flow.
    """
    problem, clock, known = flow.problem, flow.clock, flow.reference_solution
    metrics = Metrics(problem, flow.projection.map, known)
    e = state.evaluation
    terms = {term.name: value for term, value in zip(problem.terms, e.terms.tolist(), strict=True)}
    first = flow.saved.terms[0] if flow.saved.terms else e.terms  # no saved terms if the flow failed at the start
    lost = float(first.sum()) - sum(terms.values())
    rounding = 1e3 * torch.finfo(state.theta.dtype).eps * float(e.terms.abs().sum())
    return Result(
        status=flow.status.name,
        message=flow.reason,
        equation=problem.equation,
        t_end=clock.t,
        t_wanted=problem.t_end,
        steps=clock.steps,
        rejected=clock.rejected,
        evaluations=clock.evaluations,
        energy=sum(terms.values()),
        energy_terms=terms,
        dissipated=clock.dissipated,
        dissipation_gap=abs(lost - clock.dissipated) / lost if lost > rounding else None,
        w2_best=_optional("w2_best", lambda: best_w2(flow.projection, known, clock.t) if known else None),
        reference_solution=known.name if known else None,
        reference_error=getattr(known, "error", None),
        reference_w2_error=getattr(known, "w2_error", None),
        w2_to_equilibrium=_optional("w2_to_equilibrium", lambda: metrics.to_equilibrium(state.theta)),
        initial_w2=metrics.initial_w2(flow.projection.initial),
        second_moment_law=second_moment(problem, clock.t),
        blow_up_bound=blow_up_bound(problem),
        min_slope=e.min_slope.item(),
        parameters=state.theta.numel(),
        wall_s=round(seconds, 3),
        **metrics.integrals(clock.t, state.theta),  # type: ignore[arg-type]
        **e.report(),  # type: ignore[arg-type]
    )


def _optional(name: str, compute: Callable[[], float | None]) -> float | None:
    """Compute an optional number; on failure log it and return None."""
    try:
        return compute()
    except Exception as error:
        log.warning("no %s: %s", name, in_one_line(error))
        return None
