"""Forces of interactions on maps at the nodes of a mesh; singular kernels are integrated as principal values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wgf.certificates.mesh import Mesh
from wgf.problem.interaction import Interaction

BLOCK = 128  # nodes


class Force:
    """(W' * rho) o T at the nodes of a mesh.

    Args:
        kernel: W; its convexity is known, or it is logarithmic.
        mesh: the nodes.

    Attributes:
        has_pairs: whether the force is a sum over the pairs of nodes, which all maps share then.
    """

    def __init__(self, kernel: Interaction, mesh: Mesh) -> None:
        self.kernel, self.mesh = kernel, mesh
        base, z = mesh.base, mesh.z.reshape(-1)
        self.rank = (base.cdf(z) - base.survival(z)).view_as(mesh.z)
        self.has_pairs = kernel.elementary is None or bool(kernel.elementary.logarithm)
        if kernel.elementary and kernel.elementary.logarithm:
            self._hilbert, self._sums_at_start = self._transform()

    def sums(self, x: Tensor) -> Tensor | None:
        """sum_{j != i} w_j / (x_i - x_j) [r, n] for maps x [r, n], if the kernel has a logarithm."""
        if not (self.kernel.elementary and self.kernel.elementary.logarithm):
            return None
        return torch.stack([_reciprocals(row) @ self.mesh.w for row in x])

    def __call__(self, x: Tensor, dx: Tensor, bend: Tensor, sums: Tensor | None) -> Tensor:
        """Force [r, n] for maps x, their slopes and second derivatives, and their `sums` [r, n]; one column of zeros
        without an interaction."""
        if self.kernel.vanishes:
            return torch.zeros_like(x[:, :1])
        found = self.kernel.kink * self.rank.expand_as(x)
        parts = self.kernel.elementary
        if parts is None:
            return found + self._pairs(self.kernel.split()[1], x)
        if parts.quadratic:
            mean = self.mesh.integral(x) / self.mesh.w.sum(-1)
            found = found + parts.quadratic * (x - mean[:, None])
        if sums is not None:
            # 1/(T(z) - T(y)) - 1/(T'(z) (z - y)) is smooth, with T''/(2 T'^2) at y = z
            smooth = sums - self._sums_at_start / dx + self.mesh.w * 0.5 * bend / dx**2
            found = found + parts.logarithm * (smooth + self._hilbert / dx)
        return found

    def _pairs(self, force: Callable[[Tensor], Tensor] | None, x: Tensor) -> Tensor:
        if force is None:
            return torch.zeros_like(x)
        return torch.stack([_odd_sums(force, row, self.mesh.w) for row in x])

    def _transform(self) -> tuple[Tensor, Tensor]:
        """PV int p(y) / (z - y) dy [n], the integrand minus its value at the pole plus a logarithm; `sums` of x = z."""
        mesh = self.mesh
        p, low, high = mesh.p, mesh.cells[0], mesh.cells[-1]
        inverse = _reciprocals(mesh.z)
        sums = inverse @ mesh.w
        smooth = sums - p * (inverse @ mesh.dz) - p * mesh.dlog_p * mesh.dz
        return smooth + p * torch.log((mesh.z - low) / (high - mesh.z)), sums

    def pressure(self, dx: Tensor, sums: Tensor) -> Tensor:
        """kappa_h = 2 T'/p int int_{y < z < x} p p / (T(x) - T(y)) [r, n], the attraction as a negative diffusion.

        The double integral changes by -w_i sums_i from one side of a node to the other. It is summed from the nearer
        end, and its value at a node is the mean of both sides.
        """
        change = self.mesh.w * sums
        right = (-change).cumsum(1)
        left = right + change
        from_right = change.flip(1).cumsum(1).flip(1)  # left of the node
        beyond = torch.arange(len(self.mesh.z), device=dx.device) > len(self.mesh.z) // 2
        both = torch.where(beyond, 2 * from_right - change, left + right)
        return both * dx / self.mesh.p


def _odd_sums(force: Callable[[Tensor], Tensor], x: Tensor, w: Tensor) -> Tensor:
    """sum_j w_j force(x_i - x_j) [n] of an odd function, which is evaluated once for every pair, in blocks that fit the
    cache."""
    found = torch.zeros_like(x)
    for begin in range(0, len(x), BLOCK):
        own, beyond = slice(begin, begin + BLOCK), slice(begin + BLOCK, None)
        found[own] += force(x[own, None] - x[own]) @ w[own]
        if begin + BLOCK < len(x):
            across = force(x[own, None] - x[beyond])
            found[own] += across @ w[beyond]
            found[beyond] -= w[own] @ across
    return found


def _reciprocals(x: Tensor) -> Tensor:
    """1 / (x_i - x_j), 0 on the diagonal [n, n]."""
    inverse = (x[:, None] - x).fill_diagonal_(1.0).reciprocal_()
    return inverse.fill_diagonal_(0.0)
