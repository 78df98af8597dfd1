"""Moment laws: the second moment, and a time by which a solution must have blown up.

With linear diffusion D, W = s log|x| + w x^2/2 and V of degree 2, the center of mass obeys M' = -V'(M) and the variance

    d/dt S = -2 k S + 2 D - s,   k = V'' + w,

for any initial law on the line. For Keller-Segel s = 2 chi.
"""

from __future__ import annotations

import math

from wgf.problem.equations import Problem
from wgf.reference_solutions.exact import center_of_mass, decay


def second_moment(problem: Problem, t: float) -> float | None:
    """int x^2 rho (length^2) where it obeys an equation of its own; else None."""
    law, v, rates = problem.law, problem.potential.parabola(), _variance(problem)
    if v is None or rates is None:
        return None
    k, growth = rates
    return center_of_mass(law.mean, v, t) ** 2 + law.std**2 * math.exp(-2 * k * t) + growth * decay(2 * k, t)


def blow_up_bound(problem: Problem) -> float | None:
    """The time by which the solution must have blown up, because its variance would vanish (time); None without one.

    Without a potential the variance changes at the constant rate 2 D - s, and the bound is std^2 / (s - 2 D).
    """
    rates = _variance(problem)
    if rates is None or rates[1] >= 0:
        return None
    k, growth = rates
    start = problem.law.std**2 / -growth
    if k == 0:
        return start
    return math.log1p(2 * k * start) / (2 * k) if 2 * k * start > -1 else None


def _variance(problem: Problem) -> tuple[float, float] | None:
    """k and 2 D - s of the equation of the variance; None where the variance has none."""
    v, w, diffusion = problem.potential.parabola(), problem.interaction.elementary, problem.linear_diffusion
    if v is None or w is None or w.kink or diffusion is None or not problem.domain.is_line:
        return None
    return v.stiffness + w.quadratic, 2 * diffusion - w.logarithm
