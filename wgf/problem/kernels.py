"""Interaction kernels summed over all pairs: power laws, Morse, and formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.energy import Elementary, factor
from wgf.problem.interaction import Interaction, Log, Newtonian, Pairwise, Quadratic, Zero
from wgf.settings.formulas.derivatives import derivatives
from wgf.settings.formulas.expression import Expression
from wgf.settings.ranges import AtLeastOne, Finite, Fraction, Positive, Text, checked

NEAR, NEARER = 1e-40, 1e-50  # distances at which the slope of a kernel shows its kink, in any unit (length)
SAME, GROWS = 1e-3, 1.001

__all__ = ["Expressed", "Interaction", "Log", "Morse", "Newtonian", "Pairwise", "PowerLaw", "Quadratic", "Zero"]


class PowerLaw(Pairwise):
    """W = strength (|x|^a/a - |x|^b/b): attraction at a distance, repulsion nearby.

    Args:
        attraction: a > b.
        repulsion: b >= 1.
        strength: energy per mass^2.
        sum_rtol: relative error of a hierarchical sum over many nodes, see `Pairwise`; 0 sums all pairs.
    """

    derivable = ("attraction", "repulsion", "strength")

    @checked
    def __init__(
        self,
        attraction: AtLeastOne = 4.0,
        repulsion: AtLeastOne = 2.0,
        strength: Positive = 1.0,
        sum_rtol: Fraction = 1e-12,
    ) -> None:
        if not attraction > repulsion:
            raise ConfigError(
                f"interaction.attraction={attraction:g} is not allowed: expected a number above "
                f"interaction.repulsion={repulsion:g}"
            )
        if repulsion == 1 and getattr(repulsion, "requires_grad", False):
            raise ConfigError("repulsion=1 has no derivative: give a number above 1 as a tensor, or 1 as a number")
        self.attraction, self.repulsion, self.strength, self.sum_rtol = attraction, repulsion, strength, sum_rtol
        self.convexity = least_bend_of_powers(strength, attraction, repulsion)

    @property
    def kink(self) -> float:  # type: ignore[bad-override]
        return -self.strength if self.repulsion == 1 else 0.0

    @property
    def elementary(self) -> Elementary | None:  # type: ignore[bad-override]
        if (self.attraction, self.repulsion) != (2, 1):
            return None
        return Elementary(kink=-self.strength, quadratic=self.strength)

    def kernel(self, r: Tensor) -> Tensor:
        r, a, b = r.abs(), self.attraction, self.repulsion
        return self.strength * (r**a / a - (r**b / b if b > 1 else 0.0))

    def force(self, r: Tensor) -> Tensor:
        d, a, b = r.abs(), self.attraction, self.repulsion
        return self.strength * torch.sign(r) * (d ** (a - 1) - (d ** (b - 1) if b > 1 else 0.0))

    def stiffness(self, r: Tensor) -> Tensor:
        d, a, b = r.abs(), self.attraction, self.repulsion
        return self.strength * ((a - 1) * d ** (a - 2) - ((b - 1) * d ** (b - 2) if b > 1 else 0.0))

    def __str__(self) -> str:
        a, b = self.attraction, self.repulsion
        return f"{factor(self.strength)}(|x|^{a:g}/{a:g} - |x|^{b:g}/{b:g})"


class Morse(Pairwise):
    """W = repulsion exp(-|x|/repulsion_length) - attraction exp(-|x|/attraction_length).

    Args:
        attraction, repulsion: amplitudes (energy per mass^2).
        attraction_length, repulsion_length: ranges (length).
    """

    derivable = ("attraction", "repulsion", "attraction_length", "repulsion_length")

    @checked
    def __init__(
        self,
        attraction: Positive = 1.0,
        repulsion: Positive = 1.0,
        attraction_length: Positive = 2.0,
        repulsion_length: Positive = 1.0,
    ) -> None:
        self.attraction, self.repulsion = attraction, repulsion
        self.attraction_length, self.repulsion_length = attraction_length, repulsion_length
        self.convexity = least_bend_of_waves((repulsion, -attraction), (repulsion_length, attraction_length))

    @property
    def _waves(self) -> tuple[tuple[float, float], ...]:
        """Amplitudes and lengths."""
        return (self.repulsion, self.repulsion_length), (-self.attraction, self.attraction_length)

    @property
    def kink(self) -> float:  # type: ignore[bad-override]
        return -sum(c / s for c, s in self._waves)

    def kernel(self, r: Tensor) -> Tensor:
        r = r.abs()
        waves = [c * torch.exp(-r / s) for c, s in self._waves]
        return waves[0] + waves[1] - self.kink * r

    def force(self, r: Tensor) -> Tensor:
        d = r.abs()
        slopes = [-c / s * torch.expm1(-d / s) for c, s in self._waves]
        return torch.sign(r) * (slopes[0] + slopes[1])

    def stiffness(self, r: Tensor) -> Tensor:
        bends = [c / s**2 * torch.exp(-r.abs() / s) for c, s in self._waves]
        return bends[0] + bends[1]

    def __str__(self) -> str:
        (r, lr), (a, la) = self._waves
        return f"{factor(r)}exp(-|x|/{lr:g}) - {factor(-a)}exp(-|x|/{la:g})"


class Expressed(Pairwise):
    """Even kernel W(r) as a formula, such as "abs(r)**3/3" or "-exp(-(r/a)**2)" with a constant a=1; O(n^2).

    Args:
        expr: W in the signed distance r; wgf finds a kink |r| by itself.
        constants: values of names in the formula.

    Raises:
        ConfigError: W is not even, or it or its slope is not finite at 0: `interaction=log` has such a kernel.
    """

    derivable = ("constants",)

    @checked
    def __init__(self, expr: Text, **constants: Finite) -> None:
        self.expression = Expression(expr, constants, variable="r")
        r = torch.tensor([0.0, NEARER, NEAR, 1e-5, 1e-3, 0.1, 0.37, 1.0, 2.3, 7.1], dtype=torch.float64)
        value, mirrored = self.expression(r), self.expression(-r)
        if bool((value - mirrored).abs().max() > 1e-9 * value.nan_to_num().abs().max()):
            raise ConfigError(f"expr={expr!r} is not even: expected W(-r) = W(r), such as abs(r)**3/3")
        jumps = 0.5 * (self._slope(r[1:3]) - self._slope(-r[1:3]))  # of W', whose rounding does not jump
        slopes: Any = jumps if self._varies else jumps.tolist()
        nearer, near = slopes
        if not bool(value[:3].isfinite().all()) or not abs(nearer) <= GROWS * abs(near):
            raise ConfigError(
                f"expr={expr!r} is singular at r=0: expected a kernel with a finite slope there, or interaction=log"
            )
        self.kink = nearer if abs(nearer - near) <= SAME * abs(nearer) else 0.0

    @cached_property
    def elementary(self) -> Elementary | None:  # type: ignore[bad-override]
        powers = self.expression.polynomial()
        if powers is None or len(powers) > 3 or any(powers[1:2]):
            return None
        return Elementary(quadratic=2 * powers[2] if len(powers) == 3 else 0.0)

    @property
    def _varies(self) -> bool:
        """Whether a constant requires grad."""
        return any(isinstance(value, Tensor) and value.requires_grad for value in self.expression.constants.values())

    def _slope(self, d: Tensor) -> Tensor:
        """W'(d) at d != 0."""
        if not d.requires_grad and not self._varies and (found := derivatives(self.expression, d, 1)) is not None:
            return found[0]
        with torch.enable_grad():
            d = d if d.requires_grad else d.detach().requires_grad_()
            return torch.autograd.grad(self.expression(d).sum(), d, create_graph=True)[0]

    def kernel(self, r: Tensor) -> Tensor:
        return self.expression(r) - self.kink * r.abs()

    def force(self, r: Tensor) -> Tensor:
        d = r.abs()
        slope = self._slope(d.masked_fill(d == 0, 1.0))
        force = torch.sign(r) * (slope - self.kink)
        return force if r.requires_grad or self._varies else force.detach()

    def __str__(self) -> str:
        return str(self.expression)


def least_bend_of_powers(strength: float, a: float, b: float) -> float | None:
    """min over r > 0 of strength ((a - 1) r^(a-2) - (b - 1) r^(b-2)) for a > b >= 1; None if it has no lower bound.

    The minimum lies at r^(a-b) = (b - 1)(b - 2) / ((a - 1)(a - 2)).
    """
    if b == 1:
        return strength if a == 2 else 0.0
    if b < 2:
        return None
    r = ((b - 1) * (b - 2) / ((a - 1) * (a - 2))) ** (1 / (a - b))
    return float(strength * ((a - 1) * r ** (a - 2) - (b - 1) * r ** (b - 2)))


def least_bend_of_waves(amplitudes: Sequence[float], lengths: Sequence[float]) -> float:
    """inf over r > 0 of the second derivative of c_1 exp(-r/s_1) + c_2 exp(-r/s_2), c_1 > 0 > c_2.

    With a_i = c_i / s_i^2 it lies at r = 0, at infinity, or where a_1/s_1 exp(-r/s_1) = -a_2/s_2 exp(-r/s_2).
    """
    (s, t), (a, b) = lengths, (c / s**2 for c, s in zip(amplitudes, lengths, strict=True))
    least = min(a + b, 0.0)
    if s != t and (r := math.log(-a * t / (b * s)) / (1 / s - 1 / t)) > 0:
        least = min(least, a * math.exp(-r / s) + b * math.exp(-r / t))
    return least
