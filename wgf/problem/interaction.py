"""Interaction energy 1/2 int int W(f(x) - f(y)) p(x) p(y).

Kernels that are polynomial or |x| cost O(n); the others are summed over all pairs in blocks of bounded memory. A kink
kappa |x| of a kernel is split off and treated exactly: for an increasing map

    1/2 int int |f(x) - f(y)| p p = int f (2 P - 1) p,   P the cdf of the base.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from wgf.problem.energy import Curvature, Elementary, MapAtNodes, Parts, Term, factor
from wgf.problem.pairs.sums import FEWEST, pair_sum
from wgf.problem.quadrature import Nodes
from wgf.settings.ranges import Finite, Fraction, checked

BLOCK = 1 << 18  # pairs summed at once: they fit the cache


class Interaction(Term):
    """An even kernel W. What follows from its numbers is a property: a copy with other numbers is another kernel.

    Attributes:
        kink: kappa, half the jump of W' at 0.
        elementary: coefficients of W if it is a sum of |x|, x^2/2 and log|x|; else None.
        convexity: lower bound of W'' away from 0 (1/time); None if unknown. A kink at 0 does not count: particles keep
            their order.
    """

    name = "interaction"
    kink = 0.0
    convexity: float | None = None
    elementary: Elementary | None = None

    def split(self) -> tuple[float, Callable[[Tensor], Tensor] | None]:
        """kappa and the force w (None for w = 0) of W' = kappa sign + w with w(0) = 0.

        Raises:
            NotImplementedError: W is not a kernel summed over pairs.
        """
        if self.elementary is None:
            raise NotImplementedError(f"the interaction {self} is not a kernel summed over pairs")
        factor = self.elementary.quadratic
        return self.kink, (lambda r: factor * r) if factor else None

    def parts(self) -> Parts | None:
        e = self.elementary
        return None if e is None else Parts(lambda x, dx, log_p, rank, w: e.kink * rank * x, quadratic=e.quadratic)

    def collapses(self, internal: Term | None) -> bool:
        """Whether W can gather mass in a point within finite time: an attractive kink does so without diffusion."""
        return self.kink > 0 and internal is None


class Zero(Interaction):
    """W = 0."""

    vanishes, elementary, convexity = True, Elementary(), 0.0

    @checked
    def __init__(self) -> None:
        pass

    def value(self, at: MapAtNodes) -> Tensor:
        return at.x.new_zeros(())

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(at.x), torch.zeros_like(at.x)

    def curvature(self, at: MapAtNodes) -> Curvature:
        return Curvature()

    def __str__(self) -> str:
        return "0"


class Newtonian(Interaction):
    """W = strength |x|/2: attraction for strength > 0, repulsion for strength < 0; O(n)."""

    derivable = ("strength",)

    @checked
    def __init__(self, strength: Finite = 1.0) -> None:
        self.strength, self.convexity = strength, 0.0

    @property
    def kink(self) -> float:  # type: ignore[bad-override]
        return 0.5 * self.strength

    @property
    def elementary(self) -> Elementary:  # type: ignore[bad-override]
        return Elementary(kink=self.kink)

    def value(self, at: MapAtNodes) -> Tensor:
        return 0.5 * self.strength * torch.dot(at.w * at.nodes.rank, at.x)

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        force = 0.5 * self.strength * at.w * at.nodes.rank
        return force, torch.zeros_like(force)

    def curvature(self, at: MapAtNodes) -> Curvature:
        return Curvature()

    def __str__(self) -> str:
        return f"{factor(self.strength)}|x|/2"


class Quadratic(Interaction):
    """W = strength x^2/2, by moments; O(n).

    F = strength/2 sum_i w_i (x_i - m)^2 is least for the mean m = sum w x / sum w, so that the derivative of m does not
    count: dF/dx_i = strength w_i (x_i - m). A shift of all x changes neither, also where a rule misses some mass.
    """

    derivable = ("strength",)

    @checked
    def __init__(self, strength: Finite = 1.0) -> None:
        self.strength, self.convexity = strength, strength

    @property
    def elementary(self) -> Elementary:  # type: ignore[bad-override]
        return Elementary(quadratic=self.strength)

    def value(self, at: MapAtNodes) -> Tensor:
        return 0.5 * self.strength * torch.dot(at.w, at.centred**2)

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        force = self.strength * at.w * at.centred
        return force, torch.zeros_like(force)

    def curvature(self, at: MapAtNodes) -> Curvature:
        return Curvature(xx=self.strength * at.w)

    def coupling(self, at: MapAtNodes, loads: Callable[[Tensor], Tensor]) -> Tensor:
        mean = loads(at.w[:, None])
        return -self.strength / at.w.sum() * mean @ mean.T

    def __str__(self) -> str:
        return f"{factor(self.strength)}x^2/2"


class Pairwise(Interaction):
    """A kernel summed over all pairs, O(n^2). A new one needs `kernel` and `force`, those of W - kappa |x|, and its
    `kink` kappa if W has one at 0.

    Attributes:
        sum_rtol: relative error of a hierarchical sum in O(n), see `wgf.problem.pairs.sums`; 0 sums all pairs.
    """

    sum_rtol = 0.0

    def split(self) -> tuple[float, Callable[[Tensor], Tensor]]:
        return self.kink, self.force

    def parts(self) -> Parts:
        return Parts(lambda x, dx, log_p, rank, w: self.kink * rank * x, self.kernel, self.force)

    @abstractmethod
    def kernel(self, r: Tensor) -> Tensor:
        """W(r) - kappa |r| at the signed distances r [...] (length)."""

    @abstractmethod
    def force(self, r: Tensor) -> Tensor:
        """The derivative of `kernel`, 0 at r = 0."""

    def stiffness(self, r: Tensor) -> Tensor:
        """The second derivative of `kernel`; its value at r = 0 is not used."""
        with torch.enable_grad():
            r = r.detach().requires_grad_()
            return torch.autograd.grad(self.force(r).sum(), r, materialize_grads=True)[0]

    def _stiffness(self, at: MapAtNodes, rows: slice) -> Tensor:
        """w_i w_j W''(x_i - x_j) for some rows i and all j, 0 where x_i = x_j."""
        x, w = at.x, at.w
        r = x[rows, None] - x
        return self.stiffness(r).masked_fill(r == 0, 0.0) * w * w[rows, None]

    def curvature(self, at: MapAtNodes) -> Curvature:
        return Curvature(xx=torch.cat([self._stiffness(at, rows).sum(1) for rows in self._blocks(at)]))

    def coupling(self, at: MapAtNodes, loads: Callable[[Tensor], Tensor]) -> Tensor:
        half = torch.cat([loads(self._stiffness(at, rows).T.contiguous()) for rows in self._blocks(at)], dim=1)
        return -loads(half.T.contiguous())

    def _blocks(self, at: MapAtNodes) -> list[slice]:
        rows = max(1, BLOCK // max(len(at.x), 1))
        return [slice(i, i + rows) for i in range(0, len(at.x), rows)]

    def _pairs(self, x: Tensor, z: Tensor, rows: slice) -> Tensor:
        """`kernel` for some rows i and all j."""
        return self.kernel(x[rows, None] - x)

    def _is_summed_fast(self, at: MapAtNodes) -> bool:
        return self.sum_rtol > 0 and len(at.x) >= FEWEST and not at.x.requires_grad

    def _fast(self, at: MapAtNodes) -> Tensor:
        """Sum over all pairs of w_i w_j `kernel`, scalar."""
        return torch.dot(at.w, pair_sum(self.kernel, at.x, at.w, self.sum_rtol))

    def value(self, at: MapAtNodes) -> Tensor:
        if self._is_summed_fast(at):
            return 0.5 * self._fast(at) + self.kink * torch.dot(at.w * at.nodes.rank, at.x)

        def block(x: Tensor, z: Tensor, w: Tensor, rows: slice) -> Tensor:
            return torch.dot(w[rows], self._pairs(x, z, rows) @ w)

        blocks = self._blocks(at)
        remade = partial(checkpoint, block, use_reentrant=False, preserve_rng_state=False)  # keeps no pairs
        # a single block keeps its pairs: torch would load its compiler first, which takes more than a second
        sum_of = remade if torch.is_grad_enabled() and len(blocks) > 1 else block
        pairs = torch.stack([sum_of(at.x, at.nodes.z, at.w, rows) for rows in blocks]).sum()
        return 0.5 * pairs + self.kink * torch.dot(at.w * at.nodes.rank, at.x)

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        x, w, force = at.x, at.w, torch.zeros_like(at.x)
        if self._is_summed_fast(at):
            force = pair_sum(self.force, x, w, self.sum_rtol)
            return w * (force + self.kink * at.nodes.rank), torch.zeros_like(x)
        for rows in self._blocks(at):  # the force is odd: every pair of nodes counts once
            pulls = self.force(x[rows, None] - x[rows.start :])
            force[rows] += pulls @ w[rows.start :]
            force[rows.stop :] -= w[rows] @ pulls[:, rows.stop - rows.start :]
        return w * (force + self.kink * at.nodes.rank), torch.zeros_like(x)


class Log(Pairwise):
    """W = strength log|x|, the Keller-Segel kernel (strength = 2 chi), in force form.

    The energy is summed relative to the identity, strength/2 int int log(|f(x) - f(y)| / |x - y|) p p, and that of the
    identity is added. The quotient is bounded, so the sum hardly depends on the mesh; with log f' on the diagonal,
    int x^2 rho obeys its law exactly.
    """

    derivable = ("strength",)

    @checked
    def __init__(self, strength: Finite = 1.0, sum_rtol: Fraction = 1e-12) -> None:
        self.strength, self.sum_rtol = strength, sum_rtol
        self.convexity = None if strength > 0 else 0.0

    logarithm = property(lambda self: 0.5 * self.strength)  # type: ignore[bad-override]

    @property
    def elementary(self) -> Elementary:  # type: ignore[bad-override]
        return Elementary(logarithm=self.strength)

    def collapses(self, internal: Term | None) -> bool:
        """Linear diffusion D holds a strength of up to 2 D: the second moment changes at the rate 2 D - strength."""
        if internal is None:
            return self.strength > 0
        diffusion = internal.power_diffusion()
        return diffusion is not None and diffusion.exponent == 1 and self.strength > 2 * diffusion.coefficient

    def parts(self) -> Parts:
        return Parts(lambda x, dx, log_p, rank, w: 0.5 * self.strength * w * torch.log(dx), self.kernel, self.force)

    def offset(self, nodes: Nodes) -> float:
        identity = MapAtNodes(nodes, nodes.z, torch.ones_like(nodes.z))
        z, blocks = nodes.z, self._blocks(identity)
        pairs = sum(float(torch.dot(nodes.w[rows], self.kernel(z[rows, None] - z) @ nodes.w)) for rows in blocks)
        return self.strength * nodes.base.log_energy - 0.5 * pairs

    def kernel(self, r: Tensor) -> Tensor:
        return self.strength * torch.log(r.abs().masked_fill(r == 0, 1.0))

    def _pairs(self, x: Tensor, z: Tensor, rows: slice) -> Tensor:
        gap = z[rows, None] - z
        return self.kernel((x[rows, None] - x) / gap.masked_fill(gap == 0, 1.0))

    def _fast(self, at: MapAtNodes) -> Tensor:
        z = at.nodes.z
        return super()._fast(at) - torch.dot(at.w, pair_sum(self.kernel, z, at.w, self.sum_rtol))

    def force(self, r: Tensor) -> Tensor:
        return self.strength * (1 / r).masked_fill(r == 0, 0.0)

    def value(self, at: MapAtNodes) -> Tensor:
        quotients = super().value(at) + 0.5 * self.strength * torch.dot(at.w**2, torch.log(at.dx))
        return quotients + self.strength * at.nodes.base.log_energy

    def covector(self, at: MapAtNodes) -> tuple[Tensor, Tensor]:
        return super().covector(at)[0], 0.5 * self.strength * at.w**2 / at.dx

    def stiffness(self, r: Tensor) -> Tensor:
        return -self.strength / r**2

    def curvature(self, at: MapAtNodes) -> Curvature:
        return super().curvature(at)._replace(dd=-0.5 * self.strength * (at.w / at.dx) ** 2)

    def __str__(self) -> str:
        return f"{factor(self.strength)}log|x|"
