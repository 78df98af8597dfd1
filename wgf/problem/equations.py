"""The equations: d/dt rho = d/dx ( rho d/dx ( V + W * rho + U'(rho) ) ), rho(0) = p, as sums of energy terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from wgf.errors import ConfigError
from wgf.problem import bases
from wgf.problem import interaction as kernels
from wgf.problem.base import Base, Law, Start
from wgf.problem.changes.pace import Changes, Pace
from wgf.problem.domain import Domain, Line
from wgf.problem.energy import Term, factor
from wgf.problem.interaction import Interaction
from wgf.problem.internal import Entropy, PowerLaw
from wgf.problem.potential import Potential
from wgf.settings.ranges import AtLeastOne, MoreThanOne, NonNegative, Positive, checked

LINE, NO_INTERACTION = Line(), kernels.Zero()
LAST_PLACES = 64  # of a sum over nodes that rounding changes


def last_places(mean: Any, std: Any) -> Any:
    """How many last places of an energy rounding changes at most, by mean and standard deviation of the initial law,
    numbers or arrays (length): far from 0 it has fewer digits."""
    return LAST_PLACES * (1 + abs(mean) / std)


@dataclass(frozen=True)
class Problem:
    """A Wasserstein gradient flow from an initial law up to the time t_end.

    Attributes:
        law: the initial law.
        domain: where the solution lives.
        other_base: reference measure p of the map, if it is not the law.
        steady: W2 distance, in standard deviations of the law, that the solution may still move in the time t_end for
            its run to stop early, at a saved time (no unit); 0 to run until t_end.
    """

    law: Law
    potential: Potential
    internal: Term | None
    interaction: Interaction
    t_end: float
    domain: Domain = field(default_factory=Line)
    other_base: Base | None = None
    steady: float = 0.0

    def at(self, t: float) -> Problem:
        """The problem with the potential as it is at the time t; itself if the potential does not move."""
        return replace(self, potential=self.potential.at(t)) if self.potential.moves else self

    def pace(self, worth: float) -> Pace:
        """How long steps in time may be if the potential moves.

        Args:
            worth: what changes of V move by less is ignored, in standard deviations of the law (no unit).
        """
        return Pace(self._changes, worth * self.law.std)

    @cached_property
    def _changes(self) -> list[Changes]:
        return Changes.of(self.potential, self.law, self.t_end)

    def __getstate__(self) -> dict[str, object]:
        """Without what V does at thousands of times."""
        return {name: value for name, value in vars(self).items() if name != "_changes"}

    @property
    def steady_dissipation(self) -> float:
        """Dissipation, the square of the W2 speed, at which the solution is steady (length^2/time^2)."""
        return (self.steady * self.law.std / self.t_end) ** 2

    @cached_property
    def base(self) -> Base:
        """The reference measure p of the map.

        Raises:
            ConfigError: the law has no density, and there is no other base.
        """
        return self.other_base or bases.choose("law", self.law, self.internal, self.domain)

    @property
    def start(self) -> Start:
        """T(0), the map that carries the base to the initial law."""
        return Start(self.law, self.base)

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The energy terms that are not zero."""
        candidates = (self.potential, self.internal, self.interaction)
        return tuple(t for t in candidates if t is not None and not t.vanishes)

    @property
    def equation(self) -> str:
        """The equation as a person would write it: `rho_t = rho_xx + (rho V')_x, V = x^2/2`."""
        sums, names, internal = [], [], self.internal
        if internal is not None and (diffusion := internal.power_diffusion()) is not None:
            power = "rho" if diffusion.exponent == 1 else f"(rho^{diffusion.exponent:g})"
            sums.append(f"{factor(diffusion.coefficient)}{power}_xx")
        elif internal is not None:
            sums.append("(rho U'(rho)_x)_x")
            names.append(f"U = {internal}")
        if not self.potential.vanishes:
            sums.append("(rho V')_x")
            names.append(f"V = {self.potential}")
        if not self.interaction.vanishes:
            sums.append("(rho (W * rho)_x)_x")
            names.append(f"W = {self.interaction}")
        place = "" if self.domain.is_line else f" on {self.domain}"
        return ", ".join([f"rho_t = {' + '.join(sums) or '0'}{place}", *names]).replace("**", "^")

    @property
    def linear_diffusion(self) -> float | None:
        """D of the linear diffusion D rho_xx, 0 without an internal energy; None where the diffusion is another."""
        if self.internal is None:
            return 0.0
        diffusion = self.internal.power_diffusion()
        return diffusion.coefficient if diffusion is not None and diffusion.exponent == 1 else None

    @property
    def least_size(self) -> float:
        """Least size of the energy where its rounding counts: an entropy may vanish, its rounding does not (energy)."""
        return self.linear_diffusion or 0.0

    @property
    def rounding(self) -> float:
        """Share of its size by which rounding changes an energy, in units of eps; see `last_places`."""
        return last_places(self.law.mean, self.law.std)

    @property
    def collapses(self) -> bool:
        """Whether the law can concentrate in a point within finite time."""
        return self.interaction.collapses(self.internal)


class PDE(ABC):
    """A family of equations: it says which internal and interaction energy it adds to a potential.

    Attributes:
        interacts: whether it takes an interaction from outside.
        derivable: arguments that may be tensors that require grad.
    """

    interacts = False
    derivable: tuple[str, ...] = ()

    @abstractmethod
    def internal(self) -> Term | None:
        """U."""

    def kernel(self) -> Interaction:
        """W, where the equation brings its own."""
        return NO_INTERACTION

    def problem(
        self,
        law: Law,
        potential: Potential,
        interaction: Interaction,
        t_end: float,
        base: Base | str = "law",
        domain: Domain | None = None,
    ) -> Problem:
        """The equation for one law, potential, interaction and end time.

        Args:
            law: the initial law.
            potential, interaction: V and W.
            t_end: end time (time).
            base: reference measure of the map: a law with a density, or a choice of `bases.choose`.
            domain: where the solution lives; the line by default.

        Raises:
            ConfigError: an interaction is given to an equation that has none, the law cannot have this base, or the
                equation has no solution by maps on this domain.
        """
        if not interaction.vanishes:
            if not self.interacts:
                raise ConfigError(
                    f"interaction={interaction} with pde={type(self).__name__}: only "
                    "pde=aggregation_diffusion takes an interaction, say interaction=none"
                )
            kernel = interaction
        else:
            kernel = self.kernel()
        internal = self.internal()
        domain = domain or LINE
        domain.check(law, internal)
        domain = domain.at_start(law, internal)
        chosen = bases.choose(base, law, internal, domain)
        other = None if chosen is law else chosen
        return Problem(law, potential, internal, kernel, t_end, domain, other)


def _moves(number: float) -> bool:
    """Whether a number is a tensor that requires grad: its derivative needs a term, also where it is 0."""
    return getattr(number, "requires_grad", False)


class LinearTransport(PDE):
    """rho_t = (rho V')_x: every particle slides down the potential by itself."""

    @checked
    def __init__(self) -> None:
        pass

    def internal(self) -> None:
        return None


class FokkerPlanck(PDE):
    """rho_t = (rho V')_x + D rho_xx.

    Args:
        diffusion: D > 0 (length^2/time).
    """

    derivable = ("diffusion",)

    @checked
    def __init__(self, diffusion: Positive = 1.0) -> None:
        self.diffusion = diffusion

    def internal(self) -> Entropy:
        return Entropy(self.diffusion)


class PorousMedium(PDE):
    """rho_t = (rho V')_x + kappa (rho^g)_xx.

    Args:
        exponent: g > 1.
        diffusion: kappa > 0.
    """

    derivable = ("exponent", "diffusion")

    @checked
    def __init__(self, exponent: MoreThanOne = 2.0, diffusion: Positive = 1.0) -> None:
        self.exponent, self.diffusion = exponent, diffusion

    def internal(self) -> PowerLaw:
        return PowerLaw(self.exponent, self.diffusion)


class KellerSegel(PDE):
    """rho_t = (rho V')_x + (rho (W * rho)_x)_x + D rho_xx with W = 2 chi log|x|; chi > D blows up in finite time.

    Args:
        chi: sensitivity (length^2/time).
        diffusion: D > 0.
    """

    derivable = ("chi", "diffusion")

    @checked
    def __init__(self, chi: NonNegative = 0.5, diffusion: Positive = 1.0) -> None:
        self.chi, self.diffusion = chi, diffusion

    def internal(self) -> Entropy:
        return Entropy(self.diffusion)

    def kernel(self) -> Interaction:
        return kernels.Zero() if self.chi == 0 and not _moves(self.chi) else kernels.Log(2 * self.chi)


class AggregationDiffusion(PDE):
    """rho_t = (rho V')_x + (rho (W * rho)_x)_x + kappa (rho^g)_xx, W from the group `interaction`.

    Args:
        diffusion: kappa >= 0; 0 leaves the aggregation equation.
        exponent: g >= 1; 1 is linear diffusion.
    """

    interacts = True
    derivable = ("diffusion", "exponent")

    @checked
    def __init__(self, diffusion: NonNegative = 1.0, exponent: AtLeastOne = 1.0) -> None:
        self.diffusion, self.exponent = diffusion, exponent

    def internal(self) -> Term | None:
        for name, edge in (("diffusion", 0), ("exponent", 1)):
            if (value := getattr(self, name)) == edge and _moves(value):
                raise ConfigError(
                    f"{name}={edge} has no derivative: give a larger number as a tensor, or {edge} as a number"
                )
        if self.diffusion == 0:
            return None
        return Entropy(self.diffusion) if self.exponent == 1 else PowerLaw(self.exponent, self.diffusion)
