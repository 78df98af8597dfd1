"""Reads columns of numbers from text files."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wgf.errors import ConfigError


def read(path: str, columns: Sequence[int | str]) -> list[np.ndarray]:
    """Columns of a text file as arrays [n], n >= 1.

    Commas, semicolons, tabs or spaces separate the columns. The first line may name them. The function skips empty
    lines and lines that begin with #.

    Args:
        path: of the file.
        columns: numbers of columns, from 1, or names in the first line.

    Raises:
        ConfigError: the file cannot be read, lacks a column, or holds something that is not a finite number; the
            message gives the line.
    """
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or "it is not a text in UTF-8").lower()
        raise ConfigError(f"path={path} cannot be read: {reason}; give the path of a text file") from None
    rows = [(k, _cells(line)) for k, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    names: list[str] = []
    if rows and not any(map(_is_number, rows[0][1])):
        names = rows.pop(0)[1]
    if not rows:
        raise ConfigError(f"path={path} holds no numbers: expected one row of numbers per line")
    places = [_place(path, column, names, len(rows[0][1])) for column in columns]
    values = [[_value(path, k, cells, place) for place in places] for k, cells in rows]
    return list(np.array(values, dtype=float).T.copy())


def _cells(line: str) -> list[str]:
    separator = next((mark for mark in (";", ",", "\t") if mark in line), None)
    cells = re.split(r"\s+", line.strip()) if separator is None else line.split(separator)
    return [cell.strip().strip("\"'") for cell in cells]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _place(path: str, column: int | str, names: list[str], count: int) -> int:
    """Index of a column.

    Raises:
        ConfigError: there is no such column.
    """
    if isinstance(column, str):
        if column in names:
            return names.index(column)
        has = f"its columns are {', '.join(names)}" if names else "it has no names, give the number of the column"
        raise ConfigError(f"path={path} has no column {column!r}: {has}")
    if column > count:
        raise ConfigError(f"path={path} has no column {column}: expected a number from 1 to {count}")
    return column - 1


def _value(path: str, line: int, cells: list[str], place: int) -> float:
    """The number in one cell.

    Raises:
        ConfigError: it is missing or not a finite number.
    """
    text = cells[place] if place < len(cells) else ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"path={path} line {line}: {text[:40]!r} in column {place + 1} is not a finite number")
    return value
