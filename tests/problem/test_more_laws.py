"""Laws of scipy's families, laws by formula and laws from data: against scipy and against sums."""

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws_and_terms import tensor
from scipy import integrate, special, stats

from wgf.errors import ConfigError
from wgf.problem.base import Law
from wgf.problem.laws import (
    Beta,
    Density,
    Exponential,
    Formula,
    Gamma,
    Gaussian,
    Histogram,
    LogNormal,
    SampleFile,
    Samples,
    Student,
    Table,
    TruncatedNormal,
)
from wgf.problem.laws.columns import read
from wgf.problem.laws.convert import Frozen, law_of
from wgf.problem.quadrature import Gauss

TAILS = np.array([1e-12, 1e-6, 1e-3, 0.2, 0.5, 0.7, 0.99])
EPS = float(np.finfo(float).eps)
EXACT = {
    "exponential": (Exponential(1.3, -0.5), stats.expon(-0.5, 1.3)),
    "gamma": (Gamma(2.0, 1.5, 0.2), stats.gamma(2.0, 0.2, 1.5)),
    "gamma, singular": (Gamma(0.7), stats.gamma(0.7)),
    "log-normal": (LogNormal(0.75, 1.2, -0.1), stats.lognorm(0.75, -0.1, 1.2)),
    "student": (Student(4.0, 0.3, 0.8), stats.t(4.0, 0.3, 0.8)),
    "beta": (Beta(2.5, 1.5, -1.0, 2.0), stats.beta(2.5, 1.5, -1.0, 3.0)),
    "half-normal": (TruncatedNormal(), stats.halfnorm()),
    "truncated": (TruncatedNormal(0.2, 0.9, -1.0, 2.0), stats.truncnorm(-1.2 / 0.9, 1.8 / 0.9, 0.2, 0.9)),
    "truncated, tail": (TruncatedNormal(0.0, 1.0, 4.0, 6.0), stats.truncnorm(4.0, 6.0)),
}
SUMMED = {  # masses by quadrature: accurate to 1e-14, not relative to a small mass
    "Gauss": (Formula("3*exp(-x**2/2)"), stats.norm()),
    "gamma": (Formula("x*exp(-x)", low=0.0), stats.gamma(2.0)),
    "semicircle": (Formula("sqrt((1-x)*(1+x))", low=-1.0, high=1.0), stats.beta(1.5, 1.5, -1.0, 2.0)),
    "student": (Formula("(1+x**2/6)**(-3.5)"), stats.t(6.0)),
    "narrow": (Density(lambda x: torch.exp(-((x - 5.3) ** 2) / 2e-4)), stats.norm(5.3, 0.01)),
    "kink": (Formula("exp(-abs(x-100)/0.3)"), stats.laplace(100.0, 0.3)),
    "histogram": (
        Histogram([-2, -1, 0, 1, 2], [0.3, 0, 0.3, 0.4]),
        stats.rv_histogram(([0.3, 0, 0.3, 0.4], [-2, -1, 0, 1, 2])),
    ),
    "table": (Table([0, 1, 3, 4], [0, 5, 5, 0]), stats.trapezoid(0.25, 0.75, 0.0, 4.0)),
    "frozen": (law_of(stats.gumbel_r(1.0, 2.0)), stats.gumbel_r(1.0, 2.0)),
}
exact, every = pytest.mark.parametrize("name", EXACT), pytest.mark.parametrize("name", EXACT | SUMMED)


def rounding(law, oracle, z) -> np.ndarray:
    """What rounding z and the ends of the support does to a mass."""
    return 100 * EPS * (np.abs(z) + abs(law.mean) + law.std) * oracle.pdf(z)


@exact
def test_both_tails_are_those_of_scipy(name):
    law, oracle = EXACT[name]
    low, high = oracle.ppf(TAILS), oracle.isf(TAILS)
    for z in (low, high):
        for mine, theirs in ((law.cdf, oracle.cdf), (law.survival, oracle.sf)):
            off = np.abs(mine(tensor(z)).numpy() - theirs(z))
            assert (off <= 1e-12 * theirs(z) + rounding(law, oracle, z)).all()
    for z, u in ((law.quantile(tensor(TAILS)), oracle.cdf), (law.upper_quantile(tensor(TAILS)), oracle.sf)):
        assert (np.abs(u(z.numpy()) - TAILS) <= 1e-11 * TAILS + rounding(law, oracle, z.numpy())).all()


@pytest.mark.parametrize("name", SUMMED)
def test_masses_by_quadrature_are_those_of_scipy(name):
    law, oracle = SUMMED[name]
    u = TAILS[2:]
    low, high = oracle.ppf(u), oracle.isf(u)
    np.testing.assert_allclose(law.cdf(tensor(low)).numpy(), u, rtol=1e-11)
    np.testing.assert_allclose(law.survival(tensor(high)).numpy(), u, rtol=1e-11)
    np.testing.assert_allclose(law.quantile(tensor(u)).numpy(), low, atol=1e-10 * law.std, rtol=0)
    np.testing.assert_allclose(law.upper_quantile(tensor(u)).numpy(), high, atol=1e-10 * law.std, rtol=0)


@every
def test_moments_and_ends_are_those_of_scipy(name):
    law, oracle = (EXACT | SUMMED)[name]
    assert law.mean == pytest.approx(oracle.mean(), abs=1e-11)
    assert law.std == pytest.approx(oracle.std(), rel=1e-10)
    assert (law.lower, law.upper) == pytest.approx(oracle.support())


@pytest.mark.parametrize("name", [name for name in EXACT | SUMMED if name != "frozen"])
def test_density_and_panels_resolve_the_law(name):
    law, oracle = (EXACT | SUMMED)[name]
    z = law.mean + law.std * np.linspace(-6, 6, 101) + 1e-7  # not at an edge
    np.testing.assert_allclose(law.density(tensor(z)).numpy(), oracle.pdf(z), rtol=1e-10, atol=1e-13)
    nodes = Gauss().nodes(law, torch.empty(0, dtype=torch.float64))
    assert float(nodes.w.sum()) == pytest.approx(1, abs=1e-13)
    tail = 2e-10 if name == "student" else 1e-11  # of heavy tails the panels leave out a share of the variance
    assert float(nodes.w @ (nodes.z - law.mean) ** 2) == pytest.approx(law.std**2, rel=tail)
    points = tensor([law.mean - 0.3 * law.std, law.mean + 0.2 * law.std]).requires_grad_()
    (slope,) = torch.autograd.grad(law.cdf(points).sum() - law.survival(points).sum(), points)
    assert torch.allclose(slope, 2 * law.density(points.detach()), rtol=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        lambda place, scale: Gamma(1.1, 0.415 * scale, place - 1.56 * scale),
        lambda place, scale: Student(5.89, place + 0.074 * scale, 0.888 * scale),
        lambda place, scale: Beta(0.7, 1.3, place - scale, place + 2 * scale),
        lambda place, scale: LogNormal(0.8, 0.6 * scale, place - 0.3 * scale),
        lambda place, scale: TruncatedNormal(place - 0.291 * scale, 0.517 * scale, place - 1.43 * scale),
    ],
)
def test_panels_are_the_same_cells_wherever_the_law_lies(make):
    """Rounding beside an edge must not decide which cells there are: their errors would not follow a shift."""
    one = np.array(make(0.0, 1.0).panels())
    for place, scale in ((8.0, 1.0), (-3.3, 0.3), (0.0, 2.0**-9)):
        law = make(place, scale)
        two = np.array(law.panels())
        wide = np.diff(one) > 1e-9
        assert (np.diff(two) > 1e-9 * scale).sum() == wide.sum()
        seen = np.isin(np.arange(len(one)), np.flatnonzero(wide))
        nearest = two[np.abs(two[:, None] - (place + scale * one[seen])).argmin(0)]
        assert nearest == pytest.approx(place + scale * one[seen], abs=1e-12 * scale * (1 + abs(place)), rel=1e-12)


@pytest.mark.parametrize(("a", "b"), [(1.97, 1.15), (0.5, 0.5), (50.0, 1.2), (2.0, 3.0)])
def test_a_reflected_beta_law_has_the_reflected_panels(a: float, b: float):
    panels, reflected = Beta(a, b, -0.423, 0.479).panels(), Beta(b, a, -0.479, 0.423).panels()
    assert panels == [-x for x in reversed(reflected)]


@pytest.mark.parametrize(("low", "high"), [(-1.43, None), (None, 0.3), (0.2, 1.7), (-3.0, 0.1)])
def test_a_reflected_truncated_normal_law_has_the_reflected_panels(low: float | None, high: float | None):
    panels = TruncatedNormal(-0.291, 0.517, low, high).panels()
    reflected = TruncatedNormal(0.291, 0.517, *(end and -end for end in (high, low))).panels()
    assert panels == [-x for x in reversed(reflected)]


@pytest.mark.parametrize(("a", "b"), [(1.04, 0.608), (1.017, 0.703), (2.626325360112936, 2.4782746704063774)])
def test_tiny_masses_of_beta_laws_have_places(a: float, b: float):
    """scipy has none for some of them."""
    u = 10.0 ** -torch.arange(1.0, 95.0, 0.25, dtype=torch.float64)
    left, right = Beta(a, b).quantile(u), Beta(b, a, -1.0, 0.0).upper_quantile(u)
    assert special.betainc(a, b, left.numpy()) == pytest.approx(u.numpy(), rel=1e-10)
    assert right.numpy() == pytest.approx(-left.numpy(), abs=1e-15)


@pytest.mark.parametrize(("df", "missing"), [(2.5, 1e-7), (2.93, 1.1e-10), (4.0, 1.1e-10), (8.0, 1e-12)])
def test_panels_of_heavy_tails_hold_the_variance(df, missing):
    law = Student(df, -0.4, 0.8)
    for dtype, rounding in ((torch.float64, 1e-13), (torch.float32, 2e-5)):
        nodes = Gauss().nodes(law, torch.empty(0, dtype=dtype))
        share = float(nodes.w @ (nodes.z - law.mean) ** 2) / (0.8**2 * df / (df - 2))
        assert 1 - missing - rounding < share < 1 + rounding


def test_quantiles_alone_give_both_tails():
    class Quantiles(Law):
        mean, std = 0.0, 1.0

        def quantile(self, u):
            return torch.special.ndtri(u)

        def upper_quantile(self, u):
            return -torch.special.ndtri(u)

    z, known = tensor([-7.0, -1.0, 0.3, 6.0]), Gaussian()
    assert torch.allclose(Quantiles().cdf(z), known.cdf(z), rtol=1e-11)
    assert torch.allclose(Quantiles().survival(z), known.survival(z), rtol=1e-11)


def test_a_kernel_smooths_samples_and_says_so(caplog):
    caplog.set_level("INFO", logger="wgf")
    x = np.random.default_rng(0).normal(size=400)
    weights = np.linspace(1, 2, 400)
    law, h = Samples(x, weights), 0.2
    assert law.bandwidth == pytest.approx(400 ** (-1 / 3) * np.sqrt(np.cov(x, aweights=weights, ddof=0)), rel=1e-12)
    assert "bandwidth 0.13" in caplog.text
    assert "smoothing=0 switches it off" in caplog.text
    smooth = Samples(x, weights, smoothing=h)
    z = np.linspace(-4, 4, 81)
    density = stats.norm.pdf(z[:, None], x, h) @ (weights / weights.sum())
    np.testing.assert_allclose(smooth.density(tensor(z)).numpy(), density, atol=3e-3 * density.max())
    assert smooth.mean == pytest.approx(np.average(x, weights=weights), abs=1e-13)
    assert smooth.std**2 - np.cov(x, aweights=weights, ddof=0) == pytest.approx(h**2, rel=1e-11)


def test_the_kernel_of_distant_samples_is_that_asked_for():
    """A grid from one group to the other made it a hat 5 wide."""
    x = np.random.default_rng(0).normal(size=500)
    law, z = Samples(np.concatenate([x, 1e6 + x[:100]]), smoothing=0.1), np.linspace(-4, 4, 81)
    density = stats.norm.pdf(z[:, None], x, 0.1).sum(1) / 600
    np.testing.assert_allclose(law.density(tensor(z)).numpy(), density, atol=2e-3 * density.max())
    assert law.cdf(tensor([10.0, 5e5, 1e6 - 10])).tolist() == pytest.approx([5 / 6] * 3, rel=1e-12)
    assert len(law.panels()) < 2000


def test_a_kernel_that_takes_too_many_points_is_refused():
    x = np.arange(5000.0)
    with pytest.raises(ConfigError, match=r"smoothing=0.01 needs .* 655,000 points, .* use smoothing=0.22, or smooth"):
        Samples(x, smoothing=0.01)
    assert Samples(x, smoothing=0.22).bandwidth == 0.22
    with pytest.raises(ConfigError, match=r"lost in the rounding of samples near 1e\+09"):
        Samples([0.0, 1e9], smoothing=1e-9)


def test_the_mean_that_is_told_is_that_of_the_samples(caplog):
    caplog.set_level("INFO", logger="wgf")
    Samples([0.0, 1.0, 5.0], smoothing=0)
    assert "law: 3 samples, mean 2, standard deviation 2.16025, not smoothed" in caplog.text


def test_samples_without_smoothing_keep_their_ranks():
    x = np.array([3.0, 1.0, 1.0, 2.5])  # equal samples are allowed
    law = Samples(x, smoothing=0)
    assert law.bandwidth == 0
    assert law.cdf(tensor([1.75, 2.75])).tolist() == pytest.approx([0.5, 0.75])
    assert law.quantile(tensor([0.25, 0.625])).tolist() == pytest.approx([1.0, 2.25])


def test_many_samples_are_fast():
    x = np.random.default_rng(0).standard_t(3, size=300_000)
    begin = time.perf_counter()
    law = Samples(x)
    law.quantile(torch.linspace(0, 1, 10_000, dtype=torch.float64))
    assert time.perf_counter() - begin < 2


def test_an_empty_bin_holds_no_mass():
    law = Histogram([-2, -1, 1, 2], [1, 0, 3])
    z = law.at_rank(tensor([0.1, 0.25, 0.2500001, 0.9]), tensor([0.9, 0.75, 0.7499999, 0.1]))
    assert not bool(((z > -1 + 1e-12) & (z < 1 - 1e-12)).any())
    assert law.cdf(tensor([-0.9, 0.0, 0.9])).tolist() == [0.25] * 3
    assert float(law.density(tensor([0.0]))) == 0


def test_files_are_read(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("# speeds\ntime;speed;share\n0;1.5;1\n\n1;2.5;3\n")
    assert [list(c) for c in read(str(file), ("speed", 3))] == [[1.5, 2.5], [1, 3]]
    assert SampleFile(str(file), column="speed", weights="share").mean == pytest.approx(2.25)
    file.write_text("1 2 4\n2 3 0\n5 6 4\n")
    assert Histogram(path=str(file)).mean == pytest.approx(3.5)
    file.write_text("0 2 4\n1 3 1\n")
    with pytest.raises(ConfigError, match="bin 1 overlaps bin 2"):
        Histogram(path=str(file))
    file.write_text("0\t0\n1\t1\n2\t0\n")
    assert Table(path=str(file)).std == pytest.approx(math.sqrt(1 / 6))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1\n2\nnan\n", "line 3: 'nan' in column 1 is not a finite number"),
        ("x,y\n1,2\n3\n", "line 3: '' in column 2 is not a finite number"),
        ("x,y\n1,2\n3,abc\n", "line 3: 'abc' in column 2 is not a finite number"),
        ("a,b\n1,5\n", "values hold one value only, 5"),
        ("a,b\n", "holds no numbers"),
        ("1;\n", "line 1: '' in column 2"),
        ("1\n2\n", "has no column 2: expected a number from 1 to 1"),
    ],
)
def test_bad_files_are_refused_with_the_line(tmp_path, text, line):
    file = tmp_path / "data.csv"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        SampleFile(str(file), column=1 if "nan" in text else 2)
    (only,) = caught.value.lines
    assert only.startswith(f"path={file}")
    assert line in only


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SampleFile("/nowhere/data.csv"), "path=/nowhere/data.csv cannot be read: no such file"),
        (lambda: Samples([1.0, math.inf]), "values holds inf at entry 2"),
        (lambda: Samples([1.0, 2.0], [1.0, -1.0]), "weights hold -1 at entry 2"),
        (lambda: Samples([[1.0], [2.0]]), "shape"),
        (lambda: Histogram([0, 1, 2], [1, -1]), "counts must not be negative, but entry 2 is -1"),
        (lambda: Histogram([0, 1, 1], [1, 1]), "edges must increase, but entry 3 is 1 after 1"),
        (lambda: Histogram([0, 1, 2], [0, 0]), "counts are all 0"),
        (lambda: Histogram([0, 1, 2], [1]), "3 and 1 entries"),
        (lambda: Histogram(), "edges is missing"),
        (lambda: Table([0, 2, 1], [1, 1, 1]), "x must increase, but entry 3 is 1 after 2"),
        (lambda: Formula("-exp(-x**2)"), "expected a density, finite and not negative"),
        (lambda: Formula("1/(1+x**2)"), "falls too slowly"),
        (lambda: Formula("exp(-x**2)", low=1.0, high=0.0), "low=1.0"),
        (lambda: Formula("0*x", low=0.0, high=1.0), "expected a positive finite one"),
        (lambda: Student(2.0), "df=2.0"),
        (lambda: Beta(low=1.0, high=1.0), "low=1.0"),
        (lambda: TruncatedNormal(0.0, 1.0, 60.0), "leaves no mass"),
        (lambda: law_of(stats.cauchy()), "expected finite ones"),
        (lambda: law_of(stats.poisson(3)), "is discrete"),
        (lambda: law_of("gaussian"), "expected a law, such as wgf.Gaussian(), samples"),
    ],
)
def test_impossible_laws_are_refused(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in caught.value.lines[0]


def of_torch(name: str, *numbers: float) -> torch.distributions.Distribution:
    return getattr(torch.distributions, name)(*map(tensor, numbers))


@pytest.mark.parametrize(
    ("distribution", "scipys"),
    [
        (of_torch("Normal", 1.0, 2.0), stats.norm(1, 2)),
        (of_torch("Uniform", -1.0, 2.0), stats.uniform(-1, 3)),
        (of_torch("Laplace", 0.5, 0.7), stats.laplace(0.5, 0.7)),
        (of_torch("Exponential", 3.0), stats.expon(scale=1 / 3)),
        (of_torch("Gamma", 2.0, 3.0), stats.gamma(2, scale=1 / 3)),
        (of_torch("LogNormal", 0.3, 0.6), stats.lognorm(0.6, scale=math.exp(0.3))),
        (of_torch("StudentT", 5.0, 1.0, 2.0), stats.t(5, 1, 2)),
        (of_torch("Beta", 2.0, 3.0), stats.beta(2, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.distributions.Distribution) else "",
)
def test_distributions_of_torch_are_those_of_scipy(distribution, scipys):
    law, u = law_of(distribution), torch.tensor([1e-6, 0.1, 0.6], dtype=torch.float64)
    assert law.quantile(u).numpy() == pytest.approx(scipys.ppf(u.numpy()), rel=1e-9)
    assert law.std == pytest.approx(scipys.std(), rel=1e-12)


def test_a_mixture_of_torch_and_what_is_no_law_of_a_number():
    parts = torch.distributions.Normal(torch.tensor([-1.0, 2.0]).double(), torch.tensor([0.5, 1.0]).double())
    weights = torch.distributions.Categorical(torch.tensor([0.25, 0.75]).double())
    law = law_of(torch.distributions.MixtureSameFamily(weights, parts))
    assert float(law.cdf(tensor(0.0))) == pytest.approx(0.25 * stats.norm.cdf(2) + 0.75 * stats.norm.cdf(-2), rel=1e-12)
    with pytest.raises(ConfigError, match="law=Normal is that of several numbers"):
        law_of(parts)
    with pytest.raises(ConfigError, match="law=Poisson is not known: expected Normal, "):
        law_of(of_torch("Poisson", 2.0))


def test_a_distribution_of_torch_loses_no_derivatives_silently():
    with pytest.raises(ConfigError, match="law: distributions have no derivatives, detach them"):
        law_of(torch.distributions.Normal(tensor(0.5).requires_grad_(), tensor(1.0)))


@pytest.mark.parametrize("frozen", [stats.norm(1, 2), stats.t(5, loc=1), stats.gamma(2, scale=3), stats.beta(2, 3)])
def test_known_families_of_scipy_become_laws_with_a_density(frozen):
    law = law_of(frozen)
    assert not isinstance(law, Frozen)
    assert float(law.cdf(tensor(0.4))) == pytest.approx(frozen.cdf(0.4), rel=1e-13)


@pytest.mark.parametrize(
    ("expr", "smooth"),
    [
        ("exp(-x^2/2)", True),
        ("exp(-x^4) + exp(-(x - 3)^2)/2", True),
        ("(1 + x^2/6)^(-3.5)", True),
        ("exp(-abs(x))", False),
        ("exp(-abs(x - 0.123))", False),
        ("where(x > 0.3, exp(-x^2), 0)", False),
        ("max(1 - x^2, 0)", False),
    ],
)
def test_jumps_and_kinks_of_a_formula_are_seen(expr, smooth):
    law = Formula(expr)
    assert law.is_regular == smooth
    assert law.is_compact == ("max" in expr)


def test_mass_of_a_formula_is_its_integral():
    law = Formula("1 + cos(3*x)", low=-1.0, high=2.0)
    part = integrate.quad(lambda x: 1 + math.cos(3 * x), -1, 0.5)[0]
    whole = integrate.quad(lambda x: 1 + math.cos(3 * x), -1, 2)[0]
    assert float(law.cdf(tensor(0.5))) == pytest.approx(part / whole, rel=1e-13)


def test_the_law_of_samples_follows_a_reflection():
    values, z = [-1.0, 0.13, 0.2, 1.71], torch.linspace(-3, 3, 61, dtype=torch.float64)
    law, other = Samples(values, smoothing=0.3), Samples([-x for x in values], smoothing=0.3)
    assert other.density(-z).numpy() == pytest.approx(law.density(z).numpy(), abs=1e-13)
    assert (other.mean, other.std) == pytest.approx((-law.mean, law.std), rel=1e-13)


@given(st.integers(-9000, 9000), st.sampled_from([100, 200, 500]), st.sampled_from([1, 10, 100]))
def test_formulas_with_jumps_and_kinks_have_their_moments(place: int, half: int, digits: int):
    """On a decimal grid and off it: a jump beside an edge of a cell must not be lost."""
    c, h = digits * round(place / digits) / 1e4, half / 1e4
    block = Formula(f"where(abs(x-({c}))<{h},10,1)", low=-2.0, high=2.0)
    assert block.mean == pytest.approx(18 * h * c / (18 * h + 4), abs=1e-9)
    step = Formula(f"where(x<{c},1,3)", low=-2.0, high=2.0)
    assert step.mean == pytest.approx((4 - c * c) / (8 - 2 * c), abs=1e-9)
    tent = Formula(f"max(0,1-abs(x-({c})))", low=-2.0, high=2.0)
    assert (tent.mean, tent.std) == pytest.approx((c, math.sqrt(1 / 6)), abs=1e-9)
    assert max(len(law.panels()) for law in (block, step, tent)) < 120
