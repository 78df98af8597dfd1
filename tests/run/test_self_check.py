"""Doubts of a run about itself where a number is wrong, and none where nothing is."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from short_runs import AFFINE, config, run_config, unverified, verified

import wgf
from wgf.integrators.time_loop import Clock
from wgf.result import Result
from wgf.run.self_check import doubts, ended, unfelt
from wgf.saved_maps import SavedMaps

RESULT: dict[str, Any] = {
    "mass": 1.0,
    "dissipation_gap": 1e-3,
    "min_slope": 0.5,
    "second_moment": 1.5,
    "second_moment_law": 1.5,
    "w2_bound": 3e-4,
    "w2_error": 2e-4,
    "reference_w2_error": None,
}


def solution() -> SavedMaps:
    z = np.linspace(-5, 5, 201)
    positions = np.stack([z, 2 * z])
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return SavedMaps(np.array([0.0, 1.0]), z, positions, np.ones_like(positions), density)


def doubted(wrong: dict[str, Any], maps: SavedMaps | None) -> str:
    """The doubts about a good run in which some numbers are wrong."""
    return doubts(Result.from_dict(RESULT | wrong), maps) or ""


def test_nothing_speaks_against_a_good_run():
    assert doubts(Result.from_dict(RESULT), solution()) is None
    unknown = {"second_moment_law": None, "dissipation_gap": None, "w2_bound": None}
    assert doubts(Result.from_dict(RESULT | unknown), None) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mass": 0.99}, "mass: -1.0e-02 off 1"),
        ({"mass": math.nan}, "mass: +nan off 1"),
        ({"dissipation_gap": 0.4}, "dissipated: 40% off the energy lost"),
        (
            {"dissipation_gap": 0.4, "min_slope": 6e-8},
            "dissipated: 40% off the energy lost, the steps are too long, or the",
        ),
        ({"second_moment": 1.6}, "second_moment: +1.0e-01 off its law"),
        (
            {"blow_up_bound": 0.5, "t_end": 1.0},
            "t_end: the equation has no solution after t = 0.5, where its variance would vanish",
        ),
        (
            {"reference_w2_error": 1e-6, "reference_w2_bound": 1e-5, "w2_bound_certificate": 3e-6},
            "reference_w2_error: the reference states 1.0e-06, but its error is at least 4.0e-06",
        ),
        ({"w2_error": 1e-3}, "w2_error, w2_bound: the error is 1.0e-03, but it cannot exceed 3.0e-04"),
    ],
)
def test_every_doubt(wrong: dict[str, Any], said: str):
    found = doubted(wrong, solution())
    assert found.startswith(said)
    assert "; " not in found.partition(said)[2] or said.startswith("mass")


def test_an_infinite_energy_is_doubted_with_all_that_follows():
    found = doubted({"energy_error": 1e3}, solution())
    assert "mean, second_moment, min_slope, w1_error, w2_error: the energy is hardly resolved" in found


def test_the_work_is_doubted_with_the_energies():
    assert "work, dissipated: shorter cells" in doubted({"energy_error": 1e3, "work": 0.1}, None)
    assert "work" not in doubted({"energy_error": 1e3}, None)


def test_energies_by_random_particles_know_their_error(tmp_path: Path):
    """F of N(1, 1) in V = x^2/2 with D = 1."""
    start = "potential=quadratic law.mean=1 t_end=1e-4 network=two_sided_relu quadrature=monte_carlo"
    found = unverified(tmp_path, start)
    right = 1.0 - 0.5 * math.log(2 * math.pi * math.e)
    assert 1e-4 < abs(found["energy"] - right) < 3 * found["energy_error"] < 0.02
    assert found["doubts"].startswith(
        "energy, energy_potential, energy_entropy, dissipated: sums over random particles"
    )
    assert "particles, or say quadrature=gauss" in found["doubts"]
    assert ";" not in found["doubts"].partition("gauss")[2]  # the map is known to all digits


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_where_nothing_moves_nothing_is_doubted(dtype: str, tmp_path: Path):
    """The bound is 0, the error is rounding."""
    law = "law=mixture law.means=[-0.0291,1.81] law.stds=[0.583,0.409] law.weights=[0.699,0.39]"
    still = "pde=linear_transport potential=none integrator=heun integrator.dt=1e-3 t_end=0.01"
    found = verified(tmp_path, f"{law} {still} network=two_sided_relu network.width=4 network.bound=3.57 dtype={dtype}")
    assert found["w2_error"] > 0.0
    assert found["w2_bound_own"] == pytest.approx(0.0, abs=1e-15 if dtype == "float64" else 1e-6)
    assert found["doubts"] is None


@pytest.mark.parametrize("what", ["T", "dT"])
def test_a_map_that_falls_between_the_nodes(what: str):
    bad = getattr(solution(), what).copy()
    bad[1, 100] = -3.0
    found = doubted({}, replace(solution(), **{what: bad}))
    assert found.startswith("map: not increasing between the quadrature nodes at t = 1")
    bad = getattr(solution(), what).copy()
    bad[1, 0] = 50.0 if what == "T" else -1.0  # no mass is beyond it
    assert doubted({}, replace(solution(), **{what: bad})) == ""


@pytest.mark.parametrize(
    "words",
    [
        "potential.expr='(x-sin(t))**2/2' t_end=0.1",
        "potential.expr='x**4/4' law.mean=1000 t_end=2",
        "potential.expr='x**4/4' law.mean=30 t_end=0.5 dtype=float32 pde=linear_transport",
        "potential.expr='x**12' law.mean=3 t_end=0.2",
    ],
)
def test_an_energy_that_falls_far_is_no_needle(words: str, tmp_path: Path):
    found = unverified(tmp_path, f"potential=expression law=gaussian reference_solution=none {words}")
    assert found["status"] == "completed"
    assert "everything" not in (found["doubts"] or "")


@pytest.mark.parametrize("network", ["spline", "two_sided_relu"])
def test_single_precision_alone_is_no_doubt(network: str, tmp_path: Path):
    found = unverified(tmp_path, f"network={network} dtype=float32 t_end=0.01 reference_solution=none")
    assert (found["status"], found["doubts"]) == ("completed", None)


def test_an_equilibrium_loses_no_energy_that_could_be_missed(tmp_path: Path):
    found = unverified(tmp_path, "potential=quadratic t_end=1")
    assert (found["dissipation_gap"], found["doubts"]) == (None, None)


def test_steps_too_long_are_seen(tmp_path: Path):
    """Backward Euler with ten long steps is stable and inaccurate: the energy balance tells."""
    found = unverified(tmp_path, "integrator=jko integrator.dt=0.1 t_end=1 reference_solution=none")
    assert found["status"] == "completed"
    assert found["doubts"].startswith("dissipated: ")


@pytest.mark.parametrize("law", ["gaussian", "uniform"])
def test_a_kink_of_the_potential_is_no_doubt(law: str, tmp_path: Path):
    """Energies are exact across it, which the rule for the tails must not forget."""
    words = f"potential=expression potential.expr='20*abs(x-0.33)' law={law} network.width=8 reference_solution=none"
    found = unverified(tmp_path, words + " t_end=0.01 pde=linear_transport")
    assert found["energy_error"] < 1e-4 * found["energy"]
    assert "energy" not in (found["doubts"] or "")


@pytest.mark.parametrize(
    "words",
    [  # halved cells see a needle in a node of theirs, one that fades hides at the start
        "potential.expr='x**2/2-5*exp(-((x-1.034820)/0.0008)**2)' t_end=3",
        "potential.expr='x**2/2-3*exp(-((x-0.477810)/0.001243)**2)/(1+exp((t-0.2)/0.005))' t_end=0.3 saves=1",
    ],
)
def test_a_needle_is_doubted_for_all_numbers_although_some_cells_see_it(words: str, tmp_path: Path):
    words += " potential=expression law.std=1 network.width=32 reference_solution=none"
    words += f" law.mean={0.05 if 'saves' in words else 0}"
    assert "everything: V has wells or peaks" in (unverified(tmp_path, words)["doubts"] or "")


@pytest.mark.parametrize("order", [2, 8])
def test_a_quadrature_too_coarse_for_the_energy_is_seen(order: int, tmp_path: Path):
    """Judged by the energies of a network without knots on a fine grid, from its map alone."""
    result = unverified(tmp_path, f"network=mlp network.width=4 quadrature.order={order} t_end=0.002 law=laplace")
    flow = wgf.load(tmp_path)
    z = torch.linspace(-30, 30, 200_001, dtype=torch.float64)
    x, slope = flow.saved[-1][0].evaluate(flow.saved[-1][1], z)
    p, v = flow.problem.law.density(z), flow.problem.potential.value_at(x)
    right = float(torch.trapezoid(p * (v + flow.problem.linear_diffusion * (p.log() - slope.log())), z))
    off = abs(result["energy"] - right) / (abs(result["energy_potential"]) + abs(result["energy_entropy"]))
    assert (off > 1e-4) == (order == 2), off
    assert ("energy_entropy, dissipated: shorter cells" in (result["doubts"] or "")) == (order == 2)


@pytest.mark.parametrize(
    ("depth", "width"), [(3, 0.004), (-3, 0.004), (3, 0.002), (8, 0.001), (1000, 1e-5), (0.5, 0.2), (0.5, 0.5)]
)
def test_a_needle_of_the_potential_that_the_flow_does_not_feel_is_seen(depth: float, width: float, tmp_path: Path):
    """Judged by the potential energy of the map itself: over x, cut where the needle is."""
    words = f"potential=expression potential.expr='x**2/2-{depth}*exp(-((x-0.3)/{width})**2)' law.mean=0 law.std=1"
    result = unverified(tmp_path, words + " reference_solution=none t_end=0.01")
    flow, ends = wgf.load(tmp_path), np.unique([-8, *0.3 + width * np.linspace(-10, 10, 41), *np.linspace(-8, 8, 161)])
    s, w = np.polynomial.legendre.leggauss(12)
    x = (ends[:-1, None] + np.diff(ends)[:, None] * (s + 1) / 2).reshape(-1)
    mass = (np.diff(ends)[:, None] * w / 2).reshape(-1) * flow.density(0.01, x)
    right = mass @ flow.problem.potential.value_at(torch.from_numpy(x)).numpy()
    narrow = width < 0.1
    assert (abs(result["energy_potential"] - right) > 1e-5) == narrow
    assert ("everything: V has wells or peaks between the quadrature nodes" in (result["doubts"] or "")) == narrow


@pytest.mark.parametrize("order", [1, 8])
def test_full_updates_are_doubted_for_the_same_reasons(order: int, tmp_path: Path):
    words = f"network=two_sided_relu network.train=all network.start=uniform network.width=4 quadrature.order={order} "
    found = unverified(tmp_path, words + "t_end=0.01 reference_solution=none")
    assert found["status"] == "completed"
    said = found["doubts"] or ""
    assert said.startswith("energy, energy_potential, energy_entropy, dissipated: shorter cells") == (order == 1)
    assert (said == "") == (order == 8)


def test_steps_too_long_move_the_second_moment(tmp_path: Path):
    found = unverified(tmp_path, AFFINE + "integrator=heun integrator.dt=0.25 network.width=3 t_end=1")
    assert found["status"] == "completed"
    assert abs(found["second_moment"] / found["second_moment_law"] - 1) > 0.01
    assert "second_moment: " in found["doubts"]


def test_fixed_steps_that_were_shortened(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    words = ["integrator=euler", "network=two_sided_relu", "network.width=4", "t_end=2e-3", "integrator.dt=1e-4"]
    words += ["logger=none", "figures=false", "reference_solution=none", "certificate=none"]
    taken = run_config(config(*words, "saves=3"), tmp_path / "a")
    assert taken["doubts"].startswith("integrator.dt: steps of 9.52381e-05 instead of 0.0001, equal ones between")
    assert taken["steps"] == 21
    assert run_config(config(*words, "saves=4"), tmp_path / "b")["doubts"] is None
    wgf.solve(wgf.FokkerPlanck(), integrator=wgf.RK4(4e-4), t_end=1e-3, saves=1)
    assert "steps of 0.000333333 instead of 0.0004" in caplog.text


@pytest.mark.parametrize(("push", "passes"), [("exp(-((t-0.365)/0.001)**2)", True), ("sin(3*t)", False)])
def test_fixed_steps_that_pass_over_a_push(tmp_path: Path, push: str, passes: bool):
    words = f"potential=expression potential.expr='x**2/2-x*{push}' t_end=1 saves=1 network.width=8 "
    found = unverified(tmp_path, words + "integrator=rk4 integrator.dt=0.02")
    assert found["status"] == "completed"
    assert ("everything: V changes within 1.0e-03" in (found["doubts"] or "")) == passes
    assert unverified(tmp_path / "adaptive", words)["doubts"] is None


def test_a_run_that_is_not_strict_says_since_when_it_is_in_doubt():
    text = doubts(Result.from_dict(RESULT), solution(), clock=Clock(folded_at=0.25, raised_at=0.125))
    assert text is not None
    assert "folded since t = 0.25" in text
    assert "upper bounds" in text
    assert "rose at t = 0.125" in text
    assert doubts(Result.from_dict(RESULT), solution(), clock=Clock()) is None


KERNEL = "pde=aggregation_diffusion pde.diffusion=0 potential=none interaction=expression "
NEEDLE = "interaction.expr='100*exp(-(r/1e-5)^2)'"
AROUND = "domain=circle law=expression law.expr='1+cos(x)/2' law.low=0 law.high=6.283185307179586 pde.diffusion=0.5 "


def test_what_a_flow_does_not_feel_of_an_interaction(tmp_path: Path):
    """The velocity is c rho' with c = int W, and int |rho'|^2 rho = 1/(6 pi sqrt 3) for N(0, 1)."""
    found = unverified(tmp_path, KERNEL + NEEDLE + " law.std=1 law.mean=0 t_end=0.5 reference_solution=none")
    pressure = 100 * 1e-5 * math.sqrt(math.pi)
    assert "everything: W varies" in found["doubts"]
    right = 0.5 * pressure / math.sqrt(6 * math.pi * math.sqrt(3))
    for error, expected in ((0.0, 0.0), (9e-5, 0.0), (2e-4, right)):  # only a reference that feels W tells the error
        flow = wgf.load(tmp_path)
        vars(flow)["reference_solution"] = SimpleNamespace(w2_error=error)
        assert unfelt(flow) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("words", "doubted"),
    [
        ("interaction.expr='-exp(-r^2)'", False),
        ("interaction.expr='exp(-(r/0.3)^2)' network=mlp network.width=4 t_end=0.01", False),
        (AROUND + "interaction.expr='5000*exp(-(2*sin(r/2)/1e-5)^2)'", True),
        (AROUND + "interaction.expr='-1.5*cos(r)'", False),
    ],
)
def test_only_an_interaction_that_is_not_felt_is_doubted(words: str, doubted: bool, tmp_path: Path):
    found = unverified(tmp_path, f"{KERNEL}t_end=0.1 {words} reference_solution=none")
    assert found["status"] == "completed"
    assert ("everything" in (found["doubts"] or "")) == doubted


def test_a_blow_up_doubts_its_time():
    """It falls with the width: 0.80, 0.495, 0.470, 0.459 with 8, 16, 32, 64 breakpoints at chi = 1.5."""
    early = Result.from_dict(RESULT | {"status": "blow_up", "t_end": 0.4})
    assert [*ended(early)] == [
        "t_end: the map blows up then, the equation may do so earlier: compare a larger network.width"
    ]
    assert next(ended(replace(early, blow_up_bound=0.3))).startswith(
        "t_end: the equation has no solution after t = 0.3"
    )
    assert not [*ended(Result.from_dict(RESULT))]
