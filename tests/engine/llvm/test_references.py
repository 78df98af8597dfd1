"""Named tuples by their addresses."""

from typing import NamedTuple

import numba
import numpy as np
from compiled_functions import entry

from wgf.engine.llvm.references import by_address
from wgf.engine.machine_code import compiled


@by_address
class Inner(NamedTuple):
    x: np.ndarray
    other: np.ndarray | None


@by_address
class Outer(NamedTuple):
    factor: float
    inner: Inner
    y: np.ndarray
    doubles: bool
    power: int


@compiled
def added(outer, inner, other, at):
    outer.y[0, at] += outer.factor * inner.x[at] ** outer.power
    if other is not None:
        outer.y[1, at] = other[at]


@entry
def advance(outer, at):
    for _ in range(2 if outer.doubles else 1):
        added(outer, outer.inner, outer.inner.other, at)
    outer.y[2, at] = outer.y.shape[1] + len(outer.inner.x)


def test_members_are_those_of_the_tuple():
    draw = np.random.default_rng(0)
    for other in (None, draw.normal(size=4)):
        for doubles in (False, True):
            x, y = draw.normal(size=4), draw.normal(size=(3, 4))
            known = y.copy()
            known[0, 2] += (1 + doubles) * 0.3 * x[2] ** 3
            known[1, 2] = known[1, 2] if other is None else other[2]
            known[2, 2] = 8
            advance(Outer(0.3, Inner(x, other), y, doubles, 3), 2)
            np.testing.assert_allclose(y, known, rtol=1e-15)


def test_a_tuple_is_one_argument():
    outer = Outer(0.3, Inner(np.zeros(4), None), np.zeros((3, 4)), True, 3)
    advance(outer, 2)
    code = advance.inspect_llvm((numba.typeof(outer), numba.int64))
    defined = next(line for line in code.splitlines() if line.startswith("define") and "advance" in line)
    assert defined.count(" %arg.") == 2
