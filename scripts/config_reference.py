"""Write docs/configuration.md from the configs, their comments, and the ranges in the constructors' annotations, and
the table of result.json in docs/runs.md from the fields of `Result`.

python scripts/config_reference.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from wgf.result import Result
from wgf.settings.check import CONFIGS, GROUPS, ROOT
from wgf.settings.choices import summary
from wgf.settings.constructors import OPEN, settings
from wgf.settings.ranges import Choice

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
RUNS = PAGE.with_name("runs.md")
BEGIN, END = "<!-- by scripts/config_reference.py -->\n", "<!-- end -->\n"
HEAD = """# Every setting

Written by `python scripts/config_reference.py` from the configs and the classes they name; do not edit.

`wgf group=choice` picks a choice, `wgf group.key=value` sets a value, `wgf --cfg job` shows the config that would run.
What is out of range is refused before anything starts. The choices of the main job are in bold. How to add a choice of
your own: [extending.md](extending.md). `python scripts/schema.py > wgf.schema.json` writes the JSON schema by which
an editor completes and checks YAML files.
"""
PAPER = """
The two-layer ReLU network and explicit Euler with the step sizes of the paper. A run has width 16, bound 4, and weights
only. A sweep (`wgf -m experiment=...`, `wgf-study experiment=...`) goes through widths 4 to 32, bounds 4 and 10,
weights only and all parameters, unless it says otherwise.
"""
ABOUT = {
    "law": "The law p at t = 0 (`law=` in Python); not the solution that errors are measured against, which is\n"
    "`reference_solution`.",
    "domain": "Where the solution lives. Walls reflect; docs/methods.md says what works there.",
}


def comments(text: str) -> dict[str, str]:
    """The comment behind each top-level key of a YAML file."""
    return {m[1]: m[2] for line in text.splitlines() if (m := re.match(r"(\w+):[^#]*\s#\s+(.*)", line))}


def plain(text: str) -> str:
    """A text with the marks of Markdown escaped."""
    return re.sub(r"([*|]|<(?=[a-z]))", r"\\\1", text)


def written(value: Any) -> str:
    """A value as one writes it in an override."""
    if value == "???":
        return "required"
    text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    return f"`{re.sub('e-0', 'e-', text)}`"


def keys(text: str, given: dict[str, Any], rules: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Table of the settings of one file: key, default, allowed values, meaning."""
    notes = comments(text)
    if given:
        yield from ("", "| key | default | allowed | |", "|---|---|---|---|")
    for key, value in given.items():
        rule, note = rules[key], notes.get(key, "")
        if isinstance(rule, Choice) and tuple(note.split(" | ")) == rule.words:
            note = ""
        cells = (f"`{prefix}{key}`", written(value), plain(str(rule)), plain(note))
        yield "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def choice(group: str, path: Path, chosen: str) -> Iterator[str]:
    """Section of one choice of a group."""
    text = path.read_text(encoding="utf-8")
    node: Any = OmegaConf.to_container(OmegaConf.load(path))
    target = node.pop("_target_")
    node.pop("defaults", None)  # other groups that the choice sets
    name = f"**{group}={path.stem}**" if path.stem == chosen else f"{group}={path.stem}"
    yield from ("", f"### {name}", "", f"{plain(summary(path)).rstrip('.')}: `{target}`")
    known = settings(target) or {}
    yield from keys(text, node, {key: setting.rule for key, setting in known.items() if key != OPEN}, f"{group}.")


def files(group: str) -> list[Path]:
    """The YAML files of a group."""
    return sorted((CONFIGS / group).glob("*.yaml"))


def page() -> str:
    """The content of docs/configuration.md."""
    main = CONFIGS / "config.yaml"
    root: Any = OmegaConf.to_container(OmegaConf.load(main), resolve=False)
    chosen = {k: v for entry in root["defaults"] if isinstance(entry, dict) for k, v in entry.items()}
    lines = [HEAD.rstrip(), "", "## Of the run"]
    lines += keys(main.read_text(encoding="utf-8"), {key: root[key] for key in ROOT}, ROOT)
    for group in GROUPS:
        lines += ["", f"## {group}", *(["", ABOUT[group]] if group in ABOUT else [])]
        for path in files(group):
            lines += choice(group, path, chosen[group])
    for group, what in (
        ("experiment", "Ready experiments"),
        ("experiment/paper", "The experiments of the paper"),
        ("debug", "For a quick look"),
    ):
        lines += ["", f"## {what}", ""]
        if group == "experiment/paper":
            lines += [PAPER.strip(), ""]
        name = group.replace("/", "=") + ("/" if "/" in group else "=")
        lines += [f"- `{name}{path.stem}`: {plain(summary(path))}" for path in files(group)]
    presets = [path for group in ("hydra/launcher", "hydra/sweeper") for path in files(group)]
    lines += ["", "## How a sweep runs", ""]
    for path in presets:
        place = path.parent.relative_to(CONFIGS).as_posix()
        lines.append(f"- `{place}={path.stem}`: {plain(summary(path))}")
    return "\n".join(lines) + "\n"


def runs() -> str:
    """The content of docs/runs.md with the table of all numbers of result.json."""
    before, _, rest = RUNS.read_text(encoding="utf-8").partition(BEGIN)
    lines = ["", "| name | meaning | unit |", "|---|---|---|"]
    for entry in fields(Result):
        name = "energy_<term>" if entry.name == "energy_terms" else entry.name
        lines.append(f"| `{name}` | {plain(entry.metadata['meaning'])} | {entry.metadata['unit']} |")
    return before + BEGIN + "\n".join(lines) + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    RUNS.write_text(runs(), encoding="utf-8")
