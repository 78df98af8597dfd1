"""Pace of a potential that moves: steps in time that do not pass over what V does for a short while.

A method with error control looks at V'(t, x) at a few times of each step. While V rests its steps are long, and a push
between two looks leaves no trace. So f = V'(t, x) is looked at beforehand, at times h apart and at places where the law
is. At a time t it changes within the least tau = h/2, h, 2 h, ... for which

    4 |f(t - h) - 2 f(t) + f(t + h)| (tau/h)^2 >= max f - min f    between t - 16 tau and t + 16 tau,

about 1/omega for sin(omega t), and no step reaches further than tau beyond t. What lasts less than h, or acts between
two places only, is not seen. What is close beside a change that is much larger is seen with less care.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from wgf.problem.base import Law
from wgf.problem.potential import Potential

TIMES = 2000  # intervals between the times at which V' is looked at
INNER, OUTER = 64, (1e-9, 1e-6, 1e-3)  # places: ranks of equal mass, and others from either side
WIDTHS = 4.0, 12.0  # places on either side of the mean, in standard deviations of the law
AROUND = 16  # times tau on either side of a time: at an extremum a change is a parabola on every smaller scale
NOISE = 64 * np.finfo(float).eps  # change of V' that is rounding, relative


@dataclass(frozen=True)
class Changes:
    """Changes of V' of a moving potential, at equal times and at some places.

    Attributes:
        h: between two times (time).
        lasts: how long a change lasts at the times h, 2 h, ... [m, n], infinite without one (time).
        moves: how far it moves a particle [m, n] (length).
    """

    h: float
    lasts: np.ndarray
    moves: np.ndarray

    @classmethod
    def of(cls, potential: Potential, law: Law, t_end: float) -> Changes:
        """Those between t = 0 and the end."""
        h = t_end / TIMES
        if not potential.moves:
            return cls(h, np.full((0, 1), np.inf), np.zeros((0, 1)))
        inner = (torch.arange(INNER, dtype=torch.float64) + 0.5) / INNER
        outer = torch.tensor(OUTER, dtype=torch.float64)
        aside = law.mean + law.std * torch.tensor(WIDTHS, dtype=torch.float64)
        ends = law.quantile(outer), law.upper_quantile(outer), aside, 2 * law.mean - aside
        t = torch.linspace(0.0, t_end, TIMES + 1, dtype=torch.float64)
        f = potential.derivative_over(t, torch.cat([law.at_rank(inner, 1 - inner), *ends])).numpy()
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
        return cls(h, lasts, moves)


class Pace:
    """How long a step in time may be in a potential that moves: 0.2 from t = 0.1 on if V' jumps at 0.3.

    Args:
        changes: of V'.
        worth: what moves no particle by more is ignored (length).

    Attributes:
        shortest: the time that the quickest change lasts (time).
    """

    def __init__(self, changes: Changes, worth: float) -> None:
        self._h = changes.h
        lasts = np.where(changes.moves > worth, changes.lasts, np.inf).min(1)
        ends = self._h * np.arange(1, len(lasts) + 1) + lasts
        farthest = np.minimum.accumulate(ends[::-1])[::-1]
        self._ends = np.append(farthest, np.inf)  # of steps from before each look, at most
        self.shortest = float(lasts.min(initial=math.inf))

    def longest(self, t: float) -> float:
        """The longest step from the time t (time)."""
        look = min(max(math.ceil(t / self._h - 1e-9), 1), len(self._ends))  # the next one
        return float(self._ends[look - 1]) - t
