"""Draws, runs and judges one problem."""

from __future__ import annotations

import json
import math
import os
import random
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig

from random_problems.draw import Settings, composed, valid
from random_problems.judges import truth
from random_problems.numbers import ROUNDING, Judge, Verdict
from random_problems.problem import posed
from random_problems.similar import COUNTS, SIMILARITIES, applied, expected
from wgf.errors import ConfigError
from wgf.flow import Flow
from wgf.integrators.status import Status
from wgf.run import runner
from wgf.run.build import build
from wgf.run.load import load

BOUNDED = 0.3  # share of the problems that get a bound by a richer run
INVARIANT = 1e-9  # relative difference of a number of a similar problem
ESTIMATED = 0.1  # the same of an error that a reference states: rounding decides its steps in time and tails of 1e-9

MEASURED = {"w1_error": "reference_error", "w2_error": "reference_w2_error", "w2_best": "reference_w2_error"}
STEPS = 2, 0.1  # difference of a count, and as a share of it: rounding may decide whether a step is accepted
ENCLOSED = 1e-3  # the same of bounds: they rest on an enclosure of V'' to 1e-4


def problem(seed: int, k: int) -> dict[str, Any]:
    """Draw, run and judge problem number k; returns its row."""
    draw = random.Random(f"{seed}-{k}")
    settings = valid(draw)
    row: dict[str, Any] = {"k": k, "pde": settings["pde"], "settings": settings}
    start = time.process_time()
    try:
        row |= judged(settings, draw)
    except ConfigError as error:
        row |= {"status": "refused", "message": error.lines[0]}
    except Exception:
        row |= {"status": "crash", "message": traceback.format_exc()}
    return row | {"cpu": round(time.process_time() - start, 2)}


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
    other = applied(SIMILARITIES[kind], settings)
    if other is not None:
        with TemporaryDirectory() as place:
            similar, _ = run(other, Path(place), rich)
        verdicts += compared(kind, settings, result, similar)
    if rich and result["w2_bound"] is None and not result["w2_bound_unknown"]:
        verdicts.append(Verdict("w2_bound_unknown", "no bound", 2.0, math.nan, math.nan))
    return row | {"verdicts": [asdict(verdict) for verdict in verdicts]}


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
    """Run the command on some settings; the content of its result.json, and the flow if it completed."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    path = folder / "samples.txt"
    path.write_text("\n".join(map(repr, settings.get("samples", []))) + "\n")
    cfg: DictConfig = composed(settings, str(path))
    cfg.verify = rich
    experiment = build(cfg)
    home = folder / "run"
    runner.run(experiment, cfg, home, bar=False)
    result = json.loads((home / "result.json").read_text())
    if "unsaved" in result:
        raise OSError(result["unsaved"])
    return result, load(home) if result["status"] == Status.completed.name else None


def compared(kind: str, settings: Settings, result: dict[str, Any], similar: dict[str, Any]) -> list[Verdict]:
    """The numbers of a similar problem against those that should follow from the problem."""
    by = f"invariance: {kind}"
    if similar["status"] != result["status"]:
        return [Verdict("status", by, 2.0, math.nan, math.nan)]
    s = SIMILARITIES[kind]
    found = []
    std = s.length * math.sqrt(max(result["second_moment"] - result["mean"] ** 2, 0.0))
    size = std + s.length * s.shift
    energies = s.energy * (abs(result["energy"] or 0.0) + abs(result["dissipated"])) + 1e-300
    rounding = INVARIANT * ROUNDING[settings["dtype"]] / ROUNDING["float64"]
    if any(similar[name] != result[name] for name in ("steps", "rejected")):  # then the tolerance of the steps counts
        rounding = max(rounding, settings.get("integrator.rtol", 1e-3))
    for name, right in expected(s, settings, result).items():
        printed = similar.get(name)
        if right is None or printed is None:
            if (right is None) != (printed is None):
                found.append(Verdict(name, by, 2.0, math.nan if printed is None else printed, math.nan))
            continue
        scale = size if "w2" in name or "error" in name or name == "mean" else energies if "energy" in name else 0.0
        scale = size**2 if "moment" in name else 1.0 if name == "min_slope" else scale
        scale = energies / (s.energy * abs(result["dissipated"]) + 1e-300) if name == "dissipation_gap" else scale
        counted = STEPS[0] + STEPS[1] * abs(right) if name in ("steps", "rejected", "evaluations") else 0.5
        allowed = counted if name in COUNTS else rounding * (abs(right) + scale)
        if name.startswith("reference_"):
            allowed = max(allowed, ESTIMATED * abs(right))
        if name in MEASURED:
            allowed += s.length * (result[MEASURED[name]] or 0.0)
        if name.startswith("w2_bound"):
            if name != "w2_bound_lambda" and min(right, printed) > size:
                continue  # a bound above the width of the law says nothing
            allowed = max(allowed, ENCLOSED * abs(right))
        found.append(Verdict(name, by, abs(printed - right) / (allowed + 1e-300), printed, right))
    return found
