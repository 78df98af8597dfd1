"""Whole runs without files: a problem, a map and an integrator in, the end of the time loop out."""

from functools import cache

import numpy as np
import torch
from chebyshev import fokker_planck_map
from torch import Tensor

from wgf.integrators.base import Integrator, State
from wgf.integrators.time_loop import Clock, End, evolve
from wgf.networks.base import TransportMap
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto


class Energies:
    """Remembers energy, slope and time of every accepted step."""

    def __init__(self) -> None:
        self.energies: list[float] = []
        self.slopes: list[float] = []
        self.times: list[float] = []

    def step(self, clock: Clock, state: State, energy: float) -> None:
        self.energies.append(energy)
        self.slopes.append(float(state.evaluation.min_slope))
        self.times.append(clock.t)

    def stop(self, clock: Clock, state: State) -> None:
        if clock.t == 0:
            self.step(clock, state, float(state.evaluation.terms.sum()))


def field_of(problem: Problem, map: TransportMap) -> Projection:
    return Projection(problem, map, Gauss(), Auto())


def start_of(field: Projection) -> State:
    theta = field.map.theta.detach()
    return State(theta, field(theta))


def flow(
    problem: Problem, map: TransportMap, integrator: Integrator, t: float | list[float], log: Energies | None = None
) -> End:
    """The run up to t, or through several times."""
    stops = t if isinstance(t, list) else [t]
    attractive = problem.collapses
    theta = map.theta.detach()
    return evolve(field_of(problem, map), integrator, theta, stops, log or Energies(), attractive=attractive)


def march(field: Projection, integrator: Integrator, t: float, count: int) -> State:
    """The state after `count` equal steps, whatever the error estimate says."""
    state = start_of(field)
    for _ in range(count):
        step = integrator.step(field, t / count, state)
        assert step.failure is None
        state = step.state
    return state


# distances to reference maps, p = N(0, 1)

REACH = 5.5  # W1 = int |f - T| p over [-5.5, 5.5]


def fine_grid() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights, p included."""
    s, w = np.polynomial.legendre.leggauss(5)
    edges = np.linspace(-REACH, REACH, 441)
    half = np.diff(edges) / 2
    z = (edges[:-1, None] + half[:, None] * (s + 1)).ravel()
    return z, (half[:, None] * w).ravel() * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


@cache
def reference_map(case: str) -> np.ndarray:
    """T on the fine grid: the quartic about 1 at t = 0.2, or the sextic about 4 at t = 1e-3, D = 1."""
    z, _ = fine_grid()
    if case == "quartic":
        return fokker_planck_map(lambda x: (x - 1) ** 3 - (x - 1), 1.0, 0.2, -7.0, 7.0, 240, z)
    return fokker_planck_map(lambda x: (x - 4) ** 5, 1.0, 1e-3, -6.5, 7.0, 1000, z)


def w1(map: TransportMap, theta: Tensor, target: np.ndarray) -> float:
    """The distance of a map to a map on the fine grid."""
    z, w = fine_grid()
    with torch.no_grad():
        x, _ = map.evaluate(theta, torch.from_numpy(z))
    return float(np.dot(w, np.abs(x.numpy() - target)))


def nearest(z: np.ndarray, w: np.ndarray, target: np.ndarray, knots: np.ndarray) -> float:
    """The distance to continuous piecewise linear functions by dense least squares, in the basis 1, z, |z - b|."""
    columns = np.stack([np.ones_like(z), z, *(np.abs(z - b) for b in knots)], axis=1) * np.sqrt(w)[:, None]
    gap = np.sqrt(w) * target - columns @ np.linalg.lstsq(columns, np.sqrt(w) * target, rcond=1e-13)[0]
    return float(np.linalg.norm(gap))
