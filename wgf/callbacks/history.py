"""history.csv: one line per logged step, with every digit, on the disk at once."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import IO

import numpy as np

from wgf.callbacks.base import Callback, Row, Run
from wgf.files import replacing


class History(Callback):
    """Rows as a table; None is an empty cell, and a float reads back to the same bits.

    A run resumed in its folder keeps the lines before the step it goes on from.
    """

    def __init__(self) -> None:
        self._file: IO[str] | None = None

    def start(self, run: Run) -> None:
        self._path, self._columns = run.folder / "history.csv", run.columns

    def row(self, row: Row) -> None:
        if self._file is None:
            self._begin(before=int(row["step"] or 0))
            self._file = open(self._path, "a", newline="", encoding="utf-8")  # noqa: SIM115 (closed in close)
        self._file.write(_lines([row], self._columns))
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _begin(self, before: int) -> None:
        """Write the header and what is kept of an earlier part of this run."""
        header = ",".join(self._columns) + "\n"
        with replacing(self._path) as file:
            file.write((header + "".join(_kept(self._path, header, before))).encode())


def read(path: Path) -> dict[str, np.ndarray]:
    """The columns of a history.csv [r], NaN where a cell is empty; a last line half-written is left out.

    Raises:
        OSError, ValueError: there is no such file, or it holds something else.
    """
    header, _, text = path.read_text(encoding="utf-8").partition("\n")
    columns = header.split(",")
    rows = [line.split(",") for line in text[: text.rfind("\n") + 1].splitlines()]
    if len(set(columns)) < len(columns) or any(len(row) != len(columns) for row in rows):
        raise ValueError("not a table with a name for every column")
    table = np.array([[float(cell or "nan") for cell in row] for row in rows]).reshape(len(rows), len(columns))
    return dict(zip(columns, table.T, strict=True))


def _lines(rows: list[Row], columns: list[str]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, int) else repr(float(value))


def _kept(path: Path, header: str, before: int) -> list[str]:
    """The whole lines of an earlier history which belong to steps < before."""
    if before == 0 or not path.exists():
        return []
    first, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
    if first != header:
        return []
    step = header.split(",").index("step")
    whole = [line for line in lines if line.endswith("\n") and line.count(",") == header.count(",")]
    return [line for line in whole if int(line.split(",")[step]) < before]
