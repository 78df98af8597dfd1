"""py-pde: central differences of order 2 on equal cells, SciPy's LSODA with a banded Jacobian by differences.

The operators are py-pde's SciPy operators: the others are compiled in every run, which takes longer than the run.
"""

from dataclasses import dataclass

import numpy as np
from competitor import Competitor, principal_value, quantile_map
from problems import KELLER_SEGEL, POROUS, QUARTIC, SEXTIC, Map, Problem
from scipy.special import ndtr


@dataclass(frozen=True)
class Settings:
    """Cells on (-bound, bound) (length) and the relative tolerance of LSODA; the absolute one is a thousandth of it."""

    cells: int
    tolerance: float
    bound: float


def run(problem: Problem, settings: Settings) -> Map:
    """Compute the map at t_end."""
    import pde

    grid = pde.CartesianGrid([[-settings.bound, settings.bound]], settings.cells)
    x, edges = grid.axes_coords[0], np.linspace(-settings.bound, settings.bound, settings.cells + 1)
    drift = problem.derivative(x) if problem.derivative else np.zeros_like(x)
    kernel = problem.chi * principal_value(settings.cells)
    edge = grid.get_boundary_conditions({"value": 0})

    class Equation(pde.PDEBase):
        """The problem written with py-pde's operators."""

        def evolution_rate(self, state: pde.ScalarField, t: float = 0) -> pde.ScalarField:
            power = state if problem.exponent == 1 else state**problem.exponent
            rate = problem.diffusion * power.laplace(bc=edge, backend="scipy")
            if problem.derivative or problem.chi:
                velocity = drift + kernel @ state.data if problem.chi else drift
                rate += pde.ScalarField(grid, velocity * state.data).gradient(bc=edge, backend="scipy")[0]
            return rate

    start = pde.ScalarField(grid, np.diff(ndtr(edges)) / np.diff(edges))
    method = {"method": "LSODA", "lband": 1, "uband": 1, "rtol": settings.tolerance, "atol": settings.tolerance / 1000}
    end = Equation().solve(start, problem.t_end, tracker=None, backend="numpy", solver="scipy", **method)
    return quantile_map(edges, end.data * np.diff(edges))


BOUNDS = {QUARTIC: 5.0, SEXTIC: 5.0, POROUS: 5.5, KELLER_SEGEL: 7.0}
LADDER = {
    p: [Settings(n, 1e-3 if p.derivative else 1e-4, bound) for n in (50, 100, 200, 400, 800, 1600)]
    for p, bound in BOUNDS.items()
}
PY_PDE = Competitor("py-pde", run, LADDER, "pde")
