"""Wasserstein distances against closed forms and against scipy's adaptive quadrature over ranks."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_problems import problem
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

import wgf
from wgf.problem.base import Base, Start
from wgf.problem.equations import FokkerPlanck
from wgf.problem.laws import Barenblatt, Gaussian, Histogram, Laplace, Mixture, Uniform
from wgf.problem.potential import Quartic
from wgf.reference_solutions.finite_volumes.refinement import solve
from wgf.reference_solutions.wasserstein import Carried, Distance, distance, distances

NO_KINKS = torch.empty(0, dtype=torch.float64)


def between(one: Base, other: Base) -> Distance:
    return distance(*(Carried(law, lambda z: z, NO_KINKS) for law in (one, other)))


def moved(base: Base, gap, *kinks: float) -> Distance:
    """From the law of z + gap(z) to the base itself."""
    ours = Carried(base, lambda z: z + gap(z), torch.tensor(kinks, dtype=torch.float64))
    return distance(ours, Carried(base, lambda z: z, NO_KINKS))


def test_a_uniform_law_to_a_gaussian():
    """W2^2 = int (2u - 1 - q(u))^2 du = 1/3 + 1 - 2/sqrt(pi), q the normal quantile, from either base."""
    w2 = math.sqrt(4 / 3 - 2 / math.sqrt(math.pi))
    w1 = 2 * quad(lambda u: abs(2 * u - 1 - stats.norm.ppf(u)), 0.5, 1, epsabs=1e-13, limit=400)[0]
    for found in (between(Uniform(), Gaussian()), between(Gaussian(), Uniform())):
        assert found.w2 == pytest.approx(w2, rel=2e-9)
        assert found.w1 == pytest.approx(w1, rel=2e-9)
        assert max(found.w1_error, found.w2_error) < 1e-8


@pytest.mark.parametrize("power", [0.5, 0.2, -0.3])
def test_a_map_that_is_singular_at_an_edge(power: float):
    """gap = u^a with the rank u: W1 = 1/(1 + a), W2^2 = 1/(1 + 2 a)."""
    found = moved(Uniform(0.0, 1.0), lambda z: z.clamp(min=1e-300) ** power)
    assert found.w1 == pytest.approx(1 / (1 + power), rel=1e-7)
    assert found.w2 == pytest.approx((1 + 2 * power) ** -0.5, rel=1e-5 if power < 0 else 1e-8)


@pytest.mark.parametrize("seed", [0, 2, 7, 9])
def test_kinks_at_the_ends_of_cells_are_seen(seed: int):
    """A histogram carried from a Gaussian: its map has kinks, which may lie between the last node of a cell and its
    end. Known or not, they cost no digit; scipy integrates between them."""
    draw = np.random.default_rng(seed)
    edges = np.cumsum([0.0, *10 ** draw.uniform(-3, 0, 8)])
    law = Histogram(edges.tolist(), draw.integers(1, 10, 8).tolist())
    base = Gaussian(law.mean, law.std)
    start, place = Start(law, base), lambda z: base.mean + 0.9 * (z - base.mean)

    def gap(z: float) -> float:
        at = torch.tensor([z], dtype=torch.float64)
        return (start(at) - place(at)).item() * math.sqrt(base.density(at).item())

    cuts = [base.mean - 9 * base.std, *start.kinks.tolist()[1:-1], base.mean + 9 * base.std]
    parts = (quad(lambda z: gap(z) ** 2, *ends, epsabs=1e-15, epsrel=1e-13, limit=200) for ends in pairwise(cuts))
    w2 = math.sqrt(sum(part[0] for part in parts))
    for kinks in (start.kinks, NO_KINKS):
        found = distance(Carried(base, place, NO_KINKS), Carried(base, start, kinks))
        assert found.w2 == pytest.approx(w2, rel=1e-9)
        assert abs(found.w2 - w2) <= found.w2_error + 1e-14 * law.std


def test_an_edge_of_the_density():
    """Barenblatt's law of exponent 2 against a dilation of itself: W2 = 0.1 std, W1 = 0.1 int |z| p = 0.1 3/8 R."""
    law = Barenblatt(2.0)
    found = moved(law, lambda z: 0.1 * z)
    assert found.w2 == pytest.approx(0.1 * law.std, rel=1e-12)
    assert found.w1 == pytest.approx(0.0375 * law.radius, rel=1e-10)


def test_many_changes_of_sign():
    """gap = sin(40 z) on the uniform law on (0, 2 pi): W1 = 2/pi, W2^2 = 1/2."""
    found = moved(Uniform(0.0, 2 * math.pi), lambda z: torch.sin(40 * z))
    assert found.w1 == pytest.approx(2 / math.pi, rel=2e-9)
    assert found.w2 == pytest.approx(math.sqrt(0.5), rel=1e-10)


@pytest.mark.parametrize("place", [0.317, 0.4271, 0.5551, 0.7013, 0.8])
@pytest.mark.parametrize("half", [3e-2, 3e-3, 1e-3])
def test_two_changes_of_sign_close_to_each_other(place: float, half: float):
    """gap = (z - a)^2 - h^2 on the uniform law on (0, 1): negative on (a - h, a + h), where int |gap| = 4 h^3/3."""
    found = moved(Uniform(0.0, 1.0), lambda z: (z - place) ** 2 - half**2)
    w1 = (place**3 + (1 - place) ** 3) / 3 - half**2 + 8 * half**3 / 3
    assert found.w1 == pytest.approx(w1, rel=2e-9)


def test_a_jump_that_no_cell_ends_at():
    found = moved(Gaussian(), lambda z: (z > 0.123456).double())
    assert found.w1 == pytest.approx(stats.norm.sf(0.123456), rel=1e-9)


def test_a_heavy_tail():
    """The map of a Gaussian to a law whose quantile grows like e^z: gap = e^z, W2^2 = e^2."""
    assert moved(Gaussian(), torch.exp).w2 == pytest.approx(math.e, rel=1e-9)


def test_equal_laws_and_unknown_ones():
    assert moved(Mixture(), torch.zeros_like).w2 == 0.0
    assert math.isnan(moved(Laplace(), lambda z: z * math.nan).w1)


@settings(max_examples=20)
@given(
    shift=st.floats(-1e3, 1e3),
    scale=st.sampled_from([1e-3, 0.1, 1.0, 1e3]),
    mirrored=st.booleans(),
    gap=st.floats(-1, 1),
)
def test_distances_follow_shifts_scales_and_reflections(shift: float, scale: float, mirrored: bool, gap: float):
    sign = -1.0 if mirrored else 1.0
    before = between(Gaussian(0.0, 1.0), Mixture((-1.0, 1.0 + gap), (0.5, 0.7), (0.4, 0.6)))
    means = (shift - sign * scale, shift + sign * scale * (1.0 + gap))
    after = between(Gaussian(shift, scale), Mixture(means, (0.5 * scale, 0.7 * scale), (0.4, 0.6)))
    rounding = 1e-13 * (abs(shift) + scale)
    # where the laws change sides twice between two nodes, W1 does not see it
    assert after.w1 == pytest.approx(scale * before.w1, rel=1e-7, abs=rounding)
    assert after.w2 == pytest.approx(scale * before.w2, rel=3e-9, abs=rounding)


def test_cells_resolve_no_digits_that_a_reference_solution_does_not_have():
    base = Gaussian()
    ours = Carried(base, lambda z: z + 1e-9 * z, NO_KINKS)

    def found(*errors: float) -> Distance:
        return distance(ours, Carried(base, lambda z: z + 1e-12 * (1e4 * z).sin(), NO_KINKS, errors=errors))

    exact, rough = found(0.0, 0.0), found(1e-5, 1e-4)
    assert 20 * len(rough.nodes.z) < len(exact.nodes.z)
    assert rough.w1 == pytest.approx(exact.w1, abs=2e-12)
    assert rough.w2 == pytest.approx(exact.w2, abs=2e-12)


# on a circle


@pytest.mark.parametrize("seed", range(4))
def test_distances_on_a_circle_are_the_least_of_all_turns(seed: int):
    """Gaps are jumps of the maps. W1 is int |F - G - c| dx with the best c, W2 the least of all turns."""
    draw, length = np.random.default_rng(seed), 3.0
    laws = []
    for _ in range(2):
        ends = np.sort(draw.uniform(0, length, 6))
        masses = draw.dirichlet([1.0, 1.0, 1.0])
        ranks = np.append(0.0, np.cumsum(masses))
        ranks[-1] = 1.0
        laws.append((ends.reshape(3, 2), ranks))

    def place(law, u: np.ndarray) -> np.ndarray:
        (low, high), ranks = law[0].T, law[1]
        turns = np.floor(u)
        k = np.clip(np.searchsorted(ranks, u - turns, side="right") - 1, 0, 2)
        share = (u - turns - ranks[k]) / np.diff(ranks)[k]
        return low[k] + share * (high - low)[k] + turns * length

    x = (np.arange(100_000) + 0.5) / 100_000
    cdf = [np.interp(x * length, law[0].reshape(-1), np.repeat(law[1], 2)[1:-1]) for law in laws]
    gap = cdf[0] - cdf[1]
    w1 = length * np.abs(gap - np.median(gap)).mean()
    best = minimize_scalar(
        lambda s: np.mean((place(laws[0], x) - place(laws[1], x + s)) ** 2), (-1, 1), (-1, 1), method="bounded"
    )
    base = Uniform(0.0, length)
    one, two = (
        Carried(
            base,
            lambda z, law=law: torch.from_numpy(place(law, z.numpy() / length)),
            length * torch.from_numpy(law[1]),
            length,
        )
        for law in laws
    )
    found = distance(one, two)
    assert found.w1 == pytest.approx(w1, rel=2e-5)
    assert found.w2 == pytest.approx(math.sqrt(best.fun), rel=2e-5)


@pytest.fixture(scope="module")
def peak() -> wgf.Flow:
    """A flow on a circle of length 1."""
    law = wgf.Formula("exp(8*cos(2*pi*x))", low=0, high=1)
    return wgf.solve(wgf.FokkerPlanck(0.1), law=law, domain=wgf.Circle(1.0), t_end=0.01, saves=1)


@pytest.mark.parametrize(
    "law",
    [
        wgf.Uniform(0.5, 0.50001),
        wgf.Uniform(5.1, 5.35),
        wgf.Histogram([0, 0.2, 0.5, 0.7, 1], [1, 0, 2, 0.1]),
        wgf.Gaussian(7.5, 0.08),
    ],
    ids=["needle", "aside", "gaps", "normal"],
)
def test_w1_to_laws_on_a_circle(peak: wgf.Flow, law: wgf.Law):
    """W1 = min_c int |F - G - c| dx: c is the median of F - G."""
    x = (np.arange(200_000) + 0.5) / 200_000
    turn = math.floor(law.mean)
    gap = peak.cdf(0.01, x) - law.cdf(torch.from_numpy(x + turn)).numpy()
    found = peak.distance(law)
    right = np.abs(gap - np.median(gap)).mean()
    assert found.w1 == pytest.approx(right, abs=found.w1_error + 2e-9)
    assert found.w1_error < 1e-9


def test_laws_on_other_domains_have_no_distance(peak: wgf.Flow):
    line, other = (
        wgf.solve(wgf.FokkerPlanck(), law=wgf.Uniform(0, 2), domain=domain, t_end=0.01, saves=1)
        for domain in (None, wgf.Circle(2.0))
    )
    for one, two, said in (
        (peak, line, "lives on the line, and this one on a circle of length 1"),
        (line, peak, "lives on a circle of length 1, and this one on the line"),
        (peak, other, "lives on a circle of length 2, and this one on a circle of length 1"),
        (peak, wgf.Gaussian(0.5, 0.2), "reaches from -0.6996 to 1.7, and this one lives on a circle of length 1"),
    ):
        with pytest.raises(wgf.ConfigError, match=said):
            one.distance(two)


def test_pairs_together_have_the_distances_of_each():
    """Smooth gaps, jumps, singular ones and unknown ones, each in a mesh of its own."""
    law, other = Gaussian(0.3, 1.2), Laplace()
    gaps = [
        torch.sin,
        lambda z: (z > 0.4321) * 0.1,
        lambda z: 1e-9 * z,
        lambda z: z.abs() ** 0.3,
        lambda z: z * math.nan,
    ]
    kinks = [torch.tensor([0.1 * k] * k, dtype=torch.float64) for k in range(5)]
    ours = [Carried(law, lambda z, f=f: z + f(z), at) for f, at in zip(gaps, kinks, strict=True)]
    for base in (law, other):
        theirs = [Carried(base, lambda z, k=k: z + 0.01 * k, NO_KINKS, errors=(1e-9, 1e-8)) for k in range(5)]
        for fine in (1e-5, 3e-10):
            for found, *pair in zip(distances(ours, theirs, fine), ours, theirs, strict=True):
                alone = distance(*pair, fine)
                assert (found.w1, found.w2) == pytest.approx((alone.w1, alone.w2), rel=1e-12, nan_ok=True)
                assert (found.nodes.z == alone.nodes.z).all()
                assert found.target == pytest.approx(alone.target.numpy(), nan_ok=True, abs=1e-14)


def test_a_reference_at_several_times_is_that_at_each():
    p = problem(FokkerPlanck(), Gaussian(), Quartic(0.3))
    known = solve(p, [0.05, 0.1])
    z = [torch.linspace(-low, 9, n, dtype=torch.float64) for low, n in ((9, 7), (8, 0), (2, 11), (9, 5), (8, 6))]
    times = [0.0, 0.02, 0.05, 0.07, 0.1]
    found = known.at_times(times, z).split([len(part) for part in z])
    for t, part, each in zip(times, z, found, strict=True):
        assert each == pytest.approx(known(t, part).numpy(), abs=1e-13, nan_ok=True)
    assert known.at_times([0.02], z[:1]).isnan().all()
    assert len(known.at_times([0.0, 0.05], [z[0], z[1]])) == 7  # no point at a known time


def test_no_cell_resolves_the_noise_of_a_map():
    """A map that is 1e-10 off all over takes a hundred times as many cells if nobody says so."""
    known, rough = 2e-10, lambda z: z + 1e-10 * torch.sin(1e9 * z)
    still = Carried(Gaussian(), lambda z: z, NO_KINKS)
    found, resolved = (distance(replace(still, place=rough, noise=noise), still) for noise in (known, 0.0))
    assert 0.5 * known < 2 * found.w2 < known
    assert len(found.nodes.z) < 20_000 < len(resolved.nodes.z)


def test_a_law_that_gathers_in_a_point_has_a_distance():
    """There the network and the characteristics agree to rounding."""
    v = "2*(x**2 - 1)**2 + sin(3*x)"
    flow = wgf.solve(wgf.LinearTransport(), potential=v, law=wgf.Uniform(-0.7, -0.2), t_end=4.0, saves=1)
    known = flow.reference_solution
    assert known is not None
    assert known.noise == pytest.approx(1e-10 * flow.problem.law.std)
    assert flow.w2(known) < 0.1 * known.noise
