"""Loops over a range are those of Python."""

import numpy as np
import pytest
from compiled_functions import entry
from numba.core.errors import NumbaError

ENDS = (-3, 0, 1, 7, 8, 9)


@entry
def visited(start, stop, out):
    n = 0
    for i in range(stop):
        out[0, n], n = i, n + 1
    n = 0
    for i in range(start, stop):
        if i == 2:
            continue
        if i == 6:
            break
        out[1, n], n = i, n + 1
    n = 0
    for i in range(start, stop, 4):
        for j in range(i, start, -2):
            out[2, n], n = 10 * i + j, n + 1
    n, last = 0, 100
    for last in range(stop - 1, start - 1, -1):  # noqa: B007
        n += 1
    out[3, 0], out[3, 1] = n, last
    numbers, n = range(start, stop, 3), 0
    for i in numbers:
        for j in numbers:
            out[4, n], n = i - j, n + 1


@pytest.mark.parametrize("start", ENDS)
def test_loops_are_those_of_python(start):
    for stop in ENDS:
        found, known = np.full((5, 40), np.nan), np.full((5, 40), np.nan)
        visited(start, stop, found)
        visited.py_func(start, stop, known)
        np.testing.assert_array_equal(found, known)


def test_a_step_may_be_a_variable():
    @entry
    def total(step, out):
        for i in range(0, 10 * step, step):
            out[0] += i

    for step in (3, -2):
        out = np.zeros(1)
        total(step, out)
        assert out[0] == 45 * step


def test_a_range_that_is_no_loop_is_refused():
    @entry
    def length(out):
        out[0] = len(range(3))

    with pytest.raises((NumbaError, AttributeError, TypeError)):
        length(np.zeros(1))
