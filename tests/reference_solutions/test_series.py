"""Fourier series of heat between walls and on a circle: their coefficients, and when they are used."""

import math

import numpy as np
import pytest
import torch
from scipy.special import gamma, jv

import wgf
from wgf.problem.interaction import Zero
from wgf.problem.potential import Zero as NoPotential
from wgf.reference_solutions.series import MOST, SMALLEST, CircleSeries, CosineSeries, heat_series


def heat(law: wgf.Base, domain: wgf.Interval | wgf.Circle, t_end: float) -> CosineSeries | CircleSeries | None:
    return heat_series(wgf.FokkerPlanck().problem(law, NoPotential(), Zero(), t_end, "auto", domain))


@pytest.mark.parametrize("domain", [wgf.Interval(0.0, 1.0), wgf.Circle(2.0)], ids=["walls", "circle"])
@pytest.mark.parametrize("a", [0.2, 0.45, 3.5])
def test_coefficients_of_laws_with_edges(a: float, domain: wgf.Interval | wgf.Circle):
    """Of Beta(a, a) they are Bessel functions; for a < 1/2 its last cells, which are as wide as rounding, hold 1e-8."""
    n = np.arange(1, MOST + 1)
    order, half = a - 0.5, 0.5 * math.pi * n
    exact = gamma(a + 0.5) * (2 / half) ** order * jv(order, half) * np.cos(half)
    known = heat(wgf.Beta(a, a), domain, 0.05)
    assert known is not None
    damped = np.exp(SMALLEST * (n / MOST) ** 2)  # at the earliest time that the series reaches
    assert np.abs((known.moments.real - exact) * damped).max() < 1e-14


@pytest.mark.parametrize(("domain", "t"), [(wgf.Interval(0.0, 1.0), 1e-8), (wgf.Circle(2 * math.pi), 1e-6)])
def test_a_series_that_needs_too_many_modes_gives_way(domain: wgf.Interval | wgf.Circle, t: float):
    law, network = wgf.Uniform(0.2, 0.5), wgf.Spline(16, base=wgf.Uniform(0.0, domain.period or 1.0))
    assert heat(law, domain, t) is None
    known = heat(law, domain, 1000 * t)
    assert known is not None
    assert known(1000 * t, torch.tensor([0.3], dtype=torch.float64)).isfinite().all()
    flow = wgf.solve(wgf.FokkerPlanck(), law=law, domain=domain, network=network, t_end=t, saves=1)
    assert flow.reference_solution.name == "finite volumes"
    assert 0 < flow.w1(flow.reference_solution) < 1e-2
