"""Potential energy: int V(f) p dz."""

from __future__ import annotations

import copy
import math
import re
from abc import abstractmethod
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.kept import kept
from wgf.problem.changes.kinks import Crossing, Kinks, crossing, find, on
from wgf.problem.energy import Curvature, Local, MapAtNodes, Parabola, factor
from wgf.settings.formulas.derivatives import derivatives
from wgf.settings.formulas.enclosure import least_bend
from wgf.settings.formulas.expression import Expression
from wgf.settings.ranges import Finite, Text, checked


class Potential(Local):
    """A potential V. A new one needs `value_at`; `derivative` comes from autograd unless it is given.

    Attributes:
        convexity: lower bound of V'' on the whole line (1/time), needed for an error bound; None if none is known.
        moves: whether V depends on the time `t`, scalar (time); then `value_at` uses `self.t`, differentiably.
        polynomial: whether V is known to be a polynomial.
        kinks: where V' or V'' jumps, as far as known; None if nowhere.
    """

    name = "potential"
    convexity: float | None = None
    kinks: Kinks | None = None
    polynomial = False
    moves = False
    t = torch.zeros((), dtype=torch.float64)

    def at(self, t: float) -> Self:
        """The potential as it is at the time t, which no longer moves; itself if it never did."""
        if not self.moves:
            return self
        other = copy.copy(self)
        other.t, other.moves = torch.tensor(t, dtype=torch.float64), False
        return other

    def parabola(self) -> Parabola | None:
        """The coefficients of V, where it is a polynomial of degree 2 at most and does not move; else None."""
        return None

    def characteristic(self, t: float, z: Tensor) -> Tensor | None:
        """The positions [n] at time t of particles x' = -V'(x) that start at z [n] (length); None without a formula."""
        return None

    @abstractmethod
    def value_at(self, x: Tensor) -> Tensor:
        """V(x) (energy per mass)."""

    def derivative(self, x: Tensor) -> Tensor:
        """V'(x)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.value_at(x).sum(), x)[0]

    def derivative_over(self, t: Tensor, x: Tensor) -> Tensor:
        """V' at the times t [m] and the places x [n]: [m, n]."""
        return torch.stack([self.at(time).derivative(x) for time in t.tolist()])

    def second_derivative(self, x: Tensor) -> Tensor:
        """V''(x)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            slope = torch.autograd.grad(self.value_at(x).sum(), x, create_graph=True)[0]
            if not slope.requires_grad:
                return torch.zeros_like(x)
            return torch.autograd.grad(slope.sum(), x, materialize_grads=True)[0]

    def density(self, x: Tensor, dx: Tensor, log_p: Tensor) -> Tensor:
        return self.value_at(x)

    def value(self, at: MapAtNodes) -> Tensor:
        value = super().value(at)
        for kinks, here in self._crossed(at):
            part = at.w[here.nodes] * here.share * kinks.parts(at.x[here.nodes] - kinks.x[:, None])[0]
            value = value + part.sum()
        return value

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        slope = self.derivative(at.x)
        for kinks, here in self._crossed(at):
            slope = slope.index_add(0, here.nodes.view(-1), (here.share * kinks.parts(here.y)[1]).view(-1))
        force = at.w * slope
        return force, torch.zeros_like(force)

    def curvature(self, at: MapAtNodes) -> Curvature:
        bend = self.second_derivative(at.x)
        for kinks, here in self._crossed(at):
            added = here.rise * kinks.slope[:, None] + here.share * kinks.bend[:, None]
            bend = bend.index_add(0, here.nodes.view(-1), added.view(-1))
        return Curvature(xx=at.w * bend)

    def _crossed(self, at: MapAtNodes) -> list[tuple[Kinks, Crossing]]:
        """The kinks, and where a map crosses them, computed once per map; empty without kinks or without cells."""
        if self.kinks is None or at.nodes.order is None:
            return []
        if self not in at.known:
            kinks = on(self.kinks, at.x.dtype, at.x.device)
            at.known[self] = [(kinks, crossing(kinks, at.x.detach(), at.nodes.order))]
        return at.known[self]


def _from(center: float) -> str:
    return "x" if center == 0 else f"(x {'-' if center > 0 else '+'} {abs(center):g})"


class Zero(Potential):
    """V = 0."""

    vanishes, convexity = True, 0.0

    @checked
    def __init__(self) -> None:
        pass

    def parabola(self) -> Parabola:
        return Parabola(0.0, 0.0, 0.0)

    def value_at(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def derivative(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def __str__(self) -> str:
        return "0"


class Quadratic(Potential):
    """V = stiffness (x - center)^2 / 2."""

    derivable = ("stiffness", "center")
    polynomial = True

    @checked
    def __init__(self, stiffness: Finite = 1.0, center: Finite = 0.0) -> None:
        self.stiffness, self.center, self.convexity = stiffness, center, stiffness

    def parabola(self) -> Parabola:
        return Parabola(0.0, self.stiffness, self.center)

    def value_at(self, x: Tensor) -> Tensor:
        return 0.5 * self.stiffness * (x - self.center) ** 2

    def derivative(self, x: Tensor) -> Tensor:
        return self.stiffness * (x - self.center)

    def second_derivative(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.stiffness)

    def __str__(self) -> str:
        return f"{factor(self.stiffness)}{_from(self.center)}^2/2"


class Quartic(Potential):
    """The double well V = (x - center)^4/4 - (x - center)^2/2."""

    convexity = -1.0
    derivable = ("center",)
    polynomial = True

    @checked
    def __init__(self, center: Finite = 0.0) -> None:
        self.center = center

    def characteristic(self, t: float, z: Tensor) -> Tensor:
        y, growth = z - self.center, math.exp(-t)
        spread = torch.sqrt(growth**2 - y * y * math.expm1(-2 * t))
        return self.center + y / spread.clamp(min=torch.finfo(z.dtype).tiny)  # 0 at y = 0, however late

    def value_at(self, x: Tensor) -> Tensor:
        square = (x - self.center) ** 2
        return square * (0.25 * square - 0.5)

    def derivative(self, x: Tensor) -> Tensor:
        y = x - self.center
        return y * (y * y - 1)

    def second_derivative(self, x: Tensor) -> Tensor:
        return 3 * (x - self.center) ** 2 - 1

    def __str__(self) -> str:
        return f"{_from(self.center)}^4/4 - {_from(self.center)}^2/2"


class Sextic(Potential):
    """V = (x - center)^6 / 6."""

    convexity = 0.0
    derivable = ("center",)
    polynomial = True

    @checked
    def __init__(self, center: Finite = 0.0) -> None:
        self.center = center

    def characteristic(self, t: float, z: Tensor) -> Tensor:
        y = z - self.center
        return self.center + y / (1 + 4 * t * y**4) ** 0.25

    def value_at(self, x: Tensor) -> Tensor:
        return (x - self.center) ** 6 / 6

    def derivative(self, x: Tensor) -> Tensor:
        return (x - self.center) ** 5

    def second_derivative(self, x: Tensor) -> Tensor:
        return 5 * (x - self.center) ** 4

    def __str__(self) -> str:
        return f"{_from(self.center)}^6/6"


class Expressed(Potential):
    """V written in the config, such as "x**4/4 - a*x**2/2" with a constant a=1; `t` in it is the time.

    Args:
        expr: the formula.
        force: constant force f, which adds -f x; on a circle V need not be periodic, only its slope (length/time).
        constants: values of names in the formula; a name `force` or `t` in the formula can be such a constant.
    """

    derivable = ("constants",)

    @checked
    def __init__(self, expr: Text, force: Finite = 0.0, **constants: Finite) -> None:
        if force and "force" in re.findall(r"\w+", expr):
            constants, force = constants | {"force": force}, 0.0
        self.expression, self.force = Expression(expr, constants, clock="t"), force
        self.moves = self.expression.moves

    @cached_property
    def convexity(self) -> float | None:  # type: ignore[override]
        return None if self.expression.moves else least_bend(self.expression)

    @cached_property
    def kinks(self) -> Kinks | None:  # type: ignore[override]
        return None if self.expression.moves else find(self.expression)

    @kept(64)
    def parabola(self) -> Parabola | None:
        coefficients = None if self.moves else self.expression.at(self.t).polynomial()
        if coefficients is None or len(coefficients) > 3:
            return None
        _, slope, half = [*coefficients, 0.0, 0.0, 0.0][:3]
        return Parabola(self.force - slope, 2 * half, 0.0)

    @property
    def _now(self) -> Expression:
        return self.expression.at(self.t) if self.expression.moves else self.expression

    def value_at(self, x: Tensor) -> Tensor:
        return self._now(x) - self.force * x if self.force else self._now(x)

    def derivative(self, x: Tensor) -> Tensor:
        found = derivatives(self._now, x, 1)
        return super().derivative(x) if found is None else found[0] - self.force

    def derivative_over(self, t: Tensor, x: Tensor) -> Tensor:
        found = derivatives(self.expression.at(t[:, None]), x.expand(len(t), -1), 1)
        return super().derivative_over(t, x) if found is None else found[0] - self.force

    def second_derivative(self, x: Tensor) -> Tensor:
        found = derivatives(self._now, x, 2)
        return super().second_derivative(x) if found is None else found[1]

    def __str__(self) -> str:
        return f"{self.expression} - {self.force:g} x" if self.force else str(self.expression)


class Learned(Potential):
    """V given by a module of torch.

    Args:
        module: maps positions [n, 1] to V [n, 1], in float64 (`module.double()`), twice differentiable.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        low = [name for name, parameter in module.named_parameters() if parameter.dtype != torch.float64]
        if low:
            raise ConfigError(f"the module of the potential has the parameter {low[0]} not in float64: use .double()")
        self.module = module

    def value_at(self, x: Tensor) -> Tensor:
        return self.module(x.reshape(-1, 1)).reshape(x.shape)

    def __str__(self) -> str:
        return type(self.module).__name__
