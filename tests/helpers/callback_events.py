"""What a run tells its sinks, made up."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wgf.run.callbacks.base import Run
from wgf.saved_maps import SavedMaps

COLUMNS = ["step", "t", "energy", "energy_entropy", "min_slope", "w1_error", "rank"]


def row(step: int, **values: Any) -> dict[str, Any]:
    known = {"step": step, "t": 0.1 * step, "energy": -math.pi * step, "energy_entropy": 1 / 3, "min_slope": 1e-300}
    return known | {"w1_error": None, "rank": 6} | values


def record(folder: Path, rows: int = 0, last_row: int = -1) -> Run:
    text = "t_end: 1.0\nnetwork:\n  width: 16\n"
    return Run(folder, "rho_t = rho_xx", 1.0, COLUMNS, text, {"seed": 3}, rows, last_row)


def solution() -> SavedMaps:
    z = np.linspace(-5, 5, 201)
    t = np.array([0.0, 0.5, 1.0])
    positions = (1 + t[:, None]) * z
    slopes = np.broadcast_to(1 + t[:, None], positions.shape)
    p = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return SavedMaps(t, z, positions, slopes, p, positions + 1e-3, np.full((3, 2), 1e-3))


def state(step: int) -> dict[str, Any]:
    return {"step": step, "t": 0.1 * step, "theta": torch.arange(3.0, dtype=torch.float64) + step, "note": ["x", None]}
