"""Texts of the numbers of a result."""

from hypothesis import given
from hypothesis import strategies as st

from wgf.result import at_most


@given(st.floats(1e-300, 1e300))
def test_a_printed_bound_is_a_bound(bound: float):
    assert bound <= float(at_most(bound)) <= 1.01 * bound
