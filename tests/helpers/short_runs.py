"""Short runs in this process, and the numbers they end with."""

from pathlib import Path
from typing import Any

from composed_configs import composed
from omegaconf import DictConfig

from wgf.run.runner import build, run
from wgf.settings.check import check

AFFINE = "experiment=ornstein_uhlenbeck t_end=0.3 network.width=4 "
BARE = ["saves=2", "logger=none", "figures=false"]


def config(*words: str) -> DictConfig:
    """The checked config of `wgf WORDS`."""
    cfg = composed(*words)
    check(cfg)
    return cfg


def run_config(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """The result of a run into a folder."""
    return run(build(cfg), cfg, folder).as_dict()


def quick_run(folder: Path, *words: str) -> dict[str, Any]:
    """The result of a run of a small network without pictures."""
    return run_config(config("network.width=4", *BARE, *words), folder)


def unverified(folder: Path, text: str) -> dict[str, Any]:
    """The result of a run without estimates of its error."""
    return run_config(config(*BARE, *text.split()), folder)


def verified(folder: Path, text: str) -> dict[str, Any]:
    """The result of a run with estimates of its error."""
    return unverified(folder, "verify=true " + text)
