"""A config as one row: dotted keys and plain values."""

from wgf.settings.flat import leaves


def test_leaves():
    config = {"a": 1, "b": {"_target_": "wgf.x.Y", "c": None, "d": [1, 2], "e": {"f": True}}}
    assert leaves(config) == {"a": 1, "b": "Y", "b.c": "null", "b.d": "[1, 2]", "b.e.f": True}
