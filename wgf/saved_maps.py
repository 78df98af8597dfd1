"""Maps of a run at its saved times, on a fine grid of the base."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from wgf.files import replacing
from wgf.settings.arguments import path_of

STORED = ("t", "z", "T", "dT", "rho0")
OPTIONAL = ("exact_T", "errors", "knots", "w2_bound", "walls", "period", "rank")
TIMED = ("t", "T", "dT", "exact_T", "errors", "knots", "w2_bound")  # with a row for each saved time
DAMAGED = (ValueError, KeyError, EOFError, OSError, BadZipFile)  # reading a damaged file raises one of these


def read_only(array: np.ndarray) -> np.ndarray:
    """View of an array that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True)
class SavedMaps:
    """Maps T(t, .) that carry the base to the solution rho(t, .), in float64; the arrays are read-only.

    Attributes:
        t: saved times [s], the initial time first, the final time last (time).
        z: fine grid of the base [n], increasing, half of it equidistant and half at equal masses (length).
        T: positions T(t, z) [s, n]; T[0] = z if the base is the initial law (length).
        dT: slopes d/dz T(t, z) [s, n] (no unit).
        rho0: density of the base at z [n] (mass / length).
        exact_T: positions of the reference solution [s, n], or None (length).
        errors: W1 and W2 distances to the reference solution [s, 2], or None (length).
        knots: points where the slope of the map may jump, at the saved times [s, k], filled up with NaN;
            None for a smooth map (length).
        w2_bound: upper bound of the W2 error at the saved times [s], NaN where there is none, or None (length).
        walls: reflecting walls on the left and on the right [2], NaN where there is none; None without walls (length).
        period: length of a circle, on which positions count turns; None elsewhere (length).
        rank: mass of the base to the left of z [n], from 0 to 1; None in files of older runs (no unit).
    """

    t: np.ndarray
    z: np.ndarray
    T: np.ndarray
    dT: np.ndarray
    rho0: np.ndarray
    exact_T: np.ndarray | None = None
    errors: np.ndarray | None = None
    knots: np.ndarray | None = None
    w2_bound: np.ndarray | None = None
    walls: np.ndarray | None = None
    period: np.ndarray | None = None
    rank: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in (*STORED, *OPTIONAL):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, read_only(np.asarray(array)))

    @property
    def rho(self) -> np.ndarray:
        """Density rho(t, T(t, z)) = rho0(z) / dT(t, z) [s, n] at the positions T (mass / length)."""
        return self.rho0 / self.dT

    @property
    def exact_rho(self) -> np.ndarray | None:
        """Density of the reference solution [s, n] at the positions exact_T (mass / length), or None."""
        return None if self.exact_T is None else self.rho0 / np.gradient(self.exact_T, self.z, axis=1, edge_order=2)

    @cached_property
    def cdf(self) -> np.ndarray:
        """Mass to the left of the particles from z [n], from 0 to 1; the same at all times.

        Without `rank` the trapezoid rule gives it, which is wrong where the grid does not resolve rho0.
        """
        if self.rank is not None:
            return self.rank
        cells = np.diff(self.z) * 0.5 * (self.rho0[1:] + self.rho0[:-1])
        mass = np.concatenate([[0.0], np.cumsum(cells)])
        return mass / mass[-1]

    @property
    def end(self) -> SavedMaps:
        """Maps of the last saved time only."""
        last = {name: rows[-1:].copy() for name in TIMED if (rows := getattr(self, name)) is not None}
        return replace(self, **last)

    def particles(self, count: int) -> np.ndarray:
        """Positions of `count` particles of equal mass at the saved times [s, count], increasing (length)."""
        middles = (np.arange(count) + 0.5) / count
        start = np.interp(middles, self.cdf, self.z)
        return np.stack([np.interp(start, self.z, row) for row in self.T])

    def save(self, path: str | Path) -> None:
        """Write all arrays that are not None to an .npz file, as a whole or not at all."""
        names = [*STORED, *(name for name in OPTIONAL if getattr(self, name) is not None)]
        with replacing(path_of(path)) as file:
            arrays: dict[str, Any] = {name: np.asarray(getattr(self, name), dtype=np.float64) for name in names}
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> SavedMaps:
        """Read a file of `save`.

        Raises:
            One of DAMAGED: the file is damaged or of another kind, or its arrays do not fit together.
        """
        with np.load(path_of(path), allow_pickle=False) as file:
            found = cls(**{name: file[name] for name in (*STORED, *OPTIONAL) if name in STORED or name in file.files})
        shape = (len(found.t), len(found.z))
        if found.T.shape != shape or found.dT.shape != shape or found.rho0.shape != shape[1:] or shape[0] == 0:
            raise ValueError("its arrays do not fit together")
        return found
