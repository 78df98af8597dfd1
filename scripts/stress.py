"""Run random valid problems to their end; count crashes, hangs and untrue results.

    python scripts/stress.py --count 2000 --out stress.jsonl        the same command again continues after a stop

Problem number k depends on (seed, k) alone. It is drawn from all equations, potentials (also random expressions with
kinks), laws, networks, quadratures, solvers, integrators and precisions. It runs like every run of `wgf`; its files go
to a temporary folder. The error is measured against the exact solution if there is one, and against finite volumes or
particles for a share of the other problems. These runs also bound their error (`verify=true`). A completed run is
untrue if

    error > bound + FACTOR * error of the reference solution + FLOOR * size of the solution,

all of them W2 distances. A run without a bound is silent, and counts as a failure, if it does not say why.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import multiprocessing
import os
import random
import resource
import sys
import time
import traceback
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["WGF_NO_CACHE"] = "1"

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from wgf.errors import ConfigError
from wgf.integrators.status import Status
from wgf.run import runner
from wgf.run.build import build
from wgf.saved_maps import SavedMaps
from wgf.settings.check import CONFIGS, check

FACTOR = 5.0
FLOOR = {"float64": 1e-7, "float32": 1e-3}
COMPUTED = 0.3  # share of the problems without an exact solution that get a computed reference solution
CPU, WALL = 600, 1200  # a problem that takes longer hangs (s)
STEPS = 120
STATUSES = [*(status.name for status in Status), "refused"]


# draw a problem


def number(draw: random.Random, low: float, high: float) -> float:
    """A number with uniform distribution, three digits."""
    return float(f"{draw.uniform(low, high):.3g}")


def size(draw: random.Random, low: float, high: float) -> float:
    """A positive number whose logarithm has uniform distribution, three digits."""
    return float(f"{math.exp(draw.uniform(math.log(low), math.log(high))):.3g}")


def expression(draw: random.Random) -> str:
    """A potential: a sum of a few terms, some with kinks, with a well or without."""
    atoms = (
        "abs(y)", "abs(y)**1.5", "sqrt(1 + y**2)", "cos(3*y)", "sin(2*y)", "exp(-y**2)", "log(1 + y**2)", "tanh(y)",
        "atan(2*y)", "1/(1 + y**2)", "y**2", "y**4/4", "erf(y)", "y", "exp(-abs(y))", "y**2*exp(-y**2)",
        "abs(abs(y) - 1)",
    )  # fmt: skip
    terms = []
    for _ in range(draw.randint(1, 3)):
        atom = draw.choice(atoms).replace("y", f"(x - {number(draw, -1.5, 1.5)})".replace("- -", "+ "))
        terms.append(f"{number(draw, -1.5, 2.0)}*{atom}")
    if draw.random() < 0.5:
        terms.append(draw.choice(["x**2/2", "x**4/4 - x**2/2", "abs(x)"]))
    return " + ".join(terms)


def overrides(draw: random.Random) -> dict[str, Any]:
    """Random overrides, not always valid."""
    cfg: dict[str, Any] = {"t_end": size(draw, 1e-3, 0.3), "seed": draw.randint(0, 99)}
    cfg["dtype"] = "float32" if draw.random() < 0.08 else "float64"
    cfg["saves"] = draw.choice([1, 1, 2, 5])
    pde = draw.choice(["linear_transport", "fokker_planck", "porous_medium", "keller_segel", "aggregation_diffusion"])
    cfg["pde"] = pde
    if pde != "linear_transport":
        cfg["pde.diffusion"] = size(draw, 0.05, 2.0)
    if pde == "porous_medium":
        cfg["pde.exponent"] = draw.choice([1.3, 1.5, 2.0, 2.0, 3.0, 4.5])
    if pde == "keller_segel":
        cfg["pde.chi"] = number(draw, 0.0, 2.5)
    if pde == "aggregation_diffusion":
        cfg["pde.diffusion"] = draw.choice([0.0, cfg["pde.diffusion"]])
        cfg["pde.exponent"] = draw.choice([1.0, 1.0, 2.0, 3.0])
        kernel = cfg["interaction"] = draw.choice(["none", "log", "newtonian", "quadratic", "power_law", "morse"])
        if kernel in ("log", "newtonian", "quadratic"):
            cfg["interaction.strength"] = number(draw, -2, 2)
        elif kernel == "power_law":
            cfg["interaction.repulsion"] = draw.choice([1.0, 1.5, 2.0])
            cfg["interaction.attraction"] = cfg["interaction.repulsion"] + draw.choice([0.5, 1.0, 2.0])
            cfg["interaction.strength"] = size(draw, 0.2, 2)
        elif kernel == "morse":
            for name in ("attraction", "repulsion", "attraction_length", "repulsion_length"):
                cfg[f"interaction.{name}"] = size(draw, 0.3, 2)
    potential = cfg["potential"] = draw.choice(["none", "quadratic", "quartic", "sextic", "expression", "expression"])
    if potential == "quadratic":
        cfg["potential.stiffness"] = number(draw, -1, 3)
    if potential == "expression":
        cfg["potential.expr"] = expression(draw)
    elif potential != "none":
        cfg["potential.center"] = number(draw, -1, 1.5)
    law = cfg["law"] = draw.choice(["gaussian", "uniform", "laplace", "semicircle", "barenblatt", "mixture"])
    if law == "gaussian":
        cfg |= {"law.mean": number(draw, -1, 1), "law.std": size(draw, 0.3, 2)}
    if law == "uniform":
        cfg["law.low"] = number(draw, -2, 0.5)
        cfg["law.high"] = cfg["law.low"] + size(draw, 0.5, 3)
    if law == "laplace":
        cfg |= {"law.loc": number(draw, -1, 1), "law.scale": size(draw, 0.3, 1)}
    if law == "semicircle":
        cfg["law.radius"] = size(draw, 0.5, 2.5)
    if law == "barenblatt":
        cfg["law.exponent"] = cfg.get("pde.exponent", 2.0) if cfg.get("pde.exponent", 1.0) > 1 else 2.0
        cfg["law.t0"] = size(draw, 0.2, 2)
    if law == "mixture":
        cfg["law.means"] = [number(draw, -2, 0), number(draw, 0, 2)]
        cfg["law.stds"] = [size(draw, 0.3, 1), size(draw, 0.3, 1)]
        cfg["law.weights"] = [number(draw, 0.2, 1), number(draw, 0.2, 1)]
    network = cfg["network"] = draw.choice(["spline", "spline", "two_sided_relu", "two_sided_relu", "mlp"])
    cfg["network.width"] = draw.randint(3, 5) if network == "mlp" else draw.randint(4, 12)
    if network != "mlp":
        cfg["network.bound"] = number(draw, 2.5, 5)
    if network == "spline":
        cfg["network.degree"] = draw.randint(1, 5)
        cfg["network.knots"] = draw.choice(["uniform", "uniform", "quantile"])
    if network == "two_sided_relu":
        cfg["network.train"] = draw.choice(["weights", "biases", "all"])
        if cfg["network.train"] == "all":
            cfg["network.width"] = draw.randint(3, 5)
    if draw.random() < 0.1:
        cfg |= {"quadrature": "monte_carlo", "quadrature.particles": draw.choice([300, 800])}
    else:
        cfg["quadrature.order"] = draw.randint(cfg.get("network.degree", 1) + 1, 9)
    implicit = "auto" if cfg.get("network.train") == "all" else "gauss_newton"
    adaptive = draw.choice(["rodas4", "rodas4", "dopri5", implicit, "fixed", "fixed"])
    if adaptive == "fixed":
        cfg["integrator"] = draw.choice(["euler", "heun", "rk4", "jko", "sdirk2", "sdirk3"])
        cfg["integrator.dt"] = float(f"{cfg['t_end'] / draw.choice([4, 10, 20]):.3g}")
    else:
        cfg["integrator"] = adaptive
        cfg["integrator.rtol"] = draw.choice([1e-3, 1e-4, 1e-5])
        cfg["integrator.atol"] = cfg["integrator.rtol"] * 1e-2
    cfg["integrator.max_steps"] = STEPS
    cfg["solver"] = draw.choice(["auto"] * 6 + ["banded", "banded", "truncated", "qr", "cholesky"])
    if draw.random() < 0.03:
        cfg |= {"solver": "minres", "solver.max_iter": 50, "network.width": min(cfg["network.width"], 5)}
    return cfg


GROUPS = ("pde", "potential", "interaction", "law", "network", "quadrature", "solver", "integrator")


@cache
def main_job() -> DictConfig:
    """The config of the command `wgf`, without logger and figures."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("config", ["logger=none", "figures=false"])


@cache
def node(group: str, choice: str) -> DictConfig:
    """The settings of a choice of a group, without the choices it brings for other groups."""
    settings = OmegaConf.load(CONFIGS / group / f"{choice}.yaml")
    settings.pop("defaults", None)
    return settings  # type: ignore[return-value]


def composed(settings: dict[str, Any]) -> DictConfig:
    """The config of these overrides; faster than Hydra."""
    cfg = main_job().copy()
    OmegaConf.set_struct(cfg, False)
    for key, value in settings.items():
        if key in GROUPS:
            cfg[key] = node(key, value).copy()
        else:
            OmegaConf.update(cfg, key, value)
    return cfg


def valid(draw: random.Random) -> tuple[dict[str, Any], DictConfig]:
    """Draw settings until they pass the check; returns them and their config."""
    while True:
        settings = overrides(draw)
        cfg = composed(settings)
        try:
            check(cfg)
        except ConfigError:
            continue
        return settings, cfg


# run and judge


def problem(seed: int, k: int) -> dict[str, Any]:
    """Draw, run and judge problem number k; returns its row."""
    draw = random.Random(f"{seed}-{k}")
    settings, cfg = valid(draw)
    row: dict[str, Any] = {"k": k, "pde": settings["pde"], "settings": settings}
    start = time.process_time()
    try:
        row |= judge(cfg, draw.random() < COMPUTED)
    except ConfigError as error:
        row |= {"status": "refused", "message": error.lines[0]}
    except Exception:
        row |= {"status": "crash", "message": traceback.format_exc()}
    return row | {"cpu": round(time.process_time() - start, 2)}


def judge(cfg: DictConfig, compute: bool) -> dict[str, Any]:
    """Run a config and compare the error of a completed run with its bound.

    Args:
        cfg: the checked config.
        compute: whether to compute a reference solution if there is no exact one.

    Returns:
        Entries of a row; `untrue` if error and bound are known, `silent` if only the error is known.
    """
    experiment = build(cfg)
    cfg.verify = compute or experiment.exact is not None
    if cfg.verify:
        experiment.certificate = "rich"
    else:
        experiment.reference = cfg.reference_solution = "none"
    with TemporaryDirectory() as place:
        runner.run(experiment, cfg, Path(place), bar=False)
        result = json.loads((Path(place) / "result.json").read_text())
        if "unsaved" in result:
            raise OSError(result["unsaved"])
        SavedMaps.load(Path(place) / "solution.npz")
    row = {"t": result["t_end"], **{key: result[key] for key in ("status", "steps", "message", "doubts")}}
    error, bound = result["w2_error"], result["w2_bound"]
    if result["status"] != Status.completed.name or error is None:
        return row
    reference = result["reference_w2_error"] or 0.0
    row |= {"error": error, "reference": reference, "exact": experiment.exact is not None, "bound": bound}
    if bound is None:  # the result must say why
        return row | {"silent": not result["w2_bound_unknown"]}
    scale = max(math.sqrt(result["second_moment"] or 0.0), experiment.problem.law.std)
    allowed = bound + FACTOR * reference + FLOOR[cfg.dtype] * scale
    return row | {"untrue": error > allowed, "ratio": error / allowed}


def worker(seed: int, pipe: Any) -> None:
    """Solve the problems whose numbers come through a pipe, until None comes."""
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (k := pipe.recv()) is not None:
        pipe.send(problem(seed, k))


class Worker:
    """A process that solves one problem after the other and is killed if a problem hangs."""

    def __init__(self, seed: int) -> None:
        self.pipe, other_end = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=worker, args=(seed, other_end), daemon=True)
        self.process.start()
        self.seed, self.k, self.since, self.cpu = seed, -1, 0.0, 0.0

    def begin(self, k: int) -> None:
        """Start problem number k."""
        self.k, self.since, self.cpu = k, time.monotonic(), self._cpu()
        self.pipe.send(k)

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _lost(self) -> dict[str, Any]:
        return {"k": self.k, "settings": valid(random.Random(f"{self.seed}-{self.k}"))[0]}

    def answer(self) -> dict[str, Any] | None:
        """The row of the problem, or None while it runs."""
        if self.pipe.poll():
            return self.pipe.recv()
        if not self.process.is_alive():
            return self._lost() | {"status": "crash", "message": f"exit status {self.process.exitcode}"}
        if self._cpu() - self.cpu > CPU or time.monotonic() - self.since > WALL:
            self.process.kill()
            self.process.join()
            return self._lost() | {"status": "hang", "message": f"more than {CPU} s"}
        return None


def run(count: int, seed: int, jobs: int, out: Path) -> None:
    """Solve every problem whose row is not yet in `out`, and append the rows."""
    done = {row["k"] for row in rows(out)}
    remaining = [k for k in range(count) if k not in done][::-1]
    workers: list[Worker] = []
    with open(out, "a") as file:
        while remaining or workers:
            while remaining and len(workers) < jobs:
                workers.append(Worker(seed))
                workers[-1].begin(remaining.pop())
            for solver in list(workers):
                if (row := solver.answer()) is None:
                    continue
                row.setdefault("pde", row["settings"]["pde"])
                file.write(json.dumps(row) + "\n")
                file.flush()
                if not solver.process.is_alive() or not remaining:
                    solver.process.kill()
                    workers.remove(solver)
                else:
                    solver.begin(remaining.pop())
            time.sleep(0.05)


# report


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows in a file; none if it does not exist."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def table(problems: list[dict[str, Any]]) -> str:
    """Markdown table of the number of problems by equation and status."""
    counts = Counter((row["pde"], row["status"]) for row in problems)
    columns = [s for s in [*STATUSES, "crash", "hang"] if s in ("crash", "hang") or any(c[1] == s for c in counts)]
    lines = [f"| equation | {' | '.join(columns)} | compared | untrue | no bound | of them silent |"]
    lines.append(f"|{'---|' * (len(columns) + 5)}")
    for pde in [*sorted({row["pde"] for row in problems}), None]:
        mine = [row for row in problems if pde in (None, row["pde"])]
        cells = [sum(row["status"] == status for row in mine) for status in columns]
        for key in ("untrue", "silent"):
            cells += [sum(key in row for row in mine), sum(row.get(key, False) for row in mine)]
        lines.append(f"| {pde or 'all'} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("stress.jsonl"))
    parser.add_argument("--only", type=int, help="run the problem of this number in this process and print its row")
    args = parser.parse_args()
    if args.only is not None:
        print(json.dumps(problem(args.seed, args.only), indent=2))
        return
    run(args.count, args.seed, args.jobs, args.out)
    problems = [row for row in rows(args.out) if row["k"] < args.count]
    print(table(problems))
    bad = [row for row in problems if row["status"] in ("crash", "hang") or row.get("untrue") or row.get("silent")]
    for row in bad:
        print(json.dumps(row))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
