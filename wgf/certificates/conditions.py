"""Whether the error of a problem can be bounded, and the convexity lambda that the bound needs."""

from __future__ import annotations

from dataclasses import dataclass

from wgf.problem.equations import Problem


@dataclass(frozen=True)
class Conditions:
    """What a bound knows about a problem.

    Attributes:
        convexity: lambda, a lower bound of the convexity of F without diffusion (1/time).
        diffusion: kappa of kappa (rho^g)_xx; 0 without diffusion.
        exponent: g.
        chi: attraction of the kernel 2 chi log|x|; 0 without such a kernel.
        unknown: why there is no bound, or None.
    """

    convexity: float = 0.0
    diffusion: float = 0.0
    exponent: float = 1.0
    chi: float = 0.0
    unknown: str | None = None


def conditions(problem: Problem) -> Conditions:
    """The assumptions of Theorems 1 and 2 of docs/certificates.md for a problem."""
    internal, kernel, v = problem.internal, problem.interaction, problem.potential
    spreads = None if internal is None else internal.power_diffusion()
    diffusion, exponent = (0.0, 1.0) if spreads is None else spreads
    attraction = max(kernel.elementary.logarithm, 0.0) if kernel.elementary else 0.0
    if problem.domain.period is not None:
        return Conditions(unknown=f"the bound is proved on the line and between walls, not on {problem.domain}")
    if exponent > 1 and problem.domain.ends is not None:
        return Conditions(unknown="the bound is not proved for a porous medium between walls")
    if internal is not None and spreads is None:
        return Conditions(unknown=f"the bound is not proved for the internal energy {internal}")
    if v.moves:
        return Conditions(unknown="the bound is proved for potentials that do not depend on the time")
    if v.convexity is None:
        return Conditions(unknown=f"no lower bound of V'' is known for V = {v}: state one as `convexity`")
    if attraction and (exponent > 1 or diffusion == 0):
        return Conditions(unknown=f"with W = {kernel} the bound needs linear diffusion")
    if problem.collapses:
        return Conditions(unknown=f"W = {kernel} can gather mass in a point within finite time")
    if attraction:
        return Conditions(v.convexity, diffusion, exponent, 0.5 * attraction)
    if kernel.convexity is None:
        return Conditions(unknown=f"no lower bound of W'' is known for W = {kernel}")
    return Conditions(v.convexity + min(kernel.convexity, 0.0), diffusion, exponent)
