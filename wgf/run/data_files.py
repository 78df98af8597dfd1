"""Data files of a config: where they lie, and whether they have changed since a run began."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from wgf.errors import ConfigError


def located(cfg: DictConfig) -> DictConfig:
    """The config with absolute paths of data files, so that the run can be loaded and resumed from any folder."""
    if not any(_with_path(cfg)):
        return cfg
    cfg = cfg.copy()
    for _, node in _with_path(cfg):
        node.path = str(Path(node.path).expanduser().absolute())
    return cfg


def digests(cfg: DictConfig) -> dict[str, str]:
    """SHA-256 of every data file by its key, such as law.path."""
    found = {}
    for name, node in _with_path(cfg):
        with open(Path(node.path).expanduser(), "rb") as file:
            found[f"{name}.path"] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def changed(then: dict[str, str], cfg: DictConfig) -> list[str]:
    """Keys of the data files that differ from earlier digests, as far as these are known; missing files differ."""
    if not then:
        return []
    try:
        now = digests(cfg)
    except OSError:
        now = {}
    return [key for key, digest in then.items() if now.get(key) != digest]


def check_unchanged(folder: Path, state: dict[str, Any], cfg: DictConfig) -> None:
    """Check that the data files of a run are those that it began with.

    Args:
        folder: of the run.
        state: its checkpoint.
        cfg: its config.

    Raises:
        ConfigError: with one line for each file that has changed.
    """
    lines = [
        f"{key}={cfg[key.partition('.')[0]].path} has changed since the run in {folder} began: restore that file, or "
        "start a new run"
        for key in changed(state.get("data", {}), cfg)
    ]
    if lines:
        raise ConfigError(*lines)


def _with_path(cfg: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    plain: Any = OmegaConf.to_container(cfg)  # a look at each node of the config takes three times as long
    for name in [name for name, values in plain.items() if isinstance(values, dict) and "path" in values]:
        if isinstance(cfg[name].get("path"), str):
            yield str(name), cfg[name]
