"""wgf in two set-ups: the paper's with exact integrals, and splines with an adaptive implicit method."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from competitor import Competitor
from problems import KELLER_SEGEL, POROUS, QUARTIC, SEXTIC, Map, Problem

from wgf.engine.compiled import Compiled, run
from wgf.integrators.base import Integrator
from wgf.integrators.explicit import Euler
from wgf.integrators.implicit import Rodas4
from wgf.integrators.status import Status
from wgf.integrators.time_loop import LoopCallback
from wgf.networks.base import TransportMap
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem import interaction, potential
from wgf.problem.equations import FokkerPlanck, KellerSegel, PorousMedium
from wgf.problem.laws import Gaussian
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto

EQUATIONS = {
    QUARTIC: (FokkerPlanck(), potential.Quartic(1.0)),
    SEXTIC: (FokkerPlanck(), potential.Sextic(4.0)),
    POROUS: (PorousMedium(), potential.Zero()),
    KELLER_SEGEL: (KellerSegel(0.5), potential.Zero()),
}


def flow(problem: Problem, network: TransportMap, gauss: int, integrator: Integrator) -> Map:
    """Compute the map at t_end.

    Raises:
        ArithmeticError: the flow stopped before t_end.
    """
    pde, force = EQUATIONS[problem]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        equation = pde.problem(network.base, force, interaction.Zero(), problem.t_end)
        projection = Projection(equation, network, Gauss(gauss), Auto())
        end = run(projection, integrator, network.theta.detach(), [problem.t_end], LoopCallback())
    if end.status is not Status.completed:
        raise ArithmeticError(f"{end.status.value} at t = {end.clock.t:.3g}")

    def map(z: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network.f(end.state.theta, torch.from_numpy(z)).numpy()

    return map


def paper(problem: Problem, width: int) -> Map:
    """Weights of the two-layer ReLU network, bound 4, explicit Euler with the paper's step, eight nodes per cell."""
    return flow(problem, TwoSidedReLU(width, base=Gaussian()), 8, Euler(problem.euler_dt))


@dataclass(frozen=True)
class Settings:
    """Width, relative tolerance, bound and degree of `spline`."""

    width: int
    rtol: float
    bound: float = 4.0
    degree: int = 5


def spline(problem: Problem, settings: Settings) -> Map:
    """The spline network with the adaptive Rosenbrock method `rodas4`, with the fewest nodes per cell allowed."""
    network = Spline(settings.width, settings.degree, settings.bound, base=Gaussian())
    return flow(problem, network, network.least_order, Rodas4(settings.rtol, 0.0, problem.t_end / 20))


def compiled(problem: Problem, settings: Settings) -> Map:
    """As `spline`, with the compiled steps."""
    network = Spline(settings.width, settings.degree, settings.bound, base=Gaussian())
    return flow(problem, network, network.least_order, Compiled(Rodas4(settings.rtol, 0.0, problem.t_end / 20)))


# at larger widths the paper's step is unstable (quartic) or the pairs are too many (Keller-Segel)
WIDTHS = {QUARTIC: (4, 8, 16, 32, 64), KELLER_SEGEL: (4, 8, 16, 32)}
WIDTHS |= dict.fromkeys((SEXTIC, POROUS), (4, 8, 16, 32, 64, 128))
PAPER = Competitor("wgf, the paper's set-up", paper, WIDTHS)
LADDER = {
    QUARTIC: [
        Settings(16, 1e-2, 3.5, 3),
        Settings(20, 1e-2, 3.5, 3),
        Settings(24, 1e-3),
        Settings(32, 3e-4),
        Settings(48, 1e-5, 4.5),
        Settings(64, 1e-7, 4.5),
        Settings(96, 1e-7, 5.0),
    ],
    SEXTIC: [
        Settings(6, 1e-2, 4.0, 3),
        Settings(12, 1e-2, 3.5, 3),
        Settings(16, 1e-3, 3.5),
        Settings(40, 3e-4, 4.5),
        Settings(40, 1e-5, 4.5),
        Settings(40, 1e-7, 5.0),
    ],
    POROUS: [
        Settings(8, 1e-2, 5.0),
        Settings(12, 1e-2, 3.5, 3),
        Settings(32, 1e-2, 5.0, 3),
        Settings(64, 1e-3, 5.0, 3),
        Settings(64, 1e-5),
        Settings(96, 1e-7, 4.5),
    ],
    KELLER_SEGEL: [
        Settings(6, 1e-3, 4.0, 3),
        Settings(6, 3e-4, 3.5),
        Settings(16, 3e-4, 3.5),
        Settings(20, 3e-4),
        Settings(32, 1e-5, 4.5),
        Settings(40, 1e-7, 4.5),
    ],
}
COMPILED = Competitor("wgf, spline and rodas4, compiled", compiled, LADDER)
SPLINE = Competitor("wgf, spline and rodas4", spline, LADDER)
