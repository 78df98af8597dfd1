"""Kernels by formula against the kernels of their own classes; potentials at points against scipy."""

import numpy as np
import pytest
import torch
from laws_and_terms import tensor
from scipy.interpolate import CubicSpline

import wgf
from wgf.errors import ConfigError
from wgf.problem import interaction, kernels
from wgf.problem.energy import MapAtNodes
from wgf.problem.kernels import Expressed
from wgf.problem.laws import Gaussian
from wgf.problem.quadrature import Gauss
from wgf.problem.tabulated import Tabulated
from wgf.settings.constants import declared

PAIRS = {
    "power": (Expressed("k*(abs(r)^4/4 - r^2/2)", k=0.5), kernels.PowerLaw(4.0, 2.0, 0.5)),
    "kink": (Expressed("r^2/2 - abs(r)"), kernels.PowerLaw(2.0, 1.0)),
    "newtonian": (Expressed("0.35*abs(r)"), interaction.Newtonian(0.7)),
    "morse": (Expressed("0.8*exp(-abs(r)/0.5) - exp(-abs(r)/2)"), kernels.Morse(1.0, 0.8, 2.0, 0.5)),
    "rough": (Expressed("abs(r)^2.5/2.5 - abs(r)^1.5/1.5"), kernels.PowerLaw(2.5, 1.5)),
    "quadratic": (Expressed("1.3*r^2/2"), interaction.Quadratic(1.3)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_formula_is_its_kernel(name):
    mine, known = PAIRS[name]
    nodes = Gauss(8).nodes(Gaussian(), tensor([-1.0, 0.5]))
    x = nodes.z + 0.3 * torch.sin(nodes.z)
    at = MapAtNodes(nodes, x, 1 + 0.3 * torch.cos(nodes.z))
    assert float(mine.value(at)) == pytest.approx(float(known.value(at)), rel=1e-9)
    for ours, theirs in zip(mine.covector(at), known.covector(at), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-12)
    assert mine.kink == pytest.approx(known.kink, rel=1e-8)
    assert mine.collapses(None) == known.collapses(None)
    if name not in ("quadratic", "newtonian"):  # these two have no sum over pairs
        assert torch.allclose(mine.curvature(at).xx, known.curvature(at).xx, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("unit", [1e-5, 2.0**-10, 1.0, 1e6])
@pytest.mark.parametrize(
    ("form", "slope"),
    [
        ("exp(-abs(y)/0.5)", -2.0),
        ("abs(y) + y**4", 1.0),
        ("tanh(abs(y))/3 - cos(y)", 1 / 3),
        ("abs(y)**1.5", 0.0),
        ("sqrt(y**2 + 1e-8)", 0.0),
        ("sin(y + pi/2)", 0.0),
    ],
)
def test_a_kernel_has_its_kink_in_every_unit_of_length(form, slope, unit):
    kernel = Expressed(form.replace("y", f"(r/{unit!r})"))
    assert kernel.kink == pytest.approx(slope / unit, rel=1e-12)
    r = unit * tensor([-0.7, 0.2, 1.3])
    known = Expressed(form.replace("y", "r"))
    assert torch.allclose(kernel.kernel(r), known.kernel(r / unit), rtol=1e-10)
    assert torch.allclose(unit * kernel.force(r), known.force(r / unit), rtol=1e-10)


def test_a_quadratic_formula_has_the_exact_solution():
    flows = [
        wgf.solve(wgf.AggregationDiffusion(), interaction=w, t_end=0.2, saves=1)
        for w in (PAIRS["quadratic"][0], interaction.Quadratic(1.3))
    ]
    assert flows[0].reference_solution.name == flows[1].reference_solution.name == "exact: self-similar solution"
    assert flows[0].w2(flows[1]) < 1e-9


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("r^3", "is not even"),
        ("log(abs(r))", "is singular at r=0"),
        ("sqrt(abs(r))", "is singular at r=0"),
        ("1e-6*abs(r)^0.9", "is singular at r=0"),
        ("exp(-(r/1e-3 - 1)^2)", "is not even"),
        ("1/abs(r)", "is singular at r=0"),
        ("x^2", "the name 'x' is not allowed"),
    ],
)
def test_bad_kernels_are_refused(expr, message):
    with pytest.raises(ConfigError) as caught:
        Expressed(expr)
    assert message in caught.value.lines[0]


def test_a_potential_at_points_is_the_natural_spline_with_straight_ends(tmp_path):
    x, v = np.array([-2.0, -1.0, 0.5, 2.0]), np.array([1.0, -0.3, 0.2, 1.5])
    table, spline = Tabulated(x.tolist(), v.tolist()), CubicSpline(x, v, bc_type="natural")
    z = np.linspace(-2, 2, 33)
    np.testing.assert_allclose(table.value_at(tensor(z)).numpy(), spline(z), atol=1e-14)
    np.testing.assert_allclose(table.derivative(tensor(z)).numpy(), spline(z, 1), atol=1e-13)
    np.testing.assert_allclose(table.second_derivative(tensor(z)).numpy(), spline(z, 2), atol=1e-12)
    far = tensor([-5.0, 7.0])
    np.testing.assert_allclose(table.derivative(far).numpy(), spline(x[[0, -1]], 1), atol=1e-13)
    assert table.value_at(far).tolist() == pytest.approx([1.0 - 3 * spline(-2, 1), 1.5 + 5 * spline(2, 1)])
    file = tmp_path / "v.csv"
    file.write_text("x,V\n" + "\n".join(f"{a},{b}" for a, b in zip(x, v, strict=True)))
    assert torch.equal(Tabulated(path=str(file)).value_at(far), table.value_at(far))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tabulated([0.0, 1.0], [0.0, 1.0]), "expected three or more"),
        (lambda: Tabulated([0.0, 1.0, 0.5], [0.0, 1.0, 2.0]), "x must increase, but entry 3 is 0.5 after 1"),
        (lambda: Tabulated([0.0, 1.0, 2.0], [0.0, 1.0]), "x and values have 3 and 2 entries"),
        (lambda: Tabulated(), "x is missing"),
    ],
)
def test_bad_tables_are_refused(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in caught.value.lines[0]


def test_constants_on_the_command_line_need_no_plus():
    words = ["potential=expression", "potential.expr=a*x^2", "potential.a=1,2", "law.std=2", "pde.diffusion=1"]
    assert declared(words) == [*words[:2], "+potential.a=1,2", *words[3:]]
    assert declared(["potential.center=1"]) == ["potential.center=1"]
