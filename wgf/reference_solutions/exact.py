"""Exact solutions: the map T(t, .) where it is a formula or an ordinary differential equation, and the moment laws.

Three families cover all of them. Self-similar: the law keeps its shape, T is affine. Characteristics: without diffusion
and interaction every particle follows x' = -V'(x) by itself. Sheets: W = s |x|/2 only asks how much mass is on either
side, and that never changes before two particles meet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from scipy.integrate import DOP853, DenseOutput
from torch import Tensor

from wgf.problem import interaction as kernels
from wgf.problem import potential as potentials
from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.problem.internal import Entropy, PowerLaw
from wgf.problem.laws import Barenblatt, Gaussian, Semicircle
from wgf.problem.potential import Potential

MOST_EVALUATIONS = 20_000  # of V' in one integration; a potential that needs more has no characteristic we can trust


class Exact(Protocol):
    """The exact map of a problem.

    Attributes:
        name: what it is, for people and files.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """T(t, z) [n] at z [n] (length); NaN where it does not exist."""


def decay(rate: float, t: float) -> float:
    """int_0^t e^{-rate s} ds (time)."""
    return -math.expm1(-rate * t) / rate if rate * t else t


@dataclass(frozen=True)
class SelfSimilar:
    """T = c + (m - c) e^{-theta t} + (z - m) L, where the scale obeys L' = -k L + a L^{-g}, L(0) = 1, so that

        L^{g+1} = e^{-(g+1) k t} + (g+1) a int_0^t e^{-(g+1) k s} ds.

    Gaussian laws under linear diffusion (g = 1, a = D/std^2), Barenblatt laws under their own diffusion
    (a = kappa/((g+1) t0)), the semicircle under a log kernel (g = 1, a = -2 strength/R^2), and, without any of these
    (a = 0), every law in quadratic V = theta (x - c)^2/2 and W = w x^2/2; k = theta + w.

    Args:
        mean: m, the mean of the law (length).
        center: c (length). theta: stiffness of V (1/time). k: contraction rate (1/time).
        g: exponent. a: spreading rate (1/time).
    """

    mean: float
    center: float
    theta: float
    k: float
    g: float
    a: float
    name = "exact: self-similar solution"

    def scale(self, t: float) -> float:
        """L(t); NaN after a collapse in finite time."""
        n = self.g + 1
        power = math.exp(-n * self.k * t) + n * self.a * decay(n * self.k, t)
        return power ** (1 / n) if power > 0 else math.nan

    def center_of_mass(self, t: float) -> float:
        """int x rho (length)."""
        return self.center + (self.mean - self.center) * math.exp(-self.theta * t)

    def __call__(self, t: float, z: Tensor) -> Tensor:
        return self.center_of_mass(t) + (z - self.mean) * self.scale(t)


@dataclass
class Characteristics:
    """x' = -V'(x): closed forms for the quartic and the sextic, else an 8th-order Runge-Kutta method at rtol 1e-13."""

    potential: Potential
    _path: Path | None = field(default=None, init=False, repr=False, compare=False)
    name = "exact: characteristics"

    def __call__(self, t: float, z: Tensor) -> Tensor:
        v = self.potential
        if isinstance(v, potentials.Quartic):
            y = z - v.center
            return v.center + math.exp(t) * y / torch.sqrt(1 + y * y * math.expm1(2 * t))
        if isinstance(v, potentials.Sextic):
            y = z - v.center
            return v.center + y / (1 + 4 * t * y**4) ** 0.25
        if self._path is None or self._path.start is not z or t < self._path.since:
            self._path = Path(v, z)
        return self._path(t)


class Path:
    """The particles that start at some points z, followed as far as they are asked for.

    The steps do not depend on the times asked for, which lie within them: a run that goes on after an interruption
    finds the same bits.

    Attributes:
        since: where the last step began; what was before has been forgotten (time).
    """

    def __init__(self, potential: Potential, z: Tensor) -> None:
        self.start, self.since, self._left = z, 0.0, MOST_EVALUATIONS

        def velocity(_: float, x: np.ndarray) -> np.ndarray:
            self._left -= 1
            return -potential.derivative(torch.from_numpy(x)).numpy() if self._left > 0 else np.full_like(x, np.nan)

        with np.errstate(all="ignore"):
            self._solver = DOP853(velocity, 0.0, z.detach().cpu().double().numpy(), math.inf, rtol=1e-13, atol=1e-13)
        self._within: DenseOutput | None = None

    def __call__(self, t: float) -> Tensor:
        """x [n] (length); NaN where the method fails."""
        solver = self._solver
        if t == 0:
            return self.start
        with np.errstate(all="ignore"):
            while solver.t < t and solver.status == "running":
                solver.step()
                self._within = None
            if solver.t < t:
                return torch.full_like(self.start, math.nan)
            self.since = solver.t_old
            self._within = self._within or solver.dense_output()
            return torch.from_numpy(self._within(t)).to(self.start)


@dataclass(frozen=True)
class Sheets:
    """x' = -theta (x - c) - s (P(z) - 1/2), P the cdf of the law: sheets of mass that attract each other for s > 0.

    Args:
        law: p. center: c (length). theta: stiffness of V (1/time). strength: s.
    """

    law: Base
    center: float
    theta: float
    strength: float
    name = "exact: sheets"

    def __call__(self, t: float, z: Tensor) -> Tensor:
        shrink, push = math.exp(-self.theta * t), self.strength * decay(self.theta, t)
        if shrink <= push * self._peak:  # T' = shrink - push p: two have met
            return torch.full_like(z, math.nan)
        return self.center + (z - self.center) * shrink - 0.5 * push * (self.law.cdf(z) - self.law.survival(z))

    @cached_property
    def _peak(self) -> float:
        """The largest density (mass/length)."""
        panels = torch.tensor(self.law.panels(), dtype=torch.float64)
        inside = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
        return float(self.law.density(panels[:-1] + inside * panels.diff()).max())


def find(problem: Problem) -> Exact | None:
    """The exact map of a problem, or None when it is not known in closed form."""
    return _self_similar(problem) or _characteristics(problem) or _sheets(problem)


def _self_similar(problem: Problem) -> SelfSimilar | None:
    law, v, w, u = problem.law, problem.potential, problem.interaction, problem.internal
    if not isinstance(v, potentials.Zero | potentials.Quadratic):
        return None
    theta, center = (0.0, 0.0) if isinstance(v, potentials.Zero) else (v.stiffness, v.center)
    k, g, a = theta, 1.0, 0.0
    if isinstance(w, kernels.Quadratic):
        k += w.strength
    elif isinstance(w, kernels.Log) and u is None and isinstance(law, Semicircle):
        a = -2 * w.strength / law.radius**2
    elif not isinstance(w, kernels.Zero):
        return None
    if isinstance(u, Entropy) and isinstance(law, Gaussian):
        a = u.diffusion / law.std**2
    elif isinstance(u, PowerLaw) and isinstance(law, Barenblatt) and u.exponent == law.exponent:
        g = law.exponent
        a = u.diffusion / ((g + 1) * law.t0)
    elif u is not None:
        return None
    return SelfSimilar(law.mean, center, theta, k, g, a)


def _characteristics(problem: Problem) -> Characteristics | None:
    alone = problem.internal is None and isinstance(problem.interaction, kernels.Zero)
    return Characteristics(problem.potential) if alone else None


def _sheets(problem: Problem) -> Sheets | None:
    law, v, w = problem.law, problem.potential, problem.interaction
    if problem.internal is not None or not isinstance(w, kernels.Newtonian):
        return None
    if isinstance(v, potentials.Zero):
        return Sheets(law, 0.0, 0.0, w.strength)
    return Sheets(law, v.center, v.stiffness, w.strength) if isinstance(v, potentials.Quadratic) else None
