"""The way back through a flow of the compiled engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wgf.engine.arrays import workspace
from wgf.engine.backward.kernel import ROWS, pull_back
from wgf.engine.backward.programs import Bind, backward_energy
from wgf.engine.llvm.vectors import WIDTH, aligned
from wgf.engine.machine_code import Direct
from wgf.engine.plan import Plan
from wgf.engine.tapes.tape import Untraceable

NO_STAGES = np.zeros((0, 0, 0, 0))
# by whether the energies of the steps and of the way back have pairs, of which their types depend: an interaction of
# strength 0 has derivatives, but no pairs in the steps
_pull_back = {(steps, back): Direct(pull_back) for steps in (False, True) for back in (False, True)}


class Swept(NamedTuple):
    """What the way back found.

    Attributes:
        bars: derivatives of the loss in the coordinates of the path, through all steps [k + 1, M].
        numbers: derivatives in the numbers; None where the kernel does not know them.
        stages, directions: u_i and v_i of the steps [k, 6, M], where it does not.
        repeats: whether the steps, taken again, end where the flow went.
    """

    bars: Tensor
    numbers: list[float] | None
    stages: Tensor
    directions: Tensor
    repeats: bool


def sweep(
    plan: Plan,
    path: Sequence[Tensor],
    steps: list[float],
    bars: Tensor,
    bind: Bind,
    numbers: list[float] | None,
    same: float,
) -> Swept:
    """Derivatives of a loss back through all steps.

    Args:
        plan: the flow.
        path: coordinates before each step and after the last one [k + 1][M].
        steps: lengths of the steps [k] (time).
        bars: derivatives of the loss in the coordinates of the path [k + 1, M].
        bind: the terms of the energy with others in the place of the wanted numbers.
        numbers: the wanted numbers; None if they are no single numbers.
        same: largest difference between a repeated step and the path, relative to the coordinates.

    Raises:
        Untraceable: no tape can hold the energy.
    """
    if len(plan.energy.local.tables):
        raise Untraceable("a potential in a table")
    try:
        if numbers is None:
            raise Untraceable("a tensor of several numbers")
        back = backward_energy(bind, len(numbers))
    except Untraceable:
        back, numbers = backward_energy(lambda _: plan.terms, 0), None
    points, after = aligned(2, len(bars), plan.mesh.size + WIDTH)
    points[:, :-WIDTH], after[:, :-WIDTH] = torch.stack([*path]).numpy(), bars.numpy()
    lengths, given, shape = np.array(steps), np.array([numbers or []]), after.shape[1:]
    kept = np.zeros((2, len(steps), 6, *shape)) if numbers is None else NO_STAGES
    work, other, found = workspace(plan.mesh, plan.energy), workspace(plan.mesh, back), np.zeros(given.shape[1])
    rows, nodes, far = aligned(ROWS, *shape), aligned(4, other.registers.shape[1]), aligned(12, other.nodes.shape[1])
    programs = plan.mesh, plan.energy, back, plan.method, plan.parameters, given
    call = _pull_back[plan.energy.pair is not None, back.pair is not None]
    call(points, lengths, after, *programs, found, kept, work, other, rows, nodes, far, same)
    stages, directions = torch.from_numpy(kept[..., :-WIDTH]) if len(kept) else (bars.new_zeros(0),) * 2
    every, repeats = torch.from_numpy(after[:, :-WIDTH]), not np.isnan(lengths).any()
    return Swept(every, None if numbers is None else found.tolist(), stages, directions, repeats)
