"""MINRES: the smallest solution, its residual, and when it stops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_and_terms import random, tensor, with_eigenvalues

from wgf.projection.linalg.minres import minres


@given(st.lists(st.floats(0.2, 5) | st.floats(-5, -0.2) | st.just(0.0), min_size=2, max_size=12), st.integers(0, 10**6))
def test_minres_finds_the_smallest_solution_of_a_consistent_system(values, seed):
    matrix, _ = with_eigenvalues(values, seed)
    rhs = matrix @ random(len(values), seed=seed + 1)
    found = minres(lambda v: matrix @ v, rhs, 1e-12, 200)
    expected = np.linalg.pinv(matrix.numpy(), rcond=1e-10, hermitian=True) @ rhs.numpy()
    assert torch.allclose(found.value, tensor(expected), atol=1e-9 * (1 + float(rhs.norm())))
    assert float((matrix @ found.value - rhs).norm()) <= 1e-10 * float(rhs.norm())


@given(st.integers(1, 6), st.integers(0, 10**6))
def test_minres_stops_at_the_least_squares_residual(rank, seed):
    values = [*np.linspace(0.5, 3, rank), 0.0, 0.0]
    matrix, q = with_eigenvalues(values, seed)
    rhs = q @ torch.ones(rank + 2, dtype=torch.float64)
    found = minres(lambda v: matrix @ v, rhs, 1e-12, 200)
    assert float((matrix @ found.value - rhs).norm()) == pytest.approx(2**0.5, rel=1e-9)
    assert found.residual == pytest.approx((2 / (rank + 2)) ** 0.5, rel=1e-9)
    assert float((matrix @ (matrix @ found.value - rhs)).norm()) < 1e-9


def test_minres_needs_one_product_for_every_eigenvalue():
    matrix, _ = with_eigenvalues([1.0, 1.0, 1.0, 2.0, 2.0, 5.0, 5.0, 5.0])
    found = minres(lambda v: matrix @ v, random(8), 1e-10, 200)
    assert found.iterations == 3
    assert found.residual <= 1e-10


def test_minres_tells_how_far_it_came():
    matrix, _ = with_eigenvalues(list(np.linspace(0.01, 5, 12)))
    rhs, calls = random(12), []

    def apply(v):
        calls.append(1)
        return matrix @ v

    found = minres(apply, rhs, 1e-14, 5)
    assert found.iterations == len(calls) == 5
    reached = float((matrix @ found.value - rhs).norm() / rhs.norm())
    assert found.residual == pytest.approx(reached, rel=1e-9)
    assert reached > 1e-3
    krylov = torch.stack([torch.linalg.matrix_power(matrix, k) @ rhs for k in range(5)], dim=1)
    best = np.linalg.lstsq((matrix @ krylov).numpy(), rhs.numpy(), rcond=None)[0]
    least = np.linalg.norm((matrix @ krylov).numpy() @ best - rhs.numpy()) / float(rhs.norm())
    assert reached == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize("outside", [1e-10, 1e-8, 1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("condition", [1e1, 1e4])
def test_minres_is_not_led_astray_by_a_trace_of_the_null_space(outside, condition):
    values = [*np.geomspace(1, 1 / condition, 20), *[0.0] * 10]
    matrix, q = with_eigenvalues(values)
    wanted = q[:, :20] @ random(20)
    rhs = matrix @ wanted + outside * q[:, 20:] @ random(10)
    found = minres(lambda v: matrix @ v, rhs, 1e-14, 2000)
    best = outside * float(random(10).norm())
    reached = float((matrix @ found.value - rhs).norm())
    assert reached < 1.1 * best + 1e-6 * outside**0.5
    assert float((q[:, :20].T @ found.value - q[:, :20].T @ wanted).norm()) < 10 * condition * reached


def test_minres_passes_nan_on():
    matrix = torch.eye(3, dtype=torch.float64)
    assert minres(lambda v: matrix @ v, tensor([1.0, float("nan"), 0.0]), 1e-10, 10).value.isnan().any()
    matrix[1, 1] = torch.nan
    assert minres(lambda v: matrix @ v, tensor([1.0, 2.0, 0.0]), 1e-10, 10).value.isnan().any()


def test_minres_of_nothing_is_nothing():
    found = minres(lambda v: v, torch.zeros(3, dtype=torch.float64), 1e-10, 10)
    assert torch.equal(found.value, torch.zeros(3, dtype=torch.float64))
    assert (found.iterations, found.residual) == (0, 0.0)
