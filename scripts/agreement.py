"""Comparison of wgf with finite volumes, for random smooth potentials in every family of equations.

    OMP_NUM_THREADS=1 python scripts/agreement.py [FAMILY ...] [--problems 20]

The two methods have nothing in common: finite volumes evolve the law on cells in x, wgf evolves the map as a spline of
degree 5. For every family the script prints the largest W1 distance of the two maps, the largest error that each method
estimates for itself (lengths), and the largest ratio of a distance to the sum of the two errors.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from wgf.integrators.implicit import Rodas4
from wgf.integrators.status import Status
from wgf.integrators.time_loop import LoopCallback, run
from wgf.networks.spline import Spline
from wgf.problem.equations import (
    PDE,
    AggregationDiffusion,
    FokkerPlanck,
    KellerSegel,
    LinearTransport,
    PorousMedium,
    Problem,
)
from wgf.problem.interaction import Interaction, Log, Newtonian, Pairwise, Quadratic, Zero
from wgf.problem.kernels import Morse, PowerLaw
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.reference_solutions.base import yardstick
from wgf.reference_solutions.finite_volumes import refinement as finite_volume

# neurons, bound in standard deviations and relative tolerance of two networks; False: with pairwise interaction
FINE = {True: (240, 6.0, 1e-7), False: (72, 6.0, 1e-7)}
COARSE = {True: (160, 5.5, 1e-6), False: (56, 5.5, 1e-6)}
KERNELS: tuple[Callable[[], Interaction], ...] = (
    Morse,
    Newtonian,
    lambda: PowerLaw(4.0, 2.0, 0.3),
    lambda: Log(-0.5),
    Quadratic,
)


@dataclass(frozen=True)
class Family:
    """Equations that differ in their potential and their kernel.

    Attributes:
        pde: the equation without its potential.
        t: the time at which the maps are compared (time).
        allowed: the largest W1 distance allowed between them (length).
        kernels: the interactions; problem number k has number k modulo their count.
    """

    pde: PDE
    t: float
    allowed: float = 1e-5
    kernels: tuple[Callable[[], Interaction], ...] = (Zero,)

    def problem(self, number: int) -> Problem:
        """Problem of this number, with the random potential of this number."""
        kernel = self.kernels[number % len(self.kernels)]()
        return self.pde.problem(Gaussian(), Expressed(potential(number)), kernel, self.t)


FAMILIES = {
    "linear_transport": Family(LinearTransport(), 0.2),
    "fokker_planck": Family(FokkerPlanck(), 0.3),
    "porous_medium": Family(PorousMedium(), 0.3),
    "keller_segel, chi < D": Family(KellerSegel(0.5), 0.2),
    "keller_segel, chi > D": Family(KellerSegel(1.5), 0.2, 1e-4),
    "aggregation_diffusion": Family(AggregationDiffusion(0.5), 0.2, kernels=KERNELS),
    "aggregation_diffusion, g = 2": Family(AggregationDiffusion(0.5, 2.0), 0.2, kernels=KERNELS),
    "aggregation_diffusion, D = 0": Family(AggregationDiffusion(0.0), 0.2, kernels=KERNELS),
}


def potential(number: int) -> str:
    """Random waves in a quadratic well or, for odd numbers, a quartic one, of a height comparable to the diffusion."""
    random = np.random.default_rng(number)
    waves = " + ".join(
        f"{0.6 * random.normal() / k:.4f}*cos({0.8 * k:g}*x + {random.uniform(0, 6.28):.4f})" for k in (1, 2, 3)
    )
    well = f"{random.uniform(0.2, 1.5):.4f}*x**2/2"
    return f"{well} + {random.uniform(0.05, 0.3):.4f}*x**4/4 + {waves}" if number % 2 else f"{well} + {waves}"


@dataclass(frozen=True)
class Agreement:
    """W1 distance of the two methods, and the errors that finite volumes and wgf estimate for themselves (length)."""

    distance: float
    volumes: float
    own: float

    @property
    def share(self) -> float:
        """Ratio of the distance to the sum of the estimated errors."""
        return self.distance / (self.volumes + self.own)


def flow(problem: Problem, width: int, bound: float, tolerance: float, z: torch.Tensor) -> torch.Tensor:
    """The map of wgf at t_end and z [n] (length).

    Raises:
        ArithmeticError: the flow stopped before t_end.
    """
    network = Spline(width, bound=bound, degree=5, base=problem.law)
    projection = Projection(problem, network, Gauss(8), Auto())
    integrator = Rodas4(rtol=tolerance, atol=0.01 * tolerance)
    end = run(projection, integrator, network.theta.detach(), [problem.t_end], LoopCallback())
    if end.status is not Status.completed:
        raise ArithmeticError(f"{problem.equation}: {end.status.value}")
    with torch.no_grad():
        return network.evaluate(end.state.theta, z)[0]


def compare(problem: Problem) -> Agreement:
    """Compare both methods at t_end; wgf's error is the distance to a run with a coarser network and tolerance."""
    points, masses = yardstick(problem.law)
    z, w = torch.from_numpy(points), torch.from_numpy(masses)
    volumes = finite_volume.solve(problem, [problem.t_end])
    local = not isinstance(problem.interaction, Pairwise)
    fine, coarse = (flow(problem, *settings[local], z) for settings in (FINE, COARSE))
    distance, own = (float(w @ (other - fine).abs()) for other in (volumes(problem.t_end, z), coarse))
    return Agreement(distance, volumes.error, own)


def main() -> None:
    """Print a row for each family."""
    parser = argparse.ArgumentParser(description="comparison of wgf with finite volumes")
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(map(repr, FAMILIES)))
    parser.add_argument("--problems", type=int, default=20, help="potentials in each family")
    parser.add_argument("--each", action="store_true", help="also print a row for each problem")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| family | t | W1 distance | volumes' error | wgf's error | distance / errors | time |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.families or FAMILIES:
        family, start, rows = FAMILIES[name], time.process_time(), []
        for number in range(arguments.problems):
            rows.append(compare(family.problem(number)))
            if arguments.each:
                print(number, family.problem(number).equation, rows[-1], f"{rows[-1].share:.2f}", flush=True)
        worst = [max(getattr(row, key) for row in rows) for key in ("distance", "volumes", "own", "share")]
        cells = [name, f"{family.t:g}", *(f"{length:.1e}" for length in worst[:3]), f"{worst[3]:.2f}"]
        print(f"| {' | '.join(cells)} | {time.process_time() - start:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
