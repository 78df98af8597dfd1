"""Estimate of the memory of a run, from the sizes of its parts, so that impossible sizes fail before the run."""

from __future__ import annotations

import os

from wgf.errors import ConfigError
from wgf.integrators.base import Integrator
from wgf.networks.base import Size
from wgf.problem.energy import Term
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Quadrature
from wgf.projection.solvers import Solver
from wgf.tables.of_flow import GRID

PANELS = 14  # cells that the panels of a base add
NUMBER = 8  # bytes


def check(
    size: Size, problem: Problem, quadrature: Quadrature, solver: Solver, integrator: Integrator, saves: float
) -> None:
    """Check that a run fits the memory of this machine.

    Raises:
        ConfigError: it does not; the message says which setting to decrease.
    """
    limit = machine()
    if limit is None:
        return
    nodes = quadrature.count(size.knots + PANELS)
    largest = "quadrature.particles" if quadrature.fixed and nodes > size.parameters else "network.width"
    faults = []
    for key, needed, what in (
        ("saves", 6.0 * saves * GRID * NUMBER, f"saves={saves:g}"),  # positions, slopes, exact positions, twice each
        (
            largest,
            step(size, nodes, problem, solver, integrator),
            f"a step with {size.parameters:g} parameters and {nodes:g} nodes",
        ),
    ):
        if needed > limit:
            have = f"this machine has {limit / 1e9:.2g} GB"
            faults.append(f"{what} needs about {needed / 1e9:.2g} GB of memory, {have}: decrease {key}")
    if faults:
        raise ConfigError(*faults)


def step(size: Size, nodes: float, problem: Problem, solver: Solver, integrator: Integrator) -> float:
    """Size of the arrays of one step (bytes)."""
    dense = solver.forms_metric(size.banded) or (integrator.implicit and not size.banded)
    couples = integrator.implicit and any(type(term).coupling is not Term.coupling for term in problem.terms)
    local = 40.0 * nodes * (size.degree + 1) if size.banded else 20.0 * nodes
    features = 3.0 * nodes * size.parameters if dense else 0.0
    matrices = 4.0 * size.parameters * size.parameters if dense or couples else 0.0
    return NUMBER * (local + features + matrices)


def machine() -> float | None:
    """Memory of this machine (bytes); None if the system does not report it."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return None
