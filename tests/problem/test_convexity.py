"""`convexity` of potentials and kernels: their second derivative does not fall below it, and comes close."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from wgf.problem import interaction, kernels
from wgf.problem import potential as potentials
from wgf.problem.tabulated import Tabulated


@pytest.mark.parametrize(
    "term",
    [
        potentials.Quadratic(-0.7, 2.0),
        potentials.Quartic(1.0),
        potentials.Sextic(-1.0),
        potentials.Expressed("x**4 - x"),
    ],
)
def test_potentials(term):
    x = torch.linspace(-5, 5, 10001, dtype=torch.float64)
    assert term.convexity == pytest.approx(float(term.second_derivative(x).min()), abs=1e-6)


TABLES = [
    ([-2.0, -1.0, 0.5, 2.0], [1.0, -0.3, 0.2, 1.5]),
    ([-1.0, 0.0, 3.0], [1.0, 0.0, 9.0]),  # convex: least beyond the points
    ([-1.0, 0.3, 3.0], [1.0, 2.0, -9.0]),
    ((x := np.sort(np.random.default_rng(1).uniform(-5, 5, 20))).tolist(), np.sin(7 * x).tolist()),
]


@pytest.mark.parametrize(("points", "values"), TABLES)
def test_tables(points: list[float], values: list[float]):
    table, spline = Tabulated(points, values), CubicSpline(points, values, bc_type="natural")
    x = np.append(np.linspace(-9, 9, 20001), points)
    bends = np.where((x < points[0]) | (x > points[-1]), 0.0, spline(x, 2))
    assert table.convexity == pytest.approx(bends.min(), rel=1e-12, abs=1e-12)
    assert float(table.second_derivative(torch.from_numpy(x)).min()) == pytest.approx(bends.min(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("points", "values"), TABLES)
@pytest.mark.parametrize("cells", [1, 7, 300])
def test_tables_in_cells(points: list[float], values: list[float], cells: int):
    table, edges, seen = Tabulated(points, values), np.linspace(-6, 4, cells + 1), 801
    share = np.linspace(0, 1, seen)
    x = edges[:-1, None] + np.diff(edges)[:, None] * share
    bends = table.second_derivative(torch.from_numpy(x)).numpy()
    slopes = np.abs(np.diff(bends)).max(1)  # of a cell, over the distance of two places
    found = table.least_bends(edges[:-1], edges[1:])
    assert (found <= bends.min(1) + 1e-11).all()
    assert (found >= bends.min(1) - slopes - 1e-11).all()


@pytest.mark.parametrize(
    "term",
    [
        kernels.PowerLaw(4.0, 2.0, 1.5),
        kernels.PowerLaw(5.0, 3.0, 0.5),
        kernels.PowerLaw(3.0, 1.0),
        kernels.PowerLaw(2.0, 1.0, 0.3),
        kernels.Morse(1.0, 2.0, 2.0, 0.5),
        kernels.Morse(2.0, 1.0, 1.0, 3.0),
        kernels.Morse(1.0, 1.0, 1.0, 1.0),
        interaction.Log(-0.4),
    ],
)
def test_kernels(term):
    r = torch.logspace(-7, 2, 100001, dtype=torch.float64)
    assert term.convexity == pytest.approx(float(term.stiffness(r).min()), abs=1e-4 + 1e-4 * abs(term.convexity))


def test_kernels_without_a_bound():
    assert kernels.PowerLaw(3.0, 1.5).convexity is None
    assert interaction.Log(0.4).convexity is None
    assert (interaction.Newtonian(-2.0).convexity, interaction.Quadratic(-2.0).convexity) == (0.0, -2.0)
    assert potentials.Potential.convexity is None


@pytest.mark.parametrize("power", [0, 20, 33, 36, 40, 45])
def test_bounds_of_bends_far_out_are_bounds_or_none(power: int):
    unit = 2.0**power
    found = potentials.Expressed(f"{unit**2!r}*((x/{unit!r})**2/2 - 2*exp(-(x/{unit!r})**2))").convexity
    assert found == (pytest.approx(-0.785041, rel=1e-3) if power < 36 else None)
