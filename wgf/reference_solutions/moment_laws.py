"""Moments that obey an equation of their own: the second moment, and the time by which a solution has blown up."""

from __future__ import annotations

import math

from wgf.problem import interaction as kernels
from wgf.problem import potential as potentials
from wgf.problem.equations import Problem
from wgf.problem.internal import Entropy
from wgf.reference_solutions.exact import decay


def second_moment(problem: Problem, t: float) -> float | None:
    """int x^2 rho (length^2) where it obeys a law of its own; None elsewhere.

    With linear diffusion D, W = s log|x| and V = theta x^2/2: d/dt M2 = -2 theta M2 + 2 D - s, for any initial law.
    For Keller-Segel, s = 2 chi, this is M2(0) + 2 (D - chi) t.
    """
    law, v, w, u = problem.law, problem.potential, problem.interaction, problem.internal
    central = isinstance(v, potentials.Zero) or (isinstance(v, potentials.Quadratic) and v.center == 0)
    if not (central and isinstance(w, kernels.Log | kernels.Zero) and (u is None or isinstance(u, Entropy))):
        return None
    theta = v.stiffness if isinstance(v, potentials.Quadratic) else 0.0
    growth = 2 * (u.diffusion if u else 0.0) - (w.strength if isinstance(w, kernels.Log) else 0.0)
    return (law.mean**2 + law.std**2) * math.exp(-2 * theta * t) + growth * decay(2 * theta, t)


def blow_up_bound(problem: Problem) -> float | None:
    """The time by which the solution must have blown up, or None where nothing forces it to (time).

    Without a potential the variance changes at the constant rate 2 D - s for W = s log|x| (2 (D - chi) for
    Keller-Segel); where that is negative the variance would vanish at std^2 / (s - 2 D).
    """
    w, u = problem.interaction, problem.internal
    if not (isinstance(problem.potential, potentials.Zero) and isinstance(w, kernels.Log)):
        return None
    if not (u is None or isinstance(u, Entropy)):
        return None
    loss = w.strength - 2 * (u.diffusion if u else 0.0)
    return problem.law.std**2 / loss if loss > 0 else None
