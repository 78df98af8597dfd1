"""Extrapolated steps with moving knots: order, errors against reference solutions, energy, statuses."""

import math

import numpy as np
import pytest
import torch
from whole_flows import Energies, field_of, flow, march, start_of

import wgf
from wgf.api import solve
from wgf.assemble import assemble
from wgf.errors import ConfigError
from wgf.integrators import adapted, time_loop
from wgf.integrators.auto import Auto as AutoIntegrator
from wgf.integrators.gauss_newton import GaussNewton
from wgf.integrators.implicit import JKO
from wgf.integrators.limex import Limex
from wgf.integrators.status import Status
from wgf.networks.knot_space import Broken
from wgf.networks.relu import TwoSidedReLU, reach
from wgf.networks.spline import Spline
from wgf.problem.equations import FokkerPlanck, KellerSegel, LinearTransport, PorousMedium
from wgf.problem.interaction import Zero as NoInteraction
from wgf.problem.laws import Barenblatt, Gaussian
from wgf.problem.potential import Quartic, Sextic
from wgf.problem.potential import Zero as NoPotential
from wgf.problem.quadrature import Gauss
from wgf.projection.knots import KnotFlow
from wgf.projection.solvers import Auto

LAW = Gaussian()
# the equation, its potential and law, end time, and ln W1 for m = 4 and 16 by the default settings
CASES = {
    "fokker_planck_quartic": (FokkerPlanck(), Quartic(1.0), LAW, 0.2, (-4.90, -8.08)),
    "fokker_planck_sextic": (FokkerPlanck(), Sextic(4.0), LAW, 1e-3, (-5.76, -8.76)),
    "porous_medium": (PorousMedium(), NoPotential(), LAW, 1.0, (-4.85, -7.92)),
    "keller_segel_0.5": (KellerSegel(0.5), NoPotential(), LAW, 0.3, (-5.87, -9.01)),
    "keller_segel_1.5": (KellerSegel(1.5), NoPotential(), LAW, 0.3, (-4.14, -6.99)),
    "transport_quartic": (LinearTransport(), Quartic(1.0), LAW, 0.2, (-4.81, -8.00)),
    "transport_sextic": (LinearTransport(), Sextic(4.0), LAW, 1e-3, (-5.74, -8.74)),
}


def problem_of(name):
    pde, potential, law, t, _ = CASES[name]
    return pde.problem(law, potential, NoInteraction(), t)


def network(start="uniform", width=6, law=LAW):
    return TwoSidedReLU(width, 4.0, "all", start, base=law)


@pytest.mark.parametrize("name", CASES)
def test_default_settings_reach_the_errors_of_the_table(name):
    pde, potential, law, t, wanted = CASES[name]
    known = None
    for width, ln_w1 in zip((4, 16), wanted, strict=True):
        found = solve(pde, t_end=t, potential=potential, network=TwoSidedReLU(width, train="all", base=law), saves=1)
        assert found.status is Status.completed
        known = known or found.reference_solution
        assert np.log(found.w1(known)) <= ln_w1 + 0.05
        lost = found.energy[0] - found.energy[-1]
        assert lost > 0
        assert found.clock.dissipated == pytest.approx(
            lost, rel=6e-4 if (name, width) == ("keller_segel_1.5", 4) else 1e-4
        )


@pytest.mark.parametrize("start", ["paired", "uniform", "adapted"])
@pytest.mark.parametrize("width", [2, 9])
def test_barenblatt_is_exact_up_to_the_time_steps(width, start):
    network = TwoSidedReLU(width, train="all", start=start, base=Barenblatt())
    found = solve(PorousMedium(), t_end=1.0, network=network, saves=1)
    assert found.w1(found.reference_solution) < 1e-7


@pytest.mark.parametrize("name", ["fokker_planck_quartic", "keller_segel_1.5"])
def test_steps_have_order_four(name):
    field = field_of(problem_of(name), network())
    space = field.knots.space
    t = 0.05 * field.problem.t_end
    ends = [space.coordinates(march(field, Limex(), t, n).theta) for n in (4, 8, 16, 48)]
    errors = [float((y - ends[-1]).norm()) for y in ends[:-1]]
    assert np.log2(errors[0] / errors[1]) > 3.5
    assert np.log2(errors[1] / errors[2]) > 3.6
    assert errors[-1] < 1e-6


def test_dissipated_energy_has_order_four():
    field = field_of(problem_of("fokker_planck_quartic"), network())
    errors = []
    for n in (4, 8, 16):
        state, lost = start_of(field), 0.0
        first = float(state.evaluation.terms.sum())
        for _ in range(n):
            step = Limex().step(field, 0.02 / n, state)
            state, lost = step.state, lost + float(step.dissipated)
        errors.append(abs(lost - (first - float(state.evaluation.terms.sum()))))
    assert np.log2(errors[0] / errors[1]) > 3
    assert errors[-1] < 1e-5


def test_error_estimate_scales_with_the_step():
    field = field_of(problem_of("fokker_planck_quartic"), network())
    state = march(field, Limex(), 0.02, 20)
    errors = [float(Limex().step(field, 1e-3 / 2**k, state).error) for k in range(3)]
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx([4, 4], abs=0.5)


def test_a_step_changes_nothing():
    field = field_of(problem_of("fokker_planck_quartic"), network())
    state = start_of(field)
    point = state.evaluation.knots
    kept = [t.clone() for t in (state.theta, point.y, point.gradient, point.mass.band, point.metric.band)]
    first = Limex().step(field, 1e-3, state)
    again = Limex().step(field, 1e-3, state)
    assert torch.equal(first.state.theta, again.state.theta)
    now = (state.theta, point.y, point.gradient, point.mass.band, point.metric.band)
    assert all(torch.equal(a, b) for a, b in zip(kept, now, strict=True))


def test_energy_falls_and_cells_stay_open():
    """|log h(t)/h(0)| <= sqrt(t (F(0) - F(t)) / (viscosity c0)) in exact time."""
    map = network(width=12)
    field = field_of(problem_of("fokker_planck_quartic"), map)
    log = Energies()
    end = flow(field.problem, map, Limex(rtol=1e-4), 2.0, log)
    assert end.status is Status.completed
    assert (np.diff(log.energies) <= 1e-12).all()
    assert min(log.slopes) > 0
    change = (end.state.evaluation.knots.map.h / map.start_knots.diff()).log().abs().max()
    bound = np.sqrt(2.0 * (log.energies[0] - log.energies[-1]) / (1e-2 * float(field.knots.c0)))
    assert float(change) < bound


def test_supercritical_keller_segel_blows_up():
    pde = KellerSegel(1.5)
    end = flow(pde.problem(LAW, NoPotential(), NoInteraction(), 5.0), network(), Limex(rtol=1e-4), 5.0)
    assert end.status is Status.blow_up
    assert 0.4 < end.clock.t < 1.0


def test_transport_that_folds_says_so():
    pde = LinearTransport()
    end = flow(pde.problem(LAW, Quartic(1.0), NoInteraction(), 3.0), network("paired", 4), Limex(rtol=1e-4), 3.0)
    assert end.status in (Status.folded, Status.step_too_small)
    assert "folds" in f"{end.status.value} {end.detail}"


def test_jko_takes_moving_knots():
    log = Energies()
    end = flow(problem_of("fokker_planck_quartic"), network(), JKO(1e-2), 0.2, log)
    assert end.status is Status.completed
    assert (np.diff(log.energies) <= 0).all()
    other = flow(problem_of("fokker_planck_quartic"), network(), Limex(), 0.2)
    gap = end.state.evaluation.knots.y - other.state.evaluation.knots.y
    assert float(end.state.evaluation.knots.length(gap)) < 0.02


def test_adapted_knots_are_the_choice_of_auto_and_do_not_change_the_given_network():
    given = TwoSidedReLU(8, train="all", base=LAW)
    before = given.theta.detach().clone()
    parts = problem_of("fokker_planck_quartic"), lambda base: given, Gauss(), Auto(), AutoIntegrator(), "cpu", "float64"
    projection, method = assemble(*parts)
    assert isinstance(method, Limex)
    assert isinstance(projection.knots, KnotFlow)
    assert torch.equal(given.theta, before)
    knots = projection.map.start_knots
    assert (knots.diff() > 0).all()
    assert not torch.allclose(knots, given.start_knots, atol=0.1)
    assert torch.allclose(projection.map(knots), knots, atol=1e-13)


def test_knots_that_fold_the_map_give_way_to_pairs():
    """A tail in which the force waves: close knots beside it fold the map, pairs do not."""
    law = wgf.Laplace(0.8, 0.65)
    wave = "0.214*(x + 1.15)**2 + 0.67*cos(x + 4.98) + 0.43*cos(2*x + 6.03) - 0.32*cos(3*x + 0.83)"

    def found(start: str) -> wgf.Flow:
        network = TwoSidedReLU(17, 4.0, "all", start, base=law)
        return wgf.solve(
            wgf.LinearTransport(), potential=wave, law=law, network=network, t_end=0.385, saves=1,
            reference_solution="none",
        )  # fmt: skip

    with pytest.warns(wgf.Incomplete, match="folds the map"):
        found("uniform")
    flow = found("auto")
    assert flow.status is Status.completed
    assert len(flow.projection.map.start_knots) == 17


def test_knots_gather_where_a_coarse_run_blows_up(monkeypatch):
    monkeypatch.setattr(adapted, "WIDTH", 3)
    monkeypatch.setattr(time_loop, "COLLAPSE", 0.2)  # sooner
    problem = KellerSegel(20.0).problem(LAW, Quartic(0.0), NoInteraction(), 1.0)  # wells at -1 and 1
    map = adapted.adapted(problem, network(width=8), Auto())
    widths = map.start_knots.diff()
    assert len(widths) == 13
    assert widths.min() < 0.5 * widths.max()


@pytest.mark.parametrize("r", [1.0, 1.1])
def test_knots_have_the_density_of_the_smallest_error(r, monkeypatch):
    """For T'' constant the density is p^(1/(2r+1)): a wider Gaussian, whose quantiles are known."""
    monkeypatch.setattr(adapted, "POWER", r)
    b = torch.linspace(-6, 6, 400, dtype=torch.float64)
    parabola = Broken(b, 0.05 * b**2, torch.cat([b[:1] * 0.1, 0.1 * 0.5 * (b[1:] + b[:-1]), b[-1:] * 0.1]))
    knots = adapted.equidistributed(LAW, parabola, 9)
    wider = wgf.Gaussian(0.0, math.sqrt(2 * r + 1))
    low, high = reach(LAW)
    ends = wider.cdf(torch.tensor([low, high], dtype=torch.float64))
    levels = ends[0] + (ends[1] - ends[0]) * torch.arange(1, 10, dtype=torch.float64) / 10
    assert torch.allclose(knots, wider.quantile(levels), atol=5e-3)


def test_misfits_are_refused():
    field = field_of(problem_of("fokker_planck_quartic"), network())
    with pytest.raises(ConfigError, match="gauss_newton does not move knots"):
        GaussNewton().on(field)
    other = field_of(problem_of("fokker_planck_quartic"), Spline(6, base=LAW))
    with pytest.raises(ConfigError, match="limex needs moving knots"):
        Limex().on(other)
    with pytest.raises(ConfigError, match="start=uniform is possible only"):
        TwoSidedReLU(4, start="uniform", base=LAW)
