"""The smallest slope of a map, against the piecewise polynomials of scipy and against the reflected map."""

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.interpolate import BSpline, PPoly

from wgf.networks.mlp import MLP
from wgf.networks.periodic import PeriodicSpline
from wgf.networks.slopes import least_slope
from wgf.networks.spline import Spline
from wgf.problem.laws import Gaussian, Uniform

LAW = Gaussian(0.3, 1.2)
NODES = torch.linspace(-4.0, 5.0, 200, dtype=torch.float64)


def by_scipy(points: np.ndarray, coefficients: np.ndarray, degree: int) -> float:
    """The smallest slope of a spline: at its breakpoints, or where its second derivative vanishes."""
    knots = np.concatenate([[points[0]] * degree, points, [points[-1]] * degree])
    slope = BSpline(knots, coefficients, degree).derivative()
    places = [points[:-1], 0.5 * (points[1:] + points[:-1]), points[-1:] * (1 - 1e-15)]
    if degree > 2:
        places.append(PPoly.from_spline(slope.derivative()).roots(extrapolate=False))
    return float(np.nanmin(slope(np.concatenate(places))))


@pytest.mark.parametrize("degree", range(1, 6))
@pytest.mark.parametrize("width", [2, 3, 7, 40])
@pytest.mark.parametrize("knots", ["uniform", "quantile"])
def test_the_smallest_slope_of_a_spline(degree: int, width: int, knots: str):
    map = Spline(width, degree, 3.0, knots, base=LAW)
    for seed in range(10):
        noise = torch.randn(len(map.theta), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        theta = map.theta.detach() + 0.3 * noise * map.theta.detach().diff().min()
        found = least_slope(map, theta, NODES)
        assert found == pytest.approx(by_scipy(map.points.numpy(), theta.numpy(), degree), rel=1e-11, abs=1e-12)
        mirrored = Spline(width, degree, 3.0, knots, base=Gaussian(-0.3, 1.2))
        assert least_slope(mirrored, -theta.flip(0), NODES) == pytest.approx(found, rel=1e-10, abs=1e-11)


@pytest.mark.parametrize("degree", range(1, 6))
def test_splines_without_curvature_in_some_cells(degree: int):
    """The identity, and a map that bends at one place only."""
    map = Spline(9, degree, 3.0, base=LAW)
    assert least_slope(map, map.theta, NODES) == pytest.approx(1.0, rel=1e-12)
    theta = map.theta.detach().clone()
    theta[:3] *= 0.5
    expected = by_scipy(map.points.numpy(), theta.numpy(), degree)
    assert least_slope(map, theta, NODES) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("degree", range(2, 6))
def test_the_smallest_slope_of_a_map_of_a_circle(degree: int):
    base = Uniform(0.0, 2.0)
    map = PeriodicSpline(torch.linspace(0, 2, 15, dtype=torch.float64), degree, base)
    theta = 0.03 * torch.arange(14, dtype=torch.float64).sin()
    z = torch.linspace(0, 2, 200_001, dtype=torch.float64)
    sampled, found = float(map.evaluate(theta, z)[1].min()), least_slope(map, theta, z[::1000])
    assert sampled - 1e-5 < found <= sampled + 1e-12


def test_the_smallest_slope_of_a_smooth_map():
    map = MLP(4, base=LAW, generator=torch.Generator().manual_seed(1))
    theta = map.theta.detach().clone()
    theta[2:6] = torch.tensor([0.2, -0.5, 0.1, -0.3], dtype=torch.float64)

    def slope(z: float) -> float:
        return float(map.evaluate(theta, torch.tensor([z], dtype=torch.float64))[1])

    start = float(NODES[map.evaluate(theta, NODES)[1].argmin()])
    exact = optimize.minimize_scalar(
        slope, bounds=(start - 0.1, start + 0.1), method="bounded", options={"xatol": 1e-9}
    )
    assert 0 < exact.fun < 0.9
    assert least_slope(map, theta, NODES) == pytest.approx(exact.fun, rel=1e-9)
