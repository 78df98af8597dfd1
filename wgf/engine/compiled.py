"""The compiled time loop behind the interface of an integrator, and the choice between it and torch."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.integrators import time_loop
from wgf.integrators.base import Integrator, State
from wgf.integrators.implicit import Rodas4
from wgf.integrators.status import Status
from wgf.integrators.time_loop import COLLAPSE, Clock, End, LoopCallback
from wgf.problem.interaction import Interaction
from wgf.projection.field import Evaluation, Projection
from wgf.projection.transfer import contact_of

if TYPE_CHECKING:
    from wgf.engine.arrays import Energy
    from wgf.engine.backward.sweep import Swept
    from wgf.engine.plan import Leg, Plan
    from wgf.projection.chart import Chart

log = logging.getLogger("wgf")

ENGINES = ("auto", "torch", "compiled", "repeated")
LARGE = 500_000  # nodes, and pairs of nodes / PAIRS_PER_NODE, from which compiled steps repay loading them
PAIRS_PER_NODE = 8
NODES_PER_CALL = 20_000_000  # nodes, over all attempts of one call: Ctrl-C waits for about a second
AGREEMENT = 1e-8  # relative difference between the energies of both engines at the start
KINDS = 16  # energies of a chart for which both are known to agree
PATH = 1_000_000  # coordinates of a path that one call keeps
NO_PATH = np.empty((0, 0, 0))
LOUD = 1e50  # energies and forces below it are far from overflow, also as a velocity or a dissipation
COMPLETED, PAUSED, BLOW_UP, MAX_STEPS, _, REFUSED, FOLDS = range(7)  # ends of the kernel
CAUSES = {  # what the kernel says of a failed attempt
    1: Status.folded.value,
    2: Status.not_finite.value,
    3: Status.solver_failed.value,
    4: Status.energy_rise.value,
    5: "the step is too long for the concave part of the energy",
    6: "its error exceeds the tolerances",
}

_agreed: WeakKeyDictionary[Chart, deque[Energy]] = WeakKeyDictionary()


class Reached(State):
    """A state of the compiled loop; torch evaluates the field there on demand.

    Args:
        theta: parameters [p].
        plan, leg: the plan, and the leg that ended here.
        field: evaluates the field at theta.
    """

    def __init__(self, theta: Tensor, plan: Plan, leg: Leg, field: Callable[[Tensor], Evaluation]) -> None:
        self.__dict__.update(theta=theta, _plan=plan, _leg=leg, _field=field)

    @cached_property
    def evaluation(self) -> Evaluation:  # type: ignore[bad-override]
        return self.__dict__["_field"](self.theta)

    @property
    def terms(self) -> Tensor:
        return torch.from_numpy(self.__dict__["_leg"].terms + self.__dict__["_plan"].offsets)


class Compiled(Rodas4):
    """`Rodas4` whose time loop runs in machine code. Steps, decisions and statuses are those of `time_loop.evolve`."""

    def __init__(self, method: Rodas4) -> None:
        self.__dict__.update(method.__dict__)
        self._planned: tuple[Projection, Plan] | None = None
        self._opened: tuple[Plan, Tensor, Leg] | None = None

    def plan(self, projection: Projection) -> Plan:
        """The flow as the kernel sees it, made once for a projection."""
        from wgf.engine.plan import Plan

        if self._planned is None or self._planned[0] is not projection:
            self._planned = projection, Plan.of(projection, self)
        return self._planned[1]

    def opening(self, plan: Plan, theta: Tensor) -> Leg:
        """The state at t = 0 with parameters theta [p], evaluated once."""
        if self._opened is None or self._opened[0] is not plan or self._opened[1] is not theta:
            leg = plan.advance(plan.coordinates(theta), [1.0], NO_PATH, Clock(next_dt=1.0), 0, False, 0.0)
            self._opened = plan, theta, leg
        return self._opened[2]

    def run(
        self, projection: Projection, theta: Tensor, stops: list[float], callback: LoopCallback, clock: Clock | None
    ) -> End:
        """As `time_loop.run`. Instead of each step, a callback with a method `take_path` receives the coordinates after
        many steps, with the lengths of these as the last column [k, M + WIDTH + 1]."""
        plan, begins = self.plan(projection), clock is None
        clock = clock or Clock(evaluations=1, next_dt=self.first_dt(stops[-1]))
        c = plan.coordinates(theta)
        most = max(1, NODES_PER_CALL // plan.work)
        keep, path = getattr(callback, "take_path", None), NO_PATH
        observed = keep is None and type(callback).step is not LoopCallback.step
        if keep is not None:
            most = min(most, max(1, PATH // plan.mesh.size))
            path = np.empty((1, most, len(plan.mesh.mean) + 1))
        looks = begins and type(callback).stop is not LoopCallback.stop  # the callback sees the start first
        least = self.least_dt(stops[-1])
        advance = partial(plan.advance, path=path, clock=clock, most=most, single=observed, least=least)
        leg = self.opening(plan, theta) if looks else advance(c, stops[: clock.target + 1])
        state: State = Reached(theta, plan, leg, projection)
        if leg.code == REFUSED:
            return End(Status(CAUSES[leg.fault]), clock, state, "at the start")
        try:  # Ctrl-C comes at any time, also while the callback works
            if looks:
                callback.stop(clock, state)
                leg = advance(c, stops[: clock.target + 1])
            while True:
                lands, moved, taken = leg.target > clock.target, leg.steps > clock.steps, leg.steps - clock.steps
                if moved:
                    theta = plan.moved(theta, leg.c - c)
                reached = Reached(theta, plan, leg, projection) if moved else state
                stop = stops[leg.target - 1] if lands else clock.last_stop
                # no calls from here to the new state, so that no signal can separate a time from its state
                clock.t, clock.dt, clock.next_dt, clock.error, clock.dissipated, clock.size = leg.times
                clock.steps, clock.rejected, clock.evaluations = leg.steps, leg.rejected, leg.evaluations
                clock.target, clock.last_stop, clock.folds = leg.target, stop, leg.folds
                state = reached
                if moved and observed:
                    callback.step(clock, state, leg.energy + float(plan.offsets.sum()))
                if keep is not None:
                    keep(path[0, :taken])
                if lands:
                    callback.stop(clock, state)
                if leg.code == FOLDS:
                    break
                if (end := self._end(leg, clock, state, len(stops), plan)) is not None:
                    return end
                c = plan.coordinates(theta)
                leg = advance(c, stops[: clock.target + 1])
        except KeyboardInterrupt:
            return End(Status.interrupted, clock, state)
        return time_loop.run(projection, self, theta, stops, callback, clock)  # which has the fallback

    def pull_back(self, projection: Projection, *flow: Any) -> Swept | str:
        """The way back through the steps of a flow, see `wgf.engine.backward.sweep`; or why there is none."""
        try:
            from wgf.engine.backward.sweep import sweep

            return sweep(self.plan(projection), *flow)
        except Exception as error:
            return cause(error)

    def _end(self, leg: Leg, clock: Clock, state: State, stops: int, plan: Plan) -> End | None:
        """How the loop ended, or None if it goes on."""
        if leg.code == COMPLETED:
            return End(Status.completed, clock, state) if clock.target == stops else None
        if leg.code == BLOW_UP:
            return End(Status.blow_up, clock, state)
        if leg.code == MAX_STEPS:
            return End(Status.max_steps, clock, state)
        if leg.code == PAUSED:
            return None
        cause = CAUSES[leg.fault]
        reason = Status.folded if cause == Status.folded.value else Status.step_too_small
        why = f"dt = {leg.trial:.3g}" if reason is Status.folded else f"the last step tried: {cause}"
        collapsed = plan.attractive and leg.slope < math.sqrt(COLLAPSE) * plan.slope
        return End(Status.blow_up if collapsed else reason, clock, state, why)


def run(
    projection: Projection,
    integrator: Integrator,
    theta: Tensor,
    stops: list[float],
    callback: LoopCallback,
    clock: Clock | None = None,
) -> End:
    """Run the time loop of an integrator, in machine code or in torch; see `time_loop.evolve`."""
    if isinstance(integrator, Compiled):
        return integrator.run(projection, theta, stops, callback, clock)
    return time_loop.run(projection, integrator, theta, stops, callback, clock)


def choose(engine: str, projection: Projection, method: Integrator, check: Callable[[Projection], None]) -> Integrator:
    """The method on an engine: `auto` compiles large problems only, for which loading the code pays, and `repeated`
    whatever it can.

    Args:
        engine: one of `ENGINES`.
        projection, method: the flow.
        check: refuses a start in torch; not called where the compiled start shows that it has nothing to refuse.

    Raises:
        ConfigError: engine=compiled cannot serve this flow, or `check` refuses its start.
    """
    compiled, why = None, obstacle(projection, method)
    if engine == "torch" or (engine == "auto" and (why or not _is_large(projection))):
        check(projection)
        return method
    if why is None:
        compiled = Compiled(method)  # type: ignore[arg-type]
        why = _failure(projection, compiled, check)
    else:
        check(projection)
    if compiled is not None and why is None:
        return compiled
    if engine == "compiled":
        raise ConfigError(f"engine=compiled is impossible: {why}; use engine=auto or engine=torch")
    log.info("engine=torch: %s", why)
    return method


def obstacle(projection: Projection, method: Integrator) -> str | None:
    """Why the compiled loop does not know a flow of this kind, or None."""
    theta = projection.map.theta
    if not isinstance(method, Rodas4) or type(method).step is not Rodas4.step:
        return f"it has integrator=rodas4 only, not {type(method).__name__.lower()}"
    if projection.quadrature.order is None:
        return "it needs quadrature=gauss"
    if theta.dtype != torch.float64 or theta.device.type != "cpu":
        return "it needs dtype=float64 and device=cpu"
    if projection.problem.potential.moves:
        return "it knows potentials only that do not depend on the time"
    if projection.problem.steady:
        return "it stops at the end time only"
    if projection.map.adaptation is not None:
        return "it needs network.knots=uniform or quantile"
    if projection.problem.domain.period is not None:
        return "it knows no circle"
    if contact_of(projection) is not None:
        return "it knows no ends that reach walls and leave them"
    if not projection.problem.domain.is_line and any(isinstance(e, Interaction) for e in projection.problem.terms):
        return "between walls it knows no interactions"
    return None


def _is_large(projection: Projection) -> bool:
    landscape = projection.landscape
    n = 0 if landscape is None else len(landscape.chart.nodes.z)
    parts = [term.parts() for term in projection.problem.terms]
    pairs = n * n if any(part is not None and part.kernel is not None for part in parts) else 0
    return n + pairs / PAIRS_PER_NODE >= LARGE


def _failure(projection: Projection, method: Compiled, check: Callable[[Projection], None]) -> str | None:
    """Why compiled code cannot compute this flow here, or None. Loads the code, and compiles it the first time.

    The energies of both engines must agree at the start. They are compared once for a chart and an energy, whose
    numbers may differ: later flows of this kind need no check in torch, if nothing in their start is near overflow.
    """
    why = None
    try:
        plan = method.plan(projection)
        leg = method.opening(plan, projection.initial)
        energy = leg.energy + float(plan.offsets.sum())
        agreed = _agreed.setdefault(plan.chart, deque(maxlen=KINDS))
        force = float(np.abs(leg.gradient).max())
        calm = leg.code != REFUSED and all(x < LOUD for x in (abs(energy), force, leg.slope))  # no NaN
        if calm and any(known is plan.energy for known in agreed):
            return None
    except Exception as error:
        why = cause(error)
    check(projection)
    if why is None:
        terms = projection.at_start.terms
        size = float(terms.abs().sum() + np.abs(leg.gradient) @ np.abs(plan.coordinates(projection.initial)))
        if not abs(energy - float(terms.sum())) <= AGREEMENT * (projection.problem.least_size + size):
            return "an energy overrides `value` without `parts`"
        agreed.append(plan.energy)
    return why


def cause(error: Exception) -> str:
    """Why compiled code failed."""
    from wgf.engine.tapes.tape import Untraceable

    if isinstance(error, Untraceable):
        return f"compiled code cannot hold {error}"
    if isinstance(error, ImportError):
        return f"numba cannot be loaded ({error})"
    # numba cannot write its cache, or its inner parts are others than here
    return f"numba failed ({' '.join(str(error).split())})"
