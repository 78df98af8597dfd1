"""Start knots for moving knots, placed where a coarse run of the same flow bends the map.

The identity is the same map on any knots, so the start knots are free. The L^r(p) error of a piecewise linear map in a
cell of width h is proportional to (p |T''|^r h^(2r+1))^(1/r), so the best density of knots is proportional to
(p |T''|^r)^(1/(2r+1)). A coarse run from equispaced knots gives T'' at the end time; it takes Gauss nodes also for runs
on random particles, whose noise would only shorten its steps.
The knots therefore look ahead to the end time; a run to another end time starts from other knots.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from wgf.integrators.limex import Limex
from wgf.integrators.status import Status
from wgf.integrators.time_loop import LoopCallback, run
from wgf.networks.knot_space import Broken
from wgf.networks.relu import TwoSidedReLU, initial_knots, reach
from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto, Solver

RTOL, MAX_STEPS = 1e-5, 500  # of the coarse run
USEFUL = (Status.completed, Status.max_steps, Status.blow_up)  # ends of the coarse run
WIDTH = 32  # of the network of the coarse run; 128 neurons place the knots equally well, 4 do so badly
POWER = 1.1  # r; with 1, the best W1, the W2 error is up to 1.55 times the best; with 1.1, W1 is up to 5 % larger
FLOOR = 0.1  # smallest |T''| in the density of knots, relative to its root mean square
SMOOTHING = 2.0  # cells over which T''^2 is averaged
GRID = 4001


def adapted(problem: Problem, map: TwoSidedReLU, solver: Solver) -> TwoSidedReLU:
    """The network with start knots from a coarse run.

    If this run fails, the knots are equispaced; if a run from these fails, too, they are the paper's pairs, whose cells
    are twice as wide.
    """
    theta = map.theta
    if (final := coarse(problem, map, solver, WIDTH)) is not None:
        return map.with_start_knots(equidistributed(map.base, final, len(map.start_knots)).to(theta))
    if coarse(problem, map, solver, map.width) is not None:
        return map
    return map.with_start_knots(initial_knots(map.base, map.width, map.bound, map.margin).to(theta))


def coarse(problem: Problem, map: TwoSidedReLU, solver: Solver, width: int) -> Broken | None:
    """Map at the end of a run from equispaced knots with few digits; None if it fails.

    A run of MAX_STEPS steps may end early: a flow that needs so many has come to rest. A run that blows up ends at the
    map that concentrates: knots for this map find the time of the blow-up better than equispaced ones.
    """
    network = TwoSidedReLU(width, map.bound, "all", "uniform", base=map.base).to(map.theta.device)
    field = Projection(problem, network, Gauss(), Auto() if solver.regularisation(map) is None else solver)
    end = run(field, Limex(rtol=RTOL, max_steps=MAX_STEPS), field.initial, [problem.t_end], LoopCallback())
    final = end.state.evaluation.knots
    return final.map if end.status in USEFUL and final is not None else None


def bending(map: Broken) -> Tensor:
    """T'' at the knots [K] (1/length): jump of the slope by the mean width of both cells."""
    widths = torch.cat([map.h[:1], map.h, map.h[-1:]])
    return map.slopes.diff() / (0.5 * (widths[1:] + widths[:-1]))


def equidistributed(base: Base, map: Broken, count: int) -> Tensor:
    """Knots [count] (length) with equal integrals of (p |T''|^r)^(1/(2r+1)) between them.

    T''^2 + FLOOR^2 mean T''^2 takes the place of T''^2, so that knots stay where the map hardly bends.
    """
    low, high = reach(base)
    z = torch.linspace(low, high, GRID + 2, dtype=map.b.dtype, device=map.b.device)[1:-1]
    p = base.density(z)
    square = smoothed(interpolated(z, map.b, bending(map)) ** 2, SMOOTHING * map.h.mean() / (z[1] - z[0]))
    floor = FLOOR**2 * torch.dot(square, p) / p.sum() + torch.finfo(z.dtype).eps
    density = (p * (square + floor) ** (POWER / 2)) ** (1 / (2 * POWER + 1))
    share = pad((0.5 * (density[1:] + density[:-1])).cumsum(0), (1, 0))
    levels = torch.arange(1, count + 1, dtype=z.dtype, device=z.device) / (count + 1)
    return interpolated(levels, share / share[-1], z)


def interpolated(x: Tensor, points: Tensor, values: Tensor) -> Tensor:
    """Linear interpolation at x [n] of values at increasing points [k]; constant beyond them."""
    cell = torch.searchsorted(points[1:-1].contiguous(), x, right=True)
    share = ((x - points[cell]) / (points[cell + 1] - points[cell])).clamp(0.0, 1.0)
    return torch.lerp(values[cell], values[cell + 1], share)


def smoothed(values: Tensor, width: Tensor) -> Tensor:
    """Average of values [n] over `width` grid points with the weights of a Hann window."""
    half = max(1, round(float(width) / 2))
    window = torch.hann_window(2 * half + 3, periodic=False, dtype=values.dtype, device=values.device)[1:-1]
    extended = torch.cat([values[:1].expand(half), values, values[-1:].expand(half)])
    return conv1d(extended[None, None], (window / window.sum())[None, None])[0, 0]
