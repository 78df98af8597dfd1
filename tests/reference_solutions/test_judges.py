"""The judges of the reference solutions against closed forms."""

import numpy as np
import pytest
from finite_elements import Diffusion
from lagrangian import solution
from scipy.special import ndtri
from scipy.stats import norm

U = np.linspace(0.01, 0.99, 50)


def test_finite_elements_of_a_gaussian_in_a_well():
    d, t, k = 0.6, 0.6, 1.3
    mean, std = np.exp(-k * t), np.sqrt(0.25 * np.exp(-2 * k * t) + d / k * (1 - np.exp(-2 * k * t)))
    p = Diffusion(lambda x: k * x**2 / 2, d, np.array([-8.0, 8.0]), 0.0, 2.0)
    x, change = p.map(lambda x: norm.cdf(x, 1, 0.5), t, U)
    assert np.abs(x - norm.ppf(U, mean, std)).max() < 1e-8
    assert change.max() < 1e-4


def test_finite_elements_of_a_law_with_edges():
    d, t = 0.3, 0.05
    std = np.sqrt(2 * d * t)

    def moved(y: np.ndarray) -> np.ndarray:
        return y * norm.cdf(y / std) + std * norm.pdf(y / std)

    p = Diffusion(np.zeros_like, d, np.array([-3.0, -1.0, 1.0, 3.0]), 0.0, 2.0)
    x, _ = p.map(lambda x: np.clip((x + 1) / 2, 0, 1), t, U)
    assert 0.5 * (moved(x + 1) - moved(x - 1)) == pytest.approx(U, abs=1e-9)


def test_particles_of_equal_mass_in_a_well():
    d, t, k = 0.6, 0.6, 1.3
    mean, std = np.exp(-k * t), np.sqrt(0.25 * np.exp(-2 * k * t) + d / k * (1 - np.exp(-2 * k * t)))
    u, x, _ = solution(
        lambda left, right: 1 + 0.5 * np.where(left < 0.5, ndtri(left), -ndtri(right)),
        t, 200, slope=lambda x, _: k * x, diffusion=d,
    )  # fmt: skip
    inside = (u > 1e-6) & (u < 1 - 1e-6)
    assert np.abs(x - norm.ppf(u, mean, std))[inside].max() < 1e-4


def test_particles_of_equal_mass_come_to_rest():
    """The porous medium in x^2/2, g = 2: rho = (R^2 - x^2)/4 with R^3 = 3 in the end."""
    u, x, _ = solution(lambda left, right: left - right, 50.0, 100, exponent=2.0, slope=lambda x, _: x, diffusion=1.0)
    radius = 3 ** (1 / 3)
    assert (3 * radius**2 * x - x**3 + 2 * radius**3) / 12 == pytest.approx(u, abs=1e-5)
