"""The commands of the program as one calls them: in a process of their own, or in this one."""

import contextlib
import io
import os
import subprocess
import sys
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
