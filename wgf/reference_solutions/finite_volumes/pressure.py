"""The pressure of an internal energy, by which the finite volumes diffuse."""

from __future__ import annotations

import numpy as np
import torch

from wgf.kept import kept
from wgf.problem.energy import Local, Term


class Pressure:
    """The nonlinear diffusion of an internal energy U: rho_t = (rho U'(rho)_x)_x = (P'(rho) rho_x)_x, P' = rho U''.

    Args:
        energy: entropy, power law, or any local energy of the density alone.

    Attributes:
        power: kappa and g where P = kappa rho^g, else None.
        linear: D where P = D rho, else None.

    Raises:
        NotImplementedError: the energy is not a local energy of the density alone.
    """

    def __init__(self, energy: Term) -> None:
        self.power = energy.power_diffusion()
        self.linear = self.power.coefficient if self.power is not None and self.power.exponent == 1 else None
        if not isinstance(energy, Local):
            raise NotImplementedError(f"the internal energy {energy} is not local")
        self._density = energy.density
        x, rho = torch.linspace(-3, 3, 7, dtype=torch.float64), torch.full((7,), 0.3, dtype=torch.float64)
        e = energy.density(x, x.exp() / rho, x)  # by p = e^x at x, a density of 0.3 throughout
        if not bool(((e - e[3]).abs() <= 1e-9 * e.abs()).all()):
            raise NotImplementedError(f"the internal energy {energy} depends on more than the density")

    def derivatives(self, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """U' and P' [n] at rho > 0 [n]."""
        if self.power is not None and self.power.exponent != 1:
            kappa, g = self.power
            slope = kappa * g * rho ** (g - 1)
            return slope / (g - 1), slope
        with torch.enable_grad():
            r = torch.from_numpy(rho).requires_grad_()
            u = r * self._density(torch.zeros_like(r), 1 / r, torch.zeros_like(r))
            (first,) = torch.autograd.grad(u.sum(), r, create_graph=True)
            (second,) = torch.autograd.grad(first.sum(), r, materialize_grads=True)
        return first.detach().numpy(), rho * second.numpy()


@kept(4)
def pressure_of(energy: Term) -> Pressure:
    """The pressure of an internal energy, which the schemes of all grids share."""
    return Pressure(energy)
