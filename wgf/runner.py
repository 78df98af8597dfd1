"""From a config to a result: build assembles the parts, run lets them flow and writes what a run leaves behind."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import math
import os
import platform
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from wgf import comparison, exact, posed, table
from wgf.callbacks.base import Callback, Outcome, Run, Sinks
from wgf.callbacks.checkpoint import Checkpoint
from wgf.callbacks.figures import Figures
from wgf.callbacks.history import History
from wgf.callbacks.progress import Progress
from wgf.errors import ConfigError
from wgf.evolve import Clock, End, evolve
from wgf.files import replacing
from wgf.integrators.base import Integrator, State
from wgf.metrics import Metrics
from wgf.networks.base import TransportMap
from wgf.problem import Problem
from wgf.projection import Projection
from wgf.reference import Law
from wgf.solution import Solution
from wgf.status import Status

log = logging.getLogger("wgf")

ROWS = 200  # logged steps per run, about
GRID = 2001  # points of the reference space in solution.npz


@dataclasses.dataclass
class Experiment:
    """The assembled parts of one run.

    Attributes:
        saves: the solution is saved at t = 0 and at the end of each of this many equal intervals.
        logger: the sink chosen in the group `logger`.
        figures: whether plots are drawn at the end.
        finite_volume: whether to compare with finite volumes where nothing exact is known.
    """

    problem: Problem
    map: TransportMap
    projection: Projection
    integrator: Integrator
    exact: exact.Exact | None
    saves: int
    logger: Callback
    figures: bool
    finite_volume: bool = False


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


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device={name!r} is not allowed: expected cpu, cuda, cuda:<number> or auto") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device={name!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices; "
            "say device=cpu or device=auto"
        )
    return device


def build(cfg: DictConfig) -> Experiment:
    """Assemble an experiment from a checked config.

    Raises:
        ConfigError: a combination that the config alone did not show to be impossible.
    """
    device, dtype = _device(cfg.device), {"float64": torch.float64, "float32": torch.float32}[cfg.dtype]
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
        cfg.reference_solution in ("auto", "finite_volume"),
    )


class Recorder:
    """Turns the steps of the loop into rows, snapshots and checkpoints."""

    def __init__(self, experiment: Experiment, metrics: Metrics, sinks: Sinks) -> None:
        self.metrics, self.sinks, self.problem = metrics, sinks, experiment.problem
        panels = experiment.problem.law.panels()
        self.z = torch.linspace(panels[0], panels[-1], GRID, dtype=torch.float64, device=metrics.nodes.z.device)
        self.snapshots: list[tuple[float, torch.Tensor]] = []
        self._rows = 0  # intervals of t_end / ROWS that have their row
        self._last_row = -1

    def step(self, clock: Clock, state: State, energy: float) -> None:
        self.sinks.step(clock.t, clock.dt, energy)
        if clock.t >= (self._rows + 1) * self.problem.t_end / ROWS:
            self._row(clock, state)

    def _row(self, clock: Clock, state: State) -> None:
        if clock.steps != self._last_row:
            self._last_row = clock.steps
            self._rows = math.floor(clock.t / self.problem.t_end * ROWS)
            self.sinks.row(self.metrics.row(clock, state))

    def stop(self, clock: Clock, state: State) -> None:
        self._row(clock, state)
        self.snapshots.append((clock.t, state.theta))
        self.sinks.checkpoint({**dataclasses.asdict(clock), "step": clock.steps, "theta": state.theta})

    def close(self, end: End) -> None:
        """The last state, whatever the reason for stopping."""
        if self.snapshots and end.clock.t > self.snapshots[-1][0]:
            self.stop(end.clock, end.state)

    def solution(self) -> Solution | None:
        """The saved maps."""
        if not self.snapshots:
            return None
        times = [t for t, _ in self.snapshots]
        maps = [self.metrics.at(theta, self.z) for _, theta in self.snapshots]
        known = self.metrics.exact
        rows = {"T": [x for x, _ in maps], "dT": [dx for _, dx in maps]}
        if known is not None:
            rows["exact_T"] = [known(t, self.z) for t in times]
        knots = [self.metrics.map.knots(theta).double() for _, theta in self.snapshots]
        if len(knots[0]):
            rows["knots"] = knots
        arrays = {name: torch.stack(row).cpu().numpy() for name, row in rows.items()}
        density = self.problem.law.density(self.z)
        return Solution(t=np.array(times), z=self.z.cpu().numpy(), rho0=density.cpu().numpy(), **arrays)


def _git_commit() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _provenance(cfg: DictConfig, theta: torch.Tensor, start: datetime) -> dict[str, Any]:
    packages = ("wgf", "torch", "numpy", "scipy", "hydra-core", "omegaconf", "tensorboard", "matplotlib")
    device = torch.cuda.get_device_name(theta.device) if theta.is_cuda else platform.processor() or platform.machine()
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in packages},
        "git_commit": _git_commit(),
        "device": f"{theta.device}: {device}",
        "threads": torch.get_num_threads(),
        "seed": cfg.seed,
        "argv": sys.argv,
        "host": platform.node(),
        "start": start.isoformat(timespec="seconds"),
        "end": None,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all; numbers that are not finite become null, which JSON can hold."""
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}
    with replacing(path) as file:
        file.write((json.dumps(finite, indent=2, allow_nan=False) + os.linesep).encode())


def _result(experiment: Experiment, metrics: Metrics, end: End, start_energy: float, wall: float) -> dict[str, Any]:
    clock, state = end.clock, end.state
    row = metrics.row(clock, state)
    lost = start_energy - float(row["energy"])  # type: ignore[arg-type]
    law = exact.second_moment(experiment.problem, clock.t)
    return {
        "status": end.status.name,
        "message": end.status.value + (f" ({end.detail})" if end.detail else ""),
        "equation": experiment.problem.equation,
        "t_end": clock.t,
        "t_wanted": experiment.problem.t_end,
        "steps": clock.steps,
        "rejected": clock.rejected,
        "evaluations": clock.evaluations,
        "energy": row["energy"],
        **{key: value for key, value in row.items() if key.startswith("energy_")},
        "dissipated": clock.dissipated,
        "dissipation_gap": abs(lost - clock.dissipated) / lost if lost > 0 else None,
        "w1_error": row["w1_error"],
        "w2_error": row["w2_error"],
        "reference_solution": metrics.exact.name if metrics.exact else None,
        "reference_error": getattr(metrics.exact, "error", None),
        "mass": metrics.measure(clock.t, state.theta)["mass"],
        "mean": row["mean"],
        "second_moment": row["second_moment"],
        "second_moment_law": law,
        "blow_up_bound": exact.blow_up_bound(experiment.problem),
        "min_slope": row["min_slope"],
        "parameters": state.theta.numel(),
        **{key: row[key] for key in ("rank", "condition", "residual", "truncated", "damped", "iterations")},
        "wall_s": round(wall, 3),
    }


def run(experiment: Experiment, cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Let the flow run and leave its files in `folder`; returns the content of result.json."""
    problem, theta = experiment.problem, experiment.map.theta.detach()
    start, clock = datetime.now(UTC), time.perf_counter()
    metrics = Metrics(problem, experiment.map, experiment.exact)
    text = OmegaConf.to_yaml(cfg, resolve=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(text)
    provenance = _provenance(cfg, theta, start)
    _write_json(folder / "provenance.json", provenance)
    log.info("%s, t_end = %g, %d parameters", problem.equation, problem.t_end, theta.numel())
    record = Run(folder, problem.equation, problem.t_end, metrics.columns, text, provenance)
    figures = [Figures()] if experiment.figures else []
    with closing(Sinks([Progress(), History(), Checkpoint(), experiment.logger, *figures])) as sinks:
        sinks.start(record)
        recorder = Recorder(experiment, metrics, sinks)
        stops = [problem.t_end * (k + 1) / experiment.saves for k in range(experiment.saves)]
        end = evolve(
            experiment.projection,
            experiment.integrator,
            theta,
            stops,
            recorder,
            noise=experiment.projection.noise,
            attractive=problem.interaction.collapses,
        )
        recorder.close(end)
        wall = time.perf_counter() - clock
        reached = [t for t in stops if t <= end.clock.t]
        if metrics.exact is None and experiment.finite_volume and reached and reached[-1] == end.clock.t:
            metrics.exact = comparison.computed(problem, reached)
        solution = recorder.solution()
        begin = float(experiment.projection(theta).terms.sum())
        result = _result(experiment, metrics, end, begin, wall)
        if solution is not None:
            solution.save(folder / "solution.npz")
        _write_json(folder / "result.json", result)
        _write_json(folder / "provenance.json", provenance | {"end": datetime.now(UTC).isoformat(timespec="seconds")})
        sinks.finish(record, Outcome(end.status, result, solution))
    if end.status is not Status.completed:
        log.warning("%s at t = %g: %s", end.status, end.clock.t, result["message"])
    return result


def main(cfg: DictConfig, folder: Path) -> int:
    """Run a config and print its table; returns the exit status, 0 only for a completed run."""
    result = run(build(cfg), cfg, folder)
    table.show(result, result["equation"], folder)
    return 0 if result["status"] == Status.completed.name else 1
