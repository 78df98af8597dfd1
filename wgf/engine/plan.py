"""The plan of a flow: a problem in a chart as the arrays that the kernel works on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from wgf.engine.arrays import Energy, Mesh, Method
from wgf.engine.kernel import NOT_FINITE, REPORT, advance
from wgf.engine.linear import factorise
from wgf.engine.program import program
from wgf.engine.table import lookup, tabulate
from wgf.engine.tape import Tape, Untraceable
from wgf.engine.traced import Traced, record, variable
from wgf.integrators.implicit import Rodas4
from wgf.integrators.time_loop import Clock
from wgf.problem.energy import Term
from wgf.problem.equations import Problem
from wgf.problem.potential import Potential
from wgf.projection.chart import Chart
from wgf.projection.field import Projection

log = logging.getLogger("wgf")

INPUTS = ("x", "dx", "log_p", "rank", "w")
NO_TERM = -1
WIDEST = 1e4  # widest range of a table (length)


@dataclass(frozen=True)
class Table:
    """Ends of the range on which potentials are tabulated (length)."""

    low: float
    high: float


def energy_of(
    terms: Sequence[Term],
    table: Table,
    names: Sequence[str] = (),
    bind: Callable[[Term, Tape], Term] = lambda term, tape: term,
) -> Energy:
    """The energy of some terms.

    Args:
        terms: terms of the energy.
        table: where a potential is tabulated if no tape can hold it.
        names: parameters of the energy.
        bind: copy of a term whose numbers are parameters of a tape.

    Raises:
        Untraceable: a term has neither a form that a tape can hold nor a table.
    """
    tape, pairs = Tape(INPUTS), Tape(("r", "none"))
    values: list[int] = []
    owners: list[int] = []
    sum_of, pair, place = Traced(tape, {(0, 0): tape.constant(0.0)}), None, NO_TERM
    quadratic: float | Traced = 0.0
    for k, term in enumerate(terms):
        parts = bind(term, tape).parts()
        if parts is None:
            raise Untraceable(f"the energy {term}")
        if parts.density is not None:
            density = _density(tape, bind(term, tape), table)
            sum_of = sum_of + density
            values.append(density.jet[0, 0])
            owners.append(k)
        parts = bind(term, pairs).parts()
        assert parts is not None
        if parts.kernel is not None or isinstance(parts.quadratic, Traced) or parts.quadratic:
            if place != NO_TERM:
                raise Untraceable("a second interaction")
            place, quadratic = k, parts.quadratic
        if parts.kernel is not None and parts.force is not None:
            kernel, force, r = parts.kernel, parts.force, variable(pairs, "r")
            values_of = record(lambda: kernel(r), pairs), record(lambda: force(r), pairs)  # noqa: B023
            jet = values_of[1].jet
            bends = [jet.get((1, 0)), None, None]
            pair = program(pairs, [values_of[0].jet[0, 0]], [k], [jet[0, 0], None], bends, names)
    slopes, curvature = _entries(sum_of, (1, 0), (0, 1)), _entries(sum_of, (2, 0), (1, 1), (0, 2))
    local = program(tape, values, owners, slopes, curvature, names)
    if isinstance(quadratic, Traced):
        raise Untraceable("the strength of a quadratic interaction as a parameter")
    none = program(pairs, [], [], [None, None], [None] * 3, names)
    return Energy(local, pair or none, pair is not None, place, float(quadratic), len(terms))


def _entries(traced: Traced, *orders: tuple[int, int]) -> list[int | None]:
    return [traced.jet.get(order) for order in orders]


def _density(tape: Tape, term: Term, table: Table) -> Traced:
    """Jet of the density of a term: traced, or read from a table for a potential."""
    parts = term.parts()
    assert parts is not None
    assert parts.density is not None
    density = parts.density
    try:
        return record(lambda: density(*(variable(tape, name) for name in INPUTS)), tape)
    except Untraceable:
        if not isinstance(term, Potential):
            raise
        return lookup(tape, tabulate(term, table.low, table.high))


def mesh_of(chart: Chart, order: int) -> Mesh:
    """Arrays of a chart whose nodes form cells of `order` nodes."""
    first, values, slopes = (t.detach().numpy() for t in chart.basis_at_nodes)
    k, nodes = chart.space.degree + 1, chart.nodes
    cells = len(first) // order
    mass = np.zeros((chart.size + k, k))
    mass[: chart.size] = chart.mass.band.numpy().T
    factor = mass.copy()
    factorise(factor, chart.size)
    mean = np.zeros(chart.size + k)
    mean[: chart.size] = chart.load(nodes.w, torch.zeros_like(nodes.w)).numpy()
    return Mesh(
        k,
        np.stack([first[::order], np.arange(cells)], axis=1),
        np.stack([values, slopes]).reshape(2, cells, order, k),
        np.stack([nodes.w.numpy(), nodes.log_p.numpy(), nodes.rank.numpy()]),
        np.stack([mass, factor]),
        mean,
    )


def method_of(integrator: Rodas4) -> Method:
    """Tableau and tolerances of an integrator."""
    tableau = np.array([[[*row, *[0.0] * (6 - len(row))] for row in rows] for rows in (integrator.a, integrator.c)])
    i = integrator
    return Method(tableau, np.array(i.quadrature()), i.gamma, i.rtol, i.atol, i.dt_min, int(i.max_steps))


class Leg(NamedTuple):
    """What one call of the kernel did.

    Attributes:
        code: how it ended; fault, trial: why its last failed attempt failed, and the length of that attempt (time).
        c: coordinates [M]. terms: values of the energy terms [k].
        energy, slope: energy and smallest slope.
        times: t, dt, next_dt, error and dissipated. steps, rejected, evaluations, target: as in `Clock`.
    """

    code: int
    fault: int
    trial: float
    c: torch.Tensor
    terms: torch.Tensor
    energy: float
    slope: float
    times: tuple[float, ...]
    steps: int
    rejected: int
    evaluations: int
    target: int


class Plan:
    """A flow as the kernel sees it.

    Args:
        problem: the energies.
        chart: coordinates, with nodes in cells of `order` nodes.
        order: nodes per cell.
        start: coordinates at t = 0 [M] (length).
        integrator: the method.

    Raises:
        Untraceable: see `energy_of`.

    Attributes:
        work: nodes that an attempt visits.
        range: where potentials are tabulated.
        offsets: constants of the energy terms [k] that the kernel does not know (energy).
    """

    def __init__(self, problem: Problem, chart: Chart, order: int, start: torch.Tensor, integrator: Rodas4) -> None:
        self.chart, self.terms, self.attractive = chart, problem.terms, problem.collapses
        self.mesh = mesh_of(chart, order)
        self.method, self.std = method_of(integrator), problem.law.std
        x = chart.at_nodes(start).x
        low, high = float(x.min()), float(x.max())
        self.range = Table(1.5 * low - 0.5 * high, 1.5 * high - 0.5 * low)
        self.energy = energy_of(self.terms, self.range)
        self.offsets = torch.tensor([term.offset(chart.nodes) for term in self.terms], dtype=torch.float64)
        n = self.mesh.nodes.shape[1]
        self.work = 6 * (n * n if self.energy.interacts else n)

    @classmethod
    def of(cls, projection: Projection, integrator: Rodas4) -> Plan:
        """Plan of a projected flow on a chart."""
        assert projection.landscape is not None
        assert projection.quadrature.order is not None
        chart = projection.landscape.chart
        start = chart.coordinates(projection.initial)
        return cls(projection.problem, chart, projection.quadrature.order, start, integrator)

    def look(self, c: torch.Tensor) -> tuple[float, float, torch.Tensor]:
        """Energy, smallest slope and energy terms [k] at the coordinates c [M]."""
        leg = self.advance(c, [1.0], Clock(next_dt=1.0), 0, False)
        return leg.energy, leg.slope, leg.terms

    def advance(self, c: torch.Tensor, goals: list[float], clock: Clock, most: int, single: bool) -> Leg:
        """Steps from c [M] to the last goal, or to an end; see `wgf.engine.kernel.advance`."""
        size = len(c)
        while True:
            padded = np.zeros((1, len(self.mesh.mean)))
            padded[0, :size] = c.numpy()
            times = np.array([[clock.t, clock.dt, clock.next_dt, clock.error, clock.dissipated, self.std]])
            counts = np.array([[clock.steps, clock.rejected, clock.evaluations, clock.target, self.attractive]])
            report = np.zeros((1, REPORT + len(self.terms)))
            saved = np.zeros((0, 0, 0))
            none = np.zeros((1, 0))
            advance(
                padded, np.array(goals), saved, self.mesh, self.energy, self.method, none, times, counts, report, most,
                single,
            )  # fmt: skip
            left = len(self.energy.local.tables) and report[0, 3] == NOT_FINITE
            if not left or self.range.high - self.range.low > WIDEST:
                break
            self._widen()
        code, energy, slope, fault, trial = report[0, :REPORT].tolist()
        c, terms = torch.from_numpy(padded[0, :size].copy()), torch.from_numpy(report[0, REPORT:]) + self.offsets
        energy += float(self.offsets.sum())
        return Leg(
            int(code), int(fault), trial, c, terms, energy, slope, tuple(times[0, :5].tolist()), *counts[0, :4].tolist()
        )

    def _widen(self) -> None:
        low, high = self.range.low, self.range.high
        self.range = Table(1.5 * low - 0.5 * high, 1.5 * high - 0.5 * low)
        log.info("particles leave the table of the potential: it now reaches from %g to %g", low, high)
        self.energy = energy_of(self.terms, self.range)
