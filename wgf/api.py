"""`wgf.solve`: solves a problem in one call, for notebooks and scripts."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from torch import nn

from wgf.assemble import DTYPES, assemble
from wgf.confirm import confirm
from wgf.engine.compiled import ENGINES, run
from wgf.errors import ConfigError
from wgf.expectation import observed
from wgf.flow import Flow
from wgf.gradients.reach import check_hidden
from wgf.gradients.states import begin
from wgf.gradients.tensors import plain, tensors_of
from wgf.integrators.auto import Auto as AutoIntegrator
from wgf.integrators.base import Integrator
from wgf.integrators.saved_states import SavedStates
from wgf.kept import describe
from wgf.networks.base import TransportMap
from wgf.networks.spline import Spline
from wgf.problem.base import Base, Law
from wgf.problem.domain import Domain, Line
from wgf.problem.equations import PDE
from wgf.problem.interaction import Interaction
from wgf.problem.interaction import Zero as NoInteraction
from wgf.problem.laws import Gaussian
from wgf.problem.laws.convert import law_of
from wgf.problem.potential import Expressed, Learned, Potential
from wgf.problem.potential import Zero as NoPotential
from wgf.problem.quadrature import Gauss, Quadrature
from wgf.process import threads_of_torch
from wgf.projection.solvers import Auto as AutoSolver
from wgf.projection.solvers import Solver
from wgf.reference_solutions import choose as comparison
from wgf.settings.ranges import Choice, Count, CountOrNone, Positive, Positives, checked, fault, rule_of
from wgf.settings.tensors import has_derivatives, numbers_in

log = logging.getLogger("wgf")

EQUAL: Any = rule_of(Count)
TIMES: Any = rule_of(Positives)


class Incomplete(RuntimeWarning):
    """Warning: a flow stopped before its end time."""


@checked
@torch.inference_mode(False)
def solve(
    pde: PDE,
    *,
    t_end: Positive,
    law: Any = None,
    base: Base | str = "auto",
    domain: Domain | None = None,
    potential: Potential | nn.Module | str | None = None,
    interaction: Interaction | None = None,
    network: TransportMap | None = None,
    integrator: Integrator | None = None,
    quadrature: Quadrature | None = None,
    solver: Solver | None = None,
    saves: int | Sequence[float] = 20,
    reference_solution: Annotated[str, Choice("auto", "exact", "finite_volume", "none")] = "auto",
    dtype: Annotated[str, Choice(*DTYPES)] = "float64",
    device: str | torch.device = "cpu",
    engine: Annotated[str, Choice(*ENGINES)] = "auto",
    stop: Annotated[str, Choice("end", "steady")] = "end",
    steady: Positive = 1e-6,
    threads: CountOrNone = 1,
    observe: Any = (),
) -> Flow:
    """Solve a Wasserstein gradient flow from t = 0 to t_end.

        flow = wgf.solve(wgf.FokkerPlanck(), potential="x**4/4 - x**2/2", t_end=0.2)
        flow.density(0.2, [0.0, 1.0])

    Args:
        pde: the family of equations.
        t_end: end time (time).
        law: the initial law; by default the base of the network, or N(0, 1) without a network. Also samples, a
            density of tensors x, or a distribution of scipy.stats or torch, see `wgf.problem.laws.convert.law_of`.
        base: reference measure of the map: "auto", "law", "gaussian", "barenblatt" or a law with a density, see
            `wgf.problem.bases.choose`; with a network always the base of the network.
        domain: `HalfLine` or `Interval` with reflecting walls, or `Circle`; the line by default. Give a law on it.
        potential: V, an object, a formula such as "x**4/4 - x**2/2", or a module of torch, see
            `wgf.potentials.Learned`; 0 by default.
        interaction: W, for `AggregationDiffusion`; 0 by default.
        network: the initial map; `solve` copies it and never changes it. A cubic spline of 32 breakpoints by default.
        integrator: by default the method that suits the network, see `wgf.integrators.auto`.
        quadrature, solver: `Gauss` and `Auto` by default.
        saves: number of equal intervals at whose ends to save the solution, or the saved times (time).
        reference_solution: what errors are measured against: auto (exact if known, else computed) or another choice.
        dtype: float64 or float32.
        device: cpu, cuda, cuda:<number> or auto.
        engine: torch, compiled (machine code, for `Rodas4` on splines and on ReLU networks that train weights),
            auto, which compiles large problems only, or repeated, which compiles what it can: for many runs of a kind.
        stop: "end" to run until t_end, or "steady" to stop at the first saved time from which the solution would move
            by less than `steady` standard deviations of the law, in W2, in the time t_end at its present speed.
        steady: this tolerance (no unit).
        observe: formulas of x whose means over the law are columns of `flow.table()`, "x**4" or "right=where(x > 0,
            1, 0)"; or a mapping of names to formulas or to functions of tensors [n] -> [n].
        threads: threads of torch while the flow is computed; None leaves the number to torch. Small products gain
            nothing from more than one, and on a busy machine they lose much.

    Numbers of the equation, of the energies and of the law may be tensors that require grad, and so may attributes of
    energies of your own; then `flow.differentiable()` is the law as tensors with derivatives, see docs/gradients.md.

    Raises:
        ConfigError: an argument is not allowed, or the arguments do not fit together.

    Warns:
        Incomplete: the run failed before t_end; `status` and `message` say why.
    """
    check_kinds(locals())
    functions = observed(observe)
    domain = domain or Line()
    given = None if law is None else law_of(law, *domain.support)
    parts = (pde, potential_of(potential), interaction or NoInteraction(), given)
    tensors = tensors_of(parts)
    others = {"domain": domain, "integrator": integrator, "quadrature": quadrature, "solver": solver}
    for name, thing in {"base": base, "base of the network": network and network.base, **others}.items():
        if tensors_of(thing):
            raise ConfigError(f"the {name} has tensors that require grad: only pde, potential, interaction and law may")
    pde, potential, interaction, law = plain(parts) if tensors else parts
    law = start_of(law, network)
    base = base if network is None else network.base
    problem = pde.problem(law, potential, interaction, t_end, base, domain)
    problem = replace(problem, steady=steady) if stop == "steady" else problem
    comparison.closed_form(problem, reference_solution)  # refuse an impossible setting before the run
    with threads_of_torch(threads):
        projection, method = assemble(
            problem,
            lambda base: Spline(base=base) if network is None else network.twin(),
            quadrature or Gauss(),
            solver or AutoSolver(),
            integrator or AutoIntegrator(),
            str(device),
            dtype,
            engine,
        )
        if tensors and potential.moves:
            raise ConfigError("potential: derivatives need a potential that does not depend on the time")
        if tensors and projection.map.adaptation is not None:
            raise ConfigError("network: derivatives need fixed breakpoints, use knots='uniform' or knots='quantile'")
        check_hidden(problem)
        history = begin(parts, projection, method) if tensors else None
        stops = stops_of(saves, t_end)
        if (shortened := method.shortened(stops)) is not None:
            log.warning("%s", shortened)
        projection, method = confirm(projection, method, stops)
        saved = history.recorded if history else SavedStates(projection.map)
        end = run(projection, method, projection.initial, stops, saved)
    saved.remesh(end.map or projection.map)
    if not saved.times or end.clock.t > saved.times[-1]:  # the run stopped between two saved times
        saved.stop(end.clock, end.state)
    flow = Flow(
        projection, method, saved, end.status, end.clock, end.detail, reference_solution, history, observed=functions
    )
    if not end.status.is_success:
        warnings.warn(f"the flow stopped at t={end.clock.t:g} of {t_end:g}, {flow.message}", Incomplete, stacklevel=4)
    return flow


KINDS: dict[str, tuple[Any, str]] = {
    "pde": (PDE, "an object of wgf.PDE, such as wgf.FokkerPlanck()"),
    "domain": (Domain, "an object of wgf.Domain, such as wgf.Interval(0.0, 1.0)"),
    "potential": (
        (Potential, str, nn.Module),
        'an object of wgf.Potential or a text, such as "x**4/4", or a module of torch',
    ),
    "interaction": (Interaction, "an object of wgf.Interaction, such as wgf.interactions.Quadratic(1.0)"),
    "network": (TransportMap, "an object of wgf.TransportMap, such as wgf.Spline(64, base=wgf.Gaussian())"),
    "integrator": (Integrator, "an object of wgf.Integrator, such as wgf.Rodas4()"),
    "quadrature": (Quadrature, "an object of wgf.Quadrature, such as wgf.Gauss()"),
    "solver": (Solver, "an object of wgf.Solver, such as wgf.Cholesky()"),
}


def check_kinds(given: Mapping[str, Any]) -> None:
    """Check that arguments are objects of the right classes.

    Raises:
        ConfigError: with one line for each that is not.
    """
    wrong = [
        fault(name, given[name], rule) + ("; did you forget ()?" if isinstance(given[name], type) else "")
        for name, (kinds, rule) in KINDS.items()
        if name in given and not isinstance(given[name], kinds) and (given[name] is not None or name == "pde")
    ]
    if wrong:
        raise ConfigError(*wrong)


def potential_of(potential: Potential | nn.Module | str | None) -> Potential:
    """The potential that an argument stands for."""
    if isinstance(potential, Potential):
        return potential
    if isinstance(potential, nn.Module):
        return Learned(potential)
    return NoPotential() if potential is None else Expressed(potential)


def start_of(law: Law | None, network: TransportMap | None) -> Law:
    """Initial law. It is the base of the network itself if the two are equal, so that the map starts as the identity.

    Raises:
        ConfigError: the network has another base and can only start as the identity.
    """
    if law is None or network is None or law is network.base:
        return law or (network.base if network is not None else Gaussian())
    try:
        same = describe(law) == describe(network.base)
    except TypeError:  # a class from elsewhere
        same = False
    if not same and not network.any_start:
        raise ConfigError("law and network.base are not the same: pass the law to the network only")
    return network.base if same else law


def stops_of(saves: int | Sequence[float], t_end: float) -> list[float]:
    """Saved times after t = 0; the last is t_end.

    Raises:
        ConfigError: `saves` is neither a count nor increasing times.
    """
    saves = saves if has_derivatives(saves) else numbers_in(saves)
    if EQUAL.admits(saves):
        return [t_end * (k + 1) / int(saves) for k in range(int(saves))]  # type: ignore[arg-type]
    times = [float(t) for t in saves] if TIMES.admits(saves) else []  # type: ignore[union-attr]
    if not times or not all(0 < t <= t_end for t in times) or times != sorted(set(times)):
        raise ConfigError(fault("saves", saves, f"{EQUAL}, or increasing times in (0, {t_end:g}]"))
    return times if times[-1] == t_end else [*times, t_end]
