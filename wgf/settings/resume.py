"""Going on with a run: which one, with which settings, and whether the same bits can be expected. Without torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wgf.errors import ConfigError
from wgf.settings.flat import entries

log = logging.getLogger("wgf")

FREE = ("integrator.max_steps", "figures", "verify", "expect")  # what decides on no digit of the flow


def continued(folder: Path, overrides: list[str]) -> DictConfig:
    """The config to go on with: the one a run was begun with, and what may be changed on the way.

    Args:
        folder: of the run.
        overrides: everything given on the command line.

    Raises:
        ConfigError: this is no run, it has come to its end, or an override would make it another run.
    """
    path = folder / "config.yaml"
    if not folder.is_dir():
        raise ConfigError(f"resume={folder} is not there: give the folder of a run, as in resume=outputs/<date>/<run>")
    if not path.is_file():
        raise ConfigError(f"resume={folder} is not the folder of a run: it has no config.yaml, choose another")
    cfg = read_config(path)
    lines = []
    for override in OverridesParser.create().parse_overrides(overrides):
        key = override.get_key_element().lstrip("+~")
        if key in FREE:
            OmegaConf.update(cfg, key, override.value(), force_add=True)
        elif key != "resume" and not key.startswith("hydra."):
            lines.append(
                f"{key}=... with resume is impossible: a run goes on with the settings it began with, only "
                f"{', '.join(FREE)} may be given"
            )
    lines += _ended(folder, cfg)
    if lines:
        raise ConfigError(*lines)
    return cfg


def quoted(word: str) -> str:
    """resume=<any path at all> as Hydra's grammar wants it; other words of a command line as they are."""
    key, _, path = word.partition("=")
    if key != "resume" or path in ("", "null") or path[0] in "'\"":
        return word
    escaped = path.replace("'", "\\'")
    return f"resume='{escaped}'"


def read_config(path: Path) -> DictConfig:
    """The config in a file.

    Raises:
        ConfigError: there is none.
    """
    try:
        cfg = OmegaConf.load(path)
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(cfg, DictConfig):
        raise ConfigError(f"{path} is not the config of a run")
    return cfg


def _ended(folder: Path, cfg: DictConfig) -> Iterator[str]:
    """Why there is nothing to go on with, if so."""
    try:
        result: Any = json.loads((folder / "result.json").read_text())
        status, t, attempts = result["status"], result["t_end"], result["steps"] + result["rejected"]
    except (OSError, ValueError, KeyError, TypeError):  # killed before it had one
        return
    if status == "max_steps":
        most = OmegaConf.select(cfg, "integrator.max_steps")
        if isinstance(most, int) and most <= attempts:
            yield (
                f"resume={folder} has used up integrator.max_steps={most} at t = {t:g}: give "
                f"integrator.max_steps=... above {attempts}"
            )
    elif status != "interrupted":
        yield f"resume={folder} has ended, {status} at t = {t:g}: there is nothing to go on with"


def differences(then: str, now: str) -> list[str]:
    """What decides on the flow and is not the same in two configs, a text `key was this and is that` each.

    Args:
        then, now: resolved configs, YAML.
    """
    configs: Any = [OmegaConf.to_container(OmegaConf.create(text)) for text in (then, now)]
    before, after = (dict(entries(config)) for config in configs)
    keys = [key for key in {**before, **after} if key not in FREE and before.get(key) != after.get(key)]
    return [f"{key} was {before.get(key, 'not there')} and is {after.get(key, 'not there')}" for key in keys]


def compare(folder: Path, state: dict[str, Any], text: str, circumstances: dict[str, Any]) -> None:
    """Whether a checkpoint is of this run; what may change its last digits is said in the log.

    Args:
        folder: of the run.
        state: its checkpoint.
        text: the config to go on with, YAML.
        circumstances: versions and machine, as in `wgf.run.provenance.circumstances`.

    Raises:
        ConfigError: it is of another version of wgf or of another config.
    """
    then = state["circumstances"]
    if then["wgf"] != circumstances["wgf"]:
        raise ConfigError(
            f"resume={folder} was begun by wgf {then['wgf']}, this is wgf {circumstances['wgf']}: go on with that "
            "version, or start a new run with the settings in its config.yaml"
        )
    if changed := differences(state["config"], text):
        raise ConfigError(
            *(f"resume={folder}: its config.yaml is not that of its checkpoints: {line}" for line in changed)
        )
    other = [f"{key} {then[key]} -> {now}" for key, now in circumstances.items() if then.get(key) != now]
    if other:
        log.warning("the last digits may differ from a run in one go: %s", ", ".join(other))
