"""This process: how it loads large packages, its cores, and with how many threads torch computes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CLEAR = "\x1b[2K"  # the line on a terminal


@contextmanager
def loading(name: str = "") -> Iterator[None]:
    """Import packages without garbage collection. It would look again and again at objects that live for ever, which
    takes a fifth of the time of an import of torch.

    Args:
        name: what is loaded; a terminal shows it meanwhile.
    """
    collects, shows = gc.isenabled(), bool(name) and sys.stderr.isatty()
    gc.disable()
    if shows:
        print(f"loading {name}", end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        gc.freeze()
        if shows:
            print(end=CLEAR, file=sys.stderr, flush=True)
        if collects:
            gc.enable()


def cores() -> int:
    """How many cores this process may use: a cluster or a container gives it a part of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def threads_of_torch(count: int | None) -> Iterator[None]:
    """Let torch compute with this many threads; None leaves the number to torch.

    For arrays of some hundred numbers a second thread only waits: on a busy machine it takes ten times as long.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
