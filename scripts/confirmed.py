"""Random problems with network.width=auto: do confirmed runs keep their tolerance?

    python scripts/confirmed.py --problems 100 --tol 1e-5

A problem is a random equation with a random potential, law and end time. The judge is the finite volume solution, a
method in x that shares nothing with the maps. Where the error that it states leaves the question open, or where it has
no solution, a run with a hundredth of the tolerance decides. Its own error is its distance to a run with a twentieth,
or what its distance to the finite volumes exceeds their error by, whichever is larger. Prints a line per problem and a
table.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections import Counter
from typing import Any

import numpy as np
import torch

import wgf
from wgf.problem.bases import choose
from wgf.problem.domain import Line

SAVES, RICHER, MOST = 2, (20, 100), 2000  # saved times; tolerance over those of richer runs; their breakpoints


def problem(rng: np.random.Generator) -> tuple[str, wgf.PDE, str, wgf.Law, float]:
    """Name, equation, potential, law and end time of a random problem."""
    mean, std = rng.uniform(-1, 1), rng.uniform(0.2, 1)
    laws = {
        "gaussian": wgf.Gaussian(mean, std),
        "mixture": wgf.Mixture([mean - 1, mean + 1], [std, 0.7 * std], [0.4, 0.6]),
        "laplace": wgf.Laplace(mean, std),
        "uniform": wgf.Uniform(mean - 2 * std, mean + 2 * std),
    }
    name = str(rng.choice(list(laws)))
    wells = f"{rng.uniform(0.1, 0.5):.3f}*x**4 - {rng.uniform(0, 1.2):.3f}*x**2 + {rng.uniform(-0.3, 0.3):.3f}*x"
    bowl = f"{rng.uniform(0.2, 2):.3f}*x**2/2"
    wave = f"{rng.uniform(0.2, 1):.3f}*x**2/2 + {rng.uniform(0.1, 0.5):.3f}*cos({rng.uniform(1, 3):.3f}*x)"
    potential = str(rng.choice([wells, bowl, wave]))
    t_end = float(np.exp(rng.uniform(np.log(0.1), np.log(3))))
    if rng.random() < 0.8:
        return f"fokker_planck {name}", wgf.FokkerPlanck(round(rng.uniform(0.1, 1), 3)), potential, laws[name], t_end
    equation = wgf.PorousMedium(2.0, round(rng.uniform(0.2, 1), 3))
    return f"porous_medium {name}", equation, potential, laws[name], t_end


def solved(pde: wgf.PDE, potential: str, law: wgf.Law, t_end: float, **network: Any) -> wgf.Flow:
    """The flow on a spline with these settings."""
    spline = wgf.Spline(base=choose("auto", law, pde.internal(), Line()), **network)
    return wgf.solve(pde, potential=potential, law=law, network=spline, t_end=t_end, saves=SAVES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first problem")
    parser.add_argument("--tol", type=float, default=1e-5)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found: Counter[str] = Counter()
    ratios: list[float] = []
    for seed in range(wanted.first, wanted.first + wanted.problems):
        name, *parts = problem(np.random.default_rng(seed))
        begin = time.process_time()
        flow = solved(*parts, width="auto", tol=wanted.tol)
        seconds, map = time.process_time() - begin, flow.saved.map
        assert map.adaptation is not None
        head = f"{seed:3d} {name:24s} t_end {flow.t[-1]:.2f} {flow.status} m {map.width} {seconds:.1f} s"
        if map.adaptation.gap is None:
            found["unconfirmed"] += 1
            print(head, "unconfirmed:", map.adaptation.unconfirmed, flush=True)
            continue
        tolerance = wanted.tol * flow.problem.law.std
        known, judge = flow.reference_solution, "finite volumes"
        doubt = math.inf if known is None else getattr(known, "w2_error", None) or 0.0
        error = math.nan if known is None else flow.w2(known)
        if not error + doubt <= tolerance and not error - doubt > tolerance:
            rich, richer = (solved(*parts, width=MOST, knots="adaptive", tol=wanted.tol / share) for share in RICHER)
            judge, apart = "a richer run", rich.w2(richer)
            doubt = apart if known is None else max(apart, richer.w2(known) - doubt)
            error = flow.w2(richer)
        verdict = "within" if error + doubt <= tolerance else "beyond" if error - doubt > tolerance else "undecided"
        found[verdict] += 1
        ratios.append(error / tolerance)
        measured = f"W2 error {error:.1e}, tolerance {tolerance:.1e}, error of the judge {doubt:.0e}"
        print(f"{head} {measured} ({judge}): {verdict}", flush=True)
    counts = ", ".join(f"{found[key]} {key}" for key in ("within", "beyond", "undecided", "unconfirmed"))
    print(f"\n{wanted.problems} problems, tol={wanted.tol:g}: {counts}")
    print(f"median of error / tolerance {np.median(ratios):.2g}, largest {max(ratios):.2g}")


if __name__ == "__main__":
    main()
