"""The tangent space of the weights of a ReLU network whose knots move, and its regularised projection."""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.networks.base import Neurons
from wgf.problem.quadrature import Nodes


class RampSpace:
    """Span of the derivatives with respect to weights: ramps r_i = a_i (z - b_i)_+, or a_i (b_i - z)_+.

    The velocity v = sum_i w_i' r_i minimises |v - true velocity|^2_p + damping |w'|^2. Without the second term two
    close knots would open a steep cell between them, because the metric G_ij = int r_i r_j p hardly sees it.

    G has a closed form, O(k^2) for k ramps. With R_n = int_b^inf z^n p, P = R_1 - b R_0 and Q = R_2 - b R_1 at every
    knot, two ramps that face right have the product Q_j - b_i P_j for b_i <= b_j; and a ramp that faces left is that to
    the right plus the linear function b - z.

    Args:
        nodes: quadrature for the metric.
        neurons: k ramps.
        rcond: damping relative to the trace of G.

    Attributes:
        damping: factor of |w'|^2.
    """

    def __init__(self, nodes: Nodes, neurons: Neurons, rcond: float) -> None:
        centre = nodes.base.mean  # moments about it have more digits
        knots, self.order = neurons.biases.sort(stable=True)
        cell = torch.searchsorted(knots, nodes.z, right=True) if nodes.cell is None else nodes.cell
        z, b, a = nodes.z - centre, knots - centre, neurons.weights[self.order]
        powers = torch.stack([nodes.w, nodes.w * z, nodes.w * z * z])
        beyond = powers.new_zeros(3, len(knots) + 1).index_add(1, cell, powers).flip(1).cumsum(1).flip(1)
        whole, r = beyond[:, 0], beyond[:, 1:]
        p, q = r[1] - b * r[0], r[2] - b * r[1]
        upper = (q - b[:, None] * p).triu()
        left = neurons.faces_left[self.order].to(b)
        lines = torch.stack([left * b, -left])  # b - z in the basis 1, z, for the ramps that face left
        products = torch.stack([p, q]) + 0.5 * torch.stack([whole[:2], whole[1:]]) @ lines
        half = products.T @ lines
        metric = upper + upper.triu(1).T + half + half.T
        self.metric = a[:, None] * metric * a
        self.damping = rcond * self.metric.trace()

    def solve(self, gradient: Tensor) -> Tensor:
        """Velocity w' [k] from the derivatives of F with respect to the weights [k]; NaN if there is none."""
        shifted = self.metric.clone()
        shifted.diagonal().add_(self.damping)
        factor, failed = torch.linalg.cholesky_ex(shifted)
        w = -torch.cholesky_solve(gradient[self.order, None], factor)[:, 0]
        return torch.empty_like(w).index_copy(0, self.order, torch.where(failed > 0, torch.nan, w))
