"""Flows between walls against cosine series, eigenfunctions, images, and each other."""

import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import called
from refusals import refusal
from run_folders import result
from scipy.special import ndtr
from short_runs import BARE
from walled import distribution, w2_error

import wgf
from wgf.reference_solutions import choose
from wgf.reference_solutions.equilibrium import equilibrium
from wgf.reference_solutions.finite_volumes import refinement as finite_volume
from wgf.saved_maps import SavedMaps

RANKS = (np.arange(2000) + 0.5) / 2000
TIGHT = wgf.Rodas4(rtol=1e-8, atol=1e-9)
UNIT = wgf.Interval(0.0, 1.0)
METHODS = Path(__file__).parents[2] / "docs" / "methods.md"


def fine(base: wgf.Base, width: int = 32, bound: float = 4.0) -> wgf.Spline:
    return wgf.Spline(width, 5, bound, base=base)


def warm(t_end: float = 0.05) -> wgf.Flow:
    """Heat on (0, 1) from the density 1 + 0.6 cos(pi x)."""
    return wgf.solve(
        wgf.FokkerPlanck(),
        law=lambda x: 1 + 0.6 * torch.cos(math.pi * x),
        domain=UNIT,
        network=fine(wgf.Uniform(0.0, 1.0)),
        integrator=TIGHT,
        t_end=t_end,
        saves=2,
    )


@pytest.fixture(scope="module")
def heat() -> wgf.Flow:
    return warm()


@pytest.fixture(scope="module")
def well() -> wgf.Flow:
    """A double well between walls, from a truncated Gaussian law."""
    return wgf.solve(
        wgf.FokkerPlanck(0.3),
        potential="x**4/4 - x**2/2",
        law=wgf.TruncatedNormal(0.0, 0.5, -1.2, 1.5),
        domain=wgf.Interval(-1.2, 1.5),
        network=fine(wgf.TruncatedNormal(0.0, 0.5, -1.2, 1.5), 48),
        integrator=TIGHT,
        t_end=1.0,
        saves=2,
    )


def folded(t: float) -> tuple[float, float]:
    """Mean and standard deviation before folding of an Ornstein-Uhlenbeck process from |N(1, 0.25)|."""
    return math.exp(-t), math.sqrt(0.25 * math.exp(-2 * t) + 1 - math.exp(-2 * t))


@pytest.fixture(scope="module")
def half() -> wgf.Flow:
    """An Ornstein-Uhlenbeck process reflected at 0, from the law of |N(1, 0.25)|."""
    law = wgf.Formula("exp(-2*(x-1)^2) + exp(-2*(x+1)^2)", low=0.0)
    return wgf.solve(
        wgf.FokkerPlanck(),
        potential="x**2/2",
        law=law,
        domain=wgf.HalfLine(),
        network=fine(law, 48, 6.0),
        integrator=TIGHT,
        t_end=0.5,
        saves=2,
    )


def test_heat_is_a_cosine_series(heat):
    amplitude = 0.6 * math.exp(-(math.pi**2) * 0.05)
    x = heat.quantile(0.05, RANKS)

    def density(x: np.ndarray) -> np.ndarray:
        return 1 + amplitude * np.cos(math.pi * x)

    def mass(x: np.ndarray) -> np.ndarray:
        return x + amplitude * np.sin(math.pi * x) / math.pi

    assert w2_error(x, RANKS, mass, density) < 1e-7
    np.testing.assert_allclose(heat.density(0.05, x), density(x), rtol=1e-5)
    np.testing.assert_allclose(heat.cdf(0.05, x), RANKS, atol=1e-12)


def test_a_double_well_is_an_expansion_in_eigenfunctions(well):
    law = well.problem.law
    mass = distribution(lambda x: x**3 - x, lambda x: law.cdf(torch.from_numpy(x)).numpy(), 0.3, 1.0, -1.2, 1.5)
    assert w2_error(well.quantile(1.0, RANKS), RANKS, mass, mass.deriv()) < 1e-6


def test_a_half_line_is_a_line_folded_at_its_end(half):
    m, s = folded(0.5)

    def density(x: np.ndarray) -> np.ndarray:
        return (np.exp(-(((x - m) / s) ** 2) / 2) + np.exp(-(((x + m) / s) ** 2) / 2)) / (s * math.sqrt(2 * math.pi))

    def mass(x: np.ndarray) -> np.ndarray:
        return ndtr((x - m) / s) - ndtr((-x - m) / s)

    assert w2_error(half.quantile(0.5, RANKS), RANKS, mass, density) < 1e-6


def test_an_interval_has_the_exact_series_as_its_reference(heat):
    assert heat.reference_solution.name == "exact: cosine series"
    assert heat.w2(heat.reference_solution) < 1e-7
    known = heat.reference_solution
    z = torch.linspace(0.0, 1.0, 11, dtype=torch.float64)
    torch.testing.assert_close(known(0.0, z), heat.problem.start(z))
    assert known(1e-9, z).isnan().all()  # too many modes
    torch.testing.assert_close(known(10.0, z), z)


@pytest.mark.parametrize("name", ["heat", "well", "half"])
def test_finite_volumes_reflect(name, request):
    flow = request.getfixturevalue(name)
    volumes = choose.computed(flow.problem, flow.t[1:].tolist(), "finite_volume")
    assert volumes.error < 1e-6
    assert flow.w1(volumes) < 1e-7


@pytest.mark.parametrize("name", ["heat", "well", "half"])
def test_the_bound_holds_between_walls(name, request):
    flow = request.getfixturevalue(name)
    known = flow.reference_solution
    found, error = flow.certificate(rich=False), flow.w2(known)
    assert found.unknown is None
    assert error - getattr(known, "w2_errors", [0.0])[-1] < found.bound < 1e-3


@pytest.mark.parametrize("name", ["heat", "well", "half"])
def test_the_map_holds_on_to_the_walls(name, request):
    flow = request.getfixturevalue(name)
    walls, t = flow.problem.domain.walls, float(flow.t[-1])
    for wall, rank, outwards in zip(walls, (0.0, 1.0), (-1.0, 1.0), strict=True):
        if wall is not None:
            assert flow.quantile(t, rank) == pytest.approx(wall, abs=1e-15)
            assert flow.cdf(t, wall) == pytest.approx(rank, abs=1e-12)
            assert flow.cdf(t, wall + outwards) == rank
            assert flow.density(t, wall + outwards) == 0
            assert flow.density(t, wall) > 0.05
    assert (np.diff(flow.energy) < 0).all()


def test_laws_that_do_not_touch_the_walls_start_there(tmp_path):
    flow = wgf.solve(wgf.FokkerPlanck(), law=wgf.Uniform(0.2, 0.5), domain=UNIT, t_end=0.05, saves=1)
    assert flow.w2(flow.reference_solution) < 2e-5
    assert flow.quantile(0.0, 0.0) == 0


def test_breakpoints_follow_a_law_to_a_wall():
    law = wgf.Uniform(0.2, 0.5)
    network = wgf.Spline(knots="adaptive", tol=1e-4, base=wgf.Uniform(0.0, 1.0))
    flow = wgf.solve(wgf.FokkerPlanck(0.3), law=law, domain=UNIT, potential="5*x", network=network, t_end=0.3, saves=1)
    mass = distribution(lambda x: 5 + 0 * x, lambda x: np.clip((x - 0.2) / 0.3, 0, 1), 0.3, 0.3, 0.0, 1.0, 160)
    assert w2_error(flow.quantile(0.3, RANKS), RANKS, mass, mass.deriv()) < 1e-4 * law.std


def test_equilibria_end_at_the_walls():
    tilted = wgf.FokkerPlanck().problem(
        wgf.Uniform(-1.0, 2.0),
        wgf.potentials.Expressed("5*x"),
        wgf.interactions.Zero(),
        1.0,
        "auto",
        wgf.Interval(-1.0, 2.0),
    )
    u = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)
    exact = -1 - torch.log1p(u * math.expm1(-15.0)) / 5
    torch.testing.assert_close(equilibrium(tilted)(math.inf, 3 * u - 1), exact, atol=1e-8, rtol=0)
    half = replace(tilted, law=wgf.Exponential(), other_base=None, domain=wgf.HalfLine())
    z = torch.linspace(0.0, 20.0, 101, dtype=torch.float64)
    torch.testing.assert_close(equilibrium(half)(math.inf, z), z / 5, atol=1e-8, rtol=0)


def test_a_run_between_walls_from_the_command_line(tmp_path):
    words = ["domain=interval", "law=uniform", "law.low=0", "law.high=1", "potential=expression", "potential.expr=x"]
    status, _, err = called(tmp_path, *words, *BARE, "t_end=0.1", "hydra.run.dir=run", "network.width=16")
    assert status == 0, err
    found, flow = result(tmp_path / "run"), wgf.load(tmp_path / "run")
    assert " on (0, 1)" in found["equation"]
    assert found["w2_error"] < found["w2_bound"] < 1e-4
    assert found["second_moment_law"] is None
    assert flow.problem.domain.walls == (0.0, 1.0)
    maps = SavedMaps.load(tmp_path / "run" / "solution.npz")
    assert maps.walls.tolist() == [0.0, 1.0]
    for name in ("density", "ridgeline", "spacetime", "map"):
        patches = wgf.Flow.plot(flow, name).axes[0].patches
        assert len(patches) == 2  # grey beyond either wall


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("domain=interval", "the initial law has mass 0.5 to the left of the wall at 0: choose a law on (0, 1)"),
        ("domain=half_line law=exponential pde=linear_transport", "without diffusion mass can pile up"),
        (
            "domain=interval law=uniform law.low=0 network=mlp",
            "MLP knows the whole line only: on (0, 1) use network",
        ),
        ("domain=interval law=uniform law.low=0 solver=qr", "QR cannot hold a map on (0, 1): use solver=auto or band"),
        ("domain=interval law=uniform law.low=0 base=gaussian", "base=gaussian is impossible on (0, 1): its support"),
        ("domain=interval domain.low=2", "domain.low=2.0 is not allowed: expected a number below high=1.0"),
        ("domain=interval domain.walls=absorbing", "domain.walls='absorbing' is not allowed: expected reflecting; a"),
        ("domain=circus", "domain=circus is not a choice"),
        (
            "domain=interval law=uniform law.low=0 pde=aggregation_diffusion interaction=quadratic engine=compiled",
            "engine=compiled is impossible: between walls it knows no interactions",
        ),
        (
            "domain=interval law=uniform law.low=0 law.high=0.5 pde=porous_medium engine=compiled",
            "engine=compiled is impossible: it knows no ends that reach walls and leave them",
        ),
    ],
)
def test_what_walls_cannot_hold_gets_one_line(tmp_path, words, line):
    status, _, err = called(tmp_path, *words.split(), *BARE, "hydra.run.dir=run")
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert line in err


@pytest.mark.parametrize(
    "line", re.findall(r"^    wgf (domain=.*)$", METHODS.read_text(encoding="utf-8"), re.MULTILINE)
)
def test_the_commands_of_the_page_run(tmp_path, line):
    quick = "hydra.run.dir=run", "network.width=12", "certificate=none", "t_end=0.01"
    status, _, err = called(tmp_path, *shlex.split(line), *BARE, *quick)
    assert status == 0, err
    assert result(tmp_path / "run")["w2_error"] < 1e-2


def test_domains_of_other_classes_are_refused():
    (line,) = refusal(wgf.solve, wgf.FokkerPlanck(), t_end=1.0, domain="interval")
    assert line.startswith("domain='interval' is not allowed: expected an object of wgf.Domain, such as wgf.Interval(")


def test_a_wall_changes_nothing_far_away():
    """The half-line is the line for a law far from its end."""
    given = {"potential": "(x-4)**2/2", "t_end": 0.2, "saves": 1, "reference_solution": "none"}
    law = wgf.Mixture([3.5, 4.5], [0.5, 0.5], [0.5, 0.5])
    line = wgf.solve(wgf.FokkerPlanck(0.1), law=law, **given)
    half = wgf.solve(wgf.FokkerPlanck(0.1), law=law, domain=wgf.HalfLine(), **given)
    assert half.w2(line) < 5e-3 * law.std  # about as far as the start may be off


def test_the_reference_resolves_a_layer_at_a_wall_far_from_the_edge_of_the_law():
    """The finest cells lie at the edge of the law; at rest the density is exp(-V/D)/Z, 0.03 wide, at the wall."""
    domain, law = wgf.Interval(0.0, 1.5), wgf.TruncatedNormal(0.7, 0.4, 0.5, 1.3)
    flow = wgf.solve(wgf.FokkerPlanck(0.06), potential="2*x", law=law, domain=domain, t_end=1e-3, saves=1)
    known, rate = finite_volume.solve(flow.problem, [3.0]), 2 / 0.06
    found = known(3.0, flow.problem.base.quantile(torch.from_numpy(RANKS))).numpy()
    exact = -np.log1p(RANKS * math.expm1(-1.5 * rate)) / rate
    assert np.abs(found - exact).mean() < known.error < 2e-6


def test_the_reference_resolves_a_law_that_drift_brings_in_from_far_away():
    """At the far end of an exponential law drift outweighs diffusion: contour integrals lose all digits."""
    flow = wgf.solve(
        wgf.FokkerPlanck(0.16),
        potential="0.084*(x - 1.3)**2",
        law=wgf.Exponential(1.7, 0.5),
        domain=wgf.HalfLine(0.5),
        t_end=1e-3,
        saves=1,
    )
    known = finite_volume.solve(flow.problem, [60.0])
    rest = equilibrium(flow.problem)
    z = flow.problem.base.quantile(torch.from_numpy(RANKS))
    assert (known(60.0, z) - rest(math.inf, z)).abs().mean() < known.error < 5e-6
