"""Choice of the base: the reference measure of the map for an initial law and an equation."""

from __future__ import annotations

import math

import torch

from wgf.errors import ConfigError
from wgf.problem.base import Base, Law
from wgf.problem.energy import Term
from wgf.problem.laws import Gaussian, SymmetricBeta

BASES = ("auto", "law", "gaussian", "barenblatt")
GAP = 1e-4  # density in a gap relative to the largest density, below which a map cannot move mass across
SEEN = 1e-9  # mass beyond which a dip of the density is a tail


def choose(wanted: Base | str, law: Law, internal: Term | None) -> Base:
    """The base of the map.

    `auto` takes the law itself unless diffusion demands another base. Linear diffusion smooths a law at once: where the
    law has an edge, a kink, a jump or a gap, its map from itself gets singular there, and a Gaussian law of equal mean
    and variance serves better. Porous medium diffusion does the same to a law with jumps on an interval, where the
    symmetric beta law of Barenblatt's exponent serves better. Measured in docs/methods.md.

    Args:
        wanted: a base, or one of `BASES`: `gaussian` has mean and variance of the law, `barenblatt` the ends of its
            support and the exponent of the diffusion.
        law: the initial law.
        internal: the internal energy of the equation.

    Raises:
        ConfigError: the law cannot have this base.
    """
    if isinstance(wanted, Base):
        return wanted
    if wanted not in BASES:
        raise ConfigError(f"base={wanted!r} is not allowed: expected {', '.join(BASES)}, or a law with a density")
    diffusion = None if internal is None else internal.power_diffusion()
    exponent = None if diffusion is None else diffusion.exponent
    if wanted == "barenblatt":
        if exponent is None or exponent == 1 or not law.is_compact:
            raise ConfigError("base=barenblatt needs a porous medium and a law on an interval: use base=auto")
        return _barenblatt(law, exponent)
    known = law if isinstance(law, Base) else None
    if wanted == "law":
        if known is None:
            raise ConfigError(f"base=law is impossible: {type(law).__name__} has no density; use base=gaussian")
        return known
    if wanted == "gaussian" or known is None:
        return Gaussian(law.mean, law.std)
    if exponent == 1 and not is_regular(known):
        return Gaussian(law.mean, law.std)
    if exponent is not None and exponent > 1 and known.is_compact and not known.smooth:
        return _barenblatt(known, exponent)
    return known


def _barenblatt(law: Law, exponent: float) -> SymmetricBeta:
    return SymmetricBeta(0.5 * (law.lower + law.upper), 0.5 * (law.upper - law.lower), exponent / (exponent - 1))


def is_regular(law: Base) -> bool:
    """Whether a density is smooth and positive on the whole line, without a gap."""
    return law.smooth and not math.isfinite(law.lower) and not math.isfinite(law.upper) and gap(law) >= GAP


def gap(law: Base) -> float:
    """Smallest density between two peaks, relative to the largest density; 1 for a law with a single peak."""
    tail = torch.tensor([SEEN], dtype=torch.float64)
    panels = torch.tensor(law.panels(), dtype=torch.float64)
    inside = torch.linspace(0, 1, 65, dtype=torch.float64)[:-1]
    z = (panels[:-1, None] + panels.diff()[:, None] * inside).reshape(-1)
    p = law.density(z[(z > law.quantile(tail)) & (z < law.upper_quantile(tail))])
    around = torch.minimum(p.cummax(0).values, p.flip(0).cummax(0).values.flip(0))
    dips = p[p < 0.5 * around]
    return float(dips.min() / p.max()) if len(dips) else 1.0
