"""Pace of a potential that moves: steps in time that do not pass over what V does for a short while.

A method with error control looks at V'(t, x) at a few times of each step. While V rests its steps are long, and a push
between two looks leaves no trace. So f = V'(t, x) is looked at beforehand, at equal times and at places where the law
is. There it changes within the time

    tau = h / sqrt(|f(t - h) - 2 f(t) + f(t + h)| / (max f - min f)),

about 1/omega for sin(omega t), and no step reaches further than tau beyond t. What lasts less than h is not seen.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from wgf.problem.base import Law
from wgf.problem.potential import Potential

TIMES = 2000  # intervals between the times at which V' is looked at
RANKS = 1e-9, 1e-3, 0.1, 0.5  # of places, from either side
WIDTHS = 1.5, 4.0, 12.0  # places on either side of the mean, in standard deviations of the law
NOISE = 64 * np.finfo(float).eps  # change of V' that is rounding, relative


class Pace:
    """How long a step in time may be in a potential that moves.

    Args:
        potential: V.
        law: the initial law, which says where.
        t_end: end time (time).
        worth: what changes of V move by less than this share of the law's width is ignored (no unit).
    """

    def __init__(self, potential: Potential, law: Law, t_end: float, worth: float) -> None:
        self._h = t_end / TIMES
        self._farthest = np.full(1, math.inf)  # where a step ends that begins in each interval, at most (time)
        if not potential.moves:
            return
        ranks = torch.tensor(RANKS, dtype=torch.float64)
        aside = law.mean + law.std * torch.tensor(WIDTHS, dtype=torch.float64)
        x = torch.cat([law.quantile(ranks), law.upper_quantile(ranks), aside, 2 * law.mean - aside])
        t = torch.linspace(0.0, t_end, TIMES + 1, dtype=torch.float64)
        f = potential.derivative_over(t, x).numpy()
        with np.errstate(all="ignore"):
            size, bend = np.ptp(f, axis=0), np.abs(np.diff(f, n=2, axis=0))
            bend[bend < NOISE * np.abs(f).max(0)] = 0.0
            tau = self._h / np.sqrt(bend / size)
            tau[~(size * tau > worth * law.std)] = math.inf  # not where V' is no number, either
        ends = t.numpy()[1:-1] + tau.min(1)
        self._farthest = np.append(np.minimum.accumulate(ends[::-1])[::-1], math.inf)

    def longest(self, t: float) -> float:
        """The longest step from the time t (time)."""
        k = min(math.ceil(t / self._h - 1e-9), len(self._farthest))  # number of the next look, from 1 on
        return float(self._farthest[max(k, 1) - 1]) - t

    @property
    def shortest(self) -> float:
        """The least of `longest` between the looks (time)."""
        looks = self._h * np.arange(1, len(self._farthest) + 1)
        return float((self._farthest - looks).min())
