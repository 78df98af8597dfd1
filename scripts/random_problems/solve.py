"""Draws, runs and judges one problem."""

from __future__ import annotations

import json
import math
import os
import random
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from omegaconf import DictConfig

from random_problems import custom, walls
from random_problems.draw import Settings, composed, overrides, valid, with_a_needle, with_moving_breakpoints
from random_problems.invariance import invariance
from random_problems.judges import truth
from random_problems.numbers import Judge, Verdict
from random_problems.problem import posed
from random_problems.similar import SIMILARITIES
from wgf.errors import ConfigError
from wgf.flow import Flow
from wgf.integrators.status import Status
from wgf.reference_solutions.finite_volumes.refinement import Reference
from wgf.run import runner
from wgf.run.build import build
from wgf.run.load import load

BOUNDED = 0.3  # share of the problems that get a bound by a richer run


class Source(NamedTuple):
    """Where problems come from: problem number k depends on (family, seed, k) alone.

    Attributes:
        seed: of all random numbers.
        family: line, narrow (potentials with a narrow well or peak), adaptive (breakpoints that follow the solution),
            custom (potentials that move, tables of V, kernels by formula), or walls (between walls and on circles).
        added: settings of every problem.
    """

    seed: int
    family: str = "line"
    added: Mapping[str, Any] = {}

    def drawn(self, k: int) -> tuple[random.Random, Settings]:
        """What draws the rest of problem number k, and its settings."""
        draw = random.Random(f"{self.seed}-{k}" if self.family == "line" else f"{self.family}-{self.seed}-{k}")
        moving = with_moving_breakpoints
        kinds = {"line": overrides, "narrow": with_a_needle, "adaptive": moving, "walls": walls.overrides}
        return draw, valid(draw, (kinds | {"custom": custom.overrides})[self.family]) | self.added

    def head(self, k: int, settings: Settings) -> dict[str, Any]:
        """What the row of problem number k begins with: the group that counts it is its domain, kind or equation."""
        group = custom.kind(settings) if self.family == "custom" else settings.get("domain", settings["pde"])
        return {"k": k, "pde": group, "settings": settings}


def problem(source: Source, k: int) -> dict[str, Any]:
    """Draw, run and judge problem number k; returns its row."""
    draw, settings = source.drawn(k)
    row = source.head(k, settings)
    start = time.process_time()
    try:
        row |= between_walls(settings, draw) if source.family == "walls" else judged(settings, draw)
    except ConfigError as error:
        row |= {"status": "refused", "message": error.lines[0]}
    except Exception:
        row |= {"status": "crash", "message": traceback.format_exc()}
    return row | {"cpu": round(time.process_time() - start, 2)}


def between_walls(settings: Settings, draw: random.Random) -> dict[str, Any]:
    """Entries of a row of a problem between walls or on a circle."""
    with TemporaryDirectory() as place:
        result, flow = run(settings, Path(place), False)
        verdicts = [] if flow is None else walls.verdicts(settings, flow, result)
    row = {key: result[key] for key in ("status", "steps", "message", "doubts")}
    kind = draw.choice([*SIMILARITIES])
    if flow is not None:
        verdicts += invariance(kind, settings, result, flow.problem.law.std, lambda other: run_in_passing(other, False))
    return row | {"verdicts": [asdict(verdict) for verdict in verdicts]}


def judged(settings: Settings, draw: random.Random) -> dict[str, Any]:
    """Entries of a row: status, and the verdicts of a completed run."""
    return problem_of(settings, draw.random() < BOUNDED, draw.choice([*SIMILARITIES]))


def problem_of(settings: Settings, rich: bool, kind: str = "shift") -> dict[str, Any]:
    """The same, with a richer run that bounds the error if `rich`, and compared with a similar problem."""
    with TemporaryDirectory() as place:
        result, flow = run(settings, Path(place), rich)
        row = {key: result[key] for key in ("status", "steps", "message", "doubts", "w2_bound_unknown")}
        if result["status"] != Status.completed.name:
            return row
        known = posed(settings, flow.problem.law and Quantiles(flow.problem.law))
        judge = Judge(flow, result, known, truth(known, result["t_end"]))
        verdicts = judge.verdicts()
    verdicts += invariance(kind, settings, result, flow.problem.law.std, lambda other: run_in_passing(other, rich))
    if rich and result["w2_bound"] is None and not result["w2_bound_unknown"]:
        verdicts.append(Verdict("w2_bound_unknown", "no bound", 2.0, math.nan, math.nan))
    return row | {"unjudged": judge.unjudged, "verdicts": [asdict(verdict) for verdict in verdicts]}


class Quantiles:
    """The law of samples, which wgf defines."""

    def __init__(self, law: Any) -> None:
        self._law = law

    def __getattr__(self, name: str) -> Any:
        names = {"cdf": "cdf", "sf": "survival", "ppf": "quantile", "isf": "upper_quantile"}
        if name not in names:
            raise AttributeError(name)
        import torch

        function = getattr(self._law, names[name])
        return lambda x: function(torch.as_tensor(x, dtype=torch.float64)).numpy()


def run(settings: Settings, folder: Path, rich: bool) -> tuple[dict[str, Any], Flow | None]:
    """Run the command on some settings; what `run_in_passing` gives, and the flow if it completed."""
    result = _run(settings, folder, rich)
    return result, load(folder / "run") if result["status"] == Status.completed.name else None


def run_in_passing(settings: Settings, rich: bool) -> dict[str, Any]:
    """The content of result.json, and the number of cells of finite volumes, of a run whose files are not kept."""
    with TemporaryDirectory() as place:
        return _run(settings, Path(place), rich)


def _run(settings: Settings, folder: Path, rich: bool) -> dict[str, Any]:
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    path = folder / "samples.txt"
    path.write_text("\n".join(map(repr, settings.get("samples", []))) + "\n")
    cfg: DictConfig = composed(settings, str(path))
    cfg.verify = rich
    experiment = build(cfg)
    runner.run(experiment, cfg, folder / "run", bar=False)
    result = json.loads((folder / "run" / "result.json").read_text())
    if "unsaved" in result:
        raise OSError(result["unsaved"])
    if result["reference_solution"] == "finite volumes":
        known = load(folder / "run").reference_solution
        if isinstance(known, Reference):
            grid, std = known.fine.grid, known.law.std
            result["cells"] = grid.cells, known.fine.smooth, round(math.log2(grid.stretch / std), 2)
    return result
