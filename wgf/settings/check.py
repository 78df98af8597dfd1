"""Checks a config before anything is built, without torch. Reports all faults at once, one line each."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wgf.errors import ConfigError
from wgf.result import compared
from wgf.settings.constructors import OPEN, REQUIRED, Missing, Setting, ancestry, settings
from wgf.settings.flat import walk
from wgf.settings.formulas.expression import Observables
from wgf.settings.ranges import LONGEST, Choice, Count, Flag, Positive, Range, Seed, rule_of

PACKAGED = Path(__file__).parents[1] / "configs"  # in a wheel; in a checkout, configs/ lies beside wgf/
CONFIGS = PACKAGED if (PACKAGED / "config.yaml").exists() else PACKAGED.parent.parent / "configs"
BASES = {
    "pde": "wgf.problem.equations.PDE",
    "potential": "wgf.problem.potential.Potential",
    "interaction": "wgf.problem.interaction.Interaction",
    "law": "wgf.problem.base.Law",
    "domain": "wgf.problem.domain.Domain",
    "network": "wgf.networks.base.TransportMap",
    "quadrature": "wgf.problem.quadrature.Quadrature",
    "solver": "wgf.projection.solvers.Solver",
    "integrator": "wgf.integrators.base.Integrator",
    "logger": "wgf.run.callbacks.base.Callback",
}
GROUPS = tuple(BASES)


@dataclass(frozen=True)
class Rule:
    """Rule for values that no range describes: a text for people, and the test."""

    text: str
    admits: Callable[[Any], bool]

    def __str__(self) -> str:
        return self.text


CLOSE = 0.61  # likeness of two words of which one may be meant


def _is_product(value: Any) -> bool:
    return isinstance(value, str) and all(word.strip() in compared() for word in value.split("*"))


ROOT: dict[str, Any] = {
    "t_end": rule_of(Positive),
    "seed": rule_of(Seed),
    "dtype": Choice("float64", "float32"),
    "device": Rule(  # the start of the run checks whether it is available
        "cpu, cuda, cuda:<number> or auto",
        lambda value: isinstance(value, str) and re.fullmatch(r"cpu|auto|cuda(:\d+)?", value) is not None,
    ),
    "engine": Choice("auto", "torch", "compiled", "repeated"),
    "threads": Range(int, low=1, high=1024, none=True),
    "saves": rule_of(Count),
    "base": Choice("auto", "law", "gaussian", "barenblatt"),
    "figures": Flag(),
    "record": Choice("steps", "end", "auto"),
    "observe": Observables(),
    "stop": Choice("end", "steady"),
    "steady": rule_of(Positive),
    "reference_solution": Choice("auto", "exact", "finite_volume", "none"),
    "objective": Rule(f"a product such as w1_error*evaluations, of {', '.join(compared())}", _is_product),
    "certificate": Choice("own", "rich", "none"),
    "verify": Flag(),
    "expect": Choice("completed", "blow_up"),
    "resume": Rule(  # resuming checks whether the folder holds a run
        "the folder of a run, or null", lambda value: value is None or (isinstance(value, str) and value != "")
    ),
}


def check(cfg: DictConfig) -> None:
    """Check every key and value of a composed config.

    Raises:
        ConfigError: with one line for every fault.
    """
    try:
        root: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(str(error).split())}; expected plain values") from None
    lines = [*_root(root), *(line for group in GROUPS for line in _node(group, root.get(group)))]
    raise_faults(lines)


def raise_faults(lines: list[str]) -> None:
    """Raise a ConfigError with these lines, if there are any."""
    if lines:
        raise ConfigError(*lines)


def _root(root: dict[str, Any]) -> Iterator[str]:
    known = (*ROOT, *GROUPS)
    yield from (_unknown(key, known, "") for key in root if key not in known)
    yield from (f"{key} is missing: give {key}=..." for key in ROOT if key not in root)
    yield from (
        f"{key}={_written(root[key])} is not allowed: expected {rule}"
        for key, rule in ROOT.items()
        if key in root and not rule.admits(root[key])
    )


def _node(group: str, node: Any) -> Iterator[str]:
    """Faults of one group."""
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        yield f"{group}={_written(node)} is not a choice of this group: use {group}=<name>, see wgf --help"
        return
    target = node["_target_"]
    try:
        ancestors, known = ancestry(target), settings(target)
    except Missing as missing:
        why = f": {missing}" if len(target) <= LONGEST else ""  # the reason repeats the name
        yield f"{group}._target_={target[:LONGEST]!r} does not exist{why}; use {group}=<name>, see wgf --help"
        return
    if BASES[group] not in ancestors:
        yield f"{group}._target_={target!r} is not allowed: expected a subclass of {BASES[group]}"
        return
    if any(key.endswith("._target_") for key, _ in walk(node)):  # Hydra would instantiate an object there
        yield f"{group} has a _target_ inside one of its settings, which is not allowed: expected plain values"
        return
    if known is None:
        return
    given = {key: value for key, value in node.items() if key != "_target_"}
    known = dict(known)
    others = known.pop(OPEN, None)
    if others is not None:
        known |= {key: Setting(others.rule, REQUIRED) for key in given if key not in known}
    yield from (_unknown(key, known, f"{group}.") for key in given if key not in known)
    for key, setting in known.items():
        name, value = f"{group}.{key}", given.get(key, setting.default)
        if value is REQUIRED or value == "???":
            yield f"{name} is missing: give {name}=..., {setting.rule or 'a value'}"
        elif key in given and setting.rule is not None and not setting.rule.admits(value):
            hint = "" if setting.default is REQUIRED else f" (default {name}={_written(setting.default)})"
            yield f"{name}={_written(value)} is not allowed: expected {setting.rule}{hint}"


def did_you_mean(word: str, options: Iterable[str], prefix: str = "") -> str:
    """Hint with the option closest to a word, if there is a close one, and all options; follows a sentence."""
    options = sorted(options)
    close = difflib.get_close_matches(word, options, n=1, cutoff=CLOSE)
    return hint_of(options, f"did you mean {prefix}{close[0]}?" if close else "")


def hint_of(options: Iterable[str], hint: str = "") -> str:
    return f"{f': {hint}' if hint else ''} (options: {', '.join(options) or 'none'})"


def _unknown(key: str, known: Iterable[str], prefix: str) -> str:
    if key in ("experiment", "debug"):
        return f"the {key} file has no effect: its first line must be '# @package _global_'"
    if key == "reference" and not prefix:
        return "reference is now called law: use law=<name>, and law.<setting>=... for its settings"
    group = prefix.rstrip(".")
    owners = [path for path in sorted(CONFIGS.glob(f"{group or '*'}/*.yaml")) if _has(path, key)]
    if owners and group:
        hint = hint_of(sorted(known), f"it is a setting of {' and '.join(f'{group}={path.stem}' for path in owners)}")
    elif owners:
        hint = f": did you mean {' or '.join(sorted({f'{path.parent.name}.{key}' for path in owners}))}?"
    else:
        hint = did_you_mean(key, known, prefix)
    return f"{prefix}{key} is not a setting{hint}"


def _has(path: Path, key: str) -> bool:
    """Whether a YAML file has a top-level key."""
    return any(line.startswith(f"{key}:") for line in path.read_text(encoding="utf-8").splitlines())


def _written(value: Any) -> str:
    """A value as in an override, cut to LONGEST characters."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = ascii(value) if isinstance(value, str) and not value.isidentifier() else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
