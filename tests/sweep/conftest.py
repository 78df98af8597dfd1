"""The command of a test, and a sweep that several tests read or continue."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from command_line import called
from small_sweeps import ended


@pytest.fixture
def wgf(tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process, in an empty folder; gives its exit status and what it printed."""
    return partial(called, tmp_path)


@pytest.fixture(scope="session")
def four_jobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where a sweep over two widths and two degrees ran, into `s`, and what it printed; its files are only read."""
    place = tmp_path_factory.mktemp("four-jobs")
    return place, ended(place, "network.width=16,4", "network.degree=1,3")


@pytest.fixture
def four(four_jobs: tuple[Path, str], tmp_path: Path) -> Path:
    """The folder of this sweep, copied into that of a test, with its times."""
    return shutil.copytree(four_jobs[0] / "s", tmp_path / "s")
