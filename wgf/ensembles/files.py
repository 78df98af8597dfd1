"""Laws of wgf as text, without code: the base in the file of an ensemble."""

from __future__ import annotations

import json
from functools import cached_property
from importlib import import_module
from typing import Any

from torch import Tensor, float64, tensor

from wgf.errors import ConfigError
from wgf.problem.base import Base

LAWS = "wgf.problem.laws."


def written(law: Base) -> str:
    """Text of a law.

    Raises:
        ConfigError: the law holds more than numbers.
    """
    return json.dumps(_plain(law))


def read(text: str) -> Base:
    """The law of a text of `written`."""
    return _made(json.loads(text))


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, Tensor):
        return {"tensor": value.tolist()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if type(value).__module__.startswith(LAWS):
        kind = type(value)
        cached = {name for name in vars(value) if isinstance(getattr(kind, name, None), cached_property)}
        settings = {name: _plain(entry) for name, entry in vars(value).items() if name not in cached}
        return {"class": f"{kind.__module__}.{kind.__qualname__}", "settings": settings}
    raise ConfigError(f"an ensemble whose base holds {type(value).__name__} cannot be saved: use a law with parameters")


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return [_made(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensor(value["tensor"], dtype=float64)
    place, _, name = str(value["class"]).rpartition(".")
    if not place.startswith(LAWS):
        raise ConfigError(f"a file of an ensemble names {place}.{name}: expected a law of wgf")
    kind = getattr(import_module(place), name)
    law = object.__new__(kind)
    vars(law).update({key: _made(entry) for key, entry in value["settings"].items()})
    return law
