"""Refuse configs from elsewhere that make Hydra run code. `wgf.settings.check` checks the targets of the groups."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from wgf.errors import ConfigError
from wgf.settings.check import CONFIGS
from wgf.settings.flat import walk

GATE = {"_target_": "wgf.cli.Gate"}
ENGINE = r"(hydra_plugins|hydra\._internal\.core_plugins)\..*"
TARGETS = {"hydra.launcher": ENGINE, "hydra.sweeper": ENGINE, "hydra.sweeper.sampler": r"optuna\.samplers\.\w+"}
LOGGERS = r"logging\.(handlers\.)?[A-Z]\w+|rich\.logging\.RichHandler|colorlog\.\w+"
FOLDERS = ("hydra.run.dir=", "hydra.sweep.dir=")  # settings of hydra that name no code
ELSEWHERE = r"(?s)\$\{.*\}|ext://(?!sys\.std(out|err)$).*"  # an unchecked node, or an object of any module


@contextmanager
def initialized(args: argparse.Namespace) -> Iterator[Hydra]:
    """Hydra with the search path of the command for the duration of the block, so that the same files are checked that
    the command uses."""
    path = create_config_search_path(str(CONFIGS))
    if args.config_dir is not None:
        path.prepend("command-line", f"file://{os.path.abspath(args.config_dir)}", SearchPathQuery(provider="schema"))
    version.setbase("1.3")
    GlobalHydra.instance().clear()
    try:
        yield Hydra.create_main_hydra2("wgf", path)
    finally:
        GlobalHydra.instance().clear()


def check_hydra(args: argparse.Namespace) -> RunMode | None:
    """Check the part of the config from which Hydra makes objects before wgf checks the rest.

    Returns:
        hydra.mode; None where flags alone decide, as in all files of wgf.

    Raises:
        ConfigError: it names other code.
        Exception: Hydra cannot compose the config; then nothing may start.
    """
    words = args.overrides
    if args.config_path is not None:
        raise ConfigError("--config-path is not allowed: add your own choices with --config-dir=FOLDER")
    if args.config_dir is None and args.config_name is None and all(map(_is_plain, words)):
        return None  # every file comes with wgf
    with initialized(args) as hydra:
        node = hydra.compose_config(args.config_name or "config", words, RunMode.MULTIRUN).hydra
    check_node(node)
    return node.mode


def _is_plain(word: str) -> bool:
    """Whether an override names no code but that of wgf's files."""
    group, _, name = word.partition("=")
    ours = group == "hydra/launcher" and name.isidentifier() and (CONFIGS / group / f"{name}.yaml").is_file()
    return ours or "hydra" not in word or word.startswith(FOLDERS)


@contextmanager
def mode_known(mode: RunMode | None) -> Iterator[None]:
    """Tell Hydra hydra.mode for the duration of the block: it would compose the whole config once more to read it."""
    before = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: mode
    try:
        yield
    finally:
        Hydra.get_mode = before


def check_node(hydra: DictConfig) -> None:
    """Check the node `hydra` of a composed config.

    Raises:
        ConfigError: it names other code.
    """
    node: Any = OmegaConf.to_container(hydra, resolve=False)
    callbacks = {f"hydra.callbacks.{name}": value for name, value in (node["callbacks"] or {}).items() if value != GATE}
    engines = dict(walk({kind: node[kind] for kind in ("launcher", "sweeper")}, "hydra."))
    targets = {key: str(value) for key, value in engines.items() if key.endswith("._target_")}
    allowed = {f"{key}._target_": pattern for key, pattern in TARGETS.items()}
    bad = callbacks | {key: value for key, value in targets.items() if not re.fullmatch(allowed.get(key, ""), value)}
    bad |= {key: value for key, value in engines.items() if key in TARGETS and isinstance(value, str)}  # another node
    where = dict.fromkeys(bad, "")
    for kind in ("job_logging", "hydra_logging"):
        for key, value in walk({kind: node[kind]}):
            last, text = key.rpartition(".")[2], str(value)
            foreign = last == "class" and not re.fullmatch(LOGGERS, text)
            if last == "()" or foreign or re.fullmatch(ELSEWHERE, text):
                bad[last], where[last] = text, " in a logging config"
    if bad:
        raise ConfigError(
            *(
                f"{key}={value}{where[key]} is not allowed: a config may run no code, drop it"
                for key, value in bad.items()
            )
        )
