"""Interaction kernels written in the config."""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.problem.energy import Elementary
from wgf.problem.interaction import Pairwise
from wgf.settings.expression import Expression
from wgf.settings.ranges import Finite, Text, checked

NEAR, NEARER = 1e-5, 1e-10  # distances at which the slope of a kernel shows its kink (length)
SAME, GROWS = 1e-3, 1.001


class Expressed(Pairwise):
    """Even kernel W(r) as a formula, such as "abs(r)**3/3" or "-exp(-(r/a)**2)" with a constant a=1; O(n^2).

    Args:
        expr: W in the signed distance r; wgf finds a kink |r| by itself.
        constants: values of names in the formula.

    Raises:
        ConfigError: W is not even, or it or its slope is not finite at 0: `interaction=log` has such a kernel.
    """

    @checked
    def __init__(self, expr: Text, **constants: Finite) -> None:
        self.expression = Expression(expr, constants, variable="r")
        r = torch.tensor([0.0, NEARER, NEAR, 0.1, 0.37, 1.0, 2.3, 7.1], dtype=torch.float64)
        value, mirrored, slope = self.expression(r), self.expression(-r), self._slope(r[1:]).detach()
        if bool((value - mirrored).abs().max() > 1e-9 * value.nan_to_num().abs().max()):
            raise ConfigError(f"expr={expr!r} is not even: expected W(-r) = W(r), such as abs(r)**3/3")
        nearer, near = slope[:2].tolist()
        scale = float(slope.nan_to_num().abs().max())
        if not bool(value[:3].isfinite().all()) or not abs(nearer) <= GROWS * abs(near) + 1e-6 * scale:
            raise ConfigError(
                f"expr={expr!r} is singular at r=0: expected a kernel with a finite slope there, or interaction=log"
            )
        self.kink = nearer if abs(nearer - near) <= SAME * abs(nearer) and abs(nearer) > 1e-6 * scale else 0.0
        powers = self.expression.polynomial()
        if powers is not None and len(powers) <= 3 and not any(powers[1:2]):
            self.elementary = Elementary(quadratic=2 * powers[2] if len(powers) == 3 else 0.0)

    def _slope(self, d: Tensor) -> Tensor:
        """W'(d) at d > 0."""
        with torch.enable_grad():
            d = d if d.requires_grad else d.detach().requires_grad_()
            return torch.autograd.grad(self.expression(d).sum(), d, create_graph=True)[0]

    def kernel(self, r: Tensor) -> Tensor:
        return self.expression(r) - self.kink * r.abs()

    def force(self, r: Tensor) -> Tensor:
        d = r.abs()
        apart = d > 0
        slope = self._slope(torch.where(apart, d, 1.0))
        force = torch.sign(r) * (slope - self.kink)
        return force if r.requires_grad else force.detach()

    def __str__(self) -> str:
        return str(self.expression)
