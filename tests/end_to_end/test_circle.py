"""Flows on a circle against Fourier series, Fourier collocation, von Mises laws, and brute force."""

import math

import numpy as np
import pytest
import torch
from command_line import called
from fourier import at, density
from run_folders import result
from scipy.interpolate import CubicSpline
from short_runs import BARE

import wgf
from wgf.networks.periodic import PeriodicSpace, PeriodicSpline
from wgf.reference_solutions import choose
from wgf.reference_solutions.equilibrium import equilibrium
from wgf.reference_solutions.finite_volumes import circle
from wgf.saved_maps import SavedMaps

L = 2 * math.pi
X = np.linspace(0.0, L, 41)
LAW = wgf.Formula("1 + 0.5*cos(x-1)", low=0.0, high=L)
COMMAND = [
    "domain=circle",
    "law=expression",
    "law.expr='1+0.5*cos(x-1)'",
    "law.low=0",
    "law.high=6.283185307179586",
    "potential=expression",
    "potential.expr='0.5*cos(x)'",
]


def start(x: np.ndarray) -> np.ndarray:
    return (1 + 0.5 * np.cos(x - 1)) / L


def solved(pde: wgf.PDE, t_end: float, width: int = 64, **settings) -> wgf.Flow:
    network = wgf.Spline(width, 5, base=wgf.Uniform(0.0, L))
    tight = wgf.Rodas4(rtol=1e-8, atol=1e-9)
    given = {"law": LAW, "domain": wgf.Circle(L), "network": network, "integrator": tight, "saves": 2}
    return wgf.solve(pde, t_end=t_end, **given | settings)


@pytest.fixture(scope="module")
def drift() -> wgf.Flow:
    """Heat with a constant force."""
    return solved(wgf.FokkerPlanck(0.5), 2.0, potential=wgf.potentials.Expressed("0*x", force=1.0))


@pytest.fixture(scope="module")
def washboard() -> wgf.Flow:
    """A tilted periodic potential."""
    return solved(wgf.FokkerPlanck(0.5), 1.0, potential=wgf.potentials.Expressed("0.5*cos(x)", force=1.0))


@pytest.fixture(scope="module")
def crowd() -> wgf.Flow:
    """Phases of oscillators that attract each other."""
    return solved(wgf.AggregationDiffusion(0.5), 1.0, 48, interaction=wgf.interactions.Expressed("-1.5*cos(r)"))


def test_heat_and_a_force_turn_and_flatten_a_wave(drift):
    amplitude = 0.5 * math.exp(-1.0)
    np.testing.assert_allclose(drift.density(2.0, X), (1 + amplitude * np.cos(X - 3)) / L, atol=1e-7)
    mass = (X + amplitude * (np.sin(X - 3) + math.sin(3))) / L
    np.testing.assert_allclose(drift.cdf(2.0, X), mass, atol=1e-7)
    np.testing.assert_allclose(drift.quantile(2.0, mass), X, atol=2e-6)
    assert drift.reference_solution.name == "exact: Fourier series"
    assert drift.w2(drift.reference_solution) < 1e-7
    z = torch.linspace(0.0, L, 101, dtype=torch.float64)[:-1]
    gap = torch.from_numpy(drift.map(2.0, z.numpy())) - drift.reference_solution(2.0, z)
    assert float(gap.square().mean().sqrt()) < 1e-6  # turns count
    assert float((drift.reference_solution(2.0, z) - z).mean() - 2) == pytest.approx(1 - float(0.5 * math.sin(1)) - 1)


def test_a_tilted_potential_is_that_of_fourier_collocation(washboard):
    exact = at(density(start, lambda x: -0.5 * np.sin(x) - 1, 0.5, 1.0), X)
    np.testing.assert_allclose(washboard.density(1.0, X), exact, atol=1e-6)


def test_oscillators_are_those_of_fourier_collocation(crowd):
    exact = at(density(start, np.zeros_like, 0.5, 1.0, strength=-1.5), X)
    np.testing.assert_allclose(crowd.density(1.0, X), exact, atol=1e-6)


@pytest.mark.parametrize("name", ["drift", "washboard", "crowd"])
def test_finite_volumes_go_around(name, request):
    flow = request.getfixturevalue(name)
    volumes = choose.computed(flow.problem, flow.t[1:].tolist(), "finite_volume")
    assert volumes.error < 2e-6
    assert flow.w1(volumes) < volumes.error
    z = torch.linspace(0.0, L, 101, dtype=torch.float64)
    gap = torch.from_numpy(flow.map(float(flow.t[-1]), z.numpy())) - volumes(float(flow.t[-1]), z)
    assert float(gap.abs().mean()) < volumes.error + 1e-6  # the mass that passes x = 0 counts
    assert (np.diff(flow.energy) < 0).all()


def test_the_equilibrium_is_the_law_of_von_mises():
    flow = solved(wgf.FokkerPlanck(0.5), 30.0, 80, potential="0.5*cos(x)", saves=1, reference_solution="none")
    exact = np.exp(-np.cos(X)) / (L * np.i0(1.0))
    np.testing.assert_allclose(flow.density(30.0, X), exact, atol=1e-5)
    assert flow.w2(equilibrium(flow.problem)) < 1e-6
    driven = solved(wgf.FokkerPlanck(0.5), 0.1, potential=wgf.potentials.Expressed("cos(x)", force=1.0), saves=1)
    assert equilibrium(driven.problem) is None


def test_distances_may_turn(drift):
    """W1 = int |F - G - median|; a turned law is as far away as the angle allows."""
    x = np.linspace(0.0, L, 20001)
    other = wgf.Formula("1 + 0.5*cos(x-4)", low=0.0, high=L)
    gap = drift.cdf(0.0, x) - (x + 0.5 * (np.sin(x - 4) + math.sin(4))) / L
    assert drift.w1(other, 0.0) == pytest.approx(np.trapezoid(np.abs(gap - np.median(gap)), x), abs=1e-6)
    assert drift.w1(other, 0.0) <= drift.w2(other, 0.0)
    narrow, beyond = (wgf.TruncatedNormal(m, 0.1, 0.0, L) for m in (0.6, L - 0.6))
    flow = solved(wgf.FokkerPlanck(), 1e-3, law=narrow, network=None, saves=1, reference_solution="none")
    assert flow.w2(beyond, 0.0) == pytest.approx(1.2, abs=0.05)  # over x = 0, not the long way


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_periodic_splines_have_the_band_they_claim(degree):
    inner = torch.rand(12, generator=torch.Generator().manual_seed(0), dtype=torch.float64).sort().values
    space = PeriodicSpace(torch.cat([torch.zeros(1), inner, torch.ones(1)]), degree)
    z = torch.linspace(-1, 2, 301, dtype=torch.float64) + 1e-4
    first, values, _ = space.basis(z)
    columns = space.columns(first)
    assert int((columns[:, :, None] - columns[:, None]).abs().max()) <= space.bandwidth
    torch.testing.assert_close(values.sum(1), torch.ones_like(z))
    net = PeriodicSpline(space.points, degree, wgf.Uniform(0.0, 1.0))
    theta = torch.rand(space.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x, dx = net.evaluate(theta, z)
    torch.testing.assert_close(net.evaluate(theta, z + 1)[0], x + 1)
    torch.testing.assert_close(dx, torch.func.jvp(lambda z: net.f(theta, z), (z,), (torch.ones_like(z),))[1])
    torch.testing.assert_close(space.lift(space.coefficients(theta)), theta)
    middles = (0.5 * (space.points[1:] + space.points[:-1])).requires_grad_()
    top = net.f(theta, middles)
    for _ in range(degree):
        (top,) = torch.autograd.grad(top.sum(), middles, create_graph=True)
    torch.testing.assert_close(
        space.jumps(space.coefficients(theta)), (top - top.roll(1)).detach(), rtol=1e-9, atol=1e-6
    )


def test_breakpoints_follow_a_narrow_law_around():
    network = wgf.Spline(knots="adaptive", base=wgf.Uniform(0.0, L))
    force = wgf.potentials.Expressed("0*x", force=20.0)
    law = wgf.Formula("exp(5*cos(x-5.5))", low=0.0, high=L)
    flow = wgf.solve(
        wgf.FokkerPlanck(0.2), law=law, domain=wgf.Circle(L), potential=force, network=network, t_end=0.3, saves=1
    )
    assert flow.w2(flow.reference_solution) < 3e-4
    assert len(flow.saved[1][0].breakpoints()) < len(flow.saved[0][0].breakpoints())


def test_rounding_of_a_force_is_periodic():
    """V = 1, whose slope is rounding."""
    flow = wgf.solve(
        wgf.FokkerPlanck(), domain=wgf.Circle(1.0), law=wgf.Uniform(0.0, 1.0),
        potential="sin(2*pi*x)**2 + cos(2*pi*x)**2", t_end=0.01, saves=1,
    )  # fmt: skip
    assert flow.status is wgf.Status.completed


def test_a_run_on_a_circle_from_the_command_line(tmp_path):
    words = [*COMMAND, "potential.force=1", "t_end=0.2", "pde.diffusion=0.5", "network.width=16"]
    status, _, err = called(tmp_path, *words, *BARE, "hydra.run.dir=run")
    assert status == 0, err
    found, flow = result(tmp_path / "run"), wgf.load(tmp_path / "run")
    assert found["w2_error"] < 1e-3
    assert "not on a circle" in found["w2_bound_unknown"]
    assert found["second_moment_law"] is None
    np.testing.assert_allclose(flow.density(0.2, X), flow.density(0.2, X + L), rtol=1e-9)
    maps = SavedMaps.load(tmp_path / "run" / "solution.npz")
    assert float(maps.period) == L
    axes = flow.plot("density").axes[0]
    assert axes.get_xlim() == pytest.approx((0.0, L))
    curve = axes.lines[0].get_xydata()
    assert curve[0, 1] == curve[-1, 1]  # closed at the seam
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["potential.expr=x*x"],
            "potential=x*x is impossible on a circle of length 6.28319: expected a periodic slope",
        ),
        (["domain.length=1"], "the initial law has mass 0.77 outside of (0, 1): choose a law there"),
        (["base=gaussian"], "on a circle the base is the uniform law: use base=auto"),
        (
            ["network.width=7"],
            "network.width=7 is too small for a circle: expected at least 8 breakpoints for degree 3",
        ),
        (["network=mlp"], "MLP knows the whole line only: on a circle of length 6.28319 use network=spline"),
        (["engine=compiled"], "engine=compiled is impossible: it knows no circle"),
        (
            ["pde=aggregation_diffusion", "interaction=quadratic"],
            "x^2/2 is impossible on a circle of length 6.28319: expected a smooth periodic kernel",
        ),
        (
            ["pde=aggregation_diffusion", "interaction=expression", "interaction.expr='abs(sin(r/2))'"],
            "expected a smooth periodic kernel",
        ),
    ],
)
def test_what_a_circle_cannot_hold_gets_one_line(tmp_path, words, line):
    status, _, err = called(tmp_path, *COMMAND, *words, *BARE, "hydra.run.dir=run")
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert line in err


def test_laws_with_gaps_start_on_a_circle():
    law = wgf.Histogram([0, 1, 3, 4], [1.0, 0.0, 1.0])
    flow = solved(wgf.FokkerPlanck(0.5), 1.0, law=law, network=None, saves=1)
    assert flow.w2(flow.reference_solution) < 1e-3
    assert flow.slope(0.0, np.linspace(0, L, 1001)).min() > 0


def test_a_force_is_a_linear_potential():
    tilted, named = (wgf.potentials.Expressed(text, force=1.5) for text in ("x**2/2", "x**2/2 - force*x"))
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)
    torch.testing.assert_close(tilted.value_at(x), named.value_at(x))
    torch.testing.assert_close(tilted.derivative(x), x - 1.5)
    assert tilted.parabola() == (1.5, 1.0, 0.0)
    assert str(tilted) == "x**2/2 - 1.5 x"


@pytest.mark.parametrize(("width", "degree", "most"), [(6, 1, 1.0), (32, 3, 2e-2), (64, 1, 5e-3)])
def test_a_narrow_law_far_from_the_seam(width, degree, most):
    """Where turns begin no mass is left: the quantile there is infinite."""
    law, base = wgf.Gaussian(3.0, 0.3), wgf.Uniform(0.0, L)
    network = wgf.Spline(width, degree, base=base)
    flow = wgf.solve(wgf.FokkerPlanck(0.1), t_end=0.1, law=law, domain=wgf.Circle(L), network=network, saves=1)
    assert flow.status.name == "completed"
    map, theta = flow.state(0.0)
    ranks = torch.linspace(0.01, 0.99, 999, dtype=torch.float64)
    gap = map.evaluate(theta, L * ranks)[0] - law.quantile(ranks)
    assert float((gap**2).mean().sqrt()) < most * law.std


@pytest.mark.parametrize("cell", [200.5, 50.25, 0.0])
def test_kinks_inside_cells(cell: float):
    """V = |sin(x - a)| from the uniform law: a stays, and the particles end at the law exp(-V)."""
    a, t = 2 * math.pi * cell / 2048, 30.0
    problem = wgf.FokkerPlanck(1.0).problem(
        wgf.Uniform(0.0, L), wgf.potentials.Expressed(f"abs(sin(x-({a!r})))"), wgf.interactions.Zero(), t,
        base="auto", domain=wgf.Circle(L),
    )  # fmt: skip
    found = circle.solve(problem, [t])
    y = np.linspace(0.0, math.pi, 20_001)
    below = CubicSpline(y, np.exp(-np.sin(y))).antiderivative()
    z = (np.arange(2000) + 0.5) / 2000 * L
    turns, share = np.divmod(z - a, math.pi)
    right = a + math.pi * turns + np.interp(share / math.pi * float(below(math.pi)), below(y), y)
    gap = np.abs(found(t, torch.from_numpy(z)).numpy() - right)
    assert gap.mean() < 0.5 * found.error < 2e-7
    assert math.sqrt((gap**2).mean()) < 0.5 * found.w2_error
