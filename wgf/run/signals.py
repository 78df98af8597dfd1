"""Ctrl-C and SIGTERM as a request: a run ends between two steps and keeps what it has."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Turns both signals into KeyboardInterrupt, at once or, inside `held`, when it is asked for.

    Handlers can be set in the main thread only; elsewhere nothing changes, and what is ignored (Ctrl-C by a process in
    the background of a script) stays so.

    Attributes:
        received: the number of the last signal, None before the first.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._held = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._handle) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if not self._held:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """What must not be cut short: signals are remembered."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def heard(self) -> Iterator[None]:
        """What may be cut short inside of something that must not be."""
        held, self._held = self._held, 0
        try:
            yield
        finally:
            self._held = held

    def check(self) -> None:
        """Interrupt here if there was a signal.

        Raises:
            KeyboardInterrupt: there was one.
        """
        if self.received is not None:
            raise KeyboardInterrupt
