"""How functions become machine code: parts, entries, and numba while it compiles them."""

import numba
import numpy as np
import pytest
from numba.core.base import BaseContext
from numba.core.postproc import PostProcessor
from numba.core.types.functions import BaseFunction

from wgf.engine.machine_code import OPTIONS, EntryCompiler, brief, compiled


def entry(function):
    """An entry that is not kept on the disk."""
    return numba.njit(**OPTIONS, no_cfunc_wrapper=True, pipeline_class=EntryCompiler)(function)


@compiled
def square(x):
    return x * x


@compiled
def shared(x, k):
    return square(x[k]) + min(x[k - 1], 2.0)  # min is a function that numba compiles on its own


@compiled
def other(x, k):
    return 3 * square(x[k])


@entry
def both(x, k):
    x[0] = shared(x, k) + other(x, k)


@entry
def one(x, k):
    x[0] = shared(x, k)


def test_entries_share_the_parts_that_they_call():
    x = np.array([0.0, 1.5, 4.0, 5.0])
    for k, low in ((2, 1.5), (3, 2.0)):
        both(x, k)
        assert x[0] == 4 * x[k] ** 2 + low
        one(x, k)
        assert x[0] == x[k] ** 2 + low


def test_types_of_a_call_depend_on_its_arguments():
    @entry
    def sums(whole, real):
        whole[0], real[0] = whole[0] + 1, real[0] + 1
        whole[1], real[1] = whole[0] * whole[0], real[0] * real[0]

    whole, real = np.array([2, 0]), np.array([0.5, 0.0])
    sums(whole, real)
    assert whole.tolist() == [3, 9]
    assert real.tolist() == [1.5, 2.25]


def test_numba_is_as_before_after_a_compile():
    def parts():
        return BaseFunction.get_call_type, BaseContext.get_function, PostProcessor.run

    @brief()
    def fails():
        return 1 / 0

    before = parts()
    with pytest.raises(ZeroDivisionError):
        fails()
    with brief():
        assert not any(now is then for now, then in zip(parts(), before, strict=True))
    assert parts() == before
