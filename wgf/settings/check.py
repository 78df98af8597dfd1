"""Checks a config before anything is built, without torch: every fault at once, one clear line each."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wgf.errors import ConfigError
from wgf.result import compared
from wgf.settings import memory
from wgf.settings.constructors import REQUIRED, Missing, ancestry, settings
from wgf.settings.expression import Expression
from wgf.settings.ranges import LONGEST, Choice, Count, Flag, Positive, Range, Seed, rule_of

PACKAGED = Path(__file__).parents[1] / "configs"  # in a wheel; a checkout has them beside the package
CONFIGS = PACKAGED if (PACKAGED / "config.yaml").exists() else PACKAGED.parent.parent / "configs"
BASES = {
    "pde": "wgf.problem.equations.PDE",
    "potential": "wgf.problem.potential.Potential",
    "interaction": "wgf.problem.interaction.Interaction",
    "law": "wgf.problem.base.Base",
    "network": "wgf.networks.base.TransportMap",
    "quadrature": "wgf.problem.quadrature.Quadrature",
    "solver": "wgf.projection.solvers.Solver",
    "integrator": "wgf.integrators.base.Integrator",
    "logger": "wgf.run.callbacks.base.Callback",
}
GROUPS = tuple(BASES)


class Device:
    """A place torch can compute on; whether it exists is seen when the run starts."""

    def __str__(self) -> str:
        return "cpu, cuda, cuda:<number> or auto"

    def admits(self, value: Any) -> bool:
        return isinstance(value, str) and re.fullmatch(r"cpu|auto|cuda(:\d+)?", value) is not None


class Product:
    """Numbers of a result with `*` between them."""

    def __str__(self) -> str:
        return f"a product such as w1_error*evaluations, of {', '.join(compared())}"

    def admits(self, value: Any) -> bool:
        return isinstance(value, str) and all(word.strip() in compared() for word in value.split("*"))


MANY_STEPS = 1_000_000  # fixed steps beyond which a run must have been asked for by max_steps


class RunFolder:
    """Where a run is; whether there is one is seen when it is gone on with."""

    def __str__(self) -> str:
        return "the folder of a run, or null"

    def admits(self, value: Any) -> bool:
        return value is None or (isinstance(value, str) and value != "")


ROOT: dict[str, Any] = {
    "t_end": rule_of(Positive),
    "seed": rule_of(Seed),
    "dtype": Choice("float64", "float32"),
    "device": Device(),
    "threads": Range(int, low=1, high=1024, none=True),
    "saves": rule_of(Count),
    "figures": Flag(),
    "reference_solution": Choice("auto", "exact", "finite_volume", "none"),
    "objective": Product(),
    "verify": Flag(),
    "expect": Choice("completed", "blow_up"),
    "resume": RunFolder(),
}


def check(cfg: DictConfig) -> None:
    """Check every key and value of a composed config.

    Raises:
        ConfigError: with a line for every fault.
    """
    try:
        root: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(str(error).split())}; expected plain values") from None
    lines = [*_root(root), *(line for group in GROUPS for line in _node(group, root.get(group)))]
    raise_faults(lines or [*_pairs(root)])


def raise_faults(lines: list[str]) -> None:
    """Raise them all as one error, if there are any."""
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
    """The faults of one group."""
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        yield f"{group}={_written(node)} is not a choice of this group: say {group}=<name>, see wgf --help"
        return
    target = node["_target_"]
    try:
        ancestors, known = ancestry(target), settings(target)
    except Missing as missing:
        why = f": {missing}" if len(target) <= LONGEST else ""  # it repeats the name
        yield f"{group}._target_={target[:LONGEST]!r} does not exist{why}; say {group}=<name>, see wgf --help"
        return
    if BASES[group] not in ancestors:
        yield f"{group}._target_={target!r} is not allowed: expected a subclass of {BASES[group]}"
        return
    if any(_has_target(value) for value in node.values()):
        yield f"{group} has a _target_ inside one of its settings, which is not allowed: expected plain values"
        return
    if known is None:
        return
    given = {key: value for key, value in node.items() if key != "_target_"}
    yield from (_unknown(key, known, f"{group}.") for key in given if key not in known)
    for key, setting in known.items():
        name, value = f"{group}.{key}", given.get(key, setting.default)
        if value is REQUIRED or value == "???":
            yield f"{name} is missing: give {name}=..., {setting.rule or 'a value'}"
        elif key in given and setting.rule is not None and not setting.rule.admits(value):
            hint = "" if setting.default is REQUIRED else f" (default {name}={_written(setting.default)})"
            yield f"{name}={_written(value)} is not allowed: expected {setting.rule}{hint}"


def _has_target(value: Any) -> bool:
    """Whether Hydra would make an object of something in a value."""
    if isinstance(value, dict):
        return "_target_" in value or any(map(_has_target, value.values()))
    return isinstance(value, list) and any(map(_has_target, value))


def did_you_mean(word: str, options: Iterable[str], prefix: str = "") -> str:
    """The option nearest to a word, if one is near, and all of them."""
    options = sorted(options)
    close = difflib.get_close_matches(word, options, n=1)
    hint = f"did you mean {prefix}{close[0]}? " if close else ""
    return f"{hint}(options: {', '.join(options) or 'none'})"


def _unknown(key: str, known: Iterable[str], prefix: str) -> str:
    if key in ("experiment", "debug"):
        return f"the {key} file has no effect where it is: its first line must be '# @package _global_'"
    if key == "reference" and not prefix:
        return "reference is called law: say law=<name>, and law.<setting>=... for its settings"
    group = prefix.rstrip(".")
    owners = (
        [f"{group}={path.stem}" for path in sorted(CONFIGS.glob(f"{group}/*.yaml")) if _has(path, key)] if group else []
    )
    hint = f"it is one of {' and '.join(owners)} " if owners else ""
    return f"{prefix}{key} is not a setting: {hint}{did_you_mean(key, known, prefix)}"


def _has(path: Path, key: str) -> bool:
    """Whether a YAML file has a top-level key."""
    return any(line.startswith(f"{key}:") for line in path.read_text(encoding="utf-8").splitlines())


def _written(value: Any) -> str:
    """A value as it is written in an override, or its beginning."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = ascii(value) if isinstance(value, str) and not value.isidentifier() else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _full(node: dict[str, Any]) -> dict[str, Any]:
    """A node with the defaults of what it leaves out."""
    return {key: setting.default for key, setting in (settings(node["_target_"]) or {}).items()} | node


def _pairs(root: dict[str, Any]) -> Iterator[str]:
    """Settings that are fine by themselves and impossible together."""
    target = {group: root[group]["_target_"].removeprefix("wgf.") for group in GROUPS}
    node = {group: _full(root[group]) for group in GROUPS}
    network, law = node["network"], node["law"]
    own_equation = (
        target["pde"].startswith("problem.equations.") and target["pde"] != "problem.equations.AggregationDiffusion"
    )
    if own_equation and target["interaction"] != "problem.interaction.Zero":
        yield (
            f"interaction={target['interaction'].rpartition('.')[2]} with pde={target['pde'].rpartition('.')[2]} is "
            "impossible: only pde=aggregation_diffusion takes an interaction, else say interaction=none"
        )
    if target["solver"] == "projection.solvers.Banded":
        if target["network"] == "networks.mlp.MLP":
            yield "solver=banded with network=mlp is impossible: there is no closed form, say solver=auto"
        elif network.get("train") == "all":
            yield "solver=banded with network.train=all is impossible: there is no closed form, say solver=auto"
    integrator, choice = target["integrator"], target["integrator"].rpartition(".")[2].lower()
    charted = target["network"] == "networks.spline.Spline" or network.get("train") == "weights"
    if integrator.startswith("integrators.implicit.") and target["network"].startswith("networks.") and not charted:
        what = f"network.train={network['train']}" if "train" in network else "this network"
        yield (
            f"integrator={choice} with {what} is impossible: it needs a map that is linear in what it trains; say "
            "integrator=gauss_newton, or network=spline, or network=two_sided_relu with network.train=weights"
        )
    solver = target["solver"].rpartition(".")[2].lower()
    if integrator.startswith("integrators.implicit.") and solver in ("truncated", "qr", "cholesky", "minres"):
        yield (
            f"solver={solver} with integrator={choice} is impossible: implicit steps are solved in banded coordinates; "
            "say solver=auto, or an explicit integrator such as integrator=dopri5"
        )
    if target["law"] == "problem.laws.Uniform" and not law["low"] < law["high"]:
        low, high = law["low"], law["high"]
        yield f"law.low={low} is not allowed: expected a number below law.high={high}"
    if target["law"] == "problem.laws.Mixture":
        lengths = [len(law[key]) for key in ("means", "stds", "weights")]
        if len(set(lengths)) > 1:
            yield (
                "law.means, law.stds and law.weights have {}, {} and {} entries: expected equally many".format(*lengths)
            )
    interaction = node["interaction"]
    power_law = target["interaction"] == "problem.interaction.PowerLaw"
    if power_law and not interaction["attraction"] > interaction["repulsion"]:
        yield (
            f"interaction.attraction={interaction['attraction']} is not allowed: expected a number above "
            f"interaction.repulsion={interaction['repulsion']}"
        )
    if target["potential"] == "problem.potential.Expressed":
        try:
            Expression(node["potential"]["expr"])
        except ConfigError as error:
            yield from (f"potential.{line}" for line in error.lines)
    if target["quadrature"] == "problem.quadrature.Gauss" and target["network"] == "networks.spline.Spline":
        order, degree = node["quadrature"]["order"], network["degree"]
        if order <= degree:
            yield (
                f"quadrature.order={order} with network.degree={degree} is impossible: a spline needs more nodes "
                f"a cell than its degree, say quadrature.order={int(degree) + 1} or more"
            )
    yield from _times(root["t_end"], node["integrator"], target["integrator"].startswith("integrators."))
    yield from memory.faults(root, node, target)


def _times(t_end: float, integrator: dict[str, Any], known: bool) -> Iterator[str]:
    """Steps that are too long, too short or too many for the end time."""
    if not known:
        return
    dt, least, most = integrator["dt"], integrator.get("dt_min"), integrator["max_steps"]
    if dt is not None and dt > t_end:
        yield (
            f"integrator.dt={dt:g} with t_end={t_end:g} is impossible: a step cannot be longer than the run, say "
            f"integrator.dt={t_end / 100:.0e} or less"
        )
    if least is not None and least > (dt or t_end):
        which = f"integrator.dt={dt:g}" if dt else f"t_end={t_end:g}"
        yield f"integrator.dt_min={least:g} with {which} is impossible: expected a smaller integrator.dt_min"
    if least is None and dt is not None and t_end / dt > max(most, MANY_STEPS) * (1 + 1e-9):
        yield (
            f"integrator.dt={dt:g} with t_end={t_end:g} is impossible: {t_end / dt:.2g} steps are more than "
            f"integrator.max_steps={most:g}; raise one of integrator.dt and integrator.max_steps, or lower t_end"
        )
