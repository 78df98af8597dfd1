"""What a term of the free energy must offer, and the points at which it is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from wgf.quadrature import Nodes


@dataclass(frozen=True)
class Record:
    """A map at quadrature nodes, computed once per stage.

    Attributes:
        nodes: positions z, weights w = p dz and the law p.
        x: f(z) [n] (length).
        dx: f'(z) [n].
    """

    nodes: Nodes
    x: Tensor
    dx: Tensor

    @property
    def w(self) -> Tensor:
        return self.nodes.w

    @cached_property
    def log_p(self) -> Tensor:
        return self.nodes.log_p


class Term(ABC):
    """A term of the energy as a function of the map.

    Attributes:
        name: what its column is called.
    """

    name: str

    @abstractmethod
    def value(self, record: Record) -> Tensor:
        """The energy, a scalar tensor differentiable in everything the record holds."""

    def covector(self, record: Record) -> tuple[Tensor, Tensor]:
        """The derivative dF(phi) = sum_i force_i phi(z_i) + stress_i phi'(z_i) along a direction phi of maps.

        Returns:
            force [n] (energy/length) and stress [n] (energy), the weights w included.
        """
        x, dx = (t.detach().requires_grad_() for t in (record.x, record.dx))
        force, stress = torch.autograd.grad(self.value(Record(record.nodes, x, dx)), (x, dx), materialize_grads=True)
        return force, stress


class Local(Term):
    """A term with a pointwise density: F = int e(f, f', log p) p dz. A new local energy needs `name` and `density`."""

    @abstractmethod
    def density(self, x: Tensor, dx: Tensor, log_p: Tensor) -> Tensor:
        """e [n], energy per mass."""

    def value(self, record: Record) -> Tensor:
        return torch.dot(record.w, self.density(record.x, record.dx, record.log_p))
