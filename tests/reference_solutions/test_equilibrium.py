"""The Gibbs law against quantiles from scipy's adaptive integration between points placed on its wells by hand."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from composed_configs import composed
from laws_and_terms import tensor
from reference_problems import problem
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import brentq

from wgf.problem.base import Base
from wgf.problem.equations import AggregationDiffusion, FokkerPlanck, KellerSegel, PorousMedium, Problem
from wgf.problem.interaction import Newtonian
from wgf.problem.laws import Gaussian, Laplace, Uniform
from wgf.problem.potential import Expressed, Quartic, Sextic
from wgf.problem.potential import Quadratic as Well
from wgf.reference_solutions.equilibrium import equilibrium
from wgf.reference_solutions.wasserstein import Carried, distance
from wgf.run.runner import build, run

RANKS = [1e-7, 1e-3, 0.02, 0.13, 0.3, 0.45]


def quantiles(expr: str, diffusion: float, ends: list[float], ranks: list[float]) -> np.ndarray:
    """Quantiles at the ranks and, mirrored, at 1 - ranks, by adaptive integration between the ends."""
    names = {name: getattr(np, name) for name in ("log", "exp", "cos", "abs")}

    def v(x: float) -> float:
        return eval(expr, {"__builtins__": {}}, names | {"x": x})

    lowest = min(v(x) for x in ends)

    def mass(a: float, b: float) -> float:
        return quad(lambda x: math.exp(-(v(x) - lowest) / diffusion), a, b, epsabs=1e-30, epsrel=1e-11, limit=400)[0]

    masses = [mass(a, b) for a, b in pairwise(ends)]

    def quantile(rank: float, ends: list[float], masses: list[float], sign: int) -> float:
        target, k = rank * sum(masses), 0
        while masses[k] < target:
            target, k = target - masses[k], k + 1
        a, b = ends[k : k + 2]
        return brentq(lambda x: sign * mass(a, x) - target, a, b, xtol=1e-13, rtol=1e-14)

    left = [quantile(u, ends, masses, 1) for u in ranks]
    return np.array(left + [quantile(u, ends[::-1], masses[::-1], -1) for u in ranks])


def around(center: float, *widths: float) -> list[float]:
    return sorted({center + sign * width for width in (0.0, *widths) for sign in (-1, 1)})


# V, D, the initial law and ends of the integration
GIBBS: dict[str, tuple[str, float, Base, list[float]]] = {
    "double well": ("x**4/4 - x**2/2", 1.0, Gaussian(), [-6, -1, 0, 1, 6]),
    "kink": ("abs(x - 0.3)", 0.7, Laplace(), [-30, -3, 0.3, 3, 30]),
    "heavy tails": (
        "1.8*log(1 + x**2)",
        1.0,
        Gaussian(),
        [-1e8, -1e6, -1e4, -300, -30, -3, 0, 3, 30, 300, 1e4, 1e6, 1e8],
    ),
    "barrier of 100 D": ("10*(x**2 - 1)**2", 0.1, Gaussian(3.0), around(-1, 0.1, 0.3, 0.6) + around(1, 0.1, 0.3, 0.6)),
    "barrier of 10000 D": (
        "10*(x**2 - 1)**2",
        1e-3,
        Gaussian(3.0),
        around(-1, 0.01, 0.04, 0.1) + around(1, 0.01, 0.04, 0.1),
    ),
    "far away": ("10*(x**2 - 1)**2", 1.0, Gaussian(1e6), [-2.5, -1, 0, 1, 2.5]),
    "wells of unequal depth": (
        "(x**2 - 100)**2/1000 + x/200",
        0.02,
        Gaussian(),
        around(-10, 0.3, 1, 2) + around(10, 0.3, 1, 2),
    ),
    "wells far apart": (
        "(x + 30)**2*(x - 300)**2/1e4 + x/1000",
        0.5,
        Gaussian(),
        around(-30, 0.2, 1, 2) + around(300, 0.2, 1, 2),
    ),
    "needle": (
        "x**2/1000 - 20*exp(-1000*(x - 40)**2) - 18*exp(-(x + 30)**2)",
        1.0,
        Gaussian(),
        [-250, *around(-30, 0.3, 1, 4), *around(40, 0.01, 0.03, 0.2), 250],
    ),
    "ripples": ("x**2/2 + 3*cos(50*x)", 1.0, Gaussian(), (np.arange(-120, 121) * math.pi / 50).tolist()),
    "walls": ("-log(x) - log(1 - x)", 1.0, Uniform(0.0, 1.0), [0.0, 0.5, 1.0]),
}


@pytest.mark.parametrize("name", GIBBS)
def test_quantiles(name: str):
    expr, diffusion, law, ends = GIBBS[name]
    found, u = equilibrium(problem(FokkerPlanck(diffusion), law, Expressed(expr))), tensor(RANKS)
    z = torch.cat([law.quantile(u), law.upper_quantile(u)])
    with np.errstate(divide="ignore"):
        expected = quantiles(expr, diffusion, ends, RANKS)
    width = np.ptp(expected[[4, 10]]) if name != "needle" else 1e-3
    assert found(math.inf, z).numpy() == pytest.approx(expected, rel=1e-6, abs=1e-6 * width)
    assert (found(math.inf, z.sort().values).diff() >= 0).all()


def test_deep_tails_of_a_well():
    p = problem(FokkerPlanck(0.6), Uniform(-1.0, 2.0), Well(1.3, -0.4))
    end, u = Gaussian(-0.4, math.sqrt(0.6 / 1.3)), torch.logspace(-14, -0.4, 60, dtype=torch.float64)
    found = equilibrium(p)
    for ours, theirs in ((p.law.quantile, end.quantile), (p.law.upper_quantile, end.upper_quantile)):
        rounding = 1e-15 / u.numpy()  # of a rank beside the end of a support
        assert (np.abs((found(0.0, ours(u)) - theirs(u)).numpy()) < 1e-6 + rounding).all()


@pytest.mark.parametrize("exponent", [2.6, 4.0, 9.0])
def test_students_laws(exponent: float):
    """(1 + x^2)^(-(n + 1)/2) is Student's law of n degrees, scaled; W2 to N(0, 1), tails included."""
    end = stats.t(exponent, scale=exponent**-0.5)
    p = problem(FokkerPlanck(0.5), Gaussian(), Expressed(f"{(exponent + 1) / 4!r}*log(1 + x**2)"))
    u = np.logspace(-16, math.log10(0.49), 40)
    assert equilibrium(p)(0.0, p.law.quantile(torch.from_numpy(u))).numpy() == pytest.approx(end.ppf(u), rel=1e-4)
    square = 2 * sum(
        quad(lambda y: (end.ppf(stats.norm.cdf(y)) - y) ** 2 * stats.norm.pdf(y), -k - 1, -k, epsabs=1e-14)[0]
        for k in range(25)
    )
    found = distance(Carried.of(p.law, lambda t, z: z, 0.0), Carried.of(p.law, equilibrium(p), 0.0))
    assert found.w2 == pytest.approx(math.sqrt(square), rel=1e-6)


@pytest.mark.parametrize(
    "law", [Gaussian(3.0), Uniform(-1.0, 2.0), Laplace(0.5)], ids=["gaussian", "uniform", "laplace"]
)
def test_nodes_of_a_distance_integrate_both_laws(law: Base):
    """Wells with ranks that no cell of the initial law ends at: the jump between them is not smeared."""
    p = problem(FokkerPlanck(0.05), law, Expressed("(x**2 - 1)**2 + x/20"))
    found = distance(Carried.of(p.law, lambda t, z: z, 0.0), Carried.of(p.law, equilibrium(p), 0.0))
    z, x, w = (values.numpy() for values in (found.nodes.z, found.target, found.nodes.w))
    assert w @ z == pytest.approx(law.mean, abs=1e-7)
    assert w @ (z - law.mean) ** 2 == pytest.approx(law.std**2, rel=1e-6)
    density = [quad(lambda y, k=k: y**k * math.exp(-((y * y - 1) ** 2 + y / 20) * 20), -3, 3)[0] for k in range(3)]
    assert w @ x == pytest.approx(density[1] / density[0], abs=1e-7)
    assert w @ x**2 == pytest.approx(density[2] / density[0], rel=1e-7)


@pytest.mark.parametrize(("diffusion", "center"), [(1e-3, 0.0), (1e-14, 0.0), (1e-30, 0.0), (1e-14, 0.3)])
def test_narrow_wells(diffusion: float, center: float):
    p = problem(FokkerPlanck(diffusion), Gaussian(0.3, 2.0), Well(1.7, center))
    z = p.law.quantile(torch.linspace(0.05, 0.95, 9, dtype=torch.float64))
    width = math.sqrt(diffusion / 1.7)
    found = (equilibrium(p)(math.inf, z) - center) / width
    assert found.numpy() == pytest.approx((z.numpy() - 0.3) / 2.0, abs=1e-6 + 1e-15 * center / width)


def test_a_well_at_a_distance_of_ten_powers():
    x = equilibrium(problem(FokkerPlanck(), Gaussian(), Sextic(1e10)))(math.inf, torch.zeros(1, dtype=torch.float64))
    assert float(x) == pytest.approx(1e10, abs=1e-5)


NONE = {
    "heat": problem(FokkerPlanck(), Gaussian()),
    "hill": problem(FokkerPlanck(), Gaussian(), Well(-1.0)),
    "porous medium": problem(PorousMedium(), Gaussian(), Quartic()),
    "keller-segel": problem(KellerSegel(), Gaussian(), Quartic()),
    "no diffusion": problem(AggregationDiffusion(0.0), Gaussian(), Quartic()),
    "interaction": problem(AggregationDiffusion(), Gaussian(), Quartic(), Newtonian()),
    "drift": problem(FokkerPlanck(), Gaussian(), Expressed("x")),
    "bounded": problem(FokkerPlanck(), Gaussian(), Expressed("cos(x)")),
    "falling beyond a barrier": problem(FokkerPlanck(), Gaussian(), Expressed("x**2 - x**4/1e6")),
    "infinite mass": problem(FokkerPlanck(), Gaussian(), Expressed("0.3*log(1+x**2)")),
    "barely infinite mass": problem(FokkerPlanck(), Gaussian(), Expressed("0.5*log(1+x**2)")),
    "infinite variance": problem(FokkerPlanck(), Gaussian(), Expressed("log(1+x**2)")),
    "barely infinite variance": problem(FokkerPlanck(), Gaussian(), Expressed("1.5*log(1+x**2)")),
    "1e-300": problem(FokkerPlanck(1e-300), Gaussian(), Quartic()),
    "1e-30": problem(FokkerPlanck(1e-30), Gaussian(), Quartic()),
    "1e20": problem(FokkerPlanck(), Gaussian(), Expressed("1e20 + x**2")),
    "1e20 away": problem(FokkerPlanck(), Gaussian(), Sextic(1e20)),
}


@pytest.mark.parametrize("p", NONE.values(), ids=NONE)
def test_no_equilibrium_and_none_that_digits_show(p: Problem):
    assert equilibrium(p) is None


# runs

RUNS = {
    "heavy tails": (("pde=fokker_planck", 'potential.expr="1.8*log(1+x**2)"', "t_end=1e-6"), 0.7117332, 2e-6),
    "barrier": (
        ("pde.diffusion=.1", 'potential.expr="10*(x**2-1)**2"', "law.mean=3", "network.width=64", "network.degree=5"),
        1.38969,
        2e-5,
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_distances_of_runs(name: str, tmp_path: Path):
    overrides, expected, error = RUNS[name]
    cfg = composed("logger=none", "figures=false", "potential=expression", "reference_solution=none", *overrides)
    assert run(build(cfg), cfg, tmp_path).w2_to_equilibrium == pytest.approx(expected, abs=error)


def test_distance_on_the_way_to_the_equilibrium(tmp_path: Path):
    overrides = ("potential=quadratic", "potential.stiffness=2", "potential.center=1", "t_end=0.4", "saves=2")
    cfg = composed("logger=none", "figures=false", *overrides)
    found, end = run(build(cfg), cfg, tmp_path), math.exp(-0.8)
    spread = math.sqrt(0.5 + 0.5 * end**2)  # mean 1 - end, variance 1/2 + (1 - 1/2) end^2
    assert found.w2_to_equilibrium == pytest.approx(math.hypot(end, spread - math.sqrt(0.5)), abs=1e-6)
