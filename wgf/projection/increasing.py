"""The increasing spline next to a given one in L2(p): a quadratic program with a banded matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from wgf.networks.periodic import PeriodicSpace
from wgf.problem.base import Start
from wgf.projection.chart import Chart
from wgf.projection.linalg.banded import Cholesky

RISE = 0.2  # smallest rise of the coefficients, relative to that of T(0) between the Greville points
FLAT, HIDDEN = 1e-7, 1e-15  # least slope of T(0) relative to the ratio of the widths; masses that hide its ends
BARRIER_END, NEWTON = 1e-10, 12  # last strength of the barrier, relative to the first; Newton steps per strength
ROUNDED, MOST = 1e-9, 1e-6  # of a fall of coefficients, relative to their rise: of a law near 0, and of one far away
SHORTEST = 1e-8  # share of a Newton step


class Differences:
    """Differences of the coefficients of B-splines [M - 1] in the coordinates of a chart; the map increases if all are
    positive. Each row of the matrix has two entries, one at an end with a tail. Its derivatives in coordinates held at
    a wall are 0."""

    def __init__(self, chart: Chart) -> None:
        ones = torch.ones(chart.size - 1, dtype=torch.float64)
        self.first, self.second = -ones, ones.clone()
        if 0 in chart.tails:
            self.second[0] = 0.0
        if -1 in chart.tails:
            self.first[-1] = 0.0
        free = chart.free.to(torch.float64)
        self._left, self._right = self.first * free[:-1], self.second * free[1:]

    def __call__(self, c: Tensor) -> Tensor:
        return self.first * c[:-1] + self.second * c[1:]

    def change(self, step: Tensor) -> Tensor:
        """Change of the differences for a step of the coordinates [M]."""
        return self(step)

    def adjoint(self, r: Tensor) -> Tensor:
        """Product of the transposed matrix with r [M - 1]."""
        return pad(self._left * r, (0, 1)) + pad(self._right * r, (1, 0))

    def band(self, r: Tensor, rows: int) -> Tensor:
        """Band [rows, M] of D^T diag(r) D for r [M - 1]."""
        band = r.new_zeros(rows, len(r) + 1)
        band[0] = pad(self._left**2 * r, (0, 1)) + pad(self._right**2 * r, (1, 0))
        band[1, :-1] = self._left * self._right * r
        return band


class CircularDifferences(Differences):
    """Differences of the coefficients of a map of a circle, each from its neighbour around the circle [n]."""

    def __init__(self, space: PeriodicSpace) -> None:
        self.space, natural = space, space.lift(space.greville())
        self._place = space.coordinates
        self.identity = natural.roll(-1) - natural
        self.identity[-1] += space.length

    def __call__(self, c: Tensor) -> Tensor:
        return self.identity + self.change(c)

    def change(self, step: Tensor) -> Tensor:
        natural = self.space.lift(step)
        return natural.roll(-1) - natural

    def adjoint(self, r: Tensor) -> Tensor:
        return self.space.coefficients(r.roll(1) - r)

    def band(self, r: Tensor, rows: int) -> Tensor:
        band = r.new_zeros(rows, len(r))
        band[0] = self.space.coefficients(r + r.roll(1))
        one, other = self._place, self._place.roll(-1)
        band[(one - other).abs(), torch.minimum(one, other)] = -r
        return band


def differences(chart: Chart) -> Differences:
    """Differences of the coefficients of a map in the coordinates of a chart."""
    return CircularDifferences(chart.space) if isinstance(chart.space, PeriodicSpace) else Differences(chart)


def increasing(chart: Chart, wanted: Tensor, start: Start) -> Tensor:
    """Coordinates [M] next to `wanted` in L2(p) among those of maps whose coefficients rise by at least RISE times the
    rise of T(0) between their Greville points.

    An interior point method: the barrier -mu sum log(rise - least rise) has a banded Hessian.
    """
    difference, mass = differences(chart), chart.mass
    c = _first(chart, start)
    least = RISE * difference(c)
    gap = c - wanted
    mu = float(torch.dot(gap, mass.matvec(gap))) / len(c)
    last = BARRIER_END * mu

    def objective(c: Tensor) -> float:
        slack, gap = difference(c) - least, c - wanted
        if float(slack.min()) <= 0:
            return math.inf
        return float(0.5 * torch.dot(gap, mass.matvec(gap)) - mu * torch.log(slack).sum())

    while mu > last:
        for _ in range(NEWTON):
            slack = difference(c) - least
            gradient = mass.matvec(c - wanted) - mu * difference.adjoint(1 / slack)
            step = -Cholesky(mass.band + difference.band(mu / slack**2, len(mass.band))).solve(gradient)
            decrement = -float(torch.dot(gradient, step))
            change = difference.change(step)
            reach = float(torch.where(change < 0, -slack / change, math.inf).min())
            length, here = min(1.0, 0.95 * reach), objective(c)
            while length > SHORTEST and objective(c + length * step) > here - 1e-4 * length * decrement:
                length *= 0.5
            c = c + length * step
            if decrement < 0.1 * mu:
                break
        mu *= 0.1
    return c


def nudged(chart: Chart, c: Tensor, start: Start) -> Tensor:
    """Coordinates c [M] moved by as much as rounding may change them towards those of an increasing map: a map that is
    flat to rounding, such as T(0) at an edge where p vanishes, increases."""
    rounded = ROUNDED * (1 + abs(start.law.mean) / start.law.std)
    return torch.lerp(c, _first(chart, start), min(rounded, MOST))


def _first(chart: Chart, start: Start) -> Tensor:
    """Coordinates [M] of the map whose coefficients are values of T(0) at the Greville points: it increases."""
    hidden = torch.tensor(HIDDEN, dtype=torch.float64)
    ends = start.base.quantile(hidden), start.base.upper_quantile(hidden)
    if isinstance(space := chart.space, PeriodicSpace):
        greville, length = space.greville(), float(space.length)
        turns = (greville / length).floor()
        return (1 - FLAT) * (start((greville - length * turns).clamp(*ends)) + length * turns - greville)
    greville = _greville(chart)
    values = start(greville.clamp(*ends))
    values = values + FLAT * start.law.std / start.base.std * (greville - greville[0])  # no interval without a rise
    return chart.from_splines(torch.where(chart.free, values, chart.walls))


def _greville(chart: Chart) -> Tensor:
    """Means of k neighbouring knots [M] (length): the coefficients of the identity."""
    points, k = chart.space.points, chart.space.degree
    knots = torch.cat([points[:1].expand(k), points, points[-1:].expand(k)])
    return knots[1:-1].unfold(0, k, 1).mean(1)
