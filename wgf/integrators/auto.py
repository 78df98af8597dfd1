"""The default integrator: chooses a method for the map."""

from __future__ import annotations

from typing import NoReturn

from wgf.integrators.base import Field, Integrator, State
from wgf.integrators.controller import Adaptive
from wgf.integrators.explicit import Dopri5
from wgf.integrators.gauss_newton import GaussNewton
from wgf.integrators.implicit import Rodas4
from wgf.integrators.limex import Limex
from wgf.projection.field import Projection
from wgf.settings.ranges import Count, NonNegativeOrNone, Positive, PositiveOrNone, checked


class Auto(Integrator):
    """Choice of integrator: `Rodas4` for a map with a chart, `Limex` for moving knots, `Dopri5` for parameters that are
    updated in turn, `GaussNewton` for all others. All are adaptive.

    Args:
        rtol, atol: tolerances as in `Adaptive`; null means the default of the chosen method.
        dt, dt_min, max_steps: as in `Adaptive`.
    """

    adaptive = implicit = True

    @checked
    def __init__(
        self,
        rtol: PositiveOrNone = None,
        atol: NonNegativeOrNone = None,
        dt: PositiveOrNone = None,
        dt_min: Positive = 1e-12,
        max_steps: Count = 1_000_000,
    ) -> None:
        self.rtol, self.atol, self.dt, self.dt_min, self.max_steps = rtol, atol, dt, dt_min, max_steps

    def on(self, field: Projection) -> Adaptive:
        method: type[Adaptive]
        if field.map.parts:
            method = Dopri5
        else:
            method = Rodas4 if field.by_chart else GaussNewton if field.knots is None else Limex
        given = {name: value for name in ("rtol", "atol") if (value := getattr(self, name)) is not None}
        return method(**given, dt=self.dt, dt_min=self.dt_min, max_steps=self.max_steps)

    def step(self, field: Field, dt: float, state: State) -> NoReturn:
        raise TypeError("integrator=auto only chooses a method: call `on(field)` and step with its result")
