"""A run of the command `wgf`, from its folder back to the solution that `wgf.solve` returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from wgf.callbacks.checkpoint import latest
from wgf.config import check
from wgf.errors import ConfigError
from wgf.evolve import Clock, End
from wgf.experiment import build
from wgf.flow import Flow, Saves
from wgf.integrators.base import State
from wgf.resume import read_config
from wgf.status import Status


def load(folder: str | Path) -> Flow:
    """The solution of a run, from its config and its last checkpoint: evaluated by the network, on the CPU.

    Args:
        folder: of the run, finished or not.

    Raises:
        ConfigError: this is no run, or it has left no checkpoint.
    """
    folder = Path(folder)
    cfg = _config(folder)
    experiment = build(cfg)
    state = latest(folder)
    if state is None:
        raise ConfigError(f"{folder} has no checkpoint: the run was stopped before it had saved anything")
    projection, clock, theta = experiment.projection, Clock(**state["clock"]), list(state["saved_theta"])
    last = State(state["theta"], projection(state["theta"]))
    with torch.no_grad():
        saved = Saves(state["saved_t"], theta, [projection.energy(point) for point in theta])
    if clock.t > saved.times[-1]:
        saved.stop(clock, last)
    end = End(_status(folder, state), clock, last, state.get("detail", ""))
    return Flow(projection, experiment.integrator, end, saved, cfg.reference_solution)


def _config(folder: Path) -> DictConfig:
    """What the run was begun with, checked, without device and logger."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"{folder} is not the folder of a run: it has no config.yaml")
    cfg = read_config(path)
    cfg.device, cfg.logger = "cpu", {"_target_": "wgf.callbacks.base.Callback"}
    check(cfg)
    return cfg


def _status(folder: Path, state: dict[str, Any]) -> Status:
    """How it ended; a run without a result was stopped from outside, or is still at work."""
    if "status" in state:
        return Status[state["status"]]
    try:
        return Status[json.loads((folder / "result.json").read_text(encoding="utf-8"))["status"]]
    except (OSError, ValueError, KeyError, TypeError):
        return Status.interrupted
