"""One step of the Rosenbrock method for many flows at once, each with its own length, and its derivative.

The formulas are those of `wgf.integrators.implicit.Rodas4`; the last dimension of every tensor is that of the flows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wgf.engine.arrays import Method
from wgf.ensembles.batched.landscape import Known, Landscape


class Stepped(NamedTuple):
    """Ends of steps: coordinates [M, B], error estimates [M, B], whether the matrices were positive definite [B]."""

    new: Tensor
    error: Tensor
    positive: Tensor


class Step:
    """The steps of a method.

    Args:
        landscape: the energy.
        method: the method.
    """

    def __init__(self, landscape: Landscape, method: Method) -> None:
        self.landscape, self._gamma = landscape, method.gamma
        self._a, self._c = torch.from_numpy(method.tableau).to(landscape.w.device)

    def __call__(self, c: Tensor, at: list[Tensor], gradient: Tensor, known: Known, dt: Tensor) -> Stepped:
        """Steps of the lengths dt [B] (time) from the coordinates c [M, B].

        Args:
            at: the maps at the nodes, see `Landscape.at_nodes`.
            gradient: of the energy at c [M, B].
            known: see `Landscape.known`.
        """
        landscape = self.landscape
        factors = landscape.factors(at, known, 1 / (self._gamma * dt))
        new, stages = c, [factors.solve(-gradient)]
        for s in range(1, 6):
            done = torch.stack(stages).flatten(1)
            new = c + (self._a[s, :s] @ done).view_as(c)
            pull = (self._c[s, :s] @ done).view_as(c) / dt
            force = landscape.gradient(landscape.at_nodes(new), known)
            stages.append(factors.solve(landscape.mass @ pull - force))
        return Stepped(new + stages[-1], stages[-1], factors.positive)

    @torch.enable_grad()
    def pull_back(self, c: Tensor, parameters: Tensor, dt: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of a loss in the coordinates c [M, B] before steps of fixed lengths and in the parameters [p, B]
        of the energy, from the derivative `new` [M, B] in the coordinates after them."""
        c, parameters = c.detach().requires_grad_(), parameters.detach().requires_grad_()
        known, at = self.landscape.known(parameters), self.landscape.at_nodes(c)
        stepped = self(c, at, self.landscape.gradient(at, known), known, dt)
        return torch.autograd.grad(stepped.new, (c, parameters), new, materialize_grads=True)  # type: ignore[return-value]
