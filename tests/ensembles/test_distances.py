"""Distances between the flows of two ensembles against closed forms."""

import math

import numpy as np
import pytest

import wgf

LENGTHS = [1.0, 2.0]


def still(law, **settings):
    """Laws that have hardly moved: their W2 distances are those of their initial laws."""
    return wgf.ensemble(wgf.FokkerPlanck(1e-9), {"scale": LENGTHS}, law=law, t_end=1e-3, **settings)


def test_ensembles_with_other_bases_have_a_distance():
    """W2^2 = int (Q_1 - Q_2)^2 du; for N(0, 1) and a uniform law on (-1, 1) it is 4/3 - 2/sqrt(pi)."""
    one, two = still(wgf.Gaussian()), still(wgf.Uniform(), base="law")
    assert type(one.base) is not type(two.base)
    known = math.sqrt(4 / 3 - 2 / math.sqrt(math.pi))
    np.testing.assert_allclose(one.gap(two), known * np.array(LENGTHS), rtol=1e-4)
    np.testing.assert_allclose(two.gap(one), one.gap(two), rtol=1e-6)
    np.testing.assert_allclose(still(wgf.Gaussian(3.0)).gap(one), 3.0 * np.array(LENGTHS), rtol=1e-9)


def test_a_distance_counts_what_only_one_mesh_resolves():
    """The integral over all ranks by the trapezoidal rule on many of them, also far out."""
    narrow, wide = (
        wgf.ensemble(
            wgf.FokkerPlanck(0.5), {"a": [1.0, 2.0]}, potential="a*x**4/4", t_end=0.3,
            network=wgf.Spline(width, bound=bound, base=wgf.Gaussian()),
        )
        for width, bound in ((8, 1.0), (64, 5.0))
    )  # fmt: skip
    z = np.linspace(-8.0, 8.0, 40_001)
    gap = narrow.map(None, z) - wide.map(None, z)
    known = np.sqrt(np.trapezoid(gap**2 * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), z))
    np.testing.assert_allclose(narrow.gap(wide), known, rtol=1e-6)
    np.testing.assert_allclose(wide.gap(narrow), known, rtol=1e-6)


def test_a_file_keeps_the_distance(tmp_path):
    one, two = still(wgf.Laplace(), base="law"), still(wgf.Laplace(0.5), base="law")
    one.save(tmp_path / "one.npz")
    np.testing.assert_allclose(two.gap(wgf.Ensemble.load(tmp_path / "one.npz")), 0.5 * np.array(LENGTHS), rtol=1e-6)


def test_a_distance_needs_as_many_flows_at_one_time():
    def flows(t, n):
        return wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": np.linspace(1.0, 2.0, n)}, t_end=t, saves=[0.1])

    one = flows(0.1, 2)
    with pytest.raises(wgf.ConfigError, match="between 2 flows and 3 is impossible: expected as many flows"):
        one.gap(flows(0.1, 3))
    later = flows(0.2, 2)
    with pytest.raises(wgf.ConfigError, match=r"last saved times are 0\.1 and 0\.2 needs t=\.\.\., a saved"):
        one.gap(later)
    with pytest.raises(wgf.ConfigError, match=r"t=0\.2 is not allowed: expected a saved time, one of"):
        one.gap(later, 0.2)
    np.testing.assert_allclose(one.gap(later, 0.1), 0.0, atol=1e-4)
