"""The numbers of a run: distances to a reference solution, moments, mass, rows of the history, the result.

All are computed in float64.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from wgf.errors import in_one_line
from wgf.expectation import expectation
from wgf.flow import Flow
from wgf.integrators.base import State
from wgf.integrators.time_loop import Clock
from wgf.networks.base import TransportMap
from wgf.networks.energy_error import QuadratureOfEnergies
from wgf.networks.slopes import least_slope
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Gauss, Nodes
from wgf.reference_solutions.equilibrium import equilibrium
from wgf.reference_solutions.exact import Exact, blow_up_bound, second_moment
from wgf.reference_solutions.wasserstein import Carried, Distance, distance, distances
from wgf.result import Result
from wgf.run.best_approximation import best_w2

log = logging.getLogger("wgf")
Part = TypeVar("Part")

CELLS = 400  # cells of the mesh of a network without knots


class Metrics:
    """Measures the states of one run.

    Args:
        problem: the equation with its law and energies.
        map: the network.
        known: the reference solution, or None.
        observed: formulas of x whose means are columns of the history.
    """

    def __init__(
        self,
        problem: Problem,
        map: TransportMap,
        known: Exact | None,
        observed: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    ) -> None:
        self.problem, self.map, self.known, self.observed = problem, map, known, observed or {}

    @cached_property
    def nodes(self) -> Nodes:
        """Quadrature nodes for the moments."""
        return self._nodes(self.map.theta)

    def _nodes(self, theta: Tensor) -> Nodes:
        map = self.map
        knots = map.knots(theta.detach()).double()
        panels = map.base.panels()
        mesh = torch.linspace(panels[0], panels[-1], CELLS + 1, dtype=knots.dtype, device=knots.device)
        return Gauss().nodes(map.base, knots if len(knots) else mesh[1:-1])

    def on(self, map: TransportMap) -> Metrics:
        """The same on other breakpoints."""
        return Metrics(self.problem, map, self.known, self.observed)

    def moments(self, state: State) -> dict[str, float]:
        """mean, second_moment, mass, and the smallest slope at the nodes of the moments and of the projection."""
        theta = state.theta
        nodes = self._nodes(theta) if self.map.moving_knots else self.nodes
        z, w = nodes.z, nodes.w
        with torch.no_grad():
            x, slope = self.map.evaluate(theta.double(), z)
        least = torch.minimum(self.map.min_slope(theta.double(), slope), state.evaluation.min_slope)
        mass = w.sum()  # far from 0, what the nodes lack of it would move the mean
        moments = torch.stack([torch.dot(w, x) / mass, torch.dot(w, x * x) / mass, mass, least]).tolist()
        return dict(zip(("mean", "second_moment", "mass", "min_slope"), moments, strict=True))

    def least_slope(self, theta: Tensor) -> float:
        """The smallest slope of the map with parameters theta [p], also between the nodes of the moments."""
        return least_slope(self.map, theta, self._nodes(theta).z)

    def error(self, t: float, theta: Tensor) -> Distance | None:
        """Distance to the reference solution; None without one."""
        return None if self.known is None else self.distance(self.known, t, theta)

    def distance(self, known: Exact, t: float, theta: Tensor) -> Distance:
        """Distances between the map at theta and a known one at t."""
        return distance(Carried.by(self.map, theta), Carried.of(self.map.base, known, t))

    def initial_w2(self, theta: Tensor) -> float:
        """W2 distance between the map at t = 0 with parameters theta [p] and the initial law (length)."""
        if self.problem.start.is_identity:
            return 0.0
        return distance(Carried.by(self.map, theta), Carried.law(self.problem.law, self.map.base)).w2

    def to_both(self, t: float, theta: Tensor, end: Exact) -> tuple[Distance | None, float]:
        """Distance to the reference solution, None without one, and W2 distance to the law `end` (length); together
        they take less time."""
        laws = [(end, math.inf)] if self.known is None else [(self.known, t), (end, math.inf)]
        others = [Carried.of(self.map.base, known, at) for known, at in laws]
        *error, rest = distances([Carried.by(self.map, theta)] * len(others), others)
        return error[0] if error else None, rest.w2

    def row(self, clock: Clock, state: State, saved: bool = True) -> dict[str, float | int | None]:
        """Row of the history, of a saved time or not. All rows of a run have the same keys in the same order."""
        e = state.evaluation
        terms = e.terms.tolist()
        moments = self.moments(state)
        seen = saved or (self.known is not None and self.known.quick)
        error = self.error(clock.t, state.theta) if seen else None
        return {
            "step": clock.steps,
            "t": clock.t,
            "dt": clock.dt,
            "energy": sum(terms),
            **{f"energy_{term.name}": value for term, value in zip(self.problem.terms, terms, strict=True)},
            "dissipation": e.dissipation.item(),
            "dissipated": clock.dissipated,
            **({"work": clock.work} if self.problem.potential.moves else {}),
            "mean": moments["mean"],
            "second_moment": moments["second_moment"],
            "min_slope": moments["min_slope"],
            **{name: expectation(Carried.by(self.map, state.theta), f) for name, f in self.observed.items()},
            **({} if self.map.adaptation is None else {"breakpoints": len(self.map.breakpoints())}),
            "w1_error": None if error is None else error.w1,
            "w2_error": None if error is None else error.w2,
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
    projection = flow.projection.on(flow.saved.map)
    metrics = Metrics(problem, projection.map, known)
    end = _optional("w2_to_equilibrium", lambda: equilibrium(problem))
    t, theta = clock.t, state.theta
    both = None if end is None else _optional("w2_to_equilibrium", lambda: metrics.to_both(t, theta, end))
    error, rest = both or (metrics.error(t, theta), None)
    e, moments = state.evaluation, metrics.moments(state)
    terms = {term.name: value for term, value in zip(problem.terms, e.terms.tolist(), strict=True)}
    first = flow.saved.terms[0] if flow.saved.terms else e.terms  # no saved terms if the flow failed at the start
    ends = (0.0, flow.projection.map, flow.projection.initial, first), (t, projection.map, theta, e.terms)
    energies = [
        QuadratureOfEnergies(problem.at(s).terms, map, projection.quadrature, theta).error(known)
        for s, map, theta, known in ends
    ]
    lost = float(first.sum()) - sum(terms.values()) + clock.work
    rounding = 1e3 * torch.finfo(state.theta.dtype).eps * float(e.terms.abs().sum())
    return Result(
        status=flow.status.name,
        message=flow.reason,
        equation=problem.equation,
        t_end=clock.t,
        t_wanted=problem.t_end,
        steps=clock.steps,
        mean_step=clock.t / clock.steps if clock.steps and not flow.integrator.adaptive else None,
        rejected=clock.rejected,
        evaluations=clock.evaluations,
        energy=sum(terms.values()),
        energy_terms=terms,
        energy_error=max(change or 0.0 for change in energies) or None,
        dissipated=clock.dissipated,
        work=clock.work if problem.potential.moves else None,
        dissipation_gap=abs(lost - clock.dissipated) / lost if lost > rounding else None,
        w2_best=_optional("w2_best", lambda: None if error is None else best_w2(projection, error)),
        reference_solution=known.name if known else None,
        reference_error=getattr(known, "error", None),
        reference_w2_error=getattr(known, "w2_error", None),
        w2_to_equilibrium=rest,
        initial_w2=Metrics(problem, flow.projection.map, known).initial_w2(flow.projection.initial),
        **_breakpoints(flow),
        second_moment_law=second_moment(problem, clock.t),
        blow_up_bound=blow_up_bound(problem),
        min_slope=min(moments["min_slope"], metrics.least_slope(state.theta)),
        parameters=state.theta.numel(),
        wall_s=round(seconds, 3),
        w1_error=None if error is None else error.w1,
        w2_error=None if error is None else error.w2,
        mean=moments["mean"],
        second_moment=moments["second_moment"],
        mass=moments["mass"],
        **e.report(),  # type: ignore[arg-type]
    )


def _breakpoints(flow: Flow) -> dict[str, Any]:
    """Numbers of the breakpoints of a spline."""
    map, clock = flow.saved.map, flow.clock
    count = {"breakpoints": len(map.breakpoints())} if map.any_start else {}
    if (adaptation := map.adaptation) is None:
        return count
    return count | {
        "transfers": clock.transfers,
        "transferred_w2": clock.transferred,
        "mesh_error": clock.mesh_error,
        "confirmed_w2": adaptation.gap,
        "unconfirmed": adaptation.unconfirmed,
        **({} if adaptation.tol is None else {"mesh_tolerance": adaptation.tol * flow.problem.law.std}),
    }


def _optional(name: str, compute: Callable[[], Part | None]) -> Part | None:
    """Compute what an optional number needs; on failure log it and return None."""
    try:
        return compute()
    except Exception as error:
        log.warning("no %s: %s", name, in_one_line(error))
        return None
