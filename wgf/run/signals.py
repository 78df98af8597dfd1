"""Ctrl-C and SIGTERM stop a run between two steps, so that it can save its state."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)


def number_of(interrupt: KeyboardInterrupt) -> signal.Signals:
    """The signal that raised an interruption; Ctrl-C if it names none."""
    return next((number for number in STOPPING if number in interrupt.args), signal.SIGINT)


class Signals:
    """Turns both signals into KeyboardInterrupt(number): at once, or inside `held` at the next `check`.

    Python allows signal handlers only in the main thread; in other threads this class does nothing. Signals that the
    process ignores (Ctrl-C in a background process of a script) stay ignored.

    Args:
        outer: the signals of the code that calls; what they have received counts here, too, even if a package that
            was being imported has caught the KeyboardInterrupt.

    Attributes:
        received: number of the last signal, None before the first.
    """

    def __init__(self, outer: Signals | None = None) -> None:
        self.received: int | None = outer.received if outer else None
        self._held = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._handle) for number in heard}
        return self

    def __exit__(self, kind: object = None, error: object = None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if not self._held:
            raise KeyboardInterrupt(number)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Defer signals for the duration of the block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Allow interruption for the duration of the block, inside `held`."""
        held, self._held = self._held, 0
        try:
            yield
        finally:
            self._held = held

    def check(self) -> None:
        """Interrupt here if a signal has arrived.

        Raises:
            KeyboardInterrupt: a signal has arrived.
        """
        if self.received is not None:
            raise KeyboardInterrupt(self.received)
