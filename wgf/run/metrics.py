"""The numbers of a run: distances to a reference solution, moments, mass, rows of the history, the result.

All are computed in float64.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
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
from wgf.networks.slopes import least_slope
from wgf.problem.energy import MapAtNodes, standard_error
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Gauss, Nodes, Quadrature
from wgf.reference_solutions.equilibrium import equilibrium
from wgf.reference_solutions.exact import Exact, blow_up_bound, second_moment
from wgf.reference_solutions.wasserstein import Carried, Distance, distance, distances
from wgf.result import Result
from wgf.run.best_approximation import best_w2

log = logging.getLogger("wgf")
Part = TypeVar("Part")

CELLS = 400  # cells of the mesh of a network without knots
SHORT = 1e-9  # length of a cell, relative to the law's width and its distance from there, that is too short to cut
PARTS = {2: 2.0, 3: 1.5}  # of a cell; error relative to the change by them at order 1
# at an order p < 1, as in tails, halves change 1 - 2^-p of the error, and thirds (1 - 3^-p) / (1 - 2^-p) times as much:
# that share falls by so much as the ratio rises beyond 4/3, and is so large at least
SLOWER, LEAST_SHARE = 1.9, 0.25
FARTHEST, POINTS = 1e-120, 300  # mass at which the integral over a tail ends, and its points


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

    def energy_error(self, quadrature: Quadrature, theta: Tensor, terms: Tensor | None = None) -> float | None:
        """Largest error of an energy (energy), by its changes when a quadrature cuts its cells, or its standard error
        by random particles; None for other rules without cells.

        It counts what lies in infinite tails beyond all cells, and what lies in cells too short to be cut, beside an
        edge where the density is infinite: infinite energies are not resolved. The rounding of energies that are known,
        `terms` [k], counts, too.
        """
        if not self.problem.terms or (quadrature.order is None and quadrature.noise == 0):
            return None
        theta = theta.detach().double()
        nodes = self._cut(quadrature, theta, 1)
        if quadrature.order is None:
            return standard_error(self.problem.terms, MapAtNodes(nodes, *self.map.evaluate(theta, nodes.z)))
        cells = nodes.z.unflatten(0, (-1, quadrature.order))
        shortest = SHORT * (self.map.base.std + (cells[:, :1] - self.map.base.mean).abs())
        short = (cells[:, -1:] - cells[:, :1] < shortest).expand_as(cells).flatten()
        changes = torch.stack(list(self.energy_changes(quadrature, theta)))
        error = (changes.new_tensor([*PARTS.values()])[:, None] * changes).abs().amax(0)
        share = 0.5 - SLOWER * (changes[1] / changes[0] - 4 / 3)
        error = error.maximum(changes[0].abs() / share.nan_to_num(0.5).clamp(LEAST_SHARE, 0.5))
        energies = self._energies(theta, nodes)
        if terms is not None:
            error = error + (energies - terms.to(energies)).abs()
        if quadrature.order > 1 and bool(short.any()):
            rest = replace(nodes, w=nodes.w.masked_fill(short, 0.0))
            error = error + (self._energies(theta, rest) - energies).abs()
        if math.isinf(self.map.base.lower) or math.isinf(self.map.base.upper):
            plain = Nodes(nodes.z, nodes.w, nodes.base)  # without cells, as the tails are: kinks count alike
            error = error + (self._energies(theta, self._with_tails(nodes)) - self._energies(theta, plain)).abs()
        return float(error.max().nan_to_num(math.inf, math.inf))

    def energy_changes(self, quadrature: Quadrature, theta: Tensor) -> Iterator[Tensor]:
        """Changes of the energies [k] of a quadrature with cells when these are cut in 2 and in 3."""
        theta = theta.detach().double()
        energy = self._energies(theta, self._cut(quadrature, theta, 1))
        for parts in PARTS:
            yield self._energies(theta, self._cut(quadrature, theta, parts)) - energy

    def _cut(self, quadrature: Quadrature, theta: Tensor, parts: int) -> Nodes:
        """The nodes of a quadrature whose cells are cut in so many equal parts."""
        base, knots = self.map.base, self.map.knots(theta).double()
        mesh = torch.cat([torch.tensor(base.panels()).to(knots), knots.clamp(base.lower, base.upper)]).unique()
        inner = [torch.lerp(mesh[:-1], mesh[1:], k / parts) for k in range(1, parts)]
        return quadrature.nodes(base, torch.cat([knots, *inner]))

    @torch.no_grad()
    def _energies(self, theta: Tensor, nodes: Nodes) -> Tensor:
        """Energy terms [k] of the map with parameters theta [p] by some nodes (energy)."""
        at = MapAtNodes(nodes, *self.map.evaluate(theta, nodes.z))
        return torch.stack([term.value(at) for term in self.problem.terms])

    def _with_tails(self, nodes: Nodes) -> Nodes:
        """The nodes, and others in infinite tails beyond all cells: int f du = int u f d(log u); u is the mass further
        out."""
        base, panels = self.map.base, nodes.z.new_tensor(self.map.base.panels())
        z, w = [nodes.z], [nodes.w]
        for end, mass, place in (
            (base.lower, base.cdf(panels[:1]), base.quantile),
            (base.upper, base.survival(panels[-1:]), base.upper_quantile),
        ):
            if math.isinf(end):
                begin = mass.new_full((1,), FARTHEST)
                log_u = torch.lerp(begin.log(), mass.maximum(begin).log(), torch.linspace(0, 1, POINTS).to(mass))
                steps = torch.cat([log_u[:1], log_u, log_u[-1:]])
                z.append(place(log_u.exp()))
                w.append(log_u.exp() * 0.5 * (steps[2:] - steps[:-2]))
        places, masses = torch.cat(z), torch.cat(w)
        order = places.argsort(stable=True)
        return Nodes(places[order], masses[order], base)

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
    energies = [Metrics(problem.at(s), map, known).energy_error(projection.quadrature, *at) for s, map, *at in ends]
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
