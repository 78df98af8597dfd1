"""A computed flow: the solution at any time up to its end, evaluated by the network itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from torch import Tensor

from wgf.carried_law import CarriedLaw, carried_law
from wgf.certificates.certificate import Certificate
from wgf.certificates.rich import certified
from wgf.engine.compiled import run
from wgf.errors import ConfigError, WgfError
from wgf.expectation import expectation
from wgf.gradients.history import History
from wgf.gradients.law import DifferentiableLaw
from wgf.gradients.states import law_at
from wgf.integrators.base import Integrator
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.status import Status
from wgf.integrators.time_loop import Clock, LoopCallback
from wgf.networks.base import TransportMap
from wgf.problem.base import Base, Law
from wgf.problem.equations import Problem
from wgf.problem.laws.convert import compared_law
from wgf.projection.field import Projection
from wgf.reference_solutions import choose as comparison
from wgf.reference_solutions.base import Computed
from wgf.reference_solutions.exact import Exact
from wgf.reference_solutions.wasserstein import Carried, Distance, distance
from wgf.saved_maps import SavedMaps, read_only
from wgf.settings.arguments import number, numbers
from wgf.settings.ranges import Flag, Range, Seed, checked, fault
from wgf.tables.datasets import of_flow
from wgf.tables.of_flow import maps, table

if TYPE_CHECKING:
    from xarray import Dataset

Numbers = float | Sequence[float] | np.ndarray | Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Flow:
    """Solution of a problem from t = 0 to the time that its run reached; `wgf.solve` returns it.

    For a time between two saved times, the flow integrates again from the earlier one. Positions, masses and returned
    values are numbers or arrays of any shape, in float64.

    Attributes:
        projection: problem and network.
        integrator: the method.
        saved: the states at t = 0, at the saved times, and at the time reached.
        status: `Status.completed`, or why the run stopped before the end time.
        clock: the last time and counts of the time loop.
        detail: more about the status, may be empty.
        reference: which reference solution to use: "exact", "finite_volume", "auto" or "none".
        history: the steps, if the problem holds tensors that require grad.
        config: the config of a run of the command, YAML; empty for a flow of `wgf.solve`.
        observed: functions of x whose means are columns of `table`.
        w2_bound: upper bounds of the W2 error at the saved times [s], which the run has recorded, or None (length).
    """

    projection: Projection
    integrator: Integrator
    saved: SavedStates
    status: Status
    clock: Clock
    detail: str = ""
    reference: str = "auto"
    history: History | None = None
    config: str = ""
    observed: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    w2_bound: np.ndarray | None = None

    @property
    def problem(self) -> Problem:
        """The equation with its law and energies."""
        return self.projection.problem

    @property
    def base(self) -> Base:
        """Reference measure of the map."""
        return self.projection.map.base

    @cached_property
    def t(self) -> np.ndarray:
        """Saved times [s] (time); 0 is the first, the time reached the last."""
        return read_only(np.array(self.saved.times))

    @property
    def reason(self) -> str:
        """Why the run stopped, as a sentence."""
        return self.status.value + (f" ({self.detail})" if self.detail else "")

    message = property(lambda self: f"{self.status}: {self.reason}", doc="The status with its reason.")

    def __getstate__(self) -> dict[str, Any]:
        """Fields only: a copy computes the cached values anew, of which some cannot be copied."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __repr__(self) -> str:
        return f"<Flow {self.problem.equation}; t = {self._facts()['time']}; {self.message}>"

    # the map

    def parameters(self, t: float) -> Tensor:
        """Parameters theta(t) [p]; raises the errors of `state`."""
        return self.state(t)[1].clone()

    def state(self, t: float) -> tuple[TransportMap, Tensor]:
        """Network with its breakpoints at t, and parameters theta(t) [p].

        Raises:
            ConfigError: t < 0, or the run did not reach t.
            WgfError: an integration between two saved times failed.
        """
        reached, t = float(self.t[-1]), number("t", t)
        if not 0 <= t <= reached * (1 + 1e-12):
            why = "" if self.status is Status.completed else f", where the run stopped: {self.message}"
            raise ConfigError(f"t={t!r} is not allowed: expected a time from 0 to {reached:g}{why}")
        k = int(np.searchsorted(self.t, t * (1 + 1e-12), side="right")) - 1
        rest, (map, theta) = t - float(self.t[k]), self.saved[k]
        if rest <= max(1e-12 * t, 1e-30 * reached):
            return map, theta
        clock = Clock(t=t - rest, last_stop=t - rest, next_dt=self.integrator.first_dt(rest))
        end = run(self.projection.on(map), self.integrator, theta, [t], LoopCallback(), clock)
        if end.status is not Status.completed:
            raise WgfError(f"the integration from t={self.t[k]:g} to t={t:g} failed: {end.status.value}")
        return end.map or map, end.state.theta

    def map(self, t: float, z: Numbers) -> Any:
        """T(t, z), the position at time t of the particle that starts at z (length)."""
        return self._at(t, "z", z, lambda law, z: law.evaluate(z)[0])

    def slope(self, t: float, z: Numbers) -> Any:
        """Slope d/dz T(t, z) of the map (no unit)."""
        return self._at(t, "z", z, lambda law, z: law.evaluate(z)[1])

    def inverse(self, t: float, x: Numbers) -> Any:
        """T(t, .)^-1(x), the start of the particle that is at x at time t (length); -+inf outside all particles."""
        return self._at(t, "x", x, lambda law, x: law.inverse(x))

    # the law

    def density(self, t: float, x: Numbers) -> Any:
        """Density rho(t, x) = p(z) / T'(t, z) at z = T^-1(t, x) (mass/length)."""
        return self._at(t, "x", x, lambda law, x: law.density(x))

    def cdf(self, t: float, x: Numbers) -> Any:
        """Mass to the left of x; on a circle the mass from 0 to x."""
        return self._at(t, "x", x, lambda law, x: law.cdf(x))

    def quantile(self, t: float, u: Numbers) -> Any:
        """Position with mass u to its left (length).

        Raises:
            ConfigError: u < 0 or u > 1.
        """
        if not bool(((levels := numbers("u", u)) >= 0).all() & (levels <= 1).all()):
            raise ConfigError(fault("u", u, "masses from 0 to 1"))
        return self._at(t, "u", u, lambda law, u: law.quantile(u))

    def expectation(self, t: float, function: str | Callable[[Tensor], Tensor]) -> float:
        """Mean over the law at t of a formula such as "where(x > 0, 1, 0)", or of tensors [n] -> [n], whose peaks
        narrower than about 1/1000 of the law may be missed."""
        return expectation(Carried.by(*self.state(t)), function)

    @checked
    def sample(self, t: float, n: Annotated[int, Range(int, low=0)], seed: Seed = 0) -> np.ndarray:
        """Positions of n independent particles [n] (length). The same seed gives the same particles at every time."""
        return self.map(t, self.base.sample(n, torch.Generator().manual_seed(seed)))

    @torch.inference_mode(False)
    def _at(self, t: float, name: str, values: Numbers, function: Callable[[CarriedLaw, Tensor], Tensor]) -> Any:
        """Call function(law at t, values) for an argument of any type and shape; a NaN gives NaN."""
        points, law = torch.from_numpy(numbers(name, values)), carried_law(*self.state(t), self.problem.domain)
        return function(law, points.reshape(-1)).reshape(points.shape).numpy()[()]

    def differentiable(self, t: float | None = None) -> DifferentiableLaw:
        """The law at a saved time, by default the last, as tensors with derivatives; see docs/gradients.md."""
        return law_at(self.history, t)

    # energies and errors

    @property
    def terms(self) -> dict[str, np.ndarray]:
        """Energy terms by name at the saved times [s] (energy)."""
        rows = torch.stack(self.saved.terms).cpu().numpy()
        return {term.name: rows[:, k] for k, term in enumerate(self.problem.terms)}

    @property
    def energy(self) -> np.ndarray:
        """Energy F at the saved times [s] (energy)."""
        return sum(self.terms.values(), np.zeros(len(self.t)))

    @cached_property
    def reference_solution(self) -> Exact | None:
        """Reference solution by a formula, else by particles or finite volumes (computed on first use), or None.

        Particles and finite volumes give it at the saved times only. wgf does not compute them for a run that was
        interrupted, or that stopped between two saved times.
        """
        known = comparison.exact_until(self.clock.t, self.problem, self.reference)
        if known is not None or self.status is Status.interrupted or not self.clock.t == self.clock.last_stop > 0:
            return known
        return comparison.computed(self.problem, self.t[1:].tolist(), self.reference)  # type: ignore[bad-return]

    def w1(self, other: Flow | Law | Numbers | Exact | None, t: float | None = None) -> float:
        """Wasserstein distance W1 (length) at t, the last time by default. Samples count as they are, not smoothed.

        Args:
            other: a flow, a law, samples [n], or an increasing map (t, z) -> T of the base, as `reference_solution`.

        Raises:
            ConfigError: one of the two is unknown at t, or the map does not increase.
        """
        return self.distance(other, t).w1

    def w2(self, other: Flow | Law | Numbers | Exact | None, t: float | None = None) -> float:
        """Wasserstein distance W2 (length); see `w1`."""
        return self.distance(other, t).w2

    @torch.inference_mode(False)
    def distance(self, other: Flow | Law | Numbers | Exact | None, t: float | None = None) -> Distance:
        """W1 and W2 with their quadrature errors; see `w1`."""
        t = float(self.t[-1]) if t is None else number("t", t)
        if isinstance(other, Flow):
            theirs = Carried.by(*other.state(t))
        elif isinstance(other, Law | np.ndarray | Tensor | list | tuple):
            theirs = Carried.law(law := compared_law(other), self.problem.domain.own_base(law) or self.base)
        elif callable(other) and not isinstance(other, type):
            theirs = Carried.of(self.base, other, t)
        else:
            rule = "a flow, a law, samples, or a map (t, z) -> T"
            raise ConfigError(fault("other", other, rule) + "; there is no reference solution" * (other is None))
        found = distance(Carried.by(*self.state(t)), theirs)
        if math.isnan(found.w1):
            raise ConfigError(f"other is unknown at t={t:g}: it has failed, or is known at {self.t.tolist()} only")
        if callable(other) and not isinstance(other, Computed) and not found.increases:
            raise ConfigError("other falls somewhere in z: expected a map (t, z) -> T that increases")
        return found

    @checked
    @torch.inference_mode(False)
    def certificate(self, t: float | None = None, rich: Annotated[bool, Flag()] = True) -> Certificate:
        """Computable upper bound of the W2 error at a saved time, by default the last; see `certified`."""
        t = float(self.t[-1]) if t is None else number("t", t)
        return certified(self.projection, self.integrator, self.saved, t, rich)

    # arrays and figures

    @cached_property
    def saved_maps(self) -> SavedMaps:
        """Maps at the saved times on a fine grid, with the reference solution; the content of solution.npz."""
        return replace(maps(self.problem, self.saved, self.reference_solution), w2_bound=self.w2_bound)

    def save(self, path: str | Path) -> None:
        """Write `saved_maps` to an .npz file."""
        self.saved_maps.save(path)

    def table(self) -> dict[str, np.ndarray]:
        """Columns [s] of numbers at the saved times, `observed` among them, under the names of history.csv."""
        return table(self.projection, self.saved, self.observed)

    def plot(self, name: str = "density") -> Any:
        """Draw the saved times: "density", "ridgeline", "spacetime", "map", "slope", "errors", "energy" or "steps" (a
        figure of matplotlib), or "film", which has `save(path)` for a .gif or an .mp4 file.

        Raises:
            ConfigError: there is no figure of this name, or this flow lacks what it shows.
        """
        from wgf.figures.catalogue import draw

        title = self.problem.equation + f" ({self.status})" * (not self.status.is_success)
        return draw(name, lambda: self.saved_maps, self.table, title)

    def to_xarray(self) -> Dataset:
        """Dataset of xarray with units: maps, densities, energies, errors; a `ConfigError` without xarray."""
        return of_flow(self.saved_maps, self.table(), self._facts() | {"config": self.config})

    def _facts(self) -> dict[str, str]:
        parts = {"network": self.saved.map, "integrator": self.integrator, "law": self.problem.law}
        place = f"{self.t[-1]:g} of {self.problem.t_end:g} in {self.clock.steps} steps"
        names = {name: type(part).__name__ for name, part in parts.items()}
        return {"equation": self.problem.equation, "status": self.message, "time": place} | names

    def _repr_html_(self) -> str:
        from wgf.figures.notebook import html

        seen = "reference_solution" in self.__dict__  # a notebook that shows a flow does not compute it
        shown = self.saved_maps if seen else maps(self.problem, self.saved, None)
        return html(self._facts(), self.energy, shown, getattr(self.reference_solution, "name", "") if seen else None)
