"""The choices of each config group, with one sentence about each. Read from the files, without torch."""

from __future__ import annotations

import ast
from pathlib import Path

from wgf.errors import ConfigError
from wgf.settings.check import CONFIGS, GROUPS, did_you_mean
from wgf.settings.constructors import definition

LISTED = (*GROUPS, "experiment", "debug", "hydra/launcher", "hydra/sweeper")


def files(group: str) -> dict[str, Path]:
    """Choice -> its YAML file, sorted; choices in folders of the group, as paper/..., included."""
    home = CONFIGS / group
    return {path.relative_to(home).with_suffix("").as_posix(): path for path in sorted(home.rglob("*.yaml"))}


def summary(path: Path) -> str:
    """The comment before the first key of a YAML file, or else the first line of its class's docstring."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if not line.startswith("# @package")]
    count = next((k for k, line in enumerate(head) if not line.startswith("#")), len(head))
    targets = [line.partition(" ")[2].strip() for line in lines if line.startswith("_target_:")]
    if count or not targets:
        return " ".join(line.lstrip("# ") for line in head[:count])
    _, _, node = definition(targets[0])
    return (ast.get_docstring(node) or "").partition("\n")[0]


def listing(words: list[str]) -> str:
    """Text of `wgf list` for no word, the names of all groups, or for one group, its choices.

    Raises:
        ConfigError: there is no such group.
    """
    if not words:
        names = "\n".join(
            f"  {group}: {', '.join(name for name in files(group) if '/' not in name)}" for group in LISTED
        )
        return f"{names}\nwgf list GROUP says what each choice is."
    group = words[0]
    if len(words) > 1 or group not in LISTED:
        raise ConfigError(f"list {' '.join(words)} is not allowed{did_you_mean(group, LISTED)}")
    found = {f"{group}={name}": summary(path) for name, path in files(group).items()}
    width = max(map(len, found))
    return "\n".join(f"{name:{width}}  {text}".rstrip() for name, text in found.items())
