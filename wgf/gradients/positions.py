"""Derivatives of the positions of particles in the tensors of their law.

A change of a number q of the law moves the particle at x, whose rank stays, by dx/dq = -(dP/dq)(x) / rho(x), with P the
cdf and rho the density of the law.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.gradients.reach import check_law, check_reach
from wgf.gradients.tensors import plain, tensors_of
from wgf.problem.base import Base, Law


def motion(law: Law, own: Law, x: Tensor) -> Tensor:
    """Zeros [n] with the derivatives of the positions x [n] (length) in the tensors of a law.

    Args:
        law: the law.
        own: the same law without derivatives.
        x: positions; where there is no mass nothing moves.

    Raises:
        ConfigError: the law has no derivatives, or those in one of its tensors would be lost.
    """
    if not isinstance(law, Base) or not isinstance(own, Base):
        raise ConfigError(f"law={type(law).__name__}(...) has no derivatives: it has no density")
    density = own.density(x)
    inside = x.isfinite() & (density > 0)
    x, density = x.where(inside, own.mean), density.where(inside, torch.inf)
    mass = torch.where(own.cdf(x) < 0.5, law.cdf(x), -law.survival(x))
    check_reach(tensors_of(law), [mass])
    return -(mass - mass.detach()) / density


def positions(law: Law, left: Tensor, right: Tensor) -> Tensor:
    """Points [n] of a law with the masses `left` and `right` [n] on either side, differentiable in its tensors.

    Raises:
        ConfigError: see `motion`, or the law depends on a tensor that is not its attribute.
    """
    own = plain(law) if tensors_of(law) else law
    check_law(own)
    x = own.at_rank(left, right)
    return x + motion(law, own, x) if torch.is_grad_enabled() and own is not law else x
