"""The states of a flow as differentiable functions of the tensors of its problem."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from wgf.errors import ConfigError, WgfError
from wgf.gradients.adjoint import sweep
from wgf.gradients.history import History, RecordedStates, check
from wgf.gradients.law import DifferentiableLaw
from wgf.gradients.reach import FEW, check_reach, energies
from wgf.gradients.start import first_coordinates
from wgf.gradients.tensors import number, replaced, tensors_of
from wgf.integrators.base import Integrator
from wgf.integrators.implicit import Rodas4
from wgf.problem.base import Law
from wgf.problem.equations import PDE
from wgf.problem.interaction import Interaction
from wgf.problem.potential import Potential
from wgf.problem.quadrature import Nodes
from wgf.projection.field import Projection

Parts = tuple[PDE, Potential, Interaction, Law | None]


class Coordinates(torch.autograd.Function):
    """Coordinates at the saved times [s, M] of a flow that has been computed."""

    @staticmethod
    def forward(ctx: Any, history: History, start: Tensor, *tensors: Tensor) -> Tensor:
        ctx.history = history
        chart = history.landscape.chart
        return torch.stack([chart.coordinates(theta) for theta in history.recorded.theta])

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise WgfError("second derivatives of a flow are unavailable: call backward without create_graph=True")
        ctx.history.check_values()
        start, numbers = sweep(ctx.history, bars[0])
        return None, start, *numbers


def coordinates(history: History) -> Tensor:
    """Coordinates of the maps at the saved times [s, M], differentiable in every tensor of the problem.

    Raises:
        WgfError: a tensor has changed.
    """
    history.check_values()
    projection, law = history.projection, history.problem.law
    start = history.landscape.chart.coordinates(projection.initial)
    if torch.is_grad_enabled() and tensors_of(law):
        start = first_coordinates(projection, law)
    return Coordinates.apply(history, start, *history.tensors)


def law_at(history: History | None, t: float | None) -> DifferentiableLaw:
    """Law of a flow at a saved time, the last by default.

    Raises:
        ConfigError: the flow has no derivatives, its record lacks steps, or t is not a saved time.
    """
    if history is None:
        raise ConfigError("this flow has no derivatives: no number of its problem is a tensor that requires grad")
    if not history.recorded.is_complete:
        raise ConfigError("this flow has no derivatives: Ctrl-C came before its last steps were recorded, solve again")
    times, t = history.recorded.times, None if t is None else number("t", t)
    k = len(times) - 1 if t is None else min(range(len(times)), key=lambda k: abs(times[k] - t))
    if t is not None and abs(times[k] - t) > 1e-12 * times[-1]:
        raise ConfigError(f"t={t!r} is not allowed: expected a saved time, one of {times}")
    return DifferentiableLaw(history, coordinates(history)[k])


def begin(parts: Parts, projection: Projection, method: Integrator) -> History:
    """History of a flow that will be computed.

    Args:
        parts: equation, potential, interaction and initial law with their tensors; no law for that of the projection.
        projection: the flow without derivatives.
        method: takes the steps.

    Raises:
        ConfigError: the flow has no derivatives, or a derivative would be lost.
    """
    check(projection, method)
    held = tensors_of(parts)
    pde, potential, interaction, law = replaced(parts, held, held)  # other attributes stay what they are now
    own = projection.problem
    if own.potential.kinks is not None:
        raise ConfigError(
            f"potential={own.potential} has kinks, whose motion has no derivatives here: smooth them, such as "
            "sqrt(x**2 + 1e-4) for abs(x), or detach the tensors"
        )
    problem = pde.problem(law or own.law, potential, interaction, own.t_end, projection.map.base, own.domain)
    assert projection.landscape is not None
    every = projection.landscape.chart.nodes
    some = slice(None, None, len(every.z) // FEW + 1)
    outputs = energies(problem.terms, Nodes(every.z[some], every.w[some], every.base))
    if tensors_of(problem.law):
        outputs.append(first_coordinates(projection, problem.law).sum())
    check_reach(held, outputs)
    recorded = RecordedStates(projection.map, chart=projection.landscape.chart)
    values = [(t, t.detach().clone()) for t in tensors_of((problem.terms, problem.law))]
    return History(projection, cast("Rodas4", method), recorded, problem, tensors_of(problem.terms), values)
