"""Sweeps of small jobs: their words, and a folder of one that has ended."""

import gc
import os
import sys
import warnings
from pathlib import Path

import pytest
from command_line import called
from joblib.externals.loky import get_reusable_executor

SHORT = ["debug=smoke", "integrator.dt=5e-3", "hydra.sweep.dir=s"]
HERE = ["hydra/launcher=basic", *SHORT]  # the jobs in this process
PLAIN = ["network.width=4", "saves=1", "logger=none", "figures=false", "hydra/launcher=basic", "hydra.sweep.dir=s"]
# the first job is killed, the second completes
FAULTS = "integrator._target_=faulty_integrators.Killed,wgf.integrators.explicit.Euler"
HELPERS = os.pathsep.join([str(Path(__file__).parent), *sys.path])  # the modules that other processes find


def ended(folder: Path, *words: str) -> str:
    """Run a sweep in this process into `s` below a folder, to its end without a fault; gives what it printed."""
    status, out, err = called(folder, "-m", *words, *HERE)
    assert (status, err) == (0, "")
    return out


def times(folder: Path) -> dict[Path, int]:
    """When the results below a folder were written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}


def in_workers(folder: Path, *words: str) -> tuple[int, str]:
    """Run a sweep, one of whose jobs dies, in worker processes; gives the exit status and the errors."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # submitit does not ask how its processes ended
        patch.setenv("PYTHONPATH", HELPERS)
        try:
            status, _, err = called(folder, "-m", FAULTS, *SHORT, *words)
        finally:
            get_reusable_executor().shutdown(wait=True, kill_workers=True)
            gc.collect()
    return status, err
