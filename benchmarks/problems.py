"""The four problems of the benchmark:

rho_t = (rho V')_x + (rho (W * rho)_x)_x + D (rho^g)_xx,   W = 2 chi log|x|,   rho(0) = p = N(0, 1)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """A gradient flow from N(0, 1).

    Attributes:
        name: its title in tables.
        t_end: end time (time).
        potential, derivative: V, up to a constant, and V' of an array or a tensor (energy, length/time); None
            for V = 0.
        diffusion: D (length^2/time for g = 1).
        exponent: g; 1 is linear diffusion. The porous medium, g > 1, has V = 0 and chi = 0.
        chi: sensitivity (length^2/time).
        euler_dt: the paper's step for explicit Euler (time).
    """

    name: str
    t_end: float
    potential: Callable[[Any], Any] | None = None
    derivative: Callable[[Any], Any] | None = None
    diffusion: float = 1.0
    exponent: float = 1.0
    chi: float = 0.0
    euler_dt: float = 1e-3


QUARTIC = Problem(
    "quartic Fokker-Planck, t = 0.2",
    0.2,
    lambda x: ((x - 1) ** 2 - 1) ** 2 / 4,
    lambda x: (x - 1) ** 3 - (x - 1),
    euler_dt=2e-4,
)
SEXTIC = Problem(
    "sextic Fokker-Planck, t = 1e-3", 1e-3, lambda x: ((x - 4) ** 2) ** 3 / 6, lambda x: (x - 4) ** 5, euler_dt=1e-6
)
POROUS = Problem("porous medium g = 2, t = 1", 1.0, exponent=2)
KELLER_SEGEL = Problem("Keller-Segel chi = 0.5, t = 0.3", 0.3, chi=0.5, euler_dt=3e-4)
PROBLEMS = (QUARTIC, SEXTIC, POROUS, KELLER_SEGEL)
