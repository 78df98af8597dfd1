"""Flows and ensembles as datasets of xarray, for netCDF, Parquet and other programs; needs the extra `data`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from wgf.errors import ConfigError, install
from wgf.result import meaning
from wgf.saved_maps import SavedMaps

if TYPE_CHECKING:
    from xarray import Dataset

Meaning = tuple[str, str]  # what a number is, and its unit
OF_MAPS: dict[str, Meaning] = {
    "x": ("position T(t, z) of the particle that starts at z", "length"),
    "slope": ("slope d/dz T(t, z) of the map", "1"),
    "density": ("density at x", "mass/length"),
    "x_reference": ("position of the particle by the reference solution", "length"),
}
OF_TIMES: dict[str, Meaning] = {  # what is no number of a result
    "energy": ("energy F", "energy"),
    "dissipation": ("rate at which the energy falls", "energy/time"),
    "step": ("accepted steps so far", "1"),
    "dt": ("last step", "time"),
}


def of_flow(maps: SavedMaps, table: Mapping[str, np.ndarray], facts: Mapping[str, str | float]) -> Dataset:
    """The maps [time, z] and the numbers [time] of a flow; `facts` become attributes of the dataset.

    Raises:
        ConfigError: xarray is not installed.
    """
    arrays = {"x": maps.T, "slope": maps.dT, "density": maps.rho}
    if maps.exact_T is not None:
        arrays["x_reference"] = maps.exact_T
    numbers = {name: values for name, values in table.items() if name != "t"}
    if maps.errors is not None:
        numbers |= {"w1_error": maps.errors[:, 0], "w2_error": maps.errors[:, 1]}
    if maps.w2_bound is not None:
        numbers["w2_bound"] = maps.w2_bound
    return _dataset(
        {
            **{name: (("time", "z"), values, *OF_MAPS[name]) for name, values in arrays.items()},
            **{name: (("time",), values, *_meaning(name)) for name, values in numbers.items()},
        },
        {
            "time": (("time",), maps.t, "time", "time"),
            "z": (("z",), maps.z, "position at the start of the base", "length"),
            "rank": (("z",), maps.cdf, "share of the mass to the left of a particle", "1"),
        },
        facts,
    )


def of_ensemble(
    parameters: Mapping[str, np.ndarray], t: np.ndarray, rank: np.ndarray, x: np.ndarray, table: Mapping[str, Any]
) -> Dataset:
    """The quantiles x [flow, time, rank] of an ensemble, with its parameters and its `table` over the flows.

    Raises:
        ConfigError: xarray is not installed.
    """
    numbers = {name: (("flow",), values, "status" if name == "status" else name, "") for name, values in table.items()}
    given = {name: numbers.pop(name) for name in parameters}
    coordinates = {
        "flow": (("flow",), np.arange(len(x)), "number of the flow", "1"),
        "time": (("time",), t, "time", "time"),
        "rank": (("rank",), rank, "share of the mass to the left of a particle", "1"),
    }
    arrays = {"x": (("flow", "time", "rank"), x, "position with this mass to its left", "length")}
    renamed = {"t_reached" if name == "t" else name: entry for name, entry in numbers.items()}
    return _dataset(arrays | renamed, coordinates | given, {})


def _meaning(name: str) -> Meaning:
    if name.startswith("energy_"):
        return f"term {name.removeprefix('energy_')} of the energy", "energy"
    what, unit = OF_TIMES.get(name) or meaning(name)
    return what, unit or "1"


def _dataset(arrays: Mapping[str, Any], coordinates: Mapping[str, Any], facts: Mapping[str, Any]) -> Dataset:
    """A dataset from name -> (dimensions, values, meaning, unit)."""
    try:
        xarray = import_module("xarray")
    except ImportError:
        raise ConfigError(f"to_xarray needs xarray: {install('data')}") from None

    def made(entries: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: (dims, np.array(values), {"long_name": meaning} | ({"units": unit} if unit else {}))
            for name, (dims, values, meaning, unit) in entries.items()
        }

    return xarray.Dataset(made(arrays), made(coordinates), {"program": f"wgf {version('wgf')}", **facts})
