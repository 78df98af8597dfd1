"""Tapes run by numpy, as an oracle of the compiled programs."""

import math

import numpy as np

from wgf.engine.tapes.tape import NAMES

FUNCTIONS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "equal": lambda x, y: (x == y).astype(float),
    "select": lambda test, x, y: np.where(test != 0, x, y),
    "erf": np.vectorize(math.erf),
    "atan": np.arctan,
}


def interpreted(tape, given, register):
    """Value of a register of a tape; `given` holds those of its inputs and parameters."""
    values = {**given, **{r: np.full(9, c) for c, r in tape.constants.items()}}
    for op, *operands, out in tape.code:
        function = FUNCTIONS.get(NAMES[op]) or getattr(np, NAMES[op])
        count = 3 if NAMES[op] == "select" else getattr(function, "nin", 2 if NAMES[op] == "equal" else 1)
        values[out] = function(*(values[r] for r in operands[:count]))
    return values[register]
