"""Results that are kept for later flows of the same kind, and the text that names all settings of an object."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from torch import Tensor

from wgf.settings.expression import Expression

Result = TypeVar("Result")


class Kept(Generic[Result]):
    """The newest results by what they depend on.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: dict[Hashable, Result] = {}

    def __call__(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """The result for a key, made where it is not known."""
        result = self._results.pop(key, None)
        if result is None:
            result = make()
        self._results[key] = result  # the newest last
        while len(self._results) > self._most:
            self._results.pop(next(iter(self._results)), None)
        return result


def describe(value: Any) -> str:
    """Text of an object that is the same for equal settings, whatever their types.

    Raises:
        TypeError: the object is of a class from outside wgf, whose settings may mean anything.
    """
    if isinstance(value, bool | int | float | str | None):
        return repr(float(value) if isinstance(value, int | float) else value)
    if isinstance(value, np.ndarray | Tensor):
        return hashlib.sha256(np.asarray(value).tobytes()).hexdigest()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(describe, value))}]"
    if not type(value).__module__.startswith("wgf."):
        raise TypeError(f"{type(value).__name__} is not a class of wgf")
    made = {"text": value.text, **value.constants} if isinstance(value, Expression) else vars(value)
    settings = {
        name: part for name, part in made.items() if not isinstance(getattr(type(value), name, None), cached_property)
    }
    inside = ", ".join(f"{name}={describe(entry)}" for name, entry in sorted(settings.items()))
    return f"{type(value).__module__}.{type(value).__qualname__}({inside})"
