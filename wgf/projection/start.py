"""The first parameters of a map: L2(p) projection of T(0), which carries the base to the initial law."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from wgf.errors import ConfigError
from wgf.networks.base import TransportMap
from wgf.networks.spline_space import SplineSpace
from wgf.problem.base import Start
from wgf.problem.domain import Domain
from wgf.problem.quadrature import Gauss, Nodes
from wgf.projection.chart import Chart
from wgf.projection.increasing import differences, increasing, nudged

log = logging.getLogger("wgf")

CELL = 1e-9  # mass of a cell times the square of the rise of T(0) over it, relative to the variance of the law
ROUNDS = 60
SEAM = 14  # halvings of a circle towards the point where turns begin
ORDER = 4  # nodes in a cell; there are about a thousand cells
TOLERANCE = 3e-3  # W2 error of the start that needs no other breakpoints, relative to the standard deviation of the law
MOST = 3  # times as many breakpoints as the network has
SHARES = (1.0, 0.75, 0.5, 0.25)  # of the network's breakpoints with which the halving begins
FEWEST = 5  # breakpoints with which the halving begins at least
RATIO = 6.0  # largest ratio of neighbouring cells


@lru_cache(maxsize=4)
def mesh(start: Start) -> Tensor:
    """Edges [n] of cells on which T(0) is resolved, also where it jumps across a gap (length)."""
    edges = torch.tensor(start.base.panels(), dtype=torch.float64)
    places = start(edges)
    for _ in range(ROUNDS):
        middle = 0.5 * (edges[1:] + edges[:-1])
        heavy = start.base.mass(edges[:-1], edges[1:]) * places.diff().nan_to_num() ** 2 > CELL * start.law.std**2
        split = middle[heavy & (edges[:-1] < middle) & (middle < edges[1:])]
        if not len(split):
            break
        edges, order = torch.cat([edges, split]).sort()
        places = torch.cat([places, start(split)])[order]
    return edges


def target(start: Start, points: Tensor, domain: Domain) -> tuple[Nodes, Tensor]:
    """Quadrature nodes for T(0) on the cells of `mesh` between the points [m] (length), and T(0) [n] at the nodes, on
    the CPU in float64. On a circle T(0) may jump where the turns begin: there cells shrink."""
    seam = torch.empty(0, dtype=torch.float64)
    if domain.period is not None:
        near = domain.period * 0.5 ** torch.arange(1, SEAM, dtype=torch.float64)
        seam = torch.cat([near, domain.period - near])
    nodes = Gauss(ORDER).nodes(start.base, torch.cat([mesh(start), points.detach().double().cpu(), seam]))
    goal = start(nodes.z)
    seen = (nodes.w > 0) & goal.isfinite()  # at an edge the last 1e-16 of the mass has no rank
    return Nodes(nodes.z[seen], nodes.w[seen], start.base), goal[seen]


@dataclass(frozen=True)
class Fit:
    """An increasing map next to T(0) in L2(p).

    Attributes:
        chart: coordinates on the breakpoints, with quadrature nodes for T(0).
        c: coordinates of the map [M].
        squares: int (map - T(0))^2 p over the cells between the breakpoints [m - 1] (length^2).
        distance: W2 distance between the two (length).
    """

    chart: Chart
    c: Tensor
    squares: Tensor
    distance: float


def fit(space: SplineSpace, start: Start, domain: Domain) -> Fit:
    """The least squares spline for T(0), also where it is flat to rounding. If it does not increase, the nearest map in
    L2(p) among those whose coefficients rise by at least a share of the rise of T(0) between their Greville points."""
    nodes, goal = target(start, space.points, domain)
    found = _least_squares(space, nodes, goal, domain)
    chart = found.chart

    def increases(c: Tensor) -> bool:
        return float(chart.at_nodes(c).dx.min()) > 0 and float(differences(chart)(c).min()) > 0

    if increases(found.c):
        return found
    nearly = nudged(chart, found.c, start)
    return _measured(chart, nearly if increases(nearly) else increasing(chart, found.c, start), goal)


def _least_squares(space: SplineSpace, nodes: Nodes, goal: Tensor, domain: Domain) -> Fit:
    """The spline next to `goal` [n] in L2(p), increasing or not."""
    chart = Chart(space, nodes, nodes, domain)
    return _measured(chart, chart.nearest(goal), goal)


def _measured(chart: Chart, c: Tensor, goal: Tensor) -> Fit:
    points, nodes = chart.space.points, chart.nodes
    squares = nodes.w * (chart.at_nodes(c).x - goal) ** 2
    cell = torch.searchsorted(points[1:-1].contiguous(), nodes.z)
    by_cell = torch.zeros(len(points) - 1, dtype=torch.float64).index_add(0, cell, squares)
    return Fit(chart, c, by_cell, math.sqrt(float(squares.sum())))


def _space(map: TransportMap) -> SplineSpace:
    """Spline space of a map on the CPU in float64.

    Raises:
        ConfigError: the network can only start as the identity.
    """
    space = map.space()
    if space is None or not map.any_start:
        raise ConfigError(
            f"{type(map).__name__} starts as the identity: use base=law, a law with a density, or network=spline"
        )
    return space.on(space.points.detach().double().cpu())


def initial(map: TransportMap, start: Start, domain: Domain) -> Tensor:
    """Parameters [p] of the map at t = 0: the identity, or the increasing map next to T(0) in L2(p), see `fit`.

    Raises:
        ConfigError: the network can only start as the identity, and the law is not its base.
    """
    identity = map.theta.detach()
    if start.is_identity:
        return identity.clone()
    found = fit(_space(map), start, domain)
    return found.chart.lift(found.c).to(identity)


def on_domain(map: TransportMap, domain: Domain) -> TransportMap:
    """The map on breakpoints whose outermost ones lie at the walls, or a periodic map."""
    if domain.is_line:
        return map
    if domain.period is not None:
        return map.on_circle(domain.period)
    points = map.breakpoints()
    low, high = (float(points[end]) if wall is None else wall for end, wall in zip((0, -1), domain.held, strict=True))
    share = (points - points[0]) / (points[-1] - points[0])
    stretched = low + (high - low) * share
    stretched[0], stretched[-1] = low, high
    return map.on_breakpoints(stretched)


def placed(map: TransportMap, start: Start, domain: Domain) -> TransportMap:
    """The map on breakpoints that resolve T(0).

    The breakpoints stay as they are if they represent T(0) to TOLERANCE. Else this function halves the cells with the
    largest errors. If that takes more than MOST times as many breakpoints, it begins with fewer equidistant ones.
    Adaptive breakpoints represent T(0) to their own tolerance.

    Raises:
        ConfigError: the network can only start as the identity, and the law is not its base.
    """
    map = on_domain(map, domain)
    if start.is_identity:
        return map
    space = _space(map)
    nodes, goal = target(start, space.points, domain)
    points = space.points
    best = _least_squares(space, nodes, goal, domain)
    adaptation = map.adaptation
    if adaptation is None or adaptation.tol is None:
        tolerance, most = TOLERANCE * start.law.std, MOST * len(points)
    else:
        tolerance, most = adaptation.tol * start.law.std, adaptation.most
    for share in SHARES:
        count = max(FEWEST if domain.period is None else space.bandwidth + 2, int(share * len(space.points)))
        points = (
            torch.linspace(float(points[0]), float(points[-1]), count, dtype=torch.float64) if share < 1 else points
        )
        while best.distance > tolerance and len(points) <= most:
            trial = _least_squares(space.on(points), nodes, goal, domain)
            best = min(best, trial, key=lambda found: found.distance)
            least = max(0.25 * tolerance**2 / len(points), 0.02 * float(trial.squares.max()))
            finer = graded(torch.cat([points, 0.5 * (points[1:] + points[:-1])[trial.squares > least]]).sort().values)
            if int(torch.histogram(nodes.z, finer).hist.min()) == 0:  # no mass left to resolve
                break
            points = finer
    points = best.chart.space.points
    if len(points) != len(space.points):
        log.info("the start needs %d breakpoints instead of %d", len(points), len(space.points))
    return map.on_breakpoints(points.to(map.theta))


def graded(points: Tensor) -> Tensor:
    """Breakpoints [n] with more of them, so that no cell is more than RATIO times as wide as its neighbour (length)."""
    while True:
        width = points.diff()
        left, right = pad(width[:-1], (1, 0), value=math.inf), pad(width[1:], (0, 1), value=math.inf)
        wide = width > RATIO * torch.minimum(left, right)
        if not bool(wide.any()):
            return points
        points = torch.cat([points, 0.5 * (points[1:] + points[:-1])[wide]]).sort().values
