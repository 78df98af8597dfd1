"""What a config from elsewhere may make Hydra run: nothing. The groups' targets are checked by `wgf.config`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from wgf.config import CONFIGS
from wgf.errors import ConfigError

CALLBACKS = {"wgf.cli.Gate"}
LOGGERS = ("logging.", "rich.", "colorlog.")


def check_hydra(args: argparse.Namespace) -> None:
    """Check the part of the config that Hydra makes objects of before any check of ours: callbacks and logging.

    Raises:
        ConfigError: it names code of its own.
    """
    words = args.overrides
    if args.config_path is not None:
        raise ConfigError("--config-path is not allowed: say --config-dir=FOLDER to add choices of your own")
    if args.config_dir is None and args.config_name is None and not any("hydra" in word for word in words):
        return  # all that is left comes with the program
    if args.config_dir is not None:
        words = [*words, f"hydra.searchpath=[{Path(args.config_dir).absolute().as_uri()}]"]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3", job_name="wgf"):
            cfg = compose(args.config_name or "config", words, return_hydra_config=True)
            hydra: Any = OmegaConf.to_container(cfg.hydra, resolve=False)
    except Exception:
        return  # Hydra will fail in the same way and be asked why
    faults = [*_callbacks(hydra["callbacks"]), *_logging(hydra["job_logging"]), *_logging(hydra["hydra_logging"])]
    if faults:
        raise ConfigError(*faults)


def _callbacks(callbacks: Any) -> Iterator[str]:
    for name, node in (callbacks or {}).items():
        target = node.get("_target_") if isinstance(node, dict) else node
        if target not in CALLBACKS:
            yield f"hydra.callbacks.{name}={target} is not allowed: a config may run no code, drop it"


def _logging(node: Any) -> Iterator[str]:
    """Classes and factories of a logging config."""
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "()" or (key == "class" and not str(value).startswith(LOGGERS)):
            yield f"{key}={value} in a logging config is not allowed: a config may run no code, drop it"
        yield from _logging(value)
