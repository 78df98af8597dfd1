"""The plan of a flow: a problem in a chart as the arrays that the kernel works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wgf.engine.kernel import Energy, Mesh, Method, factorise
from wgf.engine.program import program
from wgf.engine.table import lookup, tabulate
from wgf.engine.tape import Tape, Traced, Untraceable, record
from wgf.integrators.implicit import Rodas4
from wgf.problem.energy import Term
from wgf.problem.potential import Potential
from wgf.projection.chart import Chart

INPUTS = ("x", "dx", "log_p", "rank", "w")
NO_TERM = -1


@dataclass(frozen=True)
class Table:
    """Ends of the range on which potentials are tabulated (length)."""

    low: float
    high: float


def energy_of(terms: Sequence[Term], table: Table) -> Energy:
    """The energy of some terms.

    Args:
        terms: terms of the energy.
        table: where a potential is tabulated if no tape can hold it.

    Raises:
        Untraceable: a term has neither a form that a tape can hold nor a table.
    """
    tape, pairs = Tape(INPUTS), Tape(("r", "none"))
    total, values, owners = tape.constant(0.0), [], []
    sum_of, pair, place, quadratic = Traced(tape, {(0, 0): total}), None, NO_TERM, 0.0
    for k, term in enumerate(terms):
        parts = term.parts()
        if parts is None:
            raise Untraceable(f"the energy {term}")
        if parts.density is not None:
            density = _density(tape, term, table)
            sum_of = sum_of + density
            values.append(density.jet[0, 0])
            owners.append(k)
        if parts.kernel is not None and parts.force is not None or parts.quadratic:
            if place != NO_TERM:
                raise Untraceable("a second interaction")
            place, quadratic = k, float(parts.quadratic)
        if parts.kernel is not None and parts.force is not None:
            kernel, force, r = parts.kernel, parts.force, pairs.input("r")
            values_of = record(lambda: kernel(r), pairs), record(lambda: force(r), pairs)  # noqa: B023
            jet = values_of[1].jet
            pair = program(pairs, [values_of[0].jet[0, 0]], [k], [jet[0, 0], None], [jet.get((1, 0)), None, None])
    local = program(tape, values, owners, _entries(sum_of, (1, 0), (0, 1)), _entries(sum_of, (2, 0), (1, 1), (0, 2)))
    return Energy(local, pair or program(pairs, [], [], [None, None], [None] * 3), pair is not None, place, quadratic, len(terms))


def _entries(traced: Traced, *orders: tuple[int, int]) -> list[int | None]:
    return [traced.jet.get(order) for order in orders]


def _density(tape: Tape, term: Term, table: Table) -> Traced:
    """Jet of the density of a term: traced, or read from a table for a potential."""
    parts = term.parts()
    assert parts is not None and parts.density is not None
    density = parts.density
    try:
        return record(lambda: density(*(tape.input(name) for name in INPUTS)), tape)  # type: ignore[misc]
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
        (0,) * k,
        np.stack([first[::order], np.arange(cells)], axis=1),
        np.stack([values, slopes]).reshape(2, cells, order, k),
        np.stack([nodes.w.numpy(), nodes.log_p.numpy(), nodes.rank.numpy()]),
        np.stack([mass, factor]),
        mean,
    )


def method_of(integrator: Rodas4, attractive: bool) -> Method:
    """Tableau and tolerances of an integrator."""
    tableau = np.array([[[*row, *[0.0] * (6 - len(row))] for row in rows] for rows in (integrator.a, integrator.c)])
    i = integrator
    return Method(tableau, i.gamma, i.rtol, i.atol, i.dt_min, int(i.max_steps), attractive)

