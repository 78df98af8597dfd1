"""Search for the settings of wgf and of finite volumes that reach each error in the least time.

    OMP_NUM_THREADS=1 python benchmarks/search.py wgf quartic --seconds 120
    OMP_NUM_THREADS=1 python benchmarks/search.py finite_volumes quartic --seconds 120

Both codes are searched in the same way: random settings, then random changes of the best ones. The script prints the
fastest settings for each error, as they stand in the ladders of `wgf_flows.py` and `finite_volume.py`.
"""

import argparse
import random
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from competitor import Competitor
from finite_volume import FINITE_VOLUMES
from finite_volume import Settings as Volumes
from problems import PROBLEMS, SEXTIC, Problem
from reference_maps import quadrature, reference_map, wasserstein_1
from wgf_flows import COMPILED
from wgf_flows import Settings as Splines

TARGETS = tuple(10.0**-k for k in range(2, 11))
FRESH = 0.3  # share of settings that are drawn anew
REPEATS, ENOUGH = 3, 5e-3  # runs go on until both are reached: number of runs, total time (s)
SLOW = 3.0  # settings that take this many times as long as the best of their error are not repeated


@dataclass(frozen=True)
class Trial:
    """Settings, W1 error (length) and processor time (s)."""

    settings: Any
    error: float
    seconds: float


def splines(problem: Problem, r: random.Random, near: Splines | None) -> Splines:
    """Random settings of wgf, near others if given."""
    if near is None:
        degree = r.choice((3, 4, 5))
        nodes = r.choice((0, degree // 2 + 1, degree // 2 + 2))
        first = 10 ** r.uniform(0, 2)
        return Splines(r.randint(6, 128), 10 ** r.uniform(-8, -2), r.uniform(3, 6), degree, nodes, first)
    width = max(4, round(near.width * r.uniform(0.85, 1.15)))
    bound = float(np.clip(near.bound + r.uniform(-0.3, 0.3), 3, 6.5))
    rtol, first = near.rtol * 2 ** r.uniform(-1, 1), max(1.0, near.first * 1.5 ** r.uniform(-1, 1))
    return replace(near, width=width, rtol=rtol, bound=bound, first=first)


def volumes(problem: Problem, r: random.Random, near: Volumes | None) -> Volumes:
    """Random settings of finite volumes, near others if given."""
    if near is None:
        even = problem.derivative is None
        low = -r.uniform(4, 7.5)
        stretch = r.choice((0.2, 0.3) if problem is SEXTIC else (1, 3, np.inf))
        return Volumes(
            low,
            -low if even else r.uniform(4, 6.5),
            r.randint(24, 320),
            r.choice((4, 6, 8)),
            0.0 if even else r.choice((0.0, 1.0)),
            0.05 if problem is SEXTIC else 0.0,
            stretch,
            r.choice(("lsoda", "vode")),
            10 ** r.uniform(-11, -4),
            r.choice((0.0, 10 ** r.uniform(0, 4))),
        )
    low, high = near.low * r.uniform(0.95, 1.05), near.high * r.uniform(0.95, 1.05)
    cells = max(16, round(near.cells * r.uniform(0.85, 1.15)))
    high = -low if problem.derivative is None else high
    first = r.choice((0.0, near.first * 2 ** r.uniform(-1, 1) or 10 ** r.uniform(0, 4)))
    tolerance = near.tolerance * 4 ** r.uniform(-1, 1)
    return replace(near, low=low, high=high, cells=cells, tolerance=tolerance, first=first)


CODES: dict[str, tuple[Competitor, Callable[..., Any]]] = {
    "wgf": (COMPILED, splines),
    "finite_volumes": (FINITE_VOLUMES, volumes),
}


def measured(code: Competitor, problem: Problem, settings: Any, best: Callable[[float], float]) -> Trial | None:
    """Error and least time of the second and later runs; None for a run that fails."""
    z = quadrature()[0]
    times: list[float] = []
    while len(times) <= REPEATS or sum(times[1:]) < ENOUGH:
        start = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                solution = code.run(problem, settings)
        except (ArithmeticError, ValueError):
            return None
        times.append(time.process_time() - start)
        if len(times) == 1:
            error = wasserstein_1(solution(z), reference_map(problem)[0])
        elif not times[1] < SLOW * best(error):
            break
    return Trial(settings, error, min(times[1:]))


def search(code: Competitor, draw: Callable[..., Any], problem: Problem, seconds: float, seed: int) -> list[Trial]:
    """The fastest trial for each of the targets that any trial reaches; the ladder of the code is where it begins."""
    r, found = random.Random(seed), dict.fromkeys(TARGETS, Trial(None, np.nan, np.inf))

    def least(error: float) -> float:
        return min((found[t].seconds for t in TARGETS if t >= error), default=np.inf)

    queue, end = list(code.ladder[problem]), time.monotonic() + seconds
    while queue or time.monotonic() < end:
        known = [trial.settings for trial in found.values() if trial.settings is not None]
        near = r.choice(known) if known and r.random() > FRESH else None
        trial = measured(code, problem, queue.pop() if queue else draw(problem, r, near), least)
        for target in TARGETS:
            if trial is not None and trial.error <= target and trial.seconds < found[target].seconds:
                found[target] = trial
    return [found[target] for target in TARGETS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("code", choices=CODES)
    parser.add_argument("problem", choices=[problem.name.split()[0].lower() for problem in PROBLEMS])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    problem = next(p for p in PROBLEMS if p.name.lower().startswith(args.problem))
    code, draw = CODES[args.code]
    for target, trial in zip(TARGETS, search(code, draw, problem, args.seconds, args.seed), strict=True):
        if trial.settings is not None:
            print(f"{target:.0e}: {1e3 * trial.seconds:.3g} ms, W1 {trial.error:.1e}, {trial.settings}")


if __name__ == "__main__":
    main()
