"""An ensemble in machine code, on all cores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from wgf.engine.arrays import at_once, workspace
from wgf.engine.kernel import EVER, PAUSED, REPORT, advance
from wgf.engine.lanes import lanes_of
from wgf.engine.many import advance_many
from wgf.ensembles.job import Accepted, Ends, Job, path_of
from wgf.process import cores

CHUNK = 512  # most flows that one thread computes without looking at signals
LEG = 32  # most steps of a recorded flow in one call


def compute(job: Job, threads: int | None = None) -> Ends:
    """The flows of a job, by `threads` threads; on all cores of this process if None."""
    mesh, energy = job.mesh, job.energy
    n, width = job.c.shape
    c = job.c.copy()
    saved = np.full((n, len(job.goals), width), np.nan)
    times = np.ones((n, 8))
    times[:, :3], times[:, 4], times[:, 5], times[:, 7] = (0.0, 0.0, job.first_dt), 0.0, job.std, job.least_dt
    counts = np.zeros((n, 7), dtype=np.int64)
    counts[:, 2], counts[:, 4], counts[:, 6] = 1, job.collapses, EVER
    report = np.zeros((n, REPORT + energy.size))
    method = job.method._replace(weights=np.zeros(6))  # an ensemble has no dissipation
    beside = mesh.cells.shape[1] <= at_once(mesh.tables.shape[1]) and not energy.interacts and energy.quadratic == 0.0
    workers = threads or cores()
    size = min(CHUNK, -(-n // workers))
    steps: list[Accepted] = []

    def part(start: int) -> None:
        rows = slice(start, start + size)
        ends = c[rows], job.goals, saved[rows]
        parts = mesh, energy, method, job.parameters[rows], times[rows], counts[rows], report[rows]
        if job.records:
            work, left, states = workspace(mesh, energy), np.arange(n)[rows], (c, saved, times, counts, report)
            while len(left):
                leg, taken = np.zeros((len(left), LEG, width + 1)), counts[left, 0]
                at, kept, *clocks = news = [array[left] for array in states]
                fixed = mesh, energy, method, job.parameters[left]
                advance(at, job.goals, kept, leg, *fixed, *clocks, work, LEG, False)
                for array, new in zip(states, news, strict=True):
                    array[left] = new
                flow, number = leg[:, :, -1].nonzero()
                row = torch.from_numpy(leg[flow, number])
                flows, numbers = torch.from_numpy(left[flow]), torch.from_numpy(taken[flow] + number)
                steps.append(Accepted(flows, numbers, row[:, -1], row[:, : mesh.size].T))
                left = left[report[left, 0] == PAUSED]
        elif beside:
            advance_many(*ends, *parts, lanes_of(mesh, energy, len(ends[0])))
        else:
            advance(*ends, saved[:0], *parts, workspace(mesh, energy), 2**40, False)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(part, range(0, n, size)))
    path = path_of(steps, job.c[:, : mesh.size]) if job.records else None
    return Ends(saved, report[:, 0], report[:, 3], report[:, 2], counts[:, 0], counts[:, 1], times[:, 0], path)
