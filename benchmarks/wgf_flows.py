"""wgf in two set-ups: the paper's with exact integrals, and splines with an adaptive implicit method."""

from dataclasses import dataclass

import numpy as np
import torch
from competitor import Competitor
from problems import KELLER_SEGEL, POROUS, QUARTIC, SEXTIC, Map, Problem

import wgf
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
from wgf.problem.quadrature import Gauss, LeanGauss, Quadrature
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto

EQUATIONS = {
    QUARTIC: (FokkerPlanck(), potential.Quartic(1.0)),
    SEXTIC: (FokkerPlanck(), potential.Sextic(4.0)),
    POROUS: (PorousMedium(), potential.Zero()),
    KELLER_SEGEL: (KellerSegel(0.5), potential.Zero()),
}


def flow(problem: Problem, network: TransportMap, quadrature: Quadrature, integrator: Integrator) -> Map:
    """Compute the map at t_end.

    Raises:
        ArithmeticError: the flow stopped before t_end.
    """
    pde, force = EQUATIONS[problem]
    equation = pde.problem(network.base, force, interaction.Zero(), problem.t_end)
    projection = Projection(equation, network, quadrature, Auto())
    end = run(projection, integrator, network.theta.detach(), [problem.t_end], LoopCallback())
    if end.status is not Status.completed:
        raise ArithmeticError(f"{end.status.value} at t = {end.clock.t:.3g}")

    def map(z: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network.f(end.state.theta, torch.from_numpy(z)).numpy()

    return map


def paper(problem: Problem, width: int) -> Map:
    """Weights of the two-layer ReLU network, bound 4, explicit Euler with the paper's step, eight nodes per cell."""
    return flow(problem, TwoSidedReLU(width, base=Gaussian()), Gauss(8), Euler(problem.euler_dt))


@dataclass(frozen=True)
class Settings:
    """Width, relative tolerance, bound and degree of a spline; nodes per cell, 0 for the fewest of an exact rule; how
    many first steps the whole time would take."""

    width: int
    rtol: float
    bound: float = 4.0
    degree: int = 5
    nodes: int = 0
    first: float = 20.0

    def network(self) -> Spline:
        """The map."""
        return Spline(self.width, self.degree, self.bound, base=Gaussian())

    def quadrature(self) -> Quadrature:
        """The rule: `LeanGauss` with few nodes, or an exact rule."""
        return LeanGauss(self.nodes) if self.nodes else Gauss(self.degree + 1)

    def method(self, problem: Problem) -> Rodas4:
        """The adaptive Rosenbrock method."""
        return Rodas4(self.rtol, 0.0, problem.t_end / self.first)


def spline(problem: Problem, settings: Settings) -> Map:
    """The spline network with the adaptive Rosenbrock method `rodas4`."""
    return flow(problem, settings.network(), settings.quadrature(), settings.method(problem))


def compiled(problem: Problem, settings: Settings) -> Map:
    """As `spline`, with the compiled steps."""
    return flow(problem, settings.network(), settings.quadrature(), Compiled(settings.method(problem)))


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
# for each error the fastest of `search.py`
FASTEST = {
    QUARTIC: [
        Settings(9, 1e-2, 4.21, 4, 3, 6.7),
        Settings(17, 0.13, 3.23, 3, first=10),
        Settings(41, 3.8e-4, 4.15, 4, 3, 29),
        Settings(48, 8.4e-6, 4.36),
        Settings(67, 2.8e-7, 4.96, 5, 4),
        Settings(107, 2.9e-8, 5.36, 5, 4, 21),
        Settings(174, 3.9e-9, 5.616),
    ],
    SEXTIC: [
        Settings(8, 1.2e-2, 4.1, 4, 3, 3.4),
        Settings(11, 9.4e-3, 4.42, 4, 3, 5.5),
        Settings(25, 2.9e-4, 4.44, 4, 3, 18),
        Settings(63, 1.9e-5, 5.05, 3, 3),
        Settings(59, 1.1e-6, 5.8, 4, 3),
        Settings(97, 1.7e-7, 5.44, 4, 3),
    ],
    POROUS: [
        Settings(11, 8.3e-3, 3.8, 4, 3, 2.2),
        Settings(13, 4.6e-2, 4.02, 4, 3, 2.3),
        Settings(34, 1.7e-4, 4.11, 4, 3, 16),
        Settings(83, 1.6e-5, 4.27, 3, 3, 16),
        Settings(95, 4.1e-7, 4.37, 4, 3),
        Settings(131, 5e-8, 4.53, first=25),
    ],
    KELLER_SEGEL: [
        Settings(4, 1.6e-4, 3.94, 5, 4, 1),
        Settings(6, 2.8e-4, 3.54, 5, 4, 1),
        Settings(19, 6.1e-4, 3.91, 5, 4, 1.9),
        Settings(27, 1.3e-5, 4.22, 5, 4),
        Settings(42, 1.6e-6, 4.76, 5, 4, 23),
        Settings(70, 4e-8, 5.64, 5, 4, 15),
    ],
}
FLOWS = 64  # of an ensemble


def ensemble(problem: Problem, settings: Settings) -> Map:
    """The first of many flows that differ in their diffusion, computed together."""
    pde, force = EQUATIONS[problem]
    flows = wgf.ensemble(
        pde,
        {"diffusion": np.linspace(1.0, 1.1, FLOWS)},
        potential=force,
        t_end=problem.t_end,
        network=settings.network(),
        integrator=settings.method(problem),
        nodes=settings.quadrature().order,
        threads=1,
    )
    if flows.status[0] != Status.completed.name:
        raise ArithmeticError(flows.status[0])
    return lambda z: flows.map(None, z)[0]


SPLINE = Competitor("wgf, spline and rodas4", spline, LADDER)
COMPILED = Competitor("wgf, compiled", compiled, FASTEST)
ENSEMBLE = Competitor("wgf, ensemble of 64, per flow", ensemble, FASTEST, flows=FLOWS)
