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


class Job(NamedTuple):
    """n flows.

    Attributes:
        mesh, energy, method: what they share.
        c: first coordinates [n, M + K], see `wgf.engine.arrays` (length).
        parameters: of the energy [n, p].
        std: standard deviations of the initial laws [n] (length).
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
    collapses: np.ndarray
    goals: np.ndarray
    first_dt: float
    least_dt: float
    records: bool = False


class Path(NamedTuple):
    """The steps of n flows.

    Attributes:
        lengths: of each step [k, n] (time), 0 after the last one of a flow.
        coordinates: before each step and after the last one [k + 1, M, n] (length).
    """

    lengths: Tensor
    coordinates: Tensor

    def before(self, t: float) -> Tensor:
        """How many steps of each flow lie before a time at which one of them ends [n]."""
        middles = self.lengths.cumsum(0) - 0.5 * self.lengths
        return ((middles < t) & (self.lengths > 0)).sum(0)


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
        length: [b] (time).
        coordinates: after the step [M, b].
    """

    flow: Tensor
    number: Tensor
    length: Tensor
    coordinates: Tensor


def path_of(steps: Sequence[Accepted], first: np.ndarray) -> Path:
    """The path of flows with the coordinates `first` at t = 0 [n, M]."""
    start = torch.from_numpy(first.T).to(steps[0].length.device)
    most = 1 + max((int(each.number.max()) for each in steps if len(each.number)), default=-1)
    lengths, coordinates = start.new_zeros(most, start.shape[1]), start.new_zeros(most + 1, *start.shape)
    coordinates[0] = start
    for flow, number, length, after in steps:
        lengths[number, flow], coordinates[number + 1, :, flow] = length, after.T
    return Path(lengths, coordinates)


class SplineMesh(NamedTuple):
    """Breakpoints [m] (length), degree of the splines, and the ends (0, -1) at which they have tails."""

    points: Tensor
    degree: int
    tails: tuple[int, ...]

    def basis(self, z: Tensor) -> tuple[Tensor, ...]:
        """Index of the first basis function [q], values and slopes [q, k + 1] at z [q]."""
        return with_tails(splines(self.points, self.degree, z), self.tails, len(self.points) - 2)
