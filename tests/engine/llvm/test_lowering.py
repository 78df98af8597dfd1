"""Elements, rows and ranges of arrays in compiled code are those of NumPy, and variables those of Python."""

import numpy as np
import pytest
from compiled_functions import entry

from wgf.engine.machine_code import compiled

DRAW = np.random.default_rng(0)
NUMBERS = DRAW.normal(size=(3, 4, 5))


@entry
def elements(x, i, j, k, out):
    out[0], out[1], out[2] = x[i, j, k], x[-1, -2, -3], x[1, j, -1]
    row, plane = x[i, j], x[k]
    out[3], out[4], out[5], out[6] = row[k], plane[j, i], plane[j][-1], len(row) + 10 * len(plane)
    out[7], out[8] = plane.shape[0] + 10 * plane.shape[1] + 100 * x.shape[0], row.size + 10 * plane.size
    x[i, j, k], row[0] = 7.0, 8.0
    plane[j, 3] += 1


@pytest.mark.parametrize("at", [(0, 1, 2), (2, 3, -3), (-1, -4, 0), (np.int64(1), np.uint8(2), np.int32(1))])
@pytest.mark.parametrize("kind", ["float64", "int64", "int32", "float32"])
def test_elements_and_rows(at, kind):
    here = (10 * NUMBERS).astype(kind)
    there, found, known = here.copy(), np.zeros(9), np.zeros(9)
    elements(here, *at, found)
    elements.py_func(there, *at, known)
    np.testing.assert_array_equal(found, known)
    np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("view", [np.s_[..., ::-1], np.s_[:, :5], np.s_[::2], np.s_[:]])
def test_arrays_in_another_order(view):
    box = np.random.default_rng(1).normal(size=(6, 6, 6))
    here, there, found, known = box.copy().T[view], box.copy().T[view], np.zeros(9), np.zeros(9)
    assert not here.flags.c_contiguous
    elements(here, 0, 1, 2, found)
    elements.py_func(there, 0, 1, 2, known)
    np.testing.assert_array_equal(found, known)
    np.testing.assert_array_equal(here, there)


@compiled
def sum_of(x):
    s = 0.0
    for i in range(len(x)):
        s += (1 + i) * x[i]
    return s


@entry
def ranges(x, y, low, high, out):
    out[0], out[1], out[2] = sum_of(x[low:]), sum_of(x[:high]), sum_of(x[low:high])
    out[3], out[4], out[5] = sum_of(y[1, low:high]), sum_of(y[-1, low:]), sum_of(y[:, 2])
    out[6], out[7] = sum_of(x[low:high][1:]), len(x[low:high])
    y[0, low:high] = 3.0
    x[1::2] = 5.0


@pytest.mark.parametrize("low", [0, 2, -3, -9, 5, 9])
@pytest.mark.parametrize("high", [4, 0, -1, -9, 5, 9])
def test_ranges(low, high):
    x, y, found, known = NUMBERS[0, 0].copy(), NUMBERS[0].copy(), np.zeros(8), np.zeros(8)
    u, v = x.copy(), y.copy()
    ranges(x, y, low, high, found)
    known[:3] = [sum_of.py_func(each) for each in (u[low:], u[:high], u[low:high])]
    known[3:6] = [sum_of.py_func(each) for each in (v[1, low:high], v[-1, low:], v[:, 2])]
    known[6:] = sum_of.py_func(u[low:high][1:]), len(u[low:high])
    v[0, low:high], u[1::2] = 3.0, 5.0
    np.testing.assert_allclose(found, known, rtol=1e-14)
    np.testing.assert_array_equal(np.concatenate([x, y.ravel()]), np.concatenate([u, v.ravel()]))


def test_flags_and_numbers_become_what_a_variable_is():
    @entry
    def mixed(whole, flags, out):
        x = whole[0]
        if flags[1]:
            x = 0.5
        flags[0] = x > 0.25
        whole[1], out[0] = out[1], x
        out[1] = flags[0] and not flags[2]

    for flag in (False, True):
        whole, flags, out = np.array([3, 0]), np.array([False, flag, True]), np.array([0.0, 2.75])
        mixed(whole, flags, out)
        assert whole.tolist() == [3, 2]
        assert flags.tolist() == [True, flag, True]
        assert out.tolist() == [0.5 if flag else 3.0, 0.0]


def test_variables_with_one_value_and_with_several():
    @entry
    def fibonacci(n, out):
        a, b, first, last = 0, 1, out[0], len(out) - 1
        while a < n:
            if a > 10:
                big = a + first
                out[1] += big
            a, b = b, a + b
            kept = a
            if kept % 2 == 0:
                continue
            out[last] = kept
        out[0] = b

    found, known = np.array([1.5, 0.0, 0.0]), np.array([1.5, 0.0, 0.0])
    fibonacci(200, found)
    fibonacci.py_func(200, known)
    np.testing.assert_array_equal(found, known)
