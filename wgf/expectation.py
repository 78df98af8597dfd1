"""Expectations int phi(T(z)) p dz of a carried law, also of functions with jumps: cells are halved until the integral
no longer changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from wgf.problem.quadrature import legendre
from wgf.reference_solutions.wasserstein import Carried
from wgf.settings.formulas.expression import PREFIX, Expression, observables

ORDER, ROUNDS, CELLS = 6, 60, 40_000  # nodes per cell; largest numbers of rounds, and of cells halved in one
FINE = 1e-10  # change of the integral by halving a cell, relative to the integral of |phi|


def observed(entries: Any) -> dict[str, Callable[[Tensor], Tensor]]:
    """Column -> function of x, for formulas as in `observables`, or names with formulas or functions of tensors.

    Raises:
        ConfigError: one is not a formula of x, or two have the same name.
    """
    if not isinstance(entries, Mapping):
        return {**observables(entries)}
    return {f"{PREFIX}{name}": f if callable(f) else Expression(str(f)) for name, f in entries.items()}


def expectation(carried: Carried, function: str | Callable[[Tensor], Tensor]) -> float:
    """Mean of function(x) over a carried law; NaN if the function is not finite where mass is.

    Args:
        carried: the law.
        function: a formula of x, or a function [n] -> [n] of tensors on the CPU in float64.

    Raises:
        ConfigError: this is not a formula of x.
    """
    phi = Expression(function) if isinstance(function, str) else function
    mesh = carried.mesh.unique()
    # of a law far from 0, only what its particles differ in has digits
    common = phi(carried.place(carried.base.quantile(mesh.new_tensor([0.5]))))
    common = torch.where(common.isfinite(), common, 0.0)
    s, half = legendre(ORDER, torch.float64, mesh.device)

    def integrals(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        z = low[:, None] + (high - low)[:, None] * s
        w = (high - low)[:, None] * half * carried.base.density(z)
        y = (phi(carried.place(z.reshape(-1))) - common).reshape(w.shape)
        y = torch.where(w > 0, y, 0.0)
        return (w * y).sum(1), (w * y.abs()).sum(1)

    low, high = mesh[:-1], mesh[1:]
    sums, sizes = integrals(low, high)
    total, scale = 0.0, float(sizes.sum())
    for round in range(ROUNDS):
        middle = 0.5 * (low + high)
        low, high = torch.stack([low, middle], 1).reshape(-1), torch.stack([middle, high], 1).reshape(-1)
        new, _ = integrals(low, high)
        pairs = new.reshape(-1, 2).sum(1)
        again = (pairs - sums).abs() > FINE * scale
        if int(again.sum()) > CELLS or round == ROUNDS - 1:
            again = torch.zeros_like(again)
        total += float(pairs[~again].sum())
        if not again.any():
            break
        again = again.repeat_interleave(2)
        low, high, sums = low[again], high[again], new[again]
    return total + float(common)
