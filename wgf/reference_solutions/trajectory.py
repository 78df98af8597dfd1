"""Solutions of ordinary differential equations, integrated as far as a caller asks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy  # its modules are loaded when they are first used

from wgf.problem.changes.pace import Pace


class Trajectory:
    """y(t) [n] of y' = f(t, y) from y(0), by a Runge-Kutta method of order 8 with dense output.

    The steps do not depend on the times at which y is evaluated.

    Args:
        rates: f.
        start: y(0) [n].
        tolerance: of a step, relative and absolute.
        pace: how long steps may be.
        end: time beyond which f is not evaluated unless a caller asks for it (time).
        evaluations: of f, at most.

    Attributes:
        since: begin of the last step, before which y is no longer known (time).
    """

    def __init__(
        self,
        rates: Callable[[float, np.ndarray], np.ndarray],
        start: np.ndarray,
        tolerance: float,
        pace: Pace,
        end: float,
        evaluations: int,
    ) -> None:
        self.since, self._pace, self._left, self._count = 0.0, pace, evaluations, len(start)

        def counted(t: float, y: np.ndarray) -> np.ndarray:
            self._left -= 1
            return rates(t, y) if self._left > 0 else np.full_like(y, np.nan)

        with np.errstate(all="ignore"):
            self._solver = scipy.integrate.DOP853(counted, 0.0, start, end, rtol=tolerance, atol=tolerance)
        self._within: scipy.integrate.DenseOutput | None = None

    def __call__(self, t: float) -> np.ndarray:
        """y at a time t >= `since`; NaN where the method fails."""
        solver = self._solver
        if t > solver.t_bound and solver.status != "failed":
            solver.t_bound, solver.status = t, "running"
        with np.errstate(all="ignore"):
            while solver.t < t and solver.status == "running":
                solver.max_step = self._pace.longest(solver.t)
                solver.step()
                self._within = None
            if solver.t < t:
                return np.full(self._count, math.nan)
            if solver.t_old is None:
                return solver.y
            self.since = solver.t_old
            self._within = self._within or solver.dense_output()
            return self._within(t)
