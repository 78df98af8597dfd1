"""Files that are written whole or not at all, tables, and locks."""

from __future__ import annotations

import csv
import errno
import io
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from wgf.errors import ConfigError

try:
    import fcntl
except ImportError:  # this system has no such locks
    fcntl = None  # type: ignore[assignment]

PART = ".*.part"  # files left by a process that was killed while it wrote


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` once it is complete.

    A reader, and a run killed half-way, sees the old file or the new one and never a part of it. Missing parent folders
    are made.

    Args:
        path: the file to write.
        durable: whether to wait until the file is on the disk; if not, a power cut may bring the old one back or leave
            none.

    Yields:
        The open file; when the block raises, `path` is left as it was.

    Raises:
        OSError: with the name of the file, which a full disk does not give.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        part.unlink(missing_ok=True)


def write(path: Path, content: bytes, durable: bool = True) -> Path:
    """Write a whole file at once, as `replacing` does; returns its path."""
    with replacing(path, durable) as file:
        file.write(content)
    return path


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write a CSV file with a header, an empty cell for None and for a missing key; returns its path."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return write(path, text.getvalue().encode())


def not_saved(error: Exception) -> str | None:
    """A line about the file that a full disk kept from being written; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return f"{error.filename or 'a file'} is not saved: {error.strerror}; free space, or choose a folder elsewhere"


@contextmanager
def locked(path: Path, *, wait: bool = False, shared: bool = False) -> Iterator[bool]:
    """Lock a file or a folder for the duration of the block; a process that dies loses its locks.

    Args:
        path: a folder that exists, or a file, which is made where it is missing unless `shared`.
        wait: whether to wait for the process that has the lock.
        shared: with a shared lock a process only looks: shared locks exclude none of their kind.

    Yields:
        Whether the lock was granted. File systems without locks, as on some clusters, grant every lock.
    """
    handle = os.open(path, os.O_RDONLY if shared or path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _granted(handle, wait, shared)
    finally:
        os.close(handle)


def _granted(handle: int, wait: bool, shared: bool) -> bool:
    if fcntl is not None:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            pass
    return True


def is_locked(path: Path) -> bool:
    """Whether a process has locked a file or a folder; False where it does not exist."""
    try:
        with locked(path, shared=True) as granted:
            return not granted
    except FileNotFoundError:
        return False


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep the folder of a run for this process alone for the duration of the block.

    Raises:
        ConfigError: another process has it.
    """
    with locked(folder) as granted:
        if not granted:
            raise ConfigError(f"{folder} is in use: another process runs in it")
        yield


def relative(folder: Path) -> str:
    """Quoted path of the folder for the shell, relative to the current folder where it lies below."""
    path = os.path.relpath(folder)
    return shlex.quote(str(folder.resolve()) if path.startswith("..") else path)
