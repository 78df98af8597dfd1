"""The interface of every network that represents a Lagrangian map."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wgf.errors import ConfigError
from wgf.networks.knot_space import KnotSpace
from wgf.networks.spline_space import SplineSpace
from wgf.problem.base import Base
from wgf.problem.domain import Domain
from wgf.settings.ranges import fault


@dataclass(frozen=True)
class Size:
    """Size of a network.

    Attributes:
        parameters: p.
        knots: K.
        degree: degree of the polynomials between knots; 0 for a smooth map.
        banded: whether coordinates exist in which the matrices are banded: a chart or moving knots.
    """

    parameters: float
    knots: float
    degree: float
    banded: bool


class Neurons(NamedTuple):
    """ReLU neurons a_i (z - b_i)_+, or a_i (b_i - z)_+ if they face left.

    Attributes:
        weights: a [k]. biases: b [k] (length). faces_left: [k].
    """

    weights: Tensor
    biases: Tensor
    faces_left: Tensor


@dataclass(frozen=True)
class Adaptation:
    """How breakpoints follow the solution.

    Attributes:
        tol: wanted W2 error, in standard deviations of the initial law; None to move a fixed number of breakpoints.
        most: largest number of breakpoints.
        confirms: whether runs with smaller tolerances must confirm the solution, see `wgf.confirm`.
        gap: W2 distance of two runs that confirms it (length); None without a confirmation.
        unconfirmed: why no run confirmed it, or None.
    """

    tol: float | None
    most: int
    confirms: bool = False
    gap: float | None = None
    unconfirmed: str | None = None


class TransportMap(nn.Module):
    """A map f(theta, .) of the line with a flat vector of trainable parameters. The map is increasing at the start.

    A new network must define `theta` (the identity map) and `f`; torch.func computes the
    derivatives. A network with kinks also defines `knots`, because quadrature cells must end at the kinks. Override
    other methods where a closed form exists. No method changes the parameters: the flow passes its own theta.

    Attributes:
        theta: trainable parameters [p], flat.
        base: the reference measure p.
        any_start: whether the map can start from another law than its base; it needs a `space`.
        adaptation: how its breakpoints follow the solution; None for breakpoints that do not.
        moving_knots: whether `knots` depends on theta.
        parts: parts of theta that are updated in turn; empty if all are updated at once.
        least_order: smallest number of quadrature nodes per cell.
    """

    theta: nn.Parameter
    base: Base
    any_start = False
    adaptation: Adaptation | None = None
    moving_knots = False
    parts: tuple[slice, ...] = ()
    least_order = 1

    def __init__(self, base: Base) -> None:
        super().__init__()
        if not isinstance(base, Base):
            raise ConfigError(fault("base", base, "a law with a density, an object of wgf.Base"))
        vars(self)["base"] = base

    def twin(self) -> TransportMap:
        """Copy with parameters of its own and the same base."""
        if next(self.children(), None) is not None:
            return copy.deepcopy(self, {id(self.base): self.base})
        other = copy.copy(self)
        other._buffers = dict(self._buffers)
        other._parameters = {
            name: None if p is None else nn.Parameter(p.detach().clone(), p.requires_grad)
            for name, p in self._parameters.items()
        }
        return other

    @property
    def period(self) -> float | None:
        """Length L of a circle if T(z + L) = T(z) + L for all z; None for maps of the line (length)."""
        return None

    @classmethod
    def size(cls, settings: Mapping[str, Any]) -> Size | None:
        """Size of a network that would be made with these constructor settings; None if unknown."""
        return None

    @classmethod
    def base_for(cls, wanted: Base | str) -> Base | str:
        """The base to choose for a setting; a map that only starts as the identity needs the law itself."""
        return "law" if wanted == "auto" and not cls.any_start else wanted

    @classmethod
    def check_domain(cls, domain: Domain) -> None:
        """Check that a map of this class can live on a domain.

        Raises:
            ConfigError: it cannot.
        """
        if not (domain.is_line or cls.any_start):
            raise ConfigError(f"{cls.__name__} knows the whole line only: on {domain} use network=spline")

    def breakpoints(self) -> Tensor:
        """Breakpoints of the mesh that do not depend on the parameters [m] (length); empty if all knots move."""
        return self.theta.new_empty(0) if self.moving_knots else self.knots(self.theta.detach())

    def on_circle(self, length: float) -> TransportMap:
        """The network as a map of a circle (length).

        Raises:
            ConfigError: it cannot be periodic.
        """
        raise ConfigError(f"{type(self).__name__} cannot be periodic: on a circle use network=spline")

    def on_breakpoints(self, points: Tensor) -> TransportMap:
        """The same network on another mesh [m] (length).

        Raises:
            ConfigError: the mesh is fixed or part of the parameters.
        """
        if torch.equal(points, self.breakpoints()):
            return self
        raise ConfigError(f"{type(self).__name__} cannot change its breakpoints: use network=spline")

    def adapted(self, adaptation: Adaptation) -> TransportMap:
        """The same network on the breakpoints with which adaptive ones begin.

        Raises:
            ConfigError: its breakpoints cannot follow the solution.
        """
        raise ConfigError(f"{type(self).__name__} cannot change its breakpoints: use network=spline")

    def units(self) -> Tensor | None:
        """Natural units of the parameters [p] where these differ: solvers cut and damp numbers in these units."""
        return None

    def space(self) -> SplineSpace | None:
        """Spline space of a map that is linear in its parameters; None for other maps."""
        return None

    def knot_space(self) -> KnotSpace | None:
        """Coordinates of a continuous piecewise linear map with free knots; None for other maps."""
        return None

    def moving_neurons(self, theta: Tensor) -> Neurons | None:
        """Neurons of a ReLU network whose knots move: f is their sum and a fixed linear function; else None."""
        return None

    def cells(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sorted knots [K] and, on the K + 1 cells between them, slope and intercept of a piecewise linear map."""
        raise NotImplementedError(f"{type(self).__name__} is not piecewise linear")

    def pulled_back(self, weights: Tensor, biases: Tensor) -> Tensor:
        """Derivative of a function in theta [p], from those in the weights and the biases of `moving_neurons` [k]."""
        raise NotImplementedError(f"{type(self).__name__} has no neurons whose knots move")

    def steps(self, theta: Tensor, part: slice = slice(None)) -> Neurons | None:
        """Neurons of a ReLU network if this part of theta consists of their biases; else None.

        Step functions at the knots span the derivatives with respect to biases.
        """
        return None

    def ramps(self, theta: Tensor, part: slice) -> Neurons | None:
        """Derivatives of f by this part of theta if these are the weights of a network whose knots move; else None."""
        return None

    @abstractmethod
    def f(self, theta: Tensor, z: Tensor) -> Tensor:
        """f(theta, z), in operations that torch.func can differentiate. theta: [p]; z and result: [n] (length)."""

    def knots(self, theta: Tensor) -> Tensor:
        """Points where f' may jump [K] (length), in any order; empty for a smooth map."""
        return theta.new_empty(0)

    def evaluate(self, theta: Tensor, z: Tensor, cell: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """f and f' [n] at z [n]. `cell`: number of knots left of each z, if already known; saves a search."""
        x, dx = torch.func.jvp(lambda z: self.f(theta, z), (z,), (torch.ones_like(z),))[:2]
        return x, dx

    def evaluate_rows(self, rows: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """f and f' [r, n] at z [n] for parameters [r, p]."""
        values, slopes = zip(*(self.evaluate(theta, z) for theta in rows), strict=True)
        return torch.stack(values), torch.stack(slopes)

    def jacobian(self, theta: Tensor, z: Tensor, cell: Tensor | None = None) -> Tensor:
        """d_theta f [n, p] at z [n]: the features that span the tangent space."""
        return torch.func.vmap(torch.func.grad(self.f), in_dims=(None, 0))(theta, z)

    def min_slope(self, theta: Tensor, slopes: Tensor) -> Tensor:
        """Smallest f': of the slopes at the nodes [n] here, exact in networks that override this."""
        return slopes.min()

    def forward(self, z: Tensor) -> Tensor:
        """f(z) with the module's own parameters. z: [...] (length)."""
        return self.f(self.theta, z.reshape(-1)).reshape(z.shape)
