"""From a config to the parts of a run."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from wgf import comparison, exact, posed
from wgf.callbacks.base import Callback
from wgf.device import device_of
from wgf.errors import ConfigError
from wgf.evolve import Clock, End, Observer, run
from wgf.integrators.base import Integrator
from wgf.networks.base import TransportMap
from wgf.problem import Problem
from wgf.projection import Projection
from wgf.reference import Law


@dataclass
class Experiment:
    """The assembled parts of one run.

    Attributes:
        saves: the solution is saved at t = 0 and at the end of each of this many equal intervals.
        logger: the sink chosen in the group `logger`.
        figures: whether plots are drawn at the end.
        reference: the setting `reference_solution`: what to compare with where nothing exact is known.
    """

    problem: Problem
    map: TransportMap
    projection: Projection
    integrator: Integrator
    exact: exact.Exact | None
    saves: int
    logger: Callback
    figures: bool
    reference: str = "none"

    @property
    def stops(self) -> list[float]:
        """The saved times after the start, the last one the end time (time)."""
        return [self.problem.t_end * (k + 1) / self.saves for k in range(self.saves)]

    def flow(self, theta: torch.Tensor, observer: Observer, clock: Clock | None = None) -> End:
        """The time loop, or the rest of it from where a clock stands."""
        return run(self.projection, self.integrator, theta, self.stops, observer, clock)


def _make(node: DictConfig, **injected: Any) -> Any:
    """Call the target of a node with its settings and those injected arguments it asks for."""
    factory = instantiate(node, _partial_=True, _convert_="all")
    wanted = inspect.signature(factory.func).parameters
    try:
        return factory(**{name: value for name, value in injected.items() if name in wanted})
    except (ArithmeticError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{node} leads to numbers that cannot be computed with: {error}") from None
    except TypeError:
        if not inspect.isabstract(factory.func):
            raise
        raise ConfigError(
            f"_target_={node._target_} is not allowed: the class leaves methods to its subclasses"
        ) from None


def build(cfg: DictConfig) -> Experiment:
    """Assemble an experiment from a checked config.

    Raises:
        ConfigError: a combination that the config alone did not show to be impossible.
    """
    device, dtype = device_of(cfg.device), {"float64": torch.float64, "float32": torch.float32}[cfg.dtype]
    seed = int(cfg.seed)
    generator = torch.Generator().manual_seed(seed)
    law: Law = _make(cfg.reference)
    problem: Problem = _make(cfg.pde).problem(law, _make(cfg.potential), _make(cfg.interaction), float(cfg.t_end))
    posed.check_problem(problem, dtype)
    network: TransportMap = _make(cfg.network, law=law, generator=generator).to(device=device, dtype=dtype)
    projection = Projection(problem, network, _make(cfg.quadrature, seed=seed), _make(cfg.solver))
    posed.check_start(projection)
    return Experiment(
        problem,
        network,
        projection,
        _make(cfg.integrator),
        comparison.closed_form(problem, cfg.reference_solution),
        int(cfg.saves),
        _make(cfg.logger),
        cfg.figures,
        cfg.reference_solution,
    )
