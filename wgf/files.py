"""Files that are either whole or not there, and folders that one process has to itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from wgf.errors import ConfigError

try:
    import fcntl
except ImportError:  # no such locks on this system
    fcntl = None  # type: ignore[assignment]

PART = ".*.part"  # what a process killed in the middle of a file leaves


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` once it is complete.

    A reader, and a run killed half-way, sees the old file or the new one and never a part of it. Missing parent folders
    are made.

    Args:
        path: the file to write.

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
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        part.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """A whole file at once, as by `replacing`."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The folder for this process alone, as long as the block runs or the process lives.

    Raises:
        ConfigError: another process has it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise ConfigError(f"{folder} is at work: another process runs in it") from None
        yield
    finally:
        os.close(handle)
