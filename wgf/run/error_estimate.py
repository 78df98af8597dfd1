"""Error estimates of a run, from runs with finer steps and with a finer network."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf

from wgf.errors import in_one_line
from wgf.integrators.base import Integrator
from wgf.integrators.status import Status
from wgf.integrators.time_loop import LoopCallback
from wgf.reference_solutions.wasserstein import Carried, distance
from wgf.run.build import Experiment, build

log = logging.getLogger("wgf")

TIGHTER = 10.0  # factor between the tolerances of an adaptive run and of its second run
FINER = 2  # factor for the number of fixed steps, and for the number of neurons per length
WIDER = 1.0  # standard deviations by which the finer network is wider on either side


class Estimate(NamedTuple):
    """Error estimates of the final map as W2 distances (length); None if the finer run did not reach the end.

    time: from the same flow with half the step, or with a tenth of the tolerance.
    space: from a network with twice the neurons per length, on a wider range.
    unknown: one sentence for each estimate that is None.
    """

    time: float | None
    space: float | None
    unknown: tuple[str, ...] = ()


class Unknown(Exception):
    """There is no estimate from a finer run; the message says why."""


def estimate(cfg: DictConfig, experiment: Experiment, theta: torch.Tensor) -> Estimate:
    """Estimate the errors in time and in space of a completed run.

    If a run of order q with steps r times shorter ends at distance d, the error is d / (1 - r^-q). In time, q is the
    order of the integrator; for an adaptive method, the order with respect to its tolerance. In space, the order
    depends on the solution. The estimate uses 1, the smallest order of any network here, so the space error is 2 d:
    smooth solutions have a smaller error, solutions that the network does not resolve may have a larger one.

    Args:
        cfg: the checked config of the run.
        experiment: the experiment built from it.
        theta: the parameters at the end [p].
    """
    integrator = experiment.integrator
    order = integrator.order / (integrator.order + 1) if integrator.adaptive else integrator.order
    ratio = TIGHTER if integrator.adaptive else FINER
    finer: dict[str, Callable[[], Experiment]] = {
        "time_error": lambda: shorter(experiment, ratio),
        "space_error": lambda: richer(cfg, experiment),
    }
    found, unknown = {}, []
    for name, make in finer.items():
        log.info("%s: running a finer run", name)
        try:
            found[name] = _distance(experiment, theta, make)
        except Unknown as why:
            unknown.append(f"{name}: not known, {why}")
            log.warning("%s", unknown[-1])
    time, space = map(found.get, finer)
    return Estimate(
        None if time is None else time / (1 - ratio**-order),
        None if space is None else space / (1 - 1 / FINER),
        tuple(unknown),
    )


def refined(integrator: Integrator, ratio: float) -> Integrator:
    """Integrator with its tolerances or its step divided by a ratio."""
    finer: Any = copy.copy(integrator)
    for name in ("rtol", "atol") if integrator.adaptive else ("dt",):
        setattr(finer, name, getattr(integrator, name) / ratio)
    finer.max_steps = math.ceil(max(10.0, ratio) * integrator.max_steps)
    return finer


def shorter(experiment: Experiment, ratio: float) -> Experiment:
    """Experiment with its tolerances or its step divided by a ratio."""
    finer = copy.copy(experiment)
    finer.integrator = refined(experiment.integrator, ratio)
    return finer


def richer(cfg: DictConfig, experiment: Experiment) -> Experiment:
    """Experiment with a finer network. Fixed steps shrink as h^2, which explicit methods need for stability."""
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)
    ratio = float(FINER)
    if "bound" in cfg.network:
        ratio *= (cfg.network.bound + WIDER) / cfg.network.bound
        cfg.network.bound += WIDER
    cfg.network.width = math.ceil(ratio * cfg.network.width)
    found = build(cfg)
    found.integrator = experiment.integrator
    if not experiment.integrator.adaptive:
        found.integrator = refined(experiment.integrator, FINER**2)
    return found


def _distance(experiment: Experiment, theta: torch.Tensor, make: Callable[[], Experiment]) -> float:
    """Distance between the final maps of a run and of a finer run (length).

    Raises:
        Unknown: the finer run fails or does not reach the end.
    """
    try:
        finer = make()
        end = finer.run(finer.theta, LoopCallback())
    except Exception as error:  # a failed estimate must not lose the result of the run
        raise Unknown(in_one_line(error)) from error
    if end.status is not Status.completed:
        raise Unknown(f"the finer run ended as {end.status} at t = {end.clock.t:g}")
    return distance(Carried.by(experiment.map, theta), Carried.by(finer.map, end.state.theta)).w2
