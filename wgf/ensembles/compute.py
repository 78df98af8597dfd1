"""`wgf.ensemble`: many flows that differ in parameters only, computed together."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn

from wgf.api import check_kinds, potential_of, start_of, stops_of
from wgf.assemble import assemble, device_of
from wgf.engine.compiled import cause, obstacle
from wgf.ensembles.derivatives import History, check_reach, check_tensors, compiled_back
from wgf.ensembles.flows import Ensemble
from wgf.ensembles.job import Job, SplineMesh
from wgf.ensembles.parameters import LAW, Columns, ProblemOf, check, columns_of, with_numbers
from wgf.ensembles.richer import richer, w2_errors
from wgf.ensembles.starts import resolved, starts
from wgf.errors import ConfigError
from wgf.gradients.reach import check_hidden
from wgf.gradients.tensors import tensors_of
from wgf.integrators.auto import Auto
from wgf.integrators.base import Integrator
from wgf.integrators.implicit import Rodas4
from wgf.integrators.status import Status
from wgf.integrators.time_loop import COLLAPSE
from wgf.networks.base import TransportMap
from wgf.networks.spline import Spline
from wgf.problem.base import Base, Law
from wgf.problem.domain import Line
from wgf.problem.equations import PDE, Problem, last_places
from wgf.problem.interaction import Interaction
from wgf.problem.interaction import Zero as NoInteraction
from wgf.problem.laws.convert import law_of
from wgf.problem.potential import Expressed, Potential
from wgf.problem.quadrature import Gauss, LeanGauss
from wgf.projection.chart import Chart
from wgf.projection.solvers import Auto as AutoSolver
from wgf.settings.ranges import CountOrNone, Flag, Positive, Range, checked

OrderOrNone = Annotated[int | None, Range(int, low=1, high=64, none=True)]

FINER = 1e-2  # tolerances of the richer flows, relative to those of the flows
CODES = {0: Status.completed, 2: Status.blow_up, 3: Status.max_steps}  # others: the step is too small


@checked
def ensemble(
    pde: PDE,
    parameters: Mapping[str, Any],
    *,
    t_end: Positive,
    potential: Potential | nn.Module | str | None = None,
    interaction: Interaction | None = None,
    network: TransportMap | None = None,
    base: Base | str = "auto",
    law: Any = None,
    integrator: Integrator | None = None,
    nodes: OrderOrNone = None,
    saves: int | Sequence[float] = 1,
    threads: CountOrNone = None,
    device: str | torch.device = "cpu",
    errors: Annotated[bool, Flag()] = False,
) -> Ensemble:
    """Compute many flows that differ in parameters.

        flows = wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": D, "a": a}, potential="a*x**4/4", t_end=0.2)
        flows.quantile(0.2, 0.9)

    Args:
        pde, t_end, potential, interaction, network, base, law, integrator: as in `wgf.solve`; all flows have one base.
        parameters: arrays [n] or numbers by name: settings of the equation ("diffusion", "exponent", "chi"), of the
            potential and of the interaction, names in their formulas, numbers of the initial law ("law.mean",
            "law.means.0"), and its "shift" and "scale": x = shift + scale z with z distributed as `law`. Tensors that
            require grad have derivatives, see `Ensemble.differentiable`.
        nodes: quadrature nodes per cell between the breakpoints; by default about half as many as the degree of the
            map, enough for six digits. Increase it for more.
        saves: number of equal intervals at whose ends to save the maps, or the saved times (time).
        threads: threads that compute on the CPU; by default one on each core that the process may use.
        device: cpu, cuda, cuda:<number> or auto. A GPU computes all flows at once; it pays from about a thousand.
        errors: whether to estimate the W2 error of each flow at the saved times, by 1.6 times the distance to flows
            with twice as many cells, more of them in tails and at edges, and tolerances 100 times smaller; this takes
            about eight times as long. NaN where such a flow fails; the log says how.

    Raises:
        ConfigError: an argument is not allowed, or compiled code cannot hold the energies.
    """
    try:
        from wgf.engine.energies import energy_of
        from wgf.engine.kernel import FOLDED, REFUSED, STUCK
        from wgf.engine.plan import Plan
        from wgf.engine.tapes.tape import Untraceable
        from wgf.ensembles import in_threads
        from wgf.ensembles.batched import on_device
        from wgf.ensembles.places import Places, check_kinks
    except Exception as error:  # numba is missing or another than here, or it has no folder for its cache
        raise ConfigError(f"ensembles are impossible here: {cause(error)}; use wgf.solve for each flow") from None

    check_kinds(locals())
    fixed = {"potential": potential, "interaction": interaction, "network": network and network.base, "law": law}
    check_tensors(pde=pde, base=base, **fixed)
    where = device_of(str(device))
    values = columns_of(parameters)
    n = len(next(iter(values.values())))
    of_energy = {name: column for name, column in values.items() if not name.startswith(LAW)}
    tensors = {name: value for name, value in parameters.items() if tensors_of(value)}
    typical = _typical(of_energy, tensors)  # with the law as it is given: slices of an ensemble have one base
    if isinstance(potential, str):
        names = re.findall(r"[A-Za-z_]\w*", potential)
        potential = Expressed(potential, **{name: typical[name] for name in names if name in typical})
    v, w = potential_of(potential), interaction or NoInteraction()
    rho = start_of(None if law is None else law_of(law, *Line().support), network)
    check(values, rho, (pde, v, w))
    base = base if network is None else network.base

    def law_at(given: Mapping[str, float]) -> Law:
        return with_numbers(rho, {k.removeprefix(LAW): x for k, x in given.items() if k.startswith(LAW)})

    def problem_of(given: Mapping[str, float]) -> Problem:
        parts = law_at(given), with_numbers(v, given), with_numbers(w, given)
        return with_numbers(pde, given).problem(*parts, float(t_end), base)

    problem = problem_of(typical)
    base = problem.base
    check_hidden(problem)
    projection, method = assemble(
        problem,
        lambda base: resolved(Spline(base=base) if network is None else network.twin(), base, law_at, values),
        Gauss(),
        AutoSolver(),
        integrator or Auto(),
        "cpu",
        "float64",
        "torch",
    )
    if why := obstacle(projection, method):
        raise ConfigError(f"an ensemble of this kind is impossible: {why}; use wgf.solve for each flow")
    try:
        map = projection.map
        rule = LeanGauss(nodes or LeanGauss().least(map.least_order))
        at = rule.nodes(base, map.knots(map.theta.detach()))
        space = map.space()
        assert space is not None
        chart = Chart(space, at, at, problem.domain)
        line = chart.coordinates(projection.initial)
        plan = Plan(problem, chart, rule.order, lambda: line, method)  # type: ignore[arg-type]
        check_kinks(v, values)
        places = Places(problem, typical, problem_of, of_energy, tensors)
        energy = energy_of(problem.terms, lambda: plan.range, places.names, places.bind)
    except Untraceable as error:
        raise ConfigError(f"this ensemble is impossible: compiled code cannot hold {error}") from None
    stops = stops_of(saves, float(t_end))
    size = chart.size
    c = np.zeros((n, len(plan.mesh.mean)))
    c[:, :size], std = starts(projection, chart, law_at, values)
    given = np.stack([values[name] for name in places.names], axis=1) if places.names else np.zeros((n, 0))
    attracts = _collapses(problem, problem_of, values)
    first, least = method.first_dt(float(t_end)), method.least_dt(float(t_end))
    if tensors:
        check_reach(tensors, places.names)
    back = compiled_back(energy, places, size) if tensors else None
    sizes = np.zeros(n) + (values.get("diffusion", problem.least_size) if problem.least_size else 0.0)
    shares = np.finfo(float).eps * last_places(c @ plan.mesh.mean, std)
    each = c, given, std, sizes, shares, attracts
    job = Job(plan.mesh, energy, plan.method, *each, np.array(stops), first, least, bool(tensors))
    ends = on_device.compute(job, where) if where.type == "cuda" else in_threads.compute(job, threads)
    status = np.array([CODES.get(int(code), Status.step_too_small).name for code in ends.code])
    stuck = ends.code == STUCK
    status[stuck & (ends.fault == FOLDED)] = Status.folded.name
    for k in np.flatnonzero((stuck | (ends.code == REFUSED)) & (ends.steps == 0)).tolist():
        start = chart.at_nodes(torch.from_numpy(c[k, :size]))
        if not math.isfinite(sum(float(term.value(start)) for term in problem_of(_row(values, k)).terms)):
            status[k] = Status.not_finite.name  # at the start
    status[stuck & attracts & (ends.slope < math.sqrt(COLLAPSE))] = Status.blow_up.name
    flows = Ensemble(
        dict(values),
        np.array([0.0, *stops]),
        np.concatenate([c[:, None, :size], ends.saved[:, :, :size]], axis=1),
        status,
        ends.steps,
        ends.rejected,
        ends.reached,
        np.full((n, len(stops) + 1), np.nan),
        at.w.numpy(),
        base,
        SplineMesh(space.points, space.degree, tuple(chart.tails)),
        at.z,
    )
    if ends.path is not None:
        saved = torch.from_numpy(ends.saved[:, :, :size])
        history = History(job, ends.path, saved, chart, tensors, values, places.names, back, threads)
        flows = replace(flows, history=history)
    if not errors:
        return flows
    assert isinstance(method, Rodas4)
    finer = Rodas4(method.rtol * FINER, method.atol * FINER, method.dt, method.dt_min, method.max_steps)
    rich = ensemble(
        pde,
        values,
        t_end=t_end,
        potential=potential,
        interaction=interaction,
        network=map.on_breakpoints(richer(space.points, base)),
        law=rho,
        integrator=finer,
        nodes=rule.order + 1,
        saves=saves,
        threads=threads,
        device=device,
    )
    return replace(flows, w2_error=w2_errors(flows, rich))


def _typical(values: Columns, free: Container[str]) -> dict[str, float]:
    """Numbers of a flow with few zeros, which could hide a term of the energy; where it has one, that of another. The
    `free` ones are no part of the energy, but where they stand in it is found by theirs."""
    if not values:
        return {}
    table = np.stack(list(values.values()))
    row = table[:, np.count_nonzero(table, axis=0).argmax()]
    others = (column[np.argmax(column != 0)] for column in table)
    return {name: float(x or y or name in free) for name, x, y in zip(values, row, others, strict=True)}


def _collapses(problem: Problem, problem_of: ProblemOf, values: Columns) -> np.ndarray:
    """Whether the law of each flow can collapse [n].

    Raises:
        ConfigError: the numbers of a flow do not fit together.
    """
    n = len(next(iter(values.values())))
    if problem.interaction.vanishes:
        return np.zeros(n, dtype=bool)
    return np.array([problem_of(_row(values, k)).collapses for k in range(n)])


def _row(values: Columns, k: int) -> dict[str, float]:
    return {name: float(column[k]) for name, column in values.items()}
