"""Internal energy int U(rho) dx with rho(f(z)) = p(z)/f'(z), a barrier against folding: it grows as f' -> 0."""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.problem.energy import Curvature, Local, MapAtNodes, PowerDiffusion
from wgf.settings.ranges import MoreThanOne, Positive, checked


class Entropy(Local):
    """U = D rho log rho, that is D int (log p - log f') p dz: linear diffusion D rho_xx.

    Args:
        diffusion: D (length^2/time).
    """

    name, barrier, derivable = "entropy", True, ("diffusion",)

    @checked
    def __init__(self, diffusion: Positive = 1.0) -> None:
        self.diffusion = diffusion

    @property
    def logarithm(self) -> float:  # type: ignore[bad-override]
        return -self.diffusion

    def power_diffusion(self) -> PowerDiffusion:
        return PowerDiffusion(self.diffusion, 1.0)

    def density(self, x: Tensor, dx: Tensor, log_p: Tensor) -> Tensor:
        return self.diffusion * (log_p - torch.log(dx))

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(at.x), -self.diffusion * at.w / at.dx

    def curvature(self, at: MapAtNodes) -> Curvature:
        return Curvature(dd=self.diffusion * at.w / at.dx**2)


class PowerLaw(Local):
    """U = kappa rho^g/(g-1), that is kappa/(g-1) int p^(g-1) f'^(1-g) p dz: porous medium diffusion kappa (rho^g)_xx.

    Args:
        exponent: g > 1.
        diffusion: kappa.
    """

    name, barrier, derivable = "power_law", True, ("exponent", "diffusion")

    @checked
    def __init__(self, exponent: MoreThanOne = 2.0, diffusion: Positive = 1.0) -> None:
        self.exponent, self.diffusion = exponent, diffusion

    def power_diffusion(self) -> PowerDiffusion:
        return PowerDiffusion(self.diffusion, self.exponent)

    def density(self, x: Tensor, dx: Tensor, log_p: Tensor) -> Tensor:
        excess = self.exponent - 1
        # not exp(log_p - log dx): a folded map must give NaN for g = 1.5 but stay an ordinary number for g = 2
        return self.diffusion / excess * torch.exp(excess * log_p) * dx**-excess

    def _pressure(self, at: MapAtNodes) -> Tensor:
        """kappa p^(g-1) f'^-g, weights included [n] (energy)."""
        return at.w * self.diffusion * torch.exp((self.exponent - 1) * at.log_p) * at.dx**-self.exponent

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(at.x), -self._pressure(at)

    def curvature(self, at: MapAtNodes) -> Curvature:
        return Curvature(dd=self.exponent * self._pressure(at) / at.dx)
