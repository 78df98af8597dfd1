"""Dense solvers that truncate or damp, against pseudo-inverses."""

import numpy as np
import pytest
import torch
from laws_and_terms import random, tensor, with_eigenvalues

from wgf.projection.linalg import dense

SPECTRUM = [3.0, 1.0, 0.2, 1e-3, 1e-9, 0.0]


def pseudo_inverse(values, q, rcond):
    inverse = [1 / v if v > rcond * max(values) else 0.0 for v in values]
    return q @ torch.diag(tensor(inverse)) @ q.T


@pytest.mark.parametrize(("rcond", "dropped"), [(1e-12, 1), (1e-6, 2), (0.01, 3), (0.5, 5)])
def test_small_eigenvalues_are_dropped_and_counted(rcond, dropped):
    matrix, q = with_eigenvalues(SPECTRUM)
    rhs = random(6, seed=3)
    expected = pseudo_inverse(SPECTRUM, q, rcond) @ rhs
    found = dense.truncated_eigen(matrix, rhs, rcond)
    assert torch.allclose(found.value, expected, rtol=1e-5 if rcond < 1e-9 else 1e-10, atol=1e-12)
    assert (int(found.truncated), float(found.damped)) == (dropped, 0.0)


@pytest.mark.parametrize(("rcond", "dropped"), [(1e-12, 1), (1e-6, 2), (0.01, 3), (0.5, 5)])
@pytest.mark.parametrize("rows", [6, 40])
def test_small_singular_values_are_dropped_and_counted(rcond, dropped, rows):
    _, q = with_eigenvalues(SPECTRUM)
    u = torch.linalg.qr(random(rows, 6, seed=8))[0]
    features, rhs = u @ torch.diag(tensor(SPECTRUM).sqrt()) @ q.T, random(6, seed=3)
    expected = pseudo_inverse(SPECTRUM, q, rcond) @ rhs
    found = dense.truncated_qr(features, rhs, rcond)
    assert torch.allclose(found.value, expected, rtol=1e-9, atol=1e-9)  # the metric is not squared: 1e-9 is resolved
    assert (int(found.truncated), float(found.damped)) == (dropped, 0.0)


def test_fewer_rows_than_parameters_leave_the_smallest_solution():
    features = random(3, 7)
    rhs = features.T @ random(3, seed=1)
    found = dense.truncated_qr(features, rhs, 1e-10)
    expected = np.linalg.pinv(features.numpy().T @ features.numpy(), rcond=1e-10) @ rhs.numpy()
    assert torch.allclose(found.value, tensor(expected), rtol=1e-9)
    assert int(found.truncated) == 4


def test_the_smooth_cut_is_tikhonov_in_the_eigenvalues():
    matrix, q = with_eigenvalues(SPECTRUM)
    rhs, cut = random(6, seed=3), 1e-3 * 3.0
    expected = q @ torch.diag(tensor([v / (v * v + cut * cut) for v in SPECTRUM])) @ q.T @ rhs
    found = dense.filtered_eigen(matrix, rhs, 1e-3)
    assert torch.allclose(found.value, expected, rtol=1e-9)
    assert float(found.damped) == pytest.approx(cut, rel=1e-12)


def test_cholesky_says_what_it_added():
    matrix, _ = with_eigenvalues([4.0, 2.0, 1.0, 0.5])
    rhs = random(4)
    found = dense.damped_cholesky(matrix, rhs, 1e-2)
    assert float(found.damped) == pytest.approx(1e-2 * 7.5 / 4, rel=1e-12)
    shifted = matrix + found.damped * torch.eye(4, dtype=torch.float64)
    assert torch.allclose(found.value, torch.linalg.solve(shifted, rhs), rtol=1e-12)
    exact = dense.damped_cholesky(matrix, rhs, 0.0)
    assert float(exact.damped) == 0.0
    assert torch.allclose(exact.value, torch.linalg.solve(matrix, rhs), rtol=1e-12)


def test_cholesky_adds_more_until_the_matrix_is_positive():
    matrix, _ = with_eigenvalues([4.0, 2.0, 1.0, -1e-12])
    found = dense.damped_cholesky(matrix, random(4), 0.0)
    assert 1e-12 < float(found.damped) <= 1.1e-11
    shifted = matrix + found.damped * torch.eye(4, dtype=torch.float64)
    assert torch.allclose(shifted @ found.value, random(4), atol=1e-3)


def test_no_solution_is_nan_and_never_a_guess():
    indefinite, _ = with_eigenvalues([1.0, 1.0, -0.5])
    assert dense.damped_cholesky(indefinite, random(3), 0.0).value.isnan().all()
    broken = torch.eye(3, dtype=torch.float64)
    broken[1, 1] = torch.nan
    for solve in (dense.truncated_eigen, dense.filtered_eigen, dense.damped_cholesky, dense.truncated_qr):
        assert solve(broken, random(3), 1e-6).value.isnan().all(), solve.__name__
