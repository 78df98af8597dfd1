"""Orders and accuracy of the implicit methods, in time and in space, and the collapse of supercritical Keller-Segel."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from laws_and_terms import lengths, network, problem
from whole_flows import Energies, field_of, fine_grid, flow, march, reference_map, start_of, w1

from wgf.errors import ConfigError
from wgf.integrators.base import State
from wgf.integrators.explicit import Dopri5
from wgf.integrators.gauss_newton import GaussNewton
from wgf.integrators.implicit import JKO, SDIRK2, SDIRK3, Rodas4
from wgf.integrators.status import Status
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem import interaction
from wgf.problem.equations import KellerSegel
from wgf.problem.internal import Entropy, PowerLaw
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed, Quadratic, Quartic, Sextic, Zero
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Truncated

LAW = Gaussian(0.0, 1.0)
QUARTIC = problem(LAW, Quartic(1.0), Entropy(1.0))
SEXTIC = problem(LAW, Sextic(4.0), Entropy(1.0))
NONSTIFF = problem(LAW, Expressed("-x**2/2 + 0.2*sin(x)"))
ACCURATE = {"rtol": 1e-7, "atol": 1e-10}


# in time, at a fixed space


@pytest.fixture(scope="module")
def exact_in_time():
    """The same space integrated until nothing moves any more."""

    @cache
    def of(flowing, map, t):
        field = field_of(flowing, map)
        return field, march(field, Rodas4(), t, 500).theta

    return of


CUBIC, SMALL = (Spline(width, 3, 3.0, base=LAW) for width in (8, 6))
# problem, network, end time, numbers of steps, order, the largest error with the most steps
ORDERS = {
    JKO(): (QUARTIC, CUBIC, 0.2, (40, 80), 1, 1.3e-3),
    SDIRK2(): (QUARTIC, CUBIC, 0.2, (20, 40, 80), 2, 3.5e-6),
    SDIRK3(): (QUARTIC, CUBIC, 0.2, (40, 80, 160), 3, 1.4e-8),
    Rodas4(): (QUARTIC, CUBIC, 0.2, (24, 48, 96), 4, 6e-11),
    Dopri5(): (NONSTIFF, SMALL, 0.5, (5, 10, 20), 5, 4e-12),
    GaussNewton(damping=0.0): (QUARTIC, SMALL, 0.2, (20, 40, 80), 2, 3e-5),
}


@pytest.mark.parametrize("integrator", ORDERS, ids=lambda integrator: type(integrator).__name__)
def test_order_in_time(integrator, exact_in_time):
    flowing, map, t, counts, order, error = ORDERS[integrator]
    field, exact = exact_in_time(flowing, map, t)
    length = start_of(field).evaluation.length
    errors = np.array([float(length(march(field, integrator, t, count).theta - exact)) for count in counts])
    slopes = np.log2(errors[:-1] / errors[1:])
    assert abs(slopes - order).max() < 0.15, slopes
    assert errors[-1] < error
    assert integrator.order == order


def test_rodas_meets_the_conditions_of_order_4():
    """Hairer and Wanner, Solving ODEs II, section IV.7, in the variables of the untransformed method."""
    gamma, m = Rodas4.gamma, np.array([*Rodas4.a[5], 1.0])
    a, c = np.zeros((6, 6)), np.zeros((6, 6))
    for i in range(1, 6):
        a[i, :i], c[i, :i] = Rodas4.a[i], Rodas4.c[i]
    big = np.linalg.inv(np.eye(6) / gamma - c)  # Gamma
    alpha, b = a @ big, m @ big
    beta = alpha + big
    off = beta - gamma * np.eye(6)
    row, steps = off.sum(1), alpha.sum(1)
    conditions = [
        (b.sum(), 1),
        (b @ row, 1 / 2 - gamma),
        (b @ steps**2, 1 / 3),
        (b @ off @ row, 1 / 6 - gamma + gamma**2),
        (b @ steps**3, 1 / 4),
        (b @ (steps * (alpha @ row)), 1 / 8 - gamma / 3),
        (b @ off @ steps**2, 1 / 12 - gamma / 3),
        (b @ off @ off @ row, 1 / 24 - gamma / 2 + 3 * gamma**2 / 2 - gamma**3),
    ]
    assert np.diag(big) == pytest.approx(gamma)
    for left, right in conditions:
        assert left == pytest.approx(right, abs=1e-14)
    # stiffly accurate: the last stage is the step
    assert np.allclose(beta[5], b, atol=1e-13)
    # the embedded method, without u_6, is of order 3
    low = np.array([*Rodas4.a[5], 0.0]) @ big
    for k in (0, 1, 2, 3):
        values = [low.sum(), low @ row, low @ steps**2, low @ off @ row]
        assert values[k] == pytest.approx(conditions[k][1], abs=1e-13)
    assert abs(low @ steps**3 - 1 / 4) > 1e-3


@pytest.mark.parametrize("method", [SDIRK2, SDIRK3])
def test_diagonally_implicit_tableaus(method):
    """Row sums and the conditions of the order; the last row is the step."""
    stages = len(method.lower) + 1
    a = np.diag([method.gamma] * stages)
    for i, row in enumerate(method.lower, start=1):
        a[i, :i] = row
    b, c = a[-1], a.sum(1)
    moments = [b.sum(), b @ c, b @ c**2, b @ a @ c][: {2: 2, 3: 4}[method.order]]
    assert moments == pytest.approx([1, 1 / 2, 1 / 3, 1 / 6][: len(moments)], abs=1e-14)
    # L-stable: R(infinity) = 1 - b A^-1 1 = 0
    assert 1 - b @ np.linalg.solve(a, np.ones(stages)) == pytest.approx(0, abs=1e-13)


INTEGRATORS = [JKO(), SDIRK2(), SDIRK3(), Rodas4(), Dopri5(), GaussNewton()]
every_integrator = pytest.mark.parametrize("integrator", INTEGRATORS, ids=[type(i).__name__ for i in INTEGRATORS])


@every_integrator
@pytest.mark.parametrize("make", [lambda: Spline(6, 3, 3.0, base=LAW), lambda: TwoSidedReLU(6, 3.0, base=LAW)])
def test_a_step_changes_nothing(integrator, make):
    field = field_of(QUARTIC, make())
    state = start_of(field)

    def tensors():
        point = state.evaluation.point
        return state.theta, state.evaluation.velocity, point.c, point.gradient, point.at.dx

    kept = [t.clone() for t in tensors()]
    first = integrator.step(field, 1e-3, state)
    integrator.step(field, 3e-3, first.state)
    again = integrator.step(field, 1e-3, state)
    assert torch.equal(first.state.theta, again.state.theta)
    assert torch.equal(first.state.evaluation.velocity, again.state.evaluation.velocity)
    assert all(torch.equal(old, now) for old, now in zip(kept, tensors(), strict=True))
    assert not torch.equal(first.state.theta, state.theta)


@pytest.mark.parametrize(("integrator", "power"), [(Rodas4(), 4), (GaussNewton(damping=1e-9), 2), (Dopri5(), 5)])
def test_the_error_estimate_scales_with_the_step(integrator, power):
    flowing, dt = (NONSTIFF, 0.2) if isinstance(integrator, Dopri5) else (QUARTIC, 4e-4)
    field = field_of(flowing, Spline(5, 3, 3.0, base=LAW))
    state = march(field, Rodas4(), 0.05, 50)  # away from the start, where the first derivatives vanish by symmetry
    errors = [float(integrator.step(field, dt / 2**k, state).error) for k in range(3)]
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx([power, power], abs=0.35)


@pytest.mark.parametrize("train", ["all", "mlp"])
def test_the_damping_does_not_depend_on_the_unit_of_length(train):
    places, errors = [], []
    for unit in (1.0, 2.0**-9):
        law = Gaussian(0.3 * unit, 1.2 * unit)
        flowing = problem(law, Quadratic(1.0, 0.5 * unit), Entropy(0.7 * unit**2))
        field = Projection(flowing, network(law, train, 3), Gauss(), Truncated(1e-2))
        theta = field.initial + 0.1 * torch.arange(len(field.initial)).sin() * lengths(train, unit)
        step = GaussNewton(damping=1e-2).step(field, 0.01, State(theta, field(theta)))
        z = unit * torch.linspace(-3, 3, 50, dtype=torch.float64)
        places.append(field.map.f(step.state.theta, z) - field.map.f(theta, z))
        errors.append(float(step.error))
    assert torch.allclose(places[1] / 2.0**-9, places[0], rtol=1e-9, atol=1e-12)
    assert errors[1] == pytest.approx(errors[0], rel=1e-6)


def test_the_error_estimate_is_measured_by_the_tolerances():
    field = field_of(QUARTIC, Spline(5, 3, 3.0, base=LAW))
    state = start_of(field)
    one, two = (Rodas4(rtol=rtol, atol=0.0).step(field, 1e-3, state).error for rtol in (1e-4, 1e-6))
    assert float(two / one) == pytest.approx(100, rel=1e-9)


def test_tolerance_governs_the_error_of_a_run():
    map = Spline(8, 3, 3.0, base=LAW)
    field = field_of(QUARTIC, map)
    exact = march(field, Rodas4(), 0.2, 500).theta
    length = start_of(field).evaluation.length
    errors = [
        float(length(flow(QUARTIC, map, Rodas4(rtol=rtol, atol=1e-13), 0.2).state.theta - exact))
        for rtol in (1e-4, 1e-6, 1e-8)
    ]
    for error, rtol in zip(errors, (1e-4, 1e-6, 1e-8), strict=True):
        assert 1e-3 * rtol < error < 5 * rtol


@pytest.mark.parametrize("integrator", [JKO(dt=0.02), SDIRK2(dt=0.02), SDIRK3(dt=0.02), Rodas4()])
def test_energy_falls_by_what_is_dissipated(integrator):
    log = Energies()
    end = flow(QUARTIC, Spline(12, 3, 3.5, base=LAW), integrator, 0.2, log)
    assert end.status is Status.completed
    assert (np.diff(log.energies) <= 0).all()
    assert min(log.slopes) > 0
    lost = log.energies[0] - log.energies[-1]
    assert end.clock.dissipated == pytest.approx(lost, rel=5e-3 if isinstance(integrator, Rodas4) else 0.3)


@pytest.mark.parametrize("integrator", [SDIRK3(), Rodas4()], ids=["sdirk3", "rodas4"])
def test_a_map_without_a_chart_is_refused(integrator):
    field = field_of(QUARTIC, TwoSidedReLU(4, 3.0, "all", base=LAW))
    with pytest.raises(ConfigError, match="linear in its parameters"):
        integrator.on(field)


def test_a_rosenbrock_step_that_is_too_long_for_a_concave_energy_says_so():
    field = field_of(problem(LAW, Expressed("-x**2/2")), Spline(4, 3, 3.0, base=LAW))
    state = start_of(field)
    step = Rodas4().step(field, 100.0, state)
    assert "concave" in step.failure
    assert step.state is state
    assert Rodas4().step(field, 0.1, state).failure is None


# in space

# W1 of a prototype, breakpoints on -+4 (m < 32) or -+5; here -+3.5 and -+4.5 serve both error and tails better
TABLE = {
    1: (1.2e-1, 2.4e-2, 4.7e-3, 1.6e-3, 3.9e-4),
    3: (4.6e-2, 4.4e-3, 3.1e-4, 1.8e-5, 7.6e-7),
    5: (1.5e-2, 1.5e-3, 1.7e-4, 2.2e-6, 5e-8),
}
WIDTHS = (4, 8, 16, 32, 64)


def quartic_error(width, degree, bound):
    map = Spline(width, degree, bound, base=LAW)
    end = flow(QUARTIC, map, Rodas4(rtol=1e-8, atol=1e-11), 0.2)
    assert end.status is Status.completed
    return w1(map, end.state.theta, reference_map("quartic"))


@pytest.mark.parametrize("degree", TABLE)
def test_errors_of_splines(degree):
    errors = [quartic_error(width, degree, 3.5 if width < 32 else 4.5) for width in WIDTHS]
    assert (np.array(errors) <= TABLE[degree]).all(), errors


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_order_in_space(degree):
    """Between 16 and 64 breakpoints on -+4.5, where the tails do not yet show."""
    errors = [quartic_error(width, degree, 4.5) for width in (16, 64)]
    assert np.log2(errors[0] / errors[1]) / 2 > degree + 1 - 0.3


@pytest.mark.parametrize("integrator", [SDIRK3(dt=0.2 / 80), Rodas4(rtol=1e-6)], ids=["sdirk3", "rodas4"])
def test_errors_of_the_paper_network(integrator):
    """Weights only, knots on -+4: ln W1 of a prototype."""
    for width, expected in ((4, -2.116), (8, -3.719), (16, -5.353), (32, -6.877)):
        map = TwoSidedReLU(width, 4.0, base=LAW)
        end = flow(QUARTIC, map, integrator, 0.2)
        assert np.log(w1(map, end.state.theta, reference_map("quartic"))) == pytest.approx(expected, abs=0.01)


@pytest.fixture(scope="module")
def porous_medium_maps():
    """T(1, .) from N(0, 1) for the exponents 2 and 3, on the fine grid."""
    z, _ = fine_grid()
    with np.load(Path(__file__).parents[1] / "data" / "porous_medium_reference.npz") as data:
        return {g: np.polynomial.Chebyshev.fit(data["z"], data[f"map_{g}"], 239, domain=[-5.5, 5.5])(z) for g in (2, 3)}


@pytest.mark.parametrize(
    ("exponent", "bounds"), [(2, (6.4e-4, 8.1e-5, 6e-6)), (3, (3e-3, 2.7e-4, 5.2e-6))], ids=["g=2", "g=3"]
)
def test_porous_medium_from_a_gaussian(exponent, bounds, porous_medium_maps):
    flowing = problem(LAW, PowerLaw(float(exponent)))
    for width, bound in zip((8, 16, 32), bounds, strict=True):
        map = Spline(width, 3, 3.5, base=LAW)
        end = flow(flowing, map, Rodas4(**ACCURATE), 1.0)
        assert end.status is Status.completed
        assert w1(map, end.state.theta, porous_medium_maps[exponent]) <= bound


# keller_segel


def keller_segel(chi, t_end):
    return KellerSegel(chi, 1.0).problem(LAW, Zero(), interaction.Zero(), t_end)


@pytest.mark.parametrize("chi", [0.5, 1.5])
@pytest.mark.parametrize(("width", "degree"), [(4, 1), (8, 3), (16, 3)])
def test_second_moment_obeys_its_law(chi, width, degree):
    map = Spline(width, degree, 4.0, base=LAW)
    end = flow(keller_segel(chi, 0.3), map, Rodas4(**ACCURATE), 0.3)
    assert end.status is Status.completed
    assert float(end.state.evaluation.scale) ** 2 == pytest.approx(1 + 2 * (1 - chi) * 0.3, abs=1e-8)


@pytest.mark.parametrize(
    ("integrator", "width", "degree"),
    [(JKO(dt=0.01), 8, 3), (SDIRK3(dt=0.01), 8, 3), (Rodas4(rtol=1e-5), 8, 3), (Dopri5(rtol=1e-2), 4, 3)],
    ids=["jko", "sdirk3", "rodas4", "dopri5"],
)
def test_supercritical_keller_segel_blows_up(integrator, width, degree):
    """At the latest when the second moment reaches 0: t = 1 / (2 (1.5 - 1)) = 1."""
    log = Energies()
    end = flow(keller_segel(1.5, 5.0), Spline(width, degree, 4.0, base=LAW), integrator, 5.0, log)
    assert end.status is Status.blow_up
    assert 0.6 < end.clock.t < 1.0
    assert (np.diff(log.energies) <= 1e-12).all()
    assert np.isfinite(log.energies).all()
    assert float(end.state.evaluation.min_slope) < 0.04
