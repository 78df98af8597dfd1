"""The energy in a chart: values, gradients and Hessians against differences and dense sums."""

import pytest
import torch
from charts import charted, dense_basis, full, relu, spline
from laws_and_terms import TERMS, away, problem, random

from wgf.networks.spline import Spline
from wgf.problem.energy import Local
from wgf.problem.equations import FokkerPlanck
from wgf.problem.interaction import Zero as NoInteraction
from wgf.problem.internal import Entropy
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed, Quartic
from wgf.problem.quadrature import Gauss
from wgf.projection import chart_energy
from wgf.projection.chart_energy import Landscape
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto


class Mixed(Local):
    """A density of all its arguments without closed forms: its derivatives come from autograd."""

    name = "mixed"

    def density(self, x, dx, log_p):
        return torch.sin(x) * dx**2 + 0.1 * x**2 / dx + 0.2 * torch.cosh(0.5 * log_p) * dx


EVERY = {**TERMS, "mixed": Mixed()}


def landscape_of(map, *terms):
    chart = charted(map)
    landscape = Landscape(problem(map.base), chart)
    landscape.energies = terms
    return landscape, chart.coordinates(away(map, 0.2))


@pytest.mark.parametrize("make", [relu, spline, lambda: spline(5, knots="quantile")], ids=["relu", "cubic", "quintic"])
@pytest.mark.parametrize("name", EVERY)
def test_gradient_and_hessian_are_the_derivatives_of_the_energy(name, make):
    landscape, c = landscape_of(make(), EVERY[name])
    at = landscape.chart.at_nodes(c)
    assert float(at.dx.min()) > 0.1

    def energy(c):
        return float(landscape.terms(landscape.chart.at_nodes(c)).sum())

    def gradient(c):
        return landscape.gradient(landscape.chart.at_nodes(c))

    matrix = landscape.hessian(at)
    dense = full(matrix.band) + (0 if matrix.dense is None else matrix.dense)
    scale = max(1.0, float(dense.abs().max()))
    for seed in range(3):
        e = random(len(c), seed=seed) / 3
        h = 1e-4
        slope = sum(w * energy(c + s * h * e) for s, w in ((1, 8), (-1, -8), (2, -1), (-2, 1))) / (12 * h)
        # where particles of a kernel with a singular second derivative stand close, differences are what is wrong
        assert float(gradient(c) @ e) == pytest.approx(slope, abs=1e-6 * scale, rel=1e-6)
        bend = sum(w * gradient(c + s * h * e) for s, w in ((1, 8), (-1, -8), (2, -1), (-2, 1))) / (12 * h)
        assert torch.allclose(dense @ e, bend, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize("block", [40, 10**6])
@pytest.mark.parametrize("make", [relu, spline])
def test_motion_of_several_maps(make, block: int, monkeypatch: pytest.MonkeyPatch):
    """Velocities solve M c' = -grad F, and accelerations are their derivatives along the flow; maps do not mix."""
    monkeypatch.setattr(chart_energy, "BLOCK", block)
    landscape, c = landscape_of(make(), TERMS["quartic"], Mixed())
    assert landscape.is_pointwise
    chart = landscape.chart
    maps = torch.stack([c, 1.01 * c, c + 0.01 * random(len(c), seed=1)])
    velocities, accelerations = landscape.motion(maps)
    for one, velocity, acceleration in zip(maps, velocities, accelerations, strict=True):
        assert torch.allclose(chart.mass.dense() @ velocity, -landscape.gradient(chart.at_nodes(one)), atol=1e-12)
        h = 1e-4
        near = landscape.motion(torch.stack([one + s * h * velocity for s in (1, -1, 2, -2)]))[0]
        change = (torch.tensor([8.0, -8.0, -1.0, 1.0], dtype=c.dtype) @ near) / (12 * h)
        assert torch.allclose(acceleration, change, rtol=1e-6, atol=1e-6 * float(change.abs().max()))


def test_kernels_and_kinks_are_not_pointwise():
    """A cell that crosses a kink has the forces of its other nodes, too."""
    assert not landscape_of(spline(), TERMS["morse"])[0].is_pointwise
    assert not Landscape(problem(Gaussian(), Expressed("abs(x)")), charted(spline())).is_pointwise
    assert Landscape(problem(Gaussian(), Expressed("x**2"), Entropy()), charted(spline())).is_pointwise


def test_the_hessian_of_a_sum_is_the_sum():
    terms = [TERMS[name] for name in ("quartic", "entropy", "morse")] + [Mixed()]
    landscape, c = landscape_of(spline(), *terms)
    at = landscape.chart.at_nodes(c)
    whole = landscape.hessian(at)
    parts = []
    for term in terms:
        landscape.energies = (term,)
        part = landscape.hessian(at)
        parts.append(full(part.band) + (0 if part.dense is None else part.dense))
    assert torch.allclose(full(whole.band) + whole.dense, sum(parts), atol=1e-10)


@pytest.mark.parametrize("names", [["quartic", "entropy"], ["quartic", "entropy", "log"]], ids=["banded", "dense"])
def test_plus_mass_factorises_and_knows_what_is_positive(names):
    landscape, c = landscape_of(spline(), *(TERMS[name] for name in names))
    hessian = landscape.hessian(landscape.chart.at_nodes(c))
    dense = full(hessian.band) + (0 if hessian.dense is None else hessian.dense)
    mass = full(landscape.chart.mass.band)
    rhs = random(len(c))
    assert torch.allclose(hessian.plus_mass(50.0).solve(rhs), torch.linalg.solve(dense + 50 * mass, rhs), atol=1e-9)
    lowest = float(torch.linalg.eigvals(torch.linalg.solve(mass, dense)).real.min())
    assert hessian.plus_mass(-lowest + 1e-3).positive
    assert not hessian.plus_mass(-lowest - 1e-3).positive


def test_the_convex_part_of_a_hessian_is_positive_where_the_whole_is_not():
    landscape, c = landscape_of(spline(), Quartic(0.3), Entropy(0.01), TERMS["log"])
    at = landscape.chart.at_nodes(c)
    convex = landscape.convex_hessian(at)
    assert not landscape.hessian(at).plus_mass(0.0).positive
    assert convex.dense is None
    assert convex.plus_mass(1e-9).positive
    values, slopes = dense_basis(landscape.chart)
    xx = (3 * (at.x - 0.3) ** 2 - 1) * at.w
    xx = xx + TERMS["log"].curvature(at).xx
    dd = 0.01 * at.w / at.dx**2 - 0.6 * (at.w / at.dx) ** 2
    expected = values.T @ (xx.clamp(min=0)[:, None] * values) + slopes.T @ (dd.clamp(min=0)[:, None] * slopes)
    assert torch.allclose(full(convex.band), expected, atol=1e-10)


def test_runs_of_nodes_are_summed(monkeypatch: pytest.MonkeyPatch):
    """Long vectors are worked through in runs that fit the cache: the same energy, gradient and Hessian."""
    equation = FokkerPlanck().problem(Gaussian(), Quartic(1.0), NoInteraction(), 1.0)
    field = Projection(equation, Spline(12, base=equation.law), Gauss(8), Auto())
    landscape, c = field.landscape, field.map.theta.detach() * 0.9
    assert landscape is not None
    at = landscape.chart.at_nodes(landscape.chart.coordinates(c))

    def all_of() -> list[torch.Tensor]:
        return [landscape.terms(at), landscape.gradient(at), landscape.hessian(at).band]

    whole = all_of()
    monkeypatch.setattr("wgf.projection.chart_energy.BLOCK", 50)
    for a, b in zip(whole, all_of(), strict=True):
        assert b == pytest.approx(a, abs=1e-13)
