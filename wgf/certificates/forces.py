"""Forces of interactions on maps at the nodes of a mesh; singular kernels are integrated as principal values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wgf.certificates.mesh import Mesh
from wgf.problem.interaction import Interaction


class Force:
    """(W' * rho) o T at the nodes of a mesh.

    Args:
        kernel: W; its convexity is known, or it is logarithmic.
        mesh: the nodes.
    """

    def __init__(self, kernel: Interaction, mesh: Mesh) -> None:
        self.kernel, self.mesh = kernel, mesh
        base, z = mesh.base, mesh.z
        self.rank = base.cdf(z) - base.survival(z)
        if kernel.elementary and kernel.elementary.logarithm:
            self._distance = (z[:, None] - z).fill_diagonal_(1.0)
            self._hilbert = self._transform()

    def __call__(self, x: Tensor, dx: Tensor, bend: Tensor) -> Tensor:
        """Force [r, n] for maps x, their slopes and second derivatives [r, n]."""
        found = self.kernel.kink * self.rank.expand_as(x)
        parts = self.kernel.elementary
        if parts is None:
            return found + self._pairs(self.kernel.split()[1], x)
        if parts.quadratic:
            found = found + parts.quadratic * (x - self.mesh.integral(x)[:, None])
        if parts.logarithm:
            found = found + parts.logarithm * self._logarithmic(x, dx, bend)
        return found

    def _pairs(self, force: Callable[[Tensor], Tensor] | None, x: Tensor) -> Tensor:
        if force is None:
            return torch.zeros_like(x)
        return torch.stack([force(row[:, None] - row) @ self.mesh.w for row in x])

    def _transform(self) -> Tensor:
        """PV int p(y) / (z - y) dy [n]: the integrand minus its value at the pole, plus a logarithm."""
        mesh = self.mesh
        p, low, high = mesh.p, mesh.cells[0], mesh.cells[-1]
        ratio = (p - p[:, None]) / self._distance
        ratio.diagonal().copy_(-p * mesh.dlog_p)
        return ratio @ mesh.dz + p * torch.log((mesh.z - low) / (high - mesh.z))

    def _logarithmic(self, x: Tensor, dx: Tensor, bend: Tensor) -> Tensor:
        """PV int p(y) / (T(z) - T(y)) dy [r, n]; 1/(T(z) - T(y)) - 1/(T'(z) (z - y)) is smooth."""
        rows = []
        for place, slope, second in zip(x, dx, bend, strict=True):
            gap = (place[:, None] - place).fill_diagonal_(1.0).reciprocal_()
            gap -= 1 / (slope[:, None] * self._distance)
            gap.diagonal().copy_(0.5 * second / slope**2)
            rows.append(gap @ self.mesh.w + self._hilbert / slope)
        return torch.stack(rows)

    def pressure(self, x: Tensor, dx: Tensor) -> Tensor:
        """kappa_h = 2 T'/p int int_{y < z < x} p p / (T(x) - T(y)) [r, n], the attraction as a negative diffusion.

        A node carries its mass at a point: the value there is the mean of the values just left and right of it.
        """
        w, rows = self.mesh.w, []
        for place in x:
            gap = (place - place[:, None]).fill_diagonal_(1.0)
            pairs = (w[:, None] * w / gap).triu(1)
            outer = pairs.flip(1).cumsum(1).flip(1).cumsum(0).diagonal(1)  # sums over i <= a, j > a
            right = torch.nn.functional.pad(outer, (0, 1))
            rows.append(right + torch.nn.functional.pad(outer, (1, 0)))
        return torch.stack(rows) * dx / self.mesh.p
