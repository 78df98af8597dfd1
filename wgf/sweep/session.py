"""One call of the command `wgf` and the sweep it launches."""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from contextvars import ContextVar
from pathlib import Path
from types import FrameType

from wgf.errors import ConfigError, WgfError
from wgf.files import write
from wgf.run.signals import STOPPING, Signals
from wgf.sweep.collate import collate, jobs, report
from wgf.sweep.composer import Composer
from wgf.sweep.job_folder import worker
from wgf.sweep.progress import Watch
from wgf.sweep.working import working

GRACE = 10.0  # seconds in which jobs that are told to stop finish their step and save what they have
PERIOD = 0.1  # seconds between two looks at them
STOPPED = ".stopped"  # file of a sweep whose workers begin no other job; names the process that launched it


class Session(ExitStack):
    """One call of `wgf`. It holds the claim on the folder of a run, or the sweep, until the call ends.

    Attributes:
        since: when the process began, by `time.monotonic`.
        computes: whether a run has begun in this process; an error is no longer one of the input then.
        sweep: the sweep that was launched, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.computes = False
        self.since = time.monotonic() - time.process_time()  # till now, the process has only loaded
        self.sweep: Sweep | None = None

    def __enter__(self) -> Session:
        self.callback(_current.reset, _current.set(self))
        return self

    def launch(self, sweep: Sweep) -> None:
        """Begin a sweep that ends with this call."""
        self.sweep = self.enter_context(sweep)


_current: ContextVar[Session | None] = ContextVar("session of wgf", default=None)


def current() -> Session:
    """The call of `wgf` in this process; in a worker process, which has none, one without effect."""
    return _current.get() or Session()


class Sweep(Signals):
    """A sweep launched by this process: a line for every job that ends, and a table, however the sweep ends.

    On Ctrl-C or SIGTERM the jobs in child processes stop with a checkpoint and a result, no other job begins, and
    KeyboardInterrupt is raised; a second signal raises it at once.

    Args:
        root: the folder of the sweep.
        total: how many jobs there will be.
        strict: whether every job must complete, as those of a grid; of a search at least one must.
        axes: the settings that vary.
        composer: has composed configs of its jobs.
    """

    def __init__(
        self, root: Path, total: int, strict: bool, axes: Sequence[str] = (), composer: Composer | None = None
    ) -> None:
        super().__init__()
        self.root, self.composer, self._total, self._strict = root, composer, total, strict
        self._watch = Watch(root, total, axes)

    def __enter__(self) -> Sweep:
        (self.root / STOPPED).unlink(missing_ok=True)
        super().__enter__()
        self._watch.start()
        return self

    def __exit__(self, kind: object = None, error: object = None, *_: object) -> None:
        """Write the table.

        Raises:
            WgfError: a job of a strict sweep did not complete, or no job of another sweep.
        """
        try:
            self._watch.stop()
            (self.root / STOPPED).unlink(missing_ok=True)
            if isinstance(error, ConfigError) or not jobs(self.root):
                return
            with working("writing table and figures"):
                table = collate(self.root)
            report(table, 0 if self.received is None else self._total)
        finally:
            super().__exit__()
        failed = table.failed()
        if error is None and failed and (self._strict or len(failed) == len(table.rows)):
            raise WgfError(f"{len(failed)} of {len(table.rows)} jobs did not complete")

    def leave_alone(self, folders: Iterable[Path]) -> None:
        """Count jobs that are complete and will not be launched."""
        self._watch.done.update(folders)

    def quiet(self) -> AbstractContextManager[None]:
        """No thread that watches the jobs for the duration of the block."""
        return self._watch.paused()

    def stop(self, number: int) -> None:
        """End the sweep as if this process had received a signal.

        Raises:
            KeyboardInterrupt: always.
        """
        self._handle(number, None)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            with suppress(OSError):  # a full disk must not keep a signal from its effect
                self._stop_workers()
        raise KeyboardInterrupt(number)

    def _stop_workers(self) -> None:
        """Tell every job in a child process to stop, and wait for its end."""
        end, told = time.monotonic() + GRACE, set[int]()
        if self.root.exists():
            write(self.root / STOPPED, _name(os.getpid()).encode())
        if _workers(self.root):  # not by print, which the signal may have interrupted
            os.write(2, b"wgf: the jobs stop after their step; a second signal kills them\n")
        while time.monotonic() < end and _workers(self.root):
            time.sleep(PERIOD)  # Ctrl-C has reached them by itself
            for process in _workers(self.root) - told:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
                told.add(process)


def _workers(root: Path) -> set[int]:
    """The child processes that work on jobs of a sweep."""
    found = {worker(folder, os.getpid()) for folder in jobs(root)}
    return {process for process in found if process is not None}


def _name(process: int) -> str:
    return f"{platform.node()} {process}"


def is_stopped(root: Path) -> bool:
    """Whether the parent of this process has been told to stop the sweep in a folder."""
    try:
        return (root / STOPPED).read_text(encoding="utf-8") == _name(os.getppid())
    except OSError:
        return False


def become_worker() -> None:
    """Make this process, a copy of one that launched a sweep, one of its workers."""
    _current.set(None)
    ignore_signals()


def ignore_signals() -> None:
    """Let no signal end this process between two jobs: the pool it belongs to would kill the other jobs."""
    with suppress(ValueError):  # not the main thread
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)
