"""Errors of the energies of a map by a quadrature, against closed forms and finer cells."""

import math

import pytest
import torch

import wgf
from wgf.networks.energy_error import QuadratureOfEnergies
from wgf.networks.spline import Spline
from wgf.problem import laws
from wgf.problem.equations import AggregationDiffusion, FokkerPlanck, PorousMedium
from wgf.problem.interaction import Zero
from wgf.problem.kernels import PowerLaw
from wgf.problem.potential import Expressed, Quadratic, Quartic, Sextic
from wgf.problem.potential import Zero as NoPotential
from wgf.problem.quadrature import Gauss


def test_the_rounding_of_energies_counts():
    """float32 knows V = (x - 30)^6/6 to 4e-7 or so."""
    flow = wgf.solve(
        wgf.LinearTransport(), potential=Sextic(30.0), t_end=1e-9, dtype="float32", saves=1, reference_solution="none"
    )
    rough, map, theta = flow.saved.terms[0], flow.projection.map, flow.projection.initial
    found = QuadratureOfEnergies(flow.problem.terms, map, Gauss(), theta)
    energy = float(found.energies(Gauss().nodes(map.base, map.knots(theta).double())))
    without, error = (found.error(*terms) for terms in ((), (rough,)))
    assert without < 1e-12 * energy
    assert abs(float(rough) - energy) > 1e-9 * energy
    assert error == pytest.approx(abs(float(rough) - energy), rel=1e-3)


def test_energies_that_converge_slowly_know_their_error():
    """rho^1.5 in tails, where halves of the cells find a third of what they miss."""
    law = laws.Gaussian(0.0518, 0.121)
    flow = wgf.solve(
        wgf.PorousMedium(1.5, 0.0707), law=law, potential=Quartic(1.41), t_end=1.97, saves=1, quadrature=Gauss(9),
        network=Spline(4, 2, 4.95, knots="quantile", base=law), reference_solution="none",
    )  # fmt: skip
    found = QuadratureOfEnergies(flow.problem.terms, flow.projection.map, Gauss(9), flow.saved.theta[-1])
    coarse, fine = (found.energies(found.cut(parts)) for parts in (1, 256))
    true = float((coarse - fine).abs().max())
    assert true > 1e-11
    assert true <= found.error() <= 2 * true


@pytest.mark.parametrize(("df", "resolved"), [(3.08, False), (12.0, True)])
def test_an_infinite_energy_is_not_resolved(df: float, resolved: bool):
    """int x^4 p of Student's law is infinite for df <= 4; no node lies where it comes from."""
    law = laws.Student(df)
    problem = FokkerPlanck().problem(law, Quartic(0.0), Zero(), 1.0)
    map = Spline(width=8, degree=2, base=law)
    error = QuadratureOfEnergies(problem.terms, map, Gauss(), map.theta).error()
    assert (error < 1e-4) == resolved


def test_the_energies_of_heavy_tails_may_be_resolved():
    """All but 1e-17 of the mass lies within 1e14 standard deviations, of which cells in the middle are a tiny part."""
    law = laws.Student(2.7)
    problem = FokkerPlanck().problem(law, Expressed("sqrt(1 + x**2)"), Zero(), 1.0)
    map = Spline(width=16, degree=3, base=law)
    assert QuadratureOfEnergies(problem.terms, map, Gauss(), map.theta).error() < 1e-4


@pytest.mark.parametrize(("a", "resolved"), [(0.673, False), (0.9, True), (2.5, True)])
def test_an_infinite_density_may_have_an_infinite_energy(a: float, resolved: bool):
    """int p^4.5 of p ~ y^(a - 1) is infinite for 4.5 (a - 1) <= -1: it lies in cells as short as rounding."""
    law = laws.Beta(a, 1.87, -0.997, -0.186)
    problem = PorousMedium(4.5).problem(law, NoPotential(), Zero(), 1.0)
    map = Spline(width=8, degree=1, base=law)
    theta = map.theta.detach()
    found = QuadratureOfEnergies(problem.terms, map, Gauss(), theta)
    energy = float(found.energies(Gauss().nodes(law, map.knots(theta))).sum())
    assert (found.error() < 1e-3 * energy) == resolved


DF = 4.82
SECOND, FOURTH = DF / (DF - 2), 3 * DF**2 / ((DF - 2) * (DF - 4))  # moments of Student's law


@pytest.mark.parametrize(
    ("v", "w", "energy"),
    [
        (Expressed("x**4/4"), Zero(), FOURTH / 4),
        # of X - Y the second moment is 2 E X^2, and the fourth one 2 E X^4 + 6 (E X^2)^2
        (NoPotential(), PowerLaw(4.0, 2.0), (2 * FOURTH + 6 * SECOND**2) / 8 - SECOND / 2),
    ],
)
def test_an_energy_that_lies_in_the_tails_is_not_resolved(v, w, energy):
    """Nodes see less: int u^(1 - 4/df) d(log u) converges slowly."""
    law = laws.Student(DF)
    problem = AggregationDiffusion(diffusion=0.0).problem(law, v, w, 1.0)
    map = Spline(width=8, degree=3, base=law)
    theta = map.theta.detach()
    found = QuadratureOfEnergies(problem.terms, map, Gauss(), theta)
    lacking = energy - float(found.energies(Gauss().nodes(law, map.knots(theta))).sum())
    assert lacking > 1e-4
    assert found.error() == pytest.approx(lacking, rel=0.02)


def test_an_energy_that_is_no_number_on_finer_cells_is_not_resolved():
    """The map folds between the nodes of two points per cell, where those on halved cells see it."""
    base = laws.Gaussian()
    map = Spline(8, 3, 3.0, base=base)
    problem = FokkerPlanck().problem(base, Quadratic(), Zero(), 1.0)
    seen = 0
    mesh = torch.cat([torch.tensor(base.panels()), map.points]).unique()
    for bump in torch.linspace(1.0, 1.6, 61):
        theta = map.theta.detach().clone()
        theta[4] += bump
        found, knots = QuadratureOfEnergies(problem.terms, map, Gauss(2), theta), map.knots(theta)
        coarse = found.energies(Gauss(2).nodes(base, knots))
        fine = found.energies(Gauss(2).nodes(base, torch.cat([knots, 0.5 * (mesh[1:] + mesh[:-1])])))
        if bool(coarse.isfinite().all()) and not bool(fine.isfinite().all()):
            seen += 1
            assert found.error() == math.inf
    assert seen > 0


@pytest.mark.parametrize("spread", [100.0, 560.0, 1870.0])
def test_wells_between_the_nodes(spread: float):
    """The law is far wider than the wells of V: nodes see little of them, and those of halves and thirds as little."""
    v = Expressed("-1.06*abs(x + 0.779) + 1.11/(1 + (x + 0.234)**2) - 0.894*(x + 0.683)**2*exp(-(x + 0.683)**2)")
    problem = FokkerPlanck().problem(laws.Gaussian(), v, Zero(), 1.0)
    map = Spline(width=8, degree=1, bound=4.0, base=problem.law)
    found = QuadratureOfEnergies(problem.terms, map, Gauss(9), spread * map.theta.detach())
    coarse, fine = (found.energies(found.cut(parts)) for parts in (1, 512))
    true = float((coarse - fine).abs().max())
    assert 1e-4 < true < found.error() < 10 * true
