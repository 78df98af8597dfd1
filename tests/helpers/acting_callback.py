"""A callback through which a test acts in the middle of a run."""

from collections.abc import Callable
from typing import Any

from wgf.run.callbacks.base import Callback


class At(Callback):
    """Does something at one step of a run."""

    def __init__(self, step: int, act: Callable[[], Any]) -> None:
        self.left, self.act = step, act

    def step(self, t: float, dt: float, energy: float) -> None:
        self.left -= 1
        if self.left == 0:
            self.act()
