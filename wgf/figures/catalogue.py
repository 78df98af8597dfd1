"""Every figure of a run by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from wgf.errors import ConfigError
from wgf.figures.animation import film
from wgf.figures.density import density, ridgeline, spacetime
from wgf.figures.errors import errors
from wgf.figures.history import Columns, energy, steps
from wgf.figures.map import map, slope
from wgf.saved_maps import SavedMaps
from wgf.settings.ranges import Choice, fault

OF_SOLUTION: dict[str, Callable[[SavedMaps, str], Figure | None]] = {  # None where there is nothing to compare with
    "density": density,
    "ridgeline": ridgeline,
    "spacetime": spacetime,
    "map": map,
    "slope": slope,
    "errors": errors,
}
OF_HISTORY: dict[str, Callable[[Columns, str], Figure]] = {"energy": energy, "steps": steps}
NAMES = Choice(*OF_SOLUTION, *OF_HISTORY, "film")


def draw(name: str, solution: Callable[[], SavedMaps], history: Callable[[], Columns], heading: str) -> Any:
    """The figure of a name, or the film; the maps and the history are computed where they are shown.

    Raises:
        ConfigError: there is no figure of this name, or what it shows is unknown.
    """
    if not NAMES.admits(name):
        raise ConfigError(fault("name", name, NAMES))
    if name == "film":
        return film(solution(), heading)
    if name in OF_HISTORY:
        rows = history()
        if name == "steps" and "step" not in rows:
            raise ConfigError("name='steps' needs the counts of steps, which this old folder of a run does not hold")
        return OF_HISTORY[name](rows, heading)
    figure = OF_SOLUTION[name](solution(), heading)
    if figure is None:
        raise ConfigError(f"name={name!r} needs a reference solution, and this flow has none")
    return figure
