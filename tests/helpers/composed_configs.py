"""Configs as the command line composes them, for tests."""

from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
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


def composed_by_hydra(*overrides: str, config_dir: Path | None = None) -> DictConfig:
    """The config of `wgf OVERRIDES`, as it stands before any check, in 0.1 s."""
    more = [f"hydra.searchpath=[file://{config_dir}]"] if config_dir else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3", job_name="wgf"):
        return compose("config", [*overrides, *more])


_of_files = cache(composed_by_hydra)


def composed(*overrides: str, config_dir: Path | None = None) -> DictConfig:
    """The same config, faster: the same files are composed once, and values are set in a copy."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    values = [one for one in parsed if one.type is OverrideType.CHANGE and not (CONFIGS / one.key_or_group).is_dir()]
    files = _of_files(*(str(one.input_line) for one in parsed if one not in values), config_dir=config_dir)
    if any(OmegaConf.select(files, one.key_or_group, default=values) is values for one in values):
        return composed_by_hydra(*overrides, config_dir=config_dir)  # says which key is unknown
    return _with(files, values)


def changed(*overrides: str) -> DictConfig:
    """The main job with some values set, also of unknown keys."""
    return _with(_of_files(), OverridesParser.create().parse_overrides(list(overrides)))


def _with(cfg: DictConfig, values: list[Override]) -> DictConfig:
    cfg = cfg.copy()
    for one in values:
        OmegaConf.update(cfg, one.key_or_group, one.value(), force_add=True)
    return cfg
