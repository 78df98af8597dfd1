"""Tangent space of a map with the metric G = int J^T J p dz, J = d_theta f, in natural units of the parameters.

Parameters of different kinds have different units: biases of a ReLU network are lengths, weights have no unit. With
natural units D (`TransportMap.units`), J D takes the place of J. Then all entries of G are squared lengths.

Maps that are linear in their parameters use a chart instead (`wgf.projection.chart`), and the parts of a ReLU network
have closed forms (`wgf.projection.neurons`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from wgf.networks.base import TransportMap
from wgf.problem.quadrature import Nodes


@dataclass(frozen=True)
class Tangent:
    """Span of d_theta f at one theta, by quadrature.

    Attributes:
        map: the network.
        theta: parameters [p].
        nodes: quadrature for the metric.
        part: parameters whose derivatives span the space; p counts these.
    """

    map: TransportMap
    theta: Tensor
    nodes: Nodes
    part: slice = field(default_factory=lambda: slice(None))

    @cached_property
    def units(self) -> Tensor | None:
        """Natural units [p]; None if all are alike."""
        units = self.map.units()
        return None if units is None else units[self.part]

    def _scaled(self, columns: Tensor) -> Tensor:
        """Columns [..., p] times the natural units."""
        return columns if self.units is None else columns * self.units

    @cached_property
    def features(self) -> Tensor:
        """Weighted Jacobian sqrt(w) J D [n, p], so that features^T features = G."""
        with torch.no_grad():
            jacobian = self.map.jacobian(self.theta, self.nodes.z, self.nodes.cell)
            return self._scaled(jacobian[:, self.part]) * self.nodes.w.sqrt()[:, None]

    @cached_property
    def metric(self) -> Tensor:
        """Metric G [p, p]."""
        return self.features.T @ self.features

    def length(self, v: Tensor) -> Tensor:
        """W2 length of a small displacement v [p] of the parameters (length)."""
        if "features" in self.__dict__:
            return (self.features @ (v if self.units is None else v / self.units)).norm()
        return (self.nodes.w.sqrt() * self._along(v)).norm()

    def apply(self, v: Tensor) -> Tensor:
        """Product G v [p] for v [p], by one forward and one backward derivative of the map, without a matrix."""
        theta, x, _, _ = self._graph
        pulled = torch.autograd.grad(x, theta, self.nodes.w * self._along(self._scaled(v)), retain_graph=True)[0]
        return self._scaled(pulled[self.part])

    def _along(self, v: Tensor) -> Tensor:
        """Derivative J v [n] of f along v [p]."""
        theta, _, dual, pulled = self._graph
        full = torch.zeros_like(theta)
        full[self.part] = v
        return torch.autograd.grad(pulled, dual, full, retain_graph=True)[0]

    @cached_property
    def _graph(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """theta, f(theta), u and J^T u, recorded once for all products: the derivative of J^T u in u gives J v."""
        with torch.enable_grad():
            theta = self.theta.detach().requires_grad_()
            x = self.map.evaluate(theta, self.nodes.z, self.nodes.cell)[0]
            dual = torch.zeros_like(x, requires_grad=True)
            return theta, x, dual, torch.autograd.grad(x, theta, dual, create_graph=True)[0]
