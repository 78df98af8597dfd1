"""Every figure of a run by its name."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from wgf.figures.density import density, ridgeline, spacetime
from wgf.figures.errors import errors
from wgf.figures.history import Columns, energy, steps
from wgf.figures.map import map, slope
from wgf.saved_maps import SavedMaps

OF_SOLUTION: dict[str, Callable[[SavedMaps, str], Figure | None]] = {  # None where there is nothing to compare with
    "density": density,
    "ridgeline": ridgeline,
    "spacetime": spacetime,
    "map": map,
    "slope": slope,
    "errors": errors,
}
OF_HISTORY: dict[str, Callable[[Columns, str], Figure]] = {"energy": energy, "steps": steps}
