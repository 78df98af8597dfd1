"""Choice of the base: the reference measure of the map for an initial law and an equation."""

from __future__ import annotations

import math

import torch

from wgf.errors import ConfigError
from wgf.kept import kept
from wgf.problem.base import Base, Law
from wgf.problem.domain import Domain
from wgf.problem.energy import Term
from wgf.problem.laws import Gaussian, SymmetricBeta, TruncatedNormal, Uniform
from wgf.settings.ranges import fault

BASES = ("auto", "law", "gaussian", "barenblatt")
GAP = 1e-4  # density in a gap relative to the largest density, below which a map cannot move mass across
# density at an edge, relative to the largest density, below which the law vanishes there; True: in a porous medium
EDGE = {True: 1e-2, False: 1e-5}
HEAVY = 50.0  # reach of a law in standard deviations from which its tails are too heavy for a porous medium
FARTHEST = 4.0  # standard deviations from the mean of a base to a wall
SEEN = 1e-9  # mass beyond which a dip of the density is a tail
KEPT = 64  # laws whose gap is kept


def choose(wanted: Base | str, law: Law, internal: Term | None, domain: Domain) -> Base:
    """The base of the map.

    `auto` takes the law itself unless diffusion demands another base. Linear diffusion smooths a law at once: where the
    law has an edge, a kink, a jump or a gap, its map from itself gets singular there, and a Gaussian law of equal mean
    and variance serves better. In a porous medium gaps stay. So do the edges of a law on an interval: there the
    symmetric beta law of Barenblatt's exponent serves better. A smooth law on a half-line whose density vanishes at its
    edge stays its own base, but not in a porous medium if its tail is heavy. docs/methods.md has measurements.

    Between walls the base of a linear diffusion has the whole domain as its support, see `_within`; in a porous medium
    it is the uniform law on the support of the law, see `_towards`.

    Args:
        wanted: a base, or one of `BASES`: `gaussian` has mean and variance of the law, `barenblatt` the ends of its
            support and the exponent of the diffusion.
        law: the initial law.
        internal: the internal energy of the equation.
        domain: where the solution lives.

    Raises:
        ConfigError: the law cannot have this base.
    """
    diffusion = None if internal is None else internal.power_diffusion()
    exponent = None if diffusion is None else diffusion.exponent
    if domain.period is not None:
        return _around(domain.period, wanted, law)
    if not domain.is_line and exponent == 1:
        return _within(domain, wanted, law)
    if not domain.is_line:
        return _towards(domain, wanted, law)
    if isinstance(wanted, Base):
        return wanted
    if not isinstance(wanted, str) or wanted not in BASES:
        raise ConfigError(fault("base", wanted, f"{', '.join(BASES)}, or a law with a density"))
    known = law if isinstance(law, Base) else None
    if wanted == "barenblatt":
        if exponent is None or exponent == 1 or not law.is_compact:
            raise ConfigError("base=barenblatt needs a porous medium and a law on an interval: use base=auto")
        return _barenblatt(law, exponent)
    if wanted == "law" and known is None:
        raise ConfigError(f"base=law is impossible: {type(law).__name__} has no density; use base=gaussian")
    if wanted == "gaussian" or known is None:
        return Gaussian(law.mean, law.std)
    if wanted == "law" or exponent is None or _serves(known, exponent):
        return known
    return _barenblatt(law, exponent) if exponent > 1 and law.is_compact else Gaussian(law.mean, law.std)


def _within(domain: Domain, wanted: Base | str, law: Law) -> Base:
    """The base of a linear diffusion between walls.

    It is the law itself if this is smooth and positive up to the walls. Else it is the uniform law of an interval; on a
    half-line it is the Gaussian law of equal mean and standard deviation, cut at the wall and wide enough to have mass
    there.

    Raises:
        ConfigError: the support of the wanted base is not the domain.
    """
    low, high = domain.walls
    known = law if wanted in ("auto", "law") else wanted
    if isinstance(known, Base) and _fills(domain, known) and (wanted != "auto" or _is_open(domain, known)):
        return known
    if wanted != "auto":
        name = type(law).__name__ if wanted == "law" else wanted if isinstance(wanted, str) else type(wanted).__name__
        raise ConfigError(f"base={name} is impossible on {domain}: its support must be the domain; use base=auto")
    assert low is not None
    if high is not None:
        return Uniform(low, high)
    return TruncatedNormal(law.mean, max(law.std, (law.mean - low) / FARTHEST), low, None)


def _towards(domain: Domain, wanted: Base | str, law: Law) -> Base:
    """The base of a porous medium between walls: the uniform law on the support of the law, or a law without end.

    At a wall the density is positive. The slope p/rho of a map from a base whose density vanishes there, such as that
    of Barenblatt, would fall to 0 at the contact.

    Raises:
        ConfigError: another base is wanted by name, or the support of a law without end has no density.
    """
    if isinstance(wanted, Base):
        return wanted
    if wanted == "auto" and law.is_compact and not isinstance(law, Uniform):
        return Uniform(law.lower, law.upper)
    if wanted in ("auto", "law") and isinstance(law, Base):
        return law
    raise ConfigError(
        f"base={wanted} is impossible in a porous medium on {domain}: use base=auto and a law on an interval"
    )


def _around(length: float, wanted: Base | str, law: Law) -> Base:
    """The base of a map of a circle: the uniform law.

    Raises:
        ConfigError: another base is wanted.
    """
    known = law if wanted in ("auto", "law") else wanted
    if isinstance(known, Uniform) and (known.lower, known.upper) == (0.0, length):
        return known
    if wanted != "auto":
        raise ConfigError("on a circle the base is the uniform law: use base=auto")
    return Uniform(0.0, length)


def _is_open(domain: Domain, law: Base) -> bool:
    """Whether a law is smooth and its density nowhere nearly 0, neither in a gap nor at a wall."""
    if not law.smooth or gap(law) < GAP:
        return False
    panels = torch.tensor(law.panels(), dtype=torch.float64)
    walls = torch.tensor([wall for wall in domain.walls if wall is not None], dtype=torch.float64)
    at_walls, inside = law.density(walls), law.density(0.5 * (panels[1:] + panels[:-1]))
    return bool((at_walls.isfinite() & (at_walls >= GAP * inside.max())).all())


def _fills(domain: Domain, base: Base) -> bool:
    """Whether the support of a base is the domain."""
    low, high = domain.walls
    return base.lower == (-math.inf if low is None else low) and base.upper == (math.inf if high is None else high)


def _barenblatt(law: Law, exponent: float) -> Base:
    """The law of Barenblatt's shape on the support of a law; the law itself if it has this shape."""
    if isinstance(law, SymmetricBeta) and law.a == exponent / (exponent - 1):
        return law
    return SymmetricBeta(0.5 * (law.lower + law.upper), 0.5 * (law.upper - law.lower), exponent / (exponent - 1))


def _serves(law: Base, exponent: float) -> bool:
    """Whether a law is a good base of its own map under a diffusion."""
    if exponent == 1 and gap(law) < GAP:
        return False
    if law.is_regular:
        return True
    light = max(abs(end - law.mean) for end in law.reach()) <= HEAVY * law.std
    vanishes = law.smooth and not law.is_compact and edge(law) < EDGE[exponent > 1]
    return vanishes and (exponent == 1 or light)


def edge(law: Base) -> float:
    """Density beside the edges of the support, relative to the largest density."""
    tail = torch.tensor([SEEN], dtype=torch.float64)
    # far from 0 a place beside an infinite density may be the edge itself, where the density is that of outside
    inside = math.nextafter(law.lower, math.inf), math.nextafter(law.upper, -math.inf)
    ends = [law.quantile(tail).clamp(min=inside[0])] if math.isfinite(law.lower) else []
    ends += [law.upper_quantile(tail).clamp(max=inside[1])] if math.isfinite(law.upper) else []
    peak = law.density(torch.linspace(*law.reach(), 4001, dtype=torch.float64)[1:-1]).max()
    return float(torch.stack([law.density(z).max() for z in ends]).max() / peak) if ends else 0.0


@kept(KEPT)
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
