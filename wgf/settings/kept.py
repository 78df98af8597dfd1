"""Results that are kept for later flows of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

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
