"""The finite volumes of linear equations, exact in time: against matrices, a stiff integrator and a closed form."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from laws_and_terms import tensor
from reference_problems import AFFINE, problem
from scipy.special import ndtri

from wgf.problem.equations import AggregationDiffusion, FokkerPlanck, PorousMedium, Problem
from wgf.problem.interaction import Log, Newtonian
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed, Quartic
from wgf.problem.potential import Quadratic as Well
from wgf.reference_solutions.base import Grid, Unresolved
from wgf.reference_solutions.finite_volumes import range as finite_volume_range
from wgf.reference_solutions.finite_volumes import refinement as finite_volume
from wgf.reference_solutions.finite_volumes.evolution import _radau, evolved, integrate, stepped
from wgf.reference_solutions.finite_volumes.range import scout
from wgf.reference_solutions.finite_volumes.schemes import Central, Monotone

TIMES = np.array([1e-4, 0.3, 40.0])
CASES = {
    "well": problem(FokkerPlanck(0.6), Gaussian(0.5, 0.4), Quartic(0.3)),
    "kink": problem(FokkerPlanck(0.05), Gaussian(0.5, 0.4), Expressed("abs(x - 0.2) + x**4/4")),
}


@pytest.fixture(params=CASES)
def scheme(request: pytest.FixtureRequest) -> tuple[Monotone, np.ndarray]:
    """A scheme, and F at t = 0."""
    p, grid = CASES[request.param], Grid(-3.5, 3.5, 0.2, 1.5, 96)
    return Monotone(p, grid), p.law.cdf(torch.from_numpy(grid.x(grid.s)[0][1:-1])).numpy()


def tridiagonal(rate: Monotone) -> tuple[np.ndarray, np.ndarray]:
    """The bands [3, n] of A next to its diagonal, and b [n]."""
    bands, b = rate.operator
    return bands[rate.reach - 1 : rate.reach + 2], b


def test_matrix_of_a_rate(scheme: tuple[Monotone, np.ndarray]):
    rate, start = scheme
    bands, b = tridiagonal(rate)
    matrix = np.diag(bands[1]) + np.diag(bands[0, 1:], 1) + np.diag(bands[2, :-1], -1)
    assert matrix @ start + b == pytest.approx(rate(0.0, start), abs=1e-9 * np.abs(matrix).max())
    # neighbours whose product is not negative make a spectrum real
    assert (bands[0, 1:] * bands[2, :-1] >= 0).all()


def test_exponential_of_the_matrix(scheme: tuple[Monotone, np.ndarray]):
    rate, start = scheme
    bands, b = tridiagonal(rate)
    matrix = np.diag(bands[1]) + np.diag(bands[0, 1:], 1) + np.diag(bands[2, :-1], -1)
    rest = np.linalg.solve(matrix, -b)
    for t, found in zip(TIMES, evolved(bands, b, start, TIMES), strict=True):
        assert found == pytest.approx(rest + scipy.linalg.expm(matrix * t) @ (start - rest), abs=1e-12)


def test_a_stiff_integrator(scheme: tuple[Monotone, np.ndarray]):
    rate, start = scheme
    found = evolved(*tridiagonal(rate), start, TIMES)
    slow, _ = integrate(rate, rate.bands, start, TIMES, 1e-10, 1e-12, rate.reach)
    assert found == pytest.approx(slow, abs=1e-8)


@pytest.mark.parametrize("factor", [2.0**-40, 2.0**30])
def test_the_unit_of_time_changes_nothing(factor: float, scheme: tuple[Monotone, np.ndarray]):
    rate, start = scheme
    bands, b = tridiagonal(rate)
    assert (evolved(bands / factor, b / factor, start, TIMES * factor) == evolved(bands, b, start, TIMES)).all()


def test_ornstein_uhlenbeck_by_the_linear_scheme():
    p, t = AFFINE["ornstein-uhlenbeck"], 0.6
    found = finite_volume._refine(Monotone, p, np.array([t]), scout(p, np.array([t])))
    k, c, d, mean, std = 1.3, -0.4, 0.6, 1.0, 0.5
    spread = math.sqrt((std * math.exp(-k * t)) ** 2 + d / k * -math.expm1(-2 * k * t))
    u = np.linspace(0.01, 0.99, 99)
    exact = c + (mean - c) * math.exp(-k * t) + spread * ndtri(u)
    error = np.abs(found(t, p.law.quantile(tensor(u))).numpy() - exact)
    assert error.mean() < found.error < 1e-6


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_coarse_run_by_a_stiff_integrator_finds_the_same_grid(case: Problem, monkeypatch: pytest.MonkeyPatch):
    found = scout(case, TIMES)
    monkeypatch.setattr(finite_volume_range, "evolved", lambda bands, b, start, times: np.full((1, 1), -1.0))
    assert scout(case, TIMES) == found


def test_a_matrix_far_from_normal_is_not_integrated_by_the_contour():
    """exp(-100 x) rises over the law by 1e400: the contour integral of the masses is not even of the size of 1."""
    p = problem(FokkerPlanck(), Gaussian(), Expressed("100*x"))
    found = finite_volume.solve(p, [0.1])
    z = p.law.quantile(tensor(np.linspace(0.01, 0.99, 9)))
    assert found(0.1, z).numpy() == pytest.approx(math.sqrt(1.2) * z.numpy() - 10, abs=1e-7)


@pytest.mark.parametrize("times", [TIMES, np.linspace(0.0, 0.7, 21)[1:], np.array([0.2, 0.4, 0.5])], ids=len)
@pytest.mark.parametrize("name", CASES)
def test_steps_against_exponentials(name: str, times: np.ndarray):
    """Of the scheme of order 8, whose spectrum is not real."""
    p, grid = CASES[name], Grid(-3.5, 3.5, 0.2, 1.5, 96)
    bands, b = Central(p, grid).operator
    matrix = sum(np.diag(bands[4 + k, max(-k, 0) : len(b) - max(k, 0)], -k) for k in range(-4, 5))
    assert np.abs(np.linalg.eigvals(matrix).imag).max() > 1
    start = p.law.cdf(torch.from_numpy(grid.x(grid.s)[0][1:-1])).numpy()
    rest = np.linalg.solve(matrix, -b)
    for t, found in zip(times, stepped(bands, b, start, times), strict=True):
        assert found == pytest.approx(rest + scipy.linalg.expm(matrix * t) @ (start - rest), abs=1e-11)


def test_radau_is_pade():
    """The quotient of two polynomials, e^z to the order 11, bounded by 1 on the left."""
    f = math.factorial
    above, below = ([f(11 - j) * f(n) / (f(j) * f(n - j)) for j in range(n + 1)] for n in (5, 6))
    z = np.concatenate([-np.logspace(-3, 3, 25), 1j * np.logspace(-1, 3, 20), (-1 + 2j) * np.logspace(-2, 2, 20)])
    pade = np.polyval(above[::-1], z) / above[0] / (np.polyval(below[::-1], -z) / below[0])
    poles, weights = (np.concatenate([part, part.conj()]) for part in _radau())
    found = 1 + z * (weights / (z[:, None] - poles)).sum(1)
    assert found == pytest.approx(pade, abs=5e-12)
    assert (np.abs(found) <= 1 + 1e-13).all()


def test_steps_give_up_where_they_are_too_many():
    turning, start = np.zeros((3, 4)), np.array([1.0, 0.0, 0.0, 1.0])
    turning[0, 1::2], turning[2, ::2] = 1e4, -1e4  # two oscillators
    [found] = stepped(turning, np.zeros(4), start, np.array([1e-3]))
    assert found == pytest.approx([math.cos(10), -math.sin(10), math.sin(10), math.cos(10)], abs=1e-11)
    for first in (1.0, math.nan):
        with pytest.raises(Unresolved):
            stepped(turning, np.zeros(4), first * start, np.array([1.0]))


def test_what_is_linear():
    grid = Grid(-3.0, 3.0, 0.0, 3.0, 16)
    p = problem(FokkerPlanck(), Gaussian(), Well())
    assert Monotone(p, grid).linear
    assert not Central(p, grid).linear  # its spectrum is not real
    others = [
        problem(PorousMedium(), Gaussian()),
        problem(AggregationDiffusion(0.5), Gaussian(), None, Newtonian(0.7)),
        problem(AggregationDiffusion(0.5), Gaussian(), None, Log(0.7)),
        problem(AggregationDiffusion(0.0), Gaussian(), Well()),
    ]
    assert not any(Monotone(other, grid).linear for other in others)
