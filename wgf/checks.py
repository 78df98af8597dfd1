"""What a completed run can check about itself, without knowing the solution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from wgf.solution import Solution

MASS = 1e-6  # how far the mass may be off 1
BALANCE = 0.1  # share of the energy lost that the dissipation may miss
MOMENT = 1e-2  # how far the second moment may be off its law, relative
MANIFOLD = 3.0  # times its estimate that an error may be


def doubts(
    result: dict[str, Any], solution: Solution | None, unknown: Sequence[str] = (), rounding: float = 0.0
) -> str | None:
    """Which figures of a run cannot be trusted and why, as one text; None where nothing speaks against them.

    Args:
        result: the content of result.json.
        solution: the saved maps.
        unknown: estimates that were asked for in vain, a sentence each.
        rounding: of an error (length), which no estimate sees.
    """
    return "; ".join([*_doubts(result, solution, rounding), *unknown]) or None


def _doubts(result: dict[str, Any], solution: Solution | None, rounding: float) -> Iterator[str]:
    if not abs(result["mass"] - 1) <= MASS:
        yield f"mass: {result['mass'] - 1:+.1e} off 1, the quadrature does not resolve the law"
    if solution is not None:
        # where next to no mass is, rounding decides
        seen = (solution.cdf >= 1e-12) & (solution.cdf <= 1 - 1e-12)
        rises = (np.diff(solution.T[:, seen], axis=1) > 0).all(1) & (solution.dT[:, seen] > 0).all(1)
        if not rises.all():
            yield (
                f"map: not increasing between the quadrature nodes at t = {solution.t[rises.argmin()]:.6g}, densities "
                "are wrong there; more of network.width mends it"
            )
    gap = result["dissipation_gap"]
    if gap is not None and not gap <= BALANCE:
        yield f"dissipated: {gap:.0%} off the energy lost, the steps are too long to follow its fall"
    law = result["second_moment_law"]
    if law is not None and not abs(result["second_moment"] - law) <= MOMENT * max(abs(law), math.ulp(1.0)):
        yield f"second_moment: {result['second_moment'] - law:+.1e} off its law, which the projection keeps exactly"
    time, space, error = result["time_error"], result["space_error"], result["w2_error"]
    known = (result["reference_w2_error"] or 0.0) + rounding
    if None not in (time, space, error) and not error <= MANIFOLD * (time + space) + known:
        yield f"time_error, space_error: w2_error is {error:.1e}, their sum only {time + space:.1e}"
