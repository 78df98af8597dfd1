"""Exact solutions against ways of their own: particles, the equation itself, known laws, a solver for the density."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from chebyshev import fokker_planck_map
from reference_problems import AFFINE, problem
from scipy import stats
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq
from scipy.special import dawsn

import wgf
from wgf.problem.base import Base
from wgf.problem.equations import (
    AggregationDiffusion,
    FokkerPlanck,
    KellerSegel,
    LinearTransport,
    PorousMedium,
    Problem,
)
from wgf.problem.interaction import Log, Newtonian, Quadratic, Zero
from wgf.problem.kernels import Morse, PowerLaw
from wgf.problem.laws import Barenblatt, Gaussian, Laplace, Mixture, Semicircle, Uniform
from wgf.problem.potential import Expressed, Quartic, Sextic
from wgf.problem.potential import Quadratic as Well
from wgf.reference_solutions import exact
from wgf.reference_solutions.characteristics import Path
from wgf.reference_solutions.exact import blow_up_bound, second_moment


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def interior(law: Base, n: int = 9) -> torch.Tensor:
    """Quantiles of the law [n]."""
    return law.quantile(torch.linspace(0.05, 0.95, n, dtype=torch.float64))


# V and the derivative a person would write beside it
POTENTIALS = {
    "quadratic": (Well(1.7, 0.4), lambda x: 1.7 * (x - 0.4)),
    "hill": (Well(-0.9, 0.4), lambda x: -0.9 * (x - 0.4)),
    "flat in one point": (Well(0.0, 3.0), lambda x: 0.0 * x),
    "quartic": (Quartic(0.7), lambda x: (x - 0.7) ** 3 - (x - 0.7)),
    "sextic": (Sextic(1.5), lambda x: (x - 1.5) ** 5),
    "drift": (Expressed("-x"), lambda x: -np.ones_like(x)),
    "expression of a well": (Expressed("1.7*(x - 0.4)**2/2 + 3"), lambda x: 1.7 * (x - 0.4)),
    "expression of a hill": (Expressed("x - 0.9*x*x/2 + x**3 - x**2*x"), lambda x: 1 - 0.9 * x),
    "expression": (Expressed("x**4/4 + cos(3*x) - x/2"), lambda x: x**3 - 3 * np.sin(3 * x) - 0.5),
    "expression of a quartic": (Expressed("(x - 0.7)**4/4 - (x - 0.7)**2/2"), lambda x: (x - 0.7) ** 3 - (x - 0.7)),
}


@pytest.mark.parametrize("name", POTENTIALS)
@pytest.mark.parametrize("t", [0.05, 0.8])
def test_linear_transport_follows_particles(name: str, t: float):
    potential, derivative = POTENTIALS[name]
    solution = exact.find(problem(LinearTransport(), Mixture(), potential))
    z = column(-2.5, -1.0, -0.3, 0.7, 0.70001, 1.5, 2.0, 3.1)
    particles = solve_ivp(lambda _, x: -derivative(x), (0, t), z.numpy(), method="Radau", rtol=1e-10, atol=1e-12)
    assert solution(t, z).numpy() == pytest.approx(particles.y[:, -1], rel=1e-8, abs=1e-9)
    assert solution(0.0, z).equal(z) or torch.allclose(solution(0.0, z), z, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("expr", ["-x", "3*x - 2", "(x - 1)**2/pi", "exp(1)*x - 2*x**2 + sqrt(2)"])
def test_expressions_of_degree_two_have_affine_maps(expr: str):
    assert isinstance(exact.find(problem(LinearTransport(), Gaussian(), Expressed(expr))), exact.SelfSimilar)


@pytest.mark.parametrize("expr", ["x**3", "abs(x)**3", "x + 1e-9*cos(x)", "x**2.5", "x**3/x"])
def test_other_expressions_have_characteristics(expr: str):
    assert isinstance(exact.find(problem(LinearTransport(), Gaussian(), Expressed(expr))), exact.Characteristics)


def test_kinks_leave_it_to_particles():
    assert exact.find(problem(LinearTransport(), Gaussian(), Expressed("abs(x)"))) is None


def test_a_drift_moves_every_particle_alike():
    solution, z = exact.find(problem(LinearTransport(), Gaussian(), Expressed("-x"))), interior(Gaussian())
    assert torch.allclose(solution(2.5, z), z + 2.5, rtol=1e-15, atol=1e-15)


def test_the_double_well_is_reached_in_the_end():
    solution = exact.find(problem(LinearTransport(), Gaussian(), Quartic(0.5)))
    z = column(-2.0, 0.4, 0.5, 0.6, 3.0)
    assert solution(1e4, z).tolist() == pytest.approx([-0.5, -0.5, 0.5, 1.5, 1.5], abs=1e-15)


@pytest.mark.parametrize("expr", ["-x**4/4", "log(x)", "-exp(x**2)"])
def test_characteristics_that_end_are_nan(expr: str):
    solution = exact.find(problem(LinearTransport(), Gaussian(), Expressed(expr)))
    assert solution(1.0, column(0.5, 2.0)).isnan().all()


@pytest.mark.parametrize("expr", ["x**4/4 - x**2/2 + x/9", "x**4/4 + cos(3*x) - x/2"])
def test_tabulated_characteristics_are_those_of_single_particles(expr: str):
    """Also in steep cells and beyond the table."""
    law, potential = Mixture(), Expressed(expr)
    p = problem(LinearTransport(), law, potential)
    solution, pace = exact.find(p), p.pace(1e-13)
    z = torch.cat([torch.linspace(-3, 3, 3, dtype=torch.float64), column(-20.0, 0.30001, 25.0)])
    for t in (0.01, 0.3):
        paths = [Path(potential, law, pace, 1.0, place.numpy()) for place in z.split(1)]
        alone = torch.cat([torch.from_numpy(path(t)) for path in paths])
        assert torch.allclose(solution(t, z), alone, rtol=2e-11, atol=2e-11)


def test_characteristics_do_not_depend_on_the_unit_of_length():
    length, z = 2.0**-20, torch.linspace(-3, 3, 9, dtype=torch.float64)
    small = Expressed(f"{length**2!r}*((x/{length!r})**4/4 + cos(3*x/{length!r}))")
    one = exact.find(problem(LinearTransport(), Gaussian(), Expressed("x**4/4 + cos(3*x)")))
    two = exact.find(problem(LinearTransport(), Gaussian(0.0, length), small))
    assert torch.allclose(two(0.3, length * z) / length, one(0.3, z), rtol=1e-12, atol=1e-12)


def test_characteristics_do_not_depend_on_the_times_asked_for(monkeypatch: pytest.MonkeyPatch):
    """Neither their bits nor, much, their cost: a resumed run finds the same errors."""
    p = problem(LinearTransport(), Gaussian(), Expressed("x**4/4 - x**2/2 + x/9"))
    z, often, calls = interior(Gaussian()), exact.find(p), []
    derivative = Expressed.derivative
    monkeypatch.setattr(Expressed, "derivative", lambda self, x: calls.append(x) or derivative(self, x))
    maps = {t: often(t, z) for t in np.linspace(0.0, 0.8, 101)}
    once, cost = exact.find(p), len(calls)
    assert once(0.8, z).equal(maps[0.8])
    assert cost < 2 * (len(calls) - cost)
    assert once(0.4, z).equal(maps[0.4])  # back in time
    other = z + 1.0
    assert once(0.4, other).equal(exact.find(p)(0.4, other))


def test_characteristics_keep_dtype():
    solution = exact.find(problem(LinearTransport(), Gaussian(), Expressed("x**2/2")))
    z = torch.linspace(-1, 1, 5)
    assert solution(0.5, z).dtype == torch.float32
    assert torch.allclose(solution(0.5, z), math.exp(-0.5) * z)


def interaction_velocity(kernel, law: Base, x_of, z: torch.Tensor, t: float) -> np.ndarray:
    """-(W' * rho)(T(z)), by sums that know nothing of the package's quadrature."""
    if isinstance(kernel, Quadratic):
        mean = quad(lambda s: float(x_of(t, column(s))[0] * law.density(column(s))[0]), *ends(law), limit=400)[0]
        return -kernel.strength * (x_of(t, z).numpy() - mean)
    # the semicircle stays one: Gauss-Chebyshev sums for its principal value integral, exact at the zeros of T_{n+1}
    assert isinstance(law, Semicircle)
    n = 40
    y = law.radius * torch.cos(torch.arange(1, n + 1, dtype=torch.float64) * math.pi / (n + 1))
    mass = 2 / (n + 1) * torch.sin(torch.arange(1, n + 1, dtype=torch.float64) * math.pi / (n + 1)) ** 2
    assert float(mass.sum()) == pytest.approx(1.0, rel=1e-14)
    gaps = x_of(t, z)[:, None] - x_of(t, y)
    return -kernel.strength * (mass / gaps).sum(1).numpy()


def ends(law: Base) -> tuple[float, float]:
    panels = law.panels()
    return panels[0], panels[-1]


@pytest.mark.parametrize("name", AFFINE)
@pytest.mark.parametrize("t", [0.02, 0.6])
def test_affine_maps_solve_the_equation(name: str, t: float):
    """dT/dt = -d/dx(V + W * rho + U'(rho)) at T, every derivative by central differences."""
    p = AFFINE[name]
    solution, law, u = exact.find(p), p.law, p.internal
    if isinstance(p.interaction, Log):
        z = law.radius * torch.cos((2 * torch.arange(12, 29, dtype=torch.float64) + 1) * math.pi / 82)
    else:
        z = interior(law)
    h = 1e-5

    def rho(z: torch.Tensor) -> torch.Tensor:
        slope = (solution(t, z + h) - solution(t, z - h)) / (2 * h)
        return law.density(z) / slope

    def chemical(z: torch.Tensor) -> torch.Tensor:
        value = p.potential.value_at(solution(t, z))
        if u is not None:
            g = getattr(u, "exponent", 1.0)
            value = value + u.diffusion * (rho(z).log() if g == 1 else g / (g - 1) * rho(z) ** (g - 1))
        return value

    speed = (solution(t + h, z) - solution(t - h, z)) / (2 * h)
    wide = 1e-3 * law.std
    force = -(chemical(z + wide) - chemical(z - wide)) / (solution(t, z + wide) - solution(t, z - wide))
    force = force.numpy()
    if not isinstance(p.interaction, Zero):
        force = force + interaction_velocity(p.interaction, law, solution, z, t)
    assert speed.numpy() == pytest.approx(force, rel=2e-6, abs=2e-6)
    assert torch.allclose(solution(0.0, z), z, rtol=1e-14, atol=1e-14)
    assert (solution(t, interior(law)).diff() > 0).all()


@pytest.mark.parametrize(("diffusion", "stiffness"), [(0.6, 1.3), (0.6, -0.8), (1.5, 0.0)])
def test_gaussians_have_the_moments_of_their_equations(diffusion: float, stiffness: float):
    law, center, t = Gaussian(1.0, 0.5), -0.4, 0.9
    solution = exact.find(problem(FokkerPlanck(diffusion), law, Well(stiffness, center)))

    def moments(_, y):
        return [-stiffness * (y[0] - center), -2 * stiffness * y[1] + 2 * diffusion]

    mean, variance = solve_ivp(moments, (0, t), [law.mean, law.std**2], rtol=1e-11, atol=1e-12).y[:, -1]
    ahead = Gaussian(float(mean), float(math.sqrt(variance)))
    u = torch.linspace(0.01, 0.99, 7, dtype=torch.float64)
    assert torch.allclose(solution(t, law.quantile(u)), ahead.quantile(u), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("diffusion", "std", "t"), [(0.02, 0.1, 40.0), (1.0, 1.5, 0.3)])
def test_diffusion_with_drift(diffusion: float, std: float, t: float):
    law = Gaussian(0.3, std)
    solution = exact.find(problem(FokkerPlanck(diffusion), law, Expressed("-x")))
    end, u = stats.norm(0.3 + t, math.sqrt(std**2 + 2 * diffusion * t)), np.linspace(0.01, 0.99, 9)
    assert solution(t, law.quantile(torch.from_numpy(u))).numpy() == pytest.approx(end.ppf(u), rel=1e-13)


@pytest.mark.parametrize("expr", ["1.3*(x + 0.4)**2/2", "0.65*x**2 + 0.52*x", "2*x - 0.8*x**2/2"])
def test_diffusion_in_expressions(expr: str):
    law, diffusion, t = Gaussian(1.0, 0.5), 0.6, 0.9
    potential = Expressed(expr)
    solution = exact.find(problem(FokkerPlanck(diffusion), law, potential))

    def moments(_, y):  # of a Gaussian in V of degree 2
        here = column(float(y[0]))
        return [
            -float(potential.derivative(here)[0]),
            2 * diffusion - 2 * y[1] * float(potential.second_derivative(here)[0]),
        ]

    mean, variance = solve_ivp(moments, (0, t), [law.mean, law.std**2], rtol=1e-11, atol=1e-12).y[:, -1]
    u = np.linspace(0.01, 0.99, 7)
    expected = stats.norm(mean, math.sqrt(variance)).ppf(u)
    assert solution(t, law.quantile(torch.from_numpy(u))).numpy() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("exponent", [1.3, 2.0, 3.5])
def test_barenblatt_ages(exponent: float):
    young, old = Barenblatt(exponent, 0.8), Barenblatt(exponent, 2.3)
    solution = exact.find(problem(PorousMedium(exponent), young))
    u = torch.linspace(0.001, 0.999, 9, dtype=torch.float64)
    assert torch.allclose(solution(1.5, young.quantile(u)), old.quantile(u), rtol=1e-10, atol=1e-12)


def test_ornstein_uhlenbeck_against_the_density():
    z = np.linspace(-3, 3, 13)
    oracle = fokker_planck_map(lambda x: 1.4 * (x - 0.5), 0.8, 0.3, -7.0, 7.0, 160, z)
    solution = exact.find(problem(FokkerPlanck(0.8), Gaussian(), Well(1.4, 0.5)))
    assert solution(0.3, torch.from_numpy(z)).numpy() == pytest.approx(oracle, abs=1e-9)


def test_attraction_collapses_in_finite_time():
    radius, strength = 1.5, 0.8
    solution = exact.find(problem(AggregationDiffusion(0.0), Semicircle(radius), None, Log(strength)))
    end = radius**2 / (4 * strength)  # M2 = R^2/4 falls at the rate `strength`
    z = column(-1.0, 0.5)
    assert (solution(0.999 * end, z).diff() > 0).all()
    assert solution(1.001 * end, z).isnan().all()


UNKNOWN = {
    "diffusion in a double well": problem(FokkerPlanck(), Gaussian(), Quartic()),
    "diffusion of a laplace law": problem(FokkerPlanck(), Laplace(), Well()),
    "diffusion of a mixture": problem(FokkerPlanck(), Mixture()),
    "porous medium from a gaussian": problem(PorousMedium(), Gaussian()),
    "barenblatt of another exponent": problem(PorousMedium(3.0), Barenblatt(2.0)),
    "linear diffusion of a barenblatt": problem(FokkerPlanck(), Barenblatt(2.0)),
    "barenblatt in a double well": problem(PorousMedium(), Barenblatt(), Quartic()),
    "keller-segel": problem(KellerSegel(), Gaussian()),
    "keller-segel from a semicircle": problem(KellerSegel(), Semicircle()),
    "log kernel from a gaussian": problem(AggregationDiffusion(0.0), Gaussian(), None, Log()),
    "power law": problem(AggregationDiffusion(0.0), Gaussian(), None, PowerLaw()),
    "morse": problem(AggregationDiffusion(), Gaussian(), None, Morse()),
    "newtonian in a double well": problem(AggregationDiffusion(0.0), Uniform(), Quartic(), Newtonian()),
    "newtonian with diffusion": problem(AggregationDiffusion(0.5), Gaussian(), None, Newtonian()),
    "attraction in a double well": problem(AggregationDiffusion(0.0), Gaussian(), Quartic(), Quadratic()),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_nothing_is_claimed_where_nothing_is_known(name: str):
    assert exact.find(UNKNOWN[name]) is None


@pytest.mark.parametrize("name", [*AFFINE, "quartic", "expression"])
def test_what_is_known_has_a_name(name: str):
    p = AFFINE.get(name) or problem(LinearTransport(), Gaussian(), POTENTIALS[name][0])
    assert exact.find(p).name.startswith("exact")


# sheets


@pytest.mark.parametrize("strength", [0.8, -1.3])
@pytest.mark.parametrize("well", [None, Well(0.7, 0.4), Well(-0.5)])
@pytest.mark.parametrize("law", [Gaussian(0.3, 1.2), Uniform(-1.0, 2.0), Mixture()])
def test_sheets_are_many_equal_particles(law: Base, well: Well | None, strength: float):
    """Of n equal ones each is pulled by (those to the left - those to the right) s/(2n)."""
    n, t = 2001, 0.6
    z = law.quantile((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    theta, center = (well.stiffness, well.center) if well else (0.0, 0.0)

    def velocity(_: float, x: np.ndarray) -> np.ndarray:
        rank = np.argsort(np.argsort(x))
        return -theta * (x - center) - strength / (2 * n) * (2 * rank - (n - 1))

    particles = solve_ivp(velocity, (0, t), z.numpy(), rtol=1e-9, atol=1e-11).y[:, -1]
    solution = exact.find(problem(AggregationDiffusion(0.0), law, well, Newtonian(strength)))
    assert solution.name == "exact: sheets"
    assert solution(t, z).numpy() == pytest.approx(particles, abs=1e-8)
    assert solution(0.0, z).numpy() == pytest.approx(z.numpy(), abs=1e-15)


@pytest.mark.parametrize("kernel", [Newtonian(0.9), PowerLaw(2.0, 1.0, 0.6)], ids=["newtonian", "power law"])
@pytest.mark.parametrize("expr", ["-x", "0.7*x**2 - x/2", "-x**2/3"])
def test_sheets_in_expressions(kernel, expr: str):
    n, t, law, potential = 1001, 0.5, Gaussian(0.3, 1.2), Expressed(expr)
    z = law.quantile((torch.arange(n, dtype=torch.float64) + 0.5) / n)

    def velocity(_: float, x: np.ndarray) -> np.ndarray:
        r = x[:, None] - x
        force = 0.45 * np.sign(r) if isinstance(kernel, Newtonian) else 0.6 * (r - np.sign(r))
        return -potential.derivative(torch.from_numpy(x)).numpy() - force.mean(1)

    particles = solve_ivp(velocity, (0, t), z.numpy(), rtol=1e-9, atol=1e-11).y[:, -1]
    solution = exact.find(problem(AggregationDiffusion(0.0), law, potential, kernel))
    assert solution.name == "exact: sheets"
    assert solution(t, z).numpy() == pytest.approx(particles, abs=1e-8)


@pytest.mark.parametrize(("law", "t"), [(Gaussian(0.2, 0.5), math.sqrt(math.pi / 2)), (Uniform(0.0, 3.0), 3.0)])
def test_sheets_until_two_meet(law: Base, t: float):
    """A sheet catches up with its neighbour at 1/p."""
    solution, z = exact.find(problem(AggregationDiffusion(0.0), law, None, Newtonian())), interior(law)
    assert (solution(0.999 * t, z).diff() > 0).all()
    assert solution(1.001 * t, z).isnan().all()
    assert solution(1.001 * t, z.float()).dtype == torch.float32


# second moment


def integrated(law: Base, f) -> float:
    """int f(z) p(z) dz by scipy's adaptive rule, panel by panel."""
    panels = law.panels()
    return sum(
        quad(lambda z: f(z) * float(law.density(column(z))[0]), a, b, epsabs=1e-13, epsrel=1e-11)[0]
        for a, b in pairwise(panels)
    )


@pytest.mark.parametrize("name", [name for name in AFFINE if second_moment(AFFINE[name], 0.0) is not None])
def test_second_moment_of_the_map(name: str):
    p = AFFINE[name]
    solution = exact.find(p)
    for t in (0.0, 0.5):
        moment = integrated(p.law, lambda z, t=t: float(solution(t, column(z))[0]) ** 2)
        assert second_moment(p, t) == pytest.approx(moment, rel=1e-8)


def test_some_of_the_maps_have_a_second_moment():
    known = [name for name in AFFINE if second_moment(AFFINE[name], 0.0) is not None]
    assert {"heat", "log repulsion"} <= set(known)


@pytest.mark.parametrize("stiffness", [0.0, 0.7, -0.5])
@pytest.mark.parametrize("chi", [0.4, 1.6])
def test_second_moment_of_keller_segel(chi: float, stiffness: float):
    """Its rate at t = 0 is 2 int x v rho, the kernel's velocity from the Hilbert transform of the Gaussian; its
    equation is linear."""
    diffusion, law = 0.9, Gaussian(0.3, 0.8)
    p = problem(KellerSegel(chi, diffusion), law, Well(stiffness) if stiffness else None)

    def rate(x: float) -> float:
        y = (x - law.mean) / law.std
        hilbert = math.sqrt(2) / law.std * dawsn(y / math.sqrt(2))
        score = -y / law.std
        return 2 * x * -(stiffness * x + 2 * chi * hilbert + diffusion * score)

    h, start = 1e-5, law.mean**2 + law.std**2
    now = (second_moment(p, h) - second_moment(p, -h)) / (2 * h)
    expected = integrated(law, rate)
    assert now == pytest.approx(expected, rel=1e-7)
    constant = expected + 2 * stiffness * start
    path = solve_ivp(lambda _, m: constant - 2 * stiffness * m, (0, 0.3), [start], rtol=1e-11, atol=1e-12)
    assert second_moment(p, 0.3) == pytest.approx(path.y[0, -1], rel=1e-9)


@pytest.mark.parametrize(
    "p",
    [
        problem(FokkerPlanck(), Gaussian(), Quartic()),
        problem(PorousMedium(), Barenblatt()),
        problem(AggregationDiffusion(), Gaussian(), None, Newtonian()),
        problem(AggregationDiffusion(), Gaussian(), None, Morse()),
    ],
    ids=["quartic", "porous medium", "newtonian", "morse"],
)
def test_no_second_moment_law_elsewhere(p: Problem):
    assert second_moment(p, 0.1) is None


@pytest.mark.parametrize("potential", [None, Well(0.7, 2.0), Well(-0.1), Expressed("-x"), Expressed("0.2*x**2 + x")])
@pytest.mark.parametrize("interaction", [None, 1.8])
def test_the_variance_vanishes_at_the_bound(potential, interaction: float | None):
    """chi > D: by the equations of mean and variance, integrated until the variance is 0."""
    law, v = Gaussian(0.3, 0.8), potential or Expressed("0*x")
    pde = KellerSegel(1.5, 0.4) if interaction is None else AggregationDiffusion(0.4)
    p = problem(pde, law, potential, None if interaction is None else Log(interaction))
    rate = 0.8 - (3.0 if interaction is None else interaction)

    def moments(_, y):
        here = column(float(y[0]))
        return [-float(v.derivative(here)[0]), rate - 2 * y[1] * float(v.second_derivative(here)[0])]

    path = solve_ivp(moments, (0, 5), [law.mean, law.std**2], rtol=1e-11, atol=1e-12, dense_output=True).sol
    assert blow_up_bound(p) == pytest.approx(brentq(lambda t: path(t)[1], 0, 5), rel=1e-8)


@pytest.mark.parametrize(
    "p",
    [
        problem(KellerSegel(0.9), Gaussian()),
        problem(KellerSegel(1.1), Gaussian(), Well(-0.2)),
        problem(KellerSegel(1.1), Gaussian(), Quartic()),
        problem(FokkerPlanck(), Gaussian()),
    ],
    ids=["subcritical", "pulled apart", "double well", "heat"],
)
def test_no_blow_up_bound(p: Problem):
    assert blow_up_bound(p) is None


def test_where_particles_come_to_rest_finite_volumes_take_over():
    """x' = -1.5 |x|^(1/2) sign x reaches 0 at 3 t = 4 |x(0)|^(1/2) and stays: no Runge-Kutta method follows that."""
    t, law = 0.2, Gaussian()
    flow = wgf.solve(LinearTransport(), potential="abs(x)**1.5", law=law, t_end=t, saves=1)
    known = flow.reference_solution
    assert known.name == "finite volumes"
    z = torch.linspace(-3, 3, 1201, dtype=torch.float64)
    right = z.sign() * (z.abs().sqrt() - 0.75 * t).clamp(min=0) ** 2
    w = law.density(z) * (z[1] - z[0])
    assert float(w @ (known(t, z) - right).abs()) < 2 * known.error
    exact = wgf.solve(LinearTransport(), potential="abs(x)**1.5", law=law, t_end=t, saves=1, reference_solution="exact")
    assert exact.reference_solution is None


def test_a_law_that_has_shrunk_by_more_than_the_root_of_the_least_number():
    """e^(-2kt) underflows where e^(-kt) is a number."""
    flow = exact.find(problem(LinearTransport(), Gaussian(0.0, 1.0), Well(1.0)))
    z = torch.tensor([-1.0, 2.0], dtype=torch.float64)
    assert flow is not None
    np.testing.assert_allclose(flow(500.0, z), z * math.exp(-500.0), rtol=1e-12)
