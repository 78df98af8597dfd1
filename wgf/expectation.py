"""Expectations int phi(T(z)) p dz of a carried law, also of functions with jumps and narrow peaks.

Cells are cut where interval arithmetic finds values of a formula that nodes have not seen, and where the formula
switches; then until the integral no longer changes. Of functions that are no formulas only values at nodes are known: a
peak between those of FIRST cells is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from wgf.problem.changes.kinks import zeros
from wgf.problem.laws.inverse import inverse
from wgf.problem.quadrature import legendre
from wgf.reference_solutions.wasserstein import LEAST, Carried
from wgf.settings.answers import answer
from wgf.settings.formulas.expression import PREFIX, Expression, observables
from wgf.settings.formulas.values import values

ORDER, ROUNDS, CELLS = 6, 60, 40_000  # nodes per cell; largest numbers of rounds, and of cells cut in one
FIRST, LOOKS = 256, 16  # cells at first, about, and places in each between which signs are sought
SHARE = 0.4  # where a cell is cut: nodes have no such share, so a jump changes the integral (0.5 may change nothing)
BLIND = 4000  # cells in which peaks are sought at most: they are everywhere where interval arithmetic fails
BESIDE = 1e-6  # distance from its ends of places without weight, by which jumps beyond its nodes are seen
FARTHEST, TAILS = 1e-300, 28  # mass beyond all cells in a tail, and cells there at first
LASTING = 1e-9  # share of the last cell of a tail in the integral of |phi| that shows that it has not ended
FINE = 1e-11  # change of the integral by cutting a cell, relative to the integral of |phi|
STEP = 1e-7  # of a difference, in standard deviations of the base
WIDE, TINY = 2.0, 1e-300  # values beyond those at nodes, relative to their range, and in all, that may be only bounds


def observed(entries: Any) -> dict[str, Callable[[Tensor], Tensor]]:
    """Column -> function of x, for formulas as in `observables`, or names with formulas or functions of tensors.

    Raises:
        ConfigError: one is not a formula of x, or two have the same name.
    """
    if not isinstance(entries, Mapping):
        return {**observables(entries)}
    return {f"{PREFIX}{name}": f if callable(f) else Expression(str(f)) for name, f in entries.items()}


def expectation(carried: Carried, function: str | Callable[[Tensor], Tensor]) -> float:
    """Mean of function(x) over a carried law; NaN if the function is not finite where mass is, or if it grows so fast
    that the last of the tails counts, as it does where the mean is infinite.

    Args:
        carried: the law.
        function: a formula of x, or a function of tensors [n] on the CPU in float64 that returns numbers [n], or one.

    Raises:
        ConfigError: this is not a formula of x, or the function returns something else.
    """
    phi = Expression(function) if isinstance(function, str) else _answering(function)
    # of a law far from 0, only what its particles differ in has digits
    common = phi(carried.place(carried.base.quantile(carried.mesh.new_tensor([0.5]))))
    common = torch.where(common.isfinite(), common, 0.0)
    s, half, to_ends = _rule()

    def seen(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Masses of nodes in cells, and phi there less what is common [N, ORDER + 2]; no mass at the ends."""
        z = low[:, None] + (high - low)[:, None] * s
        p = carried.base.density(z)
        y = (phi(carried.place(z.reshape(-1))).to(p) - common).reshape(p.shape)
        return (high - low)[:, None] * half * p, torch.where(p > 0, y, 0.0)

    mesh = _cut(carried.mesh.unique(), -(-FIRST // len(carried.mesh)))
    if isinstance(phi, Expression) and phi.polynomial() is None:
        mesh = _peaks(carried, phi, mesh, float(common), seen)
        if phi.switches():
            mesh = torch.cat([mesh, _switches(carried, phi, mesh)]).unique()
    mesh, ends = _with_tails(carried, phi, mesh)
    low, high = mesh[:-1], mesh[1:]
    w, y = seen(low, high)
    farthest = (w[ends] * y[ends].abs()).sum()
    sums, total, size = (w * y).sum(1), 0.0, 0.0
    quiet = torch.zeros_like(sums, dtype=torch.bool)
    for round in range(ROUNDS):
        low, high = _parts(low, high)
        w, y = seen(low, high)
        new, sizes = (w * y).sum(1), (w * y.abs()).sum(1)
        pairs = new.reshape(-1, 2).sum(1)
        jumps = ((y[:, [0, -1]] - y[:, 1:-1] @ to_ends).abs() * w[:, [1, -2]]).sum(1)
        change = (pairs - sums).abs().maximum(jumps.reshape(-1, 2).sum(1))
        still = ~(change > FINE * (size + float(sizes.sum())))  # what is not finite stays so
        done = still & quiet  # twice
        if int((~done).sum()) > CELLS or round == ROUNDS - 1:
            done = torch.ones_like(done)
        total += float(pairs[done].sum())
        size += float(sizes.reshape(-1, 2)[done].sum())
        if done.all():
            break
        again = (~done).repeat_interleave(2)
        low, high, sums, quiet = low[again], high[again], new[again], still[~done].repeat_interleave(2)
    return total + float(common) if float(farthest) <= LASTING * size else math.nan


def _answering(function: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    """A function as it is if it is a formula; else one whose answers are tensors."""
    return function if isinstance(function, Expression) else lambda x: answer("function", function(x), x)


def _with_tails(carried: Carried, phi: Callable[[Tensor], Tensor], mesh: Tensor) -> tuple[Tensor, list[int]]:
    """A mesh that goes on in infinite tails, to masses of FARTHEST or as far as phi is finite, and the numbers of its
    last cells there."""
    base, masses = carried.base, torch.logspace(math.log10(LEAST), math.log10(FARTHEST), TAILS, dtype=mesh.dtype)
    tails = []
    for end, place in ((base.lower, base.quantile), (base.upper, base.upper_quantile)):
        z = place(masses) if math.isinf(end) else mesh[:0]
        known = z.isfinite() & phi(carried.place(z)).isfinite()
        tails.append(z[known.cumprod(0).bool()])
    mesh = torch.cat([mesh, *tails]).unique()
    return mesh, [number for number, tail in zip((0, len(mesh) - 2), tails, strict=True) if len(tail)]


@cache
def _rule() -> tuple[Tensor, Tensor, Tensor]:
    """Places in (0, 1), their weights, and what continues values at nodes to both ends [ORDER, 2]."""
    s, half = legendre(ORDER, torch.float64, torch.device("cpu"))
    ends = s.new_tensor([BESIDE, 1 - BESIDE])
    powers = torch.arange(ORDER)
    to_ends = torch.linalg.solve((s - 0.5) ** powers[:, None], (ends - 0.5) ** powers[:, None])
    return torch.cat([ends[:1], s, ends[1:]]), torch.nn.functional.pad(half, (1, 1)), to_ends


def _parts(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Both parts of cells [N], one after the other [2 N]."""
    cut = low + SHARE * (high - low)
    return torch.stack([low, cut], 1).reshape(-1), torch.stack([cut, high], 1).reshape(-1)


def _cut(mesh: Tensor, parts: int) -> Tensor:
    """A mesh [n] whose cells are cut in so many equal parts."""
    shares = torch.arange(parts, dtype=mesh.dtype, device=mesh.device) / parts
    inner = mesh[:-1, None] + mesh.diff()[:, None] * shares
    return torch.cat([inner.reshape(-1), mesh[-1:]])


def _switches(carried: Carried, phi: Expression, mesh: Tensor) -> Tensor:
    """Particles z [K] that lie where a formula switches."""
    z = _cut(mesh, LOOKS)
    x = carried.place(z).cummax(0).values  # up to rounding
    places = torch.cat([x[:0], *(at for _, at in zeros(phi, phi.switches(), x.unique()))]).unique()
    places = places[(places > x[0]) & (places < x[-1])]
    after, step = torch.searchsorted(x, places), STEP * carried.base.std

    def placed(z: Tensor) -> tuple[Tensor, Tensor]:
        x, beside = carried.place(torch.cat([z, z + step])).chunk(2)
        return x, (beside - x) / step

    return inverse(placed, places, z[after - 1], z[after]) if len(places) else places


def _peaks(
    carried: Carried, phi: Expression, mesh: Tensor, common: float, seen: Callable[..., tuple[Tensor, Tensor]]
) -> Tensor:
    """A finer mesh [n] in whose cells nodes have seen what values a formula has, up to some that carry no weight."""
    low, high, ends, size = mesh[:-1], mesh[1:], [mesh], 0.0
    for _ in range(ROUNDS):
        w, y = seen(low, high)
        bounds = values(phi.tree, carried.place(low).numpy(), carried.place(high).numpy(), phi.constants)
        least, most = (torch.from_numpy(bound) - common for bound in bounds)
        first, last = y.sort(1).values[:, [1, -2]].T  # a peak that one node has met is not seen
        weight = (w * y.abs()).sum(1)
        hidden = torch.maximum(most - last, first - least)
        allowed = FINE * (size + float(weight.sum())) + TINY
        blind = (hidden > WIDE * (last - first)) & (hidden * w.sum(1) > allowed)
        if not 0 < int(blind.sum()) <= BLIND:
            break
        size += float(weight[~blind].sum())
        low, high = _parts(low[blind], high[blind])
        ends.append(low)
    return torch.cat(ends).unique()
