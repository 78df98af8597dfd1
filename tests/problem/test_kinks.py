"""Kinks of V: where they are, the energy and its derivatives, and flows over them."""

import math

import numpy as np
import pytest
import torch

import wgf
from wgf.integrators.implicit import Rodas4
from wgf.networks.spline import Spline
from wgf.problem import laws
from wgf.problem.changes.kinks import MOST, Kinks, crossing, find
from wgf.problem.domain import Line
from wgf.problem.energy import MapAtNodes
from wgf.problem.potential import Expressed
from wgf.problem.quadrature import Gauss
from wgf.projection.chart import Chart
from wgf.projection.chart_energy import Landscape
from wgf.settings.formulas.expression import Expression


@pytest.mark.parametrize(
    ("text", "places", "slopes", "bends"),
    [
        ("abs(x-0.3)", [0.3], [2.0], [0.0]),
        ("x**2/2 + 3*abs(2*x+1)", [-0.5], [12.0], [0.0]),
        ("max(x**2/2, x+0.3)", [1 - math.sqrt(1.6), 1 + math.sqrt(1.6)], [math.sqrt(1.6)] * 2, [-1.0, 1.0]),
        ("min(x, 2)**2", [2.0], [-4.0], [-2.0]),
        ("max(x-0.2, 0)**2", [0.2], [0.0], [2.0]),
        ("where(x < 1, x**2/2, x-0.5)", [1.0], [0.0], [-1.0]),
        ("abs(exp(x) - 2)", [math.log(2)], [4.0], [4.0]),
        ("abs(x**3)", None, None, None),
        ("abs(x**2+1)", None, None, None),
        ("abs(x)**1.5", None, None, None),
        ("x*sqrt(abs(x))", None, None, None),
        ("abs(x)**1.5 + sqrt(abs(x))", None, None, None),
        ("where(x < 1, 0, 1)", None, None, None),
        ("x**4", None, None, None),
    ],
)
def test_where_a_formula_has_kinks(text, places, slopes, bends):
    found = Expressed(text).kinks
    if places is None:
        assert found is None
        return
    assert found.x.tolist() == pytest.approx(places, abs=1e-6)
    assert found.slope.tolist() == pytest.approx(slopes, abs=1e-9)
    assert found.bend.tolist() == pytest.approx(bends, abs=1e-4)


@pytest.mark.parametrize("order", [5, 8, 20])
def test_integrals_on_both_sides_of_a_crossing(order):
    """int |T - x| and its derivatives for the map T = z + z^2/8, against closed forms."""
    s, w = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(order))
    edges = torch.linspace(-1, 1, 6, dtype=torch.float64)
    half = 0.5 * edges.diff()[:, None]
    z = (edges[:-1, None] + half * (1 + s)).reshape(-1)
    weights = (half * w).reshape(-1)
    roots = torch.tensor([-0.85, -0.31, 0.2, 0.63, 3.0], dtype=torch.float64)
    kinks = Kinks(roots + roots**2 / 8, torch.full_like(roots, 2.0), torch.zeros_like(roots))
    here = crossing(kinks, z + z**2 / 8, order)
    inner = roots < 1

    def primitive(u):  # of z + z^2/8 - x
        return u**2 / 2 + u**3 / 24 - kinks.x * u

    ends = primitive(1.0), primitive(-1.0)
    exact = torch.where(inner, ends[0] + ends[1] - 2 * primitive(roots), ends[1] - ends[0])
    gap = z + z**2 / 8 - kinks.x[:, None]
    found = (weights * gap.abs()).sum(1) + (weights[here.nodes] * here.share * kinks.parts(here.y)[0]).sum(1)
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)
    phi = 1 + z[here.nodes]  # the derivative of int sign(T - x) phi is 2 phi(z)/T'(z) times that of T
    slope = torch.where(inner, (1 + roots) / (1 + roots / 4), 0.0)
    torch.testing.assert_close((weights[here.nodes] * here.rise * phi).sum(1), slope, rtol=1e-11, atol=1e-11)


def test_a_kink_where_two_cells_meet_bends_both_alike():
    """The reflected map crosses the reflected kink with the reflected weights; an empty cell there changes nothing."""
    s = torch.from_numpy(np.polynomial.legendre.leggauss(3)[0])
    edges = torch.tensor([-1.0, -0.4, 0.1, 0.1, 0.7, 1.0], dtype=torch.float64)
    x = (edges[:-1, None] + 0.5 * edges.diff()[:, None] * (1 + s)).reshape(-1)

    def bend(x, place):
        one = torch.ones(1, dtype=torch.float64)
        here = crossing(Kinks(place * one, 2 * one, 0 * one), x, 3)
        return torch.zeros_like(x).index_add(0, here.nodes.view(-1), here.rise.view(-1))

    found = bend(x, 0.1)
    torch.testing.assert_close(found, bend(-x.flip(0), -0.1).flip(0))
    left, right = (bend(x, 0.1 + side * 1e-9) for side in (-1, 1))
    torch.testing.assert_close(found, 0.5 * (left + right), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("degree", [1, 3])
def test_gradient_and_hessian_of_an_energy_with_kinks(degree):
    """The gradient is the derivative of the energy, and the Hessian that of the gradient, at a crossing, too."""
    law = laws.Gaussian()
    network = Spline(6, degree, 3.0, base=law)
    potential = Expressed("abs(x-0.37) + max(x+1.1, 0)**2")
    problem = wgf.FokkerPlanck().problem(law, potential, wgf.interactions.Zero(), 1.0)
    nodes = Gauss().nodes(law, network.knots(network.theta.detach()))
    chart = Chart(network.space(), nodes, nodes, Line())
    landscape = Landscape(problem, chart)
    c = chart.coordinates(network.theta.detach()) * 1.05

    def energy(c):
        return float(landscape.terms(chart.at_nodes(c)).sum())

    def gradient(c):
        return landscape.gradient(chart.at_nodes(c))

    step = 1e-5
    for one in torch.eye(len(c), dtype=torch.float64):
        slope = (energy(c + step * one) - energy(c - step * one)) / (2 * step)
        assert slope == pytest.approx(float(gradient(c) @ one), abs=1e-7)
        bend = (gradient(c + step * one) - gradient(c - step * one)) / (2 * step)
        found = landscape.hessian(chart.at_nodes(c)).matvec(one)
        torch.testing.assert_close(found, bend, rtol=1e-4, atol=1e-5)


def test_the_same_gradient_by_automatic_differentiation():
    law = laws.Gaussian()
    nodes = Gauss().nodes(law, torch.linspace(-3, 3, 7, dtype=torch.float64))
    x = (1.1 * nodes.z).requires_grad_()
    potential = Expressed("abs(x-0.37)")
    potential.value(MapAtNodes(nodes, x, torch.full_like(x, 1.1))).backward()
    force, _ = potential.covector(MapAtNodes(nodes, x.detach(), torch.full_like(x, 1.1)))
    torch.testing.assert_close(x.grad, force)


@pytest.mark.parametrize(
    ("text", "smooth"),
    [
        ("abs(x-0.3)", "sqrt((x-0.3)**2 + 1e-8)"),
        ("x**2/2 + max(x-0.2, 0) + where(x < -0.4, -x-0.4, 0)", None),
    ],
)
def test_a_flow_over_kinks_takes_few_steps_and_is_right(text, smooth):
    law = laws.Gaussian()
    flow = wgf.solve(
        wgf.FokkerPlanck(),
        t_end=0.2,
        law=law,
        potential=text,
        network=Spline(48, 3, base=law),
        integrator=Rodas4(rtol=1e-5, atol=1e-7),
        saves=1,
        reference_solution="finite_volume",
    )
    assert flow.clock.steps + flow.clock.rejected < 40
    assert flow.w2(flow.reference_solution) < 2e-4
    if smooth:
        other = wgf.solve(
            wgf.FokkerPlanck(), t_end=0.2, law=law, potential=smooth, saves=1, reference_solution="finite_volume"
        )
        assert flow.w2(other.reference_solution) < 2e-4


def test_switches_of_a_formula():
    assert len(Expression("abs(x) + max(x, 1) + where(x < 2, x, 2) + sign(x) + sin(x)").switches()) == 4


@pytest.mark.parametrize("length", [1.0, 2.0**-9, 2.0**-19, 2.0**-50])
def test_kinks_are_found_where_the_rest_varies_fast(length: float):
    text = f"{length**2!r}*(0.703*abs(x/{length!r}+1.22) + 0.62*(x/{length!r}-1.35)**4/4)"
    kinks = find(Expression(text))
    assert kinks.x.tolist() == pytest.approx([-1.22 * length], rel=1e-12)
    assert kinks.slope.tolist() == pytest.approx([1.406 * length], rel=1e-5)
    assert kinks.bend.tolist() == pytest.approx([0.0], abs=1e-4)


@pytest.mark.parametrize("length", [2.0**-50, 2.0**-9, 2.0**9])
def test_jumps_are_the_same_in_other_units_of_length(length: float):
    text = "3*exp(-abs({x} + 0.105)) + 1.75/(1 + ({x} + 0.943)**2)"
    one, two = (find(Expression(text.format(x=f"(x/{unit!r})"))) for unit in (1.0, length))
    assert two.x == pytest.approx(length * one.x, rel=1e-12)
    assert two.slope == pytest.approx(one.slope / length, rel=1e-10)
    assert two.slope == pytest.approx([-6 / length], rel=1e-10)


@pytest.mark.parametrize("unit", [1e-25, 2.0**-30, 2.0**-12, 1e-3, 1.0, 700.0, 2.0**20])
def test_kinks_of_kinks_are_found_in_any_unit(unit: float):
    found = find(Expression(f"abs(abs(x/{unit!r} - 1.24) - 1)"))
    assert found is not None
    assert (found.x / unit).tolist() == pytest.approx([0.24, 1.24, 2.24], rel=1e-12)


ABS = [
    ("abs(X) + sin(X)", [0.0], [2.0]),  # V'' of the rest is 0 there
    ("abs(X + 1) + log(1 + X**2)", [-1.0], [2.0]),
    ("X**4 + abs(X) + X**3/10", [0.0], [2.0]),
    ("max(abs(X), 1)", [-1.0, 1.0], [1.0, 1.0]),  # none at 0
    ("max(abs(X) - 1, 0)**2 + 0.5*abs(X - 0.5)", [-1.0, 0.5, 1.0], [0.0, 1.0, 0.0]),
    ("where(abs(X) < 1, X**2/2, abs(X) - 0.5)", [-1.0, 1.0], [0.0, 0.0]),
    ("abs(abs(X - 10) - 10)", [0.0, 10.0, 20.0], [2.0, -2.0, 2.0]),  # 0 to rounding around 0
]


@pytest.mark.parametrize("unit", [2.0**-30, 1e-3, 1.0, 2.0**20])
@pytest.mark.parametrize(("text", "places", "slopes"), ABS)
def test_kinks_among_others(text: str, places: list[float], slopes: list[float], unit: float):
    found = find(Expression(text.replace("X", f"(x/{unit!r})")))
    assert (found.x / unit).tolist() == pytest.approx(places, abs=1e-12)
    assert (found.slope * unit).tolist() == pytest.approx(slopes, abs=1e-9)


def test_of_endless_kinks_those_next_to_the_origin_count():
    found = find(Expression("abs(sin(x))"))
    assert found.x.tolist() == pytest.approx(
        [math.pi * k for k in range(-len(found.x) // 2 + 1, len(found.x) // 2 + 1)]
    )
    assert len(found.x) == MOST


def test_kinks_beside_each_other_are_two():
    found = find(Expression("abs(x - 1e-10) + abs(x + 1e-10)"))
    assert found.x.tolist() == pytest.approx([-1e-10, 1e-10], rel=1e-6)
    assert found.slope.tolist() == pytest.approx([2.0, 2.0])


def test_a_place_found_in_two_ways_is_one():
    found = find(Expression("abs(x - 1 + 0.7) + abs(x - 0.3) + max(x - 0.1 - 0.2, 0)"))
    assert found.slope.sum().item() == pytest.approx(5.0)
    for sign in "+-":
        found = find(Expression(f"{sign}2*abs(x) + 0*abs(x - 0.1 - 0.2 + 0.3)"))
        assert found.slope.tolist() == pytest.approx([float(f"{sign}4")])
    found = find(Expression("abs(x) + abs(x - 0.1 - 0.2 + 0.3)"))
    assert found.slope.sum().item() == pytest.approx(4.0)


SMOOTH = ["X**2 + abs(X)**3", "(X - 1)**2 + abs(X - 1)**3", "abs(X)**1.5", "X*abs(X)**0.5", "abs(X)**1.005"]
SMOOTH += ["where(abs(X) < 1, -X**4/8 + 3*X**2/4 + 3/8, abs(X))", "X**2 + max(X - 0.3, 0)**3"]


@pytest.mark.parametrize("text", SMOOTH)
@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1.0, 1e9])
def test_what_bends_without_a_jump_has_no_kinks(text: str, unit: float):
    assert find(Expression(text.replace("X", f"(x/{unit!r})"))) is None
