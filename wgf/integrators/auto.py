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
from wgf.settings.ranges import Count, NonNegativeOrNone, PositiveOrNone, checked

IN_TIME = 0.05  # atol relative to the tolerance of adaptive breakpoints
NO_RTOL = 1e-12  # the tolerance of adaptive breakpoints has the unit of the initial law


class Auto(Integrator):
    """Choice of integrator: `Rodas4` for a map with a chart, `Limex` for moving knots, `Dopri5` for parameters that are
    updated in turn, `GaussNewton` for all others. All are adaptive.

    Args:
        rtol, atol: tolerances as in `Adaptive`; null means the default of the chosen method, or with adaptive
            breakpoints an atol of IN_TIME network.tol and no rtol.
        dt, dt_min, max_steps: as in `Adaptive`.
    """

    adaptive = implicit = True

    @checked
    def __init__(
        self,
        rtol: PositiveOrNone = None,
        atol: NonNegativeOrNone = None,
        dt: PositiveOrNone = None,
        dt_min: PositiveOrNone = None,
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
        adaptation = field.map.adaptation
        if not given and adaptation is not None and adaptation.tol is not None:
            given = {"rtol": NO_RTOL, "atol": IN_TIME * adaptation.tol}
        return method(**given, dt=self.dt, dt_min=self.dt_min, max_steps=self.max_steps)

    def step(self, field: Field, dt: float, state: State) -> NoReturn:
        raise TypeError("integrator=auto only chooses a method: call `on(field)` and step with its result")
