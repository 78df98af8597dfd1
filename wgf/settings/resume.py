"""Resuming a run: check that it can continue, with which settings, and whether to the same bits. Without torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import OmegaConfDumper
from omegaconf.errors import OmegaConfBaseException

from wgf.errors import ConfigError
from wgf.settings.flat import entries

log = logging.getLogger("wgf")

FREE = (
    "integrator.max_steps",
    "figures",
    "certificate",
    "verify",
    "expect",
)  # settings that change no digit of the flow


def continued(folder: Path, overrides: list[str]) -> DictConfig:
    """The config of a run to resume, with the settings of the command line that may change.

    Args:
        folder: of the run.
        overrides: all overrides of the command line.

    Raises:
        ConfigError: the folder holds no run, the run has ended, or an override would change the run.
    """
    path = folder / "config.yaml"
    if not folder.is_dir():
        raise ConfigError(
            f"resume={folder} does not exist: give the folder of a run, as in resume=outputs/<date>/<run>"
        )
    if not path.is_file():
        raise ConfigError(f"resume={folder} is not the folder of a run: it has no config.yaml; choose another")
    cfg = read_config(path)
    lines = []
    for override in OverridesParser.create().parse_overrides(overrides):
        key = override.get_key_element().lstrip("+~")
        if key in FREE:
            OmegaConf.update(cfg, key, override.value(), force_add=True)
        elif key != "resume" and not key.startswith("hydra."):
            lines.append(
                f"{key}=... with resume is impossible: a run continues with its own settings; only "
                f"{', '.join(FREE)} may change"
            )
    lines += _ended(folder, cfg)
    if lines:
        raise ConfigError(*lines)
    return cfg


def quoted(word: str) -> str:
    """The word resume=<any path> quoted for Hydra's grammar; other words unchanged."""
    key, _, path = word.partition("=")
    if key != "resume" or path in ("", "null") or path[0] in "'\"":
        return word
    escaped = path.replace("'", "\\'")
    return f"resume='{escaped}'"


def read_config(path: Path) -> DictConfig:
    """The config in a file.

    Raises:
        ConfigError: the file holds no config.
    """
    try:
        cfg = OmegaConf.load(path)
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(cfg, DictConfig):
        raise ConfigError(f"{path} is not the config of a run")
    return cfg


def _ended(folder: Path, cfg: DictConfig) -> Iterator[str]:
    """Messages about a run that has ended and cannot continue."""
    try:
        result: Any = json.loads((folder / "result.json").read_text())
        status, t, attempts = result["status"], result["t_end"], result["steps"] + result["rejected"]
    except (OSError, ValueError, KeyError, TypeError):  # it was killed before it had a result
        return
    if status == "max_steps":
        most = OmegaConf.select(cfg, "integrator.max_steps")
        if isinstance(most, int) and most <= attempts:
            yield (
                f"resume={folder} reached integrator.max_steps={most} at t = {t:g}: give "
                f"integrator.max_steps=... above {attempts}"
            )
    elif status != "interrupted":
        yield f"resume={folder} has ended, {status} at t = {t:g}: it cannot continue"


BASE = getattr(yaml, "CDumper", yaml.Dumper)  # in C, where yaml has it: five times as fast
_Dumper: Any = type("_Dumper", (BASE,), {})  # writes as OmegaConf does: text that looks like a number has quotes
_Dumper.add_representer(str, OmegaConfDumper.str_representer)


def text_of(cfg: DictConfig | ListConfig) -> str:
    """The resolved config as YAML, by which runs are compared."""
    content = OmegaConf.to_container(cfg, resolve=True)
    try:
        return yaml.dump(content, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=_Dumper)
    except UnicodeEncodeError:  # a name of a file that is no UTF-8
        return OmegaConf.to_yaml(cfg, resolve=True)


def differences(then: str, now: str) -> list[str]:
    """The settings of the flow in which two configs differ, each as a text `key was this and is that`.

    Args:
        then, now: resolved configs, YAML.
    """
    configs: Any = [OmegaConf.to_container(OmegaConf.create(text)) for text in (then, now)]
    before, after = (dict(entries(config)) for config in configs)
    keys = [key for key in {**before, **after} if key not in FREE and before.get(key) != after.get(key)]
    return [f"{key} was {before.get(key, 'absent')} and is {after.get(key, 'absent')}" for key in keys]


def compare(folder: Path, state: dict[str, Any], text: str, circumstances: dict[str, Any]) -> None:
    """Check that a checkpoint belongs to this run; log what may change the last digits.

    Args:
        folder: of the run.
        state: its checkpoint.
        text: the config of the run to resume, YAML.
        circumstances: versions and machine, as in `wgf.run.provenance.circumstances`.

    Raises:
        ConfigError: it is of another version of wgf or of another config.
    """
    then = state["circumstances"]
    if then["wgf"] != circumstances["wgf"]:
        raise ConfigError(
            f"resume={folder} was begun by wgf {then['wgf']}, this is wgf {circumstances['wgf']}: use that "
            "version, or start a new run with the settings in its config.yaml"
        )
    if changed := differences(state["config"], text):
        raise ConfigError(
            *(f"resume={folder}: its config.yaml differs from that of its checkpoints: {line}" for line in changed)
        )
    other = [f"{key} {then[key]} -> {now}" for key, now in circumstances.items() if then.get(key) != now]
    if other:
        log.warning("the last digits may differ from those of an uninterrupted run: %s", ", ".join(other))
