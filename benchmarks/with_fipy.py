"""FiPy: finite volumes of order 2 on equal cells, Crank-Nicolson steps, its SciPy solvers.

FiPy's terms are the implicit half of every flux; the fluxes of the old density are the explicit half. Sweeps update the
nonlinear coefficients.
"""

import os
from dataclasses import dataclass

import numpy as np
from competitor import Competitor, principal_value, quantile_map
from problems import KELLER_SEGEL, POROUS, QUARTIC, SEXTIC, Map, Problem
from scipy.special import ndtr

SWEEPS = 2


@dataclass(frozen=True)
class Settings:
    """Cells on (-bound, bound) (length) and steps of equal length."""

    cells: int
    steps: int
    bound: float


def run(problem: Problem, settings: Settings) -> Map:
    """Compute the map at t_end."""
    os.environ.setdefault("FIPY_SOLVERS", "scipy")
    import fipy

    edges = np.linspace(-settings.bound, settings.bound, settings.cells + 1)
    step = edges[1] - edges[0]
    mesh = fipy.Grid1D(nx=settings.cells, dx=step) + settings.bound * np.array([[-1.0]])
    rho = fipy.CellVariable(mesh=mesh, value=np.diff(ndtr(edges)) / step, hasOld=True)
    diffusion = fipy.FaceVariable(mesh=mesh, value=problem.diffusion)
    velocity = fipy.FaceVariable(mesh=mesh, rank=1)  # V' + W' * rho
    drift = np.array(mesh.faceCenters[0])
    drift = problem.derivative(drift) if problem.derivative else np.zeros_like(drift)
    drift[[0, -1]] = 0  # no flux through the ends
    old_flux = fipy.FaceVariable(mesh=mesh, rank=1)
    kernel = problem.chi * principal_value(settings.cells)

    def coefficients() -> None:
        if problem.exponent != 1:
            face = np.array(rho.faceValue)
            diffusion.setValue(problem.diffusion * problem.exponent * np.abs(face) ** (problem.exponent - 1))
        speed = drift
        if problem.chi:
            attraction = kernel @ np.array(rho.value)
            speed = drift + np.pad((attraction[1:] + attraction[:-1]) / 2, 1)
        velocity.setValue(speed[None])

    equation = (
        fipy.TransientTerm()
        == fipy.DiffusionTerm(0.5 * diffusion)
        + fipy.CentralDifferenceConvectionTerm(0.5 * velocity)
        + 0.5 * old_flux.divergence
    )
    solver = fipy.LinearLUSolver(tolerance=1e-13)
    nonlinear = problem.exponent != 1 or problem.chi
    coefficients()
    for _ in range(settings.steps):
        rho.updateOld()
        old_flux.setValue(diffusion.value * rho.faceGrad.value + velocity.value * rho.faceValue.value)
        for _ in range(SWEEPS if nonlinear else 1):
            if nonlinear:
                coefficients()
            equation.sweep(rho, dt=problem.t_end / settings.steps, solver=solver)
        if nonlinear:
            coefficients()
    return quantile_map(edges, np.array(rho.value) * step)


BOUNDS = {QUARTIC: 5.0, SEXTIC: 5.0, POROUS: 5.5, KELLER_SEGEL: 7.0}
CELLS = (50, 100, 200, 400, 800)
LADDER = {p: [Settings(n, n // (5 if p is SEXTIC else 10), bound) for n in CELLS] for p, bound in BOUNDS.items()}
FIPY = Competitor("FiPy", run, LADDER, "fipy")
