"""Linear solvers against numpy: banded, dense and truncated, MINRES."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_and_terms import tensor

from wgf.projection.linalg import dense
from wgf.projection.linalg.banded import Banded, Cholesky, DenseCholesky
from wgf.projection.linalg.cyclic import CyclicReduction
from wgf.projection.linalg.minres import minres


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_eigenvalues(values, seed=0):
    """A symmetric matrix with these eigenvalues, and its eigenvectors."""
    q = torch.linalg.qr(random(len(values), len(values), seed=seed))[0]
    matrix = q @ torch.diag(tensor(values)) @ q.T
    return 0.5 * (matrix + matrix.T), q


# banded


def banded(n, k, seed, sweep=6):
    """A positive definite band [k + 1, n] with a diagonal spread over many orders, and the same matrix in full."""
    g = torch.Generator().manual_seed(seed)
    lower = 0.4 * torch.randn(n, n, generator=g, dtype=torch.float64).tril(-1).triu(-k) / k**0.5
    lower += torch.eye(n, dtype=torch.float64)
    scale = 10 ** (sweep * torch.rand(n, generator=g, dtype=torch.float64) - sweep / 2)
    full = scale[:, None] * (lower @ lower.T) * scale
    return torch.stack([torch.nn.functional.pad(full.diagonal(-d), (0, d)) for d in range(k + 1)]), full


@pytest.mark.parametrize("solver", [Cholesky, CyclicReduction], ids=["lapack", "cyclic_reduction"])
@given(n=st.integers(6, 40), k=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_a_banded_system_is_solved(solver, n, k, seed):
    band, full = banded(n, k, seed)
    wanted = random(n, seed=seed + 1) / full.diagonal().sqrt()
    factor = solver(band)
    assert bool(factor.positive)
    scale = full.diagonal().sqrt()  # errors are measured where the diagonal is 1
    unit = (full / torch.outer(scale, scale)).numpy()
    error = scale * (factor.solve(full @ wanted) - wanted)
    assert float(error.norm()) < 1e-14 * np.linalg.cond(unit) * float((scale * wanted).norm())


@given(n=st.integers(6, 40), k=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_products_with_a_band_are_those_of_the_whole_matrix(n, k, seed):
    band, full = banded(n, k, seed, sweep=1)
    x = random(n, seed=seed)
    before = x.clone()
    matrix = Banded(band)
    assert torch.equal(matrix.dense().tril(), torch.tril(full).triu(-k))
    assert torch.equal(matrix.dense(), matrix.dense().T)
    rounding = full.abs() @ x.abs()
    assert torch.all((matrix.matvec(x) - full @ x).abs() <= 1e-14 * rounding)
    single = Banded(band.float()).matvec(x.float())  # the path that a GPU takes
    assert torch.all((single.double() - full @ x).abs() <= 1e-5 * rounding)
    assert torch.equal(x, before)


@pytest.mark.parametrize("small", [500, 3], ids=["all_eigenvalues", "lanczos"])
def test_the_condition_is_that_of_the_matrix_with_unit_diagonal(small, monkeypatch):
    monkeypatch.setattr("wgf.projection.linalg.banded.SMALL", small)
    band, full = banded(30, 2, 4)
    scale = full.diagonal().sqrt()
    expected = np.linalg.cond((full / torch.outer(scale, scale)).numpy())
    assert Banded(band).condition == pytest.approx(expected, rel=1e-10 if small == 500 else 1e-2)


def test_the_hat_functions_of_equal_cells_have_condition_three():
    band = torch.full((2, 50), 4.0, dtype=torch.float64)  # h/6 tridiag(1, 4, 1) with half cells at the ends
    band[1], band[0, [0, -1]] = 1.0, 2.0
    assert Banded(band).condition == pytest.approx(3, rel=1e-10)


@pytest.mark.parametrize("solver", [Cholesky, CyclicReduction], ids=["lapack", "cyclic_reduction"])
@pytest.mark.parametrize(
    "band",
    [
        [[1.0, 1.0], [1.5, 0.0]],
        [[1.0, 1.0, 1.0], [0.8, 0.8, 0.0]],
        [[1.0, -1.0], [0.1, 0.0]],
        [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
    ],
)
def test_what_is_not_positive_definite_is_told(solver, band):
    assert not bool(solver(tensor(band)).positive)
    assert bool(solver(torch.cat([tensor(band)[:1].abs() + 1, tensor(band)[1:]])).positive)


def test_a_dense_system_is_solved():
    full = banded(9, 3, 1, sweep=1)[1]
    factor = DenseCholesky(full)
    assert factor.positive
    assert torch.allclose(full @ factor.solve(random(9)), random(9), atol=1e-10)
    assert not DenseCholesky(full - 10 * torch.eye(9, dtype=torch.float64)).positive


# dense

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


# MINRES


@given(
    st.lists(st.floats(0.2, 5) | st.floats(-5, -0.2) | st.just(0.0), min_size=2, max_size=12),
    st.integers(0, 10**6),
)
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
