"""Internal energy int U(rho) dx with rho(f(z)) = p(z)/f'(z), a barrier against folding: it grows as f' -> 0."""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.energies.base import Local, Record
from wgf.ranges import MoreThanOne, Positive, checked


class Entropy(Local):
    """U = D rho log rho, that is D int (log p - log f') p dz: linear diffusion D rho_xx.

    Args:
        diffusion: D (length^2/time).
    """

    name = "entropy"

    @checked
    def __init__(self, diffusion: Positive = 1.0) -> None:
        self.diffusion = diffusion

    def density(self, x: Tensor, dx: Tensor, log_p: Tensor) -> Tensor:
        return self.diffusion * (log_p - torch.log(dx))

    def covector(self, record: Record) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(record.x), -self.diffusion * record.w / record.dx


class PowerLaw(Local):
    """U = kappa rho^g/(g-1), that is kappa/(g-1) int p^(g-1) f'^(1-g) p dz: porous medium diffusion kappa (rho^g)_xx.

    Args:
        exponent: g > 1.
        diffusion: kappa.
    """

    name = "power_law"

    @checked
    def __init__(self, exponent: MoreThanOne = 2.0, diffusion: Positive = 1.0) -> None:
        self.exponent, self.diffusion = exponent, diffusion

    def density(self, x: Tensor, dx: Tensor, log_p: Tensor) -> Tensor:
        excess = self.exponent - 1
        # not exp(log_p - log dx): a folded map must give NaN for g = 1.5 but stay an ordinary number for g = 2
        return self.diffusion / excess * torch.exp(excess * log_p) * dx**-excess

    def covector(self, record: Record) -> tuple[Tensor, Tensor]:
        pressure = self.diffusion * torch.exp((self.exponent - 1) * record.log_p) * record.dx**-self.exponent
        return torch.zeros_like(record.x), -record.w * pressure
