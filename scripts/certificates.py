"""Write the tables of docs/certificates.md: how close the bounds of the W2 error are, and what they cost.

    OMP_NUM_THREADS=1 python scripts/certificates.py               the tables
    OMP_NUM_THREADS=1 python scripts/certificates.py --random 200  also so many random problems, seed 0

Errors are measured against the closed form or against a spline of degree 5 with 193 breakpoints, whose own bound is the
error of the measurement. The exit status is 1 if a bound lies below an error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from wgf.api import solve
from wgf.certificates.certificate import Certificate
from wgf.flow import Flow
from wgf.integrators.implicit import Rodas4
from wgf.networks.base import TransportMap
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem.base import Base
from wgf.problem.equations import PDE, FokkerPlanck, KellerSegel, PorousMedium
from wgf.problem.laws import Gaussian, Mixture
from wgf.problem.potential import Expressed, Potential, Quartic, Sextic

PAGE = Path(__file__).parents[1] / "docs" / "certificates.md"
BEGIN, END = "<!-- tables: python scripts/certificates.py -->\n", "<!-- end of the tables -->\n"
CASES: dict[str, tuple[PDE, float, Potential | None]] = {
    "Fokker-Planck, quartic": (FokkerPlanck(), 0.2, Quartic(1.0)),
    "Fokker-Planck, sextic": (FokkerPlanck(), 1e-3, Sextic(4.0)),
    "porous medium, g = 2": (PorousMedium(2.0), 1.0, None),
    "Keller-Segel, chi = 0.5": (KellerSegel(0.5), 0.5, None),
}
WIDTHS = 8, 32, 128


def flow(pde: PDE, law: Base, t_end: float, potential: Potential | None, network: TransportMap, rtol: float) -> Flow:
    """Solve a problem to its end."""
    method = Rodas4(rtol=rtol, atol=1e-2 * rtol, max_steps=2000)
    known = {"potential": potential, "integrator": method, "reference_solution": "none", "saves": 1}
    return solve(pde, t_end=t_end, law=law, network=network, **known)  # type: ignore[arg-type]


def compared(run: Flow, truth: Flow, allowance: float) -> tuple[float, Certificate, float, bool]:
    """Error of a run, its certificate, the time of that relative to the run, and whether the bounds hold."""
    error = run.w2(truth)
    begin = time.perf_counter()
    found = run.certificate()
    seconds = time.perf_counter() - begin
    holds = all(b is None or b >= (error - allowance) * (1 - 1e-6) for b in (found.own, found.bound))
    return error, found, seconds, holds


def rows() -> Iterator[tuple[str, bool]]:
    """Lines of the table of cases, and whether all bounds of a line hold."""
    law = Gaussian()
    for name, (pde, t_end, potential) in CASES.items():
        small = isinstance(pde, KellerSegel)
        truth = flow(
            pde, law, t_end, potential, Spline(65 if small else 193, 5, 7.0, base=law), 1e-8 if small else 1e-9
        )
        allowance = truth.certificate(rich=False).bound or np.inf
        networks = {
            "the paper's": lambda m: TwoSidedReLU(m, base=law),
            "degree 1": lambda m: Spline(m, 1, base=law),
            "degree 3": lambda m: Spline(m, 3, base=law),
        }
        for kind, network in networks.items():
            cells, good = [], True
            for width in WIDTHS[:2] if small else WIDTHS:
                error, found, _, holds = compared(
                    flow(pde, law, t_end, potential, network(width), 1e-6), truth, allowance
                )
                own, rich = (b and b / error for b in (found.own, found.bound))
                cells.append(
                    " / ".join(f"{ratio:.3g}" if ratio else "none" for ratio in (own, rich)) + f" ({error:.1e})"
                )
                good &= holds
            yield f"| {name} | {kind} | {' | '.join([*cells, ''] if small else cells)} |", good


def random_ratios(count: int, seed: int = 0) -> Iterator[tuple[float, float, float, bool]]:
    """Exponent g, own and best ratio, and whether the bounds hold, for random quartic potentials and smooth laws."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        a, b, c, d = rng.uniform(0.1, 1), rng.normal() * 0.7, rng.uniform(-1.5, 1.5), rng.normal()
        potential = Expressed(f"{a:.4f}*x**4/4 + {b:.4f}*x**3/3 + {c:.4f}*x**2/2 + {d:.4f}*x")
        law: Base = Gaussian(float(rng.normal() * 0.5), float(rng.uniform(0.5, 1.2)))
        if rng.random() < 0.4:
            law = Mixture([-float(rng.uniform(0.5, 1.5)), 1.0], [0.6, 0.5], [0.5, float(rng.uniform(0.2, 0.8))])
        g, diffusion, t_end = (
            float(rng.choice([1, 1, 1.5, 2, 3])),
            float(rng.uniform(0.2, 1.5)),
            float(rng.choice([0.05, 0.2, 0.5])),
        )
        pde = FokkerPlanck(diffusion) if g == 1 else PorousMedium(g, diffusion)
        network = Spline(int(rng.choice([8, 16, 32, 64])), int(rng.integers(1, 6)), base=law)
        try:
            truth = flow(pde, law, t_end, potential, Spline(129, 5, 7.0, base=law), 1e-8)
            run = flow(pde, law, t_end, potential, network, 1e-6)
        except Warning:
            continue  # one of the two did not reach the end
        allowance = truth.certificate(rich=False).bound
        if allowance is None:
            continue
        error, found, _, holds = compared(run, truth, allowance)
        yield g, (found.own or np.inf) / error, (found.bound or np.inf) / error, holds


def summary(ratios: np.ndarray) -> Iterator[str]:
    """Table of the ratios [r, 4] of random problems."""
    yield "| problems | bound / error | least | median | 90 % | largest |\n|---|---|---|---|---|---|"
    for name, chosen in (("g = 1", ratios[:, 0] == 1), ("g > 1", ratios[:, 0] > 1)):
        for k, kind in ((1, "own"), (2, "least of own and rich")):
            if chosen.any():
                v = np.quantile(ratios[chosen, k], [0, 0.5, 0.9, 1], method="nearest")
                yield f"| {chosen.sum()} with {name} | {kind} | " + " | ".join(f"{x:.3g}" for x in v) + " |"


def main() -> int:
    """Write the tables; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=0, help="number of random problems")
    count = parser.parse_args().random
    torch.set_num_threads(1)
    lines = [f"| problem | network | {' | '.join(f'm = {m}' for m in WIDTHS)} |", "|---" * (2 + len(WIDTHS)) + "|"]
    good = True
    for line, holds in rows():
        print(line, flush=True)
        lines.append(line)
        good &= holds
    page = PAGE.read_text(encoding="utf-8")
    head, old, tail = page.partition(BEGIN)[0], page.partition(BEGIN)[2].partition(END)[0], page.partition(END)[2]
    drawn = old.partition("\n\n")[2]
    if count:
        found = np.array(list(random_ratios(count)), dtype=float)
        good &= bool(found[:, 3].all())
        drawn = "\n".join(summary(found)) + "\n\n"
        print(drawn)
    PAGE.write_text(head + BEGIN + "\n".join(lines) + "\n\n" + drawn.lstrip("\n") + END + tail, encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
