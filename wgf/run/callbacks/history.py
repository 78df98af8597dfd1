"""Writes and reads history.csv: one line per logged step, with all digits, written at once and as a whole."""

from __future__ import annotations

import csv
import errno
import io
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wgf import files
from wgf.run.callbacks.base import Callback, Outcome, Row, Run

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("wgf")


class History(Callback):
    """Writes rows to history.csv. None is an empty cell; a float reads back to the same bits.

    A resumed run keeps the rows up to its checkpoint.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None

    def start(self, run: Run) -> None:
        path, self._columns = run.folder / "history.csv", run.columns
        header = (",".join(run.columns) + "\n").encode()
        kept = _kept(path, header)[: run.rows] if run.rows else []
        if len(kept) < run.rows:
            log.warning("%s has lost %d of %d rows: the run continues", path, run.rows - len(kept), run.rows)
        files.write(path, header + b"".join(kept))
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 (closed in close)

    def row(self, row: Row) -> None:
        if self._file is None:
            return
        line, size = _line(row, self._columns), os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            self._file.truncate(size)
            raise

    def finish(self, run: Run, outcome: Outcome) -> None:
        """Write the file again with the numbers that came late, or if its folder was removed during the run: the open
        file still has the content."""
        if self._file is None:
            return
        self._file.seek(0)
        text = self._file.read()
        whole = _completed(text, [] if outcome.status.can_resume else outcome.late)  # a resumed run does it at its end
        if whole != text or os.fstat(self._file.fileno()).st_nlink == 0:
            files.write(run.folder / "history.csv", whole)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the columns of a history.csv [r]. An empty cell is NaN; an incomplete last line is ignored.

    Raises:
        OSError, ValueError: there is no such file, or it is not such a table.
    """
    import numpy as np

    header, _, text = path.read_text(encoding="utf-8").partition("\n")
    columns = header.split(",")
    rows = [line.split(",") for line in text[: text.rfind("\n") + 1].splitlines()]
    if len(set(columns)) < len(columns) or any(len(row) != len(columns) for row in rows):
        raise ValueError("not a table: expected a unique name for every column and a cell per column in every row")
    table = np.array([[float(cell or "nan") for cell in row] for row in rows]).reshape(len(rows), len(columns))
    return dict(zip(columns, table.T, strict=True))


def _line(row: Row, columns: list[str]) -> bytes:
    text = io.StringIO()
    csv.DictWriter(text, columns, lineterminator="\n").writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue().encode()


def _completed(text: bytes, late: list[Row]) -> bytes:
    """A table with the numbers of late rows in the empty cells of the rows of the same t."""
    header, *lines = text.decode().splitlines(keepends=True)
    columns, by_time = header.rstrip().split(","), {row["t"]: row for row in late}
    for k, line in enumerate(lines):
        cells = line.rstrip("\n").split(",")
        found = by_time.get(float(cells[columns.index("t")]), {}) if len(cells) == len(columns) else {}
        filled = [cell or _cell(found.get(name)) for name, cell in zip(columns, cells, strict=False)]
        lines[k] = ",".join(filled) + "\n" if found else line
    return "".join([header, *lines]).encode()


def _cell(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, int) else repr(float(value))


def _kept(path: Path, header: bytes) -> list[bytes]:
    """Complete lines of an earlier history with the same columns."""
    if not path.exists():
        return []
    first, *lines = path.read_bytes().splitlines(keepends=True) or [b""]
    return [line for line in lines if line.endswith(b"\n")] if first == header else []
