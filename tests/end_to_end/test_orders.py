"""Orders of convergence in space, and how near the flow ends to the best map of its network."""

import numpy as np
import pytest
import torch
from laws_and_terms import problem
from whole_flows import fine_grid, flow, nearest, reference_map, w1

from wgf.integrators.explicit import Dopri5
from wgf.integrators.implicit import Rodas4
from wgf.integrators.status import Status
from wgf.networks.relu import TwoSidedReLU
from wgf.problem.internal import Entropy
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Quartic
from wgf.problem.quadrature import Gauss
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.reference_solutions.exact import find

LAW = Gaussian(0.0, 1.0)
DIFFUSING = problem(LAW, Quartic(1.0), Entropy(1.0))
FLOWING = problem(LAW, Quartic(1.0))
WIDTHS = (4, 8, 16, 32, 64, 128)


def test_quasi_optimality():
    """Weights only, quartic Fokker-Planck, t = 0.2: the flow ends within a quarter of the best its network can do."""
    z, w = fine_grid()
    target = reference_map("quartic")
    for width in WIDTHS:
        map = TwoSidedReLU(width, 4.0, base=LAW)
        end = flow(DIFFUSING, map, Rodas4(rtol=1e-8, atol=1e-11), 0.2)
        with torch.no_grad():
            x = map.evaluate(end.state.theta, torch.from_numpy(z))[0].numpy()
        ratio = np.sqrt(np.dot(w, (x - target) ** 2)) / nearest(z, w, target, np.linspace(-4, 4, width))
        assert 1 <= ratio <= 1.25, (width, ratio)


def orders(problem, maps, integrator, t: float, target: np.ndarray) -> np.ndarray:
    """Between successive widths, each twice the one before."""
    errors = []
    for map in maps:
        end = flow(problem, map, integrator, t)
        assert end.status is Status.completed
        errors.append(w1(map, end.state.theta, target))
    return np.log2(np.divide(errors[:-1], errors[1:]))


@pytest.mark.parametrize("flowing", [DIFFUSING, FLOWING], ids=["fokker_planck", "transport"])
def test_weights_only_are_of_second_order(flowing):
    z, _ = fine_grid()
    target = reference_map("quartic") if flowing is DIFFUSING else find(flowing)(0.2, torch.from_numpy(z)).numpy()
    maps = [TwoSidedReLU(width, 4.5, base=LAW) for width in (32, 64, 128, 256)]
    assert orders(flowing, maps, Rodas4(rtol=1e-8, atol=1e-11), 0.2, target) == pytest.approx(2.0, abs=0.2)


def test_biases_only_are_consistent_of_first_order():
    """The velocity of the identity: cell averages of the true one, x - V'(x) or -V'(x)."""
    z, w = fine_grid()
    for flowing, diffusion in ((DIFFUSING, 1), (FLOWING, 0)):
        true = diffusion * z - ((z - 1) ** 3 - (z - 1))
        errors = []
        for width in (16, 32, 64, 128, 256):
            map = TwoSidedReLU(width, 6.0, "biases", base=LAW)
            field = Projection(flowing, map, Gauss(), Auto(rcond=1e-14))
            theta = map.theta.detach()
            derivative = map.jacobian(theta, torch.from_numpy(z))
            velocity = (derivative @ field(theta).velocity).numpy()
            errors.append(np.sqrt(np.dot(w, (velocity - true) ** 2)))
        assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(1.0, abs=0.1)


def test_biases_only_are_of_first_order_before_the_knots_cross():
    z, _ = fine_grid()
    target = find(FLOWING)(0.02, torch.from_numpy(z)).numpy()
    maps = [TwoSidedReLU(width, 4.0, "biases", base=LAW) for width in (8, 16, 32)]
    found = orders(FLOWING, maps, Dopri5(rtol=1e-6), 0.02, target)  # rounding decides where knots meet: see it through
    assert found.mean() == pytest.approx(1.0, abs=0.2)
