"""Processor time of a step against the width m: explicit Euler as in the paper, implicit steps of splines.

OMP_NUM_THREADS=1 python benchmarks/scaling.py [largest exponent of ten, 6 by default]
"""

import math
import resource
import sys
import time
import warnings

import torch

from wgf.integrators.base import Integrator, State
from wgf.integrators.explicit import Euler
from wgf.integrators.implicit import JKO, Rodas4
from wgf.networks.base import TransportMap
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem import interaction, potential
from wgf.problem.equations import FokkerPlanck
from wgf.problem.laws import Gaussian
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto


def step_time(map: TransportMap, integrator: Integrator, dt: float) -> tuple[float, float]:
    """Measure the processor time of the set-up and the least of a step of quartic Fokker-Planck (s)."""
    start = time.process_time()
    problem = FokkerPlanck().problem(map.base, potential.Quartic(1.0), interaction.Zero(), 0.2)
    field = Projection(problem, map, Gauss(8), Auto())
    theta = map.theta.detach()
    state = State(theta, field(theta))
    set_up = time.process_time() - start
    times: list[float] = []
    while sum(times) < 1.0 or len(times) < 3:
        start = time.process_time()
        integrator.step(field, dt, state)
        times.append(time.process_time() - start)
    return set_up, min(times)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    law, largest = Gaussian(), int(sys.argv[1]) if len(sys.argv) > 1 else 6
    euler, rodas, jko = Euler(1e-6), Rodas4(), JKO()
    print(f"{'m':>8}{'euler, ReLU':>14}{'rodas4, k = 3':>15}{'jko, k = 3':>14}{'set-up, k = 3':>15}{'peak memory':>13}")
    rows = []
    for m in (10**e for e in range(1, largest + 1)):
        _, explicit = step_time(TwoSidedReLU(m, base=law), euler, 1e-6 / m)
        set_up, implicit = step_time(Spline(m, base=law), rodas, 1e-3)
        _, proximal = step_time(Spline(m, base=law), jko, 1e-3)
        rows.append((m, explicit, implicit, proximal))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        cells = [f"{1e3 * t:.3f} ms" for t in (explicit, implicit, proximal)]
        print(f"{m:8}{cells[0]:>14}{cells[1]:>15}{cells[2]:>14}{set_up:13.2g} s{memory:10.2f} GB", flush=True)
    large = [row for row in rows if row[0] >= 1000]
    if len(large) > 1:
        decades = math.log(large[-1][0] / large[0][0])
        slopes = [math.log(b / a) / decades for a, b in zip(large[0][1:], large[-1][1:], strict=True)]
        print("time grows as m^" + ", m^".join(f"{s:.2f}" for s in slopes), f"from m = {large[0][0]} on")


if __name__ == "__main__":
    main()
