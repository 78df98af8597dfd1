"""Judges of the numbers of a potential that moves: its work, and numbers that it cannot have."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch

from random_problems.problem import Posed
from wgf.engine.compiled import run
from wgf.flow import Flow
from wgf.integrators.base import State
from wgf.integrators.time_loop import Clock, LoopCallback

LATER = 1e-4  # time step of differences of V, relative to the end time
NODES, SHARES = np.polynomial.legendre.leggauss(5)  # of a step
STILL = ("w2_bound", "w2_bound_own", "w2_bound_certificate", "w2_bound_lambda", "w2_to_equilibrium")


class Path(LoopCallback):
    """Times, parameters and velocities after every step of a run."""

    def __init__(self) -> None:
        self.states: list[tuple[float, torch.Tensor, torch.Tensor]] = []

    def stop(self, clock: Clock, state: State) -> None:
        if not self.states:
            self.step(clock, state, math.nan)

    def step(self, clock: Clock, state: State, energy: float) -> None:
        self.states.append((clock.t, state.theta.double(), state.evaluation.velocity.double()))


def work(flow: Flow, p: Posed, mass: np.ndarray, z: np.ndarray) -> tuple[float, float] | None:
    """int int dV/dt rho dx dt and int |int dV/dt rho dx| dt along the run's own steps (energy).

    Each step is the cubic polynomial by its states and velocities. None if breakpoints follow the solution, or if the
    run does not repeat itself.

    Args:
        flow: the run.
        p: the problem.
        mass, z: of particles and their starts [n].
    """
    (map, theta), path, times = flow.saved[0], Path(), flow.t.tolist()
    if flow.saved.map.adaptation is not None:
        return None
    run(flow.projection.on(map), flow.integrator, theta, times[1:], path)
    if path.states[-1][0] != times[-1] or not torch.equal(path.states[-1][1], flow.state(times[-1])[1].double()):
        return None
    h, starts = LATER * times[-1], torch.from_numpy(z)

    def power(t: float, theta: torch.Tensor) -> float:
        """int dV/dt rho, by differences of fourth order."""
        x = map.evaluate(theta, starts)[0].numpy()
        near, far = (p.potential(x, t + s * h) - p.potential(x, t - s * h) for s in (1, 2))
        return float(mass @ np.where(mass > 0, (8 * near - far) / (12 * h), 0.0))

    done = size = 0.0
    with torch.no_grad():
        for (t, one, v), (end, two, w) in pairwise(path.states):
            dt = end - t
            for s, share in zip(0.5 * (1 + NODES), 0.5 * dt * SHARES, strict=True):
                rest = 1 - s
                between = (1 + 2 * s) * rest**2 * one + s * s * (3 - 2 * s) * two + dt * s * rest * (rest * v - s * w)
                done += share * (now := power(t + s * dt, between))
                size += share * abs(now)
    return done, size
