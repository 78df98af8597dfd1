"""Breakpoints that follow the solution: after a step, a mesh proposes other breakpoints for the map.

`ByTolerance` splits and merges cells so that the estimated error of each is about tol^2 / m. A step that left a cell
with a far larger error is taken again on split cells. `Equidistribution` moves a fixed number of breakpoints.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from wgf.networks.spline_space import TAIL_MASS
from wgf.projection.field import Projection
from wgf.projection.indicator import Errors, Indicator
from wgf.projection.start import graded
from wgf.projection.transfer import Transfer, transferred

AGAIN = 3.0  # squared error of a cell, relative to its share of tol^2, above which the step is taken again
MERGED = 0.02  # predicted squared error of a merged cell, relative to that share
FREE, FEWEST = 0.1, 10  # share of cells that must merge at once; number of cells from which cells merge
MOVED = 0.1  # W2 distance that merging may move the map, relative to tol
UNRESOLVED = 4.0  # estimated distance to the splines, in tolerances, above which the breakpoints are too few
LEAST = 8  # tol^2 is shared between so many cells at least
TIE = 1e-6  # relative difference of predicted errors that rounding may decide
TRIGGER, FLOOR, PASSES = 1.1, 0.02, 2  # of equidistribution: gain in the error; smallest |T^(k+1)|; smoothing passes


class Change(NamedTuple):
    """Other breakpoints for a flow.

    Attributes:
        transfer: the flow on them.
        again: whether it is the flow before the step, from which the step is taken again.
    """

    transfer: Transfer
    again: bool = False


class Mesh(ABC):
    """Proposes breakpoints. It depends on the present flow only, so a resumed run takes the same steps.

    Attributes:
        error: estimated W2 distance of the last state from the splines on its breakpoints (length).
    """

    error = 0.0
    _indicator: Indicator | None = None

    def look(self, projection: Projection, theta: Tensor) -> tuple[Indicator, Errors]:
        """Estimate the errors of a map with parameters theta [p]."""
        landscape = projection.landscape
        assert landscape is not None
        space = landscape.chart.space
        if self._indicator is None or self._indicator.space is not space:
            self._indicator = Indicator(landscape.chart)
        errors = self._indicator.errors(space.coefficients(theta))
        self.error = math.sqrt(float(errors.cells.sum() + errors.tails.sum()))
        return self._indicator, errors

    @abstractmethod
    def changes(self, projection: Projection, before: Tensor, after: Tensor) -> Iterator[Change]:
        """Changes after a step of the projection from the parameters `before` to `after` [p], the best first; the time
        loop takes the first one that keeps the energy below that before the step."""


class ByTolerance(Mesh):
    """Splits and merges cells.

    Args:
        tol: wanted W2 error (length).
        most: largest number of breakpoints.
    """

    def __init__(self, tol: float, most: int) -> None:
        self.tol, self.most = tol, most

    def changes(self, projection: Projection, before: Tensor, after: Tensor) -> Iterator[Change]:
        begin, end = projection.stage(0.0), projection.stage(1.0)
        indicator, errors = self.look(end, after)
        share = self.tol**2 / max(len(errors.cells), LEAST)
        finer = self._split(projection, indicator, errors, share)
        if finer is not None:
            if float(errors.cells.max()) > AGAIN * share or float(errors.tails.max()) > AGAIN**2 * share:
                yield Change(transferred(begin, before, finer), again=True)
            yield Change(transferred(end, after, finer))
            return
        coarser = self._merged(indicator, errors, share)
        if coarser is not None:
            found = transferred(end, after, coarser)
            if found.distance < MOVED * self.tol:
                yield Change(found)

    def _split(self, projection: Projection, indicator: Indicator, errors: Errors, share: float) -> Tensor | None:
        """More breakpoints [m] where errors are too large; None if they are small, or `most` allows no more."""
        points, base = indicator.space.points, projection.map.base
        middle = 0.5 * (points[1:] + points[:-1])
        beyond = torch.stack([base.cdf(points[0]), base.survival(points[-1])])
        outer = torch.stack([points[0] - indicator.h[0], points[-1] + indicator.h[-1]])
        wanted = torch.cat([errors.cells > share, (errors.tails > share) & (beyond > TAIL_MASS)])
        size = torch.cat([errors.cells, errors.tails])[wanted]
        added = torch.cat([middle, outer])[wanted][size.argsort(descending=True, stable=True)]
        count = min(len(added), self.most - len(points))
        while count > 0:
            finer = graded(torch.cat([points, added[:count]]).sort().values)
            if len(finer) <= self.most:
                return finer
            count //= 2
        return None

    def _merged(self, indicator: Indicator, errors: Errors, share: float) -> Tensor | None:
        """Fewer breakpoints [m]; None if too few cells can merge."""
        h, mass, bends, points = indicator.h, indicator.mass, errors.bends, indicator.space.points
        if len(h) <= FEWEST:
            return None
        wide = indicator.predicted(h[1:] + h[:-1], mass[1:] + mass[:-1], torch.maximum(bends[1:], bends[:-1]))
        removed = pad(alternate(wide < MERGED * share, wide), (1, 1))
        if int(removed.sum()) < max(2.0, FREE * len(h)):
            return None
        coarser = graded(points[~removed])
        if len(coarser) <= indicator.space.bandwidth + 1:
            return None
        return coarser if len(coarser) < (1 - 0.7 * FREE) * len(points) else None


class Equidistribution(Mesh):
    """Moves a fixed number of breakpoints, the outer ones excepted, so that the integral of (p |T^(k+1)|^2)^(1/(2k+3))
    is the same over all cells. It does so where this would reduce the estimated error by TRIGGER. For smooth flows."""

    def changes(self, projection: Projection, before: Tensor, after: Tensor) -> Iterator[Change]:
        projection = projection.stage(1.0)
        indicator, errors = self.look(projection, after)
        power, points = 2 * indicator.space.degree + 3, indicator.space.points
        monitor = self._monitor(indicator, errors, 1 / power)
        content = monitor * indicator.h
        now = (content**power).sum().sqrt()
        best = (content.sum() ** power / len(content) ** (power - 1)).sqrt()
        if bool(now <= TRIGGER * best):
            return
        share = pad(content.cumsum(0), (1, 0))
        level = torch.linspace(0, 1, len(points), dtype=points.dtype, device=points.device)[1:-1] * share[-1]
        cell = torch.searchsorted(share[1:-1].contiguous(), level)
        inner = points[cell] + (level - share[cell]) / content[cell] * indicator.h[cell]
        h = torch.cat([points[:1], inner, points[-1:]]).diff().log()
        for _ in range(PASSES):
            h = torch.cat([h[:1], (h[:-2] + h[1:-1] + h[2:]) / 3, h[-1:]])
        h = h.exp()
        h = h * (points[-1] - points[0]) / h.sum()
        placed = torch.cat([points[:1], points[0] + h[:-1].cumsum(0), points[-1:]])
        yield Change(transferred(projection, after, placed))

    @staticmethod
    def _monitor(indicator: Indicator, errors: Errors, power: float) -> Tensor:
        """(p |T^(k+1)|^2)^power on the cells [m - 1], smoothed, with a floor."""
        mass, square = indicator.mass.clamp(min=torch.finfo(errors.bends.dtype).tiny), errors.bends**2
        for _ in range(PASSES):
            wide = torch.cat([square[:1], square, square[-1:]])
            square = (wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4
        return (mass / indicator.h * (square + FLOOR**2 * torch.dot(mass, square) / mass.sum())) ** power


def alternate(candidates: Tensor, cost: Tensor) -> Tensor:
    """Entries of each run of True entries [n], no two of them neighbours: every second one from both ends of the run.

    Of two that meet in the middle the one of clearly less cost [n] remains, so that the same entries remain if the
    order is reversed.
    """
    place = torch.arange(1, len(candidates) + 1, device=candidates.device)
    ends = [place - torch.where(runs, 0, place).cummax(0).values for runs in (candidates, candidates.flip(0))]
    chosen = candidates & (torch.minimum(ends[0], ends[1].flip(0)) % 2 == 1)
    meets, less = chosen[:-1] & chosen[1:], cost[:-1] < (1 - TIE) * cost[1:]
    more = cost[1:] < (1 - TIE) * cost[:-1]
    return chosen & ~pad(meets & ~less, (0, 1)) & ~pad(meets & ~more, (1, 0))


def mesh_of(projection: Projection) -> Mesh | None:
    """The mesh that follows the solution of a flow; None for fixed breakpoints."""
    adaptation = projection.map.adaptation
    if adaptation is None:
        return None
    if adaptation.tol is None:
        return Equidistribution()
    return ByTolerance(adaptation.tol * projection.problem.law.std, adaptation.most)
