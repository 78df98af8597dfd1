"""Confirmation of a run by runs with smaller tolerances: `network.width=auto`.

The estimate of adaptive breakpoints does not see what no mesh has resolved, and a single run guarantees nothing. wgf
therefore runs with tol, tol/5, tol/25, ... until two runs differ by less than tol in W2 at every saved time. The run
with the smaller tolerance is the solution. The confirmation is evidence, not a proof.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from wgf.engine.compiled import run
from wgf.integrators.base import Integrator
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.status import Status
from wgf.projection.field import Projection
from wgf.projection.remesh import UNRESOLVED
from wgf.projection.start import placed
from wgf.reference_solutions.wasserstein import Carried, distance

log = logging.getLogger("wgf")

RATIO, RUNS = 5.0, 5  # ratio of the tolerances of two runs; largest number of runs


def confirm(projection: Projection, integrator: Integrator, stops: list[float]) -> tuple[Projection, Integrator]:
    """Projection and method with the tolerance of a confirmed run, or of the last run if no two runs agree.

    Their map says in `adaptation.gap` by how much two runs differed, and in `adaptation.unconfirmed` why none confirmed
    the other. Flows that need no confirmation return as they are.

    Args:
        projection, integrator: as they begin, with the wanted tolerance.
        stops: saved times after t = 0 (time).

    Raises:
        KeyboardInterrupt: a run was interrupted.
    """
    adaptation = projection.map.adaptation
    if adaptation is None or not adaptation.confirms or adaptation.tol is None:
        return projection, integrator
    std, reason, last, best = projection.problem.law.std, "", None, (projection, integrator)
    limit = adaptation.tol * std
    for k in range(RUNS):
        tol = adaptation.tol / RATIO**k
        finer = at_tolerance(projection, integrator, tol)
        saved = SavedStates(finer[0].map)
        end = run(*finer, finer[0].initial, stops, saved)
        if end.status is Status.interrupted:
            raise KeyboardInterrupt
        if not end.status.is_success:
            reason = f"the run with tol={tol:g} ended as {end.status} at t={end.clock.t:g}"
            continue
        gap = None if last is None else difference(last, saved)
        apart = "" if gap is None else f", W2 distance {gap:.1e} to the run before"
        log.info("width=auto: tol=%g, %d breakpoints%s", tol, saved.map.width, apart)
        last, best = saved, finer
        if end.clock.mesh_error > UNRESOLVED * tol * std:
            reason = f"network.width: {adaptation.most} breakpoints are too few for tol={tol:g}"
        elif gap is not None and gap <= limit:
            return noted(*best, gap, None)
        elif gap is not None:
            reason = f"the runs with tol={tol * RATIO:g} and tol={tol:g} differ by {gap:.1e} in W2"
    return noted(*best, None, reason)


def difference(one: SavedStates, two: SavedStates) -> float:
    """Largest W2 distance of two runs at their saved times (length)."""
    return max(distance(Carried.by(*one[k]), Carried.by(*two[k])).w2 for k in range(len(two.times)))


def at_tolerance(projection: Projection, integrator: Integrator, tol: float) -> tuple[Projection, Integrator]:
    """Projection and method with another tolerance of the breakpoints, and tolerances in time in proportion."""
    map, adaptation = projection.map, projection.map.adaptation
    assert adaptation is not None
    assert adaptation.tol is not None
    factor = tol / adaptation.tol
    if factor == 1:
        return projection, integrator
    begun = placed(map.adapted(replace(adaptation, tol=tol)), projection.start, projection.problem.domain)
    return projection.on(begun), integrator.tighter(factor)


def noted(
    projection: Projection, integrator: Integrator, gap: float | None, unconfirmed: str | None
) -> tuple[Projection, Integrator]:
    """The same with a map that says what its confirmation found."""
    map, adaptation = projection.map, projection.map.adaptation
    assert adaptation is not None
    found = map.twin()
    found.adaptation = replace(adaptation, gap=gap, unconfirmed=unconfirmed, confirms=False)
    return projection.on(found), integrator
