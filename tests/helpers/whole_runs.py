"""Whole runs with their files, in this process."""

from pathlib import Path
from typing import Any

from composed_configs import composed
from omegaconf import DictConfig

from wgf.run.runner import build, run
from wgf.settings.check import check

QUICK = ["network.width=4", "saves=2", "logger=none", "figures=false"]


def config(*words: str) -> DictConfig:
    """The checked config of `wgf WORDS`."""
    cfg = composed(*words)
    check(cfg)
    return cfg


def run_config(cfg: DictConfig, folder: Path, **options: Any) -> dict[str, Any]:
    """The result of a run into a folder."""
    return run(build(cfg), cfg, folder, **options).as_dict()


def quick_run(folder: Path, *words: str) -> dict[str, Any]:
    """The result of a small run without pictures."""
    return run_config(config(*QUICK, *words), folder)
