"""A run of the command bounds its error: by itself, by a richer run, or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from short_runs import BARE, config, unverified, verified

from wgf.certificates.rich_settings import Unknown
from wgf.run.build import build
from wgf.run.callbacks.history import read
from wgf.run.certify import recorder
from wgf.run.load import load
from wgf.saved_maps import SavedMaps

SMALL = "network.width=8 t_end=0.05 "


def test_a_run_bounds_its_error_by_itself(tmp_path: Path):
    """At the end and at all saved times, also in the rows of those."""
    found = unverified(tmp_path, f"{SMALL}saves=10")
    assert found["w2_error"] <= found["w2_bound"] == found["w2_bound_own"] <= 5 * found["w2_error"]
    assert found["w2_bound_lambda"] == -1.0
    assert 0 <= found["w2_bound_quadrature"] < 0.1
    assert found["w2_bound_distance"] is found["w2_bound_certificate"] is found["w2_bound_unknown"] is None
    rows = read(tmp_path / "history.csv")
    maps = SavedMaps.load(tmp_path / "solution.npz")
    assert maps.w2_bound is not None
    known = np.isfinite(rows["w2_bound_own"])
    assert rows["t"][known].tolist() == maps.t.tolist()
    assert rows["w2_bound_own"][known].tolist() == maps.w2_bound.tolist()
    assert np.stack([rows["w1_error"], rows["w2_error"]], 1)[known].tolist() == maps.errors.tolist()
    assert maps.w2_bound[-1] == found["w2_bound"]


@pytest.mark.parametrize("words", ["certificate=rich", "verify=true"])
def test_a_richer_run(words: str, tmp_path: Path):
    found = unverified(tmp_path, f"{SMALL}{words}")
    assert found["w2_bound"] == found["w2_bound_distance"] + found["w2_bound_certificate"] < found["w2_bound_own"]
    assert found["w2_error"] <= found["w2_bound"] <= 1.01 * found["w2_error"]
    assert found["doubts"] is None


def test_a_richer_run_bounds_the_error_of_finite_volumes(tmp_path: Path):
    """Their true error is known from the closed form."""
    linear = "potential=quadratic law=gaussian law.mean=1 law.std=2 reference_solution="
    found = verified(tmp_path / "a", SMALL + linear + "finite_volume")
    exact = verified(tmp_path / "b", SMALL + linear + "exact")
    known = load(tmp_path / "a").saved_maps, load(tmp_path / "b").saved_maps
    z, p = known[0].z, known[0].rho0
    wrong = np.trapezoid((known[0].exact_T[-1] - known[1].exact_T[-1]) ** 2 * p, z) ** 0.5
    assert 0 < wrong <= found["reference_w2_bound"] <= 3 * (wrong + found["w2_bound_certificate"])
    assert (exact["reference_w2_bound"], found["doubts"], exact["doubts"]) == (None, None, None)


def test_no_bound_where_the_quadrature_misses_a_needle_of_the_potential(tmp_path: Path):
    """The nodes of the run and of its bound see half of its force."""
    law = "law=gaussian law.mean=0 law.std=1 network.width=3 network.degree=1 network.bound=3 t_end=0.02 saves=1"
    needle = "pde=linear_transport potential=expression potential.expr='x**2/2+0.01*exp(-((x-0.92)/0.02)**2)' "
    found = unverified(tmp_path, needle + law)
    assert found["w2_bound"] is found["w2_bound_own"] is None
    assert found["w2_bound_unknown"].startswith("V has wells or peaks between the quadrature nodes")
    assert (
        "w2_bound_own" not in read(tmp_path / "history.csv")
        or np.isnan(read(tmp_path / "history.csv")["w2_bound_own"]).all()
    )


def test_a_richer_run_in_single_precision(tmp_path: Path):
    found = verified(tmp_path, SMALL + "dtype=float32")
    assert found["w2_error"] <= found["w2_bound"] <= 1.01 * found["w2_error"]


def test_no_certificate(tmp_path: Path):
    found = unverified(tmp_path, SMALL + "certificate=none")
    assert {name for name, value in found.items() if name.startswith("w2_bound") and value is not None} == set()


def test_without_a_bound_the_result_says_why_and_how_far_a_richer_run_is(tmp_path: Path):
    found = verified(tmp_path, SMALL + "potential=expression potential.expr='abs(x)**2.5-x**2*sin(x)/9'")
    assert found["w2_bound"] is None
    assert found["w2_bound_unknown"].startswith("no lower bound of V'' is known for V = abs(x)**2.5")
    assert found["w2_error"] == pytest.approx(found["w2_bound_distance"], rel=0.05)


def test_a_run_that_stops_early_has_no_bound(tmp_path: Path):
    found = unverified(tmp_path, SMALL + "integrator.max_steps=3")
    assert (found["status"], found["w2_bound"]) == ("max_steps", None)


def test_a_run_resumed_with_a_certificate_that_began_without_one():
    bound = recorder(build(config("network.width=8", *BARE)), {"bound": None})
    assert bound is not None
    assert bound.at(0.1).value is None
    assert bound.unknown == "the run began with certificate=none"


@pytest.mark.parametrize("what", [KeyboardInterrupt(), Unknown("the richer run ended as folded at t = 0")])
def test_a_richer_run_that_fails_costs_no_result(what: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: Any) -> None:
        raise what

    monkeypatch.setattr("wgf.run.certify.rich_run", fails)
    found = verified(tmp_path, SMALL)
    assert (found["status"], found["w2_bound"]) == ("completed", found["w2_bound_own"])
    assert found["w2_bound_unknown"] == (str(what) or None)


def test_a_bound_above_the_width_of_the_law_is_not_printed(tmp_path: Path):
    """Nor returned. Four breakpoints cannot bound the error across the gap of a mixture; a richer run can."""
    words = "network.width=4 law=mixture potential=quadratic t_end=0.2 reference_solution=none "
    found = unverified(tmp_path / "own", words)
    spread = (found["second_moment"] - found["mean"] ** 2) ** 0.5
    assert found["w2_bound"] is None
    assert found["w2_bound_own"] > spread
    assert found["w2_bound_unknown"].endswith(
        f"would exceed the standard deviation {spread:.2g} of the law: increase network.width, or use verify=true "
        "(in Python rich=True)"
    )
    ripples = (
        "network.width=8 potential=expression potential.expr='x**2/2-2*cos(3*x)' t_end=1.5 reference_solution=none"
    )
    assert (
        "it grows like exp(17 t), which is 11 digits until t = 1.5"
        in (unverified(tmp_path / "ripples", ripples)["w2_bound_unknown"])
    )
    again = load(tmp_path / "own").certificate(rich=False)
    assert (again.bound, again.own, again.unknown) == (None, found["w2_bound_own"], found["w2_bound_unknown"])
    assert verified(tmp_path / "rich", words)["w2_bound"] < 0.1 * spread
