"""Where increasing polynomials have given values: masses in cells are inverted so."""

from __future__ import annotations

import numpy as np

STEPS = 5  # of Newton's method that find almost all inverses of a mass
NEWTON, BISECTIONS = 12, 45  # most steps of each kind for the others
LAST_STEP = 1e-8  # of Newton's method in a cell: its square is rounding
ROUNDING = 4 * np.finfo(float).eps  # of a mass, relative


def roots(weights: np.ndarray, target: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Where increasing polynomials have the values `target` [n], in [0, 1], first tried at `share`.

    Args:
        weights: of the powers [degree + 1, n], the highest first.
        target, share: [n]; shares outside (0, 1) count as 1/2.
    """
    at = np.where((share > 0) & (share < 1), share, 0.5)
    found, rest, open = at, np.arange(len(at)), np.ones(len(at), dtype=bool)
    for _ in range(STEPS):
        if 2 * np.count_nonzero(open) < len(open):  # few points need all steps
            rest, at, target, weights = rest[open], at[open], target[open], weights[:, open]
        value, slope = _horner(weights, at)
        with np.errstate(all="ignore"):
            step = (value - target) / slope
        found[rest] = at = np.clip(at - step, 0.0, 1.0)
        open = ~(np.abs(step) < LAST_STEP)
        if not open.any():
            return found
    found[rest[open]] = _bracketed(weights[:, open], target[open], at[open])
    return found


def _horner(weights: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes [n] of polynomials with the weights of their powers [degree + 1, n] at `at` [n]."""
    value, slope = weights[0].copy(), np.zeros_like(at)
    for weight in weights[1:]:
        slope *= at
        slope += value
        value *= at
        value += weight
    return value, slope


@np.errstate(all="ignore")
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
