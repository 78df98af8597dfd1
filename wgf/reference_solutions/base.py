"""Maps known at some times by a computation that says how far it is off."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from wgf.problem.base import Base, Law
from wgf.problem.quadrature import Gauss

NEAR, SAME = 0.3, 0.5  # distance of an order to the scheme's, as a share of it, and of two orders that are the same
ALIGNED, RELATED = 0.8, 0.1  # cosines of changes that belong to one error, and to errors that are not independent
FALLEN = 100.0  # masses left at the two points that give a straight tail its slope, the inner relative to the outer one
SLOWEST_GAIN = 2.5  # with which a limit is extrapolated: one of 2 is also that of errors from a kink in a cell


class Unresolved(ArithmeticError):
    """The solution could not be computed."""


@dataclass(frozen=True)
class Computed(ABC):
    """The map of a problem at some times, with an estimate of its own error. NaN at all other times.

    Attributes:
        name: of the method, for people and files.
        times: where it is known, 0 besides [k] (time).
        errors: estimated W1 errors at the times [k] (length).
        w2_errors: estimated W2 errors at the times [k] (length): far larger where the map is worst in the tails.
        start: the map at t = 0; the identity by default.
    """

    name: ClassVar[str]
    quick: ClassVar[bool] = False

    times: np.ndarray
    errors: np.ndarray
    w2_errors: np.ndarray
    start: Callable[[Tensor], Tensor] = field(default=torch.clone, kw_only=True)

    @abstractmethod
    def map(self, k: int, z: np.ndarray) -> np.ndarray:
        """T at time number k and z [n] (length)."""

    def at_times(self, times: Sequence[float], parts: Sequence[Tensor]) -> Tensor:
        """T(t, z) of points z, those of each increasing time together [n] (length)."""
        return torch.cat([self(t, part) for t, part in zip(times, parts, strict=True)])

    @property
    def kinks(self) -> list[float]:
        """Where the map may be not smooth by the method's fault (length)."""
        return []

    @property
    def error(self) -> float:
        """Estimated W1 error at the last time (length)."""
        return float(self.errors[-1])

    @property
    def w2_error(self) -> float:
        """Estimated W2 error at the last time (length)."""
        return float(self.w2_errors[-1])

    def errors_at(self, t: float) -> tuple[float, float]:
        """Estimated W1 and W2 errors at t, 0 where the map is exact or unknown (length)."""
        k = self._number(t)
        return (0.0, 0.0) if k is None else (float(self.errors[k]), float(self.w2_errors[k]))

    def _number(self, t: float) -> int | None:
        near = np.flatnonzero(np.abs(self.times - t) <= 1e-9 * abs(t))
        return int(near[0]) if len(near) else None

    def __call__(self, t: float, z: Tensor) -> Tensor:
        """T(t, z) [n] at z [n] (length)."""
        if t == 0:
            return self.start(z)
        if (k := self._number(t)) is None:
            return torch.full_like(z, math.nan)
        return torch.from_numpy(self.map(k, z.detach().cpu().double().numpy())).to(z)


@dataclass(frozen=True)
class Grid:
    """Faces x(s) = centre + stretch sinh(first + h s), s = 0, ..., cells; nearly uniform for a long stretch.

    Attributes:
        low, high, centre, stretch: the ends, the point with the smallest cells, and how far these reach (length).
        cells: their number N.
    """

    low: float
    high: float
    centre: float
    stretch: float
    cells: int

    def x(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, x' and x'' at s [...] (length)."""
        first, h = self._steps
        sinh, cosh = self.stretch * np.sinh(first + h * s), self.stretch * np.cosh(first + h * s)
        return self.centre + sinh, h * cosh, h * h * sinh

    def place(self, s: np.ndarray) -> np.ndarray:
        """x at s [...] (length)."""
        first, h = self._steps
        return self.centre + self.stretch * np.sinh(first + h * s)

    @property
    def _steps(self) -> tuple[float, float]:
        """`first` and h."""
        first, last = np.arcsinh((np.array([self.low, self.high]) - self.centre) / self.stretch).tolist()
        return first, (last - first) / self.cells

    @property
    def s(self) -> np.ndarray:
        """The faces [N + 1]."""
        return np.arange(self.cells + 1.0)


def yardstick(law: Base) -> tuple[np.ndarray, np.ndarray]:
    """Points z [n] (length) and masses [n] for W1 = int |T - T'| p dz."""
    panels = law.panels()
    ranks = torch.logspace(-13, -1, 25, dtype=torch.float64)  # where the map is singular, at an edge of the law
    inner = torch.linspace(panels[0], panels[-1], 101, dtype=torch.float64)[1:-1]
    bulk = law.quantile(torch.linspace(0.1, 0.9, 41, dtype=torch.float64))  # narrow beside a long tail
    nodes = Gauss(3).nodes(law, torch.cat([inner, law.quantile(ranks), law.upper_quantile(ranks), bulk]))
    return nodes.z.numpy(), nodes.w.numpy()


def width(law: Law, maps: np.ndarray, w: np.ndarray) -> float:
    """Largest standard deviation of a law that maps [k, n] carry to some times (length): the unit of small errors.

    Args:
        law: at t = 0.
        maps: positions of particles [k, n] (length).
        w: masses of these particles [n].
    """
    variances = (maps - (maps @ w)[:, None]) ** 2 @ w
    return max(law.std, math.sqrt(variances.max()))


@dataclass(frozen=True)
class Starts:
    """Particles at t = 0.

    Attributes:
        z: positions [n] (length).
        beyond: how far they lie in the tails, 0 between these [n] (length).
        tails: two points in the left tail and two in the right one (length).
        mass: mass to the left of the particles, those in the tails moved to their ends, and of `tails` [n + 4].
    """

    z: np.ndarray
    beyond: np.ndarray
    tails: tuple[float, float, float, float]
    mass: np.ndarray

    @classmethod
    def of(cls, law: Base, z: np.ndarray, last: float) -> Starts:
        """Particles of a law at z [n] (length); where less mass than `last` is left lie the tails."""
        ends = tails(law, last)
        inside = np.clip(z, ends[0], ends[-1])
        points = torch.from_numpy(np.append(inside, ends))
        low, high = law.cdf(points).numpy(), law.survival(points).numpy()
        return cls(z, z - inside, ends, np.where(low < 0.5, low, 1 - high))

    def tiled(self, count: int) -> Starts:
        """The same particles so many times."""
        z, beyond, mass = (np.tile(part, count) for part in (self.z, self.beyond, self.mass[:-4]))
        return Starts(z, beyond, self.tails, np.concatenate([mass, self.mass[-4:]]))


@lru_cache(maxsize=16)
def tails(law: Base, last: float) -> tuple[float, float, float, float]:
    """Points with the masses `last` and FALLEN `last` on their left, and on their right, increasing (length)."""
    ranks = torch.tensor([last, FALLEN * last], dtype=torch.float64)
    (a, b), (d, c) = law.quantile(ranks).tolist(), law.upper_quantile(ranks).tolist()
    return a, b, c, d


def extrapolation(gains: list[float], nominal: float, cosines: list[float]) -> tuple[float, float]:
    """The share of the last change by which the limit is beyond it, and how uncertain that share is; 0 and 0 without.

    Args:
        gains: by how much each halving of the cells reduced the change.
        nominal: the gain of the scheme on smooth solutions.
        cosines: of the angles between changes that follow each other, 1 where they belong to one error.
    """
    orders = np.log(np.maximum(gains, 1e-300)) / math.log(nominal)
    near = cosines[-1] > ALIGNED and abs(orders[-1] - 1) < NEAR and orders.max() < 1 + NEAR
    same = min(cosines[-2:]) > RELATED and len(gains) > 1 and abs(math.log2(gains[-1] / gains[-2])) < SAME
    if min(gains[-2:]) <= SLOWEST_GAIN or not (near or same):
        return 0.0, 0.0
    share, other = (1 / (min(gain, nominal) - 1) for gain in (gains[-1], gains[-2] if same else nominal))
    return share, abs(share - other)
