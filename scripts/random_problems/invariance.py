"""Whether the numbers of a similar problem (shifted, reflected, in other units) follow from those of a problem."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scipy.stats import norm

from random_problems.numbers import ROUNDING, SHARP, Verdict
from random_problems.similar import COUNTS, SIMILARITIES, Settings, Similarity, applied, expected
from wgf.settings.formulas.enclosure import FLOOR

Result = dict[str, Any]

INVARIANT = 1e-9  # relative difference of a number of a similar problem
ESTIMATED = 0.25  # the same of an estimated error: rounding decides its steps in time and tails of 1e-9
STEPS = 2, 0.1  # difference of a count, and as a share of it: rounding may decide whether a step is accepted
STEPPED = ("steps", "rejected", "evaluations")
ENCLOSED, SQUARED = 1e-3, 1e-7  # the same of bounds, which rest on an enclosure of V'' to 1e-4, and relative to the
# width of the law: they are roots of sums of squares
GROWN = 1e-5  # difference of lambda t: it changes a bound by as much, and far out V'' is enclosed to some digits only
MEASURED = {"w1_error": "reference_error", "w2_error": "reference_w2_error", "w2_best": "reference_w2_error"}
MISSING = {*MEASURED, *MEASURED.values(), "reference_error", "reference_w2_bound"}  # without a reference
NEARBY = (  # all digits are rounded anew
    Similarity(1.0123, 0.0, 1.0, False),
    Similarity(1.0, 0.0, 1.0123, False),
    Similarity(1.0, 0.0, 1.0117, False),
    Similarity(1.0, 0.0123, 1.0, False),
)
MEDIUM, FARTHEST = 4.0, 6.0  # last breakpoints, in standard deviations: without any, and the farthest that counts
SENSITIVE = 10.0  # rounding may change a number by so many times what a nearby problem changes it


def invariance(
    kind: str, settings: Settings, result: Result, start: float, solve: Callable[[Settings], Result]
) -> list[Verdict]:
    """Verdicts by a similar problem; none if the command has no settings for it.

    A flow may amplify rounding until its numbers differ (knots that meet, maps that nearly fold, explicit steps at
    their limit). If a number does not follow, similar problems in units that are hardly different show by how much
    rounding alone may change it. One of them may by chance change little, so there is another while a number is false,
    first near the similar problem, then near the problem itself.

    Args:
        kind: of the similarity.
        settings, result: the problem and its result.
        start: standard deviation of the law at the start (length).
        solve: computes the result of other settings.
    """
    other = applied(SIMILARITIES[kind], settings)
    if other is None:
        return []
    by, similar = f"invariance: {kind}", solve(other)
    stepped = any(similar[name] != result[name] for name in ("steps", "rejected"))
    found = _compared(SIMILARITIES[kind], by, settings, result, similar, start, stepped)
    ended_alike = similar["status"] == result["status"]
    changes: dict[str, float] = {}
    ways = (other, similar, SIMILARITIES[kind].length), (settings, result, 1.0)
    for (posed, solved, unit), hardly in itertools.product(ways, NEARBY):
        near, width = replace(hardly, shift=unit * hardly.shift), unit * start
        nearby = applied(near, posed)
        if nearby is None or all(verdict.used <= 1 for verdict in _eased(found, changes)):
            continue
        moved = solve(nearby)
        if moved["status"] != solved["status"]:
            return []  # rounding decides how the flow ends
        for verdict in _compared(near, by, posed, solved, moved, width, stepped) if ended_alike else ():
            changes[verdict.number] = max(changes.get(verdict.number, 0.0), verdict.used)
    return _eased(found, changes)


def _eased(found: list[Verdict], changes: dict[str, float]) -> list[Verdict]:
    """The verdicts if rounding changes the numbers by these shares of what is allowed."""
    return [replace(each, used=each.used / max(1.0, SENSITIVE * changes.get(each.number, 0.0))) for each in found]


def _compared(
    s: Similarity, by: str, settings: Settings, result: Result, similar: Result, start: float, stepped: bool
) -> list[Verdict]:
    """The numbers of a similar problem against those that should follow from the problem.

    If the run and the one that is judged have other steps (`stepped`), the tolerance of the steps counts. The gap of
    the energy balance, an error of the steps, is not compared then: the energies judge it.
    """
    if similar["status"] != result["status"]:
        return [Verdict("status", by, 2.0, math.nan, math.nan)]
    found = []
    std = s.length * math.sqrt(max(result["second_moment"] - result["mean"] ** 2, 0.0))
    size = std + s.length * abs(s.shift)
    dissipated = s.energy * abs(result["dissipated"])
    energies = s.energy * (abs(result["energy"] or 0.0) + abs(result["work"] or 0.0)) + dissipated + 1e-300
    rounding = INVARIANT * ROUNDING[settings["dtype"]] / ROUNDING["float64"]
    if settings["dtype"] == "float32":
        rounding *= size / std
    of_steps: dict[str, float] = {}  # how much a law that is narrower than the absolute tolerance of the steps may move
    if stepped:
        rounding = max(rounding, settings.get("integrator.rtol", 1e-3))
        tolerated = settings.get("integrator.atol", 1e-8) * s.length * start
        of_steps = {"mean": tolerated, "min_slope": tolerated / (s.length * start), "second_moment": size * tolerated}
    # T maps a law of the width `start` to one of the width std; where little mass m lies, as at the last breakpoint,
    # least squares know slopes to 1/sqrt(m) times the rounding of places
    least = math.sqrt(norm.sf(min(settings.get("network.bound", MEDIUM), FARTHEST)))
    scales = {
        "mean": size,
        "min_slope": size / (s.length * start * least),
        "dissipation_gap": energies / (dissipated + 1e-300),
        "dissipated": energies,
        "work": energies,
        "second_moment": size**2,
        "second_moment_law": size**2,
    }
    for name, right in expected(s, settings, result).items():
        printed = similar.get(name)
        if name == "dissipation_gap" and stepped:
            continue
        if name == "energy_error" and s.length != 1:
            continue  # what mass the nodes lack counts as often as the logarithm of the unit says
        if name == "energy_error":  # None says that nothing changes
            right, printed = right or 0.0, printed or 0.0
        if right is None or printed is None:
            # a reference solution that takes too many evaluations in one of the problems is missing, not false
            if (right is None) != (printed is None) and name not in MISSING:
                found.append(Verdict(name, by, 2.0, math.nan if printed is None else printed, math.nan))
            continue
        scale = scales.get(name, energies if name.startswith("energy") else 0.0 if "lambda" in name else size)
        allowed = rounding * (abs(right) + scale) + of_steps.get(name, 0.0)
        if name in COUNTS:
            each = right / max(result["steps"], 1) if name == "evaluations" else 1.0
            allowed = STEPS[0] * each + STEPS[1] * abs(right) if name in STEPPED else 0.5
        elif name in MEASURED:
            allowed += s.length * (result[MEASURED[name]] or 0.0) + (similar.get(MEASURED[name]) or 0.0)
        elif name.startswith("reference_") or name == "energy_error":
            if name != "energy_error" and similar.get("cells") != result.get("cells"):
                continue  # rounding decides how many evaluations stiff volumes take, where a law ends: so the last grid
            allowed = max(allowed, ESTIMATED * abs(right))
        elif name.startswith("w2_bound"):
            if name != "w2_bound_lambda" and min(right, printed) > std:
                continue  # a bound above the width of the law says nothing
            least = max(FLOOR, GROWN / (s.time * result["t_end"])) if "lambda" in name else SQUARED * scale
            looser = math.expm1(min(FLOOR * s.time * result["t_end"], 1.0))  # V'' is enclosed to FLOOR, so it grows
            allowed = max(allowed, (ENCLOSED + looser) * abs(right) + least)
        elif (name.startswith("energy") or name == "dissipation_gap") and s.length != 1:
            # the density's unit counts as often as there is mass
            stated = s.energy * (result["energy_error"] or 0.0) + (similar["energy_error"] or 0.0)
            allowed += SHARP * stated / (dissipated + 1e-300 if name == "dissipation_gap" else 1.0)
        elif name in ("dissipated", "work"):
            allowed += ((result["dissipation_gap"] or 0.0) + (similar["dissipation_gap"] or 0.0)) * dissipated
        found.append(Verdict(name, by, abs(printed - right) / (allowed + 1e-300), printed, right))
    return found
