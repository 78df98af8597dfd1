"""Arguments that a caller of the library gives: numbers of any type that numpy reads, and paths."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from wgf.errors import ConfigError
from wgf.settings.ranges import fault

REAL = "iuf"  # numpy's kinds of real numbers; a truth value is none


def numbers(name: str, values: Any) -> np.ndarray:
    """The numbers of an argument [...], in float64; NaN for masked entries.

    Raises:
        ConfigError: they are not real numbers, or no array.
    """
    try:
        array = np.ma.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except (TypeError, ValueError, RuntimeError):  # torch raises the last
        raise ConfigError(fault(name, values, "a real number or an array of them")) from None
    if array.dtype.kind not in REAL:
        raise ConfigError(fault(name, values, "a real number or an array of them"))
    return np.ma.filled(array.astype(np.float64), np.nan)


def number(name: str, value: Any) -> float:
    """The number of an argument.

    Raises:
        ConfigError: it is not one real number.
    """
    if (array := numbers(name, value)).ndim:
        raise ConfigError(fault(name, value, "one real number"))
    return float(array)


def path_of(path: Any) -> Path:
    """The path of an argument.

    Raises:
        ConfigError: it is no path.
    """
    if not isinstance(path, (str, PathLike)) or not str(path):
        raise ConfigError(fault("path", path, "the path of a file"))
    return Path(path)
