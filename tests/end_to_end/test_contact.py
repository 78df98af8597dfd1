"""A porous medium that reaches walls: its ends are free, then held, then free again."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import wgf
from wgf.problem.laws import SymmetricBeta


def walled(law: wgf.Law, domain: wgf.Interval | wgf.HalfLine, t_end: float, potential: str | None = None, **more):
    return wgf.solve(wgf.PorousMedium(2.0), law=law, domain=domain, potential=potential, t_end=t_end, **more)


def test_it_fills_an_interval_evenly():
    flow = walled(wgf.Uniform(0.3, 0.8), wgf.Interval(), 1.5, saves=3)
    u = np.linspace(0, 1, 21)
    assert flow.status is wgf.Status.completed
    np.testing.assert_allclose(flow.quantile(1.5, u), u, atol=1e-6)
    np.testing.assert_allclose(flow.density(1.5, [0.001, 0.5, 0.999]), 1.0, atol=1e-4)
    assert (np.diff(flow.energy) <= 1e-12).all()
    assert flow.energy[-1] == pytest.approx(1.0, abs=1e-6)  # int rho^2
    assert flow.table()["dissipation"][-1] < 1e-8


def test_its_ends_meet_the_walls_when_barenblatts_do():
    radius, span = 0.5, 0.75  # R^3 = 9 t from a source at t = 0
    contact = (span**3 - radius**3) / 9
    network = wgf.Spline(knots="adaptive", base=wgf.Uniform(-radius, radius))
    law, saves = SymmetricBeta(0.0, radius, 2.0), [0.9 * contact, 1.1 * contact, 0.05]
    flow = walled(law, wgf.Interval(-span, 2.0), 0.05, network=network, saves=saves)
    early = (radius**3 + 9 * saves[0]) ** (1 / 3)
    np.testing.assert_allclose(flow.quantile(saves[0], [0.0, 1.0]), [-early, early], atol=6e-3)
    assert [flow.quantile(t, 0.0) == -span for t in flow.t] == [False, False, True, True]
    assert flow.quantile(0.05, 1.0) > span


def test_it_leans_on_a_wall():
    """In V = 8 x the steady density is 4 (s - x) from the wall at 0 to s = sqrt(1/2)."""
    flow = walled(wgf.Uniform(0.3, 0.8), wgf.HalfLine(), 3.0, "8*x", saves=1)
    s, u = math.sqrt(0.5), np.linspace(0, 0.9, 11)
    np.testing.assert_allclose(flow.quantile(3.0, u), s * (1 - np.sqrt(1 - u)), atol=3e-5)
    assert flow.density(3.0, 0.9) == 0.0
    assert flow.expectation(3.0, "x") == pytest.approx(s / 3, abs=2e-5)


def test_finite_volumes_see_the_same():
    """Central differences of rho^2 on 200 cells without flux at the walls, of second order."""
    (low, high), n, t = (-1.0, 1.5), 200, 0.5
    x = np.linspace(low, high, n + 1)
    law = SymmetricBeta(0.0, 0.5, 2.0)
    h, start = x[1] - x[0], np.diff(law.cdf(torch.from_numpy(x)).numpy())

    def rate(_: float, rho: np.ndarray) -> np.ndarray:
        return np.diff(np.diff(rho**2) / h, prepend=0.0, append=0.0) / h

    rho = solve_ivp(rate, (0, t), start / h, "LSODA", rtol=1e-7, atol=1e-9, lband=1, uband=1).y[:, -1]
    flow = walled(law, wgf.Interval(low, high), t, saves=1)
    np.testing.assert_allclose(flow.cdf(t, x[1:]), np.cumsum(rho) * h, atol=3e-4)


def test_a_wall_lets_go():
    law = wgf.Uniform(0.3, 0.8)
    network = wgf.Spline(12, base=law)
    flow = walled(law, wgf.Interval(), 0.9, "3*(x - 0.5 + 0.6*sin(3*t))^2", network=network, saves=9)
    held = [flow.quantile(t, 1.0) == 1.0 for t in flow.t]
    assert flow.status is wgf.Status.completed
    assert [held[k] for k in (0, 1, 3, 6, 9)] == [False, True, True, False, True]
    assert min(flow.quantile(t, 0.0) for t in flow.t) >= 0.0


@pytest.mark.parametrize("base", ["barenblatt", "gaussian"])
def test_a_base_that_vanishes_at_the_wall_is_refused(base: str):
    with pytest.raises(wgf.ConfigError, match=f"base={base} is impossible in a porous medium on"):
        walled(wgf.Uniform(0.3, 0.8), wgf.Interval(), 1.0, base=base)
