"""Exact solutions: the map T(t, .) where it is a formula or an ordinary differential equation.

There are three families. Self-similar solutions: the law keeps its shape, so T is affine. Characteristics: without
diffusion and interaction each particle solves x' = -V'(x). Sheets: under W = s |x|/2 the force on a particle depends
only on the mass on either side of it, which is constant until two particles meet.

The variance S is known more often: with linear diffusion D, W = s log|x| + w x^2/2 and V of degree 2,

    d/dt S = -2 k S + 2 D - s,   k = V'' + w,

for any initial law on the line. For Keller-Segel s = 2 chi, and S = 0 is a time by which the solution has blown up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wgf.problem.base import Base, Start
from wgf.problem.changes.pace import Pace
from wgf.problem.energy import Parabola
from wgf.problem.equations import Problem
from wgf.problem.laws import Barenblatt, Gaussian, Semicircle
from wgf.problem.potential import Potential, Zero
from wgf.reference_solutions.characteristics import Characteristics
from wgf.reference_solutions.trajectory import Trajectory

TOLERANCE, EVALUATIONS = 1e-13, 100_000  # of an integration
SHARES = [((k + 0.5) * 0.618033988749895) % 1 for k in range(40)]  # of the end time, at which a potential is looked at


class Exact(Protocol):
    """The exact map of a problem.

    Attributes:
        name: the kind of solution, as result.json reports it.
        quick: whether a run can measure its error at every row of its history, else it does so at the saved times.
    """

    @property
    def name(self) -> str: ...

    @property
    def quick(self) -> bool: ...

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """T(t, z) [n] at z [n] (length); NaN where it does not exist."""


def decay(rate: float, t: float) -> float:
    """int_0^t e^{-rate s} ds (time)."""
    return -math.expm1(-rate * t) / rate if rate * t else t


def center_of_mass(mean: float, v: Parabola, t: float) -> float:
    """M(t) with M' = -V'(M), M(0) = mean (length): no diffusion and no interaction moves it."""
    return v.center + (mean - v.center) * math.exp(-v.stiffness * t) + v.force * decay(v.stiffness, t)


@dataclass(frozen=True)
class FromBase:
    """Exact map on the base: the exact map on the initial law after T(0).

    Args:
        known: the exact map on the law.
        start: T(0).
    """

    known: Exact
    start: Start

    @property
    def name(self) -> str:
        return self.known.name

    @property
    def quick(self) -> bool:
        return self.known.quick

    @property
    def noise(self) -> float:
        """That of the map on the law (length)."""
        return getattr(self.known, "noise", 0.0)

    def __call__(self, t: float, z: Tensor) -> Tensor:
        return self.known(t, self.start(z))


@dataclass(frozen=True)
class SelfSimilar:
    """Affine map T = M(t) + (z - m) L, M the center of mass and L the scale, L' = -k L + a L^{-g}, L(0) = 1, so that

        L^{g+1} = e^{-(g+1) k t} + (g+1) a int_0^t e^{-(g+1) k s} ds.

    Gaussian laws under linear diffusion (g = 1, a = D/std^2), Barenblatt laws under their own diffusion
    (a = kappa/((g+1) t0)), the semicircle under a log kernel (g = 1, a = -2 strength/R^2), and, without any of these
    (a = 0), every law in V of degree 2 and W = w x^2/2; k = V'' + w.

    Args:
        mean: m, the mean of the law (length).
        potential: V. k: contraction rate (1/time).
        g: exponent. a: spreading rate (1/time).
    """

    mean: float
    potential: Parabola
    k: float
    g: float
    a: float
    name = "exact: self-similar solution"
    quick = True

    def scale(self, t: float) -> float:
        """L(t); NaN after a collapse in finite time."""
        n, shrunk = self.g + 1, math.exp(-self.k * t)
        power = shrunk**n + n * self.a * decay(n * self.k, t)
        return shrunk if self.a == 0 else power ** (1 / n) if power > 0 else math.nan

    def __call__(self, t: float, z: Tensor) -> Tensor:
        return center_of_mass(self.mean, self.potential, t) + (z - self.mean) * self.scale(t)


@dataclass(eq=False)
class Driven:
    """`SelfSimilar` in a potential of degree 2 that moves, V' = k(t) (x - c(t)) - f(t): the scale L and M solve

        (L^n)' = n (a - (k + w) L^n),   M' = -V'(t, M),   n = g + 1,

    by a Runge-Kutta method.

    Args:
        potential: V.
        still: the same law at rest, with k = w.
        std: its standard deviation, the unit of M (length).
        pace: how long its steps may be.
        t_end: time beyond which V is not looked at unless a caller asks (time).
    """

    potential: Potential
    still: SelfSimilar
    std: float
    pace: Pace = field(repr=False)
    t_end: float
    _path: Trajectory | None = field(default=None, init=False, repr=False)
    name = "exact: self-similar solution"
    quick = True

    def moments(self, t: float) -> tuple[float, float]:
        """M and L at the time t (length, no unit)."""
        if self._path is None or t < self._path.since:
            self._path = self._begun()
        mean, power = self._path(t).tolist()
        return mean * self.std, power ** (1 / (self.still.g + 1)) if power > 0 else math.nan

    def __getstate__(self) -> dict[str, object]:
        """Without the path, which holds functions."""
        return vars(self) | {"_path": None}

    def _begun(self) -> Trajectory:
        still, n, unit = self.still, self.still.g + 1, self.std

        def rates(t: float, y: np.ndarray) -> np.ndarray:
            if (v := self.potential.at(t).parabola()) is None:  # V is no number then
                return np.full(2, math.nan)
            mean = v.force - v.stiffness * (unit * y[0] - v.center)
            return np.array([mean / unit, n * (still.a - (v.stiffness + still.k) * y[1])])

        return Trajectory(rates, np.array([still.mean / unit, 1.0]), TOLERANCE, self.pace, self.t_end, EVALUATIONS)

    def __call__(self, t: float, z: Tensor) -> Tensor:
        mean, scale = self.moments(t)
        return mean + (z - self.still.mean) * scale


@dataclass(frozen=True)
class Sheets:
    """Sheets of mass under W = s |x|/2 + w x^2/2 and V of degree 2: T = M(t) + y, M the center of mass,

        y' = -k y - s (P(z) - 1/2), y(0) = z - m, P the cdf of the law.

    Args:
        law: p.
        potential: V.
        k: V'' + w (1/time).
        strength: s.
    """

    law: Base
    potential: Parabola
    k: float
    strength: float
    name = "exact: sheets"
    quick = True

    def __call__(self, t: float, z: Tensor) -> Tensor:
        shrink, push = math.exp(-self.k * t), self.strength * decay(self.k, t)
        if shrink <= push * self._peak:  # T' = shrink - push p: two sheets have met
            return torch.full_like(z, math.nan)
        mean, rank = self.law.mean, self.law.cdf(z) - self.law.survival(z)
        return center_of_mass(mean, self.potential, t) + (z - mean) * shrink - 0.5 * push * rank

    @cached_property
    def _peak(self) -> float:
        """The largest density (mass/length)."""
        panels = torch.tensor(self.law.panels(), dtype=torch.float64)
        inside = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
        return float(self.law.density(panels[:-1] + inside * panels.diff()).max())


def find(problem: Problem) -> Exact | None:
    """The exact map of a problem, or None when it is not known in closed form."""
    if not problem.domain.is_line:
        return None
    known = _self_similar(problem) or _characteristics(problem) or _sheets(problem)
    return known if known is None or problem.start.is_identity else FromBase(known, problem.start)


def _self_similar(problem: Problem) -> SelfSimilar | Driven | None:
    law, v, w, u = problem.law, problem.potential.parabola(), problem.interaction.elementary, problem.internal
    if problem.potential.moves:
        times = [problem.t_end * share for share in SHARES]
        if any(problem.potential.at(t).parabola() is None for t in times):
            return None
        still = _self_similar(replace(problem, potential=Zero()))
        if not isinstance(still, SelfSimilar):
            return None
        return Driven(problem.potential, still, law.std, problem.pace(TOLERANCE), problem.t_end)
    if v is None or w is None or w.kink:
        return None
    k, g, a = v.stiffness + w.quadratic, 1.0, 0.0
    diffusion = None if u is None else u.power_diffusion()
    if w.logarithm:
        if u is not None or not isinstance(law, Semicircle):
            return None
        a = -2 * w.logarithm / law.radius**2
    elif diffusion is None:
        if u is not None:
            return None
    elif diffusion.exponent == 1 and isinstance(law, Gaussian):
        a = diffusion.coefficient / law.std**2
    elif isinstance(law, Barenblatt) and diffusion.exponent == law.exponent:
        g = law.exponent
        a = diffusion.coefficient / ((g + 1) * law.t0)
    else:
        return None
    return SelfSimilar(law.mean, v, k, g, a)


def _characteristics(problem: Problem) -> Characteristics | None:
    alone = problem.internal is None and problem.interaction.vanishes
    smooth = problem.potential.kinks is None  # else particles stop and start at the kinks, each at its own time
    if not (alone and smooth):
        return None
    return Characteristics(problem.potential, problem.law, problem.t_end, problem.pace(TOLERANCE))


def _sheets(problem: Problem) -> Sheets | None:
    v, w = problem.potential.parabola(), problem.interaction.elementary
    if problem.internal is not None or v is None or w is None or w.logarithm or not isinstance(problem.law, Base):
        return None
    return Sheets(problem.law, v, v.stiffness + w.quadratic, 2 * w.kink)


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
