"""Checks before a run: double precision resolves the law, the potential is finite on its support, neither it nor the
kernel jumps, and no mass falls to infinity before the end."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from wgf.errors import ConfigError, in_one_line
from wgf.kept import kept
from wgf.problem import kernels
from wgf.problem.base import Base
from wgf.problem.changes.jumps import jump
from wgf.problem.equations import Problem
from wgf.problem.interaction import Pairwise
from wgf.problem.potential import Expressed, Potential
from wgf.problem.quadrature import Gauss

RESOLVED = {torch.float64: 1e-7, torch.float32: 1e-4}  # error of a law's mass, and of places relative to its width
LIGHT = {torch.float64: 1e-6, torch.float32: 1e-4}  # share of a law's variance that lies beyond all nodes
SAMPLES, LEVELS, ZOOM, MOST = 2000, 8, 20, 16  # of the search for singular points
HUGE = {torch.float64: 1e120, torch.float32: 1e15}  # a distance whose square is still a number
DECADES = 2000  # points of the way there
MOMENTS = 8  # intervals between the times at which a moving potential is checked
KEPT = 64  # bases whose moments are kept, and potentials whose singular points are
APART = 1e-3  # relative difference of slopes of a kernel that are the same
PERIODIC = 1e-9  # relative difference of forces that are the same
ROUNDING = 1e3 * torch.finfo(torch.float64).eps  # of their energy, relative


def check_problem(problem: Problem, dtype: torch.dtype = torch.float64) -> None:
    """Check law and potential.

    Raises:
        ConfigError: they cannot be computed with.
    """
    _check_law(problem, dtype)
    _check_diffusion(problem, dtype)
    if problem.domain.period is not None:
        _check_periodic(problem, problem.domain.period)
    v, (low, high) = problem.potential, problem.domain.reach(problem.law)
    if isinstance(problem.interaction, kernels.Expressed) and (found := jump(problem.interaction.expression)):
        raise ConfigError(
            f"interaction={problem.interaction} jumps by {found.height:.3g} at r={found.x:.4g}: expected a continuous "
            "W, since the force is infinite there; write a steep slope instead, as tanh has it"
        )
    if isinstance(w := problem.interaction, Pairwise) and not type(w).__module__.startswith("wgf."):
        _check_force(w, problem.law.std)
    if v.vanishes:
        return
    if v.moves and problem.steady:
        raise ConfigError(f"stop=steady with potential={v} is impossible: a driven flow never rests, use stop=end")
    times = [problem.t_end * k / MOMENTS for k in range(MOMENTS + 1)] if v.moves else [0.0]
    _check_values(v.at(0.0), low, high)
    for wall in problem.domain.walls:
        if wall is not None and not math.isfinite(v.at(0.0).derivative(torch.tensor([wall], dtype=torch.float64))):
            raise ConfigError(
                f"potential={v} has no finite slope at the wall x={wall:g}, where a map has an end: smooth it there, "
                "as sqrt(x + 1e-6) does sqrt(x), or move the wall"
            )
    for t in times:
        _check_jumps(v.at(t), problem, t)
        if not v.polynomial and (x := singular_point(v.at(t), low, high)) is not None:
            when = f" at t={t:.4g}" if v.moves else ""
            raise ConfigError(
                f"potential={v} is not finite at x={x:.4g}{when}, which the initial law reaches: expected a finite V "
                f"and V' from {low:.4g} to {high:.4g}; choose another potential or law"
            )
    spread = 8.6 * math.sqrt(2 * (problem.linear_diffusion or 0.0) * problem.t_end)
    if problem.domain.period is not None:
        return
    if not problem.interaction.vanishes:
        return  # an attraction may hold mass that would fall to infinity: only the computation can decide
    mean = problem.law.mean
    ends = [(mean + side * math.hypot(end - mean, spread), side) for end, side in ((low, -1.0), (high, 1.0))]
    slopes = v.at(0.0).derivative(torch.tensor([x for x, _ in ends], dtype=torch.float64)).tolist()
    for (x, side), slope, wall in zip(ends, slopes, problem.domain.walls, strict=True):
        if wall is not None or side * slope >= 0:  # what is there turns back at once
            continue
        t = max(escape_time(v.at(t), x, side, HUGE[dtype], problem.law.std) for t in times)
        if t < problem.t_end:
            raise ConfigError(
                f"potential={v} falls so fast that what is at x={x:.4g} is beyond {HUGE[dtype]:.0e} at t={t:.4g}, too "
                "far for numbers if not at infinity: lower t_end below that, or give a potential that falls more slowly"
            )


def _check_diffusion(problem: Problem, dtype: torch.dtype) -> None:
    """Check that numbers of a dtype hold the coefficient of the diffusion: as 0 it would diffuse nothing."""
    diffusion = None if problem.internal is None else problem.internal.power_diffusion()
    size = 1.0 if diffusion is None else abs(float(diffusion.coefficient))
    if size and not torch.finfo(dtype).tiny < size < torch.finfo(dtype).max:
        raise ConfigError(
            f"the diffusion has the coefficient {size:.3g}, which {str(dtype).removeprefix('torch.')} does not hold: "
            "choose units in which it is nearer to 1, or dtype=float64"
        )


def _check_values(v: Potential, low: float, high: float) -> None:
    """Check that a potential has a value at each of some places between `low` and `high`."""
    x = torch.linspace(low, high, 5, dtype=torch.float64)
    try:
        value = v.value_at(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"potential={v}: its value_at fails at a tensor of 5 places: {in_one_line(error)}") from error
    if not isinstance(value, torch.Tensor) or value.shape != x.shape:
        what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise ConfigError(f"potential={v}: its value_at of 5 places is {what}: expected a tensor of shape (5,)")


def _check_force(kernel: Pairwise, std: float) -> None:
    """Check that the force of a kernel of one's own is its derivative, by differences where these are known.

    Args:
        kernel: it.
        std: of the law (length).

    Raises:
        ConfigError: it is not.
    """
    r = std * torch.logspace(-2, 1, 31, dtype=torch.float64)
    r = torch.cat([-r.flip(0), r])

    def slope(h: float) -> torch.Tensor:
        return (kernel.kernel(r * (1 + h)) - kernel.kernel(r * (1 - h))) / (2 * h * r)

    coarse, fine, force = slope(2e-4), slope(1e-4), kernel.force(r)
    wrong = (coarse - fine).abs() <= APART * fine.abs()
    wrong &= (force - fine).abs() > 10 * APART * (force.abs() + fine.abs())
    if bool(wrong.any()):
        k = int(wrong.nonzero()[0])
        raise ConfigError(
            f"interaction={kernel}: its force is {float(force[k]):.4g} at r={float(r[k]):.4g}, where its kernel has "
            f"the slope {float(fine[k]):.4g}: expected the derivative of kernel, else the energy does not fall"
        )


def _check_jumps(v: Potential, problem: Problem, t: float) -> None:
    """Check that a potential, as it is at a time, does not jump where there may be mass."""
    if not isinstance(v, Expressed):
        return
    low, high = problem.domain.support
    found = jump(v.expression.at(v.t), -math.inf if low is None else low, math.inf if high is None else high)
    if found is not None:
        when = f" at t={t:.4g}" if problem.potential.moves else ""
        raise ConfigError(
            f"potential={v} jumps by {found.height:.3g} at x={found.x:.4g}{when}: expected a continuous V, since the "
            "force is infinite there; write a steep slope instead, as tanh has it, or give a wall by domain=interval"
        )


def _check_law(problem: Problem, dtype: torch.dtype) -> None:
    law = problem.law
    mass, variance = _moments(problem.base, dtype)
    sharp = torch.finfo(dtype).eps * abs(law.mean) < RESOLVED[dtype] * law.std
    near_1 = sharp and 1e-100 < law.std < 1e100
    if near_1 and 0 < mass <= 1 - RESOLVED[dtype] and not problem.base.is_regular:
        raise ConfigError(
            f"law has {1 - mass:.1g} of its mass where no quadrature node is, at an infinite density: expected at most "
            f"{RESOLVED[dtype]:.0e}; choose a law with less mass there, for law=gamma at least law.shape=0.4"
        )
    if not (abs(mass - 1) < RESOLVED[dtype] and near_1):
        raise ConfigError(
            f"law is too narrow, too wide or too far from 0 for {str(dtype).removeprefix('torch.')} (mean "
            f"{law.mean:.3g}, standard deviation {law.std:.3g}): choose units in which both are near 1"
        )
    missing = 1 - variance
    if missing > LIGHT[dtype]:
        raise ConfigError(
            f"law has tails so heavy that {missing:.1g} of its variance lies where no quadrature node is: expected at "
            f"most {LIGHT[dtype]:.0e}; choose lighter tails, for law=student at least law.df=2.5"
        )


@kept(KEPT)
def _moments(base: Base, dtype: torch.dtype) -> tuple[float, float]:
    """Mass of a base on the nodes of a rule, and its variance there as a share of its own."""
    nodes = Gauss().nodes(base, torch.empty(0, dtype=dtype))
    return float(nodes.w.sum()), float(torch.dot(nodes.w, ((nodes.z - base.mean) / base.std) ** 2))


def _check_periodic(problem: Problem, length: float) -> None:
    """Check that forces are the same after a turn of the circle.

    Raises:
        ConfigError: they are not, or the kernel has a kink, which quadrature on a circle does not resolve.
    """
    x = torch.linspace(0.0, length, SAMPLES + 1, dtype=torch.float64)[1:-1] + 0.1 * length / SAMPLES
    v, kernel = problem.potential, problem.interaction
    times = [problem.t_end * k / MOMENTS for k in range(MOMENTS + 1)]
    if not v.vanishes and not all(_repeats(v.at(t).derivative, x, length, v.at(t).value_at(x)) for t in times):
        raise ConfigError(
            f"potential={v} is impossible on {problem.domain}: expected a periodic slope, such as that of cos(x) with "
            "length 2 pi; potential.force adds a constant force"
        )
    if kernel.vanishes:
        return
    kink, force = kernel.split() if kernel.elementary or isinstance(kernel, Pairwise) else (1.0, None)
    if kink or force is None or not _repeats(force, x, length, force(x) * length):
        raise ConfigError(
            f"interaction={kernel} is impossible on {problem.domain}: expected a smooth periodic kernel, such as "
            "interaction=expression interaction.expr=-cos(r) with length 2 pi"
        )


def _repeats(
    force: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, length: float, energy: torch.Tensor
) -> bool:
    """Whether a force is the same at x [n] and one turn away, but for the rounding of an energy [n]."""
    here, there = force(x), force(x + length)
    same = PERIODIC * here.abs().max() + ROUNDING * energy.abs().max() / length
    return bool(here.isfinite().all()) and bool(((here - there).abs() <= same).all())


@kept(KEPT)
def singular_point(v: Potential, low: float, high: float) -> float | None:
    """A point strictly between two others where V or V' is not finite, or grows at least like log|x - x0| or its
    slope; None where there is none among those that sampling and zooming find.

    Args:
        v: the potential.
        low, high: ends (length).
    """
    x = torch.linspace(low, high, SAMPLES + 1, dtype=torch.float64)[1:-1]
    value, slope, bend = v.value_at(x), v.derivative(x), v.second_derivative(x).abs()
    bad = ~(value.isfinite() & slope.isfinite())
    if bad.any():
        return float(x[bad][0])
    bend = bend.nan_to_num(nan=math.inf)
    k = torch.arange(4, len(x) - 4)
    peak = (bend[k] >= bend[k - 1]) & (bend[k] >= bend[k + 1]) & (bend[k] > 3 * torch.maximum(bend[k - 4], bend[k + 4]))
    places = k[peak][bend[k[peak]].argsort(descending=True)][:MOST]
    return next((place for k in places if (place := _zoom(v, float(x[k]), 2 * float(x[1] - x[0]))) is not None), None)


def _zoom(v: Potential, x: float, h: float) -> float | None:
    """The singular point within h of x, if there is one."""
    rises = []
    for _ in range(LEVELS):
        points = torch.linspace(x - h, x + h, 2 * ZOOM + 2, dtype=torch.float64)
        value, slope = v.value_at(points), v.derivative(points).abs()
        bad = ~(value.isfinite() & slope.isfinite())
        if bad.any():
            return float(points[bad][0])
        x, h = float(points[slope.argmax()]), h / ZOOM
        # constant for a logarithm, ever smaller where V is continuous; the largest may have met the point by chance
        rises.append(float(slope.topk(2).values[1]) * h)
        if h < 1e-13 * abs(x):
            break
    first, last = np.median(rises[:3]), np.median(rises[-3:])
    return x if last > 0.2 * first > 0 else None


def escape_time(v: Potential, x: float, side: float, far: float, width: float) -> float:
    """How long x' = -V'(x) takes from x to far away on one side; infinite if it turns back or is not known (time). The
    first place beyond x is a thousandth of |x| and of the law's width away (length)."""
    near = math.log(1e-3 * (width + abs(x)))
    distance = torch.linspace(near, math.log(far), DECADES, dtype=torch.float64).exp()
    speed = -side * v.derivative(torch.cat([torch.zeros(1, dtype=torch.float64), distance]) * side + x)
    stop = len(speed) if bool(speed.isfinite().all()) else int((~speed.isfinite()).nonzero()[0])
    if bool((speed[:stop] <= 0).any()) or stop < 2 or bool(speed[stop - 1 : stop + 1].isnan().any()):
        return math.inf
    places = torch.cat([torch.zeros(1, dtype=torch.float64), distance])[:stop]
    return float(torch.trapezoid(1 / speed[:stop], places))
