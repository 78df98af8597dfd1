"""Laws against scipy: densities, both tails, quantiles, partial moments, samples."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_and_terms import LAWS, ORACLES, laws, tensor
from scipy import integrate

from wgf.errors import ConfigError
from wgf.problem.laws import Barenblatt, Gaussian, Laplace, Mixture, Semicircle, Uniform

EPS = float(np.finfo(float).eps)
TAILS = np.array([1e-12, 1e-9, 1e-6, 1e-3, 0.02, 0.2, 0.5, 0.7, 0.99])
every_law = pytest.mark.parametrize("name", LAWS)


def rounding(law, z):
    """What rounding z alone does to a cdf there."""
    return 8 * EPS * (z.abs() + abs(law.mean) + law.std) * law.density(z)


@every_law
def test_density_and_moments_are_those_of_scipy(name):
    law, oracle = LAWS[name], ORACLES[name]
    z = np.linspace(law.mean - 6 * law.std, law.mean + 6 * law.std, 201)
    np.testing.assert_allclose(law.density(tensor(z)).numpy(), oracle.pdf(z), rtol=1e-10, atol=1e-300)
    assert law.mean == pytest.approx(oracle.mean(), abs=1e-13)
    assert law.std == pytest.approx(oracle.std(), rel=1e-12)


@every_law
def test_both_tails_are_those_of_scipy(name):
    law, oracle = LAWS[name], ORACLES[name]
    low, high = tensor(oracle.ppf(TAILS)), tensor(oracle.isf(TAILS))
    for z in (low, high):
        slack = 8 * rounding(law, z).numpy()
        np.testing.assert_array_less(abs(law.cdf(z).numpy() / oracle.cdf(z) - 1), 1e-10 + slack / oracle.cdf(z))
        np.testing.assert_array_less(abs(law.survival(z).numpy() / oracle.sf(z) - 1), 1e-10 + slack / oracle.sf(z))
    np.testing.assert_allclose(law.quantile(tensor(TAILS)).numpy(), low.numpy(), rtol=0, atol=1e-10 * law.std)
    np.testing.assert_allclose(law.upper_quantile(tensor(TAILS)).numpy(), high.numpy(), rtol=0, atol=1e-10 * law.std)


@given(laws(), st.lists(st.floats(0.02, 12), min_size=1, max_size=8))
def test_quantiles_invert_both_tails(law, exponents):
    u = 10 ** -tensor(exponents)
    low, high = law.quantile(u), law.upper_quantile(u)
    assert torch.all((law.cdf(low) - u).abs() <= 1e-11 * u + rounding(law, low))
    assert torch.all((law.survival(high) - u).abs() <= 1e-11 * u + rounding(law, high))


@given(laws(), st.floats(-4, 4))
def test_cdf_and_survival_add_up_and_the_cdf_is_the_integral_of_the_density(law, y):
    z = tensor(law.mean + y * law.std).requires_grad_()
    total = law.cdf(z) + law.survival(z)
    assert total.item() == pytest.approx(1, abs=1e-14)
    for function, sign in ((law.cdf, 1), (law.survival, -1)):
        (slope,) = torch.autograd.grad(function(z), z)
        assert float(slope) == pytest.approx(sign * law.density(z).item(), rel=1e-8, abs=1e-13)


@every_law
def test_density_integrates_to_one(name):
    law = LAWS[name]
    panels = law.panels()
    parts = [
        integrate.quad(lambda z: float(law.density(tensor(z))), a, b, epsabs=1e-13)[0] for a, b in pairwise(panels)
    ]
    assert sum(parts) == pytest.approx(1, abs=1e-11)


@every_law
@pytest.mark.parametrize("cell", [(-np.inf, -1.1), (-1.3, 0.2), (0.1, 0.11), (0.4, np.inf), (-np.inf, np.inf), (-9, 9)])
def test_masses_are_integrals(name, cell):
    law, (a, b) = LAWS[name], (LAWS[name].mean + np.array(cell) * LAWS[name].std)
    breaks = np.unique(np.clip([a, *law.panels(), b], max(a, law.mean - 40 * law.std), min(b, law.mean + 40 * law.std)))
    expected = sum(integrate.quad(ORACLES[name].pdf, *ends, epsabs=1e-13)[0] for ends in pairwise(breaks))
    assert float(law.mass(tensor(a), tensor(b))) == pytest.approx(expected, rel=1e-9, abs=1e-11)


@given(laws(), st.tuples(*[st.floats(-5, 5)] * 3))
def test_masses_add_up(law, ends):
    a, b, c = (tensor(law.mean + y * law.std) for y in sorted(ends))
    assert float(law.mass(a, b) + law.mass(b, c)) == pytest.approx(float(law.mass(a, c)), abs=1e-12)


def test_masses_far_out_keep_their_digits():
    law, oracle = LAWS["gaussian"], ORACLES["gaussian"]
    below, above = (law.mean + law.std * np.array(y) for y in ((-9.0, -8.0), (8.0, 9.0)))
    assert float(law.mass(*tensor(below))) == pytest.approx(oracle.cdf(below[1]) - oracle.cdf(below[0]), rel=1e-11)
    assert float(law.mass(*tensor(above))) == pytest.approx(oracle.sf(above[0]) - oracle.sf(above[1]), rel=1e-11)


@every_law
def test_samples_follow_the_law(name):
    law, oracle, n = LAWS[name], ORACLES[name], 20_000
    z = law.sample(n, torch.Generator().manual_seed(7))
    assert z.shape == (n,)
    assert z.dtype == torch.float64
    assert abs(float(z.mean()) - law.mean) < 4 * law.std / math.sqrt(n)
    assert torch.all((z >= law.lower) & (z <= law.upper))
    ordered = np.sort(z.numpy())
    distance = np.abs(oracle.cdf(ordered) - (np.arange(n) + 0.5) / n).max()  # Kolmogorov and Smirnov
    assert distance < 1.9 / math.sqrt(n)


@every_law
def test_the_seed_is_the_sample(name):
    first, again, other = (LAWS[name].sample(50, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every_law
def test_nothing_lies_outside_the_support_or_the_panels(name):
    law = LAWS[name]
    panels = law.panels()
    assert panels == sorted(panels)
    assert float(law.cdf(tensor(panels[0]))) < 1e-17
    assert float(law.survival(tensor(panels[-1]))) < 1e-17
    if math.isfinite(law.lower):
        assert (panels[0], panels[-1]) == (law.lower, law.upper)
        outside = tensor([law.lower - 1, law.upper + 1])
        assert torch.all(law.density(outside) == 0)
        assert law.cdf(outside).tolist() == [0, 1]
        assert law.survival(outside).tolist() == [1, 0]


@pytest.mark.parametrize("name", ["semicircle", "barenblatt", "barenblatt_1.5"])
def test_the_density_has_a_derivative_at_and_beyond_the_edge(name):
    law = LAWS[name]
    z = tensor([law.lower - 1, law.lower, law.mean, law.upper, law.upper + 1]).requires_grad_()
    (slope,) = torch.autograd.grad(law.density(z).sum(), z)
    assert torch.all(slope[[0, 2, 4]] == 0)
    assert torch.isfinite(slope).all()


@every_law
def test_single_precision_stays_single(name):
    law = LAWS[name]
    z, u = torch.tensor([0.1, 0.5]), torch.tensor([0.2, 0.6])
    for function, x in ((law.density, z), (law.cdf, z), (law.survival, z), (law.quantile, u), (law.upper_quantile, u)):
        exact = function(x.double())
        assert function(x).dtype == torch.float32
        assert torch.allclose(function(x).double(), exact, rtol=1e-5)


@pytest.mark.parametrize("g", [1.3, 2.0, 3.0])
def test_barenblatt_solves_the_porous_medium_equation(g):
    t, x, h = 0.8, tensor(np.linspace(-0.6, 0.6, 13)), 1e-3

    def rho(t, x):
        return Barenblatt(g, t).density(x)

    rate = (rho(t + h, x) - rho(t - h, x)) / (2 * h)
    power = [rho(t, x + k * h) ** g for k in (-1, 0, 1)]
    assert torch.allclose(rate, (power[0] - 2 * power[1] + power[2]) / h**2, atol=3e-6)
    assert float(rate.abs().max()) > 0.05


def test_barenblatt_of_the_quadratic_equation_in_closed_form():
    t = 1.7
    x, c = tensor(np.linspace(-4, 4, 41)), (math.sqrt(3) / 8) ** (2 / 3)
    expected = t ** (-1 / 3) * torch.relu(c - x**2 / (12 * t ** (2 / 3)))
    assert torch.allclose(Barenblatt(2.0, t).density(x), expected, rtol=1e-12, atol=1e-16)


def test_semicircle_in_closed_form():
    x = tensor(np.linspace(-2, 2, 41))
    assert torch.allclose(Semicircle(2.0).density(x), torch.sqrt(4 - x**2) / (2 * math.pi), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (lambda: Gaussian(std=0.0), "std=0.0"),
        (lambda: Gaussian(mean=math.inf), "mean=inf"),
        (lambda: Uniform(1.0, 1.0), "low=1.0"),
        (lambda: Laplace(scale=-1.0), "scale=-1.0"),
        (lambda: Semicircle(radius=0.0), "radius=0.0"),
        (lambda: Barenblatt(exponent=1.0), "exponent=1.0"),
        (lambda: Mixture((0.0, 1.0), (1.0,), (1.0,)), "2, 1 and 1"),
        (lambda: Mixture((0.0,), (1.0,), (0.0,)), "weights"),
    ],
)
def test_impossible_laws_are_refused(law, message):
    with pytest.raises(ConfigError, match=message):
        law()
