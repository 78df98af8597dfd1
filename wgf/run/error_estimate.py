"""How large the error of a run is, by what finer steps and a finer network change."""

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
from wgf.networks.base import TransportMap
from wgf.run.build import Experiment, build
from wgf.run.metrics import Metrics

log = logging.getLogger("wgf")

TIGHTER = 10.0  # times: tolerances of the second run of an adaptive method
FINER = 2  # times: as many steps in the second run of a fixed one, as many neurons in the finer network
WIDER = 1.0  # standard deviations on either side: by how much the finer network's range is wider


class Estimate(NamedTuple):
    """Errors of the final map as W2 distances (length); None where the second run did not reach the end.

    time: by the same flow with steps of half the length, or with a tenth of the tolerance.
    space: by a network with twice the neurons per length, on a wider range.
    unknown: why one is None, a sentence each.
    """

    time: float | None
    space: float | None
    unknown: tuple[str, ...] = ()


class Unknown(Exception):
    """The finer run says nothing; the message says why."""


def estimate(cfg: DictConfig, experiment: Experiment, theta: torch.Tensor) -> Estimate:
    """The errors in time and in space of a completed run.

    A difference d to a method of order q with steps 1/r as long says that the error is d / (1 - r^-q). In time q is the
    order of the integrator, for an adaptive method with respect to its tolerance. In space the order depends on the
    solution and is taken to be 1, the least that any network here has, so that the space error is 2 d: for smooth
    solutions it is smaller, for those that are not resolved at all it may be larger.

    Args:
        cfg: the checked config of the run.
        experiment: what was built from it.
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
        log.info("%s: a finer run", name)
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
    """The same method with tolerances or steps smaller by a ratio."""
    finer: Any = copy.copy(integrator)
    for name in ("rtol", "atol") if integrator.adaptive else ("dt",):
        setattr(finer, name, getattr(integrator, name) / ratio)
    finer.max_steps = math.ceil(max(10.0, ratio) * integrator.max_steps)
    return finer


def shorter(experiment: Experiment, ratio: float) -> Experiment:
    """The same with steps or tolerances smaller by a ratio."""
    finer = copy.copy(experiment)
    finer.integrator = refined(experiment.integrator, ratio)
    return finer


def richer(cfg: DictConfig, experiment: Experiment) -> Experiment:
    """The same problem with a finer network; steps of a fixed size shrink with it as explicit ones must, h^2."""
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


def distance(metrics: Metrics, theta: torch.Tensor, other: TransportMap, parameters: torch.Tensor) -> float:
    """W2 between the map that `metrics` measures at theta and another map (length)."""
    z, w = metrics.nodes.z, metrics.nodes.w
    with torch.no_grad():
        gap = metrics.evaluate(theta, z)[0] - other.evaluate(parameters.double(), z)[0]
    return torch.dot(w, gap * gap).sqrt().item()


def _distance(experiment: Experiment, theta: torch.Tensor, make: Callable[[], Experiment]) -> float:
    """By how much a finer run ends elsewhere (length).

    Raises:
        Unknown: it does not reach the end.
    """
    try:
        finer = make()
        end = finer.run(finer.theta, LoopCallback())
    except Exception as error:  # nothing that fails here may cost the run its result
        raise Unknown(in_one_line(error)) from error
    if end.status is not Status.completed:
        raise Unknown(f"the finer run ended as {end.status} at t = {end.clock.t:g}")
    metrics = Metrics(finer.problem, finer.map, None)
    return distance(metrics, end.state.theta, experiment.map, theta)
