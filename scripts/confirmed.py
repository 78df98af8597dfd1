"""Random problems with network.width=auto: do confirmed runs keep their tolerance?

    python scripts/confirmed.py --problems 100 --tol 1e-5

A problem is a random equation with a random potential, law and end time. The judge is the finite volume solution, a
method in x that shares nothing with the maps; its own error is allowed for. Prints a line per problem and a table.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch

import wgf
from wgf.problem.bases import choose
from wgf.problem.domain import Line

SAVES = 2


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first problem")
    parser.add_argument("--tol", type=float, default=1e-5)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    ratios: list[float] = []
    missed = unconfirmed = unjudged = 0
    for seed in range(wanted.first, wanted.first + wanted.problems):
        name, pde, potential, law, t_end = problem(np.random.default_rng(seed))
        begin = time.process_time()
        network = wgf.Spline("auto", tol=wanted.tol, base=choose("auto", law, pde.internal(), Line()))
        flow = wgf.solve(pde, potential=potential, law=law, network=network, t_end=t_end, saves=SAVES)
        seconds, adaptation = time.process_time() - begin, flow.saved.map.adaptation
        assert adaptation is not None
        head = f"{seed:3d} {name:24s} t_end {t_end:.2f} {flow.status} m {flow.saved.map.width} {seconds:.1f} s"
        if adaptation.gap is None:
            unconfirmed += 1
            print(head, "unconfirmed:", adaptation.unconfirmed, flush=True)
            continue
        known = flow.reference_solution
        if known is None:
            unjudged += 1
            print(head, "confirmed, no reference", flush=True)
            continue
        tolerance, error = wanted.tol * law.std, flow.w2(known)
        doubt = getattr(known, "w2_error", None) or 0.0
        ratios.append(error / tolerance)
        missed += error > tolerance + doubt
        print(head, f"W2 error {error:.1e}, tolerance {tolerance:.1e}, error of the judge {doubt:.0e}", flush=True)
    count = wanted.problems
    print(f"\n{count} problems, tol={wanted.tol:g}: {count - unconfirmed} confirmed, {missed} beyond their tolerance")
    print(f"{unjudged} without a judge; median of error / tolerance {np.median(ratios):.2g}, largest {max(ratios):.2g}")


if __name__ == "__main__":
    main()
