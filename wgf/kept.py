"""Results that are kept for later flows of the same kind, and the text that names all settings of an object."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Hashable
from functools import cached_property, lru_cache, wraps
from operator import itemgetter
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor, dtype

Result = TypeVar("Result")
Given = ParamSpec("Given")
UNKNOWN: Any = object()  # stands for a result that nobody has made
PARAMETER = "a parameter"  # stands for a number that does not count
PLAIN = {float, str, bool, type(None), dtype}
FORMULA = "wgf.settings.formulas.expression.Expression"  # all else in it follows from its text and its constants
_name = itemgetter(0)


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
        result = self._results.pop(key, UNKNOWN)
        if result is UNKNOWN:
            with torch._C._DisableFuncTorch():  # a tensor made inside torch.func would die with its transform
                result = make()
        self._results[key] = result  # the newest last
        while len(self._results) > self._most:
            self._results.pop(next(iter(self._results)), None)
        return result


def kept(most: int) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Decorator: keep the newest results of a function by the content of its arguments; none for an argument of a class
    from outside wgf."""

    def keep(function: Callable[Given, Result]) -> Callable[Given, Result]:
        results = Kept[Result](most)

        @wraps(function)
        def wrapper(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            try:
                key = content(args), content(tuple(kwargs.items()))
            except TypeError:
                return function(*args, **kwargs)
            return results(key, lambda: function(*args, **kwargs))

        return wrapper

    return keep


def content(value: Any, parameters: Container[str] = ()) -> Hashable:
    """All settings of an object as nested tuples, the same for equal settings whatever their types.

    Args:
        value: a number, a text, an array, a list, or an object of a class of wgf.
        parameters: settings of it, or constants of its expression, whose numbers do not count.

    Raises:
        TypeError: the object is of a class from outside wgf, whose settings may mean anything.
    """
    kind = type(value)
    if kind in PLAIN:
        return value
    path, computed = _class(kind)
    if not path:
        return tuple(map(content, value)) if isinstance(value, (list, tuple)) else _foreign(value)
    if path == FORMULA:
        settings, within = {"text": value.text, **value.constants}, ()
    else:
        settings = vars(value)
        within = parameters if parameters and "expression" in settings else ()
    entries = [
        (name, PARAMETER if name in parameters else each if type(each) in PLAIN else content(each, within))
        for name, each in settings.items()
        if name not in computed
    ]
    return path, *sorted(entries, key=_name)


def _foreign(value: Any) -> Hashable:
    """The content of an object of a class from outside wgf."""
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, Tensor) and value.requires_grad:
        raise TypeError("a tensor that requires grad is not a number")
    if isinstance(value, (np.ndarray, Tensor)):
        array = np.asarray(value)
        return str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()
    raise TypeError(f"{type(value).__name__} is not a class of wgf")


@lru_cache(maxsize=256)
def _class(kind: type) -> tuple[str, frozenset[str]]:
    """Name of a class, empty for a list or a class from outside wgf, and the attributes that its objects compute."""
    if issubclass(kind, (list, tuple)) or not kind.__module__.startswith("wgf."):
        return "", frozenset()
    computed = (name for name in dir(kind) if isinstance(getattr(kind, name, None), cached_property))
    return f"{kind.__module__}.{kind.__qualname__}", frozenset(computed)


def is_plain(value: Any) -> bool:
    """Whether an object is of a class of wgf and consists of numbers, texts and arrays only."""
    try:
        content(value)
    except TypeError:
        return False
    return True


def describe(value: Any) -> str:
    """Text of `content`."""
    return repr(content(value))
