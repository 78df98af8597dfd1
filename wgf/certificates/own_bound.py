"""Upper bound of the W2 error of a run whose map is linear in its parameters, computed while it runs (Theorem 1)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wgf.certificates.conditions import conditions
from wgf.certificates.curve import Record, continuation
from wgf.certificates.long_time import decay
from wgf.certificates.mesh import mesh_of
from wgf.certificates.residual import Evaluator, Residuals
from wgf.integrators.base import State
from wgf.integrators.time_loop import Clock, LoopCallback
from wgf.projection.field import Projection
from wgf.projection.transfer import contact_of

ORDER, PER_STEP = 6, 3  # Gauss nodes per cell and per step
SAMPLE, FIRST = 12, 2  # the quadrature is doubled on one step of so many, from this step on
LONG = 0.5  # |lambda| dt of steps on which it is always doubled: exp(-2 lambda s) varies much
BEYOND = 1.1  # how far the limit lies, in changes by the doubled quadrature
CHUNK, ROWS = 64, 192  # steps evaluated at once, and most rows of nodes
SPACING = 1e-3, 1e-2  # recorded states: relative to the end time, and to the time
BALANCE = [10.0**k for k in range(-8, 5, 2)]  # trade-offs between the two residuals, relative to the law's width
MOST = 4000  # nodes whose pairs are summed
ROUNDING = 1e-12  # of a bound, relative to the law's width
SHOWING = 0.25  # the steps with this share of the residual show whether another continuation in time helps
HELP = 0.05  # relative decrease of their residual by which it does
LARGEST = 300.0  # largest -lambda t; its exponential is squared
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


class Steps(NamedTuple):
    """Residuals of r steps at Gauss times: s and weights [r, nt], Q and R0 [r, nt, c], strong residual [r, nt, d].

    The columns c are all choices of a continuation in time and a flux; the columns d all continuations.
    """

    s: Tensor
    weights: Tensor
    flux: Tensor
    force: Tensor
    strong: Tensor


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
        self._steps: list[Steps] = []
        self._doubled: list[Steps] = []
        self._bounds: dict[float, Bound] = {}
        self._count = 0
        self._start = 0.0  # distance of T(0) from the initial law
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
        self._evaluate, self._evaluate_doubled = (Evaluator(problem, known, mesh) for mesh in meshes)
        self._scale = base.std
        self._decay = decay(problem, known)
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
            if not self._pending:
                mesh, c = self._evaluate.mesh, self._chart.space.coefficients(state.theta).double()
                self._start = float(mesh.norm(mesh.values(c[None]) - self.projection.start(mesh.z)))
            self._pending.append((t, state.theta, *self._rates(state)))
            if len(self._pending) > CHUNK:
                self._flush()

    def at(self, t: float) -> Bound:
        """Bound at a recorded time."""
        if t not in self._bounds:
            self._bounds[t] = self._bound(t)
        return self._bounds[t]

    def _bound(self, t: float) -> Bound:
        if self.unknown is None:
            self._flush()
        if self.unknown is not None or self.convexity is None:
            return Bound(None, None, self.unknown)
        if -self.convexity * t > LARGEST:
            return Bound(None, None, f"lambda = {self.convexity:.4g}: the bound grows beyond all numbers")
        start = math.exp(-self.convexity * t) * self._start
        if not self._steps:
            return Bound(start, 0.0) if t == 0 else Bound(None, None, "no step was recorded")
        steps = _joined(self._steps, t)
        if not len(steps.s):
            return Bound(start, 0.0)
        flux, force = self._decayed(steps, t)
        if not (flux.isfinite() & force.isfinite()).any(1).all():
            return Bound(None, None, self._why(steps))
        value, balance = min((self._total(flux, force, weight * self._scale, start), weight) for weight in BALANCE)
        change = self._change(steps, t, balance * self._scale, value)
        if self._decay is not None:
            value = min(value, self._decay.bound(t, self._start, steps.s, steps.weights, steps.strong))
        if change is not None and not change <= UNRESOLVED:
            return Bound(None, change, "the quadrature does not resolve the residual")
        return Bound(value * (1 + BEYOND * max(change or 0.0, 0.0)), None if change is None else abs(change))

    def saved(self) -> dict[str, Any]:
        """Content for a checkpoint, with the steps not yet evaluated: a resumed run evaluates the same blocks."""
        times, *parts = zip(*self._pending, strict=True) if self._pending else ((),)
        return {
            "steps": [list(part) for part in self._steps],
            "doubled": [list(part) for part in self._doubled],
            "count": self._count,
            "start": self._start,
            "unknown": self.unknown,
            # rows of few tensors: each tensor of its own is a file in that of the checkpoint
            "pending": [list(row) for row in zip(times, *(torch.stack(part).unbind() for part in parts), strict=True)],
        }

    def _restore(self, past: dict[str, Any]) -> None:
        device = self._evaluate.mesh.z.device
        self._steps, self._doubled = (
            [Steps(*(part.to(device) for part in parts)) for parts in past[name]] for name in ("steps", "doubled")
        )
        self._count, self._start, self.unknown = past["count"], past["start"], past["unknown"]
        self._pending = [(t, *(part.to(device) for part in parts)) for t, *parts in past["pending"]]

    def _decayed(self, steps: Steps, t: float) -> tuple[Tensor, Tensor]:
        """Integrals over each step of 2 Q e^(-2 lambda (t - s)) and of R0 e^(-lambda (t - s)), [r, c] each."""
        growth = torch.exp(-(self.convexity or 0.0) * (t - steps.s))[..., None]
        weights = steps.weights[..., None]
        return 2 * (weights * growth**2 * steps.flux).sum(1), (weights * growth * steps.force).sum(1)

    @staticmethod
    def _total(flux: Tensor, force: Tensor, weight: float, start: float) -> float:
        """Bound from the columns that minimise flux + weight force in every step."""
        cost = torch.nan_to_num(flux + weight * force, nan=torch.inf)
        column = cost.argmin(1, keepdim=True)
        q, r = flux.gather(1, column).sum(), force.gather(1, column).sum()
        return math.sqrt(start**2 + float(q)) + float(r)

    def _change(self, steps: Steps, t: float, weight: float, total: float) -> float | None:
        """Change of the bound when the quadrature orders double, from sampled steps, relative to the bound."""
        doubled, (long, sampled) = _joined(self._doubled, t), self._doubled_on(steps.weights.sum(1), 0)
        if not len(doubled.s):
            return None
        one, two = self._decayed(Steps(*(part[long | sampled] for part in steps)), t), self._decayed(doubled, t)
        change, always = 0.0, long[long | sampled]
        for share, rows in ((1.0, always), (float((~long).sum() / (~always).sum().clamp(min=1)), ~always)):
            before, after = (self._total(flux[rows], force[rows], weight, 0.0) for flux, force in (one, two))
            change += max(share * (after - before), 0.0) if always.any() else share * (after - before)
        return change / max(total, ROUNDING * self._scale)

    def _doubled_on(self, dt: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Which steps of lengths dt [r] (time) after `count` others are long [r], and which are in the sample [r]."""
        number = count + torch.arange(len(dt), device=dt.device)
        return abs(self.convexity or 0.0) * dt > LONG, number % SAMPLE == FIRST

    def _why(self, steps: Steps) -> str:
        if self._evaluate.known.chi:
            return "chi kappa_h reaches D: beyond about chi = 0.8 D the Keller-Segel equation has no bound"
        if any(self._evaluate.mesh.open):
            return "p jumps at an edge, and the equilibrated flux is not close to the flux of the map up to it"
        return "the map folds, or the residual is not finite"

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
        self._steps.append(_evaluated(self._evaluate, record, PER_STEP, slice(None)))
        long, sampled = self._doubled_on(self._steps[-1].weights.sum(1), self._count)
        if bool((long | sampled).any()):
            self._doubled.append(_evaluated(self._evaluate_doubled, record, 2 * PER_STEP, long | sampled))
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


def _evaluated(evaluate: Evaluator, record: Record, order: int, which: slice | Tensor) -> Steps:
    """Residuals of some steps of a record, by quintics in time; by cubics where these help; by lines where both fold.

    Any choice gives a bound. The steps with the largest residuals show whether cubics help.
    """
    s, weights, c, v = continuation(record, 2, order, which)
    best = _residuals(evaluate, c, v)
    second, third = (Residuals(*(torch.full_like(part, torch.inf) for part in best)) for _ in range(2))

    def compute(found: Residuals, derivatives: int, where: Tensor) -> None:
        if len(where):
            curve = continuation(record, derivatives, order, which)
            for part, computed in zip(found, _residuals(evaluate, curve.c[where], curve.v[where]), strict=True):
                part[where] = computed

    parts, ranking = _parts(best, weights).sort(descending=True)
    before = parts.cumsum(0) - parts
    worst = ranking[(before < SHOWING * parts.sum()) | parts.isinf()]
    compute(second, 1, worst)
    helped = torch.minimum(_parts(second, weights), _parts(best, weights))[worst].sum()
    if not helped > (1 - HELP) * parts[: len(worst)].sum():
        compute(second, 1, ranking[len(worst) :])
    compute(third, 0, (~_usable(best) & ~_usable(second)).nonzero().flatten())
    flux, force, strong = zip(second, best, third, strict=True)
    return Steps(s, weights, torch.cat(flux, -1), torch.cat(force, -1), torch.stack(strong, -1))


def _parts(found: Residuals, weights: Tensor) -> Tensor:
    """Size of the residual of each step [r] (length); infinite where it is no number."""
    force, flux = ((weights[..., None] * part).sum(1) for part in (found.force, found.flux))
    return (force + flux.sqrt()).amin(-1).nan_to_num(nan=torch.inf)


def _residuals(evaluate: Evaluator, c: Tensor, v: Tensor) -> Residuals:
    """Residuals [r, nt, ...] of curves [r, nt, M]."""
    parts = -(-len(c) * c.shape[1] // ROWS)
    found = [evaluate(*rows) for rows in zip(*(rows.flatten(0, 1).tensor_split(parts) for rows in (c, v)), strict=True)]
    return Residuals(*(torch.cat(part).unflatten(0, c.shape[:2]) for part in zip(*found, strict=True)))


def _usable(part: Residuals) -> Tensor:
    """Whether a step has a choice that is finite at all its times [r]."""
    return (part.flux.isfinite() & part.force.isfinite()).all(1).any(1)


def _joined(parts: list[Steps], t: float) -> Steps:
    """All steps before t."""
    if not parts:
        return Steps(*[torch.zeros(0, 1)] * 2, *[torch.zeros(0, 1, 1)] * 3)
    steps = Steps(*(torch.cat(part) for part in zip(*parts, strict=True)))
    before = steps.s[:, -1] <= t
    return Steps(*(part[before] for part in steps))
