"""Ten laws, five equations, two bases: W2 errors with base=law and base=auto.

    python scripts/bases.py --t-end 0.2

Errors are W2 distances to finite volumes at the end time, with default networks. Prints a Markdown table; a run that
does not complete shows its status, a number in brackets is the error of the finite volumes where it is larger.
"""

from __future__ import annotations

import argparse
import warnings

import torch

import wgf

LAWS = {
    "gaussian": wgf.Gaussian(),
    "laplace": wgf.Laplace(),
    "uniform": wgf.Uniform(-1, 1),
    "semicircle": wgf.Semicircle(),
    "exponential": wgf.Exponential(),
    "gamma": wgf.Gamma(2.0),
    "lognormal": wgf.LogNormal(),
    "truncated_normal": wgf.TruncatedNormal(low=-1.0, high=2.0),
    "student": wgf.Student(5.0),
    "mixture": wgf.Mixture([-2, 1], [0.15, 0.3], [0.5, 0.5]),
}
WELL = "x**2/2"
EQUATIONS = {
    "linear transport": (wgf.LinearTransport(), None),
    "Fokker-Planck": (wgf.FokkerPlanck(), None),
    "Keller-Segel": (wgf.KellerSegel(0.3), None),
    "porous medium": (wgf.PorousMedium(), None),
    "aggregation": (wgf.AggregationDiffusion(0.2), wgf.interactions.Quadratic()),
}


def cell(pde: wgf.PDE, kernel: wgf.Interaction | None, law: wgf.Law, base: str, t_end: float) -> str:
    """The W2 error of one run, or why there is none."""
    potential = WELL if kernel is None else None
    try:
        flow = wgf.solve(pde, potential=potential, interaction=kernel, law=law, base=base, t_end=t_end, saves=1)
    except wgf.ConfigError:
        return "impossible"
    if not flow.status.is_success:
        return str(flow.status)
    known = flow.reference_solution
    if known is None:
        return "no reference"
    error, doubt = flow.w2(known), getattr(known, "w2_error", None) or 0.0
    return f"{error:.1e}" + (f" ({doubt:.0e})" if doubt > error else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--t-end", type=float, default=0.2)
    parser.add_argument("--laws", default=",".join(LAWS))
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| law | " + " | ".join(f"{name}, law | auto" for name in EQUATIONS) + " |")
    print("|" + "---|" * (1 + 2 * len(EQUATIONS)), flush=True)
    for name in wanted.laws.split(","):
        pairs = [(*equation, base) for equation in EQUATIONS.values() for base in ("law", "auto")]
        row = [cell(pde, kernel, LAWS[name], base, wanted.t_end) for pde, kernel, base in pairs]
        print(f"| `{name}` | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
