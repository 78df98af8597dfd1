"""Potential energy: int V(f) p dz."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from wgf.problem.energy import Curvature, Local, MapAtNodes
from wgf.settings.expression import Expression
from wgf.settings.ranges import Finite, Text, checked


class Potential(Local):
    """A potential V. A new one needs `value_at`; `derivative` comes from autograd unless it is given."""

    name = "potential"

    @abstractmethod
    def value_at(self, x: Tensor) -> Tensor:
        """V(x) (energy per mass)."""

    def derivative(self, x: Tensor) -> Tensor:
        """V'(x)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.value_at(x).sum(), x)[0]

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

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        force = at.w * self.derivative(at.x)
        return force, torch.zeros_like(force)

    def curvature(self, at: MapAtNodes) -> Curvature:
        return Curvature(xx=at.w * self.second_derivative(at.x))


def _from(center: float) -> str:
    return "x" if center == 0 else f"(x - {center:g})"


class Zero(Potential):
    """V = 0."""

    @checked
    def __init__(self) -> None:
        pass

    def value_at(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def derivative(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def __str__(self) -> str:
        return "0"


class Quadratic(Potential):
    """V = stiffness (x - center)^2 / 2."""

    @checked
    def __init__(self, stiffness: Finite = 1.0, center: Finite = 0.0) -> None:
        self.stiffness, self.center = stiffness, center

    def value_at(self, x: Tensor) -> Tensor:
        return 0.5 * self.stiffness * (x - self.center) ** 2

    def derivative(self, x: Tensor) -> Tensor:
        return self.stiffness * (x - self.center)

    def second_derivative(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.stiffness)

    def __str__(self) -> str:
        return f"{self.stiffness:g} {_from(self.center)}^2/2"


class Quartic(Potential):
    """The double well V = (x - center)^4/4 - (x - center)^2/2."""

    @checked
    def __init__(self, center: Finite = 0.0) -> None:
        self.center = center

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

    @checked
    def __init__(self, center: Finite = 0.0) -> None:
        self.center = center

    def value_at(self, x: Tensor) -> Tensor:
        return (x - self.center) ** 6 / 6

    def derivative(self, x: Tensor) -> Tensor:
        return (x - self.center) ** 5

    def second_derivative(self, x: Tensor) -> Tensor:
        return 5 * (x - self.center) ** 4

    def __str__(self) -> str:
        return f"{_from(self.center)}^6/6"


class Expressed(Potential):
    """V written in the config, such as "x**4/4 - x**2/2"."""

    @checked
    def __init__(self, expr: Text) -> None:
        self.expression = Expression(expr)

    def value_at(self, x: Tensor) -> Tensor:
        return self.expression(x)

    def __str__(self) -> str:
        return self.expression.text
