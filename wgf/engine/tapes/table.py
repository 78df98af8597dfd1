"""Tables of a potential that no tape can hold: piecewise polynomials of degree 9 in f."""

from __future__ import annotations

import numpy as np
import torch

from wgf.engine.tapes.tape import Tape, Untraceable
from wgf.engine.tapes.traced import Traced
from wgf.problem.potential import Potential

DEGREE = 9
FEWEST, MOST = 32, 4096  # panels
ERROR = 1e-12  # of V, relative to its size in the table
CHECKED = (-1.0, -0.31, 0.73, 1.0)
CHEBYSHEV = np.cos(np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))


def tabulate(potential: Potential, low: float, high: float) -> np.ndarray:
    """Table [3 + panels (DEGREE + 1)]: low end, panels per length, panels, then the coefficients of each panel in a
    variable from -1 to 1.

    Raises:
        Untraceable: no table of moderate size is accurate, as at a kink of V.
    """
    inverse = np.linalg.inv(np.vander(CHEBYSHEV, DEGREE + 1, increasing=True))
    back = np.vander(np.array(CHECKED), DEGREE + 1, increasing=True)
    panels = FEWEST
    while panels <= MOST:
        h = 0.5 * (high - low) / panels
        middles = low + h * (2 * np.arange(panels) + 1)
        x = middles[:, None] + h * np.concatenate([CHEBYSHEV, CHECKED])
        with torch.no_grad():
            v = potential.value_at(torch.from_numpy(x.ravel())).double().numpy().reshape(x.shape)
        if not np.isfinite(v).all():
            break
        coefficients = v[:, : DEGREE + 1] @ inverse.T
        if np.abs(coefficients @ back.T - v[:, DEGREE + 1 :]).max() <= ERROR * np.abs(v).max():
            return np.concatenate([[low, 1 / (2 * h), panels], coefficients.ravel()])
        panels *= 2
    raise Untraceable(f"a potential without an accurate table on [{low:.3g}, {high:.3g}]")


def lookup(tape: Tape, table: np.ndarray) -> Traced:
    """V(f) with its derivatives, read from a table."""
    x, number = tape.inputs["x"], len(tape.tables)
    tape.tables.append(table)
    value, slope, bend = (tape.emit("table", x, number, order) for order in range(3))
    return Traced(tape, {(0, 0): value, (1, 0): slope, (2, 0): bend})
