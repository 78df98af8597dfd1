"""Builds the parts of a run from a config."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from wgf.assemble import assemble
from wgf.confirm import at_tolerance, confirm, noted
from wgf.engine.compiled import run
from wgf.errors import ConfigError
from wgf.expectation import observed
from wgf.integrators.base import Integrator
from wgf.integrators.time_loop import Clock, End, LoopCallback
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
        saves: number of equal intervals; a run saves the solution at t = 0 and at the end of each.
        logger: the callback chosen in the group `logger`.
        figures: whether the run draws figures at the end.
        reference: the setting `reference_solution`, which selects what errors are measured against.
        certificate: how the run bounds its error: "own", "rich" or "none".
        observed: formulas of x whose means are columns of the history.
        record: "steps", or "end" for a run that measures its last state alone.
    """

    projection: Projection
    integrator: Integrator
    saves: int
    logger: Callback
    figures: bool
    reference: str = "none"
    certificate: str = "own"
    observed: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = field(default_factory=dict)
    record: str = "steps"

    @property
    def problem(self) -> Problem:
        """The equation with its law and energies."""
        return self.projection.problem

    @property
    def map(self) -> TransportMap:
        """The network."""
        return self.projection.map

    @property
    def exact(self) -> Exact | None:
        """Exact solution by a formula, or None."""
        return closed_form(self.problem, self.reference)

    @property
    def theta(self) -> torch.Tensor:
        """Parameters at t = 0 [p]."""
        return self.projection.initial

    @property
    def stops(self) -> list[float]:
        """Saved times after t = 0 (time); the last is the end time."""
        return [self.problem.t_end * (k + 1) / self.saves for k in range(self.saves)]

    def at(self, breakpoints: torch.Tensor) -> Projection:
        """The projection on other breakpoints [m] (length)."""
        map = self.map.on_breakpoints(breakpoints)
        return self.projection if map is self.map else self.projection.on(map)

    def confirmed(self, past: dict[str, Any] | None) -> Experiment:
        """The experiment with the tolerance that network.width=auto finds, or that a checkpoint holds; else itself."""
        adaptation = self.map.adaptation
        if adaptation is None or not adaptation.confirms:
            return self
        if past is None:
            projection, method = confirm(self.projection, self.integrator, self.stops)
        else:
            tol, gap, unconfirmed = past["confirmation"]
            projection, method = noted(*at_tolerance(self.projection, self.integrator, tol), gap, unconfirmed)
        return replace(self, projection=projection, integrator=method)

    @property
    def confirmation(self) -> list[Any] | None:
        """What a checkpoint keeps of `confirmed`."""
        adaptation = self.map.adaptation
        return None if adaptation is None else [adaptation.tol, adaptation.gap, adaptation.unconfirmed]

    def run(
        self,
        theta: torch.Tensor,
        callback: LoopCallback,
        clock: Clock | None = None,
        projection: Projection | None = None,
    ) -> End:
        """Run the time loop from t = 0, or from the time of a clock, maybe with a projection on other breakpoints."""
        return run(projection or self.projection, self.integrator, theta, self.stops, callback, clock)


def build(cfg: DictConfig) -> Experiment:
    """Assemble an experiment from a checked config.

    Raises:
        ConfigError: the parts do not fit together.
    """
    record = cfg.record
    if record == "auto":
        record = "steps" if cfg.figures or cfg.observe or get_class(cfg.logger._target_) is not Callback else "end"
    elif record == "end" and (cfg.figures or cfg.observe):
        raise ConfigError(
            "record=end is impossible with figures=true or observe: say figures=false without observe, or record=steps"
        )
    seed = int(cfg.seed)
    parts = _parts(cfg, seed)
    network: type[TransportMap] = get_class(cfg.network._target_)
    terms = parts["law"], parts["potential"], parts["interaction"]
    network.check_domain(parts["domain"])
    base = network.base_for(cfg.base)
    problem: Problem = parts["pde"].problem(*terms, float(cfg.t_end), base, parts["domain"])
    problem = replace(problem, steady=float(cfg.steady) if cfg.stop == "steady" else 0.0)
    closed_form(problem, cfg.reference_solution)  # refuse an impossible setting before the run
    quadrature, solver, integrator = parts["quadrature"], parts["solver"], parts["integrator"]
    defaults = {name: setting.default for name, setting in (settings(cfg.network._target_) or {}).items()}
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
        cfg.engine,
    )
    certificate = "rich" if cfg.verify else cfg.certificate
    return Experiment(
        projection,
        method,
        int(cfg.saves),
        parts["logger"],
        cfg.figures,
        cfg.reference_solution,
        certificate,
        observed(cfg.observe),
        record,
    )


def _parts(cfg: DictConfig, seed: int) -> dict[str, Any]:
    """Build the object of every group except the network.

    Raises:
        ConfigError: with the faults of all groups.
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
    """Call the target of a node with its settings, and with the injected arguments that its signature has."""
    given: Any = OmegaConf.to_container(node, resolve=True)
    kind = get_class(given.pop("_target_"))
    wanted = inspect.signature(kind).parameters
    try:
        return kind(**given, **{name: value for name, value in injected.items() if name in wanted})
    except ConfigError as error:
        raise ConfigError(*(_placed(line, group, node) for line in error.lines)) from None
    except (ArithmeticError, ValueError) as error:
        raise ConfigError(f"{node} causes an arithmetic error ({error}): change these values") from None
    except TypeError:
        if not inspect.isabstract(kind):
            raise
        raise ConfigError(
            f"{group}._target_={node._target_} is not allowed: the class is abstract, choose a subclass"
        ) from None


def _placed(line: str, group: str, node: DictConfig) -> str:
    """Put the group in front of a constructor's message that begins with a setting of the group."""
    return f"{group}.{line}" if re.split(r"[=, ]", line, maxsplit=1)[0] in node else line
