"""Write the tables of docs/certificates.md: how close the bounds of the W2 error are, and what they cost.

    OMP_NUM_THREADS=1 python scripts/certificates.py                the table of cases
    OMP_NUM_THREADS=1 python scripts/certificates.py --random 2000  the table of so many random problems instead
    OMP_NUM_THREADS=1 python scripts/certificates.py --costs        the table of costs instead

Errors are measured against the closed form or against a spline of degree 5 with 193 breakpoints, whose own bound is the
error of the measurement. Random problems with a row in the file --out are not judged again. The exit status is 1 if a
bound lies below an error.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wgf.api import Incomplete, solve
from wgf.certificates.certificate import Certificate
from wgf.flow import Flow
from wgf.integrators.implicit import Rodas4
from wgf.networks.base import TransportMap
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem.base import Base
from wgf.problem.equations import PDE, FokkerPlanck, KellerSegel, LinearTransport, PorousMedium
from wgf.problem.laws import Gaussian, Mixture
from wgf.problem.potential import Expressed, Potential, Quadratic, Quartic, Sextic
from wgf.problem.quadrature import Gauss
from wgf.reference_solutions.choose import closed_form

PAGE = Path(__file__).parents[1] / "docs" / "certificates.md"
BEGIN, END = "<!-- tables: python scripts/certificates.py -->\n", "<!-- end of the tables -->\n"
COSTS = "<!-- costs -->\n", "<!-- end of costs -->\n"
RANDOM = "<!-- random problems -->\n", "<!-- end of random problems -->\n"
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


class Judged(NamedTuple):
    """A random problem: its kind, own and least bound relative to the error, and whether the bounds hold."""

    kind: str
    own: float | None
    least: float | None
    holds: bool


def draw(rng: np.random.Generator) -> tuple[PDE, Base, Potential | None, float]:
    """Fokker-Planck and porous medium equations in quartic wells; mixtures in parabolas and transport: closed forms."""
    t_end = float(rng.choice([0.05, 0.2, 0.5]))
    law: Base = Gaussian(float(rng.normal() * 0.5), float(rng.uniform(0.5, 1.2)))
    mixture = Mixture([-float(rng.uniform(0.5, 1.5)), 1.0], [0.6, 0.5], [0.5, float(rng.uniform(0.2, 0.8))])
    family = rng.choice(["quartic", "parabola", "transport"], p=[0.5, 0.3, 0.2])
    if family == "transport":
        return LinearTransport(), Gaussian(0.0, float(rng.uniform(0.3, 0.9))), Quartic(0.4 * float(rng.normal())), t_end
    g, diffusion = float(rng.choice([1, 1, 1, 1.5, 2, 3])), float(rng.uniform(0.2, 1.5))
    if family == "parabola":
        return FokkerPlanck(diffusion), mixture, Quadratic(float(rng.uniform(-0.5, 2)), float(rng.normal())), t_end
    a, b, c, d = rng.uniform(0.1, 1), rng.normal() * 0.7, rng.uniform(-1.5, 1.5), rng.normal()
    potential = Expressed(f"{a:.4f}*x**4/4 + {b:.4f}*x**3/3 + {c:.4f}*x**2/2 + {d:.4f}*x")
    pde = FokkerPlanck(diffusion) if g == 1 else PorousMedium(g, diffusion)
    return pde, mixture if rng.random() < 0.4 else law, potential, t_end


def spread_mixture(pde: FokkerPlanck, law: Mixture, well: Quadratic, t: float, z: Tensor) -> Tensor:
    """Exact map of a mixture in a parabola: its components stay Gaussian."""
    k, shrunk = well.stiffness, math.exp(-well.stiffness * t)
    grown = pde.diffusion * (-math.expm1(-2 * k * t) / k if k else 2 * t)
    means = [well.center + (m - well.center) * shrunk for m in (part.mean for part in law.parts)]
    stds = [math.sqrt((s * shrunk) ** 2 + grown) for s in (part.std for part in law.parts)]
    return Mixture(means, stds, law.weights).at_rank(law.cdf(z), law.survival(z))


def gap(run: Flow, exact: Callable[[Tensor], Tensor]) -> float:
    """W2 distance of a flow at its end to an exact map."""
    ends = run.base.panels()
    knots = run.projection.map.knots(run.parameters(run.t[-1]))
    mesh = torch.cat([torch.linspace(ends[0], ends[-1], 1001, dtype=torch.float64), knots.detach()])
    nodes = Gauss().nodes(run.base, mesh)
    wrong = torch.from_numpy(run.map(run.t[-1], nodes.z.numpy())) - exact(nodes.z)
    seen = nodes.w > 0
    return float(torch.dot(nodes.w[seen], wrong[seen] ** 2).sqrt())


def judged(pde: PDE, law: Base, potential: Potential | None, t_end: float, network: TransportMap) -> Judged | None:
    """Judge the bounds of a problem; None if a run does not reach its end or the error is not known to 1 %."""
    try:
        run = flow(pde, law, t_end, potential, network, 1e-6)
        if isinstance(law, Mixture) and isinstance(potential, Quadratic):
            error, allowance = gap(run, lambda z: spread_mixture(pde, law, potential, t_end, z)), 1e-12
        elif (known := closed_form(run.problem, "auto")) is not None:
            error, allowance = gap(run, lambda z: known(t_end, z)), 1e-12
        else:
            truth = flow(pde, law, t_end, potential, Spline(129, 5, 7.0, base=law), 1e-8)
            error, allowance = run.w2(truth), truth.certificate(rich=False).bound or math.inf
    except Warning:
        return None
    if error < 100 * allowance:
        return None
    found = run.certificate()
    kind = "transport" if isinstance(pde, LinearTransport) else "g = 1" if isinstance(pde, FokkerPlanck) else "g > 1"
    if isinstance(network, TwoSidedReLU):
        kind += ", the paper's network"
    holds = all(b is None or b >= (error - allowance) * (1 - 1e-6) for b in (found.own, found.bound))
    return Judged(kind, found.own and found.own / error, found.bound and found.bound / error, holds)


def random_problem(k: int, seed: int) -> Judged | None:
    """Judge problem number k of a seed; it depends on these numbers alone."""
    rng = np.random.default_rng([seed, k])
    pde, law, potential, t_end = draw(rng)
    width, degree = int(rng.choice([8, 12, 16, 24, 32])), int(rng.integers(0, 6))
    return judged(
        pde, law, potential, t_end, Spline(width, degree, base=law) if degree else TwoSidedReLU(width, base=law)
    )


def random_problems(count: int, seed: int, out: Path) -> list[Judged]:
    """Judge so many random problems, except those with a row in `out`, to which it appends the others."""
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    known = {row["k"]: row["judged"] for row in rows if row["seed"] == seed and row["k"] < count}
    with out.open("a") as file:
        for k in range(count):
            if k not in known:
                known[k] = random_problem(k, seed)
                print(json.dumps({"seed": seed, "k": k, "judged": known[k]}), file=file, flush=True)
    found = {k: Judged(*row) for k, row in sorted(known.items()) if row is not None}
    for k, entry in found.items():
        if not entry.holds:
            print(f"problem {k} of seed {seed}: {entry}", flush=True)
    return list(found.values())


def summary(found: list[Judged]) -> Iterator[str]:
    """Table of the ratios of random problems."""
    yield "| problems | number | with bound | below error | own/error, median | bound/error, median | 90 % | largest |"
    yield "|---" * 8 + "|"
    for kind in (*sorted({entry.kind for entry in found}), "all"):
        some = [entry for entry in found if kind in ("all", entry.kind)]
        own, least = (sorted(r for entry in some if (r := entry[k])) for k in (1, 2))
        values = [
            own[len(own) // 2] if own else math.nan,
            *(least[min(int(p * len(least)), len(least) - 1)] for p in (0.5, 0.9, 1.0)),
        ]
        wrong = sum(not entry.holds for entry in some)
        yield f"| {kind} | {len(some)} | {len(least)} | {wrong} | " + " | ".join(f"{x:.3g}" for x in values) + " |"


def costs() -> Iterator[str]:
    """Table of the CPU times of the run, its own bound and the rich run, relative to the run."""
    yield "| problem | network | own bound | rich run with its bound | run and both |\n|---|---|---|---|---|"
    problems = {name: (pde, Gaussian(), t_end, potential) for name, (pde, t_end, potential) in CASES.items()}
    problems["mixture in a parabola"] = FokkerPlanck(), Mixture(), 0.2, Quadratic()
    problems["long time, double well"] = FokkerPlanck(), Gaussian(0.5, 0.5), 5.0, Quartic()
    for name, (pde, law, t_end, potential) in problems.items():
        for kind, network in (("degree 3", Spline(base=law)), ("the paper's", TwoSidedReLU(32, base=law))):
            least = [math.inf] * 3
            for _ in range(3):
                begin = time.process_time()
                run = flow(pde, law, t_end, potential, network, 1e-6)
                times = [begin, time.process_time()]
                for rich in (False, True):  # either repeats the run
                    run.certificate(rich=rich)
                    times.append(time.process_time())
                least = [min(pair) for pair in zip(least, np.diff(times).tolist(), strict=True)]
            one, own, both = least
            yield f"| {name} | {kind} | {own / one - 1:.1f} | {(both - own) / one:.1f} | {both / one:.1f} |"


def replaced(page: str, begin: str, end: str, table: str) -> str:
    """A page with another table between two marks."""
    head, _, rest = page.partition(begin)
    return head + begin + table + end + rest.partition(end)[2]


def main() -> int:
    """Write the tables; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=0, help="number of random problems")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("certificates.jsonl"), help="rows of the random problems")
    parser.add_argument("--costs", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("error", Incomplete)
    page = PAGE.read_text(encoding="utf-8")
    if args.random:
        found = random_problems(args.random, args.seed, args.out)
        table, good = "\n".join(summary(found)) + "\n", all(entry.holds for entry in found)
        print(table)
        command = f"python scripts/certificates.py --random {args.random}" + (
            f" --seed {args.seed}" if args.seed else ""
        )
        PAGE.write_text(replaced(page, *RANDOM, f"`{command}`\n\n{table}\n"), encoding="utf-8")
        return 0 if good else 1
    if args.costs:
        table = "\n".join(costs()) + "\n"
        print(table)
        command = "`python scripts/certificates.py --costs`\n\n"
        PAGE.write_text(replaced(page, *COSTS, f"{command}{table}\n"), encoding="utf-8")
        return 0
    lines = [f"| problem | network | {' | '.join(f'm = {m}' for m in WIDTHS)} |", "|---" * (2 + len(WIDTHS)) + "|"]
    good = True
    for line, holds in rows():
        print(line, flush=True)
        lines.append(line)
        good &= holds
    PAGE.write_text(replaced(page, BEGIN, END, "\n".join(lines) + "\n\n"), encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
