"""The paper's two-layer ReLU network (arXiv:2402.16821, section 2):

f(z) = c + (1/m) [ sum_i w_i (z - b_i)_+ + sum_i wt_i (bt_i - z)_+ ],  start: b = bt, w = 1, wt = -1, hence f(z) = z.

The constant c is fixed: the mean of the initial knots. It is 0 in the paper, because its laws are centred at 0.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from wgf.errors import ConfigError
from wgf.networks.base import Neurons, Size, TransportMap
from wgf.networks.knot_space import KnotSpace
from wgf.networks.spline_space import TAIL_MASS, SplineSpace
from wgf.problem.base import Base
from wgf.settings.ranges import Choice, Positive, Share, TwoOrMore, checked

Train = Annotated[str, Choice("weights", "biases", "all", "alternating")]
StartKnots = Annotated[str, Choice("auto", "paired", "uniform", "adapted")]


def initial_knots(base: Base, width: int, bound: float, margin: float = 1.0) -> Tensor:
    """Initial knots [m] (length): equispaced on mean -+ bound std, clipped to the support without a margin at either
    edge of a bounded one, in units of its length / (m + 1)."""
    low, high = base.mean - bound * base.std, base.mean + bound * base.std
    if math.isfinite(base.lower):
        edge = margin * (base.upper - base.lower) / (width + 1)
        low, high = max(low, base.lower + edge), min(high, base.upper - edge)
    return torch.linspace(low, high, width, dtype=torch.float64)


def reach(base: Base) -> tuple[float, float]:
    """Ends of the interval in which knots may lie: TAIL_MASS lies beyond either end (length)."""
    tail = torch.tensor([2 * TAIL_MASS], dtype=torch.float64)
    return float(base.quantile(tail)), float(base.upper_quantile(tail))


def single_knots(base: Base, width: int, bound: float, margin: float = 1.0) -> Tensor:
    """Equispaced knots [2m - 2] (length) as in `initial_knots`, and within `reach`."""
    knots, (low, high) = initial_knots(base, 2 * width - 2, bound, margin), reach(base)
    return torch.linspace(max(float(knots[0]), low), min(float(knots[-1]), high), 2 * width - 2, dtype=torch.float64)


class PiecewiseLinear(TransportMap):
    """A map with constant slope between its knots, which may move."""

    @abstractmethod
    def cells(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...

    def f(self, theta: Tensor, z: Tensor) -> Tensor:
        return self.evaluate(theta, z)[0]

    def evaluate(self, theta: Tensor, z: Tensor, cell: Tensor | None = None) -> tuple[Tensor, Tensor]:
        knots, slope, intercept = self.cells(theta)
        if cell is None:
            cell = torch.searchsorted(knots.detach(), z.detach().contiguous(), right=True)
        dx = slope[cell]
        return dx * z + intercept[cell], dx

    def min_slope(self, theta: Tensor, slopes: Tensor) -> Tensor:
        knots, slope, _ = self.cells(theta)
        low, high = self.base.lower, self.base.upper
        # skip cells of zero width and those beyond the edges of the base, where there is no mass
        wide = torch.cat([knots[:1] > low, knots.clamp(low, high).diff() > 0, knots[-1:] < high])
        return torch.where(wide, slope, torch.inf).min()


class TwoSidedReLU(PiecewiseLinear):
    """Two-layer ReLU network with m right-facing and m left-facing neurons, piecewise linear with 2m knots.

    Args:
        width: m >= 2.
        bound: B; the knots start equispaced on mean -+ B std of the base (no unit).
        train: which parameters are trained: "weights" [w, wt], "biases" [b, bt], "all" [w, wt, b, bt], or
            "alternating": all, weights and biases in turn, see `wgf.integrators.explicit.Alternating`.
        start: start knots; all choices start as the identity. "paired": the paper's m pairs b = bt. "uniform": 2m - 2
            equispaced knots, where only the outer two are pairs. "adapted": 2m - 2 knots that a coarse run places.
            "auto": "adapted" with train="all", else "paired", because only train="all" allows the other two.
        margin: distance of the start knots from the edges of a bounded support, in units of its length / (m + 1);
            0 places the outer knots on the edges, as the paper's program does for porous media (no unit).
        base: the reference measure p.

    Attributes:
        adapts: whether a coarse run shall choose the start knots.
    """

    initial: Tensor
    offset: Tensor
    start_knots: Tensor

    @checked
    def __init__(
        self,
        width: TwoOrMore = 16,
        bound: Positive = 4.0,
        train: Train = "weights",
        start: StartKnots = "auto",
        margin: Share = 1.0,
        *,
        base: Base,
    ) -> None:
        super().__init__(base)
        if train != "all" and start not in ("auto", "paired"):
            raise ConfigError(f"start={start} is possible only with network.train=all: use network.start=paired")
        self.width, self.bound, self.train_part, self.margin = width, bound, train, margin
        knots, ones = initial_knots(base, width, bound, margin), torch.ones(width, dtype=torch.float64)
        if not float(base.mass(knots[:-1], knots[1:]).sum()) > 1e-12:
            raise ConfigError(
                f"network.bound={bound!r} with network.width={width} leaves no mass between the "
                "knots: increase network.bound"
            )
        if not float(torch.minimum(base.cdf(knots), base.survival(knots)).max()) > TAIL_MASS:
            raise ConfigError(
                f"network.bound={bound!r} with network.width={width} leaves no knot where the law has mass: increase "
                "network.width"
            )
        self.register_buffer("initial", torch.cat([ones, -ones, knots, knots]))
        self.register_buffer("offset", knots.mean())
        self.moving_knots = train != "weights"
        m = width
        parts = {"weights": slice(0, 2 * m), "biases": slice(2 * m, 4 * m)}
        self._trained = parts.get(train, slice(0, 4 * m))
        if train == "alternating":
            self.parts = tuple(parts.values())
        self.theta = nn.Parameter(self.initial[self._trained].clone())
        self.adapts = train == "all" and start in ("auto", "adapted")
        self.register_buffer("start_knots", knots)
        if train == "all" and start != "paired":
            self._start_at(single_knots(base, width, bound, margin))

    def _start_at(self, knots: Tensor) -> None:
        """Start as the identity with these knots (length), [2m - 2], or [m] for pairs."""
        self.start_knots = knots.to(self.initial)
        space = KnotSpace(self.base, self.start_knots, self.width, self.offset)
        self.initial = space.lift(space.identity)
        self.theta = nn.Parameter(self.initial.clone())

    def with_start_knots(self, knots: Tensor) -> TwoSidedReLU:
        """The same network with other start knots (length), for train = "all": [2m - 2], or [m] for pairs."""
        other = copy.deepcopy(self, {id(self.base): self.base})
        other._start_at(knots)
        other.adapts = False
        return other

    @classmethod
    def size(cls, settings: Mapping[str, Any]) -> Size:
        width, train = float(settings["width"]), settings["train"]
        return Size(
            (4 if train in ("all", "alternating") else 2) * width, 2 * width, 1, banded=train in ("weights", "all")
        )

    def parameters_of(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """All weights (w, wt) and all biases (b, bt) [2m] each; untrained ones have their initial values."""
        m2 = 2 * self.width
        if self.train_part == "weights":
            return theta, self.initial[m2:]
        return (self.initial[:m2], theta) if self.train_part == "biases" else (theta[:m2], theta[m2:])

    def units(self) -> Tensor | None:
        """Biases are lengths, weights have no unit."""
        if self.train_part != "all":
            return None
        ones = torch.ones_like(self.initial[: 2 * self.width])
        return torch.cat([ones, self.base.std * ones])

    def space(self) -> SplineSpace | None:
        return WeightSpace(self) if self.train_part == "weights" else None

    def knot_space(self) -> KnotSpace | None:
        free = self.train_part == "all"
        return KnotSpace(self.base, self.start_knots, self.width, self.offset) if free else None

    def steps(self, theta: Tensor, part: slice = slice(None)) -> Neurons | None:
        biases_only = self.train_part == "biases" or (self.parts and part == self.parts[1])
        return self.moving_neurons(theta) if biases_only else None

    def ramps(self, theta: Tensor, part: slice) -> Neurons | None:
        neurons = self.moving_neurons(theta) if self.parts and part == self.parts[0] else None
        return neurons and neurons._replace(weights=torch.full_like(neurons.weights, 1 / self.width))

    def moving_neurons(self, theta: Tensor) -> Neurons | None:
        if not self.moving_knots:
            return None
        weights, biases = self.parameters_of(theta)
        return Neurons(weights / self.width, biases, torch.arange(2 * self.width, device=theta.device) >= self.width)

    def pulled_back(self, weights: Tensor, biases: Tensor) -> Tensor:
        return biases if self.train_part == "biases" else torch.cat([weights / self.width, biases])

    def knots(self, theta: Tensor) -> Tensor:
        return self.parameters_of(theta)[1]

    def cells(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sorted knots [2m] and, on the 2m + 1 cells between them, slope and intercept of f; O(m log m)."""
        weights, biases = self.parameters_of(theta)
        knots, order = biases.sort(stable=True)
        left, left_knots = weights[self.width :], biases[self.width :]
        jump = weights[order] / self.width  # jump of the slope at each knot, for both kinds of neurons
        first = torch.stack([-left.sum(), (left * left_knots).sum() + self.width * self.offset]) / self.width
        steps = torch.stack([jump, -jump * knots]).cumsum(1)
        slope, intercept = torch.cat([first[:, None], first[:, None] + steps], dim=1)
        return knots, slope, intercept

    def jacobian(self, theta: Tensor, z: Tensor, cell: Tensor | None = None) -> Tensor:
        weights, biases = self.parameters_of(theta)
        m, z = self.width, z[:, None]
        reach = torch.cat([z - biases[:m], biases[m:] - z], dim=1)  # [n, 2m], positive where the neuron is active
        if cell is None:
            active = (reach > 0).to(z)
        else:  # compare ranks: coincident knots keep their order
            rank = biases.argsort(stable=True).argsort()
            right = cell[:, None] > rank[:m]
            active = torch.cat([right, cell[:, None] <= rank[m:]], dim=1).to(z)
        blocks = []
        if self.train_part != "biases":
            blocks.append(reach * active / m)
        if self.train_part != "weights":
            blocks.append(active * torch.cat([-weights[:m], weights[m:]]) / m)
        return torch.cat(blocks, dim=1)


class WeightSpace(SplineSpace):
    """Space of a two-sided ReLU network that trains weights: hat functions on the knots and one ghost point per end.

    The map does not bend at knots with less than TAIL_MASS beyond them: they belong to the linear tails.
    """

    def __init__(self, map: TwoSidedReLU) -> None:
        base, self.width, self._offset = map.base, map.width, map.offset
        self.knots = map.knots(map.theta.detach())[: map.width].contiguous()
        tails = torch.minimum(base.cdf(self.knots), base.survival(self.knots))
        bent = (tails > TAIL_MASS).nonzero()[:, 0]
        first, last = int(bent[0]), int(bent[-1])
        self.active = slice(first, last + 1)
        inner = self.knots[self.active]
        spacing = inner.diff() if len(inner) > 1 else inner.new_tensor([base.std])
        super().__init__(torch.cat([inner[:1] - spacing[:1], inner, inner[-1:] + spacing[-1:]]), 1)
        self.truncated = map.width - len(inner)
        # minimum-norm solution of B q = r: q = B^T (B B^T)^-1 r with B = [1; b_i - b_1]
        self._reach = self.knots - self.knots[0]
        rows = torch.stack([torch.ones_like(self._reach), self._reach])
        self._pseudoinverse = rows.T @ torch.linalg.inv(rows @ rows.T)
        self._widths = self.points.diff()

    def _slopes(self, theta: Tensor) -> Tensor:
        """All slopes of f [m + 1], O(m)."""
        w, wt = theta.reshape(2, self.width)
        return (pad(w.cumsum(0), (1, 0)) - wt.sum() + pad(wt.cumsum(0), (1, 0))) / self.width

    def min_slope(self, theta: Tensor, slopes: Tensor) -> Tensor:
        return self._slopes(theta).min()

    def coefficients(self, theta: Tensor) -> Tensor:
        return self._offset + self.change(theta)

    def change(self, displacement: Tensor) -> Tensor:
        """f at the breakpoints [M] without its constant."""
        slopes, a = self._slopes(displacement), self.active
        # f(b_1): right-facing neurons vanish there
        start = torch.dot(displacement[self.width :], self._reach) / self.width
        inner = start + pad((slopes[1:-1] * self.knots.diff()).cumsum(0), (1, 0))
        inner = inner[a]
        low, high = self._widths[:1] * slopes[a.start : a.start + 1], self._widths[-1:] * slopes[a.stop : a.stop + 1]
        return torch.cat([inner[:1] - low, inner, inner[-1:] + high])

    def lift(self, coefficients: Tensor) -> Tensor:
        """Smallest displacement of (w, wt), O(m): w = J/2 + q, wt = J/2 - q, q = B^T (B B^T)^-1 r, where
        r = (sum J/2 + m s_0, sum J (b - b_1)/2 - m u_1), J_i = m [f']_i, s_0 = left tail slope, u_1 = f(b_1)."""
        slope = coefficients.diff() / self._widths
        jump = self.width * pad(slope.diff(), (self.active.start, self.width - self.active.stop))
        left = slope[0]
        value = coefficients[1] - left * (self.points[1] - self.knots[0])
        r = torch.stack([0.5 * jump.sum() + self.width * left, 0.5 * torch.dot(jump, self._reach) - self.width * value])
        q = self._pseudoinverse @ r
        return torch.cat([0.5 * jump + q, 0.5 * jump - q])
