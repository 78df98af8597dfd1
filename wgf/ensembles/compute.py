"""`wgf.ensemble`: many flows that differ in parameters only, computed together."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, get_type_hints

import numpy as np
import torch

from wgf.api import check_kinds, stops_of
from wgf.assemble import assemble, device_of
from wgf.engine.compiled import obstacle
from wgf.ensembles.derivatives import History, check_size, check_tensors
from wgf.ensembles.flows import Ensemble
from wgf.ensembles.job import Job
from wgf.ensembles.mesh import SplineMesh
from wgf.errors import ConfigError
from wgf.gradients.states import check_hidden
from wgf.gradients.tensors import tensors_of
from wgf.integrators.auto import Auto
from wgf.integrators.base import Integrator
from wgf.integrators.implicit import Rodas4
from wgf.integrators.status import Status
from wgf.integrators.time_loop import COLLAPSE
from wgf.networks.base import TransportMap
from wgf.networks.spline import Spline
from wgf.problem.base import Base
from wgf.problem.energy import Term
from wgf.problem.equations import PDE, Problem
from wgf.problem.interaction import Interaction
from wgf.problem.interaction import Zero as NoInteraction
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed, Potential
from wgf.problem.potential import Zero as NoPotential
from wgf.problem.quadrature import Gauss, LeanGauss
from wgf.projection.chart import Chart
from wgf.projection.solvers import Auto as AutoSolver
from wgf.settings.arguments import numbers
from wgf.settings.formulas.expression import CONSTANTS
from wgf.settings.ranges import Choice, CountOrNone, Flag, Positive, Range, checked, fault, rule_of

OrderOrNone = Annotated[int | None, Range(int, low=1, high=64, none=True)]

SHIFT, SCALE = "shift", "scale"  # of the initial law: x = shift + scale z, z distributed as the base
FINER = 1e-2  # tolerances of the richer flows, relative to those of the flows
CODES = {0: Status.completed, 2: Status.blow_up, 3: Status.max_steps, 4: Status.step_too_small}


@checked
def ensemble(
    pde: PDE,
    parameters: Mapping[str, Any],
    *,
    t_end: Positive,
    potential: Potential | str | None = None,
    interaction: Interaction | None = None,
    network: TransportMap | None = None,
    law: Base | None = None,
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
        pde, t_end, potential, interaction, network, law, integrator: as in `wgf.solve`.
        parameters: arrays [n] or numbers by name: settings of the equation ("diffusion", "exponent", "chi"), of the
            potential and of the interaction, names in the formula of the potential, and "shift" and "scale" of the
            initial law, x = shift + scale z with z distributed as `law`. Tensors that require grad have derivatives,
            see `Ensemble.differentiable`.
        nodes: quadrature nodes per cell between the breakpoints; by default about half as many as the degree of the
            map, enough for six digits. Increase it for more.
        saves: number of equal intervals at whose ends to save the maps, or the saved times (time).
        threads: threads that compute on the CPU; all cores by default.
        device: cpu, cuda, cuda:<number> or auto. A GPU computes all flows at once; it pays from about a thousand.
        errors: whether to estimate the W2 error of each flow at the saved times, by the distance to flows with twice as
            many cells and tolerances 100 times smaller; this takes about eight times as long.

    Raises:
        ConfigError: an argument is not allowed, or compiled code cannot hold the energies.
    """
    from wgf.engine.energies import energy_of
    from wgf.engine.kernel import FOLDED, STUCK
    from wgf.engine.plan import Plan
    from wgf.engine.tapes.tape import Tape, Untraceable
    from wgf.engine.tapes.traced import Traced
    from wgf.ensembles import in_threads, on_device

    check_kinds(locals())
    fixed = {"potential": potential, "interaction": interaction, "network": network and network.base, "law": law}
    check_tensors(pde=pde, **fixed)
    where = device_of(str(device))
    if not (law is None or isinstance(law, Base)):
        raise ConfigError(fault("law", law, "a law with a density, an object of wgf.Base"))
    values = _columns(parameters)
    n = len(next(iter(values.values())))
    names = [name for name in values if name not in (SHIFT, SCALE)]
    row: dict[str, Any] = {name: float(column[0]) for name, column in values.items()}
    _check_rules(pde, values)
    if isinstance(potential, str):
        potential = Expressed(potential, **{k: row[k] for k in re.findall(r"[A-Za-z_]\w*", potential) if k in row})
    base = law or (network.base if network is not None else Gaussian())
    problem = pde.problem(base, potential or NoPotential(), interaction or NoInteraction(), float(t_end))
    check_hidden(problem)
    used: set[str] = set()

    def bind(term: Term, tape: Tape) -> Term:
        """Copy of a term with the parameters of the ensemble as its numbers."""
        bound = copy.copy(term)
        for name in names:
            number = Traced(tape, {(0, 0): tape.parameter(name)})
            expression = vars(bound).get("expression")
            if expression is not None and name in expression.constants:
                used.add(name)
                bound.expression = copy.copy(expression)  # type: ignore[attr-defined]
                bound.expression.constants = expression.constants | {name: number}  # type: ignore[attr-defined]
            elif name == "chi" and isinstance(term, Interaction) and hasattr(pde, "chi"):
                used.add(name)
                bound.__dict__["strength"] = 2 * number
            elif name in vars(term):
                used.add(name)
                bound.__dict__[name] = number
                if name == "strength" and vars(term).get("kink"):
                    raise Untraceable("the strength of a kernel with a kink as a parameter")
        return bound

    projection, method = assemble(
        problem,
        lambda base: Spline(base=base) if network is None else network.twin(),
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
        energy = energy_of(problem.terms, lambda: plan.range, names, bind)
    except Untraceable as error:
        raise ConfigError(f"this ensemble is impossible: compiled code cannot hold {error}") from None
    if unknown := [name for name in names if name not in used]:
        raise ConfigError(f"parameters: {', '.join(unknown)}: expected names among {', '.join(_numbers(pde, problem))}")
    stops = stops_of(saves, float(t_end))
    scale = values.get(SCALE, np.ones(n))
    size = chart.size
    c = np.zeros((n, len(plan.mesh.mean)))
    one = chart.constant().numpy()
    c[:, :size] = scale[:, None] * line.numpy() + values.get(SHIFT, np.zeros(n))[:, None] * one
    given = np.stack([values[name] for name in names], axis=1) if names else np.zeros((n, 0))
    attracts = _collapses(problem, pde, values)
    first = method.first_dt(float(t_end))
    tensors = {name: value for name, value in parameters.items() if tensors_of(value)}
    if tensors:
        check_size(size)
    job = Job(
        plan.mesh, energy, plan.method, c, given, base.std * scale, attracts, np.array(stops), first, bool(tensors)
    )
    ends = on_device.compute(job, where) if where.type == "cuda" else in_threads.compute(job, threads)
    status = np.array([CODES[int(code)].name for code in ends.code])
    stuck = ends.code == STUCK
    status[stuck & (ends.fault == FOLDED)] = Status.folded.name
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
        saved, shape = torch.from_numpy(ends.saved[:, :, :size]), (line, chart.constant())
        history = History(job, ends.path, saved, chart, tensors, values, names, *shape)
        flows = replace(flows, history=history)
    if not errors:
        return flows
    assert isinstance(method, Rodas4)
    finer = Rodas4(method.rtol * FINER, method.atol * FINER, method.dt, method.dt_min, method.max_steps)
    points = space.points
    middles = 0.5 * (points[1:] + points[:-1])
    rich = ensemble(
        pde,
        values,
        t_end=t_end,
        potential=potential,
        interaction=interaction,
        network=map.on_breakpoints(torch.cat([points, middles]).sort().values),
        law=base,
        integrator=finer,
        nodes=rule.order + 1,
        saves=saves,
        threads=threads,
        device=device,
    )
    return replace(flows, w2_error=np.stack([flows.gap(rich, float(t)) for t in flows.t], axis=1))


def _numbers(pde: PDE, problem: Problem) -> list[str]:
    """Names that parameters may have."""
    names = {SHIFT, SCALE}
    for term in problem.terms:
        names |= {name for name, value in vars(term).items() if isinstance(value, float) and name[0] != "_"}
        names |= vars(own)["constants"].keys() if (own := vars(term).get("expression")) else set()
    names -= {"sum_rtol", "t", *CONSTANTS}  # a tolerance, the time, pi and e
    return sorted(names - {"strength"} | {"chi"} if hasattr(pde, "chi") else names)


def _columns(parameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Parameters as arrays [n].

    Raises:
        ConfigError: no parameter is given, or they do not have one length or are not finite.
    """
    if not isinstance(parameters, Mapping):
        raise ConfigError(fault("parameters", parameters, "arrays of numbers by name"))
    columns = {name: np.atleast_1d(numbers(f"parameters[{name!r}]", v)) for name, v in parameters.items()}
    lengths = {len(v) for v in columns.values() if v.ndim == 1} - {1}
    if not columns or len(lengths) > 1 or not all(v.ndim == 1 and np.isfinite(v).all() for v in columns.values()):
        raise ConfigError("parameters are not allowed: expected arrays of finite numbers, all of one length")
    n = lengths.pop() if lengths else 1
    return {name: np.ascontiguousarray(np.broadcast_to(v, (n,))) for name, v in columns.items()}


def _collapses(problem: Problem, pde: PDE, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Whether the law of each flow can collapse [n]."""
    n = len(next(iter(values.values())))
    if problem.interaction.vanishes:
        return np.zeros(n, dtype=bool)
    kernel, internal, found = copy.copy(problem.interaction), copy.copy(problem.internal), []
    for k in range(n):
        for name, column in values.items():
            for term in (kernel, internal):
                if name in vars(term or object):
                    setattr(term, name, float(column[k]))
            if name == "chi":
                kernel.__dict__["strength"] = 2 * float(column[k])
        found.append(kernel.collapses(internal))
    return np.array(found)


def _check_rules(pde: PDE, values: Mapping[str, np.ndarray]) -> None:
    """Check parameters of the equation against the rules of its constructor.

    Raises:
        ConfigError: with one line for each parameter that breaks its rule.
    """
    hints = get_type_hints(type(pde).__init__, include_extras=True)
    rules = {name: rule for name in values if (rule := rule_of(hints.get(name))) is not None}
    bad = [(k, v, r) for k, r in rules.items() for v in (values[k].min(), values[k].max()) if not r.admits(v)]
    if (smallest := values.get(SCALE)) is not None and smallest.min() <= 0:
        bad.append((SCALE, smallest.min(), Choice("numbers > 0")))
    if bad:
        raise ConfigError(*(fault(k, float(v), r) for k, v, r in bad))
