"""The law where a Fokker-Planck equation ends, exp(-V/D)/Z, as a map from the initial law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wgf.problem.base import Base
from wgf.problem.equations import Problem

ROUGH = 1e12  # V/D at its lowest beyond which its digits do not show a difference of 1e-3
WIDE = 10  # points that show a well


@dataclass(frozen=True)
class Equilibrium:
    """The map from the law to exp(-V/D)/Z, where Fokker-Planck equations end: T = quantile o cdf_p.

    Args:
        law: p.
        faces: of fine cells that hold all but 1e-15 of the equilibrium [N + 1] (length).
        masses: left of the faces and right of them [2, N + 1].
    """

    law: Base
    faces: np.ndarray
    masses: np.ndarray
    name = "exact: equilibrium"

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """T(inf, z) [n] (length), whatever t; each tail is matched with its own mass."""
        points = z.detach().cpu().double()
        low, high = self.law.cdf(points).numpy(), self.law.survival(points).numpy()
        left, right = self.masses
        tiny = np.finfo(float).tiny
        lower = np.interp(np.log(low + tiny), np.log(left + tiny), self.faces)
        upper = np.interp(-np.log(high + tiny), -np.log(right + tiny), self.faces)
        return torch.from_numpy(np.where(low < 0.5, lower, upper)).to(z)


def equilibrium(problem: Problem, cells: int = 20_000) -> Equilibrium | None:
    """The map to the Gibbs law of a Fokker-Planck equation, to about 1e-7; None where there is none.

    Args:
        problem: linear diffusion, no interaction.
        cells: number of intervals of the table.
    """
    law, v, diffusion = problem.law, problem.potential, problem.linear_diffusion
    if not diffusion or not problem.interaction.vanishes:
        return None
    radius = law.std

    def weight(x: np.ndarray) -> np.ndarray:
        """-V/D, or -inf where V is infinite."""
        value = -v.value_at(torch.from_numpy(x)).numpy() / diffusion
        return np.where(np.isfinite(value), value, -np.inf)

    for _ in range(60):  # until both ends are deep below the top
        x = law.mean + np.linspace(-radius, radius, 4001)
        logs = weight(x)
        if max(logs[0], logs[-1]) < logs.max() - 45:
            break
        radius *= 1.5
    else:
        return None
    for _ in range(20):  # and until the wells are wide
        top = logs.max()
        if not abs(top) < ROUGH:
            return None
        inside = np.flatnonzero(logs > top - 45)
        ends = x[max(inside[0] - 1, 0)], x[min(inside[-1] + 1, len(x) - 1)]
        if len(inside) > WIDE:
            break
        x = np.linspace(*ends, 4001)
        logs = weight(x)
    else:
        return None
    faces = np.linspace(*ends, cells + 1)
    s, w = np.polynomial.legendre.leggauss(4)
    nodes = 0.5 * (faces[1:] + faces[:-1])[:, None] + 0.5 * np.diff(faces)[:, None] * s
    mass = np.exp(weight(nodes.ravel()) - top).reshape(nodes.shape) @ w
    mass /= mass.sum()
    left = np.concatenate([[0.0], np.cumsum(mass)])
    right = np.concatenate([[0.0], np.cumsum(mass[::-1])])[::-1]
    return Equilibrium(law, faces, np.stack([left, right]))
