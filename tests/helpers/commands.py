"""The commands of the program as one calls them: in a process of their own, or in this one."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wgf import cli


def command(
    folder: Path, *words: str, script: tuple[str, ...] = ("-m", "wgf.cli"), **environment: str
) -> subprocess.CompletedProcess[str]:
    """`wgf WORDS`, or another script, in a process of its own that works in a folder."""
    return subprocess.run(
        [sys.executable, *script, *words],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def called(folder: Path, *words: str, main: Callable[[], Any] = cli.main) -> tuple[int, str, str]:
    """`wgf WORDS`, or another command, in this process; its exit status, output and errors."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["wgf", *words])
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return status, out.getvalue(), err.getvalue()


def stopped_by(number: signal.Signals, place: Path, folder: Path, *words: str, rows: int = 3) -> tuple[int, str]:
    """Exit status and output of `wgf WORDS` in a process that gets a signal once its history has some rows."""
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from wgf.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        history, patience = folder / "history.csv", time.monotonic() + 60
        while process.poll() is None and time.monotonic() < patience:
            if history.exists() and history.read_text().count("\n") >= rows:
                process.send_signal(number)
                break
            time.sleep(0.02)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, said
