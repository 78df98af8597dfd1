"""Energy terms: values against closed forms and quadrature, derivatives against finite differences, their laws."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_and_terms import LAWS, TERMS, away, differences, network, problem, random, tensor
from missing_mass import MissingMass
from scipy import integrate, stats

from wgf.errors import ConfigError
from wgf.problem import interaction, kernels
from wgf.problem import potential as potentials
from wgf.problem.energy import MapAtNodes, Term, standard_error
from wgf.problem.interaction import Interaction
from wgf.problem.internal import Entropy, PowerLaw
from wgf.problem.laws import Barenblatt, Gaussian, Semicircle, TruncatedNormal, Uniform
from wgf.problem.laws.piecewise import PiecewiseLinear
from wgf.problem.potential import Potential
from wgf.problem.quadrature import Gauss, MonteCarlo
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto

every_term = pytest.mark.parametrize("name", TERMS)
INTERACTIONS = [name for name, term in TERMS.items() if isinstance(term, Interaction)]


def at_nodes(law, f, order=8, rule=Gauss):
    """A map written as a function at the nodes of a law."""
    nodes = rule(order).nodes(law, torch.empty(0, dtype=torch.float64))
    z = nodes.z.clone().requires_grad_()
    x = f(z)
    (dx,) = torch.autograd.grad(x.sum(), z)
    return MapAtNodes(nodes, x.detach(), dx)


def bent(z):
    return 0.3 + 1.2 * z + 0.4 * torch.tanh(z)


# values


@pytest.mark.parametrize("name", [name for name, term in TERMS.items() if isinstance(term, Potential)])
def test_potentials_are_integrals_over_the_law(name):
    law, v = Gaussian(0.3, 1.2), TERMS[name]
    functions = {
        "quadratic": lambda x: 0.65 * (x - 0.4) ** 2,
        "quartic": lambda x: (x - 0.2) ** 4 / 4 - (x - 0.2) ** 2 / 2,
        "sextic": lambda x: (x - 0.5) ** 6 / 6,
        "expression": lambda x: math.cos(2 * x) + x**2 / 4,
    }
    pdf = stats.norm(0.3, 1.2).pdf
    expected = integrate.quad(
        lambda z: functions[name](0.3 + 1.2 * z + 0.4 * math.tanh(z)) * pdf(z), -12, 12, epsabs=1e-12, limit=200
    )[0]
    assert float(v.value(at_nodes(law, bent))) == pytest.approx(expected, rel=1e-6)
    assert float(v.value(at_nodes(law, bent, order=16))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["gaussian", "uniform", "laplace", "mixture"])
def test_entropy_and_power_law_are_integrals_over_the_image(name):
    law, record_ = LAWS[name], at_nodes(LAWS[name], bent, order=16)
    x, rho = record_.x, record_.nodes.base.density(record_.nodes.z) / record_.dx
    dx = record_.w / rho  # the image's own quadrature: w = rho dx
    assert float(TERMS["entropy"].value(record_)) == pytest.approx(float((dx * 0.7 * rho * rho.log()).sum()), rel=1e-12)
    for exponent, kappa, key in ((1.5, 0.5, "power_law_1.5"), (2.0, 0.8, "power_law_2"), (3.0, 0.5, "power_law_3")):
        expected = float((dx * kappa * rho**exponent / (exponent - 1)).sum())
        assert float(TERMS[key].value(record_)) == pytest.approx(expected, rel=1e-12)
    assert torch.all(x.diff() >= 0)
    assert float(dx.sum()) > 0.99 * law.std


@given(st.floats(0.2, 4), st.floats(-2, 2), st.floats(0.3, 3))
def test_internal_energies_of_affine_maps_in_closed_form(scale, shift, std):
    def f(z):
        return shift + scale * z

    gaussian, uniform = at_nodes(Gaussian(0.0, std), f), at_nodes(Uniform(0.0, std), f)
    width = scale * std  # of the image
    expected = -0.5 * math.log(2 * math.pi * math.e * width**2)
    assert float(Entropy(1.3).value(gaussian)) == pytest.approx(1.3 * expected, abs=1e-10)
    assert float(Entropy(1.3).value(uniform)) == pytest.approx(-1.3 * math.log(width), abs=1e-12)
    for g in (1.5, 2.0, 3.0):
        expected = width ** (1 - g) / (g - 1) * (2 * math.pi) ** ((1 - g) / 2) / math.sqrt(g)
        assert float(PowerLaw(g, 0.8).value(gaussian)) == pytest.approx(0.8 * expected, rel=1e-8)
        assert float(PowerLaw(g, 0.8).value(uniform)) == pytest.approx(0.8 * width ** (1 - g) / (g - 1), rel=1e-12)


def kernel(name, r):
    """W written out, from its formula."""
    d = np.abs(r)
    return {
        "newtonian": lambda: -0.8 * d / 2,
        "moments": lambda: 0.7 * d**2 / 2,
        "attraction_4_2": lambda: 0.5 * (d**4 / 4 - d**2 / 2),
        "attraction_2_1": lambda: 0.5 * (d**2 / 2 - d),
        "attraction_2.5_1.5": lambda: 0.5 * (d**2.5 / 2.5 - d**1.5 / 1.5),
        "morse": lambda: 0.8 * np.exp(-d / 0.5) - 1.0 * np.exp(-d / 2.0),
    }[name]()


@pytest.mark.parametrize("name", [name for name in INTERACTIONS if name != "log"])
def test_interactions_of_gaussians_are_integrals_over_the_difference(name):
    scale, law = 0.8, Gaussian(0.3, 1.2)
    pdf = stats.norm(0, math.sqrt(2) * scale * 1.2).pdf  # of X - Y
    expected = integrate.quad(lambda r: kernel(name, r) * pdf(r), 0, 30, epsabs=1e-12, limit=200)[0]
    value = float(TERMS[name].value(at_nodes(law, lambda z: 1 + scale * z, order=16)))
    # what is left of the kink after |x|: |x|^3 for Morse, |x|^1.5 here
    assert value == pytest.approx(expected, abs={"morse": 1e-6, "attraction_2.5_1.5": 2e-5}.get(name, 1e-11))


@pytest.mark.parametrize("name", [name for name in INTERACTIONS if name != "log"])
def test_interactions_are_sums_over_all_pairs(name):
    law, n = Gaussian(0.3, 1.2), 2000
    x = bent(law.quantile((torch.arange(n, dtype=torch.float64) + 0.5) / n)).numpy()
    pairs = 0.5 * kernel(name, x[:, None] - x).mean()
    assert float(TERMS[name].value(at_nodes(law, bent))) == pytest.approx(pairs, rel=5e-3)
    if name in ("newtonian", "morse"):  # bounded slopes: particles see the tails well
        assert float(TERMS[name].value(at_nodes(law, bent))) == pytest.approx(pairs, rel=2e-4)


def test_quadratic_and_newtonian_equal_the_double_sum_over_their_own_nodes():
    r = at_nodes(Gaussian(), bent, order=12)
    distance = (r.x[:, None] - r.x).abs()
    quadratic, newtonian = (0.25 * float(r.w @ (distance**k) @ r.w) for k in (2, 1))
    assert float(interaction.Quadratic(1.0).value(r)) == pytest.approx(quadratic, rel=1e-12)
    assert float(interaction.Newtonian(1.0).value(r)) == pytest.approx(newtonian, rel=2e-3)  # the sum meets the kink


def test_quadratic_where_a_rule_misses_mass_is_the_double_sum_per_mass():
    r = at_nodes(Gaussian(), bent, rule=MissingMass)
    spring, mass = interaction.Quadratic(-1.7), float(r.w.sum())
    assert mass == pytest.approx(0.9)
    pairs = -0.25 * 1.7 * float(r.w @ (r.x[:, None] - r.x) ** 2 @ r.w) / mass
    assert float(spring.value(r)) == pytest.approx(pairs, rel=1e-12)
    bends = spring.curvature(r).xx.diag() + spring.coupling(r, lambda columns: columns)
    known = torch.autograd.functional.hessian(lambda x: spring.value(MapAtNodes(r.nodes, x, r.dx)), r.x)
    assert torch.allclose(bends, known, rtol=1e-12, atol=1e-16)


def test_blocks_change_nothing(monkeypatch):
    r = at_nodes(Gaussian(), bent)
    terms = [TERMS[name] for name in ("log", "morse", "attraction_4_2")]
    whole = [(term.value(r), *term.covector(r)) for term in terms]
    monkeypatch.setattr(interaction, "BLOCK", 7 * len(r.x))
    for term, (value, force, stress) in zip(terms, whole, strict=True):
        again = term.covector(r)
        assert float(term.value(r)) == pytest.approx(float(value), rel=1e-13)
        assert torch.allclose(again[0], force, rtol=1e-12, atol=1e-15)
        assert torch.allclose(again[1], stress, rtol=1e-12, atol=1e-15)


@given(st.floats(0.05, 20), st.floats(-3, 3))
def test_the_logarithm_scales_like_the_second_moment_law(scale, shift):
    chi = 0.6
    one = interaction.Log(2 * chi).value(at_nodes(Gaussian(), bent))
    other = interaction.Log(2 * chi).value(at_nodes(Gaussian(), lambda z: shift + scale * bent(z)))
    assert float(other - one) == pytest.approx(chi * math.log(scale), abs=1e-11)


@given(st.lists(st.floats(-14, -0.4), max_size=3), st.booleans(), st.floats(-3, 3), st.floats(0.05, 20))
def test_the_logarithmic_energy_of_a_law_knows_no_mesh(powers, mirrored, start, width):
    """1/2 int int log|x - y| is -3/4 on the unit interval; cells of any lengths may lie beside each other."""
    inner = sorted({1 - 10**p if mirrored else 10**p for p in powers})
    edges = start + width * np.array([0.0, *inner, 1.0])
    law = PiecewiseLinear(edges, np.ones(len(edges) - 1), np.ones(len(edges) - 1))
    assert law.log_energy == pytest.approx(0.5 * math.log(width) - 0.75, abs=1e-12)


@given(st.floats(-6, 6), st.floats(0.1, 6), st.floats(-30, 30), st.floats(0.01, 20))
def test_the_logarithmic_energy_of_a_part_of_a_normal_law_scales(low, length, place, scale):
    part = TruncatedNormal(0.0, 1.0, low, low + length)
    moved = TruncatedNormal(place, scale, place + scale * low, place + scale * (low + length))
    rounding = 1e-12 * abs(place) / scale  # of its ends
    assert moved.log_energy == pytest.approx(part.log_energy + 0.5 * math.log(scale), abs=1e-10 + rounding)
    assert min(np.diff(moved.panels())) > 1e-3 * scale * length


# derivatives at the nodes


@every_term
def test_covectors_are_the_derivatives_of_the_value(name):
    term, r = TERMS[name], at_nodes(Gaussian(0.3, 1.2), bent)
    force, stress = term.covector(r)
    if name in ("newtonian", "attraction_2_1", "morse"):
        assert torch.all(stress == 0)
    n = len(r.x)
    for seed in range(4):
        phi, dphi = random(2, n, seed=seed)
        phi = 0.1 * phi * (r.x.diff().min())  # smaller than the distance of the nodes: no pair meets

        def value(both):
            return term.value(MapAtNodes(r.nodes, both[:n], both[n:]))

        both, direction = torch.cat([r.x, r.dx]), torch.cat([phi, dphi])
        expected = differences(value, both, direction, 1e-3)
        assert float(force @ phi + stress @ dphi) == pytest.approx(expected, rel=1e-7, abs=1e-12)


rules = pytest.mark.parametrize("rule", [Gauss, MissingMass])


@rules
@every_term
def test_the_covector_by_autograd_is_the_one_written_by_hand(name, rule):
    term, r = TERMS[name], at_nodes(Uniform(-1.0, 2.0), bent, rule=rule)
    for mine, generic in zip(term.covector(r), Term.covector(term, r), strict=True):
        assert torch.allclose(mine, generic, rtol=1e-10, atol=1e-15)


@rules
@pytest.mark.parametrize("name", INTERACTIONS)
def test_interactions_move_no_centre_of_mass(name, rule):
    r = at_nodes(LAWS["mixture"], bent, rule=rule)
    force, _ = TERMS[name].covector(r)
    assert abs(float(force.sum())) < 1e-12 * float(force.abs().sum())


@rules
@pytest.mark.parametrize("name", INTERACTIONS)
def test_interactions_do_not_see_where_the_law_is(name, rule):
    r = at_nodes(LAWS["mixture"], bent, rule=rule)
    there = MapAtNodes(r.nodes, r.x + 1e3, r.dx)
    assert float(TERMS[name].value(there)) == pytest.approx(float(TERMS[name].value(r)), rel=1e-10)
    (force, _), (other, _) = TERMS[name].covector(r), TERMS[name].covector(there)
    assert torch.allclose(other, force, rtol=0, atol=1e-10 * float(force.abs().max()))


@given(
    st.sampled_from(sorted(LAWS)),
    st.floats(0.1, 3),
    st.lists(st.tuples(st.floats(0, 2), st.floats(0.3, 4), st.floats(-2, 2)), max_size=4),
    st.floats(0.0, 3),
)
def test_logarithm_and_entropy_pull_along_the_map_by_their_strength(name, slope, waves, chi):
    law = LAWS[name]

    def f(z):
        return slope * z + sum((c * torch.tanh(k * z + d) for c, k, d in waves), torch.zeros_like(z))

    r = at_nodes(law, f)
    force, stress = interaction.Log(2 * chi).covector(r)
    assert float(r.w.sum()) == pytest.approx(1, abs=1e-12)
    assert float(force @ r.x + stress @ r.dx) == pytest.approx(chi, abs=1e-11)
    force, stress = Entropy(0.7).covector(r)
    assert float(force @ r.x + stress @ r.dx) == pytest.approx(-0.7, abs=1e-11)


# gradients in the parameters


ROUGH = ("log", "morse", "attraction_2.5_1.5")  # kernels that are not smooth at 0


@pytest.mark.parametrize("train", ["weights", "biases", "all", "mlp"])
@every_term
def test_gradients_are_those_of_finite_differences(name, train):
    """The sum of rough pairs depends on the nodes, which move with the knots; the gradient does not contain this."""
    moves = name in ROUGH and train in ("biases", "all")
    rule, rtol = (Gauss(32), 5e-3) if moves else (Gauss(), 1e-6)
    for law in (Gaussian(0.3, 1.2), Semicircle(1.3), Uniform(-2.0, 1.5)):
        map = network(law, train, 3)
        theta = away(map, 0.1, seed=5)
        field = Projection(problem(law, TERMS[name]), map, rule, Auto())
        gradient, terms = field.gradient(theta)[:2]
        assert float(field.at_nodes(theta).dx.min()) > 0
        assert float(terms.sum()) == pytest.approx(float(field.energy(theta).sum()), rel=1e-13)
        size = float(gradient.norm())
        assert size > 1e-4
        for seed in range(3):
            direction = random(len(theta), seed=seed)
            expected = differences(lambda theta, field=field: field.energy(theta).sum(), theta, direction)
            assert float(gradient @ direction) == pytest.approx(expected, rel=rtol, abs=0.1 * rtol * size)


@pytest.mark.parametrize("law", [Gaussian(0.3, 1.2), Barenblatt(3.0)], ids=["gaussian", "barenblatt"])
@pytest.mark.parametrize("name", ["entropy", "power_law_1.5", "power_law_3"])
@pytest.mark.parametrize("rule", [Gauss(), MonteCarlo(50)], ids=["gauss", "particles"])
def test_moving_a_knot_moves_a_jump_of_the_density(name, law, rule):
    map = network(law, "biases", 4)
    theta = away(map, 0.1, seed=2)
    weights, m = [1.0] * 4 + [-1.0] * 4, 4
    knots = theta.tolist()

    def slope(z):  # (1/m) ( sum of w over b < z - sum of wt over bt > z )
        return sum(w for w, b in zip(weights[:m], knots[:m], strict=True) if b < z) / m - (
            sum(w for w, b in zip(weights[m:], knots[m:], strict=True) if b > z) / m
        )

    expected = []
    for b in knots:
        p, before, after = float(law.density(tensor(b))), slope(b - 1e-9), slope(b + 1e-9)
        if name == "entropy":
            expected.append(0.7 * p * math.log(after / before))
        else:
            g = TERMS[name].exponent
            expected.append(p**g * 0.5 / (g - 1) * (before ** (1 - g) - after ** (1 - g)))
    gradient = Projection(problem(law, TERMS[name]), map, rule, Auto()).gradient(theta)[0]
    assert gradient.tolist() == pytest.approx(expected, rel=1e-8, abs=1e-7 if isinstance(law, Barenblatt) else 1e-10)


def test_particles_and_quadrature_agree_on_the_gradient_up_to_the_noise():
    law = Gaussian()
    map = network(law, "all", 3)
    theta = away(map, 0.1, seed=1)
    flow = problem(law, potentials.Quartic(), Entropy(0.7), interaction.Quadratic(0.5))
    exact = Projection(flow, map, Gauss(), Auto()).gradient(theta)[0]
    sampled = Projection(flow, map, MonteCarlo(200_000), Auto()).gradient(theta)[0]
    assert float((sampled - exact).norm()) < 0.02 * float(exact.norm())


PAIRS = [
    interaction.Newtonian(4.0),
    interaction.Quadratic(2.0),
    interaction.Log(3.0),
    kernels.Morse(),
    kernels.PowerLaw(3.0),
]


@pytest.mark.parametrize("term", [Entropy(0.7), potentials.Quadratic(), *PAIRS], ids=lambda term: type(term).__name__)
@pytest.mark.parametrize("fast", [0.0, 1e-10])
def test_the_standard_error_is_the_spread_of_samples(term, fast: float):
    """Sums over pairs vary as much as the sums of what each particle has with all others."""
    law, count, term = Gaussian(0.5, 1.0), 400, copy.copy(term)
    if isinstance(term, interaction.Pairwise):
        term.sum_rtol = fast

    def sampled(seed: int) -> MapAtNodes:
        nodes = MonteCarlo(count, seed=seed).nodes(law, tensor([]))
        return MapAtNodes(nodes, nodes.z + nodes.z**3 / 3, 1 + nodes.z**2)

    energies = [float(term.value(sampled(seed))) for seed in range(200)]
    stated = [standard_error([term], sampled(seed)) for seed in range(10)]
    assert np.mean(stated) == pytest.approx(np.std(energies), rel=0.25)
    assert standard_error([term, term], sampled(0)) == pytest.approx(2 * stated[0])  # together


@pytest.mark.parametrize("rule", [Gauss(), MonteCarlo(100)], ids=["gauss", "particles"])
@pytest.mark.parametrize("law", [Uniform(-1.0, 1.0), Semicircle(1.0)], ids=["uniform", "semicircle"])
def test_knots_beyond_the_support_feel_nothing(law, rule):
    map = network(law, "biases", 3)
    theta = away(map)
    theta[[2, 3]] = tensor([1.5, -1.2])
    flow = problem(law, potentials.Quartic(), Entropy(0.7))
    gradient = Projection(flow, map, rule, Auto()).gradient(theta)[0]
    assert torch.isfinite(gradient).all()
    assert float(gradient[[2, 3]].abs().max()) < 1e-14  # right-facing above, left-facing below: never active
    assert float(gradient[[0, 1, 4, 5]].abs().min()) > 1e-4


# what is refused, and what is written


def test_an_attraction_longer_ranged_than_the_repulsion_is_needed():
    with pytest.raises(ConfigError, match=r"interaction\.attraction=2 .* above interaction\.repulsion=2"):
        kernels.PowerLaw(2.0, 2.0)
    with pytest.raises(ConfigError, match=r"repulsion=0\.5"):
        kernels.PowerLaw(2.0, 0.5)


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (potentials.Quadratic(2.0, 1.5), "2 (x - 1.5)^2/2"),
        (potentials.Quartic(), "x^4/4 - x^2/2"),
        (potentials.Expressed("x**2"), "x**2"),
        (interaction.Log(1.5), "1.5 log|x|"),
        (kernels.PowerLaw(4.0, 2.0), "(|x|^4/4 - |x|^2/2)"),
        (kernels.Morse(1.0, 0.5, 2.0, 0.3), "0.5 exp(-|x|/0.3) - exp(-|x|/2)"),
    ],
)
def test_terms_write_their_formula(term, text):
    assert str(term) == text


def test_zero_terms_are_zero():
    r = at_nodes(Gaussian(), bent)
    for term in (potentials.Zero(), interaction.Zero()):
        assert float(term.value(r)) == 0
        assert all(torch.all(part == 0) for part in term.covector(r))


@pytest.mark.parametrize("term", [Entropy(1.0), PowerLaw(1.5, 1.0), PowerLaw(2.5, 1.0)], ids=lambda term: term.name)
def test_a_folded_map_has_no_internal_energy(term):
    r = at_nodes(Gaussian(), bent)
    folded = r.dx.clone()
    folded[3] = -0.1
    assert math.isnan(float(term.value(MapAtNodes(r.nodes, r.x, folded))))
