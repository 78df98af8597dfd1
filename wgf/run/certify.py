"""Bounds of the error of a run, by the run itself and by a richer run."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from wgf.certificates.certificate import Certificate, spread
from wgf.certificates.own_bound import Bound, OwnBound
from wgf.certificates.rich import RichRun, rich_run
from wgf.certificates.rich_settings import Unknown
from wgf.certificates.unseen import account
from wgf.flow import Flow
from wgf.reference_solutions.base import Computed
from wgf.reference_solutions.exact import Exact
from wgf.reference_solutions.wasserstein import Carried, distance
from wgf.result import Result
from wgf.run.build import Experiment
from wgf.run.callbacks.base import Row
from wgf.run.recorder import BOUND
from wgf.run.signals import Signals
from wgf.saved_maps import SavedMaps

log = logging.getLogger("wgf")


def recorder(experiment: Experiment, past: dict[str, Any] | None) -> OwnBound | None:
    """What bounds the error of a run while it runs; None for `certificate=none`.

    Args:
        experiment: the experiment.
        past: the checkpoint from which the run resumes, or None.
    """
    if experiment.certificate == "none":
        return None
    bound = OwnBound(experiment.projection, past and past["bound"])
    if past is not None and past["bound"] is None:
        bound.unknown = bound.unknown or "the run began with certificate=none"
    return bound


def certified(
    flow: Flow,
    result: Result,
    own: OwnBound | None,
    rich: bool,
    signals: Signals,
    missed: float | None = None,
    every: bool = True,
) -> tuple[Result, np.ndarray | None]:
    """Result of a completed flow with its bound, and the bounds at the saved times [s] (length), None without any.

    Args:
        flow: the flow.
        result: its result.
        own: bounds the run by itself; None for no bound at all.
        rich: whether to compute a richer run, which a signal cuts short.
        signals: the signals.
        missed: potential energy that the quadrature may have missed, see `unseen`.
        every: whether to bound the error at every saved time, or at the last alone.
    """
    if own is None:
        return result, None
    account(own, flow.saved, missed)
    times, richer, unknown = flow.t.tolist(), None, None
    if rich:
        log.info("w2_bound: running a richer run")
        with suppress(KeyboardInterrupt), signals.heard():
            try:
                richer = rich_run(flow.projection, flow.integrator, times[1:], own.at(times[-1]).value, flow.saved)
            except Unknown as why:
                unknown = str(why)
                log.warning("w2_bound: %s", unknown)
    found = [certificate(flow, own.at(t), own.convexity, richer, t) for t in (times if every else times[-1:])]
    last = found[-1]
    bounds = np.array([np.nan if entry.bound is None else entry.bound for entry in found])
    result = replace(
        result,
        w2_bound=last.bound,
        w2_bound_own=last.own,
        w2_bound_distance=last.distance,
        w2_bound_certificate=last.rich,
        w2_bound_lambda=last.convexity,
        w2_bound_quadrature=last.quadrature,
        reference_w2_bound=None if richer is None else _of_reference(flow.reference_solution, richer, times[-1]),
        w2_bound_unknown="; ".join(reason for reason in (last.unknown, unknown) if reason) or None,
    )
    return result, None if np.isnan(bounds).all() or not every else bounds


def _of_reference(known: Exact | None, richer: RichRun, t: float) -> float | None:
    """Upper bound of the W2 error of a computed solution (length), from its distance to a richer run."""
    bound = richer.bound(t).value
    if bound is None or not isinstance(known, Computed):
        return None
    map, theta = richer.states[richer.states.times.index(t)]
    away = distance(Carried.by(map, theta), Carried.of(map.base, known, t))
    found = away.w2 + away.w2_error + bound
    return found if found <= spread(map, theta) else None  # else it says nothing


def late(maps: SavedMaps | None, own: OwnBound | None) -> list[Row]:
    """Errors and own bounds at the saved times: numbers of rows that are known at the end only."""
    if maps is None:
        return []
    rows: list[Row] = [{"t": t} for t in maps.t.tolist()]
    for row, pair in zip(rows, [] if maps.errors is None else maps.errors.tolist(), strict=False):
        row |= dict(zip(("w1_error", "w2_error"), (None if math.isnan(x) else x for x in pair), strict=True))
    if own is not None:
        for row, t in zip(rows, maps.t.tolist(), strict=True):
            row[BOUND] = own.at(t).value
    return rows


def certificate(flow: Flow, own: Bound, convexity: float | None, rich: RichRun | None, t: float) -> Certificate:
    """Certificate of a flow at a saved time."""
    state = flow.state(t)
    if rich is None:
        found = Certificate.of(own, convexity)
    else:
        found = Certificate.of(own, rich.recorder.convexity, rich.bound(t), rich.distance(t, *state))
    return found.within(spread(*state), t)
