"""Loading of large packages by the command."""

from __future__ import annotations

import gc
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
