"""Configs as the command line composes them, for tests."""

from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from wgf.cli import CONFIGS


@cache
def choices(group: str) -> list[str]:
    """What `group=` can be followed by."""
    home = CONFIGS / group
    return sorted(path.relative_to(home).with_suffix("").as_posix() for path in home.rglob("*.yaml"))


@cache
def _node(group: str, choice: str) -> DictConfig:
    cfg = OmegaConf.load(CONFIGS / group / f"{choice}.yaml")
    assert isinstance(cfg, DictConfig)
    return cfg


def node(group: str, choice: str) -> DictConfig:
    """The file of a choice."""
    return _node(group, choice).copy()


def composed(*overrides: str, config_dir: Path | None = None) -> DictConfig:
    """The config of `wgf OVERRIDES`, as it stands before any check."""
    more = [f"hydra.searchpath=[file://{config_dir}]"] if config_dir else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3", job_name="wgf"):
        return compose("config", [*overrides, *more])


@cache
def _main_job() -> DictConfig:
    return composed()


def changed(*overrides: str) -> DictConfig:
    """The main job with some values set, much faster than composing: for overrides that choose no group."""
    cfg = _main_job().copy()
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=True)
    return cfg
