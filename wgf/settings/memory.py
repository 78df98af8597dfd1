"""About how much memory a config takes, from its sizes alone: a width with nine zeros is refused, not tried."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

PANELS = 14  # cells that a law brings along
GRID = 2001  # points of every saved map
NUMBER = 8  # bytes


def faults(root: dict[str, Any], node: dict[str, Any], target: dict[str, str]) -> Iterator[str]:
    """What needs more memory than this machine has.

    Args:
        root: the config. node: its groups with their defaults. target: their classes, without "wgf.".
    """
    limit = machine()
    if limit is None or root["device"] != "cpu":
        return
    for key, size, what in (
        ("saves", _saved(root), f"saves={root['saves']}"),
        (_largest(node), _flow(node, target), _sizes(node)),
    ):
        if size > limit:
            have = f"this machine has {limit / 1e9:.2g} GB"
            yield f"{what} needs about {size / 1e9:.2g} GB of memory, {have}: lower {key}"


def machine() -> float | None:
    """Memory of this machine (bytes); None where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return None


def _sizes(node: dict[str, Any]) -> str:
    sizes = {
        "network.width": node["network"].get("width"),
        "network.degree": node["network"].get("degree"),
        "quadrature.order": node["quadrature"].get("order"),
        "quadrature.particles": node["quadrature"].get("particles"),
    }
    return ", ".join(f"{key}={value}" for key, value in sizes.items() if value is not None)


def _largest(node: dict[str, Any]) -> str:
    particles, width = node["quadrature"].get("particles", 0), node["network"].get("width", 0)
    return "quadrature.particles" if particles > width else "network.width"


def _saved(root: dict[str, Any]) -> float:
    """Positions, slopes and exact positions, each of them twice while they are stacked (bytes)."""
    return 6.0 * root["saves"] * GRID * NUMBER


def _flow(node: dict[str, Any], target: dict[str, str]) -> float:
    """The arrays of one step (bytes)."""
    network, quadrature = node["network"], node["quadrature"]
    width, degree = float(network.get("width", 1)), float(network.get("degree", 1))
    train, kind = network.get("train"), target["network"]
    knots = {"networks.mlp.MLP": 0.0, "networks.relu.TwoSidedReLU": 2 * width}.get(kind, width)
    cells = knots + PANELS
    nodes = float(quadrature.get("particles", quadrature.get("order", 8) * cells))
    banded = kind == "networks.spline.Spline" or train == "weights"
    dense = target["solver"].endswith(("Truncated", "QR", "Cholesky")) or not banded
    parameters = width * {"networks.mlp.MLP": 3, "networks.relu.TwoSidedReLU": 4 if train == "all" else 2}.get(kind, 1)
    if train == "biases" and target["integrator"].startswith("integrators.explicit.") and "Auto" in target["solver"]:
        dense = False
    coupled = target["interaction"] not in ("problem.interaction.Zero", "problem.interaction.Newtonian")
    coupled = (coupled or target["pde"] == "problem.equations.KellerSegel") and not target["integrator"].startswith(
        "integrators.explicit."
    )
    local = 40.0 * nodes * (degree + 1) if banded else 20.0 * nodes
    features = 3.0 * quadrature.get("order", 8) * cells * parameters if dense else 0.0
    matrices = 4.0 * parameters * parameters if dense or coupled else 0.0
    return NUMBER * (local + features + matrices)
