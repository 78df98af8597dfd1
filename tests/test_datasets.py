"""Flows and ensembles as datasets: the numbers of the flow, units, netCDF and Parquet, and one line without xarray."""

from functools import cache

import numpy as np
import pytest
import yaml
from command_line import called

import wgf


@cache
def flow() -> wgf.Flow:
    return wgf.solve(wgf.FokkerPlanck(), potential="x**2/2", law=wgf.Gaussian(1.0, 0.5), t_end=0.5, saves=4)


def test_a_dataset_holds_the_numbers_of_the_flow():
    pytest.importorskip("xarray")
    found = flow().to_xarray()
    assert dict(found.sizes) == {"time": 5, "z": 2001}
    assert np.array_equal(found.time, flow().t)
    assert np.array_equal(found.x[2], flow().map(flow().t[2], found.z.values))
    x = found.x[-1].values
    assert found.density[-1].values == pytest.approx(flow().density(0.5, x), abs=1e-9)
    exact = 1 + (0.5**2 - 1) * np.exp(-2 * flow().t)  # variance of the Ornstein-Uhlenbeck process
    assert found["mean"].values == pytest.approx(np.exp(-flow().t), abs=1e-6)
    assert (found.second_moment - found["mean"] ** 2).values == pytest.approx(exact, abs=1e-6)
    assert np.array_equal(found.energy, flow().energy)
    assert found.w2_error[-1] == flow().w2(flow().reference_solution)
    assert (found.dissipated[-1] / (found.energy[0] - found.energy[-1])).item() == pytest.approx(1, abs=1e-5)
    assert found.step[-1] == flow().clock.steps
    assert all(
        entry.attrs["long_name"] and entry.attrs["units"] for entry in {**found.data_vars, **found.coords}.values()
    )
    assert found.attrs["equation"] == flow().problem.equation
    assert found.attrs["integrator"] == "Rodas4"


def test_netcdf_and_parquet_read_back(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("netCDF4")
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    found = flow().to_xarray()
    found.to_netcdf(tmp_path / "flow.nc")
    with xarray.open_dataset(tmp_path / "flow.nc") as read:
        assert read.identical(found)
    found[["energy", "w2_error"]].to_dataframe().to_parquet(tmp_path / "flow.parquet")
    assert np.array_equal(pandas.read_parquet(tmp_path / "flow.parquet").energy, flow().energy)


def test_a_saved_run_is_exported_and_drawn(tmp_path):
    words = ["network.width=8", "t_end=0.02", "saves=2", "figures=false", "logger=none", "hydra.run.dir=run"]
    assert called(tmp_path, *words)[0] == 0
    loaded = wgf.load(tmp_path / "run")
    table = loaded.table()
    assert table["step"][-1] == loaded.clock.steps
    assert loaded.plot("steps").axes[0].get_ylabel() == "step size"
    assert "dissipation" in loaded.plot("energy").axes[1].get_ylabel()
    pytest.importorskip("xarray")
    assert yaml.safe_load(loaded.to_xarray().attrs["config"])["network"]["width"] == 8


def test_a_dataset_of_an_ensemble():
    pytest.importorskip("xarray")
    flows = wgf.ensemble(
        wgf.FokkerPlanck(), {"diffusion": [0.5, 1.0]}, potential="x**2/2", law=wgf.Gaussian(), t_end=0.2, saves=2
    )
    found = flows.to_xarray()
    assert dict(found.sizes) == {"flow": 2, "time": 3, "rank": 200}
    assert found.diffusion.dims == ("flow",)
    assert np.array_equal(found.x[1, -1], flows.quantile(None, found["rank"].values)[1])
    assert list(found.status.values) == ["completed"] * 2
