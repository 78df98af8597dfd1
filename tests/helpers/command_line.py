"""The program in processes of its own: from start to end, or stopped by a signal."""

import subprocess
import sys
import time
from pathlib import Path
from signal import Signals

COMMAND = ("-m", "wgf.cli")


def wgf(folder: Path, *words: str, start: tuple[str, ...] = COMMAND) -> subprocess.CompletedProcess[str]:
    """Run `wgf WORDS` in a folder; `start` is what else Python is given to start it by."""
    command = [sys.executable, *start, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


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
