"""The plan of a flow: a problem in a chart as the arrays that the kernel works on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, cached_property, partial
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import scipy.linalg.lapack
import torch

from wgf.engine.arrays import GRADIENT, TAPS, Mesh, Method, Work, at_once, sizes, workspace
from wgf.engine.energies import Table, shared_energy
from wgf.engine.kernel import EVER, NOT_FINITE, REPORT, advance
from wgf.engine.llvm.vectors import WIDTH, aligned, whole
from wgf.engine.machine_code import Direct
from wgf.engine.tapes.tape import Untraceable
from wgf.integrators.cautious import falls_back
from wgf.integrators.implicit import Rodas4
from wgf.integrators.time_loop import FOLDS, Clock
from wgf.kept import Kept
from wgf.networks.spline_space import SplineSpace
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Nodes
from wgf.projection.chart import Chart
from wgf.projection.field import Projection

log = logging.getLogger("wgf")
_meshes: WeakKeyDictionary[Chart, Mesh] = WeakKeyDictionary()
SAME = 1e-9  # difference of basis functions, relative to the largest, that rounding of the breakpoints explains
WIDEST = 1e4  # widest range of a table (length)
LARGE = 100_000  # coordinates from which arrays take more memory than they save time
CELLS = 1 << 14  # cells whose basis is in memory at once

_advance = Direct(advance), Direct(advance)  # for energies with pairs, and for others
_idle = Kept[list["OneFlow"]](16)  # arrays of some sizes that no flow uses


def mesh_of(chart: Chart, order: int) -> Mesh:
    """Arrays of a chart whose nodes form cells of `order` nodes, made once for a chart."""
    if (mesh := _meshes.get(chart)) is None:
        mesh = _meshes[chart] = _mesh(chart, order)
    return mesh


def _mesh(chart: Chart, order: int) -> Mesh:
    k, size, nodes = chart.space.degree + 1, chart.size, chart.nodes
    w, z, weight = nodes.w.numpy(), nodes.z.numpy().reshape(-1, order), float(nodes.w.sum())
    mean, pivots = aligned(2, size + WIDTH)
    first = np.empty(len(z), dtype=np.int64)
    for low in range(0, len(z), CELLS):
        columns, values, _ = (part.numpy() for part in chart.basis(torch.from_numpy(z[low : low + CELLS].ravel())))
        here, near = w[order * low : order * (low + CELLS)] / weight, mean[columns[0] :]
        for j in range(k):
            added = np.bincount(columns - columns[0] + j, here * values[:, j])
            near[: len(added)] += added
        first[low : low + CELLS] = columns[::order]
    cell, run = _neighbours(first)
    along = aligned(3, order, len(z))
    for low in range(0, len(z), CELLS):
        rows = cell[low : low + CELLS]
        part = Nodes(torch.from_numpy(z[rows]), torch.from_numpy(w.reshape(z.shape)[rows]), nodes.base)
        for row, values in zip(along, (part.w, part.log_p, part.side), strict=True):
            row[:, low : low + CELLS] = values.numpy().T
    along[2] -= np.vdot(along[0], along[2]) / weight
    mass, factors = aligned(TAPS, size + 2 * WIDTH), aligned(size + WIDTH, TAPS)
    mass[:k, WIDTH:-WIDTH] = chart.mass.band.numpy()
    root, _ = scipy.linalg.lapack.dpbtrf(mass[:k, WIDTH:-WIDTH], lower=1)
    for r in range(1, k):
        factors[:size, r] = root[r] / root[0]
    factors[:size, 0] = pivots[:size] = root[0] ** -2
    columns, tables = _tables(chart, z, cell)
    cells, held = np.stack([first[cell], columns]), ~chart.free[[0, -1]].numpy()
    return Mesh(k, run, cells, tables, along.reshape(3, -1), mass, factors, mean, weight, pivots, held)


def _neighbours(first: np.ndarray) -> tuple[np.ndarray, int]:
    """An order of cells with these first basis functions [C] in which those of the first cells follow each other, and
    how many do."""
    known, cell = np.unique(first, return_index=True)
    run = int(np.argmin(np.append(np.diff(known) == 1, False))) + 1
    return np.concatenate([cell[:run], np.delete(np.arange(len(first)), cell[:run])]), run


def _tables(chart: Chart, z: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column of each cell [C], and tables [2, Q, TAPS, columns], for nodes z [C, Q] in cells of an order [C].

    A program treats some cells at once. If they all have the same functions, as most cells of uniform breakpoints have,
    the next ones with these functions share their columns.
    """
    cells, order = z.shape
    per, k = at_once(order), chart.space.degree + 1
    columns, blocks, end = np.arange(cells), [], 0
    shared, model, known = -1, None, CELLS // per * per
    for low in range(0, cells, per):
        if low % known == 0:
            basis = chart.basis(torch.from_numpy(z[cell[low : low + known]].ravel()))[1:]
            values = np.stack([part.numpy().reshape(-1, order, k) for part in basis])
        block = values[:, low % known : low % known + per]
        one = block[:, :1] if model is None else model
        scale = np.abs(one).max(axis=(1, 2, 3), keepdims=True)
        alike = cells > 2 * per and bool((np.abs(block - one) <= SAME * scale).all())
        if alike and model is None:
            shared, model = end, one
        elif alike:
            columns[low : low + per] = shared + np.arange(block.shape[1])
            continue
        columns[low : low + per] = end + np.arange(block.shape[1])
        blocks.append(block)
        end += block.shape[1]
    blocks.append(np.repeat(blocks[-1][:, -1:], WIDTH, axis=1))
    tables = aligned(2, order, TAPS, whole(end + WIDTH))
    tables[:, :, :k, : end + WIDTH] = np.concatenate(blocks, axis=1).transpose(0, 2, 3, 1)
    return columns, tables


@cache
def _tableau(kind: type[Rodas4]) -> tuple[np.ndarray, np.ndarray]:
    """Tableau [2, 6, 6] and weights of the dissipation [6] of a method."""
    rows = [[[*row, *[0.0] * (6 - len(row))] for row in rows] for rows in (kind.a, kind.c)]
    return np.array(rows), np.array(kind.quadrature())


def _ends(chart: Chart, c: torch.Tensor) -> list[float]:
    """Positions of an increasing map at the outer nodes (length)."""
    first, values, _ = chart.basis(chart.nodes.z[[0, -1]])
    return [float(torch.dot(values[end], c[first[end] : first[end] + values.shape[1]])) for end in (0, -1)]


class Leg(NamedTuple):
    """What one call of the kernel did.

    Attributes:
        code: how it ended; fault, trial: why its last failed attempt failed, and the length of that attempt (time).
        c: coordinates [M]. terms: values of the energy terms [k], without the offsets of the plan (energy).
        energy, slope: their sum and the smallest slope. gradient: their derivatives by c [M] (energy/length).
        times: t, dt, next_dt, error and dissipated. steps, rejected, evaluations, target, folds: as in
            `Clock`.
    """

    code: int
    fault: int
    trial: float
    c: np.ndarray
    terms: np.ndarray
    energy: float
    slope: float
    gradient: np.ndarray
    times: list[float]
    steps: int
    rejected: int
    evaluations: int
    target: int
    folds: int


class OneFlow(NamedTuple):
    """Arrays of a flow for `wgf.engine.kernel.advance`: coordinates, none saved, times, counts, report and work."""

    c: np.ndarray
    saved: np.ndarray
    times: np.ndarray
    counts: np.ndarray
    report: np.ndarray
    work: Work


class Plan:
    """A flow as the kernel sees it.

    Args:
        problem: the energies.
        chart: coordinates, with nodes in cells of `order` nodes.
        order: nodes per cell.
        start: gives the coordinates at t = 0 [M] (length).
        integrator: the method.
        slope: the smallest one at t = 0.
        folds: how many folds in a row end a call of the kernel.

    Raises:
        Untraceable: see `wgf.engine.energies.energy_of`.

    Attributes:
        work: nodes that an attempt visits.
        range: where potentials are tabulated.
        offsets: constants of the energy terms [k] that the kernel does not know (energy).
    """

    def __init__(
        self,
        problem: Problem,
        chart: Chart,
        order: int,
        start: Callable[[], torch.Tensor],
        integrator: Rodas4,
        slope: float = 1.0,
        folds: int = EVER,
    ) -> None:
        if problem.potential.kinks is not None:
            raise Untraceable(f"the kinks of V = {problem.potential}")
        self.slope, self._folds = slope, folds
        self.chart, self.terms, self.attractive, self._start = chart, problem.terms, problem.collapses, start
        self.mesh, self._least_size, i = mesh_of(chart, order), problem.least_size, integrator
        self._sizes = problem.law.std, slope, np.finfo(float).eps * problem.rounding
        self.method = Method(*_tableau(type(i)), i.gamma, i.rtol, i.atol, int(i.max_steps))
        self.energy, self.parameters = shared_energy(self.terms, lambda: self.range)
        n = self.mesh.nodes.shape[1]
        self.work = 6 * (n * n if self.energy.interacts else n)

    @classmethod
    def of(cls, projection: Projection, integrator: Rodas4) -> Plan:
        """Plan of a projected flow on a chart."""
        assert projection.landscape is not None
        assert projection.quadrature.order is not None
        folds = FOLDS - 1 if falls_back(projection, integrator) else EVER  # the next one is the fallback's
        return cls(
            projection.problem,
            projection.landscape.chart,
            projection.quadrature.order,
            partial(_start, projection),
            integrator,
            projection.first_slope,
            folds,
        )

    @cached_property
    def range(self) -> Table:
        return _wider(*_ends(self.chart, self._start()))

    @cached_property
    def offsets(self) -> np.ndarray:
        return np.array([term.offset(self.chart.nodes) for term in self.terms])

    def _flow(self) -> OneFlow:
        c, saved, counts = np.zeros((1, len(self.mesh.mean))), np.zeros((0, 0, 0)), np.zeros((1, 7), dtype=np.int64)
        report = np.zeros((1, REPORT + len(self.terms)))
        return OneFlow(c, saved, np.zeros((1, 10)), counts, report, workspace(self.mesh, self.energy))

    def coordinates(self, theta: torch.Tensor) -> np.ndarray:
        """Coordinates c [M] of the parameters theta [p], see `Chart.coordinates`."""
        c = self.chart.space.coefficients(theta).numpy().copy()
        for end, inner in self.chart.pairs:
            c[end] -= c[inner]
        return c

    def moved(self, theta: torch.Tensor, change: np.ndarray) -> torch.Tensor:
        """theta [p] after a change of the coordinates [M], which this overwrites; see `Chart.lift`."""
        for end, inner in self.chart.pairs:
            change[end] += change[inner]
        if type(space := self.chart.space) is not SplineSpace:
            change = space.lift(torch.from_numpy(change)).numpy()
        return torch.from_numpy(theta.numpy() + change)

    def advance(
        self, c: np.ndarray, goals: list[float], path: np.ndarray, clock: Clock, most: int, single: bool, least: float
    ) -> Leg:
        """Steps from c [M], not shorter than `least`, to the last goal or an end; see `wgf.engine.kernel.advance`."""
        size, stops = len(c), np.array(goals)
        while True:
            idle = _idle(sizes(self.mesh, self.energy), list)
            try:
                flow = idle.pop()
            except IndexError:
                flow = self._flow()
            at, saved, times, counts, report, work = flow
            at[0, :size], report[0] = c, 0.0
            times[0, :5] = clock.t, clock.dt, clock.next_dt, clock.error, clock.dissipated
            times[0, 5:] = max(clock.size, self._least_size), *self._sizes, least
            taken = clock.steps, clock.rejected, clock.evaluations, clock.target
            counts[0] = *taken, self.attractive, clock.folds, self._folds
            parts = self.mesh, self.energy, self.method, self.parameters
            call = _advance[self.energy.pair is None]
            call(at, stops, saved, path, *parts, times, counts, report, work, most, single)
            left = len(self.energy.local.tables) and report[0, 3] == NOT_FINITE
            if not left or self.range.high - self.range.low > WIDEST:
                break
            self.range = _wider(*self.range)
            log.info("particles leave the table of the potential: it now reaches from %g to %g", *self.range)
            self.energy, self.parameters = shared_energy(self.terms, lambda: self.range)
        code, energy, slope, fault, trial = report[0, :REPORT].tolist()
        steps, rejected, evaluations, target, _, folds, _ = counts[0].tolist()
        gradient = work.vectors[GRADIENT, :size].copy()
        done = at[0, :size].copy(), report[0, REPORT:].copy(), energy, slope, gradient, times[0, :6].tolist()
        if size <= LARGE:
            idle.append(flow)  # last: a flow of another thread may take it at once
        return Leg(int(code), int(fault), trial, *done, steps, rejected, evaluations, target, folds)


def _start(projection: Projection) -> torch.Tensor:
    """Coordinates at t = 0 [M]."""
    assert projection.landscape is not None
    return projection.landscape.chart.coordinates(projection.initial)


def _wider(low: float, high: float) -> Table:
    """A range twice as wide around another."""
    return Table(1.5 * low - 0.5 * high, 1.5 * high - 0.5 * low)
