"""Masses left of faces: their interpolants against those of scipy, and roots in a cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator, make_interp_spline
from scipy.special import ndtr

from wgf.reference_solutions.base import Grid, Starts
from wgf.reference_solutions.finite_volumes.masses import HERMITE, PIECES, Volumes, cardinal, monotone

FACES = np.arange(201.0)
AT = np.linspace(0.0, 200.0, 4001)[:-1]
CELL = AT.astype(int)


def test_splines_of_degree_five():
    law = np.stack([ndtr((FACES - 90) / width) for width in (5.0, 9.0)])
    weights = cardinal(law)
    for row, known in zip(weights, law, strict=True):
        found = evaluated(PIECES @ row[CELL + np.arange(6)[:, None]])
        assert found == pytest.approx(make_interp_spline(FACES, known, k=5)(AT), abs=2e-15)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=12))
def test_monotone_interpolants(rises: list[float]):
    values = np.cumsum([0.0, *(rise if rise > 1e-100 else 0.0 for rise in rises)])
    known = PchipInterpolator(np.arange(len(values)), values)
    slopes = monotone(values[None])[0]
    assert slopes == pytest.approx(known(np.arange(len(values)), 1), abs=1e-14)
    at = np.linspace(0.0, len(rises), 500)[:-1]
    cell = at.astype(int)
    powers = HERMITE @ np.stack([values[cell], values[cell + 1], slopes[cell], slopes[cell + 1]])
    assert evaluated(powers, at - cell) == pytest.approx(known(at), abs=1e-14)


@pytest.mark.parametrize("smooth", [True, False])
def test_map_is_the_quantile_of_the_masses(smooth: bool):
    """F is the cdf of the law itself, or of one twice as wide: to the error of the interpolant."""
    grid, z = Grid(-9.0, 9.0, 0.0, 3.0, 2000), np.linspace(-4, 4, 101)
    volumes = Volumes(grid, ndtr(grid.x(grid.s)[0] / [[1.0], [2.0]]), np.zeros(2), smooth)
    tails = -6.0, -5.5, 5.5, 6.0
    starts = Starts(np.tile(z, 2), np.zeros(202), tails, ndtr(np.concatenate([z, z, tails])))
    found = volumes.map(np.arange(2).repeat(101), starts)
    assert found == pytest.approx(np.concatenate([z, 2 * z]), abs=1e-11 if smooth else 1e-6)


def evaluated(powers: np.ndarray, s: np.ndarray = AT - CELL) -> np.ndarray:
    """Polynomials [n], weights of their powers [degree + 1, n], the highest first, at s [n]."""
    value = np.zeros_like(s)
    for weight in powers:
        value = value * s + weight
    return value
