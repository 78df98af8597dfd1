"""A config as one level of plain values, to compare configs and to tabulate them."""

from __future__ import annotations

from typing import Any

Leaf = bool | int | float | str


def leaves(config: dict[str, Any], prefix: str = "") -> dict[str, Leaf]:
    """`network: Spline`, `network.width: 8`, ...: a target by its name, null and lists as text.

    Args:
        config: nested dicts of a resolved config.
        prefix: of every key.
    """
    found: dict[str, Leaf] = {}
    for key, value in config.items():
        if key == "_target_":
            found[prefix.rstrip(".")] = str(value).rpartition(".")[2]
        elif isinstance(value, dict):
            found |= leaves(value, f"{prefix}{key}.")
        elif isinstance(value, (bool, int, float, str)):
            found[f"{prefix}{key}"] = value
        else:
            found[f"{prefix}{key}"] = "null" if value is None else str(value)
    return found


def number(value: Any) -> float | None:
    """A setting as it stands on the command line, where it is a number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
