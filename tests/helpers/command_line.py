"""The commands of the program: in processes of their own, from start to end or stopped by a signal, or in this one."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import Signals
from typing import Any

import pytest

from wgf import cli

COMMAND = ("-m", "wgf.cli")


def wgf(
    folder: Path, *words: str, start: tuple[str, ...] = COMMAND, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `wgf WORDS` in a folder; `start` is what else Python is given to start it by."""
    command = [sys.executable, *start, *words]
    place = os.environ | environment
    return subprocess.run(command, cwd=folder, env=place, capture_output=True, text=True, timeout=300, check=False)


def stopped(
    number: Signals, folder: Path, run: str, rows: int, *words: str, start: tuple[str, ...] = COMMAND
) -> tuple[int, str, str]:
    """Send a signal to `wgf WORDS` once the history of its run has some rows: its exit status, stdout and stderr."""
    command = [sys.executable, *start, *words]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        history, patience = folder / run / "history.csv", time.monotonic() + 60
        while process.poll() is None and time.monotonic() < patience:
            if history.exists() and history.read_text().count("\n") > rows:
                process.send_signal(number)
                break
            time.sleep(0.02)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


BARE = """
import contextlib, io, json, os, sys
from wgf.cli import main
for line in sys.stdin:
    folder, sys.argv[1:] = json.loads(line)
    os.chdir(folder)
    status, err = 0, io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, err.getvalue(), "torch" in sys.modules]), flush=True)
"""


@contextlib.contextmanager
def without_torch() -> Iterator[Callable[..., tuple[int, str]]]:
    """A process that runs `wgf WORDS` in a folder, one command after another: the exit status and the errors.

    A command that loads torch fails the test.
    """
    command = [sys.executable, "-c", BARE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def answer(folder: Path, *words: str) -> tuple[int, str]:
            print(json.dumps([str(folder), words]), file=process.stdin, flush=True)
            status, err, loaded = json.loads(process.stdout.readline())
            assert not loaded
            return status, err

        yield answer


def called(folder: Path, *words: str, main: Callable[[], Any] = cli.main) -> tuple[int, str, str]:
    """`wgf WORDS`, or another command, in this process; its exit status, output and errors."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["wgf", *words])
        for variable in ("HYDRA_FULL_ERROR", "OMP_NUM_THREADS"):  # what a command sets for its process ends with it
            patch.setenv(variable, "1")
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return status, out.getvalue(), err.getvalue()
