"""A config as one level of plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Leaf = bool | int | float | str


def entries(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no dict, with its full key, `network.width`.

    Args:
        config: nested dicts of a resolved config.
        prefix: of every key.
    """
    for key, value in config.items():
        if isinstance(value, dict):
            yield from entries(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def walk(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value inside nested dicts and lists, the dicts and lists among them, with its full key."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield f"{prefix}{key}", value
        yield from walk(value, f"{prefix}{key}.")


def leaves(config: dict[str, Any]) -> dict[str, Leaf]:
    """`network: Spline`, `network.width: 8`, ...: the name of a class for its target, text for null and for lists."""
    found: dict[str, Leaf] = {}
    for key, value in entries(config):
        home, _, last = key.rpartition(".")
        if last == "_target_":
            found[home] = str(value).rpartition(".")[2]
        elif isinstance(value, (bool, int, float, str)):
            found[key] = value
        else:
            found[key] = "null" if value is None else str(value)
    return found


def short(key: str) -> str:
    """The last part of a key: width for network.width."""
    return key.rpartition(".")[2]


def label(row: Mapping[str, Any], keys: Iterable[str]) -> str:
    """The values of some keys on one line, without None: width=8, degree=3."""
    return ", ".join(f"{short(key)}={row[key]}" for key in keys if row.get(key) is not None)


def number(value: Any) -> float | None:
    """A text of the command line as a number; None where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def size(row: Mapping[str, Any], axis: str) -> float | None:
    """What a setting came to in a run: the mean step taken, or the breakpoints that the start needed. None where dt is
    only the first step of an adaptive method, and where width only caps adaptive breakpoints."""
    asked = number(row.get(axis))
    if axis == "integrator.dt":
        return row.get("mean_step", asked)
    if axis == "network.width":
        return None if row.get("mesh_tolerance") is not None else row.get("breakpoints") or asked
    return asked
