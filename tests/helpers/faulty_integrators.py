"""Integrators of jobs that go wrong, unless the working directory holds a file called `mended`."""

import os
import signal
from pathlib import Path
from typing import Any

from wgf.integrators.base import State, Step
from wgf.integrators.explicit import Euler


class Killed(Euler):
    """Its process is killed, as a machine that runs out of memory does it."""

    def first_dt(self, t_end: float) -> float:
        if not Path("mended").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().first_dt(t_end)


class Crashed(Euler):
    """It raises what nobody expects."""

    def first_dt(self, t_end: float) -> float:
        if not Path("mended").exists():
            raise RuntimeError("this is\na bug")
        return super().first_dt(t_end)


class Interrupted(Euler):
    """Somebody presses Ctrl-C."""

    def step(self, field: Any, dt: float, state: State) -> Step:
        if not Path("mended").exists():
            signal.raise_signal(signal.SIGINT)
        return super().step(field, dt, state)


class OutOfTime(Euler):
    """SLURM takes its process for the last time that submitit admits, after the first checkpoint."""

    def step(self, field: Any, dt: float, state: State) -> Step:
        if any(Path("s").glob("*/checkpoints/*")) and not Path("mended").exists():
            from submitit.core.utils import UncompletedJobError

            raise UncompletedJobError("Job not requeued because: timed-out too many times.")
        return super().step(field, dt, state)
