"""Maps from independent codes, and the distances of two maps."""

import numpy as np
import torch
from chebyshev import fokker_planck_map

from wgf.problem.base import Base
from wgf.problem.equations import (
    Problem,
)
from wgf.problem.quadrature import Gauss


def distances(law: Base, one, two, cells: int = 400) -> tuple[float, float]:
    """W1 and W2 of two maps, functions of z [n]."""
    panels = law.panels()
    nodes = Gauss(4).nodes(law, torch.linspace(panels[0], panels[-1], cells + 1, dtype=torch.float64)[1:-1])
    gap = one(nodes.z) - two(nodes.z)
    return float(nodes.w @ gap.abs()), float(nodes.w @ gap**2) ** 0.5


def distance(law: Base, one, two, cells: int = 400) -> float:
    """W1 of two maps."""
    return distances(law, one, two, cells)[0]


class Oracle:
    """A map at one time from a function of arrays."""

    name = "oracle"

    def __init__(self, function) -> None:
        self.function = function

    def __call__(self, t: float, z: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.function(z.numpy()))


def density_oracle(p: Problem, t: float, low: float, high: float, n: int) -> Oracle:
    def derivative(x: np.ndarray) -> np.ndarray:
        return p.potential.derivative(torch.from_numpy(x)).numpy()

    return Oracle(lambda z: fokker_planck_map(derivative, p.internal.diffusion, t, low, high, n, z))
