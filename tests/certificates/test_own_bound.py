"""The bound of a run without any other run: never below the error, where the error is known, and close to it."""

import math

import numpy as np
import pytest
import torch
from bounded_runs import bounded, error, posed
from reference_problems import AFFINE
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

import wgf
from wgf.certificates.curve import Record, continuation
from wgf.certificates.mesh import Mesh
from wgf.certificates.residual import Residuals, psi
from wgf.certificates.steps import _parts
from wgf.integrators.explicit import Dopri5, Heun
from wgf.integrators.implicit import SDIRK2, Rodas4
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.networks.spline_space import SplineSpace
from wgf.problem import laws
from wgf.problem.domain import Line
from wgf.problem.equations import AggregationDiffusion, FokkerPlanck, LinearTransport, PorousMedium, Problem
from wgf.problem.interaction import Newtonian
from wgf.problem.interaction import Quadratic as Spring
from wgf.problem.potential import Potential, Quadratic, Quartic, Sextic
from wgf.problem.tabulated import Tabulated
from wgf.reference_solutions.choose import closed_form, computed
from wgf.reference_solutions.wasserstein import Carried, distance

NEITHER = {"log repulsion", "log attraction in a hill"}  # slow, see below


@pytest.mark.parametrize("g", [1.0, 1.05, 1.5, 2.0, 5.0])
def test_psi_is_a_supremum(g):
    a = torch.tensor([0.05, 0.5, 0.9, 1.0, 1.1, 3.0, 20.0], dtype=torch.float64)
    u = torch.linspace(1e-3, 30, 1_000_001, dtype=torch.float64)
    scan = torch.stack([((b - u**-g) * (1 - u)).max() for b in a])
    found = psi(g, a)
    assert bool((found >= scan - 1e-12).all())
    torch.testing.assert_close(found, scan, rtol=1e-5, atol=1e-8)
    far = psi(g, torch.tensor([1e-30, 1e30], dtype=torch.float64))
    assert float(far[0]) == pytest.approx(1 / g * (1 - 1 / g) ** (g - 1), rel=1e-12)  # of a = 0
    assert float(far[1]) == pytest.approx(1e30, rel=1e-6 if g < 3 else 1e-4)  # that of u = 0


@pytest.mark.parametrize("derivatives", [0, 1, 2])
def test_a_continuation_reproduces_polynomials(derivatives):
    t = torch.tensor([0.0, 0.3, 0.7], dtype=torch.float64)
    power = 2 * derivatives + 1
    record = Record(
        t, *(p[:, None] for p in (t**power, power * t ** (power - 1), power * (power - 1) * t ** max(power - 2, 0)))
    )
    curve = continuation(record, derivatives, 3)
    torch.testing.assert_close(curve.c[..., 0], curve.s**power)
    torch.testing.assert_close(curve.v[..., 0], power * curve.s ** (power - 1))
    assert float(curve.weights.sum()) == pytest.approx(0.7)


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_splines_on_the_mesh(degree):
    """Values, slopes and second derivatives of x^2 / 2, and the flux of x under N(0, 1), which is the density."""
    base = laws.Gaussian()
    mesh = Mesh(base, SplineSpace(torch.linspace(-3, 3, 9, dtype=torch.float64), degree), 16, Line())
    network = Spline(width=9, degree=degree, bound=3.0, base=base)
    theta = torch.linspace(-3, 4, 8 + degree, dtype=torch.float64)
    x, dx = network.evaluate(theta, mesh.z)
    torch.testing.assert_close(mesh.values(theta[None])[0], x)
    torch.testing.assert_close(mesh.slopes(theta[None])[0], dx)
    step = 1e-5
    below, above = (network.evaluate(theta, mesh.z + s)[1] for s in (-step, step))
    far = ((mesh.z[:, None] - mesh.points).abs() > 2 * step).all(1)
    torch.testing.assert_close(
        mesh.bends(theta[None])[0][far], ((above - below) / (2 * step))[far], rtol=1e-5, atol=1e-5
    )
    middle = mesh.z.abs() < 8
    torch.testing.assert_close(mesh.flux(mesh.z[None])[0][middle], mesh.p[middle], rtol=1e-7, atol=0)


@pytest.mark.parametrize("name", sorted(AFFINE.keys() - NEITHER))
def test_affine_flows(name):
    """Only time errs."""
    problem = AFFINE[name]
    projection, theta, _, bound = bounded(problem)
    known = closed_form(problem, "auto")
    wrong = error(projection, theta, known)
    assert wrong * (1 - 1e-6) <= bound.value <= 3 * wrong + 1e-7


@pytest.mark.parametrize("law", [laws.Gaussian(), laws.Uniform(), laws.Laplace(0.2, 0.4)], ids=type)
@pytest.mark.parametrize("network", [Spline, TwoSidedReLU])
def test_transport_down_a_double_well(law, network):
    problem = posed(LinearTransport(), law, Quartic(0.3))
    projection, theta, _, bound = bounded(problem, network(width=16, base=law))
    wrong = error(projection, theta, closed_form(problem, "auto"))
    assert wrong * (1 - 1e-6) <= bound.value <= 8 * wrong


@pytest.mark.parametrize("dt", [4.0, 10.0, 18.1])
def test_long_steps_down_a_hill(dt):
    """The error grows by exp(0.233 dt) in a step: three Gauss times see a bound that is 5 % too low."""
    law = laws.Gaussian(-0.385, 0.348)
    problem = posed(LinearTransport(), law, Quadratic(-0.233, 0.128), t_end=4 * dt)
    projection, theta, _, bound = bounded(problem, Spline(width=20, degree=2, base=law), Heun(dt=dt))
    wrong = error(projection, theta, closed_form(problem, "auto"))
    assert wrong <= bound.value <= 1.1 * wrong


DOWN_A_PARABOLA = [  # law, parabola, end time, network
    (laws.Exponential(0.259, -1.19), Quadratic(2.44, 0.31), 1.95, lambda law: Spline(48, 1, 5.85, base=law)),
    (laws.Gaussian(0.713, 0.973), Quadratic(1.73, -0.197), 1.24, lambda law: TwoSidedReLU(48, base=law)),
]


@pytest.mark.parametrize(("law", "well", "t_end", "network"), DOWN_A_PARABOLA)
def test_own_bounds_hold_to_all_digits_where_nothing_makes_them_loose(law, well, t_end, network):
    """All maps are affine: the bound is the integral of the residual, by a sample of steps of unequal lengths."""
    problem = posed(LinearTransport(), law, well, t_end=t_end)
    projection, theta, _, bound = bounded(problem, network(law), Rodas4(1e-4, 1e-6), saves=1)
    wrong = error(projection, theta, closed_form(problem, "auto"))
    assert wrong * (1 - 1e-6) <= bound.value <= wrong * (1 + 1e-5)


def mixture_flow(t: float, z: torch.Tensor) -> torch.Tensor:
    """The map of an Ornstein-Uhlenbeck flow from a mixture: each component stays Gaussian."""
    shrunk, std = math.exp(-t), math.sqrt(0.25 * math.exp(-2 * t) + 1 - math.exp(-2 * t))
    law = laws.Mixture()
    return laws.Mixture([-1.5 * shrunk, 1.5 * shrunk], [std, std]).at_rank(law.cdf(z), law.survival(z))


@pytest.mark.parametrize(("network", "ratio"), [(Spline, 12.0), (TwoSidedReLU, 6.0)])
@pytest.mark.parametrize("width", [16, 32])
def test_a_mixture_relaxes(network, ratio, width):
    """Only space errs."""
    problem = posed(FokkerPlanck(), laws.Mixture(), Quadratic())
    projection, theta, _, bound = bounded(problem, network(width=width, base=problem.law))
    wrong = error(projection, theta, mixture_flow)
    assert wrong <= bound.value <= ratio * wrong
    assert bound.quadrature < 0.1


@pytest.mark.parametrize("integrator", [Dopri5(), SDIRK2(dt=0.02)])
def test_other_methods(integrator):
    problem = posed(FokkerPlanck(), laws.Mixture(), Quadratic())
    projection, theta, recorder, bound = bounded(problem, Spline(width=16, base=problem.law), integrator)
    wrong = error(projection, theta, mixture_flow)
    assert wrong <= bound.value <= 20 * wrong
    assert recorder.convexity == 1.0


def drawn(rng: np.random.Generator) -> Problem:
    """A random problem with a known solution: transport down a double well, diffusion with a quadratic kernel."""
    stiffness, center, scale = rng.uniform(-0.6, 2.0), rng.normal(), rng.uniform(0.3, 2.0)
    well, kernel = Quadratic(stiffness, center), Spring(rng.uniform(-0.3, 0.8))
    g, diffusion, t_end = float(rng.choice([1.0, 1.4, 2.0, 3.0])), rng.uniform(0.1, 1.5), rng.uniform(0.02, 0.6)
    law = laws.Gaussian(rng.normal(), scale) if g == 1 else laws.Barenblatt(g, scale)
    mixture = laws.Mixture([-scale, 1.0], [rng.uniform(0.3, 0.8), 0.6], [0.4, 0.6])
    return (
        posed(LinearTransport(), laws.Gaussian(0.0, 0.3 * scale), Quartic(0.3 * center), t_end=t_end),
        posed(AggregationDiffusion(diffusion, g), law, well, kernel, t_end=t_end),
        posed(AggregationDiffusion(0.0), mixture, well, kernel, t_end=t_end),
    )[rng.integers(3)]


@pytest.mark.parametrize("seed", range(24))
def test_bounds_of_random_problems(seed):
    rng = np.random.default_rng(seed)
    problem = drawn(rng)
    width, degree = int(rng.integers(6, 24)), int(rng.integers(1, 6))
    network = TwoSidedReLU(width, base=problem.law) if degree == 1 else Spline(width, degree, base=problem.law)
    projection, theta, _, bound = bounded(problem, network)
    wrong = error(projection, theta, closed_form(problem, "auto"))
    assert bound.value is not None
    assert wrong * (1 - 1e-6) <= bound.value + 1e-12


def test_a_resumed_recorder_gives_the_same_bound():
    problem = posed(FokkerPlanck(), laws.Mixture(), Quadratic())
    projection, _, recorder, bound = bounded(problem)
    again = type(recorder)(projection, recorder.saved())
    assert again.at(problem.t_end) == bound
    assert again.at(0.5 * problem.t_end) == recorder.at(0.5 * problem.t_end)
    assert 0 < recorder.at(0.5 * problem.t_end).value < bound.value


def table(rng: np.random.Generator) -> tuple[Tabulated, CubicSpline]:
    """A random table that confines, and its natural spline by scipy."""
    x = np.sort(rng.uniform(-3, 3, 7)) + np.linspace(0, 1, 7)
    v = 0.4 * x**2 + rng.uniform(-0.5, 0.5, 7)
    return Tabulated(x.tolist(), v.tolist()), CubicSpline(x, v, bc_type="natural")


@pytest.mark.parametrize("seed", range(6))
def test_transport_down_a_table(seed: int):
    """The true map by characteristics x' = -V'(x) of scipy, with straight ends of V."""
    rng = np.random.default_rng(seed)
    v, spline = table(rng)

    def velocity(t: float, x: np.ndarray) -> np.ndarray:
        return -spline(x.clip(spline.x[0], spline.x[-1]), 1)

    def exact(t: float, z: torch.Tensor) -> torch.Tensor:
        end = solve_ivp(velocity, (0, t), z.numpy(), "DOP853", rtol=1e-9, atol=1e-9, t_eval=[t]).y[:, -1]
        return torch.from_numpy(end)

    problem = posed(LinearTransport(), laws.Gaussian(0.5, 0.8), v)
    projection, theta, recorder, bound = bounded(problem, Spline(width=16, degree=3, base=problem.law))
    wrong = error(projection, theta, exact)
    assert recorder.convexity < -0.5
    assert 1e-4 < wrong <= bound.value <= 5 * wrong


@pytest.mark.parametrize("seed", range(3))
def test_diffusion_in_a_table(seed: int):
    """Finite volumes know the true map to 1e-5."""
    problem = posed(FokkerPlanck(0.5), laws.Gaussian(0.5, 0.8), table(np.random.default_rng(seed))[0])
    projection, theta, _, bound = bounded(problem, Spline(width=12, degree=2, base=problem.law))
    known = computed(problem, [problem.t_end], "finite_volume")
    assert known is not None
    wrong = error(projection, theta, known)
    assert known.w2_error < 0.1 * wrong
    assert wrong - known.w2_error <= bound.value <= 20 * wrong


class Stated(Potential):
    """x^2 / 2 of one's own."""

    def __init__(self, convexity=None):
        self.convexity = convexity

    def value_at(self, x):
        return 0.5 * x**2


def test_a_potential_of_ones_own_states_its_convexity():
    *_, recorder, bound = bounded(posed(FokkerPlanck(), None, Stated(1.0)))
    assert recorder.convexity == 1.0
    assert bound.value is not None


def test_porous_medium_of_smooth_law():
    """Richer runs are closer: the distance of two runs is at most the sum of their bounds."""
    problem = posed(PorousMedium(2.0), t_end=0.5)
    coarse, theta, _, bound = bounded(problem, Spline(width=8, base=problem.law))
    fine, best, _, small = bounded(problem, Spline(width=48, bound=7.0, base=problem.law))
    wrong = error(coarse, theta, lambda t, z: fine.map.evaluate(best, z)[0])
    assert small.value < 0.1 * bound.value
    assert wrong - small.value <= bound.value <= 5 * wrong
    assert np.isfinite(bound.quadrature)


def test_a_reflected_run_has_the_same_bound():
    """The law's mean is a face of the mesh, and the cells on either side of it are not alike."""
    bounds = []
    for side in (1.0, -1.0):
        law = laws.Gaussian(-0.89 * side, 1.21)
        problem = posed(FokkerPlanck(0.202), law, Sextic(0.128 * side), t_end=0.034)
        bounds.append(bounded(problem, Spline(width=8, bound=2.66, base=law), Rodas4(rtol=1e-5, atol=1e-7))[-1].value)
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-9)


def test_the_size_of_a_residual_is_a_length():
    """In another unit of time Q and R0 are divided by it, and the weights of the times are multiplied by it."""
    torch.manual_seed(0)
    flux, force, weights = torch.rand(5, 3, 2), torch.rand(5, 3, 2), torch.rand(5, 3)
    force[1], force[2, 0, 1] = torch.nan, torch.inf
    one = _parts(Residuals(flux, force, force), weights)
    two = _parts(Residuals(flux / 128, force / 128, force), 128 * weights)
    assert one.isinf().tolist() == [False, True, False, False, False]
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_bound_of_few_steps_knows_how_coarse_its_quadrature_is(steps: int):
    """Ripples of four wavelengths per cell: without the doubled quadrature the bound would be half of the error. In a
    certificate the richer run alone bounds its error."""
    base = laws.Gaussian()
    flow = wgf.solve(
        wgf.LinearTransport(),
        potential="x**2/2 + 0.00165*cos(71*x + 1.7)",
        law=base,
        t_end=0.02,
        network=Spline(3, 1, 3.0, base=base),
        integrator=SDIRK2(dt=0.02 / steps),
        saves=1,
    )
    *_, found = bounded(flow.problem, flow.projection.map, flow.integrator, saves=1)
    assert found.value >= flow.w2(flow.reference_solution) > 1.7e-3
    assert found.quadrature > 0.1
    certificate, alone = flow.certificate(), flow.certificate(rich=False)
    assert certificate.own is None
    assert certificate.bound >= flow.w2(flow.reference_solution)
    assert alone.bound is None
    assert alone.unknown.startswith("V has wells or peaks between the quadrature nodes")


def test_a_run_of_a_version_with_other_times_has_no_bound_of_its_own():
    """A resumed run must not lose its result by it."""
    problem = posed(FokkerPlanck(), laws.Mixture(), Quadratic())
    projection, _, recorder, _ = bounded(problem)
    past = recorder.saved()
    past["steps"] = [[part[:, :3] for part in block] for block in past["steps"]]
    again = type(recorder)(projection, past)
    assert again.at(problem.t_end).value is None
    assert "version" in again.at(problem.t_end).unknown


def test_the_bound_sees_the_middle_of_a_law_with_heavy_tails():
    """All but 1e-17 of a Student law lies within 1e14 standard deviations: places near its mean counted as one."""
    law = laws.Student(2.7, 0.568, 0.662)
    problem = posed(AggregationDiffusion(0.6), law, None, Newtonian(0.57), t_end=1.37)
    coarse, theta, recorder, bound = bounded(problem, Spline(12, 2, 3.88, base=law), saves=1)
    fine, best, _, small = bounded(problem, Spline(64, 5, 8.0, base=law), saves=1)
    wrong = distance(Carried.by(coarse.map, theta), Carried.by(fine.map, best)).w2
    assert wrong - small.value <= bound.value <= 3 * wrong
    mesh = recorder.finer.mesh
    assert float(mesh.w.sum()) == pytest.approx(1.0, abs=1e-9)
    assert float(mesh.w @ (mesh.z - law.mean) ** 2) == pytest.approx(law.std**2, rel=1e-8)


def test_the_start_of_a_bound_knows_the_kinks_of_the_first_map():
    """A thin layer of the law: the Gauss nodes of a bound saw 4 % less of the distance of T(0)."""
    table = wgf.Table([-2.0, -1.0, 0.0, 2.0], [0.1, 1.0, 0.01, 2.0])
    settings = {"law": table, "potential": wgf.potentials.Quadratic(), "base": "gaussian", "t_end": 1.0, "saves": 1}
    flow = wgf.solve(wgf.LinearTransport(), **settings)
    z = flow.base.quantile(torch.linspace(1e-7, 1 - 1e-7, 4_000_001, dtype=torch.float64))
    exact = table.at_rank(flow.base.cdf(z), flow.base.survival(z)).numpy()
    start = math.sqrt(np.square(flow.map(0.0, z) - exact).mean())
    assert flow.certificate(0.0).own == pytest.approx(start, rel=1e-3)
    end = math.sqrt(np.square(flow.map(1.0, z) - math.exp(-1) * exact).mean())
    assert flow.certificate().bound >= end * (1 - 1e-4)


def test_breakpoints_far_beyond_one_side_of_a_skew_law():
    law = wgf.Mixture([-1.65, 1.82], [0.507, 0.195], [0.788, 0.422])
    network = wgf.TwoSidedReLU(4, 4.56, base=law)
    flow = wgf.solve(wgf.LinearTransport(), law=law, potential="x^2/2", network=network, t_end=0.1, saves=1)
    bound = flow.certificate().own
    assert bound is not None
    assert flow.reference_solution is not None
    assert flow.w2(flow.reference_solution) <= bound
