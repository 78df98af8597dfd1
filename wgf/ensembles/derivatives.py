"""Derivatives of an ensemble in its parameters: the discrete adjoint of its steps, whose lengths are constants.

The way back is machine code on the CPU, flow by flow; it is torch on a GPU, and where no tape can hold the energy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from wgf.engine.compiled import cause
from wgf.ensembles.job import Job, Path
from wgf.ensembles.parameters import LAW, SCALE, SHIFT
from wgf.errors import ConfigError, WgfError
from wgf.gradients import growth
from wgf.gradients.adjoint import SAME, announce
from wgf.gradients.law import DifferentiableLaws
from wgf.gradients.tensors import tensors_of
from wgf.projection.chart import Chart

if TYPE_CHECKING:
    from wgf.engine.arrays import Energy
    from wgf.ensembles.places import Places

START = ((SCALE, 1.0), (SHIFT, 0.0))  # parameters of the initial law, and their values if they are not given
MOST = 512  # coordinates of a map for torch, so that products with dense matrices pay


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
        back: programs of the way back, if it is machine code.
        threads: how many compute on the CPU; None for one on each core.
    """

    job: Job
    path: Path
    saved: Tensor
    chart: Chart
    tensors: Mapping[str, Tensor]
    values: Mapping[str, np.ndarray]
    names: Sequence[str]
    back: Energy | None
    threads: int | None

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
    from wgf.ensembles.batched import backward
    from wgf.ensembles.in_threads import pull_back

    job, path, found = history.job, history.path, None
    if history.back is not None and path.lengths.device.type == "cpu":
        try:
            found = pull_back(job, history.back, path, bars, SAME, history.threads)
        except WgfError:
            raise
        except Exception as error:
            announce(cause(error))
    if found is None:
        found = backward.pull_back(job, path, bars)
    growth.judge(float(found.factor))
    return found.start, found.parameters


def compiled_back(energy: Energy, places: Places, size: int) -> Energy | None:
    """Programs of the way back through flows with an energy; None where torch goes back.

    Args:
        places: of the parameters in the energy.
        size: number of coordinates of the maps.

    Raises:
        ConfigError: there are too many for torch.
    """
    from wgf.engine.backward.programs import backward_energy
    from wgf.engine.tapes.tape import Untraceable

    try:
        if len(energy.local.tables):
            raise Untraceable("a potential in a table")
        return backward_energy(places.with_numbers, len(places.names))
    except Untraceable as error:
        announce(cause(error))
        if size > MOST:
            raise ConfigError(
                f"gradients of an ensemble with {error} need maps of at most {MOST} coordinates, not {size}: reduce "
                "the width of the network, or use wgf.solve for each flow"
            ) from None
        return None


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
