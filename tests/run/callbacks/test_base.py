"""The callbacks of a run: none of them can stop the computation."""

import io
import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from callback_events import record, row, solution, state

from wgf.integrators.status import Status
from wgf.result import Result
from wgf.run.callbacks.base import Callback, Callbacks, Outcome
from wgf.run.callbacks.figures import Figures
from wgf.run.callbacks.progress import Progress, Stopwatch

# the guard


EVENTS = ["start", "step", "row", "checkpoint", "finish", "close"]


class Failing(Callback):
    """Raises in one event and counts all."""

    def __init__(self, event: str, error: type[BaseException] = RuntimeError) -> None:
        self.event, self.error, self.told = event, error, []
        for name in EVENTS:
            setattr(self, name, partial(self._tell, name))

    def _tell(self, event: str, *_: Any) -> None:
        self.told.append(event)
        if event == self.event:
            raise self.error("disk\nfull")


def tell_all(callbacks: Callbacks, folder: Path) -> None:
    callbacks.start(record(folder))
    callbacks.step(0.1, 0.1, 1.0)
    callbacks.row(row(1))
    callbacks.checkpoint(state(1))
    callbacks.finish(record(folder), Outcome(Status.completed, Result(), None))


@pytest.mark.parametrize("event", EVENTS)
def test_a_failing_callback_is_dropped_and_the_others_go_on(
    tmp_path: Path, event: str, caplog: pytest.LogCaptureFixture
):
    bad, good = Failing(event), Failing("never")
    callbacks = Callbacks([bad, good])
    tell_all(callbacks, tmp_path)
    assert callbacks.dropped == ["Failing: RuntimeError: disk full"]
    assert good.told == EVENTS
    end = EVENTS.index(event) + 1
    assert bad.told == ([*EVENTS[:end], "close"] if event != "close" else EVENTS)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        f"Failing failed in {event}, the run continues without it: RuntimeError: disk full"
    ]


def test_interruptions_go_through_the_guard(tmp_path: Path):
    bad, good = Failing("step", KeyboardInterrupt), Failing("never")
    callbacks = Callbacks([bad, good])
    callbacks.start(record(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        callbacks.step(0.1, 0.1, 1.0)
    callbacks.close()
    assert "close" in bad.told
    assert "close" in good.told


# figures


def test_figures_come_with_the_solution(tmp_path: Path):
    Figures().finish(record(tmp_path), Outcome(Status.not_finite, Result(), None))
    assert not list(tmp_path.iterdir())
    Figures().finish(record(tmp_path), Outcome(Status.completed, Result(), solution()))
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["density.png", "map.png"]


# the progress bar


def test_progress_is_silent_in_a_pipe(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    tell_all(Callbacks([Progress(), Callback()]), tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_time_of_every_phase(monkeypatch: pytest.MonkeyPatch):
    times = iter([1.0, 1.0, 3.0, 3.0, 7.0])
    monkeypatch.setattr("wgf.run.callbacks.progress.monotonic", lambda: next(times))
    watch = Stopwatch(0.25)
    watch.phase("flow")
    watch.phase("errors")
    watch.close()
    watch.close()
    assert watch.seconds == {"loading": 0.75, "flow": 2.0, "errors": 4.0}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = Progress()
    progress.start(record(tmp_path))
    progress.row(row(0, w1_error=0.25))
    for k in range(1, 11):
        progress.step(0.1 * k, 0.1, 3.0 - k)
    logging.getLogger("wgf").warning("a line of the log")
    progress.close()
    progress.close()
    shown = terminal.getvalue()
    progress.phase("certificate")
    progress.close()
    assert "certificate" in terminal.getvalue().removeprefix(shown)
    assert "100%" in shown
    assert "t=1/1" in shown
    for text in ("energy=-7", "dt=1.0e-01", "W1 error=2.50e-01"):
        assert text in shown
