"""Derivatives of an ensemble in its parameters: the discrete adjoint of its steps, whose lengths are constants.

The way back takes step after step again in torch, the k-th ones of all flows at once, and differentiates it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wgf.ensembles.job import Job, Path
from wgf.ensembles.parameters import LAW, SCALE, SHIFT
from wgf.errors import ConfigError, WgfError
from wgf.gradients import growth
from wgf.gradients.law import DifferentiableLaws
from wgf.gradients.tensors import tensors_of
from wgf.projection.chart import Chart

START = ((SCALE, 1.0), (SHIFT, 0.0))  # parameters of the initial law, and their values if they are not given
MOST = 512  # coordinates of a map, so that products with dense matrices pay
MEMORY = 2**28  # bytes that the way back takes on the CPU
EACH = 40  # bytes for each number of `Landscape.entries`: a step keeps those of its six stages


@dataclass(frozen=True)
class History:
    """The computed flows with what their derivatives need.

    Attributes:
        job: the flows. path: their steps.
        saved: coordinates at the goals [n, s, M], NaN after a failure (length).
        chart: the coordinates.
        tensors: the parameters that require grad, as they were given.
        values: all parameters when the flows were computed [n].
        names: of the parameters of the energy.
    """

    job: Job
    path: Path
    saved: Tensor
    chart: Chart
    tensors: Mapping[str, Tensor]
    values: Mapping[str, np.ndarray]
    names: Sequence[str]

    def columns(self) -> dict[str, Tensor]:
        """The parameters, differentiable [n].

        Raises:
            WgfError: a tensor has changed.
        """
        found = {name: torch.tensor(value) for name, value in self.values.items()}
        for name, given in self.tensors.items():
            now = given.double().cpu().reshape(-1).expand(len(found[name]))
            if not torch.equal(now.detach(), found[name]):
                raise WgfError(
                    f"parameters[{name!r}] has changed since the flows were computed: they have no gradients any more, "
                    "compute them again"
                )
            found[name] = now
        return found


def sweep(history: History, bars: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of a loss in the first coordinates [n, M] and in the parameters of the energy [n, p].

    Args:
        bars: derivatives of the loss in the coordinates at the goals [n, s, M]; 0 where a flow did not arrive.
    """
    from wgf.ensembles.batched.landscape import Landscape
    from wgf.ensembles.batched.step import Step

    job, path = history.job, history.path
    device = path.lengths.device
    step = Step(Landscape(job.mesh, job.energy, device), job.method)
    counts = torch.stack([path.before(t) for t in job.goals.tolist()]) * (bars != 0).any(2).T.to(device)
    steps, order = counts.amax(0).sort(descending=True)
    parameters, moves = torch.from_numpy(job.parameters.T).to(device), bars.permute(1, 2, 0).to(device)
    start, slopes = torch.zeros_like(path.coordinates[0]), torch.zeros_like(parameters)
    memory = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else MEMORY
    width = max(1, memory // (EACH * step.landscape.entries()))
    root = torch.linalg.cholesky(step.landscape.mass)

    def length(x: Tensor) -> Tensor:
        """In the dual of the W2 length [...] of derivatives [..., M, n]."""
        return torch.linalg.solve_triangular(root, x, upper=False).norm(dim=-2)

    loss, worst = length(moves).amax(0), moves.new_zeros(())
    for at, own in zip(order.split(width), steps.split(width), strict=True):
        most = int(own[0])
        running = (own[:, None] > torch.arange(most, device=device)).sum(0).tolist()
        now = torch.zeros_like(path.coordinates[0, :, at])
        for k in range(most, 0, -1):
            now = now + moves[:, :, at].where(counts[:, None, at] == k, 0.0).sum(0)
            flows = at[: running[k - 1]]
            before, dt = path.coordinates[k - 1][:, flows], path.lengths[k - 1, flows]
            old, found = step.pull_back(before, parameters[:, flows], dt, now[:, : len(flows)])
            worst = torch.maximum(worst, growth.factor(length(old), length(now[:, : len(flows)]), loss[flows]))
            now = torch.cat([old, now[:, len(flows) :]], 1)
            slopes[:, flows] += found
        start[:, at] = now
    growth.judge(float(worst))
    return start.T.cpu(), slopes.T.cpu()


class Coordinates(torch.autograd.Function):
    """Coordinates at the goals [n, s, M] of flows that have been computed. A flow that did not arrive has no
    derivatives there."""

    @staticmethod
    def forward(ctx: Any, history: History, start: Tensor, parameters: Tensor) -> Tensor:
        ctx.history = history
        return history.saved.clone()

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[None, Tensor, Tensor]:
        if torch.is_grad_enabled():
            raise WgfError("second derivatives of a flow are unavailable: call backward without create_graph=True")
        arrived = ctx.history.saved.isfinite()
        return None, *sweep(ctx.history, bars[0].where(arrived, 0.0))


def laws_at(history: History | None, number: int | list[int]) -> DifferentiableLaws:
    """The laws at the saved times with these numbers; 0 is t = 0.

    Raises:
        ConfigError: the ensemble has no derivatives.
        WgfError: a tensor has changed.
    """
    if history is None:
        raise ConfigError(
            "this ensemble has no derivatives: no parameter is a tensor that requires grad, or the flows were "
            "joined or read from a file"
        )
    columns, job = history.columns(), history.job
    first, one = torch.from_numpy(job.c[:, : job.mesh.size]), history.chart.constant()
    scale, shift = (columns.get(name, first.new_full(first.shape[:1], value))[:, None] for name, value in START)
    spread = (first - shift.detach() * one) / scale.detach()
    start = first + (scale - scale.detach()) * spread + (shift - shift.detach()) * one
    parameters = torch.stack([columns[name] for name in history.names], 1) if history.names else first[:, :0]
    saved = torch.cat([start[:, None], Coordinates.apply(history, start, parameters)], 1)
    return DifferentiableLaws(history.chart, history.chart.nodes.base, saved[:, number])


def check_size(size: int) -> None:
    """Check the number of coordinates of the maps.

    Raises:
        ConfigError: there are too many.
    """
    if size > MOST:
        raise ConfigError(
            f"gradients of an ensemble need maps of at most {MOST} coordinates, not {size}: reduce the width of the "
            "network, or use wgf.solve for each flow"
        )


def check_reach(tensors: Iterable[str], names: Sequence[str]) -> None:
    """Check that tensors among the parameters have derivatives.

    Args:
        names: of the parameters of the energy.

    Raises:
        ConfigError: with one line for each that does not.
    """
    lost = [name for name in tensors if name not in (SHIFT, SCALE, *names)]
    if lost:
        why = (
            "has no derivative: use shift and scale, or detach it",
            "requires grad, but no flow depends on it: detach it",
        )
        raise ConfigError(*(f"parameters[{name!r}] {why[not name.startswith(LAW)]}" for name in lost))


def check_tensors(**arguments: Any) -> None:
    """Check that no argument holds a tensor whose derivative would be lost.

    Raises:
        ConfigError: with one line for each that does.
    """
    lost = [name for name, value in arguments.items() if tensors_of(value)]
    if lost:
        raise ConfigError(
            *(
                f"{name} has a tensor that requires grad, whose derivative would be lost: detach it, or give it in "
                'parameters={"name": tensor}'
                for name in lost
            )
        )
