"""Extrapolated linearly implicit Euler steps for moving knots: order 4, stable for every step.

A substep from y_j at t_j solves (G + R + tau H) d = -tau dF(t_j, y_j) with H >= 0 (see `wgf.projection.knots`). The
results of 1, 2, 3 and 4 substeps have an expansion in the length of a substep for any H, and extrapolation removes its
first three terms.

Source: P. Deuflhard, Recent progress in extrapolation methods for ODEs, SIAM Rev. 27 (1985), 505-535; Hairer and
Wanner, Solving ODEs II, section IV.9.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.integrators.base import Field, State, Step
from wgf.integrators.controller import Adaptive
from wgf.integrators.status import Status
from wgf.networks.knot_space import Broken
from wgf.projection.field import Projection
from wgf.projection.knots import KnotPoint

SHRINKS = 0.5  # a step that leaves less of the width of a cell is too long
FOLDS = "the step folds the map or lets two knots meet"
SINGULAR = "the matrix of the step is singular"
TOO_LONG = 1.5  # relative error given to such a step


class Limex(Adaptive):
    """Linearly implicit Euler method, extrapolated to order 4; settings of `Adaptive`."""

    implicit = True
    order = 4

    def on(self, field: Projection) -> Limex:
        if field.knots is None:
            raise ConfigError(
                "integrator=limex needs moving knots: use network=two_sided_relu with network.train=all, and "
                "solver=auto or moving_knots; or use integrator=auto"
            )
        return self

    def step(self, field: Field, dt: float, state: State) -> Step:
        knots, here = field.knots, state.evaluation.knots
        if knots is None or here is None:
            raise TypeError("this state has no moving knots")
        table: list[Tensor] = []  # rows of the table of Aitken and Neville; the last entry is the energy dissipated
        evaluations = 0
        for n in range(1, self.order + 1):
            row = [self._substeps(field, here, dt, n)]
            evaluations += n - 1
            if not knots.is_increasing(here.y + row[0][:-1]):
                return _failed(state, row[0], evaluations)
            for k, below in enumerate(table, start=1):
                row.append(row[-1] + (row[-1] - below) / (n / (n - k) - 1))
            table = row
        moved, defect = table[-1][:-1], (table[-1] - table[-2])[:-1]
        y = here.y + moved
        if not knots.is_increasing(y):
            return _failed(state, y, evaluations)
        theta = knots.space.lift(y)
        new = State(theta, field.stage(1.0)(theta))
        error = self.of_length(here.length(defect), new.evaluation, field)
        shrinks = (Broken.of(y).h < SHRINKS * here.map.h).any()
        error = torch.where(shrinks, error.clamp(min=TOO_LONG), error)
        return Step(new, error, dissipated=table[-1][-1], evaluations=evaluations + 1)

    @staticmethod
    def _substeps(field: Field, here: KnotPoint, dt: float, n: int) -> Tensor:
        """Displacement after n substeps of length dt / n, and the energy dissipated [N + 1]; after the first substep
        that folds the map, if one does."""
        point, moved, lost = here, torch.zeros_like(here.y), here.y.new_zeros(1)
        for j in range(n):
            if j > 0:
                knots = field.stage(j / n).knots
                assert knots is not None
                if not knots.is_increasing(here.y + moved):
                    break
                point = knots.at(here.y + moved)
            d = point.displacement(dt / n)
            moved, lost = moved + d, lost - torch.dot(point.gradient, d)
        return torch.cat([moved, lost])


def _failed(state: State, moved: Tensor, evaluations: int) -> Step:
    """A step to a map that does not increase, or that is not finite because a matrix is singular."""
    if bool(moved.isfinite().all()):
        return Step(state, failure=FOLDS, evaluations=evaluations, fault=Status.folded)
    return Step(state, failure=SINGULAR, evaluations=evaluations)
