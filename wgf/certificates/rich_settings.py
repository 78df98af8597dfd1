"""Network, quadrature and method of a rich run."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from wgf.certificates.conditions import conditions
from wgf.integrators.base import Field, Integrator, State, Step
from wgf.integrators.cautious import Cautious
from wgf.integrators.implicit import Rodas4
from wgf.networks.base import TransportMap
from wgf.networks.spline import Spline
from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Gauss, Nodes
from wgf.projection.chart import Chart
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.projection.start import on_domain

DEGREE, TAME = 5, 3  # of the rich spline, and where degree 5 folds in the tails of nonlinear diffusion
BOUND = 7.0  # standard deviations up to which its breakpoints reach on either side, at least
BREAKPOINTS, PAIRED = 64, 32  # at least, and where the kernel needs sums over pairs
FINER, CLOSER = 2.0, 1.4  # breakpoints per length, relative to the run, where degree 5 alone helps little; for pairs
MANY = 160  # breakpoints from which it is
NEAR, FEW = 4.5, 48  # reach and breakpoints of a tame spline, at least
LEAST = 1e-17  # mass beyond which there are no breakpoints
SPARSE = 5  # nodes per cell of its steps where a force is a sum over pairs
RTOL, TIGHTER = 1e-7, 10.0  # tolerance of its steps for an accurate run, and ratio of the tolerances
LOOSE, SHARE = 1e-4, 2e-2  # its largest one, and others relative to their own bound
CAREFUL = 0.1  # both of a tame run, relative to those of others: tails are stiff where it is needed
CALM, NOISE = 112, 9  # breakpoints from which it falls, like this power: stiff modes fill the residual with noise
STEPS = 5_000  # besides one to every saved time: a law that is a point to all digits would go on for hours
PROXIMAL = 250  # iterations of its proximal steps: their order is 1, too low for more than a jump of the initial law
FUTILE = 60  # where each needs sums over pairs


class Unknown(Exception):
    """There is no rich run; the message says why."""


class Folds(Unknown):
    """The map of the rich run folds; a tame one may not."""


class Few(Cautious):
    """`Cautious` for few iterations."""

    taken = 0

    def step(self, field: Field, dt: float, state: State) -> Step:
        most = FUTILE if needs_pairs(field.problem) else PROXIMAL
        if self.taken > most:
            raise Folds(
                f"the map of the richer run folds again and again, {most} proximal iterations did not help: increase "
                "network.width for a closer bound by the run itself"
            )
        found = super().step(field, dt, state)
        self.taken += found.evaluations
        return found


class Rich(Rodas4):
    """The method of a rich run: nobody needs its dissipation."""

    def dissipated(self, chart: Chart, dt: float, g: Tensor, pull: Tensor) -> None:
        return None

    def fallback(self) -> Cautious:
        return Few(self.rtol, self.atol, self.dt, self.dt_min, self.max_steps)


class Felt(Gauss):
    """Gauss rule without the nodes of empty cells, as at the edges of a base: nothing holds a map increasing there."""

    def nodes(self, base: Base, knots: Tensor) -> Nodes:
        found = super().nodes(base, knots)
        felt = found.w > 0
        return replace(found, z=found.z[felt], w=found.w[felt], cell=None if found.cell is None else found.cell[felt])


class Sparse(Felt):
    """Gauss rule with fewer nodes than a network of degree 5 needs, where a force is a sum over their pairs. What that
    costs in accuracy is part of the residual."""

    def least(self, order: int) -> int:
        return SPARSE


def needs_pairs(problem: Problem) -> bool:
    """Whether a force is a sum over pairs of nodes."""
    kernel = problem.interaction.elementary
    return kernel is None or bool(kernel.logarithm)


def richer(
    projection: Projection,
    integrator: Integrator,
    saves: int = 1,
    own: float | None = None,
    tame: bool = False,
    wanted: float | None = None,
) -> tuple[Projection, Rich]:
    """Rich spline and method for a problem with so many saved times.

    Args:
        projection, integrator, own: of the run, as of `rich_run`.
        saves: number of saved times.
        tame: whether to choose a spline that folds less easily in tails.
        wanted: tolerance of its steps; None for one that suits `own`.

    Raises:
        ConfigError: the problem cannot be solved in this way.
    """
    map, problem = projection.map, projection.problem
    space = map.space()
    degree = DEGREE if space is None else space.degree
    points = map.breakpoints() if space is None else space.points
    low = tame or (degree == 1 and conditions(problem).exponent > 1)
    pairs = needs_pairs(problem)
    width, bound = (FEW, NEAR) if tame else (PAIRED if pairs else BREAKPOINTS, BOUND)
    if len(points) > 1:
        reach = float((points[-1] - points[0]) / (2 * map.base.std))
        bound = max(bound, reach if tame else reach + 1)
        alike = math.ceil((len(points) - 1) * _range(map.base, bound) / _range(map.base, reach)) + 1
        better = tame or (degree == 1 and not low) or (pairs and degree < DEGREE)
        width = max(width, alike, 0 if better else min(math.ceil((CLOSER if pairs else FINER) * alike), MANY))
    rtol, atol = (getattr(integrator, name, None) for name in ("rtol", "atol"))
    tight = min(RTOL, (rtol or 1.0) / TIGHTER)
    careful = CAREFUL if tame else 1.0
    if wanted is None:
        suited = math.inf if own is None else SHARE * own / problem.law.std * min(1.0, CALM / width) ** NOISE
        wanted = careful * suited
    rtol = max(tight, min(wanted, careful * LOOSE))
    atol = min(1e-2 * rtol, (atol or 1.0) / TIGHTER) if rtol == tight else 1e-2 * rtol
    method = Rich(rtol=rtol, atol=atol, max_steps=STEPS + saves)

    finer = _within_the_mass(Spline(width=width, degree=TAME if low else DEGREE, bound=bound, base=map.base))
    rule = Sparse(SPARSE) if pairs else Felt()
    richer = Projection(problem, on_domain(finer, problem.domain).to(map.theta.device), rule, Auto())
    method.on(richer)  # which checks that it can
    return richer, method


def _within_the_mass(spline: Spline) -> TransportMap:
    """The spline on as many equal cells, none of them beyond all mass: nothing holds the map increasing there."""
    points, least = spline.breakpoints(), torch.tensor([LEAST], dtype=torch.float64)
    low, high = float(spline.base.quantile(least)), float(spline.base.upper_quantile(least))
    low, high = (low if points[1] < low else float(points[0])), (high if points[-2] > high else float(points[-1]))
    if (low, high) == (float(points[0]), float(points[-1])):
        return spline
    return spline.on_breakpoints(torch.linspace(low, high, len(points), dtype=points.dtype))


def _range(base: Base, bound: float) -> float:
    """Length of the range of breakpoints within a bounded or unbounded support, in standard deviations."""
    low, high = max(base.lower, base.mean - bound * base.std), min(base.upper, base.mean + bound * base.std)
    return (high - low) / base.std
