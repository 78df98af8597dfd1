"""Roots of increasing polynomials, where Newton's method finds them and where it does not."""

import numpy as np
import pytest

from wgf.reference_solutions.roots import roots


@pytest.mark.parametrize("share", [0.5, 0.99, -1.0])
def test_root_of_increasing_polynomials(share: float):
    weights = np.array([[1.0, 1.0, 0.0, 1e-12], [0.0, -3.0, 0.0, 0.0], [0.0, 3.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1e-17]])
    target = np.array([1e-12, 0.125, 1.0, 0.0])  # s^3, (s - 1)^3 + 1, 2 s, 1e-12 s^3 + 1e-17: the last one is never 0
    found = roots(weights, target, np.full(4, share))
    assert found == pytest.approx([1e-4, 1 - 0.875 ** (1 / 3), 0.5, 0.0], rel=1e-14, abs=1e-13)
