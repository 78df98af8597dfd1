"""Observed orders of the errors of a sweep along the settings that were refined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from wgf.settings.flat import label, number, short, size

# settings that are refined, and the sign of their exponent in an error: O(m^-k), O(dt^k)
REFINED = {"network.width": -1, "integrator.dt": 1, "quadrature.particles": -1}

TAKEN = {  # what a setting came to, with its name in the tables, and where it came to nothing that has an order
    "network.width": ("breakpoints in use", "where breakpoints are adaptive: network.width only caps their number"),
    "integrator.dt": ("mean step taken (mean_step)", "where steps are adaptive: integrator.dt is only the first one"),
}
SAME = 1e-6  # relative difference of steps that rounding makes

PROBLEM = ("experiment", "pde", "potential", "interaction", "law", "domain", "t_end")  # settings of what is solved

Row = dict[str, Any]


def comparable(axes: Sequence[str]) -> bool:
    """Whether errors can be compared: all jobs solve the same problem, and only settings of the method vary."""
    return not any(axis.partition(".")[0] in PROBLEM for axis in axes)


def refined(axes: Sequence[str]) -> list[str]:
    """The axes along which errors should fall."""
    return [axis for axis in REFINED if axis in axes]


def notes(rows: Sequence[Row], axes: Sequence[str]) -> list[str]:
    """Lines that say which orders are not over the setting that their column names, and which are missing."""
    said = []
    for axis in refined(axes):
        name, (taken, why) = short(axis), TAKEN.get(axis, ("", ""))
        known = [(number(row[axis]), size(row, axis)) for row in rows if row["status"] == "completed"]
        apart = [max(asked / came, came / asked) for asked, came in known if asked and came]
        if max(apart, default=1.0) > 1 + SAME:
            said.append(f"order ({name}) is over the {taken}: {axis} differs by a factor of up to {max(apart):.3g}")
        if any(asked and came is None for asked, came in known):
            said.append(f"no order ({name}) {why}")
    return said


def curve(row: Row, axes: Sequence[str], along: str) -> str:
    """The values of a row that vary, without the axis along which it belongs to a curve."""
    return label(row, (axis for axis in axes if axis != along))


def add(rows: Sequence[Row], axes: Sequence[str]) -> None:
    """Add `w1_order_<axis>` and `w2_order_<axis>` along every refined axis, each between a row and the coarser one.

    Only rows that completed and errors that are clearly above those of the reference solution have an order.
    """
    for axis in refined(axes):
        groups: dict[str, list[Row]] = {}
        for row in rows:
            row |= {f"{distance}_order_{short(axis)}": None for distance in ("w1", "w2")}
            if row["status"] == "completed" and size(row, axis):
                groups.setdefault(curve(row, axes, axis), []).append(row)
        for group in groups.values():
            group.sort(key=lambda row: size(row, axis) or 0.0, reverse=REFINED[axis] > 0)
            for before, after in pairwise(group):
                finer = REFINED[axis] * math.log((size(before, axis) or 1.0) / (size(after, axis) or 1.0))
                for distance in ("w1", "w2") if abs(finer) > SAME else ():
                    clear = before.get(f"{distance}_clear") and after.get(f"{distance}_clear")
                    if clear and min(errors := [row[f"{distance}_error"] for row in (before, after)]) > 0:
                        after[f"{distance}_order_{short(axis)}"] = math.log(errors[0] / errors[1]) / finer
