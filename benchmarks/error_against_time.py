"""Error against CPU time of several codes on four problems, side by side in one process.

    OMP_NUM_THREADS=1 python benchmarks/error_against_time.py

writes docs/images/benchmark.png and the table between the markers of docs/benchmarks.md;

    OMP_NUM_THREADS=1 python benchmarks/error_against_time.py --codes "wgf, compiled" "finite volumes, tuned by hand"

only prints the table of some codes. A time is the processor time
of one thread from the problem to its solution, with the set-up and without the evaluation of the final map. It is the
least of several runs; a run of more than `LONG` seconds is not repeated. An error is the W1 distance to the reference
map. Nothing is extrapolated. The table names the codes that are not installed.
"""

import argparse
import importlib.util
import os
import platform
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from collocation import COLLOCATION
from competitor import Competitor
from finite_volume import FINITE_VOLUMES
from paper_algorithm import PAPER_ALGORITHM
from problems import PROBLEMS, Problem
from reference_maps import quadrature, reference_map, wasserstein_1
from wgf_flows import COMPILED, ENSEMBLE, PAPER, SPLINE
from with_fipy import FIPY
from with_py_pde import PY_PDE

# a colour of Okabe and Ito, distinguishable by the colour-blind, and a marker for each code
STYLES = {
    SPLINE: ("#D55E00", "o"),
    COMPILED: ("#882255", "^"),
    ENSEMBLE: ("#44AA99", "<"),
    PAPER: ("#E69F00", "s"),
    PAPER_ALGORITHM: ("#000000", "X"),
    FINITE_VOLUMES: ("#0072B2", "D"),
    COLLOCATION: ("#009E73", ">"),
    PY_PDE: ("#CC79A7", "v"),
    FIPY: ("#56B4E9", "P"),
}
COMPETITORS = tuple(STYLES)
BASIS = COMPILED  # the denominator of the ratios
TARGETS = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-9, 1e-10)
LONG = 3.0  # a run that takes longer is not repeated (s)
ENOUGH, REPEATS = 0.2, 3  # repetitions go on until both are reached: total time (s), number of runs
DOCS = Path(__file__).resolve().parents[1] / "docs"
START, STOP = "<!-- error_against_time.py: start -->", "<!-- error_against_time.py: stop -->"


@dataclass(frozen=True)
class Point:
    """A measured run: W1 error (length), CPU time (s), number of runs, and the reason of a failure."""

    competitor: Competitor
    problem: Problem
    resolution: Any
    error: float
    seconds: float
    runs: int
    failure: str = ""


def installed(competitor: Competitor) -> bool:
    """Whether the package of a code is installed."""
    return not competitor.package or importlib.util.find_spec(competitor.package) is not None


def measure(competitor: Competitor, problem: Problem, resolution: Any) -> Point:
    """Measure the error of a code at one resolution and the least of its times."""
    times: list[float] = []
    while not times or (times[0] < LONG and (len(times) < REPEATS or sum(times) < ENOUGH)):
        start = time.process_time()
        try:
            solution = competitor.run(problem, resolution)
        except ArithmeticError as failure:
            return Point(competitor, problem, resolution, np.nan, time.process_time() - start, 1, str(failure))
        times.append((time.process_time() - start) / competitor.flows)
    error = wasserstein_1(solution(quadrature()[0]), reference_map(problem)[0])
    return Point(competitor, problem, resolution, error, min(times), len(times))


def two_digits(value: float) -> str:
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"


def duration(seconds: float) -> str:
    return f"{two_digits(seconds)} s" if seconds >= 0.9995 else f"{two_digits(1e3 * seconds)} ms"


def fastest(points: Sequence[Point], target: float) -> Point | None:
    """The fastest run whose error is at most the target."""
    good = [point for point in points if point.error <= target]
    return min(good, key=lambda point: point.seconds, default=None)


def table(points: Sequence[Point], competitors: Sequence[Competitor] = COMPETITORS) -> str:
    """Markdown table of the least time to every target, with its ratio to the time of `BASIS`."""
    heads = ["code", *(f"W1 ≤ {target:.0e}" for target in TARGETS), "smallest W1"]
    lines = []
    for problem in PROBLEMS:
        lines += ["", f"**{problem.name}** (error of the reference {reference_map(problem)[1]:.0e})", ""]
        lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        base = [p for p in points if p.competitor is BASIS and p.problem is problem]
        for competitor in competitors:
            if problem not in competitor.ladder:
                continue
            own = [p for p in points if p.competitor is competitor and p.problem is problem]
            cells = []
            for target in TARGETS:
                if target < reference_map(problem)[1]:
                    cells.append("unknown")
                    continue
                best, other = fastest(own, target), fastest(base, target)
                ratio = f" ({two_digits(best.seconds / other.seconds)})" if best and other else ""
                cells.append(duration(best.seconds) + ratio if best else "–")
            best = min((p for p in own if not p.failure), key=lambda p: p.error, default=None)
            last = f"{best.error:.0e} in {duration(best.seconds)}" if best else "failed" if own else "not installed"
            cells.append(last)
            lines.append(f"| {competitor.name} | " + " | ".join(cells) + " |")
    failed = [f"{p.competitor.name}, {p.problem.name}, {p.resolution}: {p.failure}" for p in points if p.failure]
    return "\n".join(lines + (["", "Failed: " + "; ".join(failed)] if failed else [])).strip()


def picture(points: Sequence[Point], path: Path) -> None:
    """Draw error against time in four panels, one per problem."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(2, 2, figsize=(9, 7.6), sharex=True, sharey=True, layout="constrained")
        for axis, problem in zip(axes.flat, PROBLEMS, strict=True):
            for competitor, (colour, marker) in STYLES.items():
                own = [p for p in points if p.competitor is competitor and p.problem is problem and not p.failure]
                own.sort(key=lambda point: -point.error)
                style = {"color": colour, "marker": marker, "lw": 1.6, "ms": 6.5}
                if own:
                    axis.loglog([p.seconds for p in own], [p.error for p in own], label=competitor.name, **style)
            axis.set_title(problem.name, fontsize=11)
            axis.grid(alpha=0.25)
        for axis in axes[-1]:
            axis.set_xlabel("CPU time (s), one thread, set-up included")
        for axis in axes[:, 0]:
            axis.set_ylabel("error W1")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130, metadata={"Software": None})
        plt.close(figure)


def machine() -> str:
    """Processor and versions of the packages."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    packages = {"torch": "torch", "numpy": "numpy", "scipy": "scipy", "pde": "py-pde", "fipy": "FiPy"}
    have = [f"{p} {version(p)}" for module, p in packages.items() if importlib.util.find_spec(module)]
    return f"{names[0]}, {os.cpu_count()} cores, one thread used; Python {platform.python_version()}, {', '.join(have)}"


def main() -> None:
    torch.set_num_threads(1)
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("set OMP_NUM_THREADS=1: otherwise some codes use every core, and the processor time counts them all")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", nargs="+", choices=[c.name for c in COMPETITORS], help="only print these")
    codes = parser.parse_args().codes
    chosen = [c for c in COMPETITORS if codes is None or c.name in codes]
    points = []
    for problem in PROBLEMS:
        print(f"{problem.name}, reference to {reference_map(problem)[1]:.0e}")
        for competitor in chosen:
            if problem in competitor.ladder and not installed(competitor):
                print(f"  {competitor.name}: not installed")
                continue
            if competitor in (COMPILED, ENSEMBLE):
                competitor.run(problem, competitor.ladder[problem][0])  # compiles, once per machine
            for resolution in competitor.ladder.get(problem, ()):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    point = measure(competitor, problem, resolution)
                points.append(point)
                result = point.failure or f"W1 {point.error:.1e}"
                print(
                    f"  {competitor.name:32} {result}  {duration(point.seconds):>8} ({point.runs})  {resolution}",
                    flush=True,
                )
    if codes is not None:
        print(table(points, chosen))
        return
    page, text = DOCS / "benchmarks.md", f"Measured on: {machine()}.\n\n{table(points)}"
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    page.write_text(f"{before}{START}\n{text}\n{STOP}{rest.partition(STOP)[2]}", encoding="utf-8")
    picture(points, DOCS / "images" / "benchmark.png")


if __name__ == "__main__":
    main()
