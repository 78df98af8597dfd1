"""What settings may be, and errors that say so."""

import math
import pickle
import re
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refusal

from wgf.errors import ConfigError, WgfError
from wgf.settings import ranges
from wgf.settings.ranges import Choice, Flag, ListOf, Range, Written, checked, rule_of

anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.floats())
anything |= st.complex_numbers()


@given(anything, st.floats(-10, 10), st.floats(0, 10), st.booleans(), st.booleans())
def test_a_range_admits_the_finite_numbers_between_its_bounds(value, low, width, open_low, open_high):
    rule = Range(low=low, high=low + width, open_low=open_low, open_high=open_high)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    on_open_end = (open_low and value == low) or (open_high and value == low + width)
    assert rule.admits(value) == (is_number and low <= value <= low + width and not on_open_end)


@given(st.integers() | st.floats())
def test_whole_numbers_may_be_written_as_floats(value):
    expected = isinstance(value, int) or (math.isfinite(value) and value.is_integer())
    assert Range(int).admits(value) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -(10**400), None, True, "1", [1.0], 1j])
def test_what_is_no_finite_number_is_never_admitted(value):
    assert not Range().admits(value)
    assert not Range(int).admits(value)


RULES = {
    "a finite number": Range(),
    "a finite number > 0": Range(low=0.0, open_low=True),
    "a finite number >= 0 and < 1": Range(low=0.0, high=1.0, open_high=True),
    "a whole number <= 5": Range(int, high=5),
    "a finite number >= 0, or null": Range(low=0.0, none=True),
    "one of a, b": Choice("a", "b"),
    "true or false": Flag(),
    "a text": Written(),
    "a list, each entry a finite number >= 0": ListOf(Range(low=0.0)),
}


def test_rules_say_what_they_allow():
    assert {text: str(rule) for text, rule in RULES.items()} == {text: text for text in RULES}
    assert str(rule_of(ranges.Finite)) == "a finite number"
    assert [rule_of(int), rule_of(None)] == [None, None]


@given(anything)
def test_the_other_rules(value):
    assert Choice("on", "off").admits(value) == (value in ("on", "off"))
    assert Flag().admits(value) == isinstance(value, bool)
    assert Written().admits(value) == isinstance(value, str)
    numbers = isinstance(value, list) and len(value) > 0 and all(map(math.isfinite, value))
    assert ListOf(Range()).admits(value) == numbers


class Setting:
    @checked
    def __init__(
        self,
        scale: ranges.Positive,
        count: ranges.Count = 3,
        share: ranges.Fraction = 0.5,
        dt: ranges.PositiveOrNone = None,
        places: ranges.Floats = (0.0,),
        name: ranges.Text = "a",
        on: Annotated[bool, Flag()] = True,
        free=None,
    ) -> None:
        self.scale, self.count, self.share, self.dt = scale, count, share, dt
        self.places, self.name, self.on, self.free = places, name, on, free


def test_numbers_take_their_kind():
    got = Setting(2, count=4.0, dt=1)
    assert (got.scale, got.count, got.dt) == (2, 4, 1)
    assert [type(v) for v in (got.scale, got.count, got.dt)] == [float, int, float]
    assert Setting(1.0, dt=None).dt is None


def test_all_faults_are_told_at_once():
    assert refusal(Setting, 0.0, count=2.5, share=1.0, dt=0.0, places=[], name=3, on=1, free=object()) == [
        "scale=0.0 is not allowed: expected a finite number > 0",
        "count=2.5 is not allowed: expected a whole number >= 1",
        "share=1.0 is not allowed: expected a finite number >= 0 and < 1",
        "dt=0.0 is not allowed: expected a finite number > 0, or null",
        "places=[] is not allowed: expected a list, each entry a finite number",
        "name=3 is not allowed: expected a text",
        "on=1 is not allowed: expected true or false",
    ]
    assert len(refusal(Setting, "x" * 10_000)[0]) < 300  # long values are cut short


def test_what_python_itself_refuses_stays_a_type_error():
    with pytest.raises(TypeError, match="scale"):
        Setting()
    with pytest.raises(TypeError, match="sale"):
        Setting(1.0, sale=2.0)


def test_a_config_error_survives_the_way_to_another_process():
    error = ConfigError("a=1 is wrong", "b=2 too")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.lines, str(copy)) == (error.lines, str(error))
    assert isinstance(error, WgfError)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.float64, np.float32])
def test_the_numbers_of_numpy_are_numbers(kind):
    got = Setting(kind(2), count=kind(4), places=np.array([kind(1), kind(3)]))
    assert (got.scale, got.count, got.places) == (2.0, 4, [1.0, 3.0])
    assert [type(v) for v in (got.scale, got.count, *got.places)] == [float, int, float, float]
    for bad in (kind(0), np.float64("nan"), np.float32("inf"), np.bool_(True), np.array(2.0), np.array([[1.0]])):
        assert re.match(r"(?s)scale=.* is not allowed: expected a finite number > 0", *refusal(Setting, bad))
    for bad in (np.array([]), np.array([[1.0]]), np.array([np.nan])):
        assert re.match(r"places=.* is not allowed: expected a list", *refusal(Setting, 1.0, places=bad))
