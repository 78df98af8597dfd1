"""Run random valid problems on both engines, and compare their statuses and final maps.

    OMP_NUM_THREADS=1 python scripts/both_engines.py --count 100

The problems are those of stress.py, with a spline and rodas4 on the line, which is what compiled code can compute.
Rounding decides where the last step of a failing run ends, so only maps of completed runs are compared. Exit status 1
says that a status differs, that a map differs by more than the tolerances allow, or that an engine crashed.
"""

import argparse
import logging
import random
import sys
import warnings
from collections import Counter

import torch
from random_problems.draw import composed, valid

from wgf.engine.compiled import run
from wgf.errors import ConfigError
from wgf.integrators.time_loop import End, LoopCallback
from wgf.run.build import build

FIXED = {"network": "spline", "integrator": "rodas4", "dtype": "float64", "solver": "auto", "quadrature": "gauss"}
SAME = 1e-6  # W2 distance of maps that agree, relative to the larger standard deviation, of the first law or the last
KEPT = ("pde", "potential", "interaction", "law", "t_end", "seed", "network.width", "network.bound")


def settings(draw: random.Random) -> dict:
    """Settings of a problem that both engines can compute."""
    drawn = valid(draw)
    kept = {key: value for key, value in drawn.items() if key.startswith(KEPT) or key == "samples"}
    kept |= FIXED | {"base": "law", "reference_solution": "none", "quadrature.order": draw.randint(6, 9)}
    return kept | {"network.degree": draw.randint(1, 5), "integrator.rtol": 1e-4, "integrator.max_steps": 400}


def end_on(engine: str, words: dict) -> tuple[End, float]:
    """How the flow ends on an engine, and the standard deviation of the initial law, to which `atol` is relative."""
    experiment = build(composed(words | {"engine": engine}))
    projection, method = experiment.projection, experiment.integrator
    end = run(projection, method, projection.initial, [projection.problem.t_end], LoopCallback())
    return end, projection.problem.law.std


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("wgf").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    statuses: Counter[str] = Counter()
    bad = 0
    for k in range(args.count):
        words = settings(random.Random(f"{args.seed} {k}"))
        if "samples" in words:
            continue
        try:
            ends, widths = zip(*(end_on(engine, words) for engine in ("torch", "compiled")), strict=True)
        except ConfigError as error:
            statuses["refused" if "engine=compiled" not in str(error) else "not compiled"] += 1
            continue
        one, other = (end.state.theta for end in ends)
        same = ends[0].status is ends[1].status
        gap = float(ends[0].state.evaluation.length(one - other))
        if same and ends[0].status.is_success:
            same = gap <= SAME * max(float(ends[0].state.evaluation.scale), widths[0])
        statuses[ends[0].status.name if same else "DIFFERENT"] += 1
        print(".", end="", file=sys.stderr, flush=True)
        if not same:
            bad += 1
            print(k, [end.status.name for end in ends], gap, words, flush=True)
    print(dict(statuses))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
