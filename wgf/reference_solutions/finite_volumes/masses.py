"""Masses left of the faces of a grid, interpolated and inverted: T = quantile o cdf_p."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy.linalg

from wgf.reference_solutions.base import Grid, Starts

STEPS = 5  # of Newton's method that find almost all inverses of a mass
NEWTON, BISECTIONS = 12, 45  # most steps of each kind for the others
LAST_STEP = 1e-8  # of Newton's method in a cell: its square is rounding
ROUNDING = 4 * np.finfo(float).eps  # of a mass, relative
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
        with np.errstate(all="ignore"):  # of the interpolation, where the law is flat
            x, far = self._inverse(k, starts.mass[:-4]), np.flatnonzero(starts.beyond)
            if len(far):
                left, right = self._slopes(k[far], starts)
                x[far] += np.where(starts.beyond[far] < 0, left, right) * starts.beyond[far]
        return x

    def _slopes(self, k: np.ndarray, starts: Starts) -> np.ndarray:
        """Slopes of T in the left and in the right tail at the times number k [n], which do not fall [2, n]."""
        every, which = np.unique(k, return_inverse=True)
        ends = self._inverse(every.repeat(4), np.tile(starts.mass[-4:], len(every))).reshape(-1, 2, 2)
        return (np.diff(ends)[..., 0] / np.diff(np.reshape(starts.tails, (2, 2)))[:, 0])[which].T

    @cached_property
    def _weights(self) -> np.ndarray:
        """Weights of splines of degree 5 [k, N + 5], or slopes of F [k, N + 1] if it is not smooth."""
        return cardinal(self.mass) if self.smooth else monotone(self.mass)

    def _inverse(self, k: np.ndarray, target: np.ndarray) -> np.ndarray:
        """The x [n] with the masses `target` [n] to the left at the times number k [n], which do not fall."""
        mass, faces = self.mass, self.mass.shape[1]
        runs = pairwise([*np.flatnonzero(np.diff(k, prepend=-1)).tolist(), len(k)])  # of equal times
        found = [np.searchsorted(mass[k[begin]], target[begin:end], side="right") for begin, end in runs]
        cell = np.clip(np.concatenate([*found, []]).astype(int) - 1, 0, faces - 2)
        at, weights = k * faces + cell, self._weights
        low, high = mass.take(at), mass.take(at + 1)
        if self.smooth:
            powers = PIECES @ weights.take(at + 4 * k + np.arange(6)[:, None])
        else:
            powers = HERMITE @ np.stack([low, high, weights.take(at), weights.take(at + 1)])
        return self.grid.place(cell + _root(powers, target, (target - low) / (high - low)))


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


def _root(weights: np.ndarray, target: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Where increasing polynomials have the values `target` [n], in [0, 1], first tried at `share`.

    Args:
        weights: of the powers [degree + 1, n], the highest first.
        target, share: [n]; shares outside (0, 1) count as 1/2.
    """
    at = np.where((share > 0) & (share < 1), share, 0.5)
    rest = np.arange(len(at))
    for _ in range(STEPS):
        value, slope = _horner(weights, at)
        step = (value - target) / slope
        at = np.clip(at - step, 0.0, 1.0)
        rest = np.flatnonzero(~(np.abs(step) < LAST_STEP))
        if not len(rest):
            break
    else:
        at[rest] = _bracketed(weights[:, rest], target[rest], at[rest])
    return at


def _horner(weights: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes [n] of polynomials with the weights of their powers [degree + 1, n] at `at` [n]."""
    value, slope = weights[0].copy(), np.zeros_like(at)
    for weight in weights[1:]:
        slope *= at
        slope += value
        value *= at
        value += weight
    return value, slope


def _bracketed(weights: np.ndarray, target: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The same by Newton's steps that stay in the bracket, and by bisections of it for what they do not find."""
    found = np.where((share > 0) & (share < 1), share, 0.5)
    rest, at, below, above = np.arange(len(target)), found, np.zeros_like(found), np.ones_like(found)
    for step in range(NEWTON + BISECTIONS):
        value, slope = _horner(weights, at)
        found[rest] = at
        open = ~(np.abs(value - target) <= ROUNDING * target)
        if not open.any():
            break
        short = value < target
        below, above = np.where(short, at, below), np.where(short, above, at)
        nearer = at - (value - target) / slope
        kept = (nearer > below) & (nearer < above) & (step < NEWTON)
        last = open & kept & (np.abs(nearer - at) < LAST_STEP)
        found[rest[last]], open = nearer[last], open & ~last
        at = np.where(kept, nearer, 0.5 * (below + above))
        rest, at, below, above, target = (part[open] for part in (rest, at, below, above, target))
        weights = weights[:, open]
    return found
