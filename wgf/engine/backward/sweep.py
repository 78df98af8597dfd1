"""The way back through flows of the compiled engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wgf.engine.arrays import Energy, Mesh, Method, workspace
from wgf.engine.backward.kernel import ROWS, pull_back
from wgf.engine.backward.programs import Bind, backward_energy
from wgf.engine.llvm.vectors import aligned
from wgf.engine.machine_code import Direct
from wgf.engine.plan import Plan
from wgf.engine.tapes.tape import Untraceable

NO_STAGES = np.zeros((0, 2, 6, 0))
# by whether the energies of the steps and of the way back have pairs, of which their types depend: an interaction of
# strength 0 has derivatives, but no pairs in the steps
_pull_back = {(steps, back): Direct(pull_back) for steps in (False, True) for back in (False, True)}


class Paths(NamedTuple):
    """Flows on one mesh, one after the other.

    Attributes:
        first: flow k has the rows from first[k] to first[k + 1] [b + 1].
        coordinates: before each step and after the last one [r, M] (length).
        steps: lengths of the steps that begin there [r] (time); 0 at the end of a flow.
    """

    first: np.ndarray
    coordinates: np.ndarray
    steps: np.ndarray


class Pulled(NamedTuple):
    """What the way back found.

    Attributes:
        numbers: derivatives in the numbers of the way back [b, q].
        sizes: lengths of the derivatives in the rows of the paths, in the dual of the W2 length: of those through later
            steps, of all, and of those of the loss alone [3, r].
        repeats: whether the steps of each flow, taken again, end on its path [b].
    """

    numbers: np.ndarray
    sizes: np.ndarray
    repeats: np.ndarray


def pulled(
    mesh: Mesh,
    energies: tuple[Energy, Energy],
    method: Method,
    paths: Paths,
    bars: np.ndarray,
    given: tuple[np.ndarray, np.ndarray],
    same: float,
    kept: np.ndarray = NO_STAGES,
) -> Pulled:
    """Derivatives of a loss back through all steps of some flows.

    Args:
        mesh, method: what the flows share. energies: programs of the steps, and of the way back.
        paths: the flows.
        bars: derivatives of the loss in the coordinates of the paths [r, M]; those through later steps are added.
        given: parameters of the steps [b, p], numbers of the way back [b, q].
        same: largest difference between a repeated step and the path, relative to the coordinates.
        kept: stages u_i and directions v_i of the steps [r, 2, 6, M], filled; empty to keep none.
    """
    energy, back = energies
    work, other, width = workspace(mesh, energy), workspace(mesh, back), len(mesh.mean)
    found = Pulled(np.zeros(given[1].shape), np.zeros((3, len(bars))), np.ones(len(given[1]), dtype=np.bool_))
    block, cells = other.registers.shape[1], mesh.cells.shape[1]
    rows, nodes, far = aligned(ROWS, width), aligned(2, block), aligned(12, other.nodes.shape[1])
    sums = aligned(3, -(-cells // (block // mesh.tables.shape[1])) * block)
    flows = *paths, bars, found.sizes, mesh, energy, back, method, *given, found.numbers, found.repeats, kept
    _pull_back[energy.pair is not None, back.pair is not None](*flows, work, other, rows, nodes, sums, far, same)
    return found


class Swept(NamedTuple):
    """What the way back through one flow found.

    Attributes:
        start: derivatives of the loss in the first coordinates [M].
        numbers: derivatives in the numbers; None where the kernel does not know them.
        kept: stages u_i and directions v_i of the steps, and zeros [k + 1, 2, 6, M], where it does not.
        sizes: see `Pulled` [3, k + 1].
        repeats: whether the steps, taken again, end where the flow went.
    """

    start: Tensor
    numbers: list[float] | None
    kept: Tensor
    sizes: Tensor
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
    """Derivatives of a loss back through all steps of one flow.

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
    rows, after = len(path), bars.numpy().copy()
    paths = Paths(np.array([0, rows]), torch.stack([*path]).numpy(), np.array([*steps, 0.0]))
    kept = np.zeros((rows, 2, 6, plan.mesh.size)) if numbers is None else NO_STAGES
    given = plan.parameters, np.array([numbers or []])
    found = pulled(plan.mesh, (plan.energy, back), plan.method, paths, after, given, same, kept)
    start, sizes, repeats = torch.from_numpy(after[0]), torch.from_numpy(found.sizes), bool(found.repeats[0])
    return Swept(start, None if numbers is None else found.numbers[0].tolist(), torch.from_numpy(kept), sizes, repeats)
