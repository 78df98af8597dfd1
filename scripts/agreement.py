"""Finite volumes beside wgf: in every family of equations, 20 random smooth potentials each.

    OMP_NUM_THREADS=1 python scripts/agreement.py [FAMILY ...] [--problems 20]

Two methods with nothing in common: the law on cells in x, turned into a map at the end, and the map as a spline of
degree 5 that follows the projected flow. Printed are, for every family, the largest W1 distance of their maps, the
largest errors that the two state of themselves (lengths), and the largest share of a distance in the sum of the errors.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from wgf.integrators.implicit import Rodas4
from wgf.integrators.time_loop import LoopCallback, evolve
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
from wgf.problem.interaction import Interaction, Log, Morse, Newtonian, Pairwise, PowerLaw, Quadratic, Zero
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.reference_solutions import finite_volume
from wgf.reference_solutions.base import yardstick

# neurons, bound in standard deviations and relative tolerance of two networks; False: those that couple all particles
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
        pde: without a potential.
        t: where the maps are compared (time).
        allowed: W1 distance that they may have (length).
        kernels: taken in turn.
    """

    pde: PDE
    t: float
    allowed: float = 1e-5
    kernels: tuple[Callable[[], Interaction], ...] = (Zero,)

    def problem(self, number: int) -> Problem:
        """The one with a random potential and this number."""
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
    """Wells and hills of a depth comparable to the diffusion in a quadratic well or, for odd numbers, a quartic one."""
    random = np.random.default_rng(number)
    waves = " + ".join(
        f"{0.6 * random.normal() / k:.4f}*cos({0.8 * k:g}*x + {random.uniform(0, 6.28):.4f})" for k in (1, 2, 3)
    )
    well = f"{random.uniform(0.2, 1.5):.4f}*x**2/2"
    return f"{well} + {random.uniform(0.05, 0.3):.4f}*x**4/4 + {waves}" if number % 2 else f"{well} + {waves}"


@dataclass(frozen=True)
class Agreement:
    """W1 between the two methods, and what the two say their errors are (length)."""

    distance: float
    volumes: float
    own: float

    @property
    def share(self) -> float:
        """The distance per stated error."""
        return self.distance / (self.volumes + self.own)


def flow(problem: Problem, width: int, bound: float, tolerance: float, z: torch.Tensor) -> torch.Tensor:
    """The map of wgf at the end and at z [n] (length)."""
    network = Spline(width, bound=bound, degree=5, base=problem.law)
    field = Projection(problem, network, Gauss(8), Auto())
    integrator = Rodas4(rtol=tolerance, atol=0.01 * tolerance)
    end = evolve(field, integrator, network.theta.detach(), [problem.t_end], LoopCallback())
    if end.status.name != "completed":
        raise ArithmeticError(f"{problem.equation}: {end.status.value}")
    with torch.no_grad():
        return network.evaluate(end.state.theta, z)[0]


def compare(problem: Problem) -> Agreement:
    """Both methods at the end of a problem; wgf's error is how far a coarser and looser run is off."""
    points, masses = yardstick(problem.law)
    z, w = torch.from_numpy(points), torch.from_numpy(masses)
    volumes = finite_volume.solve(problem, [problem.t_end])
    local = not isinstance(problem.interaction, Pairwise)
    fine, coarse = (flow(problem, *settings[local], z) for settings in (FINE, COARSE))
    distance, own = (float(w @ (other - fine).abs()) for other in (volumes(problem.t_end, z), coarse))
    return Agreement(distance, volumes.error, own)


def main() -> None:
    """Prints a row for each family."""
    parser = argparse.ArgumentParser(description="finite volumes beside wgf")
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(map(repr, FAMILIES)))
    parser.add_argument("--problems", type=int, default=20, help="potentials in each family")
    parser.add_argument("--each", action="store_true", help="a row for each problem, too")
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
        figures = " | ".join(f"{figure:.1e}" for figure in worst[:3])
        print(
            f"| {name} | {family.t:g} | {figures} | {worst[3]:.2f} | {time.process_time() - start:.0f} s |", flush=True
        )


if __name__ == "__main__":
    main()
