"""Quadrature: exactness, spectral convergence, kinks, moving knots, particles."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_and_terms import LAWS, differences, laws, tensor

from wgf.errors import ConfigError
from wgf.problem.laws import Barenblatt, Gaussian, Laplace, Semicircle, Uniform
from wgf.problem.quadrature import Gauss, MonteCarlo

NONE = torch.empty(0, dtype=torch.float64)
some_knots = st.lists(st.floats(-7, 7), max_size=6)


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
def test_polynomials_up_to_twice_the_order_are_exact_against_a_flat_density(order):
    a, b = -1.0, 2.0
    nodes = Gauss(order).nodes(Uniform(a, b), tensor([0.1]))

    def error(degree):
        exact = (b ** (degree + 1) - a ** (degree + 1)) / ((degree + 1) * (b - a))
        return abs(float(torch.dot(nodes.w, nodes.z**degree)) - exact) / max(1.0, exact)

    assert max(error(k) for k in range(2 * order)) < 1e-14
    if order <= 5:
        assert error(2 * order) > 1e-9


def test_smooth_integrands_converge_spectrally():
    exact = math.exp(-4.5)  # of cos(3 Z), Z normal
    errors = []
    for order in (2, 4, 6, 8):
        nodes = Gauss(order).nodes(Gaussian(), NONE)
        errors.append(abs(float(torch.dot(nodes.w, torch.cos(3 * nodes.z))) - exact))
    assert all(next_ < before / 30 for before, next_ in pairwise(errors))
    assert errors[-1] < 1e-9
    fine = Gauss(16).nodes(Gaussian(), NONE)
    assert abs(float(torch.dot(fine.w, torch.cos(3 * fine.z))) - exact) < 1e-15


def test_a_kink_at_a_knot_costs_nothing():
    k = 0.37
    exact = k * math.erf(k / math.sqrt(2)) + math.sqrt(2 / math.pi) * math.exp(-k * k / 2)  # E|Z - k|
    with_knot, without = (Gauss().nodes(Gaussian(), knots) for knots in (tensor([k]), NONE))
    assert float(torch.dot(with_knot.w, (with_knot.z - k).abs())) == pytest.approx(exact, abs=1e-14)
    assert abs(float(torch.dot(without.w, (without.z - k).abs())) - exact) > 1e-5


@given(laws(), some_knots)
def test_moments_of_every_law_with_any_knots(law, places):
    nodes = Gauss().nodes(law, law.mean + law.std * tensor(places))
    y = (nodes.z - law.mean) / law.std
    assert float(nodes.w.sum()) == pytest.approx(1, abs=2e-12)
    assert float(torch.dot(nodes.w, y)) == pytest.approx(0, abs=2e-12)
    assert float(torch.dot(nodes.w, y**2)) == pytest.approx(1, abs=2e-12)
    assert torch.all(nodes.w >= 0)
    assert torch.all(nodes.z.diff() >= 0)
    assert torch.all((nodes.z >= law.lower) & (nodes.z <= law.upper))


@given(laws(), some_knots)
def test_the_cell_counts_the_knots_to_the_left_and_holds_its_mass(law, places):
    knots = law.mean + law.std * tensor(places)
    nodes = Gauss().nodes(law, torch.cat([knots, knots[:1]]))  # one of them twice
    ordered = torch.cat([knots, knots[:1]]).sort().values
    cell = torch.searchsorted(ordered, nodes.z, right=True)
    apart = (nodes.w > 0) & ((nodes.z[:, None] - ordered).abs() > 1e-12).all(
        1
    )  # nearer ones may round to the other side
    assert torch.equal(nodes.cell[apart], cell[apart])
    ends = torch.cat([tensor([-math.inf]), ordered, tensor([math.inf])])
    masses = torch.zeros(len(ordered) + 1, dtype=torch.float64).index_add(0, nodes.cell, nodes.w)
    assert torch.allclose(masses, law.mass(ends[:-1], ends[1:]), atol=1e-11)


@pytest.mark.parametrize("name", LAWS)
def test_gradients_pass_through_the_knots(name):
    law = LAWS[name]
    knots = law.mean + law.std * tensor([0.53, -0.81, 0.17])
    slopes = tensor([0.5, 2.0, 1.0, 0.3])

    def integral(knots):
        nodes = Gauss().nodes(law, knots)
        return torch.dot(nodes.w, slopes[nodes.cell] * torch.cos(nodes.z))  # jumps at the knots

    moving = knots.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(integral(moving), moving)
    rank = knots.argsort().argsort()
    exact = law.density(knots) * torch.cos(knots) * (slopes[rank] - slopes[rank + 1])
    assert torch.allclose(gradient, exact, rtol=1e-7, atol=1e-9)
    for i, direction in enumerate(torch.eye(3, dtype=torch.float64)):
        assert float(gradient[i]) == pytest.approx(differences(integral, knots, direction), rel=1e-8, abs=1e-10)


@pytest.mark.parametrize(
    "law", [Semicircle(1.3), Barenblatt(2.0), Barenblatt(3.0), Uniform(-1, 1)], ids=lambda law: type(law).__name__
)
def test_knots_at_and_beyond_the_edge_leave_finite_integrals(law):
    inside = tensor([-0.3, 0.2])
    beyond = torch.cat([inside, tensor([law.lower - 1, law.lower, law.upper, law.upper + 2])]).requires_grad_()
    few, many = Gauss().nodes(law, inside), Gauss().nodes(law, beyond)
    entropy = torch.dot(many.w, many.log_p)
    assert entropy.item() == pytest.approx(float(torch.dot(few.w, few.log_p)), abs=1e-12)
    (gradient,) = torch.autograd.grad(entropy, beyond)
    assert torch.isfinite(gradient).all()
    assert torch.all(gradient[[2, 5]] == 0)


def test_log_p_is_that_of_the_law():
    nodes = Gauss().nodes(Laplace(0.2, 0.7), NONE)
    assert torch.allclose(nodes.log_p, -(nodes.z - 0.2).abs() / 0.7 - math.log(1.4), rtol=1e-14)


def test_particles_are_those_of_their_seed():
    law, knots = Gaussian(0.5, 2.0), torch.zeros(1, dtype=torch.float32)
    first, again, other = (MonteCarlo(100, seed=s).nodes(law, knots.double()) for s in (0, 0, 1))
    assert torch.equal(first.z, again.z)
    assert not torch.equal(first.z, other.z)
    assert torch.all(first.z.diff() >= 0)
    assert torch.all(first.w == 0.01)
    assert MonteCarlo(10).nodes(law, knots).z.dtype == torch.float32


def test_particles_converge_like_one_over_the_root():
    law, seeds = Gaussian(), 64

    def rms(n):
        means = [float(MonteCarlo(n, seed=s).nodes(law, NONE).z.square().mean()) - 1 for s in range(seeds)]
        return np.sqrt(np.mean(np.square(means)))

    coarse, fine = rms(100), rms(6400)
    assert coarse / fine == pytest.approx(8, rel=0.35)
    assert fine == pytest.approx(math.sqrt(2 / 6400), rel=0.25)  # the variance of Z^2 is 2


@pytest.mark.parametrize("rule", [lambda: Gauss(0), lambda: Gauss(2.5), lambda: MonteCarlo(0)])
def test_impossible_rules_are_refused(rule):
    with pytest.raises(ConfigError, match="a whole number >= 1"):
        rule()


def test_ranks_of_random_nodes_have_the_mean_zero():
    """So that an interaction |x - y| does not change by a shift of the map."""
    for nodes in (MonteCarlo(300).nodes(Gaussian(), tensor([])), Gauss(3).nodes(Uniform(), tensor([-0.3, 0.1]))):
        assert float(nodes.w @ nodes.rank) == pytest.approx(0, abs=1e-16)


@given(law=laws(), side=st.sampled_from([-1, 1]), share=st.floats(0.0, 1.0))
def test_a_knot_beside_a_panel_makes_no_narrow_cell(law, side, share):
    panels = torch.tensor(law.panels(), dtype=torch.float64)
    k = 1 + int(share * (len(panels) - 3))
    width = float(torch.minimum(panels[k] - panels[k - 1], panels[k + 1] - panels[k]))
    knot = panels[k] + side * max(1e-13 * width, float(np.spacing(abs(float(panels[k])))))
    nodes = Gauss(8).nodes(law, knot[None])
    widths = nodes.z.reshape(-1, 8).diff(dim=1).sum(1)
    assert float(widths[widths > 0].min()) > 0.1 * float(panels.diff()[panels.diff() > 0].min())
    assert float(nodes.w.sum()) == pytest.approx(float(Gauss(8).nodes(law, NONE).w.sum()), abs=1e-12)
    assert int(nodes.cell[-1]) == 1


def test_a_panel_beside_no_knot_stays():
    law = Gaussian()
    panels = law.panels()
    for knots in (NONE, tensor([1e-9]), tensor([100.0])):
        z = Gauss(4).nodes(law, knots).z
        mesh = sorted({*panels, *knots.clamp(law.lower, law.upper).tolist()})
        assert len(z) == 4 * (len(panels) + len(knots) - 1)
        assert all(
            low < float(row[0]) and float(row[-1]) < high
            for (low, high), row in zip(pairwise(mesh), z.reshape(-1, 4), strict=False)
        )
