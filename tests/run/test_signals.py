"""Signals that stop a run."""

import signal
from contextlib import suppress

import pytest

from wgf.run.signals import Signals, number_of


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_a_package_swallows_is_not_lost(number):
    """Packages that try imports catch everything; the run below them stops at its next check."""
    with Signals() as outer:
        with suppress(BaseException):
            signal.raise_signal(number)
        with Signals(outer) as inner, pytest.raises(KeyboardInterrupt) as caught:
            inner.check()
    assert number_of(caught.value) is number


def test_an_interruption_without_a_number_is_ctrl_c():
    assert number_of(KeyboardInterrupt()) is signal.SIGINT
