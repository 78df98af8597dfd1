"""A smooth two-layer network without kinks. Use this file as a template for a new network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wgf.errors import ConfigError
from wgf.networks.base import Size, TransportMap
from wgf.problem.base import Base
from wgf.settings.ranges import Count, checked, fault


class MLP(TransportMap):
    """Two-layer tanh network f(z) = a_0 + a_1 y + sum_i c_i tanh(k_i y + d_i), y = (z - mean)/std; identity at c = 0.

    Args:
        width: hidden neurons m; p = 3 m + 2 parameters.
        base: the reference measure p.
        generator: draws the slopes k; the centres -d/k are equispaced on [-2.5, 2.5].
    """

    @checked
    def __init__(self, width: Count = 16, *, base: Base, generator: torch.Generator) -> None:
        super().__init__(base)
        if not isinstance(generator, torch.Generator):
            raise ConfigError(fault("generator", generator, "an object of torch.Generator"))
        self.width = width
        centres = torch.linspace(-2.5, 2.5, width, dtype=torch.float64)
        slopes = 1.0 + torch.rand(width, generator=generator, dtype=torch.float64)
        affine = torch.tensor([base.mean, base.std], dtype=torch.float64)
        self.theta = nn.Parameter(torch.cat([affine, torch.zeros_like(slopes), slopes, -slopes * centres]))

    @classmethod
    def size(cls, settings: Mapping[str, Any]) -> Size:
        return Size(3 * float(settings["width"]) + 2, 0, 0, banded=False)

    def units(self) -> Tensor:
        """a and c are lengths, k and d have no unit."""
        units = torch.ones_like(self.theta.detach())
        units[: 2 + self.width] = self.base.std
        return units

    def f(self, theta: Tensor, z: Tensor) -> Tensor:
        y = (z - self.base.mean) / self.base.std
        c, k, d = theta[2:].reshape(3, self.width)
        return theta[0] + theta[1] * y + (c * torch.tanh(k * y[..., None] + d)).sum(-1)
