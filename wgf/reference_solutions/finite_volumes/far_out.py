"""Errors far out, where tails go on straight.

Finite volumes do not know the map where less mass is left than rounding tells. It goes on straight there, with the
slope that it has before. That is right while the law goes on as before, its mass falling as an exponential or faster.
Further out may lie a thin part, far wider than the rest or apart from it. Diffusion hardly moves that part; drift does,
and to it all other mass is in one point:

    x' = -V'(t, x) - W'(x - mean(t)).

How far the straight tails are from there bounds their error.
"""

from __future__ import annotations

import numpy as np
import torch

from wgf.problem.equations import Problem
from wgf.reference_solutions.base import FALLEN, Unresolved, tails, yardstick
from wgf.reference_solutions.finite_volumes.evolution import integrate
from wgf.reference_solutions.finite_volumes.schemes import differences

SAFE = 1.5  # stated errors relative to these distances: diffusion moves thin parts, too
THIN = 2.0  # mass of a thin part, at least, relative to that of an exponential tail
TOLERANCE = 1e-5  # of the drift


def far_out(problem: Problem, times: np.ndarray, maps: np.ndarray, last: float) -> tuple[np.ndarray, np.ndarray]:
    """W1 and W2 errors [k] by the tails of maps, which are straight where less mass than `last` is left (length).

    Args:
        problem: it.
        times: increasing (time).
        maps: at these times and the yardstick of the base [k, n] (length).
        last: mass.
    """
    base, (z, w) = problem.base, yardstick(problem.base)
    places = torch.from_numpy(np.append(tails(base, last), z))
    a, b, c, d = (start := problem.start(places).numpy())[:4]
    mass = torch.minimum(base.cdf(places), base.survival(places)).numpy()[4:]
    with np.errstate(all="ignore"):  # at an edge b - a may be a rounding error
        beyond = np.maximum((a - start[4:]) / (b - a), (start[4:] - d) / (d - c))
        far = (beyond > 0) & (mass > THIN * last * FALLEN**-beyond)
    if not far.any():
        return np.zeros(len(times)), np.zeros(len(times))
    means = np.append(problem.law.mean, maps @ w)
    gaps = np.abs(maps[:, far] - _drifted(problem, times, start[4:][far], means))
    return SAFE * gaps @ w[far], SAFE * np.sqrt(gaps**2 @ w[far])


def _drifted(problem: Problem, times: np.ndarray, start: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Where particles at `start` [n] drift by the times [k, n], `start` where that is unknown (length).

    Args:
        problem: with V and W.
        times: increasing (time).
        start: positions at t = 0 (length).
        means: of the law at t = 0 and at the times [1 + k] (length).
    """
    middle, unit, (kink, force) = problem.law.mean, problem.law.std, problem.interaction.split()
    end, known = float(times[-1]), np.append(0.0, times)  # units of length and time, so that others change nothing

    def velocity(s: float, y: np.ndarray) -> np.ndarray:
        t, x = s * end, middle + unit * y
        r = x - np.interp(t, known, means)
        v = problem.potential.at(t).derivative(torch.from_numpy(x)).numpy() + kink * np.sign(r)
        return -(v if force is None else v + force(torch.from_numpy(r)).numpy()) * (end / unit)

    def stiffness(s: float, y: np.ndarray) -> np.ndarray:
        return differences(lambda bumped: velocity(s, bumped), y, 0)

    begin = (start - middle) / unit
    stretches = [(until / end, longest / end) for until, longest in problem.pace(TOLERANCE).stretches]
    try:
        return middle + unit * integrate(velocity, stiffness, begin, times / end, TOLERANCE, TOLERANCE, 0, stretches)[0]
    except Unresolved:
        return np.tile(start, (len(times), 1))
