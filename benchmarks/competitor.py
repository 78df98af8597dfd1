"""A code of the benchmark, which computes the map of a problem at a resolution, and what several codes need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from problems import Map, Problem
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr

BISECTIONS = 50


@dataclass(frozen=True, eq=False)
class Competitor:
    """A code: one curve of the benchmark.

    Attributes:
        name: its title in tables.
        run: computes the map at t_end of a problem at a resolution; only this is timed.
        ladder: the resolutions of each problem it solves, from coarse to fine.
        package: the package it needs beyond those of wgf; empty for none.
        flows: number of flows that a run computes; times are those of one.
    """

    name: str
    run: Callable[[Problem, Any], Map]
    ladder: Mapping[Problem, Sequence[Any]]
    package: str = ""
    flows: int = 1


def inverse(increasing: Map, values: np.ndarray, below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """The points [k] where an increasing function takes given values [k], by bisection between `below` and `above`."""
    for _ in range(BISECTIONS):
        middle = (below + above) / 2
        short = increasing(middle) < values
        below, above = np.where(short, middle, below), np.where(short, above, middle)
    return (below + above) / 2


def quantile_map(edges: np.ndarray, masses: np.ndarray) -> Map:
    """The map quantile o cdf_p of a law given by the masses [N] of cells between edges [N + 1] (length).

    The cdf is exact at the edges up to the error of the masses; between them it is a monotone cubic.
    """
    mass = np.concatenate([[0.0], np.maximum(masses, 0).cumsum()])
    mass /= mass[-1]
    cdf = PchipInterpolator(edges, mass)

    def map(z: np.ndarray) -> np.ndarray:
        target = ndtr(z)
        cell = np.clip(np.searchsorted(mass, target, side="right") - 1, 0, len(masses) - 1)
        return inverse(cdf, target, edges[cell], edges[cell + 1])

    return map


def principal_value(cells: int) -> np.ndarray:
    """The matrix [N, N] from the density at the middles of N equal cells to PV ∫ 2 rho(y)/(x - y) dy there.

    It is the midpoint rule over every second cell: spectrally accurate and without a node at the pole.
    """
    apart = np.subtract.outer(np.arange(cells), np.arange(cells))
    odd = apart % 2 == 1
    return np.where(odd, 4 / np.where(odd, apart, 1), 0.0)
