"""Theorem 3: for Fokker-Planck equations in non-convex wells an error decays although exp(-lambda t) grows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy  # its modules are loaded when they are first used
import torch
from torch import Tensor

from wgf.certificates.conditions import Conditions
from wgf.problem.equations import Problem

LEAST = 0.5  # -lambda t_end below which Theorem 1 is as good
WIDTH = 12.0  # V exceeds its minimum by so many times D at the ends of the grid, at least
POINTS, STEPS = 2001, 1000  # of the grid in space, and implicit Euler steps


class Decay:
    """K_2(t) = sqrt(sup v), v_t = D v'' - V' v' - 2 V'' v, v(0) = 1: the growth of an error over a time t.

    Args:
        t, growth: times and K_2 there, [m] each.
    """

    def __init__(self, t: np.ndarray, growth: np.ndarray) -> None:
        self.t, self.growth = t, growth

    def bound(self, t: float, start: float, s: Tensor, weights: Tensor, strong: Tensor) -> float:
        """K_2(t) E(0) + int K_2(t - s) |r(s)| ds with the least strong residual of every step [r, nt, d]."""
        growth = torch.from_numpy(np.interp(t - s.cpu().numpy(), self.t, self.growth)).to(s)
        parts = ((weights * growth)[..., None] * strong).sum(1).amin(1)
        return float(np.interp(t, self.t, self.growth)) * start + float(parts.sum())


@lru_cache(maxsize=4)  # a run and its richer run have the same problem
def decay(problem: Problem, known: Conditions) -> Decay | None:
    """K_2 up to the end time; None where Theorem 3 does not apply or Theorem 1 is as good."""
    v, t_end = problem.potential, problem.t_end
    if not problem.domain.is_line or not problem.interaction.vanishes or known.exponent != 1 or not known.diffusion:
        return None
    if -known.convexity * t_end < LEAST:
        return None
    ends = _grid(problem, known.diffusion)
    if ends is None:
        return None
    x = torch.linspace(*ends, POINTS, dtype=torch.float64)
    return Decay(*_growth(known.diffusion, v.derivative(x).numpy(), v.second_derivative(x).numpy(), x, t_end))


def _growth(d: float, dv: np.ndarray, ddv: np.ndarray, x: Tensor, t_end: float) -> tuple[np.ndarray, np.ndarray]:
    """Implicit Euler steps with central differences, reflecting ends."""
    h, dt = float(x[1] - x[0]), t_end / STEPS
    up, down = d / h**2 - dv / (2 * h), d / h**2 + dv / (2 * h)
    up[0], down[-1] = 2 * d / h**2, 2 * d / h**2
    main = 1 + dt * (2 * d / h**2 + 2 * ddv)
    lapack = scipy.linalg.lapack
    *factors, _ = lapack.dgttrf(-dt * down[1:], main, -dt * up[:-1])
    v, growth = np.ones_like(dv), [1.0]
    for _ in range(STEPS):
        v, _ = lapack.dgttrs(*factors, v)
        growth.append(float(np.sqrt(v.max())))
    return np.linspace(0, t_end, STEPS + 1), np.array(growth)


def _grid(problem: Problem, d: float) -> tuple[float, float] | None:
    """Ends between which almost all mass stays; None if the potential does not confine or does not bend up outside."""
    least = torch.tensor([1e-17], dtype=torch.float64)
    low, high = float(problem.law.quantile(least)), float(problem.law.upper_quantile(least))
    for _ in range(8):
        x = torch.linspace(low, high, POINTS, dtype=torch.float64)
        value, bend = problem.potential.value_at(x), problem.potential.second_derivative(x)
        rise = value - value.min()
        if float(rise[[0, -1]].min()) > WIDTH * d and float(bend[[0, -1]].min()) > 0:
            return low, high
        low, high = low - (high - low) / 4, high + (high - low) / 4
    return None
