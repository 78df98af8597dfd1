"""What a run shows on a terminal while it works, and the time that each of its phases takes."""

from __future__ import annotations

from contextlib import ExitStack
from time import monotonic

from rich.console import Console
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from wgf.run.callbacks.base import Callback, Row, Run

INTERVAL = 0.1  # seconds between two updates
FORMAT = "{percentage:3.0f}%|{bar}| t={n:.4g}/{total:.4g} [{elapsed}<{remaining}{postfix}]"


class Stopwatch(Callback):
    """Measures the phases of a run.

    Args:
        since: when the first phase began, in which the process loads what it needs.

    Attributes:
        seconds: wall time of every phase that has ended.
    """

    def __init__(self, since: float) -> None:
        self.seconds: dict[str, float] = {}
        self._name, self._since = "loading", since

    def phase(self, name: str) -> None:
        self.close()
        self._name, self._since = name, monotonic()

    def close(self) -> None:
        if self._name:
            self.seconds[self._name] = monotonic() - self._since
        self._name = ""


class Progress(Callback):
    """Progress bar of the flow with time, energy, step size and W1 error; then the name of each phase while it lasts.

    Shows nothing in a pipe. Log lines appear above the bar.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._bar: tqdm | None = None  # stays None in a pipe
        self._now: tuple[float, float, float] | None = None
        self._w1: float | None = None
        self._due = 0.0

    def start(self, run: Run) -> None:
        # disable=None shows the bar on a terminal only; `step` decides when to draw, so tqdm's throttle is off
        bar = tqdm(total=run.t_end, disable=None, bar_format=FORMAT, mininterval=0, miniters=0, dynamic_ncols=True)
        self._open.callback(bar.close)
        if not bar.disable:
            self._bar = bar
            self._open.enter_context(logging_redirect_tqdm())

    def phase(self, name: str) -> None:
        if name != "flow":
            self.close()
            console = Console(stderr=True)
            if console.is_terminal:
                self._open.enter_context(console.status(name))

    def step(self, t: float, dt: float, energy: float) -> None:
        self._now = t, dt, energy
        if self._bar is not None and monotonic() >= self._due:
            self._draw(self._bar)
            self._due = monotonic() + INTERVAL

    def row(self, row: Row) -> None:
        self._w1 = row.get("w1_error")
        if self._bar is not None and self._now is None:
            self._bar.initial = self._bar.n = row["t"]  # a resumed run starts at t > 0

    def close(self) -> None:
        if self._bar is not None:
            self._draw(self._bar)
        self._bar = None
        self._open.close()

    def _draw(self, bar: tqdm) -> None:
        if self._now is None:
            return
        t, dt, energy = self._now
        error = "" if self._w1 is None else f", W1 error={self._w1:.2e}"
        bar.set_postfix_str(f"energy={energy:.6g}, dt={dt:.1e}{error}", refresh=False)
        bar.update(t - bar.n)
