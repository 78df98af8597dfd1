"""From a config to the parts of a run."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from wgf.assemble import assemble
from wgf.errors import ConfigError
from wgf.integrators.base import Integrator
from wgf.integrators.time_loop import Clock, End, LoopCallback, run
from wgf.networks.base import TransportMap
from wgf.problem.equations import Problem
from wgf.projection.field import Projection
from wgf.reference_solutions.choose import closed_form
from wgf.reference_solutions.exact import Exact
from wgf.run import memory
from wgf.run.callbacks.base import Callback
from wgf.settings.check import GROUPS, raise_faults
from wgf.settings.constructors import settings


@dataclass
class Experiment:
    """The assembled parts of one run.

    Attributes:
        projection: problem, network, quadrature and solver.
        integrator: the method that takes the steps.
        saves: the solution is saved at t = 0 and at the end of each of this many equal intervals.
        logger: the callback chosen in the group `logger`.
        figures: whether plots are drawn at the end.
        reference: the setting `reference_solution`: what errors are measured against.
    """

    projection: Projection
    integrator: Integrator
    saves: int
    logger: Callback
    figures: bool
    reference: str = "none"

    @property
    def problem(self) -> Problem:
        """What is solved."""
        return self.projection.problem

    @property
    def map(self) -> TransportMap:
        """The network."""
        return self.projection.map

    @property
    def exact(self) -> Exact | None:
        """The solution by a formula, or None."""
        return closed_form(self.problem, self.reference)

    @property
    def theta(self) -> torch.Tensor:
        """The parameters at t = 0 [p]."""
        return self.map.start(self.projection.start)

    @property
    def stops(self) -> list[float]:
        """The saved times after the start, the last one the end time (time)."""
        return [self.problem.t_end * (k + 1) / self.saves for k in range(self.saves)]

    def run(self, theta: torch.Tensor, callback: LoopCallback, clock: Clock | None = None) -> End:
        """The time loop, or the rest of it from where a clock stands."""
        return run(self.projection, self.integrator, theta, self.stops, callback, clock)


def build(cfg: DictConfig) -> Experiment:
    """Assemble an experiment from a checked config.

    Raises:
        ConfigError: a combination that the config alone did not show to be impossible.
    """
    seed = int(cfg.seed)
    parts = _parts(cfg, seed)
    problem: Problem = parts["pde"].problem(parts["law"], parts["potential"], parts["interaction"], float(cfg.t_end))
    closed_form(problem, cfg.reference_solution)  # refuses what cannot be had before anything runs
    quadrature, solver, integrator = parts["quadrature"], parts["solver"], parts["integrator"]
    defaults = {name: setting.default for name, setting in (settings(cfg.network._target_) or {}).items()}
    network: type[TransportMap] = get_class(cfg.network._target_)
    size = network.size(defaults | dict(cfg.network))
    if size is not None and cfg.device == "cpu":
        memory.check(size, problem, quadrature, solver, integrator, cfg.saves)
    generator = torch.Generator().manual_seed(seed)
    projection, method = assemble(
        problem,
        lambda base: _make("network", cfg.network, base=base, generator=generator),
        quadrature,
        solver,
        integrator,
        cfg.device,
        cfg.dtype,
    )
    return Experiment(projection, method, int(cfg.saves), parts["logger"], cfg.figures, cfg.reference_solution)


def _parts(cfg: DictConfig, seed: int) -> dict[str, Any]:
    """The object of every group but the network.

    Raises:
        ConfigError: with the faults of all of them.
    """
    parts: dict[str, Any] = {}
    lines: list[str] = []
    for group in GROUPS:
        if group != "network":
            try:
                parts[group] = _make(group, cfg[group], seed=seed)
            except ConfigError as error:
                lines += error.lines
    raise_faults(lines)
    return parts


def _make(group: str, node: DictConfig, **injected: Any) -> Any:
    """Call the target of a node with its settings and those injected arguments it takes."""
    factory = instantiate(node, _partial_=True, _convert_="all")
    wanted = inspect.signature(factory.func).parameters
    try:
        return factory(**{name: value for name, value in injected.items() if name in wanted})
    except ConfigError as error:
        raise ConfigError(*(_placed(line, group, node) for line in error.lines)) from None
    except (ArithmeticError, ValueError) as error:
        raise ConfigError(f"{node} leads to numbers that cannot be computed with: {error}") from None
    except TypeError:
        if not inspect.isabstract(factory.func):
            raise
        raise ConfigError(
            f"{group}._target_={node._target_} is not allowed: the class leaves methods to its subclasses"
        ) from None


def _placed(line: str, group: str, node: DictConfig) -> str:
    """A complaint of a constructor with the group of the setting that it begins with."""
    return f"{group}.{line}" if re.split(r"[=, ]", line, maxsplit=1)[0] in node else line
