"""Discrete adjoint of the steps of `Rodas4`: derivatives of the computed states, exact up to rounding.

A step solves W u_i = M p_i / dt - grad F(c_i) with c_i = c + sum_{j<i} a_ij u_j, p_i = sum_{j<i} c_ij u_j,
W = M/(gamma dt) + H(c), and ends in c_6 = c_5 + u_6 (in the numbering from 1). For a loss with derivative l in the new
state, the derivatives b_i in the stages follow backwards from b_6 = l:

    W v_i = b_i,   y_i = -H(c_i) v_i (+ l for the last i),   b_j += a_ij y_i + c_ij M v_i / dt   for j < i,

and the derivative in the old state is sum_i y_i - d/dc sum_i d2F(c)(v_i, u_i). W is symmetric, so its adjoint has the
same factors. The derivative in a number of the energy is that of -sum_i [dF(c_i)(v_i) + d2F(c)(v_i, u_i)].

The step sizes are constants here: the time loop chose them from error estimates.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from wgf.errors import WgfError
from wgf.gradients import derivatives, growth
from wgf.gradients.history import History
from wgf.gradients.tensors import replaced, tensors_of
from wgf.integrators.implicit import Rodas4
from wgf.problem.energy import MapAtNodes
from wgf.projection.chart_energy import Landscape

SAME = 1e-9  # difference between a recorded state and the repeated step, relative to the state
OTHER = "this flow has no gradients: another method took a step where rodas4 folded the map"
log = logging.getLogger("wgf")


@dataclass(frozen=True)
class Pulled:
    """A step on the way back.

    Attributes:
        old: derivative in the old coordinates [M].
        maps: maps of the stages at the nodes [6, 2, n]; the first is the map before the step.
        v, u: adjoint directions and stages at the nodes [6, 2, n].
    """

    old: Tensor
    maps: Tensor
    v: Tensor
    u: Tensor


def pull_back(landscape: Landscape, method: Rodas4, c: Tensor, dt: float, after: Tensor, new: Tensor) -> Pulled:
    """Derivative in the coordinates c [M] before a step from the derivative `new` [M] in those after it.

    Args:
        landscape: the energy.
        method: the method.
        c, after: coordinates before and after the step [M].
        dt: the step (time).
        new: derivative of the loss in the coordinates after the step [M].

    Raises:
        WgfError: another method took the step.
    """
    chart = landscape.chart
    hessians = [landscape.hessian(chart.at_nodes(c))]
    factor = hessians[0].plus_mass(1 / (method.gamma * dt))
    places, stages = [c], [factor.solve(-landscape.gradient(chart.at_nodes(c)))]
    for a, pull in zip(method.a[1:], method.c[1:], strict=True):
        u = torch.stack(stages)
        place = c + u.new_tensor(a) @ u
        at = chart.at_nodes(place)
        places.append(place)
        hessians.append(landscape.hessian(at))
        stages.append(factor.solve(chart.mass.matvec(u.new_tensor(pull) @ u / dt) - landscape.gradient(at)))
    if not float((places[-1] + stages[-1] - after).abs().max()) <= SAME * float(after.abs().max()):
        raise WgfError(OTHER)
    old, bars = torch.zeros_like(c), [torch.zeros_like(c) for _ in range(5)] + [new]
    directions = []
    for i in range(5, -1, -1):
        v = factor.solve(bars[i]) * chart.free  # walls do not move
        directions.append(v)
        y = -hessians[i].matvec(v)
        if i == 5:
            y = y + new
        old = old + y
        pulled = chart.mass.matvec(v) / dt
        for j, (a_ij, c_ij) in enumerate(zip(method.a[i], method.c[i], strict=True)):
            bars[j] = bars[j] + a_ij * y + c_ij * pulled
    v, u = (_stacked([chart.change(row) for row in rows]) for rows in (directions[::-1], stages))
    maps = _stacked([chart.at_nodes(place) for place in places])
    with torch.enable_grad():
        first = maps[:1].detach().requires_grad_()
        bend = derivatives.second(landscape.energies, chart.nodes, first, v[None], u[None])
        if bend.requires_grad:
            old = old - chart.load(*torch.autograd.grad(bend, first)[0][0])
    return Pulled(old, maps, v, u)


def _stacked(rows: list[MapAtNodes]) -> Tensor:
    """Values and slopes [r, 2, n] at the nodes."""
    return torch.stack([torch.stack([at.x, at.dx]) for at in rows])


def sweep(history: History, bars: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Derivatives of a loss in the first coordinates [M] and in the tensors of a history.

    Args:
        history: the flow.
        bars: derivatives of the loss in the coordinates at the saved times [s, M].
    """
    recorded = history.recorded
    counts = torch.tensor(recorded.counts, device=bars.device)
    every = bars.new_zeros(len(recorded.steps) + 1, bars.shape[1]).index_add(0, counts, bars)
    if not recorded.steps:
        return every[0], [torch.zeros_like(t) for t in history.tensors]
    if (back := getattr(history.method, "pull_back", None)) is None:
        return _by_torch(history, every)
    numbers = [t.item() for t in history.tensors] if all(t.numel() == 1 for t in history.tensors) else None
    bind = partial(replaced, history.problem.terms, history.tensors)
    found = back(history.projection, recorded.coordinates, recorded.steps, every, bind, numbers, SAME)
    if isinstance(found, str):
        announce(found)
        return _by_torch(history, every)
    if not found.repeats:
        raise WgfError(OTHER)
    _judge(*found.sizes)
    if found.numbers is None:
        return found.start, _in_numbers(history, *_at_nodes(history, *found.kept[:-1].unbind(1)))
    return found.start, [
        torch.full_like(t, d, requires_grad=False) for t, d in zip(history.tensors, found.numbers, strict=True)
    ]


@cache
def announce(why: str) -> None:
    """Say why gradients are not compiled, the first time."""
    log.info("gradients by torch: %s", why)


def _by_torch(history: History, bars: Tensor) -> tuple[Tensor, list[Tensor]]:
    """As `sweep`, from the derivatives in the coordinates after so many steps [k + 1, M]."""
    recorded, now, pulled = history.recorded, bars[-1], []
    every = [now]
    states = recorded.coordinates
    for k in range(len(recorded.steps), 0, -1):
        step = recorded.steps[k - 1]
        pulled.append(pull_back(history.landscape, history.method, states[k - 1], step, states[k], now))
        now = pulled[-1].old + bars[k - 1]
        every.append(now)
    _judge(*_sizes(history, torch.stack(every[::-1]), bars))
    nodes = zip(*((p.maps, p.v, p.u) for p in pulled), strict=True)
    return now, _in_numbers(history, *map(torch.stack, nodes))


def _sizes(history: History, bars: Tensor, loss: Tensor) -> list[Tensor]:
    """Lengths, in the dual of the W2 length, of derivatives [k + 1, M] without and with those of the loss there, and of
    the latter [k + 1, M]."""
    project = history.landscape.chart.project
    every = bars - loss, bars, loss
    return [torch.einsum("km,mk->k", x, project(x.T)).clamp(min=0).sqrt() for x in every]


def _judge(before: Tensor, after: Tensor, added: Tensor) -> None:
    """Warn where a step multiplies derivatives; for the arguments see `_sizes`."""
    growth.judge(float(growth.factor(before[:-1], after[1:], added.max())))


def _at_nodes(history: History, u: Tensor, v: Tensor) -> list[Tensor]:
    """Maps of the stages, directions v and stages u [k, 6, M] at the nodes [k, 6, 2, n]."""
    chart = history.landscape.chart
    tableau = u.new_tensor([[*row, *[0.0] * (6 - len(row))] for row in history.method.a])
    places = torch.stack(history.recorded.coordinates[:-1])[:, None] + tableau @ u
    return [chart.changes(rows.flatten(0, 1)).unflatten(0, (-1, 6)) for rows in (places, v, u)]


def _in_numbers(history: History, maps: Tensor, v: Tensor, u: Tensor) -> list[Tensor]:
    """Derivatives in the tensors of the energies, from maps, directions and stages at the nodes [k, 6, 2, n]."""
    if not history.tensors:
        return []
    leaves = [t.detach().requires_grad_() for t in history.tensors]
    terms = [replaced(t, history.tensors, leaves) for t in history.problem.terms if tensors_of(t)]
    nodes = history.landscape.chart.nodes
    with torch.enable_grad():
        total = -derivatives.first(terms, nodes, maps.flatten(0, 1), v.flatten(0, 1))
        total = total - derivatives.second(terms, nodes, maps[:, 0], v, u)
        return list(torch.autograd.grad(total, leaves, materialize_grads=True))
