"""Laws given by a density: a function of tensors, or a formula in the config."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.base import Base
from wgf.problem.laws.inverse import quantile, upper_quantile
from wgf.problem.laws.mesh import SHARE, integrals, resolved
from wgf.settings.formulas.expression import Expression
from wgf.settings.ranges import Finite, FiniteOrNone, Text, checked, fault

FAR, DECADES, NEAR, SAMPLES = 1e6, 13, 20.0, 4000  # of the search for mass: distances from 0 and from the ends (length)
FINE, WIDE = 1e-2, 1e2  # standard deviations that need no second look, in their own unit (length)
SAME = 1e-14  # distance of two places that are one, relative to their distance from 0 and the width of the law
LOST, LOST_MOMENT = 1e-13, 1e-6  # shares of mass and second moment that may lie in the outer half of that search
NEGLIGIBLE = 1e-22  # mass outside the panels
FEW = 24  # cells of equal mass from which the panels are bisected
TINY = 1e-4  # width of a cell at a singular point, in standard deviations
CLOSE, ROUGH = 1e-4, 1e-2  # places next to an edge (cells); change of density or slope at a kink, relative to the peak


class Density(Base):
    """Law with density proportional to a function.

    Gauss rules on bisected cells give the masses. The search for mass sees peaks wider than 0.01 within 20 of 0, or
    within 20 of a finite end, and peaks wider than a tenth of their distance beyond.

    Args:
        function: from tensors x [...] (length) to tensors [...], not negative; it need not be normalised.
        low, high: ends of the support (length); None means that there is none.
        name: how messages call the function.
    """

    derivable: tuple[str, ...] = ()

    @checked
    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        low: FiniteOrNone = None,
        high: FiniteOrNone = None,
        name: str = "density",
    ) -> None:
        if not callable(function):
            raise ConfigError(fault("function", function, "a function from tensors to tensors"))
        self.lower, self.upper = -math.inf if low is None else low, math.inf if high is None else high
        if not self.lower < self.upper:
            raise ConfigError(f"low={low!r} is not allowed: expected a number below high={high!r}")
        self._function = function
        with torch.no_grad():
            ends = self.lower, self.upper
            self._measure(name, 0.0, 1.0)
            if not FINE < self.std < WIDE:
                self.lower, self.upper = ends
                self._measure(name, self.mean, self.std)
            self.smooth = _is_smooth(function, self._edges, self.std)
        masses = integrals(function, self._edges[:-1], self._edges[1:])[0]
        if masses.requires_grad and not self.derivable:
            raise ConfigError(f"{name} depends on a tensor that requires grad, but has no derivatives: detach it")
        self._total, zero = masses.sum(0, keepdim=True), masses.new_zeros(1)
        masses = masses / self._total
        self._left = torch.cat([zero, masses.cumsum(0)])  # mass below each edge
        self._right = torch.cat([masses.flip(0).cumsum(0).flip(0), zero])  # mass above each edge

    def _measure(self, name: str, centre: float, unit: float) -> None:
        """Find the cells, from a centre at distances that are counted in a unit (length), the moments, and where the
        support ends.

        Raises:
            ConfigError: the function is no density.
        """
        function, cells = self._function, self._first_cells(centre, unit)
        middles = 0.5 * (cells[1:] + cells[:-1])
        value = function(middles)
        bad = ~(value.isfinite() & (value >= 0))
        if bad.any():
            k = int(bad.nonzero()[0])
            raise ConfigError(
                f"{name} is {float(value[k]):g} at x={float(middles[k]):.4g}: expected a density, finite and not "
                "negative; restrict it by low and high"
            )
        edges = resolved(function, cells)
        total, first, square = integrals(function, edges[:-1], edges[1:]).sum(1)
        edges = _apart(edges, float((square / total - (first / total) ** 2).clamp(min=0).nan_to_num(0, 0).sqrt()))
        parts = integrals(function, edges[:-1], edges[1:])
        total, square = parts[0].sum(), parts[2].sum()
        if not (0 < float(total) < math.inf and math.isfinite(float(square))):
            raise ConfigError(f"{name} has the integral {float(total):g}: expected a positive finite one")
        far = (0.5 * (edges[1:] + edges[:-1]) - centre).abs() > FAR / 10 * unit
        if bool(far.any()) and (parts[0, far].sum() > LOST * total or parts[2, far].sum() > LOST_MOMENT * square):
            raise ConfigError(f"{name} falls too slowly: expected a finite second moment within {FAR:g} of 0")
        merged = integrals(function, edges[:-2], edges[2:]) - parts[:, :-1] - parts[:, 1:]
        rough = (merged.abs() > SHARE * parts.abs().sum(1, keepdim=True)).any(0)
        kept = _kept(edges, parts[0] / total, rough, self.lower, self.upper)
        self._edges = resolved(function, kept)
        parts = integrals(function, self._edges[:-1], self._edges[1:]) / total
        self.mean = float(parts[1].sum())
        edges = self._edges - self.mean  # moments about the mean have digits
        self.std = math.sqrt(
            float(integrals(lambda y: function(y + self.mean), edges[:-1], edges[1:])[2].sum() / total)
        )
        first, last = self._edges[:1], self._edges[-1:]
        if float(function(first - CLOSE * self.std)) == 0:  # the function itself ends the support
            self.lower = float(first)
        if float(function(last + CLOSE * self.std)) == 0:
            self.upper = float(last)

    def _first_cells(self, centre: float, unit: float) -> Tensor:
        steps = unit * torch.logspace(
            -DECADES + math.log10(FAR), math.log10(FAR), 10 * DECADES + 1, dtype=torch.float64
        )
        near = unit * torch.linspace(-NEAR, NEAR, SAMPLES + 1, dtype=torch.float64)
        places = [centre + part for part in (torch.zeros(1, dtype=torch.float64), near, steps, -steps)]
        for end, side in ((self.lower, 1.0), (self.upper, -1.0)):
            if math.isfinite(end):
                places += [end + side * steps, end + side * near, torch.tensor([end], dtype=torch.float64)]
        points = torch.unique(torch.cat(places))
        if math.isfinite(self.lower) and math.isfinite(self.upper):
            points = torch.cat([points, torch.linspace(self.lower, self.upper, SAMPLES + 1, dtype=torch.float64)])
        return torch.unique(points[(points >= self.lower) & (points <= self.upper)])

    def log_density(self, z: Tensor) -> Tensor:
        inside = (z >= self.lower) & (z <= self.upper)
        safe = torch.where(inside, z, self.mean)
        return torch.where(inside, torch.log(self._function(safe)) - torch.log(self._total[0].to(z)), -math.inf)

    def _within(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the cell of each z, and z inside the cells."""
        edges = self._edges.to(z)
        inside = z.clamp(edges[0], edges[-1])
        return torch.searchsorted(edges[1:-1].contiguous(), inside.detach(), right=True), inside

    def cdf(self, z: Tensor) -> Tensor:
        cell, inside = self._within(z)
        part = integrals(self._function, self._edges.to(z)[cell], inside)[0] / self._total[0].to(z)
        return (self._left.to(z)[cell] + part).clamp(max=1.0)

    def survival(self, z: Tensor) -> Tensor:
        cell, inside = self._within(z)
        part = integrals(self._function, inside, self._edges.to(z)[cell + 1])[0] / self._total[0].to(z)
        return (self._right.to(z)[cell + 1] + part).clamp(max=1.0)

    def quantile(self, u: Tensor) -> Tensor:
        edges, levels = self._edges.to(u), self._left.to(u)
        cell = torch.searchsorted(levels[1:-1].contiguous(), u)
        return quantile(self, u, edges[cell], edges[cell + 1])

    def upper_quantile(self, u: Tensor) -> Tensor:
        edges, levels = self._edges.to(u).flip(0), self._right.to(u).flip(0)
        cell = torch.searchsorted(levels[1:-1].contiguous(), u)
        return upper_quantile(self, u, edges[cell + 1], edges[cell])

    def panels(self) -> list[float]:
        return self._edges.tolist()


def _is_smooth(function: Callable[[Tensor], Tensor], edges: Tensor, std: float) -> bool:
    """Whether a density has no jump and no kink: at the edges [n] of cells that resolve it, or where they are tiny."""
    width = edges.diff()
    if float(width.min()) < TINY * std:
        return False
    edge, step = edges[1:-1], CLOSE * torch.minimum(width[1:], width[:-1])
    right, left = ([function(edge + side * k * step) for k in (1, 2)] for side in (1, -1))
    bend = (right[1] - right[0] + left[1] - left[0]) / CLOSE  # change of slope times the width of the cell
    jump = right[0] - left[0]
    return bool((torch.maximum(bend.abs(), jump.abs()) < ROUGH * function(edges[1:-1]).max()).all())


def _apart(edges: Tensor, width: float) -> Tensor:
    """Edges of which no two are the same place to rounding, for a law so wide: an empty cell would hide a jump."""
    apart = edges.diff() > SAME * (width + edges[1:].abs())
    found = edges[torch.cat([apart.new_ones(1), apart])]
    found[-1] = edges[-1]
    return found


def _kept(edges: Tensor, mass: Tensor, rough: Tensor, low: float, high: float) -> Tensor:
    """Edges of cells of about equal mass, from one end of the mass or of the support to the other, and the edges [n]
    across which no Gauss rule reaches (`rough` [n - 2]): a jump beside an edge shows no more when cells are halved."""
    left, right = mass.cumsum(0), mass.flip(0).cumsum(0).flip(0)
    seen = ((left > NEGLIGIBLE) & (right > NEGLIGIBLE) & (mass > 0)).nonzero()
    begin = 0 if math.isfinite(low) else int(seen[0])
    end = len(mass) if math.isfinite(high) else int(seen[-1]) + 1
    inner = torch.searchsorted(left, torch.linspace(0, 1, FEW + 1, dtype=torch.float64)[1:-1])
    inner = torch.cat([inner, rough.nonzero().flatten() + 1])
    return torch.unique(edges[torch.cat([torch.tensor([begin, end]), inner.clamp(begin, end)])])


class Formula(Density):
    """Law with a density written in the config, such as expr="exp(-x**4)"; wgf normalises it.

    Args:
        expr: the formula.
        low, high: ends of the support (length); null means that there is none.
        constants: values of names in the formula.

    Raises:
        ConfigError: the formula is no density, or a constant with derivatives moves a place where it may jump.
    """

    derivable = ("constants",)

    @checked
    def __init__(self, expr: Text, low: FiniteOrNone = None, high: FiniteOrNone = None, **constants: Finite) -> None:
        expression, one = Expression(expr, constants), torch.ones(1, dtype=torch.float64)
        if any(expression.part(switch, one).requires_grad for switch in expression.switches()):
            raise ConfigError(f"expr={expr!r} switches where a tensor that requires grad says: detach it")
        self.expression = expression
        super().__init__(expression, low, high, f"expr={expr!r}")
