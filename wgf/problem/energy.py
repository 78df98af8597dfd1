"""Terms of the free energy as functions of the map, and the quadrature nodes at which they are evaluated."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.base import Base
from wgf.problem.quadrature import Nodes


def factor(value: float) -> str:
    """A factor in front of a formula; 1 is not written."""
    return {1.0: "", -1.0: "-"}.get(value, f"{value:g} ")


@dataclass(frozen=True)
class MapAtNodes:
    """A map at quadrature nodes, computed once per stage.

    Attributes:
        nodes: positions z, weights w = p dz and the base p.
        x: f(z) [n] (length).
        dx: f'(z) [n].
        known: what a term has computed of this map, by the term.
    """

    nodes: Nodes
    x: Tensor
    dx: Tensor
    known: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def w(self) -> Tensor:
        return self.nodes.w

    @property
    def centred(self) -> Tensor:
        """f minus its mean [n] (length)."""
        return self.x - self.nodes.mean(self.x)

    @property
    def std(self) -> Tensor:
        """Standard deviation of f, scalar (length)."""
        return torch.dot(self.w, self.centred**2).sqrt()

    @property
    def rms(self) -> Tensor:
        """sqrt(int f^2 p), scalar (length)."""
        return torch.dot(self.w, self.x**2).sqrt()

    def detach(self) -> MapAtNodes:
        """The same without derivatives."""
        nodes = self.nodes
        return MapAtNodes(
            Nodes(nodes.z.detach(), nodes.w.detach(), nodes.base, nodes.cell, nodes.order),
            self.x.detach(),
            self.dx.detach(),
        )

    @property
    def log_p(self) -> Tensor:
        return self.nodes.log_p


class Curvature(NamedTuple):
    """Second derivatives of a term at the nodes, weights included: along directions phi and psi of maps,
    d2F(phi, psi) = sum_i xx_i phi psi + xd_i (phi psi' + phi' psi) + dd_i phi' psi', all [n] or None where they vanish.
    """

    xx: Tensor | None = None
    dd: Tensor | None = None
    xd: Tensor | None = None


class Parabola(NamedTuple):
    """A potential with V' = stiffness (x - center) - force.

    Attributes:
        force: constant force (length/time).
        stiffness: V'' (1/time).
        center: where the elastic force vanishes (length).
    """

    force: float
    stiffness: float
    center: float


class PowerDiffusion(NamedTuple):
    """The diffusion coefficient (rho^exponent)_xx; exponent 1 is linear diffusion."""

    coefficient: float
    exponent: float


class Elementary(NamedTuple):
    """The kernel kink |x| + quadratic x^2/2 + logarithm log|x| of an interaction."""

    kink: float = 0.0
    quadratic: float = 0.0
    logarithm: float = 0.0


class Parts(NamedTuple):
    """A term in parts that compiled code can evaluate: the sum of what is given.

    Attributes:
        density: energy per mass e(f, f', log p, 2 P - 1, w) at a node with weight w, in operations of torch.
        kernel, force: W(r) and its derivative for signed distances r; the kernel is summed over all pairs.
        quadratic: coefficient s of a kernel s x^2/2, see `wgf.problem.interaction.Quadratic`.
    """

    density: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor] | None = None
    kernel: Callable[[Tensor], Tensor] | None = None
    force: Callable[[Tensor], Tensor] | None = None
    quadratic: float = 0.0


class Term(ABC):
    """A term of the energy as a function of the map.

    Attributes:
        name: what its column is called.
        barrier: whether it keeps f' > 0 by growing beyond all bounds as f' -> 0.
        vanishes: whether the term is zero by definition.
        logarithm: by how much it grows when all lengths grow by a factor e, as logarithms of lengths do (energy).
    """

    name: str
    barrier = False
    vanishes = False
    logarithm: float = 0.0

    def __str__(self) -> str:
        return type(self).__name__

    def power_diffusion(self) -> PowerDiffusion | None:
        """The diffusion that the term adds to the equation, where it is that of a power of the density; else None."""
        return None

    def parts(self) -> Parts | None:
        """The term in parts that compiled code can evaluate; None if it has no such form."""
        return None

    def offset(self, nodes: Nodes) -> float:
        """Energy that `parts` leaves out; it does not depend on the map."""
        return 0.0

    @abstractmethod
    def value(self, at: MapAtNodes) -> Tensor:
        """The energy, a scalar tensor differentiable in the map's values and slopes."""

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        """The derivative dF(phi) = sum_i force_i phi(z_i) + stress_i phi'(z_i) along a direction phi of maps.

        Returns:
            force [n] (energy/length) and stress [n] (energy), the weights w included.
        """
        with torch.enable_grad():
            x, dx = (t.detach().requires_grad_() for t in (at.x, at.dx))
            value = self.value(MapAtNodes(at.nodes, x, dx))
            force, stress = torch.autograd.grad(value, (x, dx), materialize_grads=True)
        return force, stress

    def curvature(self, at: MapAtNodes) -> Curvature:
        """The local part of the second derivative; what couples distant nodes is `coupling`'s.

        Raises:
            ConfigError: the term does not say: implicit steps without it would only look accurate.
        """
        raise ConfigError(
            f"implicit steps need the curvature of the energy {self}: derive it from wgf.Local or wgf.Pairwise, give "
            "it a method `curvature`, or say integrator=dopri5"
        )

    def coupling(self, at: MapAtNodes, loads: Callable[[Tensor], Tensor]) -> Tensor | None:
        """The nonlocal part of the second derivative as a dense matrix [M, M], or None.

        Args:
            at: the map at the nodes.
            loads: sends columns [n, b] at the nodes to their integrals [M, b] against the M functions of a basis.
        """
        return None


class Local(Term):
    """A term with a pointwise density: F = int e(f, f', log p) p dz. A new local energy needs `name` and `density`."""

    @abstractmethod
    def density(self, x: Tensor, dx: Tensor, log_p: Tensor) -> Tensor:
        """e [n], energy per mass."""

    def parts(self) -> Parts:
        return Parts(lambda x, dx, log_p, rank, w: self.density(x, dx, log_p))

    def value(self, at: MapAtNodes) -> Tensor:
        return torch.dot(at.w, self.density(at.x, at.dx, at.log_p))

    def curvature(self, at: MapAtNodes) -> Curvature:
        with torch.enable_grad():
            x, dx = (t.detach().requires_grad_() for t in (at.x, at.dx))
            energy = torch.dot(at.w, self.density(x, dx, at.log_p))
            force, stress = torch.autograd.grad(energy, (x, dx), create_graph=True, materialize_grads=True)
            rows = [
                torch.autograd.grad(g.sum(), (x, dx), retain_graph=True, materialize_grads=True)
                if g.requires_grad
                else (torch.zeros_like(x), torch.zeros_like(x))
                for g in (force, stress)
            ]
        return Curvature(rows[0][0], rows[1][1], rows[0][1])


def covector(terms: Sequence[Term], at: MapAtNodes) -> tuple[Tensor, Tensor]:
    """Force and stress [n] of a sum of terms, see `Term.covector`."""
    force, stress = torch.zeros_like(at.x), torch.zeros_like(at.x)
    for term in terms:
        forces, stresses = term.covector(at)
        force, stress = force + forces, stress + stresses
    return force, stress


def standard_error(terms: Sequence[Term], at: MapAtNodes) -> float:
    """Largest standard error of a term and of their sum, if the nodes are independent particles (energy).

    A particle contributes the derivative of an energy in its weight: of 1/2 int int W that is int W(x_i - y) rho(y) dy,
    twice the first projection of Hoeffding.

    Source: A. W. van der Vaart, Asymptotic Statistics (1998), chapters 11 and 12.
    """
    x, dx = at.x.detach(), at.dx.detach()

    def shares(term: Term) -> Tensor:
        with torch.enable_grad():
            w = at.w.detach().requires_grad_()
            value = term.value(MapAtNodes(replace(at.nodes, w=w), x, dx))
            if not value.requires_grad:
                return torch.zeros_like(w)
            return torch.autograd.grad(value, w, materialize_grads=True)[0]

    each = torch.stack([shares(term) for term in terms])
    spread = torch.cat([each, each.sum(0, keepdim=True)]).std(1).max()
    return float(spread.nan_to_num(math.inf, math.inf)) / math.sqrt(len(x))


def jumps(terms: Sequence[Term], base: Base, knots: Tensor, x: Tensor, slopes: Tensor) -> Tensor:
    """Derivative p(b) [e(b-) - e(b+)] [k] of the local terms in the places b of the kinks of a map (energy/length).

    Args:
        terms: all terms.
        base: p.
        knots: b [k], sorted, with the values x [k] of the map (length).
        slopes: of the map, on the cells between the knots [k + 1].
    """
    log_p = base.log_density(knots)
    p, log_p = log_p.exp(), log_p.masked_fill(log_p == -math.inf, 0.0)  # no jump outside the support
    total = torch.zeros_like(x)
    for term in terms:
        if isinstance(term, Local):
            total = total + p * (term.density(x, slopes[:-1], log_p) - term.density(x, slopes[1:], log_p))
    return total
