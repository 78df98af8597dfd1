"""The way back through a flow of the compiled engine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wgf.engine.arrays import workspace
from wgf.engine.compiled import Compiled
from wgf.engine.machine_code import Direct
from wgf.engine.tapes.tape import Untraceable
from wgf.engine.vectors import WIDTH, aligned
from wgf.errors import WgfError
from wgf.gradients.compiled.kernel import ROWS, pull_back
from wgf.gradients.compiled.programs import backward_energy
from wgf.gradients.history import OTHER, SAME, History

NO_STAGES = np.zeros((0, 0, 0, 0))
_pull_back = Direct(pull_back), Direct(pull_back)  # for energies with pairs, and for others


class Swept(NamedTuple):
    """What the way back found.

    Attributes:
        start: derivative in the first coordinates [M].
        numbers: derivatives in the tensors of the energies; None where the kernel does not know them.
        stages, directions: u_i and v_i of the steps [k, 6, M], where it does not.
    """

    start: Tensor
    numbers: list[Tensor] | None
    stages: Tensor
    directions: Tensor


def sweep(history: History, method: Compiled, bars: Tensor) -> Swept:
    """Derivatives of a loss back through all steps, from those in the coordinates after so many steps [k + 1, M].

    Raises:
        Untraceable: no tape can hold the energy.
        WgfError: another method took a step.
    """
    plan, recorded, tensors = method.plan(history.projection), history.recorded, history.tensors
    if len(plan.energy.local.tables):
        raise Untraceable("a potential in a table")
    try:
        if any(tensor.numel() != 1 for tensor in tensors):
            raise Untraceable("a tensor of several numbers")
        back, known = backward_energy(history.problem.terms, tensors), True
    except Untraceable:
        back, known = backward_energy(history.projection.problem.terms, []), False
    path, after = aligned(2, len(bars), plan.mesh.size + WIDTH)
    path[:, :-WIDTH], after[:, :-WIDTH] = torch.stack(recorded.coordinates).numpy(), bars.numpy()
    lengths, numbers = np.array(recorded.steps), np.array([[tensor.item() for tensor in tensors if known]])
    found, (_, *shape) = np.zeros(numbers.shape[1]), path.shape
    kept = NO_STAGES if known else np.zeros((2, len(lengths), 6, *shape))
    work, other = workspace(plan.mesh, plan.energy), workspace(plan.mesh, back)
    _pull_back[plan.energy.pair is None](
        path,
        lengths,
        after,
        plan.mesh,
        plan.energy,
        back,
        plan.method,
        plan.parameters,
        numbers,
        found,
        kept,
        work,
        other,
        aligned(ROWS, *shape),
        aligned(4, other.registers.shape[1]),
        SAME,
    )
    if np.isnan(lengths[:1]).any():
        raise WgfError(OTHER)
    start, derivatives = torch.from_numpy(after[0, :-WIDTH].copy()), None
    if known:
        derivatives = [torch.full_like(t, d, requires_grad=False) for t, d in zip(tensors, found, strict=True)]
    stages = torch.from_numpy(kept)[..., :-WIDTH] if not known else torch.zeros(2, 0)
    return Swept(start, derivatives, *stages)
