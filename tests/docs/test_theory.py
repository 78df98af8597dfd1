"""docs/theory.md names a test for every guarantee; those of the picture of maps are here."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

import wgf
from wgf.problem.potential import Quartic

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "theory.md").read_text(encoding="utf-8")
T = 0.1


def test_every_test_that_is_named_exists():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    texts = [file.read_text(encoding="utf-8") for file in TESTS.rglob("test_*.py")]
    defined = {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert len(named) > 35
    assert named <= defined, named - defined


@pytest.fixture(scope="module")
def flow() -> wgf.Flow:
    """Linear transport in a double well about 0, on few neurons."""
    network = wgf.Spline(8, 1, 3.0, base=wgf.Gaussian())
    return wgf.solve(wgf.LinearTransport(), potential=Quartic(0.0), network=network, t_end=T, saves=1)


def cdf(x: np.ndarray) -> np.ndarray:
    """Of the exact law: x' = x - x^3 solved backwards; all mass lies where there is a start."""
    inside = 1 - x**2 * -np.expm1(-2 * T)
    start = np.exp(-T) * x / np.sqrt(np.maximum(inside, 1e-300))
    return np.where(inside > 0, ndtr(start), x > 0)


def test_the_density_has_the_mass_of_the_law(flow: wgf.Flow):
    """The density jumps at the images of the knots: Gauss's rule between them."""
    ends = flow.map(T, np.array([-8.0, *np.linspace(-3, 3, 8), 8.0]))
    s, w = np.polynomial.legendre.leggauss(40)
    half = np.diff(ends) / 2
    x = ends[:-1, None] + half[:, None] * (s + 1)
    rho = np.reshape(flow.density(T, x.ravel()), x.shape)
    assert (rho * w * half[:, None]).sum() == pytest.approx(1, abs=1e-10)


def test_distances_of_laws_are_distances_of_maps(flow: wgf.Flow):
    """W1 = int |F - F*| dx, from distribution functions alone, is int |f - T| p dz."""
    x = np.linspace(-6, 6, 200_001)
    distance = np.trapezoid(np.abs(flow.cdf(T, x) - cdf(x)), x)
    assert distance > 1e-3
    assert flow.w1(flow.reference_solution, T) == pytest.approx(distance, rel=1e-4)
