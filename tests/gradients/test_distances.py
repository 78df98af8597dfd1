"""W2 from differentiable laws to laws with gaps, steep parts and heavy tails, and to samples, with derivatives.

The law of the flows here is N(0, s^2), s^2 = e^(-2 k t) + D (1 - e^(-2 k t)) / k. With K = int z q(u) du over ranks u,
z the normal quantile and q that of the other law Y,

    W2^2 = s^2 - 2 s K + E Y^2,   dW2^2 = 2 (s - K) ds.

Quadrature over the parts of Y, by its cdf, gives K; for samples it is a sum.
"""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from gradient_problems import tensor
from scipy.integrate import quad
from scipy.stats import norm, uniform

import wgf
from wgf.gradients import cells
from wgf.gradients.law import DifferentiableLaws

T = 0.6
SHARP = {"potential": "x**2/2", "t_end": T, "saves": 1, "integrator": wgf.Rodas4(1e-10, 1e-10)}


def spread(d, k=1.0):
    """s and ds/dD."""
    fade = math.exp(-2 * k * T)
    s = math.sqrt(fade + d * (1 - fade) / k)
    return s, (1 - fade) / (2 * k * s)


@cache
def flow():
    return wgf.solve(wgf.FokkerPlanck(tensor(0.7)), **SHARP)


class Parts:
    """A law of parts, by laws of scipy: E Y^2 and K."""

    def __init__(self, *parts):
        total = sum(weight for weight, _ in parts)
        self.parts = [(weight / total, law) for weight, law in parts]

    def square(self):
        return sum(w * (law.var() + law.mean() ** 2) for w, law in self.parts)

    def product(self):
        def z(x):
            below = sum(w * law.cdf(x) for w, law in self.parts)
            return norm.ppf(below) if below < 0.5 else norm.isf(sum(w * law.sf(x) for w, law in self.parts))

        total = 0.0
        for w, law in self.parts:
            ends = law.ppf([1e-17, 1e-12, 1e-8, 1e-5, 0.01, 0.1, 0.5]), law.isf([0.1, 0.01, 1e-5, 1e-8, 1e-12, 1e-17])
            mesh = np.unique(np.concatenate(ends))
            for low, high in pairwise(mesh):
                total += quad(lambda x, w=w, law=law: x * z(x) * w * law.pdf(x), low, high, epsabs=1e-11, epsrel=1e-11)[
                    0
                ]
        return total


def mixture(means, stds, weights):
    return Parts(*((w, norm(m, s)) for w, m, s in zip(weights, means, stds, strict=True)))


FAR, TWO, BINS = (
    ([-30, 0], [0.05, 1.0], [1e-3, 0.999]),
    ([-3, 3], [0.05, 0.05], [0.37, 0.63]),
    ([-2, -1, 1, 2], [1, 0, 2]),
)
GAPS = {
    "a few far away": (wgf.Mixture(*FAR), mixture(*FAR)),
    "two needles": (wgf.Mixture(*TWO), mixture(*TWO)),
    "an empty bin": (wgf.Histogram([-2, -1, 1, 2], [1, 0, 2]), Parts((1, uniform(-2, 1)), (2, uniform(1, 1)))),
    "no gap": (wgf.Gaussian(0.3, 0.8), mixture([0.3], [0.8], [1.0])),
}


@pytest.mark.parametrize("name", GAPS)
def test_w2_to_a_law_with_a_gap(name):
    law, judge = GAPS[name]
    (d,), (s, slope), product = flow().history.tensors, spread(0.7), judge.product()
    value = flow().differentiable().squared_w2(law)
    (found,) = torch.autograd.grad(value, d)
    assert float(value.detach()) == pytest.approx(s * s - 2 * s * product + judge.square(), rel=1e-8)
    assert float(found) == pytest.approx(2 * (s - product) * slope, rel=1e-6)
    assert float(value.detach()) == pytest.approx(flow().w2(law) ** 2, rel=1e-9)


def test_masses_on_both_sides_of_a_gap_have_derivatives():
    """All of it is in the gap, through which particles go at once when the masses change."""

    def exact(w):
        judge = mixture(*TWO[:2], [w, 0.63])
        return judge.square() - 2 * s * judge.product()

    (s, _), w, h = spread(0.7), tensor(0.37), 1e-3
    (found,) = torch.autograd.grad(
        flow().differentiable().squared_w2(wgf.Mixture([-3.0, 3.0], [0.05, 0.05], [w, 0.63])), w
    )
    one, two = ((exact(0.37 + k) - exact(0.37 - k)) / (2 * k) for k in (h, 2 * h))
    assert float(found) == pytest.approx((4 * one - two) / 3, rel=1e-7)


def test_w2_to_heavy_tails():
    law = wgf.Student(3.0)
    assert float(flow().differentiable().w2(law).detach()) == pytest.approx(flow().w2(law), rel=1e-10)


def moments(samples):
    """Mean square of samples, and K."""
    n = len(samples)
    p = norm.pdf(norm.ppf(np.arange(n + 1) / n))
    return np.mean(samples**2), np.sort(samples) @ (p[:-1] - p[1:])


@pytest.mark.parametrize("n", [1, 2, 20, 200])
def test_w2_to_samples_is_that_to_the_samples_as_they_are(n):
    samples = 0.8 * np.random.default_rng(n).normal(size=n)
    samples[n // 2 :: 7] = samples[0]  # some are equal
    (d,), (s, slope), (square, product) = flow().history.tensors, spread(0.7), moments(samples)
    wanted = s * s - 2 * s * product + square
    for given in (samples, torch.from_numpy(samples), samples.tolist()):
        value = flow().differentiable().squared_w2(given)
        (found,) = torch.autograd.grad(value, d)
        assert float(value.detach()) == pytest.approx(wanted, rel=1e-8)
        assert float(found) == pytest.approx(2 * (s - product) * slope, rel=1e-7)
        assert flow().w2(given) == pytest.approx(math.sqrt(wanted), rel=1e-8)
    if n > 2:
        smooth = wgf.Samples(samples)
        assert float(flow().differentiable().w2(smooth).detach()) == pytest.approx(flow().w2(smooth), rel=1e-9)
        assert abs(flow().w2(smooth) ** 2 - wanted) > 1e-3


def test_w1_to_samples_on_a_line_is_the_area_between_the_cdfs():
    samples = np.array([-1.0, 0.2, 0.2, 1.5])
    x = np.linspace(-7, 7, 200_001)
    gap = norm.cdf(x, 0, spread(0.7)[0]) - (samples[:, None] <= x).mean(0)
    assert flow().w1(samples) == pytest.approx(np.trapezoid(np.abs(gap), x), abs=1e-4)


@pytest.mark.parametrize("positions", [cells.BLOCK, 500])
def test_w2_of_an_ensemble_to_gaps_and_samples(positions, monkeypatch):
    """Also if the positions are computed in many blocks."""
    monkeypatch.setattr(cells, "BLOCK", positions)
    d, k = tensor([0.3, 0.7, 1.4]), tensor([0.8, 1.0, 1.3])
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": d, "k": k}, **SHARP | {"potential": "k*x**2/2"}, nodes=8)
    laws, samples = flows.differentiable(), 0.8 * np.random.default_rng(0).normal(size=50)
    known = [(law, judge.square(), judge.product()) for law, judge in GAPS.values()] + [(samples, *moments(samples))]
    sizes = [spread(*pair) for pair in zip(d.tolist(), k.tolist(), strict=True)]
    for law, square, product in known:
        value = laws.squared_w2(law)
        (found,) = torch.autograd.grad(value.sum(), d, retain_graph=True)
        np.testing.assert_allclose(value.detach(), [s * s - 2 * s * product + square for s, _ in sizes], rtol=1e-7)
        np.testing.assert_allclose(found, [2 * (s - product) * slope for s, slope in sizes], rtol=1e-5)


def test_a_flow_that_failed_has_no_distance_and_changes_no_other():
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": tensor([0.3, 0.7])}, **SHARP)
    one, chart = flows.differentiable(), flows.history.chart
    c = one.coordinates.detach().clone()
    c[1] = math.nan
    both, alone = (DifferentiableLaws(chart, flows.base, rows.requires_grad_()) for rows in (c, c[:1].detach()))
    for other in (wgf.Mixture(*TWO), np.array([0.3, -1.0]), one):
        found, wanted = both.squared_w2(other), alone.squared_w2(other)
        assert found.isnan().tolist() == [False, True]
        assert float(found[0].detach()) == pytest.approx(float(wanted[0].detach()), rel=1e-12)
        pairs = (found, both), (wanted, alone)
        slopes = (torch.autograd.grad(value[0], laws.coordinates)[0][0] for value, laws in pairs)
        torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-12)


def test_second_derivatives_of_a_distance_are_refused():
    m = tensor(0.3)
    value = flow().differentiable().squared_w2(wgf.Gaussian(m, 0.8))
    with pytest.raises(wgf.WgfError, match="second derivatives of a distance"):
        torch.autograd.grad(value, m, create_graph=True)
