"""A run of the command `wgf`, read from its folder as the flow that `wgf.solve` returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from wgf.errors import ConfigError
from wgf.flow import Flow
from wgf.integrators.status import Status
from wgf.integrators.time_loop import Clock
from wgf.run.build import build
from wgf.run.callbacks.checkpoint import latest
from wgf.run.recorder import saved_states
from wgf.settings.check import check
from wgf.settings.resume import read_config


def load(folder: str | Path) -> Flow:
    """The flow of a run, from its config and its last checkpoint, on the CPU; nothing is computed again.

    Args:
        folder: of the run, finished or not.

    Raises:
        ConfigError: this is no run, or it has left no checkpoint.
    """
    folder = Path(folder)
    cfg = _config(folder)
    experiment = build(cfg)
    checkpoint = latest(folder)
    if checkpoint is None:
        raise ConfigError(f"{folder} has no checkpoint: the run was stopped before it had saved anything")
    clock, saved = Clock(**checkpoint["clock"]), saved_states(experiment.map, checkpoint)
    if clock.t > saved.times[-1]:  # it stopped between two of them
        saved.times.append(clock.t)
        saved.theta.append(checkpoint["theta"])
        saved.breakpoints.append(experiment.map.breakpoints())
        saved.terms.append(checkpoint["terms"])
    status, detail = _status(folder, checkpoint), checkpoint.get("detail", "")
    return Flow(experiment.projection, experiment.integrator, saved, status, clock, detail, experiment.reference)


def _config(folder: Path) -> DictConfig:
    """The checked config of a run, without device and logger."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{folder} is not the folder of a run: it has no config.yaml")
    cfg = read_config(path)
    cfg.device, cfg.logger = "cpu", {"_target_": "wgf.run.callbacks.base.Callback"}
    check(cfg)
    return cfg


def _status(folder: Path, checkpoint: dict[str, Any]) -> Status:
    """How it ended; a run without a result was stopped from outside, or still runs."""
    if "status" in checkpoint:
        return Status[checkpoint["status"]]
    try:
        return Status[json.loads((folder / "result.json").read_text(encoding="utf-8"))["status"]]
    except (OSError, ValueError, KeyError, TypeError):
        return Status.interrupted
