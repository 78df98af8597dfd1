"""The two residuals of Theorems 1 and 2 of docs/certificates.md, for maps at one time each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from wgf.certificates.conditions import Conditions
from wgf.certificates.forces import Force
from wgf.certificates.mesh import Mesh
from wgf.problem.equations import Problem

THRESHOLDS = (0.3, 3.0)  # largest |log a| in the core
CORE = 5  # fewest cells of a core
# bytes; glibc keeps arrays for reuse up to the largest one freed, else half of the time is mapping
LARGEST = 31_000_000
HUGE = 1e200  # instead of infinity: infinite as a norm, and 0 times it is 0
NEWTON, STEP = 60, 1e-8  # most Newton steps, and the last one, relative; its square is the error of the supremum


def psi(g: float, a: Tensor) -> Tensor:
    """psi_g(a) = sup_{u > 0} (a - u^-g)(1 - u) for a > 0.

    At the supremum w = 1/u solves w^g (g w - (g-1)) = a. The left side is convex and rises from there on: Newton's
    method from the right is monotone. It begins where the tangent at w = 1 or, for a > 1, w^(g+1), neither of which is
    above the left side, reaches a.
    """
    if g == 1:
        return a.sqrt().sub_(1).square_()
    w = torch.minimum(1 + (a - 1) / (2 * g), a.clamp(min=1) ** (1 / (g + 1)))
    for _ in range(NEWTON):
        power = w ** (g - 1)
        step = (w * power * (g * w - (g - 1)) - a) / (g * power * ((g + 1) * w - (g - 1)))
        w = w - step
        if float((step / w).abs().nan_to_num().max()) < STEP:
            break
    return ((a - w**g) * (1 - 1 / w)).clamp(min=0)


class Residuals(NamedTuple):
    """Residuals of r maps, with one column for every choice of the flux Phi.

    Attributes:
        flux: Q [r, c] (length^2/time); infinite where the choice is not allowed.
        force: R0 [r, c] (length/time).
        strong: norm of the residual with the flux of the map itself [r] (length/time).
    """

    flux: Tensor
    force: Tensor
    strong: Tensor


class Evaluator:
    """Computes the residuals of the maps of one spline space.

    Args:
        problem: the equation.
        known: its conditions.
        mesh: the nodes.
    """

    def __init__(self, problem: Problem, known: Conditions, mesh: Mesh) -> None:
        self.problem, self.known, self.mesh = problem, known, mesh
        torch.empty(LARGEST, dtype=torch.uint8)  # freed at once
        self.force = Force(problem.interaction, mesh)

    def __call__(self, c: Tensor, v: Tensor) -> Residuals:
        """Residuals of maps with coefficients c and velocities v [r, M].

        Cells end where a map crosses a kink of V, unless the forces are sums over the pairs of nodes.
        """
        mesh = self.mesh_of(c)
        force = self.force if mesh is self.mesh else Force(self.problem.interaction, mesh)
        return self._on(mesh, force, c, v)

    def mesh_of(self, c: Tensor) -> Mesh:
        """The nodes for maps with coefficients c [r, M]."""
        kinks = self.problem.potential.kinks
        return self.mesh if kinks is None or self.force.has_pairs else self.mesh.split(c, kinks.x)

    def _on(self, mesh: Mesh, forces: Force, c: Tensor, v: Tensor) -> Residuals:
        known = self.known
        x, dx, bend, velocity = mesh.values(c), mesh.slopes(c), mesh.bends(c), mesh.values(v)
        folded = dx.amin(1) <= 0
        slide, sums = self.problem.potential.derivative(x.reshape(-1)).reshape(x.shape), forces.sums(x)
        pull = velocity.add_(slide).add_(forces(x, dx, bend, sums))
        if known.diffusion == 0:
            strong = mesh.norm(pull)
            force = torch.where(folded, torch.inf, strong)[:, None].expand(-1, len(THRESHOLDS))
            return Residuals(torch.zeros_like(force), force, strong)
        attraction = known.chi * forces.pressure(dx, sums) if known.chi and sums is not None else None
        slope, slope_bend = (dx, bend) if mesh.space.degree > 1 else mesh.smooth_slopes(c)
        mean = mesh.integral(pull)[:, None]
        if any(mesh.walls):
            mean = torch.zeros_like(mean)  # walls hold any total force
        g = known.exponent
        pressure = known.diffusion * torch.exp((g - 1) * mesh.log_p)  # kappa p^g / p
        own = pressure * slope**-g  # the flux of the map / p
        equilibrated = mesh.flux(pull - mean)
        if all(mesh.walls):  # any constant is allowed: that of the map's own flux on average
            equilibrated = equilibrated + mesh.integral(own * mesh.p - equilibrated)[:, None]
        ratio = equilibrated.div_(own * mesh.p)
        strong = (mesh.dlog_p - slope_bend / slope).mul_(own if g == 1 else g * own).add_(pull)
        excess = _finite(ratio, 0.0) - 1  # the ratio is finite in every core
        bounded = _finite(strong, HUGE)
        tension = (_finite(own, HUGE) * excess).unflatten(1, (-1, mesh.order))
        columns = []
        for share, rise, allowed in _cores(mesh, ratio):
            rest = torch.lerp(bounded, mean, share)
            rest.view_as(tension).addcmul_(rise, tension)
            a = torch.addcmul(share.new_ones(()), share, excess)
            if slope is not dx:
                a = a * (dx / slope) ** g
            if attraction is None:
                flux = mesh.integral(psi(g, a) if g == 1 else dx ** (1 - g) * psi(g, a), pressure)
            else:
                flux, positive = self._attracted(mesh, a, attraction)
                allowed = allowed & positive
            flux = torch.where(allowed & ~folded & flux.isfinite(), flux, torch.inf)
            columns.append((flux, mesh.norm(rest)))
        flux, force = (torch.stack(part, 1) for part in zip(*columns, strict=True))
        return Residuals(flux, force, torch.where(folded | bool(any(mesh.open)), torch.inf, mesh.norm(strong)))

    def _attracted(self, mesh: Mesh, a: Tensor, attraction: Tensor) -> tuple[Tensor, Tensor]:
        """Q of Theorem 2 [r], and whether chi kappa_h < D everywhere [r]."""
        diffusion = self.known.diffusion
        left = diffusion - attraction
        b = 1 + diffusion * (a - 1) / left
        positive = (left > 0).all(1) & (b > 0).all(1)
        return mesh.integral(left * psi(1.0, b.clamp(min=0))), positive


def _finite(f: Tensor, most: float) -> Tensor:
    """f with `most` and -`most` for what is infinite, and `most` for what is no number."""
    # a sum takes a fifth of the time, and is finite only where all terms are
    return f if math.isfinite(float(f.sum())) else f.nan_to_num(most, most, -most)


def _cores(mesh: Mesh, ratio: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each threshold the share of the equilibrated flux at the nodes [r, n], its derivative in the cells [r, c, 1],
    and whether it is allowed [r].

    The core is the run of cells around the middle where the equilibrated flux is close to the map's own. The share
    is 1 there, falls to 0 over its two outer cells, and stays 1 up to ends that the core reaches. Where p does not
    vanish at an end, the core must reach it.

    Args:
        mesh: the nodes.
        ratio: of the equilibrated flux to the map's own [r, n].
    """
    by_cell = ratio.unflatten(1, (-1, mesh.order))
    least, most = by_cell.amin(2), by_cell.amax(2)
    (below, above), last = mesh.middle, least.shape[1] - 1
    cell = torch.arange(least.shape[1], device=ratio.device)
    cells = mesh.cells.expand(len(ratio), -1)

    def ramp(outer: Tensor, inner: Tensor, full: Tensor) -> Tensor:
        """At the ends of the cells, from 0 at one of them to 1 at another [r, c + 1]; 1 everywhere for full cores."""
        begin, end = (cells.gather(1, index.clamp(0, last + 1)[:, None]) for index in (outer, inner))
        return ((cells - begin) / (end - begin)).clamp(0, 1).masked_fill(full[:, None], 1.0)

    for threshold in THRESHOLDS:
        close = ((least >= math.exp(-threshold)) & (most <= math.exp(threshold))).long()  # not of NaN
        high = close.masked_fill(cell < above, 1).cumprod(1).sum(1) - 1
        low = last + 1 - close.masked_fill(cell > below, 1).flip(1).cumprod(1).sum(1)
        small = high - low + 1 < CORE
        whole = (low == 0) & ~small, (high == last) & ~small
        ramps = ramp(low, low + 2, whole[0]) * ramp(high + 1, high - 1, whole[1])  # where one falls the other is 1
        ramps = ramps.masked_fill(small[:, None], 0.0)
        rise = ramps.diff(dim=1)[..., None]
        allowed = torch.ones_like(small)
        for is_open, reached in zip(mesh.open, whole, strict=True):
            if is_open:
                allowed = allowed & reached
        yield torch.addcmul(ramps[:, :-1, None], rise, mesh.s).flatten(1), rise / mesh.widths[..., None], allowed
