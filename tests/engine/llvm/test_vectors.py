"""Vectors of compiled code, and the order of cells in which they read coordinates."""

import numba
import numpy as np
import pytest

from wgf.engine.llvm.vectors import WIDTH, absolute, aligned, choose, fill, least, load, lower, store, total, whole
from wgf.engine.machine_code import OPTIONS
from wgf.engine.plan import _neighbours
from wgf.engine.tapes.parts import FMA, MUL, fused, placed, read
from wgf.engine.tapes.tape import CODES, Tape


@numba.njit(**OPTIONS)
def results(x, y, out):
    u, v = load(x, 1), load(y, 0)
    for k, each in enumerate((u + v, u - v, u * v, u / v, absolute(u), choose(v, u, 7.0), lower(u, v), fill(2.0))):
        store(out[k], 0, each)
    u += v
    store(out[8], 0, u)
    return total(v), least(v)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_vectors_are_those_of_numpy():
    draw = np.random.default_rng(0)
    x, y, out = draw.normal(size=WIDTH + 1), draw.normal(size=WIDTH), np.zeros((9, WIDTH))
    y[3] = 0.0
    found, u = results(x, y, out), x[1:]
    known = [
        u + y,
        u - y,
        u * y,
        u / y,
        np.abs(u),
        np.where(y == 0, 7.0, u),
        np.minimum(u, y),
        np.full(WIDTH, 2.0),
        u + y,
    ]
    np.testing.assert_allclose(out, known, rtol=1e-15)
    np.testing.assert_allclose(found, [y.sum(), y.min()], rtol=1e-14)
    x[2] = np.nan
    assert np.isnan(results(x, y, out)[1]) == np.False_
    np.testing.assert_array_equal(np.isnan(out[6]), np.isnan(u))
    y[5] = np.nan
    assert np.isnan(results(x, y, out)).all()


def test_arrays_begin_at_whole_vectors():
    assert [whole(n) for n in (0, 1, WIDTH, WIDTH + 1)] == [0, WIDTH, WIDTH, 2 * WIDTH]
    for shape in ((3,), (2, 5), (7, 9)):
        array = aligned(*shape)
        assert array.shape == shape
        assert array.__array_interface__["data"][0] % (8 * WIDTH) == 0
        assert not array.any()


def test_cells_with_neighbouring_functions_come_first():
    cell, run = _neighbours(np.array([0, 0, 1, 2, 2, 4]))
    assert (cell.tolist(), run) == ([0, 2, 3, 1, 4, 5], 3)
    cell, run = _neighbours(np.array([3, 3]))
    assert (cell.tolist(), run) == ([0, 1], 1)


def test_a_product_joins_the_sum_that_alone_needs_it():
    tape = Tape(("x", "y"))
    square, product = tape.emit("mul", 0, 0), tape.emit("mul", 0, 1)
    twice = tape.emit("add", product, product)
    result = tape.emit("add", tape.emit("add", square, twice), 1)
    part = fused(tape.code, [result])
    assert [code[0] for code in part] == [MUL, CODES["add"], FMA, CODES["add"]]
    assert part[2][1:4] == (0, 0, twice)
    kept = fused(tape.code, [result, square])
    assert FMA not in [code[0] for code in kept]


def test_registers_serve_again():
    tape = Tape(("x", "y"))
    value = 0
    for _ in range(5):
        value = tape.emit("sin", tape.emit("add", value, 1))
    part, where = placed(tape.code, [value], {0: 0, 1: 1})
    numbers = {0: 0.3, 1: 0.4, **dict.fromkeys(range(2, 4))}
    for op, *operands, out in part:
        a, b = (numbers[r] for r in operands[:2])
        numbers[out] = a + b if op == CODES["add"] else np.sin(a)
    assert max(code[4] for code in part) == 2
    expected = 0.3
    for _ in range(5):
        expected = np.sin(expected + 0.4)
    assert numbers[where[value]] == pytest.approx(expected, rel=1e-15)
    assert all(read(code) for code in part)


@pytest.mark.parametrize("size", range(1, 40))
def test_a_vector_may_be_read_that_begins_in_the_last_row(size: int):
    whole = aligned(3, size)
    begin, kept = whole.ctypes.data, whole.base
    assert begin % (8 * WIDTH) == 0
    assert kept.ctypes.data + kept.nbytes >= begin + whole.nbytes + 8 * WIDTH
