"""Pace of a potential that moves: steps in time that do not pass over what V does for a short while.

A method with error control looks at V'(t, x) at a few times of each step. While V rests its steps are long, and a push
between two looks leaves no trace. So f = V'(t, x) is looked at beforehand, at times h apart and at places where the law
is. At a time t it changes within the least tau = h/2, h, 2 h, ... for which

    4 |f(t - h) - 2 f(t) + f(t + h)| (tau/h)^2 >= max f - min f    between t - 16 tau and t + 16 tau,

about 1/omega for sin(omega t), and no step reaches further than tau beyond t. What acts between two places only is not
seen. What is close beside a change that is much larger is seen with less care. A formula shows by interval arithmetic
what lasts less than h (`pulses`), and has windows with an h of their own there; of any other V that is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wgf.problem.base import Law
from wgf.problem.changes.pulses import pulses
from wgf.problem.potential import Expressed, Potential

TIMES = 2000  # intervals between the times at which V' is looked at
INNER, OUTER = 64, (1e-9, 1e-6, 1e-3)  # places: ranks of equal mass, and others from either side
MOST, SHORT = 64, 0.05  # windows, and their lengths relative to those in which they lie, at most
EVERY = 16  # of these inner places, those at which pulses are sought
WIDTHS = 4.0, 12.0  # places on either side of the mean, in standard deviations of the law
AROUND = 16  # times tau on either side of a time: at an extremum a change is a parabola on every smaller scale
NOISE = 64 * np.finfo(float).eps  # change of V' that is rounding, relative


@dataclass(frozen=True)
class Changes:
    """Changes of V' of a moving potential in a window of time, at equal times and at some places.

    Attributes:
        begin: of the window (time).
        h: between two times (time).
        lasts: how long a change lasts at the times h, 2 h, ... [m, n], infinite without one (time).
        moves: how far it moves a particle [m, n] (length).
    """

    begin: float
    h: float
    lasts: np.ndarray
    moves: np.ndarray

    @classmethod
    def of(cls, potential: Potential, law: Law, t_end: float) -> list[Changes]:
        """Those between t = 0 and the end, and those in the windows of shorter ones."""
        if not potential.moves:
            return []
        ranks = (torch.arange(INNER, dtype=torch.float64) + 0.5) / INNER
        outer = torch.tensor(OUTER, dtype=torch.float64)
        aside = law.mean + law.std * torch.tensor(WIDTHS, dtype=torch.float64)
        ends = law.quantile(outer), law.upper_quantile(outer), aside, 2 * law.mean - aside
        places = torch.cat([law.at_rank(ranks, 1 - ranks), *ends])
        windows = [(0.0, t_end)]
        if isinstance(potential, Expressed):
            for begin, end in windows:  # one may hold still shorter ones: it is wide where a look hits a pulse
                times = np.linspace(begin, end, TIMES + 1)
                inner = pulses(potential.expression, places[:INNER:EVERY].numpy(), law.std, times)
                windows += [each for each in inner if each[1] - each[0] < SHORT * (end - begin)][: MOST - len(windows)]
        return [cls._in(potential, places, *window) for window in windows]

    @classmethod
    def _in(cls, potential: Potential, places: Tensor, begin: float, end: float) -> Changes:
        """Those in a window, at the places [n]."""
        h, t = (end - begin) / TIMES, torch.linspace(begin, end, TIMES + 1, dtype=torch.float64)
        f = potential.derivative_over(t, places).numpy()
        with np.errstate(all="ignore"):
            bend = np.abs(np.diff(f, n=2, axis=0))
            bend[~(bend > NOISE * np.abs(f[1:-1]))] = 0.0  # not where V' is no number, either
            lasts, moves = np.full_like(bend, np.inf), np.zeros_like(bend)
            most, least, number, radius = f, f, np.arange(TIMES + 1), 0
            while radius < AROUND * TIMES:
                step = max(radius, 1)
                sides = (number - step).clip(min=0), number, (number + step).clip(max=TIMES)
                most, least = most[sides, :].max(0), least[sides, :].min(0)
                radius += step
                tau, size = radius / AROUND, (most - least)[1:-1]
                new = (tau >= 0.5) & np.isinf(lasts) & (bend > 0) & (4 * bend * tau**2 >= size)
                lasts[new], moves[new] = h * tau, h * tau * size[new]
        return cls(begin, h, lasts, moves)


class Pace:
    """How long a step in time may be in a potential that moves: 0.2 from t = 0.1 on if V' jumps at 0.3.

    Args:
        changes: of V', in all windows.
        worth: what moves no particle by more is ignored (length).

    Attributes:
        shortest: the time that the quickest change lasts (time).
        stretches: the ends of stretches of time, the last infinite, and the longest step in each (time).
    """

    def __init__(self, changes: Sequence[Changes], worth: float) -> None:
        self._limits = [_Limit.of(each, worth) for each in changes]
        self.shortest = min((each.shortest for each in self._limits), default=math.inf)
        cuts = sorted({end for each in self._limits[1:] for end in (each.begin, each.end) if end > 0})
        self.stretches = [
            (
                end,
                min(
                    (each.shortest for each in self._limits if each.begin < end and begin < each.end), default=math.inf
                ),
            )
            for begin, end in pairwise([0.0, *cuts, math.inf])
        ]

    def longest(self, t: float) -> float:
        """The longest step from the time t (time)."""
        return min((each.longest(t) for each in self._limits), default=math.inf)

    def _least(self, begin: float, end: float) -> float:
        """The time that the quickest change in a stretch lasts (time)."""
        inside = [each.shortest for each in self._limits if each.begin < end and begin < each.end]
        return min(inside, default=math.inf)


class _Limit(NamedTuple):
    """What the changes in one window allow: the window, the time between two looks and that which the quickest change
    lasts, and how far steps from before each look may reach [n + 1] (time)."""

    begin: float
    end: float
    h: float
    shortest: float
    farthest: np.ndarray

    @classmethod
    def of(cls, changes: Changes, worth: float) -> _Limit:
        lasts = np.where(changes.moves > worth, changes.lasts, np.inf).min(1)
        ends = changes.begin + changes.h * np.arange(1, len(lasts) + 1) + lasts
        farthest = np.append(np.minimum.accumulate(ends[::-1])[::-1], np.inf)
        return cls(changes.begin, changes.begin + changes.h * TIMES, changes.h, float(lasts.min()), farthest)

    def longest(self, t: float) -> float:
        look = min(max(math.ceil((t - self.begin) / self.h - 1e-9), 1), len(self.farthest))  # the next one
        return float(self.farthest[look - 1]) - t
