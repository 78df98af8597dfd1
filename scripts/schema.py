"""The JSON schema by which an editor completes and checks YAML files for wgf, from the ranges in the annotations.

python scripts/schema.py > wgf.schema.json, and in the first line of a YAML file:
# yaml-language-server: $schema=wgf.schema.json
"""

import json
import math
from typing import Any

from config_reference import comments, files
from omegaconf import OmegaConf

from wgf.settings.check import CONFIGS, GROUPS, ROOT
from wgf.settings.constructors import OPEN, settings
from wgf.settings.ranges import Choice, Flag, ListOf, Range, WidthRule, Written

INTERPOLATED = {"type": "string", "pattern": r"^\$\{"}  # ${...} stands for any value


def of_rule(rule: Any) -> list[dict[str, Any]]:
    """Schemas of which a value obeys one; empty for a rule that only wgf checks."""
    null = [{"type": "null"}] if getattr(rule, "none", False) else []
    match rule:
        case Range():
            low, high = (
                ("exclusiveMinimum", "minimum")[not rule.open_low],
                ("exclusiveMaximum", "maximum")[not rule.open_high],
            )
            bounds = {name: value for name, value in ((low, rule.low), (high, rule.high)) if math.isfinite(value)}
            auto = [{"const": "auto"}] if isinstance(rule, WidthRule) else []
            return [{"type": "integer" if rule.kind is int else "number", **bounds}, *null, *auto]
        case Choice():
            return [{"enum": list(rule.words)}]
        case Flag():
            return [{"type": "boolean"}]
        case Written():
            return [{"type": "string"}, *null]
        case ListOf():
            return [{"type": "array", "minItems": 1, "items": {"anyOf": of_rule(rule.rule)}}, *null]
    return []


def entry(rules: list[Any], note: str) -> dict[str, Any]:
    """Schema of a key that obeys one of some rules."""
    allowed = [of_rule(rule) for rule in rules]
    known = {} if [] in allowed else {"anyOf": [INTERPOLATED, *(each for part in allowed for each in part)]}
    return {"description": ": ".join(filter(None, [note, " or ".join(dict.fromkeys(map(str, rules)))])), **known}


def group(name: str) -> dict[str, Any]:
    """Schema of a group: the keys of all of its choices."""
    found: dict[str, tuple[list[Any], str]] = {}
    for path in files(name):
        notes = comments(path.read_text(encoding="utf-8"))
        for key, setting in (settings(OmegaConf.load(path)["_target_"]) or {}).items():
            rules, note = found.get(key, ([], ""))
            found[key] = [*rules, setting.rule], note or notes.get(key, "")
    keys = {key: entry(*known) for key, known in found.items() if key != OPEN}
    return {"type": "object", "properties": {"_target_": {}, **keys}, "additionalProperties": OPEN in found}


def schema() -> dict[str, Any]:
    """The schema of an experiment, or of any part of config.yaml."""
    notes = comments((CONFIGS / "config.yaml").read_text(encoding="utf-8"))
    keys = {key: entry([rule], notes.get(key, "")) for key, rule in ROOT.items()} | {g: group(g) for g in GROUPS}
    return {"type": "object", "properties": {"defaults": {}, "hydra": {}, **keys}, "additionalProperties": False}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=1))
