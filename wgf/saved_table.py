"""Numbers of a flow at its saved times, under the names of the columns of history.csv."""

from __future__ import annotations

import numpy as np

from wgf.expectation import expectation
from wgf.integrators.saved_states import SavedStates
from wgf.projection.field import Projection
from wgf.reference_solutions.wasserstein import Carried

CLOCK = {"step": "steps", "dt": "dt", "dissipated": "dissipated", "evaluations": "evaluations", "rejected": "rejected"}


def saved_table(projection: Projection, saved: SavedStates) -> dict[str, np.ndarray]:
    """Columns [s] of numbers at the saved times; their units are those of the fields of `wgf.result.Result`.

    An old checkpoint holds no counts: then the columns step, dt, dissipated, evaluations and rejected are missing.
    """
    states = [saved[k] for k in range(len(saved.times))]
    found = [projection.on(map)(theta) for map, theta in states]
    laws = [Carried.by(map, theta) for map, theta in states]
    terms = np.array([each.terms.tolist() for each in found])
    counted = {column: [getattr(clock, name) for clock in saved.clocks] for column, name in CLOCK.items()}
    columns = {
        "t": saved.times,
        "energy": terms.sum(axis=1),
        **{f"energy_{term.name}": terms[:, k] for k, term in enumerate(projection.problem.terms)},
        "dissipation": [each.dissipation.item() for each in found],
        "mean": [expectation(law, "x") for law in laws],
        "second_moment": [expectation(law, "x**2") for law in laws],
        "min_slope": [each.min_slope.item() for each in found],
        **(counted if len(saved.clocks) == len(saved.times) else {}),
    }
    return {name: np.array(values, dtype=float) for name, values in columns.items()}
