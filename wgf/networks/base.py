"""What every network must offer to be a Lagrangian map."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wgf.errors import ConfigError
from wgf.networks.spline_space import SplineSpace
from wgf.problem.base import Base, Start


@dataclass(frozen=True)
class Size:
    """How large a network is.

    Attributes:
        parameters: p.
        knots: K.
        degree: of the polynomials between knots; 0 for a smooth map.
        linear: whether the map is linear in its parameters.
    """

    parameters: float
    knots: float
    degree: float
    linear: bool


class TransportMap(nn.Module):
    """A map f(theta, .) of the line, increasing at its start, with a flat vector of trainable parameters.

    A new network needs `theta` (its start, usually the identity map) and `f`; the derivatives then come from
    torch.func. A network with kinks adds `knots`, so that integrals respect them, and may override what it knows in
    closed form. No method changes the parameters: the flow passes its own theta.

    Attributes:
        theta: trainable parameters [p], flat.
        base: the reference measure p.
        moving_knots: whether `knots` depends on theta.
        least_order: nodes in a cell that a quadrature needs.
    """

    theta: nn.Parameter
    moving_knots = False
    least_order = 1

    def __init__(self, base: Base) -> None:
        super().__init__()
        self.base = base

    @classmethod
    def size(cls, settings: Mapping[str, Any]) -> Size | None:
        """The size of the network with these settings of its constructor, before it is made; None where unknown."""
        return None

    def start(self, carried: Start) -> Tensor:
        """The parameters [p] with which the map carries the base to the initial law.

        Raises:
            ConfigError: the network can begin as the identity only, and the law is not its base.
        """
        if not carried.is_identity:
            raise ConfigError(
                f"{type(self).__name__} begins as the identity: expected the initial law to be the base of the network"
            )
        return self.theta.detach().clone()

    def breakpoints(self) -> Tensor:
        """Where the mesh of this map breaks whatever its parameters [m] (length); empty where nothing is fixed."""
        return self.theta.new_empty(0) if self.moving_knots else self.knots(self.theta.detach())

    def on_breakpoints(self, points: Tensor) -> TransportMap:
        """The same network on another mesh [m] (length).

        Raises:
            ConfigError: its mesh is part of its parameters, or fixed.
        """
        if torch.equal(points, self.breakpoints()):
            return self
        raise ConfigError(f"{type(self).__name__} keeps its breakpoints: network=spline can take others")

    def space(self) -> SplineSpace | None:
        """The splines in which the map is linear in its parameters; None for a map that is not."""
        return None

    def steps(self, theta: Tensor) -> tuple[Tensor, Tensor] | None:
        """Weights and biases [2m] of the neurons of a two-sided ReLU network whose biases alone flow; None elsewhere.

        Its tangent space is spanned by steps at the knots.
        """
        return None

    def cells(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sorted knots [K] and, on the K + 1 cells between them, slope and intercept of a piecewise linear map.

        Raises:
            ConfigError: the map is not known to be one.
        """
        raise ConfigError("quadrature=monte_carlo needs network=two_sided_relu or a network without knots")

    @abstractmethod
    def f(self, theta: Tensor, z: Tensor) -> Tensor:
        """f(theta, z) by operations torch.func can differentiate. theta: [p]; z: [n] (length); returns [n] (length)."""

    def knots(self, theta: Tensor) -> Tensor:
        """Where f' may jump [K] (length), in any order; empty for a smooth map."""
        return theta.new_empty(0)

    def evaluate(self, theta: Tensor, z: Tensor, cell: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """f and f' [n] at z [n]. `cell`: how many of the sorted knots lie left of z, to spare the search for them."""
        x, dx = torch.func.jvp(lambda z: self.f(theta, z), (z,), (torch.ones_like(z),))[:2]
        return x, dx

    def jacobian(self, theta: Tensor, z: Tensor, cell: Tensor | None = None) -> Tensor:
        """d_theta f [n, p] at z [n]: the features that span the tangent space."""
        return torch.func.vmap(torch.func.grad(self.f), in_dims=(None, 0))(theta, z)

    def min_slope(self, theta: Tensor, slopes: Tensor) -> Tensor:
        """The smallest f', from its values at the nodes unless the map knows better."""
        return slopes.min()

    def forward(self, z: Tensor) -> Tensor:
        """f(z) with the module's own parameters. z: [...] (length)."""
        return self.f(self.theta, z.reshape(-1)).reshape(z.shape)
