"""Domains of the solution: walls, tails of maps, and the length scale of errors.

A wall reflects: no mass passes it. In a linear diffusion the ends of the support are at the walls at once and stay
there, so the map is fixed at the ends of its base. In a porous medium the ends are free until they meet a wall, and
again when the forces pull them off.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.base import Base, Law
from wgf.problem.energy import MapAtNodes, Term
from wgf.settings.ranges import Finite, Positive, Text, checked

OUTSIDE = 1e-12  # mass of a law beyond a wall that rounding hides


def _reflecting(walls: str) -> None:
    """Check the kind of the walls.

    Raises:
        ConfigError: they do not reflect.
    """
    if walls != "reflecting":
        raise ConfigError(
            f"walls={walls!r} is not allowed: expected reflecting; a map carries all mass, and other walls let mass out"
        )


class Domain:
    """Where a solution lives.

    Attributes:
        walls: reflecting walls on the left and on the right, None where there is none (length).
        period: length of a circle, None elsewhere (length).
        free: ends of the map, on the left and on the right, that no wall holds, although there is one.
    """

    walls: tuple[float | None, float | None] = (None, None)
    free: tuple[bool, bool] = (False, False)
    period: float | None = None

    @property
    def is_line(self) -> bool:
        """Whether the domain is the whole line."""
        return self.walls == (None, None) and self.period is None

    @property
    def held(self) -> tuple[float | None, float | None]:
        """Walls that hold the ends of the map on the left and on the right, None at a free end (length)."""
        left, right = (None if free else wall for wall, free in zip(self.walls, self.free, strict=True))
        return left, right

    def freed(self, left: bool, right: bool) -> Domain:
        """The same domain with free ends of the map."""
        if self.free == (left, right):
            return self
        other = copy.copy(self)
        other.free = left, right
        return other

    @property
    def ends(self) -> np.ndarray | None:
        """Walls on the left and on the right [2], NaN where there is none (length); None without walls."""
        return (
            None
            if self.walls == (None, None)
            else np.array([math.nan if wall is None else wall for wall in self.walls])
        )

    @property
    def support(self) -> tuple[float | None, float | None]:
        """Ends between which laws are given, None where there is none (length)."""
        return self.walls if self.period is None else (0.0, self.period)

    def holds(self, x: Tensor) -> Tensor:
        """Whether points [n] (length) lie between walls that all hold the map, the walls included."""
        low, high = self.walls
        inside = torch.full_like(x, self.walls != (None, None) and not any(self.free), dtype=torch.bool)
        inside = inside if low is None else inside & (x >= low)
        return inside if high is None else inside & (x <= high)

    def own_base(self, law: Law) -> Base | None:
        """The law if it can be the base of its own map; None if it has no density, or turns of a circle count."""
        return law if isinstance(law, Base) and self.period is None else None

    def tails(self, base: Base, breakpoints: Tensor) -> tuple[bool, bool]:
        """Whether a map with these breakpoints [m] (length) needs a tail on the left and on the right."""
        left, right = (wall is None for wall in self.held)
        return left and float(base.cdf(breakpoints[:1])) > 0, right and float(base.survival(breakpoints[-1:])) > 0

    def scale(self, at: MapAtNodes) -> Tensor:
        """Scale of relative errors: the standard deviation, scalar (length)."""
        return at.std

    def reach(self, law: Law) -> tuple[float, float]:
        """Ends of an interval that holds the solution near t = 0: of the law, or the walls (length)."""
        low, high = (end if wall is None else wall for end, wall in zip(law.reach(), self.walls, strict=True))
        return low, high

    def check(self, law: Law, internal: Term | None) -> None:
        """Check that the law lives on the domain, and that the solution has a density there.

        Raises:
            ConfigError: the law has mass beyond a wall, or mass would pile up at a wall.
        """
        if self.is_line:
            return
        self._outside(law)
        if self.period is None and internal is not None and internal.power_diffusion() is None:
            raise ConfigError(
                f"domain {self} with the energy {internal} is impossible: how fast it diffuses at a wall is unknown; "
                "give it a method power_diffusion, or use domain=line if no mass reaches the walls"
            )
        if self.period is None and internal is None:
            raise ConfigError(
                f"domain {self} with this equation is impossible: without diffusion mass can pile up in a point at a "
                "wall, which no map with a density holds; use domain=line if no mass reaches the walls"
            )

    def at_start(self, law: Law, internal: Term | None) -> Domain:
        """The domain at t = 0: in a porous medium a wall holds only an end of the map that begins there."""
        diffusion = None if internal is None else internal.power_diffusion()
        if diffusion is None or diffusion.exponent == 1:
            return self
        away = (wall is not None and end != wall for wall, end in zip(self.walls, (law.lower, law.upper), strict=True))
        return self.freed(*away)

    def _outside(self, law: Law) -> None:
        """Check that the law has no mass outside.

        Raises:
            ConfigError: it has.
        """
        for wall, mass, side in zip(self.walls, (law.cdf, law.survival), ("left", "right"), strict=True):
            if wall is None:
                continue
            outside = float(mass(torch.tensor([wall], dtype=torch.float64)).detach())
            if outside > OUTSIDE:
                raise ConfigError(
                    f"the initial law has mass {outside:.2g} to the {side} of the wall at {wall:g}: choose a law on "
                    f"{self}, such as law=uniform or law=truncated_normal with law.low and law.high, or move the wall"
                )


class Line(Domain):
    """The whole line. Maps are linear beyond their breakpoints if the base has mass there."""

    @checked
    def __init__(self) -> None:
        pass


class HalfLine(Domain):
    """The half-line (low, inf) with a wall at its end.

    Args:
        low: the wall (length).
        walls: only "reflecting" is possible.
    """

    @checked
    def __init__(self, low: Finite = 0.0, walls: Text = "reflecting") -> None:
        _reflecting(walls)
        self.walls = low, None

    def __str__(self) -> str:
        return f"({self.walls[0]:g}, inf)"


class Interval(Domain):
    """The interval (low, high) between two walls.

    Args:
        low, high: the walls (length).
        walls: only "reflecting" is possible.
    """

    @checked
    def __init__(self, low: Finite = 0.0, high: Finite = 1.0, walls: Text = "reflecting") -> None:
        if not low < high:
            raise ConfigError(f"low={low!r} is not allowed: expected a number below high={high!r}")
        _reflecting(walls)
        self.walls = low, high

    def __str__(self) -> str:
        return f"({self.walls[0]:g}, {self.walls[1]:g})"


class Circle(Domain):
    """The circle of points x and x + length. Laws are given on (0, length); positions of particles count turns.

    Args:
        length: circumference (length).
    """

    @checked
    def __init__(self, length: Positive = 2 * math.pi) -> None:
        self.length = self.period = length

    def __str__(self) -> str:
        return f"a circle of length {self.length:g}"

    def scale(self, at: MapAtNodes) -> Tensor:
        """Scale of relative errors: the standard deviation of the uniform law, scalar (length)."""
        return torch.full_like(at.x[0], self.length / math.sqrt(12))

    def reach(self, law: Law) -> tuple[float, float]:
        return 0.0, self.length

    def _outside(self, law: Law) -> None:
        low, high = (torch.tensor([end], dtype=torch.float64) for end in (0.0, self.length))
        outside = float((law.cdf(low) + law.survival(high)).detach())
        if outside > OUTSIDE:
            raise ConfigError(
                f"the initial law has mass {outside:.2g} outside of (0, {self.length:g}): choose a law there, such as "
                "law=expression with law.low and law.high, or change domain.length"
            )
