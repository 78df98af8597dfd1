"""Loads a run of the command `wgf` from its folder, as the flow that `wgf.solve` would return."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from wgf.errors import ConfigError
from wgf.flow import Flow
from wgf.integrators.status import Status
from wgf.integrators.time_loop import Clock
from wgf.run.build import build
from wgf.run.callbacks.checkpoint import latest
from wgf.run.data_files import check_unchanged
from wgf.run.recorder import saved_states
from wgf.saved_maps import DAMAGED, SavedMaps
from wgf.settings.arguments import path_of
from wgf.settings.check import check
from wgf.settings.resume import read_config


def load(folder: str | Path) -> Flow:
    """Load the flow of a run from its config and its last checkpoint, on the CPU, without computing it again.

    Args:
        folder: folder of the run, finished or not.

    Raises:
        ConfigError: this is not the folder of a run, it has no checkpoint, or its data files have changed.
    """
    folder = path_of(folder)
    cfg = _config(folder)
    experiment = build(cfg)
    checkpoint = latest(folder)
    if checkpoint is None:
        raise ConfigError(f"{folder} has no checkpoint: the run stopped before it saved anything, start it again")
    check_unchanged(folder, checkpoint, cfg)
    experiment = experiment.confirmed(checkpoint)
    clock, saved = Clock(**checkpoint["clock"]), saved_states(experiment.map, checkpoint)
    saved.remesh(experiment.map.on_breakpoints(checkpoint["breakpoints"]))
    if clock.t > saved.times[-1]:  # the run stopped between two saved times
        saved.times.append(clock.t)
        saved.theta.append(checkpoint["theta"])
        saved.breakpoints.append(saved.map.breakpoints())
        saved.terms.append(checkpoint["terms"])
        saved.clocks.append(clock)
    status, detail = _status(folder, checkpoint), checkpoint.get("detail", "")
    return Flow(
        experiment.projection,
        experiment.integrator,
        saved,
        status,
        clock,
        detail,
        experiment.reference,
        config=(folder / "config.yaml").read_text(encoding="utf-8"),
        observed=experiment.observed,
        w2_bound=_bounds(folder, saved.times),
    )


def _config(folder: Path) -> DictConfig:
    """Checked config of a run, with the CPU as device and no logger."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{folder} is not the folder of a run: it has no config.yaml, choose another")
    cfg = read_config(path)
    cfg.device, cfg.logger = "cpu", {"_target_": "wgf.run.callbacks.base.Callback"}
    check(cfg)
    return cfg


def _bounds(folder: Path, times: list[float]) -> np.ndarray | None:
    """The bounds that a run has recorded for these times; None for a run that has none or did not end."""
    try:
        found = SavedMaps.load(folder / "solution.npz")
    except DAMAGED:
        return None
    return found.w2_bound if found.t.tolist() == times else None


def _status(folder: Path, checkpoint: dict[str, Any]) -> Status:
    """Status of a run; `interrupted` for a run without a result: it was killed, or still runs."""
    if "status" in checkpoint:
        return Status[checkpoint["status"]]
    try:
        return Status[json.loads((folder / "result.json").read_text(encoding="utf-8"))["status"]]
    except (OSError, ValueError, KeyError, TypeError):
        return Status.interrupted
