"""Theorem 3: for Fokker-Planck equations in non-convex wells an error decays although exp(-lambda t) grows."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy  # its modules are loaded when they are first used
import torch
from torch import Tensor

from wgf.certificates.conditions import Conditions
from wgf.problem.equations import Problem
from wgf.problem.potential import Expressed, Potential
from wgf.problem.tabulated import Tabulated
from wgf.settings.formulas.enclosure import has_jumps, least_bend_outside, least_bends

LEAST = 0.5  # -lambda t_end below which Theorem 1 is as good
WIDTH = 12.0  # V exceeds its minimum by so many times D at the ends of the grid, at least
FLAT = 1e-3  # of lambda: V'' outside the grid that may be below 0
CELLS, STEPS = 2000, 1000  # of the grid in space, and implicit Euler steps
FEW = 100  # of these steps, which show whether the cells are fine enough
FINER = 2, 4, 8  # times as many cells are tried
LOOSE = (
    1.2  # ratio of K_2 by the least V'' in the cells to K_2 by V'' at their middles from which cells are fine enough
)
WITHIN = (np.arange(9) * (math.sqrt(5) - 1) / 2) % 1 - 0.5  # places in a cell at which a V without a formula is seen


class Decay:
    """K_2(t) = sqrt(sup v), v_t = D v'' - V' v' - 2 V'' v, v(0) = 1: the growth of an error over a time t.

    Args:
        t, growth: times and K_2 there, [m] each.
    """

    def __init__(self, t: np.ndarray, growth: np.ndarray) -> None:
        self.t, self.growth = t, growth

    def weight(self, t: float) -> float:
        """int_0^t K_2 (time)."""
        until = np.append(self.t[self.t < t], t)
        return float(np.trapezoid(np.interp(until, self.t, self.growth), until))

    def bound(self, t: float, start: float, s: np.ndarray, weights: np.ndarray, strong: np.ndarray) -> float:
        """K_2(t) E(0) + int K_2(t - s) |r(s)| ds with the least strong residual of every step [r, nt, d]."""
        parts = np.einsum("rn,rnd->rd", weights * np.interp(t - s, self.t, self.growth), strong).min(1)
        return float(np.interp(t, self.t, self.growth)) * start + float(parts.sum())


@lru_cache(maxsize=4)  # a run and its richer run have the same problem
def decay(problem: Problem, known: Conditions) -> Decay | None:
    """K_2 up to the end time; None where Theorem 3 does not apply or Theorem 1 is as good."""
    v, t_end = problem.potential, problem.t_end
    if not problem.domain.is_line or not problem.interaction.vanishes or known.exponent != 1 or not known.diffusion:
        return None
    if -known.convexity * t_end < LEAST or (isinstance(v, Expressed) and has_jumps(v.expression)):
        return None
    ends = _grid(problem, known)
    if ends is None:
        return None
    for finer in (1, *FINER):
        x, h = _middles(*ends, finer * CELLS)
        slope, bend, least = v.derivative(x).numpy(), v.second_derivative(x).numpy(), _least(v, x, h, known.convexity)
        steepest = 2 * least.min() * t_end
        if not steepest > -STEPS:  # Euler's steps would lose their sign
            return None
        few = FEW if steepest > -FEW / 2 else STEPS
        above, seen = (_growth(known.diffusion, slope, ddv, h, t_end, few) for ddv in (least, bend))
        if (above <= LOOSE * seen).all():
            break
    growth, outside = _growth(known.diffusion, slope, least, h, t_end, STEPS), _least_outside(v, *ends, least)
    if not math.isfinite(outside):
        return None
    t = np.linspace(0, t_end, STEPS + 1)
    # a particle outside decays like exp(-c t) until it comes in and grows as others do
    return Decay(t, np.exp(np.maximum.accumulate(np.log(growth) + outside * t) - outside * t))


def _middles(low: float, high: float, cells: int) -> tuple[Tensor, float]:
    """Middles [cells] and width of equal cells from low to high (length)."""
    h = (high - low) / cells
    return low + h * (torch.arange(cells, dtype=torch.float64) + 0.5), h


def _least(v: Potential, x: Tensor, h: float, convexity: float) -> np.ndarray:
    """The least V'' in cells of width h around their middles x [n]: v grows most where V bends down, and a ripple of V
    between two middles counts. By interval arithmetic where V is a formula, exactly where it is a table."""
    low, high = (x - h / 2).numpy(), (x + h / 2).numpy()
    if isinstance(v, Expressed):
        found = least_bends(v.expression, low, high)
    elif isinstance(v, Tabulated):
        found = v.least_bends(low, high)
    else:
        found = (
            v.second_derivative((x[:, None] + h * torch.from_numpy(WITHIN)).reshape(-1))
            .view(len(x), -1)
            .amin(1)
            .numpy()
        )
    return np.maximum(found, convexity)


def _least_outside(v: Potential, low: float, high: float, least: np.ndarray) -> float:
    """The least V'' outside the grid: of V without a formula it is taken for that in the last cells."""
    if isinstance(v, Expressed):
        return least_bend_outside(v.expression, low, high)
    return 0.0 if isinstance(v, Tabulated) else float(least[[0, -1]].min())


def _growth(d: float, dv: np.ndarray, ddv: np.ndarray, h: float, t_end: float, steps: int) -> np.ndarray:
    """K_2 at the ends of so many steps [steps + 1]: implicit Euler with central differences, and ends without a flux.

    Euler's steps are above the exact growth.
    """
    dt = t_end / steps
    up, down = d / h**2 - dv / (2 * h), d / h**2 + dv / (2 * h)
    main = 1 + dt * (2 * d / h**2 + 2 * ddv)
    main[0] -= dt * down[0]
    main[-1] -= dt * up[-1]
    lapack = scipy.linalg.lapack
    *factors, _ = lapack.dgttrf(-dt * down[1:], main, -dt * up[:-1])
    v, growth = np.ones_like(dv), [1.0]
    for _ in range(steps):
        v, _ = lapack.dgttrs(*factors, v)
        growth.append(float(np.sqrt(v.max())))
    return np.array(growth)


def _grid(problem: Problem, known: Conditions) -> tuple[float, float] | None:
    """Ends around almost all mass and the whole of a table; None if V does not confine or bends down there."""
    v, least = problem.potential, torch.tensor([1e-17], dtype=torch.float64)
    low, high = float(problem.law.quantile(least)), float(problem.law.upper_quantile(least))
    is_straight = isinstance(v, Tabulated)  # outside
    if is_straight:
        low, high = min(low, v.ends[0]), max(high, v.ends[1])
    first: tuple[float, float] | None = None
    for _ in range(8):
        x, h = _middles(low, high, CELLS)
        value, bend = v.value_at(x), _least(v, x, h, known.convexity)
        rise = value - value.min()
        if float(rise[[0, -1]].min()) > WIDTH * known.diffusion and (is_straight or bend[[0, -1]].min() > 0):
            if is_straight or _least_outside(v, low, high, bend) > FLAT * known.convexity:
                return low, high
            first = first or (low, high)  # a wider grid may hold where V bends down
        low, high = low - (high - low) / 4, high + (high - low) / 4
    return first
