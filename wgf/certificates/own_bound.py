"""Upper bound of the W2 error of a run whose map is linear in its parameters, computed while it runs (Theorem 1)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wgf.certificates.conditions import conditions
from wgf.certificates.curve import Record
from wgf.certificates.long_time import decay
from wgf.certificates.mesh import mesh_of
from wgf.certificates.residual import Evaluator
from wgf.certificates.steps import Journal, Known, Steps, evaluated
from wgf.integrators.base import State
from wgf.integrators.time_loop import Clock, LoopCallback
from wgf.projection.field import Projection
from wgf.projection.transfer import contact_of
from wgf.reference_solutions.wasserstein import Carried, distance

ORDER, PER_STEP = 6, 4  # Gauss nodes per cell, and per step: three see the residual of a smooth step 1e-4 too small
SAMPLE, FIRST = 12, 1  # the quadrature is doubled on the first step, and on one of so many from this one on
LONG = 0.5  # |lambda| dt of steps on which it is always doubled: exp(-2 lambda s) varies much
BEYOND, SAMPLED = 1.1, 2.0  # where the limit lies, in changes by the doubled quadrature, and in those of a sample
CHUNK = 64  # steps evaluated at once
SPACING = 1e-3, 1e-2  # recorded states: relative to the end time, and to the time
BALANCE = [10.0**k for k in range(-8, 5, 2)]  # trade-offs between the two residuals, relative to the law's width
MOST = 4000  # nodes whose pairs are summed
ROUNDING = 1e-12  # of a bound, relative to the law's width
LARGEST = 300.0  # largest -lambda t; its exponential is squared
COARSE = "the quadrature does not resolve the residual"
FOLDED = "the map folds, or the residual is not finite"
UNRESOLVED = 10.0  # relative rise with the doubled quadrature above which there is no bound; a smaller one is added


class Bound(NamedTuple):
    """An upper bound of the W2 error at one time.

    Attributes:
        value: the bound (length); None if there is none.
        quadrature: its relative change when the quadrature orders double, estimated from some steps; None if unknown.
        unknown: why there is no bound, or None.
    """

    value: float | None
    quadrature: float | None = None
    unknown: str | None = None


Sums = tuple[np.ndarray, np.ndarray]  # integrals over each step of 2 Q and of R0, decayed, for all choices [r, c]


class OwnBound(LoopCallback):
    """Records a run and bounds its error at any recorded time.

    It records every step, or fewer if there are very many: any curve of increasing maps that ends at the map of the run
    gives a bound.

    Args:
        projection: problem and network.
        past: what `saved` returned before a run was interrupted, or None.
        order: Gauss nodes per cell.

    Attributes:
        convexity: lambda (1/time), None if there is no bound.
        unknown: why there is no bound, or None.
        finer: computes residuals with twice as many nodes; only where there is a bound.
    """

    def __init__(self, projection: Projection, past: dict[str, Any] | None = None, order: int = ORDER) -> None:
        self.projection, problem = projection, projection.problem
        known = conditions(problem)
        self.unknown = known.unknown
        landscape = projection.landscape
        if landscape is None and self.unknown is None:
            self.unknown = "the network is not linear in its parameters: only a richer run can bound its error"
        if projection.map.adaptation is not None and self.unknown is None:
            self.unknown = "the breakpoints follow the solution: only a richer run can bound its error"
        self.convexity = known.convexity if self.unknown is None else None
        self._pending: list[tuple[Any, ...]] = []  # times, parameters, and what `_rates` gives
        self._steps, self._doubled = Journal(), Journal()
        self._bounds: dict[float, Bound] = {}
        self._count = 0
        self._start = 0.0  # distance of T(0) from the initial law
        self._hidden, self._swept = (np.zeros(1), np.zeros(1)), np.zeros(0)
        if self.convexity is None or landscape is None:
            return
        self._chart, self._landscape = landscape.chart, landscape
        self._by_rows = projection.by_chart and landscape.is_pointwise and contact_of(projection) is None
        kernel = problem.interaction.elementary
        if kernel is None or kernel.logarithm:
            points = order * len(landscape.chart.space.points)
            if points > MOST:
                self.unknown = f"{points} nodes are too many for sums over pairs of them: decrease network.width"
                return
        base = projection.map.base
        meshes = [mesh_of(landscape.chart, base, nodes, problem.domain) for nodes in (order, 2 * order)]
        self._evaluate, self.finer = (Evaluator(problem, known, mesh) for mesh in meshes)
        self._scale, self._decay = base.std, decay(problem, known)
        if not projection.start.is_identity:  # this rule knows the kinks of T(0)
            gap = distance(Carried.by(projection.map, projection.initial), Carried.law(problem.law, base))
            self._start = gap.w2 + gap.w2_error
        if past is not None:
            self._restore(past)

    def step(self, clock: Clock, state: State, energy: float) -> None:
        last, share = self._pending[-1][0] if self._pending else 0.0, self.projection.problem.t_end * SPACING[0]
        if clock.t - last >= min(share, SPACING[1] * clock.t):
            self.record(clock.t, state)

    def stop(self, clock: Clock, state: State) -> None:
        self.record(clock.t, state)

    def record(self, t: float, state: State) -> None:
        """Record the state at a time; states at known times are ignored."""
        if self.unknown is None and not (self._pending and t <= self._pending[-1][0]):
            self._pending.append((t, state.theta, *self._rates(state)))
            if len(self._pending) > CHUNK:
                self._flush()

    def at(self, t: float) -> Bound:
        """Bound at a recorded time."""
        if t not in self._bounds:
            self._bounds[t] = self._bound(t)
        return self._bounds[t]

    def refuse(self, why: str) -> None:
        """Have no bound any more."""
        self.unknown = why
        self._bounds.clear()

    def hide(self, times: np.ndarray, norms: np.ndarray, steps: np.ndarray) -> None:
        """Add to the residual the norms (length/time) of what the quadrature does not see of it: in space at some times
        [m], in time in the steps so far [r]."""
        self._hidden, self._swept = (times, norms), steps
        self._bounds.clear()

    def steps(self, t: float) -> Known:
        """Residuals of all steps before t."""
        return self._steps.before(t)

    def coefficients(self, thetas: Iterable[Tensor]) -> Tensor:
        """Coefficients [r, M] of maps with parameters [p] each."""
        return torch.stack([self._chart.space.coefficients(theta) for theta in thetas]).double()

    def weight(self, t: float) -> float:
        """Factor by which a constant residual enters the bound at time t (time)."""
        rate = -(self.convexity or 0.0)
        found = math.expm1(rate * t) / rate if rate * t else t
        return found if self._decay is None else min(found, self._decay.weight(t))

    def _before(self, journal: Journal, t: float) -> Known:
        steps = journal.before(t)
        number = np.searchsorted(self._steps.before(t).s[:, 0], steps.s.mean(1)) - 1  # of all steps
        swept = np.append(self._swept, 0.0)[number.clip(max=len(self._swept)), None, None]
        hidden = np.interp(steps.s, *self._hidden)[..., None] + swept
        return steps._replace(force=steps.force + hidden, strong=steps.strong + hidden)

    def _bound(self, t: float) -> Bound:
        if self.unknown is None:
            self._flush()
        if self.unknown is not None or self.convexity is None:
            return Bound(None, None, self.unknown)
        if -self.convexity * t > LARGEST:
            return Bound(None, None, f"lambda = {self.convexity:.4g}: the bound grows beyond all numbers")
        start = math.exp(-self.convexity * t) * self._start
        if not self._steps.blocks:
            return Bound(start, 0.0) if t == 0 else Bound(None, None, "no step was recorded")
        steps = self._before(self._steps, t)
        if not len(steps.s):
            return Bound(start, 0.0)
        parts = self._decayed(steps, t)
        if not (np.isfinite(parts[0]) & np.isfinite(parts[1])).any(1).all():
            return Bound(None, None, self._why(steps))
        value, balance = min((_total(parts, weight * self._scale, start), weight) for weight in BALANCE)
        change, rise = self._change(steps, parts, t, balance * self._scale, value)
        if self._decay is not None:
            value = min(value, self._decay.bound(t, self._start, steps.s, steps.weights, steps.strong))
        if change is not None and not change <= UNRESOLVED:
            return Bound(None, change, COARSE)
        return Bound(value * (1 + rise), None if change is None else abs(change))

    def saved(self) -> dict[str, Any]:
        """Content for a checkpoint, with the steps not yet evaluated: a resumed run evaluates the same blocks."""
        times, *parts = zip(*self._pending, strict=True) if self._pending else ((),)
        return {
            "steps": [list(block) for block in self._steps.blocks],
            "doubled": [list(block) for block in self._doubled.blocks],
            "count": self._count,
            "start": self._start,
            "unknown": self.unknown,
            "pending": [list(times), *(torch.stack(part) for part in parts)],  # torch saves few tensors fastest
        }

    def _restore(self, past: dict[str, Any]) -> None:
        if any(len(block) != len(Steps._fields) or block[0].shape[1] != PER_STEP for block in past["steps"]):
            self.unknown = "the run began with a version of wgf that looked at other times"
            return
        device = self._evaluate.mesh.z.device
        self._steps, self._doubled = (
            Journal([Steps(*(part.to(device) for part in parts)) for parts in past[name]])
            for name in ("steps", "doubled")
        )
        self._count, self._start, self.unknown = past["count"], past["start"], past["unknown"]
        times, *parts = past["pending"]
        self._pending = list(zip(times, *(part.to(device) for part in parts), strict=True))

    def _decayed(self, steps: Known, t: float) -> Sums:
        """Integrals over each step of 2 Q e^(-2 lambda (t - s)) and of R0 e^(-lambda (t - s)), [r, c] each."""
        growth = np.exp(-(self.convexity or 0.0) * (t - steps.s))
        weights = steps.weights * growth
        with np.errstate(invalid="ignore"):  # 0 times infinity
            flux = np.einsum("rn,rnc->rc", 2 * weights * growth, steps.flux)
            return flux, np.einsum("rn,rnc->rc", weights, steps.force)

    def _change(self, steps: Known, parts: Sums, t: float, weight: float, total: float) -> tuple[float | None, float]:
        """Change of the bound when the quadrature orders double, and by how much that should raise it, relative to it.

        Long steps and the first one are doubled; what a sample of the others changes is taken for the same share of
        them.

        Args:
            steps: before t.
            parts: their `_decayed`.
            t, weight, total: the time, the trade-off of the bound, and the bound.
        """
        doubled, (long, sampled) = self._before(self._doubled, t), self._doubled_on(steps.weights.sum(1), 0)
        if not len(doubled.s):
            return None, 0.0
        seen, finer, size = long | sampled, self._decayed(doubled, t), max(total, ROUNDING * self._scale)
        coarse = parts[0][seen], parts[1][seen]

        def sums(where: np.ndarray) -> tuple[float, float]:  # of some of the doubled steps, before and after
            return _total(coarse, weight, where=where), _total(finer, weight, where=where)

        before, after = sums(long[seen])
        change = max(after - before, 0.0)
        rise = BEYOND * change
        if sampled[~long].any():
            before, after = sums(~long[seen])
            whole = _total(parts, weight, where=~long)
            rest = (after - before) * (whole / before if before > 0 else (~long).sum() / sampled[~long].sum())
            change, rise = change + rest, rise + SAMPLED * max(rest, 0.0)
        return change / size, rise / size

    def _doubled_on(self, dt: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Which steps of lengths dt [r] (time) after `count` others are long or the first [r], and which are in the
        sample [r]."""
        number = count + np.arange(len(dt))
        return (abs(self.convexity or 0.0) * dt > LONG) | (number == 0), number % SAMPLE == FIRST

    def _why(self, steps: Known) -> str:
        if self._evaluate.known.chi:
            return "chi kappa_h reaches D: beyond about chi = 0.8 D the Keller-Segel equation has no bound"
        if any(self._evaluate.mesh.open):
            return "p jumps at an edge, and the equilibrated flux is not close to the flux of the map up to it"
        return FOLDED

    def _flush(self) -> None:
        """Evaluate the residuals of all pending steps."""
        if len(self._pending) < 2:
            return
        times, thetas, *rates = zip(*self._pending, strict=True)
        chart, space = self._chart, self._chart.space
        c = torch.stack([space.coefficients(theta) for theta in thetas])
        motion = [torch.stack(rate) for rate in rates]
        motion = motion or [chart.to_splines(part) for part in self._landscape.motion(chart.from_splines(c))]
        c, v, a = (part.double() for part in (c, *motion))
        record = Record(torch.tensor(times, dtype=c.dtype, device=c.device), c, v, a)
        found = evaluated(self._evaluate, record, PER_STEP, slice(None))
        self._steps.append(found)
        long, sampled = self._doubled_on(found.weights.sum(1).cpu().numpy(), self._count)
        if (long | sampled).any():
            which = torch.from_numpy(long | sampled).to(c.device)
            self._doubled.append(evaluated(self.finer, record, 2 * PER_STEP, which))
        self._count += len(times) - 1
        self._pending = self._pending[-1:]

    def _rates(self, state: State) -> tuple[Tensor, ...]:
        """First two time derivatives of the coefficients [M]; none where those of many states at once cost less."""
        if self._by_rows:
            return ()
        chart, point = self._chart, state.evaluation.point
        at = chart.at_nodes(chart.coordinates(state.theta)) if point is None else point.at
        velocity = state.evaluation.velocity
        load = self._landscape.hessian(at).matvec(chart.displacement(velocity))
        return chart.space.change(velocity), chart.to_splines(-chart.project(load))


def _total(parts: Sums, weight: float, start: float = 0.0, where: np.ndarray | slice = slice(None)) -> float:
    """Bound from the columns that minimise flux + weight force in every step, of some of the steps."""
    flux, force = parts[0][where], parts[1][where]
    cost = flux + weight * force
    cost[np.isnan(cost)] = np.inf
    rows, columns = np.arange(len(cost)), cost.argmin(1)
    return math.sqrt(start**2 + float(flux[rows, columns].sum())) + float(force[rows, columns].sum())
