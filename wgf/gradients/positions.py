"""Derivatives of the positions of particles, and of distances to them, in the tensors of their law.

A change of a number q of the law moves the particle at x, whose rank stays, by dx/dq = -(dP/dq)(x) / rho(x), with P the
cdf and rho the density of the law.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wgf.errors import ConfigError, WgfError
from wgf.gradients.cells import nodes
from wgf.gradients.reach import check_law, check_reach
from wgf.gradients.tensors import plain, tensors_of
from wgf.problem.base import Base, Law

UNSEEN = 1e-8  # share of the way through a cell


def without_tensors(law: Law) -> Law:
    """The same law without derivatives.

    Raises:
        ConfigError: the law depends on a tensor that is not its attribute.
    """
    own = plain(law) if tensors_of(law) else law
    check_law(own)
    return own


def motion(law: Law, own: Law, x: Tensor) -> Tensor:
    """Zeros [n] with the derivatives of the positions x [n] (length) in the tensors of a law.

    Args:
        law: the law.
        own: the same law without derivatives.
        x: positions; where there is no mass nothing moves.

    Raises:
        ConfigError: the law has no derivatives, or those in one of its tensors would be lost.
    """
    density = _with_density(own).density(x)
    inside = x.isfinite() & (density > 0)
    x, density = x.where(inside, own.mean), density.where(inside, torch.inf)
    return -_mass(law, own, x) / density


class Once(torch.autograd.Function):
    """Values with first derivatives only: what they depend on besides counts as a number."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise WgfError(
                "second derivatives of a distance in the numbers of the other law are unavailable: call backward "
                "without create_graph=True"
            )
        return bars[0]


def motion_of_gap(
    law: Law, own: Law, base: Base, place: Callable[[Tensor], Tensor], low: Tensor, high: Tensor
) -> Tensor:
    """Zeros [...] with the derivatives of int |T(z) - x|^2 p dz, x of the rank of z, in the tensors of a law:

        2 int (T(z) - x) (dP/dq)(x) dx,   dx = p / rho dz,

    by z in cells whose nodes see the whole way from x at one end to x at the other one, else by x: in gaps of the law,
    through which x goes at once, P changes, too.

    Args:
        law, own: as in `motion`.
        base: p. place: T for all flows, [n] -> [..., n] (length).
        low, high: cells of the base that resolve T(z) - x, one after another [N] each.

    Raises:
        ConfigError: see `motion`.
    """
    own, panels = _with_density(own), torch.tensor(_with_density(own).panels(), dtype=torch.float64)

    def same_rank(one: Base, other: Base, at: Tensor) -> Tensor:
        return other.at_rank(one.cdf(at), one.survival(at))

    (z, dz), ends = nodes(low, high), same_rank(base, own, torch.cat([low, high[-1:]])).cummax(0).values
    x = same_rank(base, own, z)
    rho = own.density(x.where(x.isfinite(), own.mean))
    dx = torch.where(x.isfinite() & (rho > 0), dz * base.density(z) / rho, 0.0)
    way = ends.diff()
    blind = way.isfinite() & ((dx.reshape(len(way), -1).sum(1) - way).abs() > UNSEEN * way)
    dx = dx.where(~blind.repeat_interleave(len(z) // len(way)), 0.0)

    mesh = torch.cat([ends[ends.isfinite()], panels]).unique()
    number = (torch.searchsorted(ends, 0.5 * (mesh[1:] + mesh[:-1])) - 1).clamp(0, len(way) - 1)
    inside = (mesh[:-1] >= ends[0]) & (mesh[1:] <= ends[-1]) & blind[number]
    more, by_x = nodes(mesh[:-1][inside], mesh[1:][inside])
    x, dx, z = torch.cat([x, more]), torch.cat([dx, by_x]), torch.cat([z, same_rank(own, base, more)])
    seen = (dx > 0) & x.isfinite() & z.isfinite()
    x = x.where(seen, own.mean)
    with torch.no_grad():
        gap = (place(z.where(seen, base.mean)) - x).where(seen, 0.0)
    return Once.apply(2 * (gap * dx) @ _mass(law, own, x))


def _with_density(own: Law) -> Base:
    if not isinstance(own, Base):
        raise ConfigError(f"law={type(own).__name__}(...) has no derivatives: it has no density")
    return own


def _mass(law: Law, own: Law, x: Tensor) -> Tensor:
    """Zeros [n] with the derivatives of P(x), from the smaller of both masses beside x [n]."""
    mass = torch.where(own.cdf(x) < 0.5, law.cdf(x), -law.survival(x))
    check_reach(tensors_of(law), [mass])
    return mass - mass.detach()
