"""Breakpoints that follow the solution: estimated errors, transfers, and what a flow does with them."""

import math

import numpy as np
import pytest
import torch
from laws_and_terms import tensor
from scipy.interpolate import BSpline

import wgf
from wgf.engine.compiled import run
from wgf.errors import ConfigError
from wgf.integrators.base import State
from wgf.integrators.implicit import Rodas4
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.status import Status
from wgf.integrators.time_loop import Clock
from wgf.networks.spline import MOST, WIDTH, Spline
from wgf.problem.domain import Line
from wgf.problem.interaction import Zero as NoInteraction
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed
from wgf.problem.quadrature import Gauss
from wgf.projection.chart import Chart
from wgf.projection.field import Projection
from wgf.projection.indicator import Indicator, derivative
from wgf.projection.remesh import alternate, mesh_of
from wgf.projection.solvers import Auto
from wgf.projection.transfer import transferred

LAW = Gaussian(0.3, 1.2)
WELLS = "x**4/4 - x**2/2"


def projection(network, potential=WELLS):
    problem = wgf.FokkerPlanck().problem(network.base, Expressed(potential), NoInteraction(), 0.2)
    return Projection(problem, network, Gauss(), Auto())


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_derivatives_are_those_of_scipy(degree):
    space = Spline(7, degree, 2.5, base=LAW).on_breakpoints(tensor([-3.0, -1.1, -1.0, 0.2, 0.9, 2.5])).space()
    c = torch.linspace(-1, 1, space.size, dtype=torch.float64) ** 3
    points = space.points.numpy()
    whole = BSpline(np.r_[[points[0]] * degree, points, [points[-1]] * degree], c.numpy(), degree)
    middles = 0.5 * (points[1:] + points[:-1])
    assert derivative(space, c, degree).numpy() == pytest.approx(whole.derivative(degree)(middles), rel=1e-10)
    if degree > 1:
        ends = derivative(space, c, 2)[[0, -1]].numpy()
        assert ends == pytest.approx(whole.derivative(2)(points[[0, -1]] * (1 - 1e-12)), rel=1e-6)


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_the_estimate_is_near_the_error_of_the_best_spline(degree):
    network = Spline(24, degree, 3.0, base=LAW)
    nodes = Gauss(12).nodes(LAW, network.points)
    chart = Chart(network.space(), nodes, nodes, Line())
    goal = nodes.z + 0.3 * torch.exp(-((nodes.z - 0.3) ** 2))
    c = chart.project(chart.load(nodes.w * goal, torch.zeros_like(goal)))
    inside = (nodes.z > network.points[0]) & (nodes.z < network.points[-1])
    true = float(torch.dot(nodes.w * inside, (chart.at_nodes(c).x - goal) ** 2).sqrt())
    estimated = math.sqrt(float(Indicator(chart).errors(chart.lift(c)).cells.sum()))
    assert 0.4 < estimated / true < 3


def test_transfers_are_exact_on_finer_meshes_and_measured_on_coarser_ones():
    network = Spline(9, base=LAW)
    flow = projection(network)
    theta = network.theta.detach() + 0.1 * torch.sin(network.theta.detach())
    middles = 0.5 * (network.points[1:] + network.points[:-1])
    finer = transferred(flow, theta, torch.cat([network.points, middles]).sort().values)
    z = torch.linspace(-9.5, 10, 4001, dtype=torch.float64)
    before = network.evaluate(theta, z)[0]
    assert finer.distance < 1e-13
    assert finer.projection.map.evaluate(finer.theta, z)[0].numpy() == pytest.approx(before.numpy(), abs=1e-12)
    coarser = transferred(flow, theta, network.points[[0, 1, 2, 4, 6, 7, 8]])
    after = coarser.projection.map.evaluate(coarser.theta, z)[0]
    distance = torch.trapezoid((after - before) ** 2 * LAW.density(z), z).sqrt()
    assert coarser.distance == pytest.approx(float(distance), rel=1e-3)
    assert coarser.distance > 1e-5


def test_alternate_takes_no_neighbours():
    runs = torch.tensor([1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1], dtype=torch.bool)
    cost = torch.tensor([5, 1, 5, 0, 3, 2, 0, 0, 9, 0, 4, 1, 1, 4], dtype=torch.float64)
    wanted = [True, False, True, False, False, True, False, False, True, False, True, False, False, True]
    assert alternate(runs, cost).tolist() == wanted
    assert not alternate(runs[4:6], torch.ones(2)).any()  # of two that are alike neither is better


@pytest.mark.parametrize("seed", range(50))
def test_alternate_has_no_direction(seed: int):
    generator = torch.Generator().manual_seed(seed)
    runs, cost = torch.rand(30, generator=generator) < 0.8, torch.rand(30, generator=generator)
    chosen = alternate(runs, cost)
    assert torch.equal(alternate(runs.flip(0), cost.flip(0)).flip(0), chosen)
    assert not (chosen & ~runs).any()
    assert not (chosen[:-1] & chosen[1:]).any()
    assert int(chosen.sum()) >= 0.4 * int(runs.sum()) - 1


class Watched(SavedStates):
    """Saved states, energies of all steps, and numbers of breakpoints."""

    def __init__(self, map):
        super().__init__(map)
        self.energies, self.counts, self.changes = [], [], 0

    def remesh(self, map):
        super().remesh(map)
        self.changes += 1

    def step(self, clock: Clock, state: State, energy: float) -> None:
        assert len(state.theta) == len(self.map.breakpoints()) + 2
        self.energies.append(energy)
        self.counts.append(len(self.map.breakpoints()))


def narrow(**settings):
    law = Gaussian(-1.0, 0.2)
    problem = wgf.FokkerPlanck(0.3).problem(law, Expressed(WELLS), NoInteraction(), 2.0)
    return Projection(problem, Spline(knots="adaptive", base=law, **settings), Gauss(), Auto())


def test_the_energy_falls_over_every_step_and_its_transfer():
    flow = narrow(tol=1e-3)
    watched = Watched(flow.map)
    end = run(flow, Rodas4(rtol=1e-5), flow.initial, [1.0, 2.0], watched)
    assert end.status is Status.completed
    assert (np.diff(watched.energies) <= 1e-12).all()
    assert len(np.flatnonzero(np.diff([13, *watched.counts]))) <= end.clock.transfers == watched.changes > 5
    assert min(watched.counts) < 13 < max(watched.counts)  # cells merged and split
    assert end.clock.mesh_error < 4e-3 * 0.2
    assert [len(b) for b in watched.breakpoints][::2] == [13, watched.counts[-1]]


def test_adaptive_breakpoints_reach_their_tolerance_and_obey_their_cap():
    law = Gaussian(-1.0, 0.2)
    settings = {"potential": WELLS, "law": law, "t_end": 2.0, "saves": 1}
    fine = wgf.solve(wgf.FokkerPlanck(0.3), network=Spline(knots="adaptive", tol=1e-5, base=law), **settings)
    flow = wgf.solve(wgf.FokkerPlanck(0.3), network=Spline(knots="adaptive", tol=1e-3, base=law), **settings)
    assert flow.w2(fine) < 1e-3 * 0.2
    assert flow.quantile(0.0, 0.3) == pytest.approx(float(law.quantile(tensor([0.3]))), abs=1e-12)
    few = wgf.solve(wgf.FokkerPlanck(0.3), network=Spline(14, knots="adaptive", tol=1e-4, base=law), **settings)
    assert max(map(len, few.saved.breakpoints)) <= 14
    assert few.clock.mesh_error > 4e-4 * 0.2


def test_a_start_from_another_law_is_resolved_to_the_tolerance():
    law = wgf.Uniform(-1.0, 1.0)
    network = Spline(knots="adaptive", tol=1e-2, base=wgf.Gaussian(0.0, law.std))
    flow = wgf.solve(wgf.FokkerPlanck(), law=law, network=network, t_end=0.1, saves=1)
    assert flow.w2(law, 0.0) < 1e-2 * law.std


def test_equidistributed_breakpoints_beat_uniform_ones():
    law, found = Gaussian(), {}
    for knots in ("uniform", "equidistributed"):
        network = Spline(32, knots=knots, bound=5.0, base=law)
        flow = wgf.solve(wgf.FokkerPlanck(), potential=WELLS, network=network, t_end=0.2, saves=1)
        found[knots] = flow.distance(flow.reference_solution)
        assert len(flow.saved.breakpoints[-1]) == 32
    assert found["equidistributed"].w2 < 0.4 * found["uniform"].w2
    assert found["equidistributed"].w1 < 0.4 * found["uniform"].w1


def test_widths_of_each_kind():
    assert Spline(base=LAW).width == WIDTH
    assert Spline(base=LAW, knots="adaptive").adaptation.most == MOST
    assert Spline(50, base=LAW, knots="adaptive").adaptation.most == 50
    assert mesh_of(projection(Spline(base=LAW))) is None
    with pytest.raises(ConfigError, match=r"width='wide' is not allowed: expected a whole number >= 2, auto, or null"):
        Spline("wide", base=LAW)


@pytest.mark.parametrize("chi", [0.9, 1.5])
def test_a_breakpoint_beside_the_mean_but_for_rounding_stops_no_run(chi: float):
    """It made a cell 2e-16 wide, in which the forces of a logarithmic kernel are infinite."""
    flow = wgf.solve(wgf.KellerSegel(chi), t_end=0.2, network=wgf.Spline(48, knots="adaptive", base=wgf.Gaussian()))
    assert flow.status is Status.completed
