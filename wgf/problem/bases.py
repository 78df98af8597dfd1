"""Choice of the base: the reference measure of the map for an initial law and an equation."""

from __future__ import annotations

import torch

from wgf.errors import ConfigError
from wgf.problem.base import Base, Law
from wgf.problem.energy import Term
from wgf.problem.laws import Gaussian, SymmetricBeta
from wgf.settings.ranges import fault

BASES = ("auto", "law", "gaussian", "barenblatt")
GAP = 1e-4  # density in a gap relative to the largest density, below which a map cannot move mass across
SEEN = 1e-9  # mass beyond which a dip of the density is a tail


def choose(wanted: Base | str, law: Law, internal: Term | None) -> Base:
    """The base of the map.

    `auto` takes the law itself unless diffusion demands another base. Linear diffusion smooths a law at once: where the
    law has an edge, a kink, a jump or a gap, its map from itself gets singular there, and a Gaussian law of equal mean
    and variance serves better. In a porous medium gaps stay. So do the edges of a law on an interval: there the
    symmetric beta law of Barenblatt's exponent serves better. docs/methods.md has measurements.

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
    if not isinstance(wanted, str) or wanted not in BASES:
        raise ConfigError(fault("base", wanted, f"{', '.join(BASES)}, or a law with a density"))
    diffusion = None if internal is None else internal.power_diffusion()
    exponent = None if diffusion is None else diffusion.exponent
    known = law if isinstance(law, Base) else None
    if wanted == "barenblatt":
        if exponent is None or exponent == 1 or not law.is_compact:
            raise ConfigError("base=barenblatt needs a porous medium and a law on an interval: use base=auto")
        return _barenblatt(law, exponent)
    if wanted == "law" and known is None:
        raise ConfigError(f"base=law is impossible: {type(law).__name__} has no density; use base=gaussian")
    if wanted == "gaussian" or known is None:
        return Gaussian(law.mean, law.std)
    if wanted == "law" or exponent is None or (known.is_regular and (exponent > 1 or gap(known) >= GAP)):
        return known
    return _barenblatt(law, exponent) if exponent > 1 and law.is_compact else Gaussian(law.mean, law.std)


def _barenblatt(law: Law, exponent: float) -> Base:
    """The law of Barenblatt's shape on the support of a law; the law itself if it has this shape."""
    if isinstance(law, SymmetricBeta) and law.a == exponent / (exponent - 1):
        return law
    return SymmetricBeta(0.5 * (law.lower + law.upper), 0.5 * (law.upper - law.lower), exponent / (exponent - 1))


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
