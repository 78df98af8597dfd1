"""Every reason for which no bound may be printed: the problem, the run, the network, the richer run."""

from dataclasses import replace

import pytest
import torch
from bounded_runs import bounded, posed

from wgf.assemble import assemble
from wgf.certificates.conditions import conditions
from wgf.certificates.own_bound import Bound, OwnBound
from wgf.certificates.rich import RichRun, certified, rich_run
from wgf.certificates.rich_settings import Unknown
from wgf.integrators.auto import Auto as AutoIntegrator
from wgf.integrators.implicit import Rodas4
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.status import Status
from wgf.integrators.time_loop import run
from wgf.networks.mlp import MLP
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem import laws
from wgf.problem.domain import Circle, Interval
from wgf.problem.equations import AggregationDiffusion, FokkerPlanck, KellerSegel, LinearTransport, PorousMedium
from wgf.problem.interaction import Log, Newtonian
from wgf.problem.internal import Entropy
from wgf.problem.kernels import Morse, PowerLaw
from wgf.problem.potential import Expressed, Potential, Quadratic, Quartic
from wgf.problem.quadrature import Gauss
from wgf.projection.solvers import Auto as AutoSolver


class Stated(Potential):
    """x^2 / 2 of one's own."""

    def __init__(self, convexity=None):
        self.convexity = convexity

    def value_at(self, x):
        return 0.5 * x**2


class Own(Entropy):
    def power_diffusion(self):
        return None


class OwnEquation(FokkerPlanck):
    def internal(self):
        return Own()


def of(*kernel) -> AggregationDiffusion:
    return AggregationDiffusion(*kernel)


PROBLEMS = {
    "proved on the line and between walls, not on a circle": lambda: replace(posed(FokkerPlanck()), domain=Circle(2.0)),
    "not proved for a porous medium between walls": lambda: replace(posed(PorousMedium()), domain=Interval(-9.0, 9.0)),
    "not proved for the internal energy Own": lambda: posed(OwnEquation()),
    "no lower bound of V'' is known for V = x**3": lambda: posed(FokkerPlanck(), None, Expressed("x**3")),
    "no lower bound of V'' is known for V = -abs(x)": lambda: posed(FokkerPlanck(), None, Expressed("-abs(x)")),
    "no lower bound of V'' is known for V = -x**4": lambda: posed(FokkerPlanck(), None, Expressed("-x**4")),
    "no lower bound of V'' is known for V = Stated": lambda: posed(FokkerPlanck(), None, Stated()),
    "with W = 0.1 log|x| the bound needs linear": lambda: posed(of(1.0, 2.0), None, None, Log(0.1)),
    "with W = 0.2 log|x| the bound needs linear": lambda: posed(of(0.0), None, None, Log(0.2)),
    "W = 3 log|x| can gather mass": lambda: posed(KellerSegel(1.5)),
    "W = |x|/2 can gather mass": lambda: posed(of(0.0), None, None, Newtonian(1.0)),
    "no lower bound of W'' is known for W =": lambda: posed(of(1.0), None, None, PowerLaw(3.0, 1.5)),
}


@pytest.mark.parametrize("reason", PROBLEMS)
def test_an_assumption_on_the_problem_fails(reason):
    assert reason in (conditions(PROBLEMS[reason]()).unknown or "")


def test_neither_bound_is_given_where_an_assumption_fails():
    problem = posed(FokkerPlanck(), None, Expressed("x**3"), t_end=0.01)
    projection, _, own, bound = bounded(problem, Spline(width=6, base=problem.law))
    rich = rich_run(projection, Rodas4(), [problem.t_end])
    assert bound.value is own.convexity is rich.bound(problem.t_end).value is None
    assert bound.unknown == rich.bound(problem.t_end).unknown == conditions(problem).unknown


NETWORKS = {
    "not linear in its parameters": [
        lambda law: TwoSidedReLU(width=4, train="biases", base=law),
        lambda law: MLP(base=law, generator=torch.Generator()),
    ],
    "the breakpoints follow the solution": [lambda law: Spline(width=6, knots="equidistributed", base=law)],
}


@pytest.mark.parametrize("reason", NETWORKS)
def test_only_a_richer_run_can_bound_other_networks(reason):
    law = laws.Gaussian()
    for network in NETWORKS[reason]:
        *_, bound = bounded(posed(FokkerPlanck(), law, t_end=0.01), network(law))
        assert bound.value is None
        assert f"{reason}: only a richer run can bound its error" in f"{bound.unknown}".replace("the network is ", "")


def recorder(problem, network) -> OwnBound:
    """What would bound a run that has not begun."""
    parts = Gauss(), AutoSolver(), AutoIntegrator(), "cpu", "float64"
    return OwnBound(assemble(problem, lambda base: network, *parts)[0])


def test_too_many_pairs(monkeypatch):
    monkeypatch.setattr("wgf.certificates.own_bound.MOST", 100)
    problem = posed(AggregationDiffusion(1.0), None, None, Morse())
    found = recorder(problem, Spline(width=20, base=problem.law))
    assert found.at(0.1).value is None
    assert found.unknown == "120 nodes are too many for sums over pairs of them: decrease network.width"


def test_nothing_is_recorded():
    problem = posed(FokkerPlanck())
    found = recorder(problem, Spline(width=6, base=problem.law))
    assert found.at(0.1) == Bound(None, None, "no step was recorded")


RUNS = {
    "chi kappa_h reaches D: beyond about chi = 0.8 D": (KellerSegel(0.9), laws.Gaussian(), None, Spline, 6),
    "p jumps at an edge": (FokkerPlanck(0.05), laws.Uniform(), Quartic(0.3), Spline, 4),
    "the quadrature does not resolve": (PorousMedium(2.0), laws.Uniform(), None, TwoSidedReLU, 4),
}


@pytest.mark.parametrize("reason", RUNS)
def test_an_assumption_on_the_run_fails(reason):
    pde, law, potential, network, width = RUNS[reason]
    *_, bound = bounded(posed(pde, law, potential, t_end=0.01), network(width=width, base=law))
    assert bound.value is None
    assert bound.unknown.startswith(reason)


def test_a_growth_beyond_all_numbers():
    """e^(-lambda t) of a bound is squared: it must stay a number."""
    problem = posed(LinearTransport(), None, Quadratic(-2000.0), t_end=0.01)
    *_, found, bound = bounded(problem)
    assert bound.value is not None
    assert found.at(0.2) == Bound(None, None, "lambda = -2000: the bound grows beyond all numbers")


def test_a_map_that_folds_between_two_steps():
    """The curve of maps through two recorded states must not fold, whatever the continuation in time."""
    problem = posed(FokkerPlanck(), laws.Gaussian(), Quartic(), t_end=0.2)
    projection, theta, found, bound = bounded(problem)
    assert bound.value is not None
    state = run(projection, Rodas4(), projection.initial, [0.01], OwnBound(projection)).state
    found = OwnBound(projection)
    found.record(0.0, state)
    found.record(0.2, replace(state, theta=-theta))
    assert found.at(0.2) == Bound(None, None, "the map folds, or the residual is not finite")


def test_a_richer_run_that_stops(monkeypatch):
    problem = posed(FokkerPlanck(), None, Quartic(), t_end=0.1)
    projection, *_ = bounded(problem, Spline(width=6, base=problem.law))
    monkeypatch.setattr("wgf.certificates.rich.richer", lambda field, *_: (field, Rodas4(max_steps=2)))
    with pytest.raises(Unknown, match="the richer run ended as max_steps at t = "):
        rich_run(projection, Rodas4(), [0.1])


def test_a_repetition_that_stops():
    problem = posed(FokkerPlanck(), None, Quartic(), t_end=0.1)
    network = Spline(width=6, base=problem.law)
    projection, *_ = bounded(problem, network)
    saved = SavedStates(projection.map)
    assert run(projection, Rodas4(), projection.initial, [0.1], saved).status is Status.completed
    found = certified(projection, Rodas4(max_steps=2), saved, 0.1, rich=False)
    assert found.bound is None
    assert found.unknown.startswith("the run ended as max_steps at t = ")
    assert found.unknown.endswith("when repeated")
    assert isinstance(rich_run(projection, Rodas4(), [0.1]), RichRun)
