"""The result of an ensemble: all flows, and numbers of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wgf.errors import ConfigError, in_one_line
from wgf.files import replacing
from wgf.integrators.status import Status
from wgf.problem.base import Base
from wgf.saved_maps import DAMAGED, read_only
from wgf.settings.arguments import number, numbers, path_of
from wgf.settings.ranges import Count, Range, checked, fault

BISECTIONS = 60
STORED = ("t", "coordinates", "status", "steps", "rejected", "reached")


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
        z, w: quadrature nodes and weights of the base [q] (length, mass).
        basis: evaluates the basis functions at z: index of the first [q], values and slopes [q, k + 1].
        base: the reference measure of the maps.
    """

    parameters: dict[str, np.ndarray]
    t: np.ndarray
    coordinates: np.ndarray
    status: np.ndarray
    steps: np.ndarray
    rejected: np.ndarray
    reached: np.ndarray
    base: Base
    basis: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
    z: torch.Tensor
    w: np.ndarray

    def __post_init__(self) -> None:
        for name in STORED:
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.status)

    def __repr__(self) -> str:
        return f"<Ensemble of {len(self)} flows, {int(self.completed.sum())} completed; {', '.join(self.parameters)}>"

    @property
    def completed(self) -> np.ndarray:
        """Whether each flow reached the end time [n]."""
        return self.status == Status.completed.name

    def _saved(self, t: float | None) -> np.ndarray:
        """Coordinates [n, M] at a saved time, the last by default.

        Raises:
            ConfigError: t is not a saved time.
        """
        if t is None:
            return self.coordinates[:, -1]
        t = number("t", t)
        k = int(np.abs(self.t - t).argmin())
        if not abs(self.t[k] - t) <= 1e-12 * self.t[-1]:
            raise ConfigError(
                f"t={t!r} is not allowed: expected a saved time, one of {self.t.tolist()}; give saves=..."
            )
        return self.coordinates[:, k]

    def _at(self, c: np.ndarray, z: np.ndarray, rows: int) -> np.ndarray:
        """Map (rows = 1) or slope (rows = 2) of each flow [n, ...] at points z [...]."""
        parts = self.basis(torch.from_numpy(np.ascontiguousarray(z, dtype=np.float64).reshape(-1)))
        first, values = parts[0].numpy(), parts[rows].numpy()
        found = np.zeros((len(c), len(first)))
        for j in range(values.shape[1]):
            found += c[:, first + j] * values[:, j]
        return found.reshape(len(c), *np.shape(z))

    def map(self, z: Any, t: float | None = None) -> np.ndarray:
        """Positions T(t, z) of the particles that start at z [...] in the base: [n, ...] (length)."""
        return self._at(self._saved(t), numbers("z", z), 1)

    def quantile(self, u: Any, t: float | None = None) -> np.ndarray:
        """Positions with mass u [...] to their left: [n, ...] (length).

        Raises:
            ConfigError: u < 0 or u > 1.
        """
        levels = torch.from_numpy(numbers("u", u))
        if not bool((levels >= 0).all() & (levels <= 1).all()):
            raise ConfigError(fault("u", u, "masses from 0 to 1"))
        return self.map(self.base.at_rank(levels, 1 - levels).numpy(), t)

    def density(self, x: Any, t: float | None = None) -> np.ndarray:
        """Densities at the points x [q] (length): [n, q] (mass/length)."""
        x, panels = numbers("x", x), self.base.panels()
        rows = []
        for c in self._saved(t):
            low, high = np.full(x.shape, panels[0]), np.full(x.shape, panels[-1])
            for _ in range(BISECTIONS):
                middle = 0.5 * (low + high)
                below = self._at(c[None], middle, 1)[0] < x
                low, high = np.where(below, middle, low), np.where(below, high, middle)
            z = 0.5 * (low + high)
            inside = (z > panels[0] + 1e-12) & (z < panels[-1] - 1e-12)
            p = self.base.density(torch.as_tensor(z)).numpy()
            rows.append(np.where(inside, p / self._at(c[None], z, 2)[0], 0.0))
        return np.stack(rows)

    @cached_property
    def _nodes(self) -> np.ndarray:
        return self.z.numpy()

    @checked
    def moment(self, order: Count, t: float | None = None) -> np.ndarray:
        """Moments int x^order rho dx [n] (length^order)."""
        return self.map(self._nodes, t) ** order @ self.w

    def std(self, t: float | None = None) -> np.ndarray:
        """Standard deviations [n] (length)."""
        x = self.map(self._nodes, t)
        return np.sqrt((x - (x @ self.w)[:, None]) ** 2 @ self.w)

    def w2(self, k: int = 0, t: float | None = None) -> np.ndarray:
        """Wasserstein distances W2 of all flows to flow k [n] (length): the L2(p) distances of their maps."""
        if not (which := Range(int, -len(self), len(self) - 1)).admits(k):
            raise ConfigError(fault("k", k, which))
        x = self.map(self._nodes, t)
        return np.sqrt((x - x[k]) ** 2 @ self.w)

    def table(self) -> dict[str, np.ndarray]:
        """Columns of numbers: parameters, status, steps, time reached, mean and standard deviation at the end [n]."""
        numbers = {"status": self.status, "steps": self.steps, "t": self.reached}
        return self.parameters | numbers | {"mean": self.moment(1), "std": self.std()}

    def save(self, path: str | Path) -> None:
        """Write parameters, status, coordinates and quantiles to one .npz file; numpy reads it."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in STORED}
        arrays |= {f"parameter_{k}": v for k, v in self.parameters.items()}
        with replacing(path_of(path)) as file:
            np.savez_compressed(file, **arrays)

    def load(self, path: str | Path) -> Ensemble:
        """The flows in a file of `save`, on the mesh of this ensemble.

        Raises:
            ConfigError: the file is unreadable, or holds flows on another mesh.
        """
        try:
            with np.load(path_of(path), allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        except DAMAGED as error:
            raise ConfigError(f"path={path} cannot be read: {in_one_line(error)}") from None
        if missing := set(STORED) - set(found):
            raise ConfigError(f"path={path} is not a file of an ensemble: it has no {', '.join(sorted(missing))}")
        if found["coordinates"].shape[2:] != self.coordinates.shape[2:]:
            raise ConfigError(f"path={path} holds flows on another mesh: make the ensemble that it was saved from")
        given = {k.removeprefix("parameter_"): found.pop(k) for k in list(found) if k.startswith("parameter_")}
        return Ensemble(given, **found, base=self.base, basis=self.basis, z=self.z, w=self.w)
