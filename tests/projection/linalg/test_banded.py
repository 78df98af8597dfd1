"""Banded matrices, their products, condition and solvers, against dense matrices."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_and_terms import random, tensor

from wgf.projection.linalg.banded import Banded, Cholesky, DenseCholesky
from wgf.projection.linalg.cyclic import CyclicReduction

SOLVERS = {"lapack": Cholesky, "cyclic": CyclicReduction, "dense": lambda band: DenseCholesky(Banded(band).dense())}
every_solver = pytest.mark.parametrize("solver", SOLVERS.values(), ids=list(SOLVERS))
sizes = {"n": st.integers(1, 70), "k": st.integers(0, 6), "seed": st.integers(0, 10**6)}


def banded(n, k, seed, sweep=6):
    """A positive definite band [k + 1, n] with a diagonal spread over many orders, and the same matrix in full."""
    k = min(k, n - 1)
    g = torch.Generator().manual_seed(seed)
    lower = 0.4 * torch.randn(n, n, generator=g, dtype=torch.float64).tril(-1).triu(-k) / max(k, 1) ** 0.5
    lower += torch.eye(n, dtype=torch.float64)
    scale = 10 ** (sweep * torch.rand(n, generator=g, dtype=torch.float64) - sweep / 2)
    full = scale[:, None] * (lower @ lower.T) * scale
    return torch.stack([torch.nn.functional.pad(full.diagonal(-d), (0, d)) for d in range(k + 1)]), full


@every_solver
@given(**sizes)
def test_a_banded_system_is_solved(solver, n, k, seed):
    band, full = banded(n, k, seed)
    wanted = random(n, seed=seed + 1) / full.diagonal().sqrt()
    factor = solver(band.clone())
    assert bool(factor.positive)
    scale = full.diagonal().sqrt()  # errors are measured where the diagonal is 1
    unit = (full / torch.outer(scale, scale)).numpy()
    error = scale * (factor.solve(full @ wanted) - wanted)
    assert float(error.norm()) < 1e-14 * np.linalg.cond(unit) * float((scale * wanted).norm())


@given(**sizes)
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


@pytest.mark.parametrize(("n", "k", "rel"), [(40, k, 1e-10) for k in range(1, 6)] + [(520, 2, 1e-2)])
def test_the_condition_is_that_of_the_matrix_with_unit_diagonal(n, k, rel):
    """By Lanczos for large matrices."""
    band, full = banded(n, k, 4)
    scale = full.diagonal().sqrt()
    expected = np.linalg.cond((full / torch.outer(scale, scale)).numpy())
    assert Banded(band).condition == pytest.approx(expected, rel=rel)


def test_the_hat_functions_of_equal_cells_have_condition_three():
    band = torch.full((2, 50), 4.0, dtype=torch.float64)  # h/6 tridiag(1, 4, 1) with half cells at the ends
    band[1], band[0, [0, -1]] = 1.0, 2.0
    assert Banded(band).condition == pytest.approx(3, rel=1e-10)


@every_solver
@given(**sizes, where=st.floats(0, 1))
def test_a_matrix_that_is_not_positive_is_reported(solver, n, k, seed, where):
    band, full = banded(n, k, seed, sweep=1)
    row = min(int(where * n), n - 1)
    band[0, row] -= 1.001 / torch.linalg.inv(full)[row, row]  # makes the determinant negative, just so
    assert not bool(solver(band).positive)


@every_solver
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
