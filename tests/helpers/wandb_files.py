"""The records of a .wandb file: the log format of LevelDB (its doc/log_format.md) after a header of 7 bytes."""

import struct
from collections.abc import Iterator
from pathlib import Path

HEADER, BLOCK, FULL_OR_LAST = 7, 32768, (1, 4)


def records(path: Path) -> Iterator[bytes]:
    """Content of every record; a record may have parts in several blocks."""
    data, at, whole = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # too little is left for a record
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        if kind == 0:
            break
        whole += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in FULL_OR_LAST:
            yield whole
            whole = b""
