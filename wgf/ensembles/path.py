"""The accepted steps of many flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


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
