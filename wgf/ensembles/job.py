"""What computes an ensemble gets and gives: flows on one mesh as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wgf.networks.spline_space import basis as splines
from wgf.projection.chart import with_tails

if TYPE_CHECKING:
    from wgf.engine.arrays import Energy, Mesh, Method

BLOCK = 10_000_000  # positions computed at once


class Job(NamedTuple):
    """n flows.

    Attributes:
        mesh, energy, method: what they share.
        c: first coordinates [n, M + K], see `wgf.engine.arrays` (length).
        parameters: of the energy [n, p].
        std: standard deviations of the initial laws [n] (length).
        least_size: see `Problem.least_size` [n] (energy). rounding: share of the energy's size that it may change [n].
        collapses: whether the laws can collapse [n].
        goals: times of the stops [s]. first_dt, least_dt: the first step and the shortest one (time).
        records: whether to keep the path of each flow.
    """

    mesh: Mesh
    energy: Energy
    method: Method
    c: np.ndarray
    parameters: np.ndarray
    std: np.ndarray
    least_size: np.ndarray
    rounding: np.ndarray
    collapses: np.ndarray
    goals: np.ndarray
    first_dt: float
    least_dt: float
    records: bool = False


class Path(NamedTuple):
    """The states that n flows passed, one flow after the other.

    Attributes:
        first: flow k has the rows from first[k] to first[k + 1] [n + 1].
        times: of each row [r] (time).
        lengths: of the steps that begin there [r] (time), 0 at the end of a flow.
        coordinates: of the maps [r, M] (length).
    """

    first: Tensor
    times: Tensor
    lengths: Tensor
    coordinates: Tensor

    def steps(self, t: float) -> Tensor:
        """How many steps of each flow lie before a time at which one of them ends [n]."""
        before = (self.times + 0.5 * self.lengths < t) & (self.lengths > 0)
        counts = torch.cat([self.first[:1], before.cumsum(0)])[self.first]
        return counts.diff()


class Ends(NamedTuple):
    """How n flows ended.

    Attributes:
        saved: coordinates at the goals met [n, s, M + K] (length); NaN after a failure.
        code, fault: how a flow ended, and why its last failed attempt failed [n], see `wgf.engine.kernel`.
        slope: smallest slope of the last map [n].
        steps, rejected: accepted and rejected attempts [n].
        reached: time reached [n] (time).
        path: the steps, where the job records them.
    """

    saved: np.ndarray
    code: np.ndarray
    fault: np.ndarray
    slope: np.ndarray
    steps: np.ndarray
    rejected: np.ndarray
    reached: np.ndarray
    path: Path | None = None


class Accepted(NamedTuple):
    """Some steps.

    Attributes:
        flow, number: of which flow, and how many steps it took before [b].
        time, length: at the end of the step, and of the step [b] (time).
        coordinates: after the step [b, M].
    """

    flow: Tensor
    number: Tensor
    time: Tensor
    length: Tensor
    coordinates: Tensor


def path_of(steps: Sequence[Accepted], first: np.ndarray, counts: Tensor) -> Path:
    """The path of flows with the coordinates `first` at t = 0 [n, M], and so many steps [n]."""
    start = torch.from_numpy(first).to(counts.device)
    begin = torch.cat([counts.new_zeros(1), (counts + 1).cumsum(0)])
    rows = int(begin[-1])
    times, lengths, coordinates = start.new_zeros(rows), start.new_zeros(rows), start.new_empty(rows, start.shape[1])
    coordinates[begin[:-1]] = start
    for flow, number, time, length, after in steps:
        at = begin[flow] + number
        lengths[at], times[at + 1], coordinates[at + 1] = length, time, after
    return Path(begin, times, lengths, coordinates)


class Found(NamedTuple):
    """What the way back through n flows finds.

    Attributes:
        start, parameters: derivatives of a loss in the first coordinates [n, M], and in the parameters of the energy
            [n, p].
        factor: by how much one step multiplies derivatives, at most; a scalar.
    """

    start: Tensor
    parameters: Tensor
    factor: Tensor


class SplineMesh(NamedTuple):
    """Breakpoints [m] (length), degree of the splines, and the ends (0, -1) at which they have tails."""

    points: Tensor
    degree: int
    tails: tuple[int, ...]

    def basis(self, z: Tensor) -> tuple[Tensor, ...]:
        """Index of the first basis function [q], values and slopes [q, k + 1] at z [q]."""
        return with_tails(splines(self.points, self.degree, z), self.tails, len(self.points) - 2)

    def at(self, c: np.ndarray, z: np.ndarray, rows: int) -> np.ndarray:
        """Maps (rows = 1) or slopes (rows = 2) with coordinates c [n, M] at points z [...]: [n, ...]."""
        parts = self.basis(torch.from_numpy(np.ascontiguousarray(z, dtype=np.float64).reshape(-1)))
        first, values = parts[0].numpy(), parts[rows].numpy()
        found = np.zeros((len(c), len(first)))
        for j in range(values.shape[1]):
            found += c[:, first + j] * values[:, j]
        return found.reshape(len(c), *np.shape(z))
