"""What computes an ensemble gets and gives: flows on one mesh as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from wgf.engine.arrays import Energy, Mesh, Method
    from wgf.ensembles.path import Path


class Job(NamedTuple):
    """n flows.

    Attributes:
        mesh, energy, method: what they share.
        c: first coordinates [n, M + K], see `wgf.engine.arrays` (length).
        parameters: of the energy [n, p].
        std: standard deviations of the initial laws [n] (length).
        collapses: whether the laws can collapse [n].
        goals: times of the stops [s]. first_dt: the first step (time).
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
    records: bool = False


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
