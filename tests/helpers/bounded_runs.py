"""Short runs with their own error bound."""

import torch
from torch import Tensor

from wgf.assemble import assemble
from wgf.certificates.own_bound import Bound, OwnBound
from wgf.integrators.auto import Auto as AutoIntegrator
from wgf.integrators.base import Integrator
from wgf.integrators.time_loop import run
from wgf.networks.base import TransportMap
from wgf.networks.spline import Spline
from wgf.problem.equations import PDE, Problem
from wgf.problem.interaction import Interaction
from wgf.problem.interaction import Zero as NoInteraction
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Potential
from wgf.problem.potential import Zero as NoPotential
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto as AutoSolver


def posed(
    pde: PDE, law=None, potential: Potential | None = None, kernel: Interaction | None = None, t_end=0.2
) -> Problem:
    """A problem; its law is N(0, 1) by default."""
    return pde.problem(law or Gaussian(), potential or NoPotential(), kernel or NoInteraction(), t_end)


def bounded(
    problem: Problem, network: TransportMap | None = None, integrator: Integrator | None = None, saves: int = 2
) -> tuple[Projection, Tensor, OwnBound, Bound]:
    """Run a problem: its projection, the last parameters, the recorder of its bound, and the bound at the end."""
    network = network or Spline(width=12, base=problem.law)
    projection, method = assemble(
        problem, lambda base: network, Gauss(), AutoSolver(), integrator or AutoIntegrator(), "cpu", "float64"
    )
    recorder = OwnBound(projection)
    stops = [problem.t_end * (k + 1) / saves for k in range(saves)]
    end = run(projection, method, network.theta.detach().clone(), stops, recorder)
    assert end.status.name == "completed"
    return projection, end.state.theta, recorder, recorder.at(problem.t_end)


def error(projection: Projection, theta: Tensor, exact) -> float:
    """W2 distance of a map to an exact map (t, z) -> T at the end time."""
    base = projection.map.base
    ends = base.panels()
    mesh = torch.cat([torch.linspace(ends[0], ends[-1], 1001, dtype=torch.float64), projection.map.knots(theta)])
    nodes = Gauss().nodes(base, mesh.detach())
    with torch.no_grad():
        gap = projection.map.evaluate(theta, nodes.z)[0] - exact(projection.problem.t_end, nodes.z)
    seen = nodes.w > 0
    return float(torch.dot(nodes.w[seen], gap[seen] ** 2).sqrt())
