"""JKO steps never fail where there is diffusion, whatever the problem and the step; the proximal map against scipy."""

import math

import numpy as np
import pytest
import torch
from charts import charted
from laws_and_terms import LAWS, TERMS, away, problem
from scipy.optimize import minimize
from whole_flows import Energies, field_of, flow, start_of

from wgf.integrators.gauss_newton import descend
from wgf.integrators.implicit import JKO
from wgf.integrators.proximal import KinkCurvature, Objective, proximal
from wgf.integrators.status import Status
from wgf.integrators.time_loop import evolve
from wgf.networks.mlp import MLP
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem.equations import AggregationDiffusion
from wgf.problem.interaction import Log
from wgf.problem.internal import Entropy, PowerLaw
from wgf.problem.laws import Barenblatt, Gaussian, Laplace, Mixture, Semicircle, Uniform
from wgf.problem.potential import Expressed, Quadratic, Quartic, Sextic, Zero
from wgf.problem.quadrature import Gauss
from wgf.projection.chart_energy import Landscape
from wgf.projection.field import Projection
from wgf.projection.solvers import QR

# convex or not; all have a lower bound, so that a minimiser exists for every step
EXPRESSIONS = ("cos(3*x) + x**2/4", "5*exp(-x**2) + x**4/8", "sqrt(1 + x**2) - 2*exp(-x**2)", "sin(x)")
STEPS = 4


def drawn_law(rng):
    return [
        lambda: Gaussian(rng.uniform(-2, 2), rng.uniform(0.3, 2)),
        lambda: Uniform(-rng.uniform(0.5, 3), rng.uniform(0.5, 3)),
        lambda: Laplace(rng.uniform(-2, 2), rng.uniform(0.3, 2)),
        lambda: Semicircle(rng.uniform(0.5, 3)),
        lambda: Barenblatt(rng.uniform(1.2, 4), rng.uniform(0.3, 2)),
        lambda: Mixture(
            (-rng.uniform(0.5, 3), rng.uniform(0, 3)),
            (rng.uniform(0.2, 1), rng.uniform(0.2, 1)),
            (1, rng.uniform(0.2, 3)),
        ),
    ][rng.integers(6)]()


def drawn_potential(rng):
    return [
        Zero,
        lambda: Quadratic(rng.uniform(0, 3), rng.uniform(-2, 2)),
        lambda: Quartic(rng.uniform(-4, 4)),
        lambda: Sextic(rng.uniform(-4, 4)),
        *(lambda text=text: Expressed(text) for text in EXPRESSIONS),
    ][rng.integers(4 + len(EXPRESSIONS))]()


def drawn(number):
    """Problem, map and step sizes of one drawing."""
    rng = np.random.default_rng(number)
    law, size = drawn_law(rng), 10 ** rng.uniform(-2, 0.5)
    internal = Entropy(size) if rng.integers(2) else PowerLaw(rng.uniform(1.2, 4), size)
    flowing = problem(law, drawn_potential(rng), internal)
    width, degree, bound = int(rng.integers(2, 41)), int(rng.integers(1, 6)), float(rng.uniform(2, 5))
    map = Spline(width, degree, bound, ["uniform", "quantile"][rng.integers(2)], base=law)
    return flowing, map, 10 ** rng.uniform(-6, 3, STEPS)


def proximally(field, state, tau):
    return JKO().step(field, tau, state)


def descends(what, flowing, map, sizes, step):
    """No step from the start on fails, raises F beyond rounding or folds the map."""
    field = field_of(flowing, map)
    state = start_of(field)
    for tau in sizes:
        taken = step(field, state, float(tau))
        assert taken.failure is None, (what, tau, taken.failure)
        before, state = state.evaluation.terms, taken.state
        after = state.evaluation.terms
        rounding = 1e-14 * (1 + float(before.abs().sum() + after.abs().sum()))
        assert float(after.sum()) <= float(before.sum()) + rounding, (what, tau)
        assert float(state.evaluation.min_slope) > 0, (what, tau)


@pytest.mark.parametrize("batch", range(6))
def test_no_step_fails(batch):
    """180 drawings, 4 steps of sizes 1e-6 to 1e3 each."""
    for number in range(30 * batch, 30 * batch + 30):
        descends(number, *drawn(number), proximally)


def test_drawings_are_diverse():
    problems = [drawn(number) for number in range(180)]
    kinds = [(type(p.law).__name__, type(p.internal).__name__, map.degree) for p, map, _ in problems]
    assert len(set(kinds)) > 50
    assert len({str(p.potential)[:6] for p, _, _ in problems}) > 8
    steps = np.concatenate([sizes for _, _, sizes in problems])
    assert steps.min() < 1e-5
    assert steps.max() > 1e2


@pytest.mark.parametrize("internal", [Entropy(0.1), PowerLaw(2.0, 0.1)], ids=["entropy", "power"])
@pytest.mark.parametrize("expression", ["abs(x - 1)", "abs(x) + x**2/8"])
@pytest.mark.parametrize("tau", [1e-4, 1e-1, 10.0])
def test_kinks_of_a_potential(internal, expression, tau):
    """The second derivative does not show them, yet particles rest on them."""
    flowing = problem(Gaussian(), Expressed(expression), internal)
    descends(expression, flowing, Spline(12, 3, 3.0, base=Gaussian()), 3 * [tau], proximally)


def test_interactions_that_are_not_convex():
    for name in ("log", "morse", "attraction_4_2", "attraction_2.5_1.5", "newtonian"):
        flowing = problem(Gaussian(), Entropy(0.7), TERMS[name])
        descends(name, flowing, Spline(8, 3, 3.0, base=Gaussian()), (1e-4, 1e-2, 0.3, 3.0), proximally)


# the minimiser


def objective_of(field, anchor, tau):
    landscape = field.landscape

    def value(c):
        at = landscape.chart.at_nodes(c)
        if not float(at.dx.min()) > 0:
            return math.inf
        return float(0.5 / tau * landscape.chart.length(c - anchor) ** 2 + landscape.terms(at).sum())

    return value


@pytest.mark.parametrize("tau", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("internal", [Entropy(0.5), PowerLaw(2.0, 0.5)], ids=["entropy", "power"])
@pytest.mark.parametrize("degree", [1, 3])
def test_proximal_map_is_scipys_minimum(degree, internal, tau):
    field = field_of(problem(Gaussian(), Quartic(1.0), internal), Spline(4, degree, 2.0, base=Gaussian()))
    landscape, c = field.landscape, start_of(field).evaluation.point.c
    found = proximal(landscape, c, tau, c)
    assert found.failure is None
    value = objective_of(field, c, tau)

    def slope(vector):
        point = torch.from_numpy(vector)
        pull = landscape.chart.mass.matvec(point - c) / tau
        return (pull + landscape.gradient(landscape.chart.at_nodes(point))).numpy()

    best = minimize(lambda v: value(torch.from_numpy(v)), found.c.numpy() + 0.01, jac=slope, method="BFGS", tol=1e-11)
    assert value(found.c) <= best.fun + 1e-12
    assert np.allclose(found.c.numpy(), best.x, atol=1e-5)
    assert abs(slope(found.c.numpy())).max() < 1e-9
    # from another start the same minimum
    again = proximal(landscape, c, tau, landscape.chart.coordinates(away(field.map, 0.1)))
    if degree == 3 and tau < 1:  # convex enough to have one minimum
        assert torch.allclose(again.c, found.c, atol=1e-8)


def test_proximal_map_where_no_mass_guards_the_slope():
    """Found with a barrier that is taken back; no better point is near."""
    for number in (31, 111):
        flowing, map, sizes = drawn(number)
        field = field_of(flowing, map)
        start = start_of(field).evaluation.point.c
        for tau in (*sizes.tolist(), 5.0, 200.0):
            found = proximal(field.landscape, start, tau, start)
            assert found.failure is None
            value = objective_of(field, start, tau)
            best = value(found.c)
            generator = torch.Generator().manual_seed(number)
            for size in (1e-1, 1e-2, 1e-3):
                for _ in range(20):
                    shake = torch.randn(len(start), generator=generator, dtype=torch.float64)
                    assert value(found.c + size * shake) >= best - 1e-8 * (1 + abs(best))


@pytest.mark.parametrize(
    "make", [lambda: Spline(6, 3, 3.0, base=LAWS["gaussian"]), lambda: TwoSidedReLU(5, 3.0, base=LAWS["gaussian"])]
)
@pytest.mark.parametrize("tau", [1e-3, 0.1, 10.0])
def test_a_quadratic_potential_has_an_affine_step(make, tau):
    """f = a + s (z - mean): (a - mean)/tau = -k (a - m), (s - 1)/tau std^2 = -k std^2 s + D/s."""
    stiffness, center, diffusion = 1.3, 0.4, 0.7
    law = LAWS["gaussian"]
    field = field_of(problem(law, Quadratic(stiffness, center), Entropy(diffusion)), make())
    step = JKO().step(field, tau, start_of(field))
    a = (law.mean + tau * stiffness * center) / (1 + tau * stiffness)
    lead, constant = 1 + tau * stiffness, tau * diffusion / law.std**2
    s = (1 + math.sqrt(1 + 4 * lead * constant)) / (2 * lead)
    at = step.state.evaluation.point.at
    assert torch.allclose(at.x, a + s * (at.nodes.z - law.mean), atol=1e-8)
    seen = at.w > 0
    assert torch.allclose(at.dx[seen], torch.full_like(at.dx[seen], s), atol=1e-7)


def test_a_long_step_ends_in_the_steady_state():
    """tau = 1e3 leads from anywhere to exp(-V/D), whose map is known for a quadratic V."""
    field = field_of(problem(Gaussian(), Quadratic(2.0, -1.0), Entropy(0.5)), Spline(6, 3, 3.0, base=Gaussian()))
    state = start_of(field)
    for _ in range(3):
        state = JKO().step(field, 1e3, state).state
    at = state.evaluation.point.at
    assert torch.allclose(at.x, -1 + 0.5 * at.nodes.z, atol=1e-6)


# without diffusion


@pytest.mark.parametrize(
    "make", [lambda law: Spline(16, 3, 3.0, base=law), lambda law: TwoSidedReLU(16, 3.0, base=law)]
)
def test_a_step_that_would_fold_is_no_solution(make):
    """x - tau cos'(3 x) has slope 1 - 9 tau cos(3 x) for an explicit step; an implicit one folds when it is long."""
    flowing = problem(Gaussian(), Expressed("cos(3*x)"))
    end = flow(flowing, make(Gaussian()), JKO(dt=1.0), 5.0)
    assert end.status is Status.folded
    assert float(end.state.evaluation.min_slope) > 0
    assert end.clock.t < 5.0


def test_without_diffusion_a_short_step_is_fine():
    log = Energies()
    end = flow(problem(Gaussian(), Quartic(1.0)), Spline(12, 3, 3.0, base=Gaussian()), JKO(dt=1e-3), 0.1, log)
    assert end.status is Status.completed
    assert (np.diff(log.energies) < 0).all()


# any network


def drawn_network(number):
    rng = np.random.default_rng(1000 + number)
    law, size = drawn_law(rng), 10 ** rng.uniform(-1.5, 0.5)
    internal = Entropy(size) if rng.integers(2) else PowerLaw(rng.uniform(1.2, 4), size)
    flowing = problem(law, drawn_potential(rng), internal)
    width = int(rng.integers(2, 9))
    if rng.integers(2):
        map = TwoSidedReLU(width, 2.5, "all", base=law)
    else:
        map = MLP(width, base=law, generator=torch.Generator().manual_seed(number))
    return flowing, map, 10 ** rng.uniform(-6, 0, 2)


@pytest.mark.parametrize("batch", range(4))
def test_gauss_newton_descends(batch):
    for number in range(10 * batch, 10 * batch + 10):
        descends(number, *drawn_network(number), descend)


def test_gauss_newton_goes_all_the_way():
    """The parts of a step that were cut add up to the step."""
    map = TwoSidedReLU(6, 3.0, "all", base=Gaussian())
    field = field_of(problem(Gaussian(), Quartic(1.0), Entropy(1.0)), map)
    state = start_of(field)
    whole = descend(field, state, 2e-3).state
    for _ in range(8):
        state = descend(field, state, 2e-3 / 8).state
    gap = float(state.evaluation.length(whole.theta - state.theta))
    assert gap < 0.15 * float(state.evaluation.length(whole.theta - map.theta.detach()))
    assert float(whole.evaluation.terms.sum()) < float(field(map.theta.detach()).terms.sum()) - 0.03


def test_a_step_without_a_way_down_says_why():
    """An energy that the direction does not know: every step raises it."""
    field = field_of(problem(Gaussian(), Quartic(1.0), Entropy(1.0)), TwoSidedReLU(3, 2.0, "all", base=Gaussian()))
    state = start_of(field)
    terms, x = field.terms, field.at_nodes(state.theta).x.detach()
    field.terms = lambda at: terms(at) + 1e6 * (at.x - x).norm()
    step = descend(field, state, 0.1)
    assert "no part of the step lowers" in step.failure
    assert step.state is state


def test_parts_of_a_step_grow_again_and_are_bounded():
    """A map that nearly folds needs short parts; with as short ones to its end a step would never be done."""
    law = Mixture((-1.8, 1.37), (0.312, 0.439), (0.546, 0.939))
    field = Projection(problem(law, Entropy(0.847), Sextic(0.6)), Spline(4, 3, 2.51, base=law), Gauss(8), QR())
    end = evolve(field, JKO(1.51e-4), field.map.theta.detach(), [0.00302], Energies())
    assert end.status is Status.completed
    assert end.clock.evaluations < 200


def test_rounding_of_a_smooth_force_is_no_kink():
    """A quadratic potential in units that round: no move, however short, shows a curvature beyond its own."""
    law = Gaussian(0.3, 1e3)
    field = field_of(problem(law, Quadratic(1e-9, 7.0), Entropy(1.0)), Spline(24, 3, base=law))
    landscape, c = field.landscape, start_of(field).evaluation.point.c
    objective = Objective(landscape, c, 1.0)
    here = landscape.chart.at_nodes(c)
    generator = torch.Generator().manual_seed(3)
    for length in 10.0 ** torch.arange(-9, 4):
        step = length * torch.randn(len(c), generator=generator, dtype=torch.float64)
        assert not KinkCurvature(objective, here).seen(landscape.chart.at_nodes(c + step)).any()


@pytest.mark.parametrize("length", [2.0**-60, 2.0**-30, 2.0**20])
def test_the_size_of_an_objective_is_the_same_in_any_unit_of_length(length: float):
    def size_of(unit: float) -> float:
        """Of a Gaussian law under an entropy and a log kernel, which count logarithms of lengths (unit^2)."""
        law = Gaussian(0.3 * unit, 0.7 * unit)
        pde = AggregationDiffusion(diffusion=1.3 * unit**2, exponent=1.0)
        chart = charted(Spline(8, base=law))
        posed = pde.problem(law, Expressed(f"{unit**2!r}*(x/{unit!r})**4"), Log(0.4 * unit**2), 1.0)
        c = chart.coordinates(Spline(8, base=law).theta.detach())
        objective = Objective(Landscape(posed, chart), 0.9 * c, 0.1)
        return objective(c, chart.at_nodes(c))[1] / unit**2

    assert size_of(length) == pytest.approx(size_of(1.0), rel=1e-12)
