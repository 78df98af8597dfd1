"""Equations: their terms, and which of them let mass concentrate in a point within finite time."""

import pytest
from whole_flows import flow

from wgf.integrators.implicit import Rodas4
from wgf.integrators.status import Status
from wgf.networks.spline import Spline
from wgf.problem import internal
from wgf.problem import potential as potentials
from wgf.problem.equations import (
    AggregationDiffusion,
    FokkerPlanck,
    KellerSegel,
    LinearTransport,
    PorousMedium,
    Problem,
)
from wgf.problem.interaction import Log, Newtonian, Zero
from wgf.problem.interaction import Quadratic as Attraction
from wgf.problem.kernels import Morse, PowerLaw
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Quadratic

LAW, NONE = Gaussian(), potentials.Zero()
HELD = {
    "a bounded force against a little diffusion": AggregationDiffusion(1e-4).problem(LAW, NONE, Newtonian(1.0), 1.0),
    "less than the critical mass": KellerSegel(1.0).problem(LAW, NONE, Zero(), 1.0),
    "a logarithm against a power law": AggregationDiffusion(0.1, 2.0).problem(LAW, NONE, Log(5.0), 1.0),
    "repulsion nearby": AggregationDiffusion(0.0).problem(LAW, NONE, PowerLaw(1.5, 1.0), 1.0),
    "a logarithm that repels": AggregationDiffusion(0.0).problem(LAW, NONE, Log(-1.0), 1.0),
    "Morse without a cusp that attracts": AggregationDiffusion(0.0).problem(LAW, NONE, Morse(), 1.0),
    "no interaction": LinearTransport().problem(LAW, NONE, Zero(), 1.0),
}
COLLAPSING = {
    "more than the critical mass": KellerSegel(1.01).problem(LAW, NONE, Zero(), 1.0),
    "a bounded force": AggregationDiffusion(0.0).problem(LAW, NONE, Newtonian(1.0), 1.0),
    "a logarithm": AggregationDiffusion(0.0).problem(LAW, NONE, Log(0.1), 1.0),
    "a cusp that attracts": AggregationDiffusion(0.0).problem(LAW, NONE, Morse(2.0, 0.5, 1.0, 1.0), 1.0),
}


@pytest.mark.parametrize("problem", [*HELD.values(), *COLLAPSING.values()], ids=[*HELD, *COLLAPSING])
def test_what_can_collapse(problem: Problem):
    assert problem.collapses == any(problem is other for other in COLLAPSING.values())


def test_contraction_of_a_wide_law_is_no_blow_up():
    """A subcritical law of width 1000 in a well shrinks a thousandfold on its way to rest."""
    wide = Gaussian(0.0, 1000.0)
    problem = KellerSegel(0.5).problem(wide, Quadratic(1.0), Zero(), 9.0)
    end = flow(problem, Spline(8, 3, 3.0, base=wide), Rodas4(1e-4, 1e-6), 9.0)
    assert end.status is Status.completed
    assert float(end.state.evaluation.min_slope) < 1e-3


def test_equations_are_sums_of_terms():
    law, quartic, none = LAW, potentials.Quartic(), Zero()
    transport = LinearTransport().problem(law, quartic, none, 1.0)
    assert transport.terms == (quartic,)
    assert transport.equation == "rho_t = (rho V')_x, V = x^4/4 - x^2/2"
    diffusion = FokkerPlanck(0.5).problem(law, quartic, none, 1.0)
    assert [term.name for term in diffusion.terms] == ["potential", "entropy"]
    assert diffusion.equation == "rho_t = 0.5 rho_xx + (rho V')_x, V = x^4/4 - x^2/2"
    porous = PorousMedium(3.0).problem(law, NONE, none, 1.0)
    assert [(term.name, term.exponent) for term in porous.terms] == [("power_law", 3.0)]
    assert porous.equation == "rho_t = (rho^3)_xx"
    keller_segel = KellerSegel(0.75).problem(law, NONE, none, 1.0)
    assert [term.name for term in keller_segel.terms] == ["entropy", "interaction"]
    assert keller_segel.interaction.strength == 1.5  # 2 chi
    assert keller_segel.equation == "rho_t = rho_xx + (rho (W * rho)_x)_x, W = 1.5 log|x|"
    parabola = LinearTransport().problem(law, potentials.Quadratic(1.0, -2.0), none, 1.0)
    assert parabola.equation == "rho_t = (rho V')_x, V = (x + 2)^2/2"
    written = LinearTransport().problem(law, potentials.Expressed("a*x**2", a=2.0), none, 1.0)
    assert written.equation == "rho_t = (rho V')_x, V = a*x^2 with a = 2"
    aggregation = AggregationDiffusion(0.0).problem(law, NONE, Attraction(2.0), 1.0)
    assert [term.name for term in aggregation.terms] == ["interaction"]
    assert [type(AggregationDiffusion(1.0, g).internal()) for g in (1, 2)] == [internal.Entropy, internal.PowerLaw]
