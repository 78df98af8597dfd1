"""Assembles problem, network, quadrature, solver and integrator into a projected flow."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from wgf.engine.compiled import choose
from wgf.errors import ConfigError
from wgf.integrators.adapted import adapted
from wgf.integrators.base import Integrator
from wgf.networks.base import TransportMap
from wgf.networks.relu import TwoSidedReLU
from wgf.problem import well_posed
from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Quadrature
from wgf.projection.field import Projection
from wgf.projection.solvers import Solver
from wgf.projection.start import placed

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def device_of(name: str) -> torch.device:
    """Device of torch for a name: cpu, cuda, cuda:<number> or auto.

    Raises:
        ConfigError: the name is none of these, or the device is unavailable.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device={name!r} is not allowed: expected cpu, cuda, cuda:<number> or auto") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device={name!r} is not allowed: expected cpu, cuda, cuda:<number> or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device={name!r} is unavailable: torch has {torch.cuda.device_count()} CUDA devices; "
            "use device=cpu or device=auto"
        )
    return device


def assemble(
    problem: Problem,
    network: Callable[[Base], TransportMap],
    quadrature: Quadrature,
    solver: Solver,
    integrator: Integrator,
    device: str,
    dtype: str,
    engine: str = "auto",
) -> tuple[Projection, Integrator]:
    """Assemble a projected flow and the integrator that takes its steps, and check that the flow can start.

    Args:
        problem: law, energies, end time.
        network: makes the map for a base, on the CPU in float64.
        quadrature, solver: quadrature and solver of the projection.
        integrator: the method, or `Auto`, which chooses a method for the map.
        device: cpu, cuda, cuda:<number> or auto.
        dtype: float64 or float32.
        engine: auto, torch or compiled; see `wgf.engine.compiled.choose`.

    Raises:
        ConfigError: the parts do not fit together.
    """
    precision = DTYPES[dtype]
    integrator.check(problem.t_end)
    well_posed.check_problem(problem, precision)
    map, place = placed(network(problem.base), problem.start, problem.domain), device_of(device)
    if (map.theta.device, map.theta.dtype) != (place, precision):
        map = map.to(device=place, dtype=precision)
    if isinstance(map, TwoSidedReLU) and map.adapts:
        map = adapted(problem, map, solver)
    projection = Projection(problem, map, quadrature, solver)
    return projection, choose(engine, projection, integrator.on(projection), check_start)


def check_start(projection: Projection) -> None:
    """Check that the flow can start.

    Raises:
        ConfigError: energy or velocity is not finite at t = 0, or the map is not increasing.
    """
    e = projection.at_start
    terms = {f"energy_{t.name}": x for t, x in zip(projection.problem.terms, e.terms.tolist(), strict=True)}
    numbers: dict[str, Tensor | float] = terms | {
        "the velocity": e.velocity.abs().sum(),
        "the dissipation": e.dissipation,
        "the smallest slope": e.min_slope,
    }
    bad = [f"{name} is {float(value):g}" for name, value in numbers.items() if not math.isfinite(float(value))]
    if float(e.min_slope) <= 0:
        bad.append("the map is not increasing")
    if bad:
        raise ConfigError(
            f"this flow cannot start: at t=0 {', '.join(bad)}; choose a wider law, a milder potential or "
            "interaction, dtype=float64, or another network or solver"
        )
