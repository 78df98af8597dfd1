"""Made-up maps and histories of a run, for figures and pages."""

import math
from dataclasses import replace

import numpy as np

from wgf.saved_maps import SavedMaps

TITLE = "rho_t = rho_xx + (rho V')_x, V = (x - 1)^4/4 - (x - 1)^2/2"


def solution(saves: int = 20, exact: bool = True) -> SavedMaps:
    """The standard Gaussian widening to N(0, 4), with an error of 1e-3 t in the map and knots at -2, 0, 2."""
    z = np.linspace(-8, 8, 801)
    t = np.linspace(0, 1, saves + 1)
    positions = (1 + t[:, None]) * z
    slopes = np.broadcast_to(1 + t[:, None], positions.shape)
    p = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    knots = np.tile([2.0, -2.0, 0.0, 0.0, 30.0], (saves + 1, 1))
    known, errors = positions + 1e-3 * t[:, None], 1e-3 * np.stack([t, t], axis=1)
    return SavedMaps(t, z, positions, slopes, p, known if exact else None, errors if exact else None, knots)


def history() -> dict[str, np.ndarray]:
    """Heat flow of a Gaussian in 30 rows: F = -log(1 + t), dissipation 1 / (1 + t), and a balance off by 1e-4 t."""
    t = np.linspace(0, 1, 30)
    return {
        "step": np.arange(30.0),
        "t": t,
        "dt": np.r_[0.0, np.diff(t)],
        "energy": -np.log1p(t),
        "energy_entropy": -np.log1p(t) - t,
        "energy_potential": t,
        "dissipation": 1 / (1 + t),
        "dissipated": np.log1p(t) - 1e-4 * t,
        "mean": 0 * t + 0.5,
        "second_moment": (1 + t) ** 2 + 0.25,
        "min_slope": 1 + t,
        "rejected": np.floor(5 * t),
    }


def only_start() -> SavedMaps:
    s = solution()
    return replace(s, t=s.t[:1], T=s.T[:1], dT=s.dT[:1], exact_T=s.exact_T[:1], errors=s.errors[:1], knots=s.knots[:1])


def with_gap() -> SavedMaps:
    """A density that ends inside the grid, the exact map unknown after a while."""
    s = solution()
    exact, errors = s.exact_T.copy(), s.errors.copy()
    exact[10:] = errors[10:] = np.nan
    return replace(s, rho0=np.where(np.abs(s.z) < 1, 0.5, 0.0), exact_T=exact, errors=errors)
