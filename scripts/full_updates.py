"""Write the tables of docs/full_updates.md: what full updates (weights and biases, moving knots) promise, measured.

    OMP_NUM_THREADS=1 python scripts/full_updates.py               all tables, with 100 random problems
    OMP_NUM_THREADS=1 python scripts/full_updates.py TABLE ...     some of: start free exact cost random

Two processes share the work. The exit status is 1 if a promise of the page does not hold.
"""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_updates_best import nearest

import wgf
from wgf.flow import Flow
from wgf.integrators.limex import Limex
from wgf.integrators.status import Status
from wgf.problem.equations import PDE

PAGE = Path(__file__).parents[1] / "docs" / "full_updates.md"
CASES: dict[str, tuple[PDE, wgf.potentials.Potential | None, float]] = {
    "Fokker-Planck, quartic": (wgf.FokkerPlanck(), wgf.potentials.Quartic(1.0), 0.2),
    "Fokker-Planck, sextic": (wgf.FokkerPlanck(), wgf.potentials.Sextic(4.0), 1e-3),
    "transport, quartic": (wgf.LinearTransport(), wgf.potentials.Quartic(1.0), 0.2),
    "transport, sextic": (wgf.LinearTransport(), wgf.potentials.Sextic(4.0), 1e-3),
    "porous medium, g = 2": (wgf.PorousMedium(), None, 1.0),
    "Keller-Segel, chi = 0.5": (wgf.KellerSegel(0.5), None, 0.3),
    "Keller-Segel, chi = 1.5": (wgf.KellerSegel(1.5), None, 0.3),
}
LAW = wgf.Gaussian()
COUNT = 100  # random problems
BOUND = 8.0  # of splines (standard deviations of the law); at 5.5 the tails beyond have a W2 error of 5e-7
RESOLVED = 0.01  # largest W2 error of a spline that is a reference solution, relative to the errors it measures
SHARE = 0.05  # the same for the W1 error of random problems
FREE = 1.5  # largest ratio to the best free knots, of Fokker-Planck and transport
BLOW_UP = 0.1  # relative difference of the times at which the network and its solution blow up
Answer = tuple[list[str], bool]  # cells of a row, whether the promise holds


def flow(pde: PDE, potential: object, t_end: float, network: wgf.TransportMap, **more: Any) -> Flow:
    """Solve a problem with the defaults."""
    known: Any = {"potential": potential, "law": network.base, "network": network, "saves": 1}
    return wgf.solve(pde, t_end=t_end, reference_solution="none", **known, **more)


def spline(pde: PDE, potential: object, t_end: float, law: wgf.Base, width: int, bound: float = BOUND) -> Flow:
    """The same problem by a spline of degree 5 to `bound` standard deviations."""
    network = wgf.Spline(width, 5, bound, base=law)
    return flow(pde, potential, t_end, network, integrator=wgf.Rodas4(rtol=1e-8, atol=1e-10))


def truth(
    pde: PDE, potential: object, t_end: float, law: wgf.Base = LAW, error: float = 1e-8, run: Flow | None = None
) -> Flow:
    """The first of splines with 96, ..., 768 breakpoints whose W1 distance from the one before it is below `error`, or
    below SHARE of the error of a run; else the last."""
    finer = spline(pde, potential, t_end, law, 48)
    for width in (96, 192, 384, 768):
        coarser, finer = finer, spline(pde, potential, t_end, law, width)
        both = coarser.status is finer.status is Status.completed
        if both and finer.w1(coarser) < (error if run is None else SHARE * run.w1(finer)):
            break
    return finer


def blow_up_time(pde: PDE, potential: object, t_end: float, law: wgf.Base) -> float:
    """When splines of degree 5 blow up, to BLOW_UP / 10; infinite if they do not, or if 192 breakpoints do not tell."""
    before = math.inf
    for width in (24, 48, 96, 192):
        solution = spline(pde, potential, t_end, law, width)
        t = solution.t[-1] if solution.status is Status.blow_up else math.inf
        if math.isfinite(t) and close(before, t, 0.1 * BLOW_UP):
            return t
        before = t
    return math.inf


def relu(width: int, train: str, start: str = "auto", law: wgf.Base = LAW) -> wgf.TwoSidedReLU:
    return wgf.TwoSidedReLU(width, 4.0, train, start, base=law)


def start(name: str) -> Answer:
    """W1 error by that of weights only, for the start knots "adapted" and "uniform"."""
    problem, cells, good = CASES[name], [], True
    exact = truth(*problem)
    for width in (16, 32, 64, 128):
        weights = flow(*problem, relu(width, "weights")).w1(exact)
        both = [flow(*problem, relu(width, "all", knots)).w1(exact) / weights for knots in ("adapted", "uniform")]
        cells.append(f"{both[0]:.3f} / {both[1]:.3f}")
        good &= both[0] <= 0.12 and both[1] <= 0.3
    return [name, *cells], good


def free(name: str) -> Answer:
    """W2 error by that of the nearest continuous piecewise linear map with 2m - 2 free knots; at the end the W2
    distance of the reference solution to another spline."""
    problem, cells, good = CASES[name], [], True
    exact = truth(*problem)
    t = float(exact.t[-1])
    for width in (4, 8, 16, 32, 64):
        run = flow(*problem, relu(width, "all"))
        best = nearest(LAW, lambda z: torch.as_tensor(exact.map(t, z)), run.projection.map)
        ratio = run.w2(exact) / best
        cells.append(f"{ratio:.2f}")
        good &= ratio <= FREE or not name.startswith(("Fokker", "transport"))
    apart = exact.w2(spline(*problem, LAW, 192, 7.0))
    return [name, *cells, f"{apart:.0e}"], good and apart <= RESOLVED * best


def cost(width: int) -> Answer:
    """Steps, time of a step and W1 error of quartic Fokker-Planck."""
    name = "Fokker-Planck, quartic"
    begin = time.process_time()
    run = flow(*CASES[name], relu(width, "all", "uniform"))
    seconds = time.process_time() - begin
    ending = "completed" if run.status is Status.completed else f"{run.status.name} at {run.t[-1]:.2g}"
    tries = run.clock.steps + run.clock.rejected
    row = [f"{width}", ending, f"{run.clock.steps}", f"{run.clock.rejected}", f"{1e3 * seconds / tries:.0f} ms"]
    return [*row, f"{1e6 * seconds / tries / width:.0f}"], run.status is Status.completed


def drawn(number: int) -> tuple[str, PDE, wgf.potentials.Expressed, float, wgf.Base, int]:
    """A random problem: any equation, a well with three waves, a Gaussian, Laplace or mixture law, m = 6..48."""
    rng = np.random.default_rng(number)
    c, k, a = rng.normal() * 0.7, rng.uniform(0.2, 1.5), rng.normal(size=3) * (1.0, 0.6, 0.4)
    waves = "".join(f" + {a[j]:.4f}*cos({j + 1}*x + {rng.uniform(0, 6.28):.4f})" for j in range(3))
    pde: PDE = (
        wgf.FokkerPlanck(float(rng.uniform(0.3, 1.5))),
        wgf.PorousMedium(float(rng.uniform(1.5, 3))),
        wgf.LinearTransport(),
        wgf.KellerSegel(float(rng.uniform(0.2, 1.4))),
    )[number % 4]
    kind, mean, std = rng.integers(3), float(rng.normal() * 0.5), float(rng.uniform(0.7, 1.3))
    law: wgf.Base = wgf.Gaussian(mean, std)
    if kind == 1 and not isinstance(pde, wgf.KellerSegel):
        law = wgf.Mixture([mean - 0.8, mean + 0.8], [0.7 * std, 0.9 * std], [0.4, 0.6])
    elif kind == 2 and isinstance(pde, wgf.LinearTransport):
        law = wgf.Laplace(mean, 0.7 * std)
    potential = wgf.potentials.Expressed(f"{k:.4f}*(x - ({c:.4f}))**2/2{waves}")
    return type(pde).__name__, pde, potential, float(rng.uniform(0.05, 0.4)), law, int(rng.integers(6, 49))


def random(number: int) -> Answer:
    """Status of full updates and of weights only, and the ratio of their W1 errors, for a random problem."""
    family, pde, potential, t_end, law, width = drawn(number)
    full, weights = (flow(pde, potential, t_end, relu(width, train, law=law)) for train in ("all", "weights"))
    ratio, ends = "none", full.status is Status.completed
    if not ends and family == "LinearTransport":  # a fold of the projected flow, not of its steps
        finer = flow(pde, potential, t_end, relu(width, "all", law=law), integrator=Limex(rtol=1e-8))
        ends = close(finer.t[-1], full.t[-1], 1e-3)
    elif not ends and full.status is Status.blow_up:  # a blow-up of the solution, too
        ends = close(full.t[-1], blow_up_time(pde, potential, t_end, law), BLOW_UP)
    if full.status is weights.status is Status.completed:
        exact = truth(pde, potential, t_end, law, run=full)
        if exact.status is Status.completed:
            ratio = f"{full.w1(exact) / weights.w1(exact):.3g}"
    good = ends and (ratio == "none" or float(ratio) <= 1)
    return [f"{number}", family, f"{width}", full.status.name, weights.status.name, ratio], good


def close(a: float, b: float, rtol: float) -> bool:
    """Whether two times agree; never if the second is infinite."""
    return math.isfinite(b) and abs(a - b) <= rtol * abs(b)


def exact(width: int) -> Answer:
    """W1 error of Barenblatt's solution, and the largest imbalance of the energy of all cases."""
    law = wgf.Barenblatt()
    run = wgf.solve(wgf.PorousMedium(), t_end=1.0, law=law, network=relu(width, "all", law=law), saves=1)
    error, gaps = run.w1(run.reference_solution), []
    for problem in CASES.values():
        each = flow(*problem, relu(width, "all"))
        lost = float(each.energy[0] - each.energy[-1])
        gaps.append(abs(lost - each.clock.dissipated) / lost)
    return [f"{width}", f"{error:.1e}", f"{max(gaps):.1e}"], error <= 1e-7 and max(gaps) <= 1e-4


HEADS = {
    "start": ["", "m = 16", "m = 32", "m = 64", "m = 128"],
    "free": ["", "m = 4", "m = 8", "m = 16", "m = 32", "m = 64", "reference"],
    "exact": ["m", "Barenblatt, W1 error", "energy balance, worst case"],
    "cost": ["m", "status", "steps", "rejected", "time of a step", "microseconds by m"],
    "random": ["equation", "problems", "completed", "stopped early", "compared", "median ratio", "largest ratio"],
}
TASKS: dict[str, list[tuple[Callable[..., Answer], Any]]] = {
    "cost": [(cost, width) for width in (8192, 2048, 512, 128)],
    "exact": [(exact, width) for width in (4, 8, 16, 32, 64, 128)],
    "free": [(free, name) for name in CASES],
    "start": [(start, name) for name in CASES],
    "random": [(random, number) for number in range(COUNT)],
}


def work(task: tuple[Callable[..., Answer], Any]) -> Answer:
    """One task in a process of its own."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of runs that stop early: the table counts them
    logging.disable()
    return task[0](task[1])


def summary(rows: list[list[str]]) -> Iterator[list[str]]:
    """Rows of the table of random problems, by equation."""
    for family in sorted({row[1] for row in rows}):
        here = [row for row in rows if row[1] == family]
        done = sum(row[3] == "completed" for row in here)
        ratios = [float(row[5]) for row in here if row[5] != "none"]
        found = [f"{np.median(ratios):.3f}", f"{max(ratios):.3f}"] if ratios else ["", ""]
        yield [family, f"{len(here)}", f"{done}", f"{len(here) - done}", f"{len(ratios)}", *found]


def table(name: str, rows: list[list[str]]) -> str:
    """Markdown table."""
    body = (
        list(summary(rows))
        if name == "random"
        else sorted(rows, key=lambda row: int(row[0]))
        if name == "cost"
        else rows
    )
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEADS[name], ["---"] * len(HEADS[name]), *body)) + "\n"


def write(name: str, rows: list[list[str]]) -> None:
    """Put a table into the page."""
    first, last = f"<!-- {name}: python scripts/full_updates.py -->\n", f"<!-- end of {name} -->\n"
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(first)
    PAGE.write_text(head + first + table(name, rows) + last + rest.partition(last)[2], encoding="utf-8")


def main() -> int:
    """Write the tables; the exit status."""
    good, begin = True, time.perf_counter()
    with get_context("spawn").Pool(2) as pool:
        for name in sys.argv[1:] or list(TASKS):
            rows = []
            for row, holds in pool.imap(work, TASKS[name]):
                print(
                    f"{time.perf_counter() - begin:5.0f} s  {' | '.join(row)}{'' if holds else '   FAILS'}", flush=True
                )
                rows.append(row)
                good &= holds
            write(name, rows)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
