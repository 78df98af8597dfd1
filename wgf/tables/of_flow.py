"""Maps and numbers of a flow at its saved times, as arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from wgf.expectation import expectation
from wgf.integrators.saved_states import SavedStates
from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.process import threads_of_torch
from wgf.projection.field import Projection
from wgf.projection.transfer import touching
from wgf.reference_solutions.base import Computed
from wgf.reference_solutions.exact import Exact
from wgf.reference_solutions.wasserstein import Carried, distance, distances
from wgf.saved_maps import SavedMaps

GRID = 2001  # points of the base
AT_ONCE = 32  # distances computed at once: each holds a megabyte meanwhile
SHARE = 1e-5  # that cutting a cell may change an error at a saved time: four digits are enough for a curve
CLOCK = {"step": "steps", "dt": "dt", "dissipated": "dissipated", "evaluations": "evaluations", "rejected": "rejected"}


@threads_of_torch(1)
def maps(problem: Problem, saved: SavedStates, known: Exact | None) -> SavedMaps:
    """The maps on a fine grid of the base, with a reference solution where one is known."""
    base, domain = saved.map.base, problem.domain
    z = grid(base)
    states = [saved[k] for k in range(len(saved.times))]
    with torch.no_grad():  # the states on one mesh together
        parts = [(map, torch.stack([theta for _, theta in part])) for map, part in groupby(states, itemgetter(0))]
        values = [map.evaluate_rows(rows.double(), z.to(rows.device)) for map, rows in parts]
    knots = pad_sequence([map.knots(theta).double().cpu() for map, theta in states], True, math.nan).numpy()
    return SavedMaps(
        t=np.array(saved.times),
        z=z.numpy(),
        T=torch.cat([x for x, _ in values]).cpu().numpy(),
        dT=torch.cat([dx for _, dx in values]).cpu().numpy(),
        rho0=base.density(z).numpy(),
        exact_T=None if known is None else _known(known, saved.times, z).numpy(),
        errors=None if known is None else _errors(saved, known),
        knots=knots if knots.size else None,
        walls=domain.ends,
        period=None if (period := domain.period) is None else np.array(period),
        rank=base.cdf(z).numpy(),
    )


def grid(base: Base) -> Tensor:
    """Points of a base [n] (length), as many at equal distances as at equal masses: the former reach into tails and
    gaps, the latter into narrow parts and peaks."""
    share = torch.linspace(0, 1, GRID, dtype=torch.float64)
    low, high = base.reach()
    fine = torch.cat([low + (high - low) * share, base.at_rank(share[1:-1], share[1:-1].flip(0))]).unique()
    passed = base.cdf(fine) + (fine - low) / (high - low)  # twice the share of the points on the left
    ends = passed[0].item(), passed[-1].item()
    return torch.from_numpy(np.interp(np.linspace(*ends, GRID), passed.numpy(), fine.numpy()))


def _known(known: Exact, times: list[float], z: Tensor) -> Tensor:
    """A solution at times [s] and at z [n], [s, n] (length)."""
    if isinstance(known, Computed):
        return known.at_times(times, [z] * len(times)).view(len(times), -1)
    return torch.stack([known(t, z) for t in times])


def _errors(saved: SavedStates, known: Exact) -> np.ndarray:
    """W1 and W2 to a solution at the saved times [s, 2] (length); NaN where it is not known."""
    theirs = [Carried.of(saved.map.base, known, t) for t in saved.times]
    ours = [Carried.by(*saved[k]) for k in range(len(theirs))]
    found = []
    for low in range(0, len(ours) - 1, AT_ONCE):
        some = slice(low, min(low + AT_ONCE, len(ours) - 1))
        found += distances(ours[some], theirs[some], SHARE)
    found.append(distance(ours[-1], theirs[-1]))  # the last errors are those of the result
    return np.array([(each.w1, each.w2) for each in found])


@threads_of_torch(1)
def table(
    projection: Projection, saved: SavedStates, observed: Mapping[str, Callable[[Tensor], Tensor]]
) -> dict[str, np.ndarray]:
    """Columns [s] of numbers at the saved times under the names of history.csv, with the units of
    `wgf.result.Result`; among them the means of the observed functions.

    An old checkpoint holds no counts: then step, dt, dissipated, work, evaluations and rejected are missing.
    """
    states = [saved[k] for k in range(len(saved.times))]
    moments = zip(saved.times, states, strict=True)
    found = [touching(projection.on(map).over(t, t), theta)(theta) for t, (map, theta) in moments]
    laws = [Carried.by(map, theta) for map, theta in states]
    terms = np.array([each.terms.tolist() for each in found])
    clock = CLOCK | ({"work": "work"} if projection.problem.potential.moves else {})
    counted = {column: [getattr(clock, name) for clock in saved.clocks] for column, name in clock.items()}
    columns = {
        "t": saved.times,
        "energy": terms.sum(axis=1),
        **{f"energy_{term.name}": terms[:, k] for k, term in enumerate(projection.problem.terms)},
        "dissipation": [each.dissipation.item() for each in found],
        "mean": [expectation(law, "x") for law in laws],
        "second_moment": [expectation(law, "x**2") for law in laws],
        "min_slope": [each.min_slope.item() for each in found],
        **{name: [expectation(law, f) for law in laws] for name, f in observed.items()},
        **(counted if len(saved.clocks) == len(saved.times) else {}),
    }
    return {name: np.array(values, dtype=float) for name, values in columns.items()}
