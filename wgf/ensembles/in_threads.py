"""An ensemble in machine code, on all cores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from wgf.engine.arrays import Energy, at_once, workspace
from wgf.engine.kernel import EVER, PAUSED, REPORT, advance
from wgf.engine.lanes import lanes_of
from wgf.engine.many import advance_many
from wgf.ensembles.job import Accepted, Ends, Found, Job, Path, path_of
from wgf.errors import WgfError
from wgf.gradients import growth
from wgf.process import cores

T = TypeVar("T")

CHUNK = 512  # most flows that one thread computes without looking at signals
LEG = 32  # most steps of a recorded flow in one call


def in_parts(part: Callable[[slice], T], n: int, threads: int | None) -> list[T]:
    """What a function returns for each part of n flows, computed by `threads` threads; on all cores if None."""
    workers = threads or cores()
    size = min(CHUNK, -(-n // workers))
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(part, (slice(low, min(low + size, n)) for low in range(0, n, size))))


def compute(job: Job, threads: int | None = None) -> Ends:
    """The flows of a job, by `threads` threads; on all cores of this process if None."""
    mesh, energy = job.mesh, job.energy
    n, width = job.c.shape
    c = job.c.copy()
    saved = np.full((n, len(job.goals), width), np.nan)
    times = np.ones((n, 10))
    times[:, :3], times[:, 4], times[:, 5], times[:, 6] = (0.0, 0.0, job.first_dt), 0.0, job.least_size, job.std
    times[:, 8], times[:, 9] = job.rounding, job.least_dt
    counts = np.zeros((n, 7), dtype=np.int64)
    counts[:, 2], counts[:, 4], counts[:, 6] = 1, job.collapses, EVER
    report = np.zeros((n, REPORT + energy.size))
    method = job.method._replace(weights=np.zeros(6))  # an ensemble has no dissipation
    beside = mesh.cells.shape[1] <= at_once(mesh.tables.shape[1]) and not energy.interacts and energy.quadratic == 0.0
    steps: list[Accepted] = []

    def part(rows: slice) -> None:
        ends = c[rows], job.goals, saved[rows]
        parts = mesh, energy, method, job.parameters[rows], times[rows], counts[rows], report[rows]
        if job.records:
            work, left, states = workspace(mesh, energy), np.arange(n)[rows], (c, saved, times, counts, report)
            while len(left):
                leg, taken, since = np.empty((len(left), LEG, width + 1)), counts[left, 0], times[left, 0]
                at, kept, *clocks = news = [array[left] for array in states]
                fixed = mesh, energy, method, job.parameters[left]
                advance(at, job.goals, kept, leg, *fixed, *clocks, work, LEG, False)
                for array, new in zip(states, news, strict=True):
                    array[left] = new
                filled = np.arange(LEG) < (counts[left, 0] - taken)[:, None]
                time = since[:, None] + np.where(filled, leg[:, :, -1], 0.0).cumsum(1)
                (flow, number), row = filled.nonzero(), torch.from_numpy(leg[filled])
                flows, numbers, times_after = map(torch.from_numpy, (left[flow], taken[flow] + number, time[filled]))
                steps.append(Accepted(flows, numbers, times_after, row[:, -1], row[:, : mesh.size]))
                left = left[report[left, 0] == PAUSED]
        elif beside:
            advance_many(*ends, *parts, lanes_of(mesh, energy, len(ends[0])))
        else:
            advance(*ends, saved[:0], *parts, workspace(mesh, energy), 2**40, False)

    in_parts(part, n, threads)
    path = path_of(steps, job.c[:, : mesh.size], torch.from_numpy(counts[:, 0])) if job.records else None
    return Ends(saved, report[:, 0], report[:, 3], report[:, 2], counts[:, 0], counts[:, 1], times[:, 0], path)


def pull_back(job: Job, back: Energy, path: Path, bars: Tensor, same: float, threads: int | None = None) -> Found:
    """The way back through the flows of a job.

    Args:
        back: programs of the way back, whose numbers are the parameters of the flows.
        path: the flows.
        bars: derivatives of a loss in the coordinates at the goals [n, s, M]; 0 where a flow did not arrive.
        same: largest difference between a repeated step and the path, relative to the coordinates.

    Raises:
        WgfError: a step, taken again, ends elsewhere.
    """
    from wgf.engine.backward.sweep import Paths, pulled  # who needs no gradients does not compile its code

    goals = torch.stack([path.first[:-1] + path.steps(t) for t in job.goals.tolist()], 1)

    def part(flows: slice) -> Found:
        first = path.first[flows.start : flows.stop + 1]
        rows, begin = slice(*first[[0, -1]].tolist()), first - first[0]
        loss = torch.zeros_like(path.coordinates[rows])
        for row, bar in zip((goals[flows] - first[0]).unbind(1), bars[flows].unbind(1), strict=True):
            loss[row] += bar
        paths = Paths(begin.numpy(), path.coordinates[rows].numpy(), path.lengths[rows].numpy())
        given = job.parameters[flows]
        found = pulled(job.mesh, (job.energy, back), job.method, paths, loss.numpy(), (given, given), same)
        if not found.repeats.all():
            raise WgfError("these flows have no gradients: their steps, taken again, end elsewhere")
        largest = torch.from_numpy(np.maximum.reduceat(found.sizes[2], paths.first[:-1]))
        before, after = map(torch.from_numpy, found.sizes[:2])
        factor = growth.factor(before[:-1], after[1:], largest.repeat_interleave(begin.diff())[:-1])
        return Found(loss[begin[:-1]], torch.from_numpy(found.numbers), factor)

    starts, parameters, factors = zip(*in_parts(part, len(job.c), threads), strict=True)
    return Found(torch.cat(starts), torch.cat(parameters), torch.stack(factors).amax())
