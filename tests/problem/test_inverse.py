"""Quantiles and other inverses by Newton's steps in a bracket."""

import math

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from torch import Tensor

from wgf.problem.laws.inverse import inverse
from wgf.problem.laws.normal import Mixture

EPS = torch.finfo(torch.float64).eps


def bisected(function, target: Tensor, low: Tensor, high: Tensor) -> Tensor:
    for _ in range(70):
        middle = 0.5 * (low + high)
        short = function(middle) < target
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return 0.5 * (low + high)


@hypothesis.given(
    means=st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    stds=st.lists(st.floats(0.01, 3), min_size=3, max_size=3),
    weights=st.lists(st.floats(1e-6, 1), min_size=3, max_size=3),
)
def test_quantiles_of_mixtures_are_those_of_bisection(means, stds, weights):
    law = Mixture(means, stds, weights)
    u = torch.cat([torch.logspace(-300, -1, 40, dtype=torch.float64), torch.linspace(0.1, 1 - 1e-9, 40).double()])
    ends = torch.full_like(u, -200.0), torch.full_like(u, 200.0)
    z, right = law.quantile(u), law.upper_quantile(u)
    for found, right_one, mass in (
        (z, bisected(law.cdf, u, *ends), law.cdf),
        (right, bisected(lambda z: -law.survival(z), -u, *ends), law.survival),
    ):
        near = (found - right_one).abs() <= 64 * EPS * (found.abs() + 10)
        same = (mass(found) - u).abs() <= 64 * EPS * u  # in a gap many places have the same mass
        assert bool((near | same).all())


def test_the_ends_of_a_law():
    law = Mixture((-1.0, 1.0), (0.1, 0.1), (0.5, 0.5))
    u = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert law.quantile(u).tolist() == [-math.inf, math.inf]
    assert law.upper_quantile(u).tolist() == [math.inf, -math.inf]


def test_few_steps_suffice_and_a_poor_slope_does_no_harm():
    calls = []

    def cube(z: Tensor, factor: float = 1.0) -> tuple[Tensor, Tensor]:
        calls.append(z)
        return z**3 + z, factor * (3 * z * z + 1)

    target = torch.linspace(-900, 900, 7, dtype=torch.float64)
    low, high = torch.full_like(target, -10.0), torch.full_like(target, 10.0)
    good = inverse(cube, target, low, high)
    assert len(calls) <= 12
    torch.testing.assert_close(good**3 + good, target, rtol=1e-14, atol=1e-13)
    for factor in (-1.0, 0.0, 0.3, 50.0, math.nan):
        again = inverse(lambda z, factor=factor: cube(z, factor), target, low, high)
        torch.testing.assert_close(again, good, rtol=1e-12, atol=1e-13)


def test_what_lies_beyond_the_bracket_goes_to_its_end():
    target = torch.tensor([-5.0, 5.0], dtype=torch.float64)
    found = inverse(lambda z: (z, torch.ones_like(z)), target, torch.zeros(2).double(), torch.ones(2).double())
    assert found.tolist() == pytest.approx([0.0, 1.0], abs=1e-14)
