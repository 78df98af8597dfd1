"""What points do not feel of kernels with a short range: its velocity, and the errors that solutions state for it."""

import math

import numpy as np
import pytest
import torch
from local_pressure import positions
from scipy.integrate import quad
from scipy.stats import norm

from wgf.problem.domain import Circle
from wgf.problem.equations import AggregationDiffusion
from wgf.problem.interaction import Interaction, Log, Newtonian, Pairwise, Quadratic
from wgf.problem.kernels import Expressed, Morse, PowerLaw
from wgf.problem.laws import Formula, Gaussian
from wgf.problem.potential import Quadratic as Well
from wgf.problem.potential import Zero as Flat
from wgf.reference_solutions import particles
from wgf.reference_solutions.base import Unresolved
from wgf.reference_solutions.finite_volumes import circle, refinement
from wgf.reference_solutions.unfelt import Points, missed

RANGE, HEIGHT = 1e-5, 10.0
PRESSURE = HEIGHT * RANGE * math.sqrt(math.pi)  # int W
NEEDLE = Expressed("a*exp(-(r/s)**2)", a=HEIGHT, s=RANGE)
ON_CIRCLE = Expressed("a*exp(-(2*sin(r/2)/s)**2)", a=HEIGHT, s=RANGE)
MEAN, FAR = 0.3, 9.0


class Needle(Pairwise):
    """The same without a formula."""

    def kernel(self, r: torch.Tensor) -> torch.Tensor:
        return HEIGHT * torch.exp(-((r / RANGE) ** 2))

    def force(self, r: torch.Tensor) -> torch.Tensor:
        return -2 * r / RANGE**2 * self.kernel(r)


def gaussian(count: int) -> Points:
    """N(MEAN, 1) in equal cells."""
    width = 2 * FAR / count
    return Points(lambda s: MEAN - FAR + width * s, lambda s: width * norm.pdf(width * s - FAR), count)


def slope(x: np.ndarray) -> np.ndarray:
    """rho' of N(MEAN, 1)."""
    return -(x - MEAN) * norm.pdf(x - MEAN)


@pytest.mark.parametrize("count", [97, 384])
@pytest.mark.parametrize("kernel", [NEEDLE, Needle()], ids=["formula", "own"])
def test_short_ranges_are_pressures(kernel: Interaction, count: int):
    points = gaussian(count)
    at = points.places()
    found, rest = missed(kernel, points, at, 1e-12)
    assert found == pytest.approx(PRESSURE * slope(points.x(at)), abs=1e-9)
    assert rest.max() < 1e-11


def test_needles_far_from_zero():
    points = gaussian(200)
    at = points.places()
    x = points.x(at)
    found, rest = missed(Expressed("a*exp(-((abs(r) - 1.237)/s)**2)", a=HEIGHT, s=RANGE), points, at, 1e-10)
    assert found == pytest.approx(PRESSURE * (slope(x - 1.237) + slope(x + 1.237)), abs=1e-8)
    assert rest.max() < 1e-8


def test_needles_on_a_circle():
    count = 150
    width = 2 * math.pi / count
    points = Points(lambda s: width * s, lambda s: width * (1 + 0.5 * np.cos(width * s)) / (2 * math.pi), count, True)
    at = np.array([0.0, 1.0, 40.0, 149.0])
    found, _ = missed(ON_CIRCLE, points, at, 1e-12)
    assert found == pytest.approx(-PRESSURE * 0.5 * np.sin(width * at) / (2 * math.pi), abs=1e-11)


@pytest.mark.parametrize("kernel", [Morse(0.7, 1.3, 0.5, 0.2), PowerLaw(2.5, 1.5)], ids=str)
def test_coarse_rules(kernel: Interaction):
    points, at = gaussian(40), np.array([17.0, 22.0])
    found, _ = missed(kernel, points, at, 1e-10)
    force = kernel.split()[1]
    assert force is not None
    for x, velocity in zip(points.x(at), found, strict=True):

        def pull(y: float, x: float = x) -> float:
            return float(force(torch.tensor(x - y, dtype=torch.float64))) * norm.pdf(y - MEAN)

        whole = sum(quad(pull, *ends, epsabs=1e-12, limit=200)[0] for ends in ((x - FAR, x), (x, x + FAR)))
        middles = np.arange(40) + 0.5
        rule = sum(pull(y) for y in points.x(middles)) * 2 * FAR / 40
        assert velocity == pytest.approx(whole - rule, abs=1e-9)
        assert abs(velocity) > 1e-5


@pytest.mark.parametrize(
    "kernel",
    [
        *(Newtonian(), Quadratic(), Log()),
        *map(Expressed, ("exp(-r^2)", "abs(r)^3/3", "-1/(1 + r^2)", "r^4/4 - r^2/2", "tanh(r)*r")),
    ],
    ids=str,
)
def test_nothing_is_missed_of_smooth_kernels(kernel: Interaction):
    points = gaussian(384)
    found, rest = missed(kernel, points, points.places(), 1e-10)
    assert np.abs(found).max() + rest.max() < 2e-10 * (1 if "abs" not in str(kernel) else 100)


def test_waves_beyond_all_cells_are_not_believed():
    points = gaussian(96)
    found, rest = missed(Expressed("cos(1e6*r)"), points, points.places(), 1e-10)
    assert (np.abs(found) + rest).min() > 1


def test_a_range_too_short_for_a_large_pressure_has_no_reference():
    kernel = Expressed("1e6*exp(-(r/1e-6)**2)")
    with pytest.raises(Unresolved, match="range is too short"):
        particles.solve(AggregationDiffusion(0.0).problem(Gaussian(), Flat(), kernel, 0.5), [0.5])


LINE = np.linspace(-8.0, 8.0, 501)
AROUND = np.arange(400) * 2 * math.pi / 400
RANKS = (np.arange(200) + 0.5) / 200
LAW = Formula("1 + 0.5*cos(x)", 0.0, 2 * math.pi)
T = 0.3
CASES = {
    "particles": (particles.solve, AggregationDiffusion(0.0).problem(Gaussian(), Well(0.5), NEEDLE, T), 0.0),
    "line": (refinement.solve, AggregationDiffusion(1.0).problem(Gaussian(), Well(0.5), NEEDLE, T), 1.0),
    "circle": (
        circle.solve,
        AggregationDiffusion(0.5).problem(LAW, Flat(), ON_CIRCLE, T, "auto", Circle()),
        0.5,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_solutions_state_what_they_do_not_feel(name: str):
    solve, p, diffusion = CASES[name]
    turns = p.domain.period is not None
    grid = torch.from_numpy(AROUND if turns else LINE)
    truth = positions(
        *(grid.numpy(), p.law.cdf(grid).numpy(), lambda x: p.potential.derivative(torch.from_numpy(x)).numpy()),
        *(diffusion, PRESSURE, T, RANKS, turns),
    )
    z = torch.from_numpy(RANKS * p.domain.period) if turns else p.law.quantile(torch.from_numpy(RANKS))
    known = solve(p, [T])
    gap = known(T, z).numpy() - truth
    w1, w2 = np.abs(gap).mean(), math.sqrt((gap**2).mean())
    assert 1e-6 < w1 < known.error < 10 * w1
    assert w2 < known.w2_error < 10 * w2
