"""Residuals of maps where V has kinks: cells end where the map crosses them."""

import math

import pytest
import torch
from bounded_runs import bounded, error, posed

from wgf.certificates.conditions import conditions
from wgf.certificates.mesh import Mesh, _cells, _jumps
from wgf.certificates.residual import Evaluator
from wgf.networks.spline import Spline
from wgf.networks.spline_space import SplineSpace
from wgf.problem import laws
from wgf.problem.domain import Line
from wgf.problem.equations import FokkerPlanck, LinearTransport, PorousMedium
from wgf.problem.laws import Exponential, Gaussian, TruncatedNormal, Uniform
from wgf.problem.laws.beta import SymmetricBeta
from wgf.problem.potential import Expressed

SPACES = [SplineSpace(torch.linspace(-4, 4, 14, dtype=torch.float64), degree) for degree in (1, 3, 5)]


def affine(space: SplineSpace, slope: float, shift: float) -> torch.Tensor:
    """Coefficients [1, M] of an affine map: its values at the Greville points."""
    k, points = space.degree, space.points
    knots = torch.cat([points[:1].expand(k - 1), points, points[-1:].expand(k - 1)])
    return (slope * knots.unfold(0, k, 1).mean(1) + shift)[None]


def evaluator(problem, space, order):
    return Evaluator(problem, conditions(problem), Mesh(problem.law, space, order, Line()))


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.degree)
def test_the_norm_of_a_force_that_jumps(space):
    """V = x^2/2 + |x - b|: int (x + sign(x - b))^2 p = 2 + 4 p(b) for N(0, 1)."""
    problem = posed(LinearTransport(), None, Expressed("x**2/2 + abs(x-0.31)"))
    c = affine(space, 1.0, 0.0)
    found = evaluator(problem, space, 6)(c, torch.zeros_like(c)).force[0, 0]
    exact = math.sqrt(2 + 4 * math.exp(-0.5 * 0.31**2) / math.sqrt(2 * math.pi))
    assert float(found) == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("pde", [FokkerPlanck(), PorousMedium(2.0)], ids=["g=1", "g=2"])
@pytest.mark.parametrize("space", SPACES[1:], ids=lambda space: space.degree)
def test_residuals_converge_over_kinks(pde, space):
    """At order 8 and 24 they agree, for several maps at once, whether or not a map crosses a kink."""
    problem = posed(pde, None, Expressed("x**2/2 + abs(x-0.31) + 0.5*abs(x+1.7)+abs(x-60)"))
    c = torch.cat([affine(space, slope, shift) for slope, shift in ((1.0, 0.0), (0.7, 0.3), (0.2, 40.0))])
    c[1] += 0.02 * torch.sin(torch.arange(c.shape[1], dtype=c.dtype))
    v = -0.8 * c + 0.1
    coarse, fine = (evaluator(problem, space, order)(c, v) for order in (8, 24))
    for one, two in zip(coarse, fine, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-12)


def test_a_bound_over_kinks_moves_little_with_the_quadrature():
    problem = posed(FokkerPlanck(), laws.Gaussian(1.0, 0.5), Expressed("x**2/2 + abs(x-0.8)"))
    coarse, theta, _, bound = bounded(problem, Spline(width=12, base=problem.law))
    fine, best, _, small = bounded(problem, Spline(width=48, degree=2, bound=7.0, base=problem.law))
    wrong = error(coarse, theta, lambda t, z: fine.map.evaluate(best, z)[0])
    assert wrong - small.value <= bound.value <= 40 * wrong
    assert bound.quadrature < 1e-2


@pytest.mark.parametrize("place", [-1e4, -0.973, 0.0, 7.027, 59.0435])
@pytest.mark.parametrize("exponent", [1.3, 2.0, 3.0, 4.5])
def test_a_density_that_vanishes_at_an_edge_does_so_wherever_it_lies(place: float, exponent: float):
    assert _jumps(SymmetricBeta(place + 1.2, 1.2, 1 + 1 / (exponent - 1))) == (False, False)


def test_meshes_of_half_lines_are_mirrored():
    points = torch.linspace(-1, 2, 9, dtype=torch.float64)
    one = _cells(TruncatedNormal(0.5, 0.5, -1.26, None), points)
    two = _cells(TruncatedNormal(-0.5, 0.5, None, 1.26), -points.flip(0))
    assert torch.allclose(one, -two.flip(0), rtol=0, atol=1e-13)
    assert float(one[0]) == -1.26
    assert 7 < float(one[-1]) < 7.1


def test_densities_that_jump():
    assert _jumps(Uniform(-1.0, 2.0)) == (True, True)
    assert _jumps(Exponential(0.3)) == (True, False)
    assert _jumps(Gaussian()) == (False, False)
