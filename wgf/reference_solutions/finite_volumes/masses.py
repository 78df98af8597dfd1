"""Masses left of the faces of a grid, interpolated and inverted: T = quantile o cdf_p."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy.linalg

from wgf.reference_solutions.base import Grid, Starts
from wgf.reference_solutions.roots import roots

# weights of the powers of s, the highest first, in the cell [0, 1]: by the B-splines of degree 5 around -2, ..., 3,
# and by two values and their slopes
PIECES = (
    np.array(
        [
            [-1.0, 5, -10, 10, -5, 1],
            [5.0, -20, 30, -20, 5, 0],
            [-10.0, 20, 0, -20, 10, 0],
            [10.0, 20, -60, 20, 10, 0],
            [-5.0, -50, 0, 50, 5, 0],
            [1.0, 26, 66, 26, 1, 0],
        ]
    )
    / 120
)
HERMITE = np.array([[2.0, -2, 1, 1], [-3, 3, -2, -1], [0, 0, 1, 0], [1, 0, 0, 0]])


@dataclass(frozen=True)
class Volumes:
    """The masses left of the faces of a grid at some times.

    Attributes:
        grid: the faces.
        mass: F [k, N + 1], from 0 to 1 and nowhere falling: no cell is negative.
        dips: W1 distances [k] to what was computed, which may fall where the law is not resolved (length).
        smooth: whether F is a smooth function of s; if not, it is interpolated without overshoot.
    """

    grid: Grid
    mass: np.ndarray
    dips: np.ndarray
    smooth: bool

    def map(self, k: np.ndarray, starts: Starts) -> np.ndarray:
        """T = quantile o cdf_p at the times number k [n], which do not fall, of n starts (length), linear in tails."""
        x, near = np.empty(len(k)), starts.beyond == 0
        with np.errstate(all="ignore"):  # of the interpolation, where the law is flat
            x[near] = self._inverse(k[near], starts.mass[:-4][near])
            if not near.all():
                far = starts.beyond[~near]
                ends, slopes = self._tails(k[~near], starts)
                x[~near] = np.where(far < 0, ends[0] + slopes[0] * far, ends[1] + slopes[1] * far)
        return x

    def _tails(self, k: np.ndarray, starts: Starts) -> np.ndarray:
        """T where the left and the right tail begin, and its slopes in them, at the times number k [n], which do not
        fall [2, 2, n]."""
        new = np.diff(k, prepend=-1) > 0
        every, which = k[new], np.cumsum(new) - 1
        known, key = self._known_tails, (every.tobytes(), starts.tails)
        if key not in known:
            x = self._inverse(every.repeat(4), np.tile(starts.mass[-4:], len(every))).reshape(-1, 2, 2)
            slopes = np.diff(x)[..., 0] / np.diff(np.reshape(starts.tails, (2, 2)))[:, 0]
            known[key] = np.stack([x[:, [0, 1], [0, 1]].T, slopes.T])
        return known[key][..., which]

    @cached_property
    def _known_tails(self) -> dict[Hashable, np.ndarray]:
        """What `_tails` found [2, 2, k], by the times and the tails: distances ask for the same again and again."""
        return {}

    @cached_property
    def _weights(self) -> np.ndarray:
        """Weights of splines of degree 5 [k, N + 5], or slopes of F [k, N + 1] if it is not smooth."""
        return cardinal(self.mass) if self.smooth else monotone(self.mass)

    def _inverse(self, k: np.ndarray, target: np.ndarray) -> np.ndarray:
        """The x [n] with the masses `target` [n] to the left at the times number k [n], which do not fall."""
        mass, faces = self.mass, self.mass.shape[1]
        cell = np.empty_like(k)
        for begin, end in pairwise([*np.flatnonzero(np.diff(k, prepend=-1)).tolist(), len(k)]):  # of equal times
            cell[begin:end] = mass[k[begin]].searchsorted(target[begin:end], "right") - 1
        cell = cell.clip(0, faces - 2)
        at, weights = k * faces + cell, self._weights
        low, high = mass.take(at), mass.take(at + 1)
        if self.smooth:
            powers = PIECES @ weights.take(at + 4 * k + np.arange(6)[:, None])
        else:
            powers = HERMITE @ np.stack([low, high, weights.take(at), weights.take(at + 1)])
        return self.grid.place(cell + roots(powers, target, (target - low) / (high - low)))


def cardinal(values: np.ndarray) -> np.ndarray:
    """Weights [k, N + 5] of the B-splines of degree 5 around -2, ..., N + 2 whose sums have the values [k, N + 1] at
    0, ..., N and are constant beyond: (c_-2 + 26 c_-1 + 66 c_0 + 26 c_1 + c_2)/120 is the value at 0.
    """
    weights = np.pad(values.T, ((2, 2), (0, 0)), mode="edge")
    sums = 120 * values.T
    sums[:2] -= ((27,), (1,)) * weights[:2]
    sums[-2:] -= ((1,), (27,)) * weights[-2:]
    weights[2:-2] = scipy.linalg.solveh_banded(np.repeat([[1.0], [26.0], [66.0]], len(sums), axis=1), sums)
    return weights.T.copy()


def monotone(values: np.ndarray) -> np.ndarray:
    """Slopes [k, N + 1] at 0, ..., N of the cubic Hermite interpolants of values [k, N + 1] that rise, and rise, too.

    Source: F. N. Fritsch, J. Butland, A method for constructing local monotone piecewise cubic interpolants,
    SIAM J. Sci. Stat. Comput. 5 (1984).
    """
    rises = np.diff(values, axis=1)
    left, right = rises[:, :-1], rises[:, 1:]
    inner = 2 * left * right / np.maximum(left + right, 1e-300)
    first, last = ((3 * a - b) / 2 for a, b in ((left[:, 0], right[:, 0]), (right[:, -1], left[:, -1])))
    return np.column_stack([np.maximum(first, 0.0), inner, np.maximum(last, 0.0)])
