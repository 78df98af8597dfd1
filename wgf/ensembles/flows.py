"""The result of an ensemble: all flows, and numbers of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from wgf.ensembles.derivatives import History, laws_at
from wgf.ensembles.distances import Maps, between, check_comparable
from wgf.ensembles.files import read, written
from wgf.ensembles.job import BLOCK, SplineMesh
from wgf.errors import ConfigError
from wgf.files import replacing
from wgf.gradients.law import EDGE, DifferentiableLaws
from wgf.integrators.status import Status
from wgf.problem.base import Base
from wgf.problem.laws.inverse import inverse
from wgf.problem.quadrature import Gauss
from wgf.saved_maps import read_only
from wgf.settings.arguments import number, numbers
from wgf.settings.ranges import Count, Range, checked, fault
from wgf.tables.datasets import of_ensemble

if TYPE_CHECKING:
    from xarray import Dataset

POINTS = 400  # of a fan of densities
RANKS = 200  # of the quantiles in a dataset
SHARED = ("t", "w")
ARRAYS = ("t", "coordinates", "status", "steps", "rejected", "reached", "w2_error", "w")


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """Flows of one equation on one mesh, each with its own parameters.

    Attributes:
        parameters: values of each parameter [n].
        t: saved times [s], 0 first (time).
        coordinates: coordinates of the maps in their chart [n, s, M] (length); NaN after a failure.
        status: how each flow ended [n], names of `Status`.
        steps, rejected: number of steps of each flow [n].
        reached: time that each flow reached [n] (time).
        w2_error: estimated W2 errors at the saved times [n, s] (length), see `wgf.ensemble`; NaN if not asked for and
            after a failure.
        z, w: quadrature nodes and weights of the dynamics [q] (length, mass).
        mesh: breakpoints of the maps.
        base: the reference measure of the maps.
        history: what derivatives need, if a parameter is a tensor that requires grad.
    """

    parameters: dict[str, np.ndarray]
    t: np.ndarray
    coordinates: np.ndarray
    status: np.ndarray
    steps: np.ndarray
    rejected: np.ndarray
    reached: np.ndarray
    w2_error: np.ndarray
    w: np.ndarray
    base: Base
    mesh: SplineMesh
    z: torch.Tensor
    history: History | None = None

    def __post_init__(self) -> None:
        for name in ARRAYS:
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.status)

    def __repr__(self) -> str:
        return f"<Ensemble of {len(self)} flows, {int(self.completed.sum())} completed; {', '.join(self.parameters)}>"

    @property
    def completed(self) -> np.ndarray:
        """Whether each flow reached the end time [n]."""
        return self.status == Status.completed.name

    def place(self, t: float | None) -> int:
        """Number of a saved time, the last by default.

        Raises:
            ConfigError: t is not a saved time.
        """
        if t is None:
            return len(self.t) - 1
        t = number("t", t)
        k = int(np.abs(self.t - t).argmin())
        if not abs(self.t[k] - t) <= 1e-12 * self.t[-1]:
            raise ConfigError(
                f"t={t!r} is not allowed: expected a saved time, one of {self.t.tolist()}; give saves=..."
            )
        return k

    def differentiable(self, t: Any = None) -> DifferentiableLaws:
        """The laws at a saved time [n], by default the last, or at several [n, s], as tensors with derivatives; see
        docs/gradients.md."""
        return laws_at(self.history, self.place(t) if np.ndim(t) == 0 else [*map(self.place, t)])

    def map(self, t: float | None, z: Any) -> np.ndarray:
        """Positions T(t, z) of the particles that start at z [...] in the base: [n, ...] (length).

        Here and below, t is a saved time, None for the last; see `place` for errors. After a failure all is NaN.
        """
        c, z = self.coordinates[:, self.place(t)], numbers("z", z)
        finite = np.isfinite(z)
        found = self.mesh.at(c, np.where(finite, z, self.base.mean), 1)
        return np.where(finite, found, z + 0 * found)

    def quantile(self, t: float | None, u: Any) -> np.ndarray:
        """Positions with mass u [...] to their left: [n, ...] (length).

        Raises:
            ConfigError: u < 0 or u > 1.
        """
        levels = torch.from_numpy(numbers("u", u))
        if not bool((levels >= 0).all() & (levels <= 1).all()):
            raise ConfigError(fault("u", u, "masses from 0 to 1"))
        return self.map(t, self.base.at_rank(levels, 1 - levels).numpy())

    def density(self, t: float | None, x: Any) -> np.ndarray:
        """Densities at the points x [q] (length): [n, q] (mass/length)."""
        at, panels = torch.from_numpy(numbers("x", x)), self.base.panels()
        low, high, edge = torch.full_like(at, panels[0]), torch.full_like(at, panels[-1]), EDGE * self.base.std
        found = []
        for c in self.coordinates[:, self.place(t)]:

            def place(z: Tensor, c: np.ndarray = c) -> tuple[Tensor, Tensor]:
                x, slope = (torch.as_tensor(self.mesh.at(c[None], z.numpy(), row)[0]) for row in (1, 2))
                return x, slope

            z = inverse(place, at, low, high)
            outside = (z <= panels[0] + edge) | (z >= panels[-1] - edge)
            slope = place(z)[1]
            rho = torch.where(outside, 0.0, self.base.density(z) / slope)
            found.append(torch.where(at.isnan() | slope.isnan(), torch.nan, rho).numpy())
        return np.stack(found)

    @cached_property
    def _rule(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (length) and weights [k] of the numbers below: the few of the dynamics miss edges and tails."""
        nodes = Gauss().nodes(self.base, self.mesh.points.double())
        return nodes.z.numpy(), (nodes.w / nodes.w.sum()).numpy()

    def _integral(self, c: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Integrals [n] of a function of the positions to which maps with coordinates c [n, M] carry the nodes."""
        blocks = np.array_split(c, 1 + len(c) * len(self._rule[0]) // BLOCK)
        return np.concatenate([function(self.mesh.at(block, self._rule[0], 1)) @ self._rule[1] for block in blocks])

    @checked
    def moment(self, order: Count, t: float | None = None) -> np.ndarray:
        """Moments int x^order rho dx [n] (length^order)."""
        return self._integral(self.coordinates[:, self.place(t)], lambda x: x**order)

    def mean(self, t: float | None = None) -> np.ndarray:
        """Means [n] (length)."""
        return self.moment(1, t)

    def std(self, t: float | None = None) -> np.ndarray:
        """Standard deviations [n] (length)."""
        c, w = self.coordinates[:, self.place(t)], self._rule[1]
        return np.sqrt(self._integral(c, lambda x: (x - (x @ w)[:, None]) ** 2))

    def w2(self, k: int = 0, t: float | None = None) -> np.ndarray:
        """Wasserstein distances W2 of all flows to flow k [n] (length): the L2(p) distances of their maps."""
        if not (which := Range(int, -len(self), len(self) - 1)).admits(k):
            raise ConfigError(fault("k", k, which))
        c = self.coordinates[:, self.place(t)]
        return np.sqrt(self._integral(c - c[k], np.square))

    def gap(self, other: Ensemble, t: float | None = None) -> np.ndarray:
        """Wasserstein distances W2 to the flows of another ensemble, whatever its base, one by one [n] (length).

        Raises:
            ConfigError: it has another number of flows, or t is not a saved time of both.
        """
        check_comparable((len(self), len(other)), (float(self.t[-1]), float(other.t[-1])), t)
        return between(*(Maps(each.base, each.mesh, each.coordinates[:, each.place(t)]) for each in (self, other)))

    def table(self, t: float | None = None) -> dict[str, np.ndarray]:
        """Columns [n] of numbers: parameters, status, steps, time reached, and at a saved time, the last by default,
        mean, standard deviation and estimated W2 error."""
        at = {"mean": self.mean(t), "std": self.std(t), "w2_error": self.w2_error[:, self.place(t)]}
        return self.parameters | {"status": self.status, "steps": self.steps, "t": self.reached} | at

    def plot(self, what: str = "density", over: str | Sequence[str] | None = None, t: float | None = None) -> Any:
        """Draw the densities of all flows as a fan, or a number over one or two parameters.

            flows.plot()
            flows.plot("std", over=("diffusion", "a"))

        Args:
            what: "density", or a column of `table`.
            over: one or two parameters; may be left out if there is only one, or for the density.
            t: a saved time, the last by default.

        Returns:
            A figure of matplotlib.

        Raises:
            ConfigError: there is no such column or parameter, t is not a saved time, or no flow has numbers there.
        """
        from wgf.figures.ensemble import fan, over_parameters

        at = float(self.t[self.place(t)])
        heading = f"{int(self.completed.sum())} of {len(self)} flows at t = {at:g}"
        numbers = {k: v.astype(float) for k, v in self.table(t).items() if v.dtype.kind != "U"}
        if what not in ("density", *numbers):
            raise ConfigError(f"what={what!r} is not allowed: expected density or one of {', '.join(numbers)}")
        if not np.isfinite(numbers["mean" if what == "density" else what]).any():
            raise ConfigError(f"what={what!r} at t={at:g} is impossible: it is NaN for all flows; see their status")
        if what == "density":
            if over is not None:
                raise ConfigError(f"over={over!r} is not allowed for the density: expected a column as what=...")
            low, high = np.nanquantile(self.quantile(t, [1e-3, 1 - 1e-3]), (0.0, 1.0))
            x = np.linspace(low, high, POINTS)
            return fan(x, self.density(t, x), heading)
        only = list(self.parameters) if len(self.parameters) == 1 else []
        names = [over] if isinstance(over, str) else list(over or only)
        if len(names) not in (1, 2) or not set(names) <= self.parameters.keys():
            raise ConfigError(f"over={over!r} is not allowed: expected one or two of {', '.join(self.parameters)}")
        return over_parameters({name: self.parameters[name] for name in names}, numbers[what], what, heading)

    def to_xarray(self) -> Dataset:
        """Dataset of xarray with units: quantiles x over flow, time and rank (mass to the left), the parameters and the
        columns of `table` over the flows. Raises `ConfigError` where xarray is not installed."""
        rank = (np.arange(RANKS) + 0.5) / RANKS
        x = np.stack([self.quantile(t, rank) for t in self.t], axis=1)
        return of_ensemble(self.parameters, self.t, rank, x, self.table())

    def save(self, path: str | Path) -> None:
        """Write the flows, their mesh and their base to one .npz file.

        Raises:
            ConfigError: the base holds more than numbers.
        """
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ARRAYS}
        arrays |= {f"parameter_{k}": v for k, v in self.parameters.items()}
        arrays |= {"points": self.mesh.points.numpy(), "z": self.z.numpy()}
        shape = json.dumps({"degree": self.mesh.degree, "tails": self.mesh.tails, "base": written(self.base)})
        with replacing(Path(path)) as file:
            np.savez_compressed(file, shape=np.array(shape), **arrays)

    @classmethod
    def joined(cls, parts: Iterable[Ensemble]) -> Ensemble:
        """The flows of several ensembles of one equation, in their order.

        Raises:
            ConfigError: there is no part; two differ in more than values of parameters; a base holds more than numbers.
        """
        parts = list(parts)
        if not parts:
            raise ConfigError("joined() of no ensembles is impossible: expected one or more")
        first = parts[0]
        for k, part in enumerate(parts):
            if differs := [name for name, one in part._shared.items() if one != first._shared[name]]:
                raise ConfigError(
                    f"part {k} differs from part 0 in its {differs[0]}: expected ensembles that differ in "
                    "the values of their parameters only"
                )
        along: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS if name not in SHARED
        }
        given = {name: np.concatenate([part.parameters[name] for part in parts]) for name in first.parameters}
        return replace(first, parameters=given, history=None, **along)

    @property
    def _shared(self) -> dict[str, Any]:
        """What ensembles that can be joined share, by name."""
        return {
            "parameters": sorted(self.parameters),
            "mesh": (self.mesh.points.tolist(), self.mesh.degree, self.mesh.tails),
            "base": written(self.base),
            "saved times": self.t.tolist(),
            "quadrature": (self.z.tolist(), self.w.tolist()),
        }

    @classmethod
    def load(cls, path: str | Path) -> Ensemble:
        """The flows in a file of `save`."""
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        given = {k.removeprefix("parameter_"): found[k] for k in found if k.startswith("parameter_")}
        shape = json.loads(str(found["shape"]))
        mesh = SplineMesh(torch.from_numpy(found["points"]), shape["degree"], tuple(shape["tails"]))
        arrays = {name: found[name] for name in ARRAYS}
        return cls(given, **arrays, base=read(shape["base"]), mesh=mesh, z=torch.from_numpy(found["z"]))
