"""What the benchmark knows of a code that takes part: it solves a problem at a resolution, and the answer is a map."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from problems import Map, Problem
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr


@dataclass(frozen=True, eq=False)
class Competitor:
    """One curve of the benchmark.

    Attributes:
        name: for tables.
        run: from a problem and a resolution to the map at t_end; all that is timed.
        ladder: the resolutions of each problem it solves, from coarse to fine.
        package: what must be installed, where that is not what wgf itself needs.
    """

    name: str
    run: Callable[[Problem, Any], Map]
    ladder: Mapping[Problem, Sequence[Any]]
    package: str = ""


def quantile_map(edges: np.ndarray, masses: np.ndarray) -> Map:
    """The map of a law given by the masses [N] of cells between edges [N + 1] (length): quantile o cdf_p.

    The cdf is exact at the edges up to the error of the masses; between them it is a monotone cubic.
    """
    mass = np.concatenate([[0.0], np.maximum(masses, 0).cumsum()])
    mass /= mass[-1]
    cdf = PchipInterpolator(edges, mass)

    def map(z: np.ndarray) -> np.ndarray:
        target = ndtr(z)
        cell = np.clip(np.searchsorted(mass, target, side="right") - 1, 0, len(masses) - 1)
        below, above = edges[cell], edges[cell + 1]
        for _ in range(50):
            middle = (below + above) / 2
            short = cdf(middle) < target
            below, above = np.where(short, middle, below), np.where(short, above, middle)
        return (below + above) / 2

    return map


def principal_value(cells: int) -> np.ndarray:
    """The matrix [N, N] from the density at the middles of equal cells to PV ∫ 2 rho(y)/(x - y) dy there.

    The midpoint rule over every second cell: spectrally accurate, and it never meets the pole.
    """
    apart = np.subtract.outer(np.arange(cells), np.arange(cells))
    odd = apart % 2 == 1
    return np.where(odd, 4 / np.where(odd, apart, 1), 0.0)
