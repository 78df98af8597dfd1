"""What cannot be computed is refused before it runs: laws beyond the numbers, potentials that are not finite where the
law is or from which mass falls to infinity in time, flows without a start."""

import math
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from laws_and_terms import LAWS, problem
from refusals import refusal
from scipy.integrate import quad

from wgf.assemble import check_start
from wgf.networks.spline import Spline
from wgf.problem.base import Base
from wgf.problem.domain import Interval
from wgf.problem.equations import AggregationDiffusion, FokkerPlanck, LinearTransport, PorousMedium, Problem
from wgf.problem.interaction import Pairwise, Zero
from wgf.problem.interaction import Quadratic as Attraction
from wgf.problem.laws import Barenblatt, Gamma, Gaussian, Student, Uniform
from wgf.problem.potential import Expressed, Potential, Quadratic, Quartic, Sextic
from wgf.problem.potential import Zero as NoPotential
from wgf.problem.quadrature import Gauss
from wgf.problem.well_posed import check_problem, escape_time, singular_point
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.reference_solutions.exact import find


def falling(text: str, law: Base | None = None, pde=None, t_end: float = 0.2, interaction=None) -> Problem:
    return (pde or FokkerPlanck()).problem(law or Gaussian(), Expressed(text), interaction or Zero(), t_end)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("potential", [Quartic(1.0), Sextic(4.0), Quadratic(-1.0, 0.3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_ordinary_problems_pass(law: Base, potential, dtype: torch.dtype):
    check_problem(problem(law, potential), dtype)


SMOOTH = """abs(x); sqrt(abs(x-0.3)); abs(x)**1.5; x*log(abs(x)); tanh(1000*(x-0.3)); erf(50*x); cos(40*x); exp(-1/x**2)
; 1/(x**2+1e-6); log(x**2+1e-8); exp(-x**2/0.002); x**6; tan(x/6); atan(1e6*x); -abs(x); 3; 1e-300*x; exp(x**2/20)"""
SINGULAR = """1/x; 1/(x-0.3); -1e-6/(x-0.3)**2; log(abs(x-0.3)); 1e-6*log(abs(x-0.3)); log(abs(3*x-1)) + x**6;
log(abs(x**2-2)); tan(x); log(x); x**2.5; sqrt(x-3); exp(exp(x)); x**x; (x-1)**-2; 9**9**9**9; 1e300*x**9"""


@pytest.mark.parametrize("text", [t.strip() for t in SMOOTH.split(";")])
def test_finite_potentials_are_let_through(text: str):
    assert singular_point(Expressed(text), -8.6, 8.6) is None
    check_problem(falling(text))


@pytest.mark.parametrize("text", [t.strip() for t in SINGULAR.split(";")])
def test_singular_potentials_are_refused(text: str):
    v = Expressed(text)
    x = singular_point(v, -8.6, 8.6)
    near = torch.linspace(x - 1e-9, x + 1e-9, 101, dtype=torch.float64)
    numbers = torch.stack([v.value_at(near), v.derivative(near)]).abs()
    assert not numbers.isfinite().all() or float(numbers.max()) > 100  # it is singular where the message says
    (line,) = refusal(check_problem, falling(text))
    assert re.match(r"potential=.* is not finite at x=.*, which the initial law reaches: expected", line)


@example(7.0, "log(abs(x-c))")  # a sample lies 4e-4 beside it
@given(st.floats(-8, 8), st.sampled_from(["1/(x-c)", "log(abs(x-c))", "1/(x-c)**2", "x**4 - 1e-3/abs(x-c)"]))
def test_a_pole_is_found_wherever_it_is(c: float, shape: str):
    x = singular_point(Expressed(shape.replace("c)", f"({c!r}))")), -8.6, 8.6)
    assert x == pytest.approx(c, abs=1e-6)


BUMPS = ["tanh(y)", "exp(-y**2)", "1/(1+y**2)", "abs(y)", "cos(y)"]


@given(st.floats(-8, 8), st.floats(0.02, 3), st.sampled_from(BUMPS))
def test_no_smooth_bump_is_taken_for_a_pole(c: float, width: float, shape: str):
    text = shape.replace("y", f"((x-({c!r}))/{width!r})")
    assert singular_point(Expressed(text), -8.6, 8.6) is None


def test_poles_outside_the_law_do_not_matter():
    check_problem(falling("-log(x) - log(1-x)", Uniform(0.0, 1.0), LinearTransport()))
    check_problem(falling("1/x", Uniform(0.5, 1.0), LinearTransport(), 1e-3))


@pytest.mark.parametrize("power", [2.5, 3.0, 4.0, 6.0])
@pytest.mark.parametrize("x", [0.5, 8.6])
def test_escape_time_of_powers(power: float, x: float):
    """x' = p x^(p-1) is at infinity at x^(2-p) / (p (p-2))."""
    found = escape_time(Expressed(f"-abs(x)**{power}"), -x, -1.0, 1e120, 1.0)
    assert found == pytest.approx(x ** (2 - power) / (power * (power - 2)), rel=0.03)


def test_escape_time_by_quadrature():
    found = escape_time(Expressed("-exp(x) - x**2"), 1.0, 1.0, 1e120, 1.0)
    assert found == pytest.approx(quad(lambda y: 1 / (math.exp(y) + 2 * y), 1, 60)[0], rel=0.02)


SLOW = dict.fromkeys(["x**4", "x**2 - cos(9*x)", "-x**4 + x**6/1000", "3", "-cos(x)"], math.inf)
SLOW |= dict.fromkeys(["-x**2", "-abs(x)", "-x**2*log(2+x**2)/9"], 10)


@pytest.mark.parametrize("text", SLOW)
def test_what_turns_back_never_escapes_and_slow_falls_take_long(text: str):
    assert escape_time(Expressed(text), 8.6, 1.0, 1e120, 1.0) >= SLOW[text]


def test_a_fall_is_refused_from_the_time_on_at_which_it_is_fatal():
    """-x**4 on (-1, 1): the outermost particles are at infinity at t = 1/8, and the exact map says so."""
    law, pde = Uniform(-1.0, 1.0), LinearTransport()
    check_problem(falling("-x**4", law, pde, 0.12))
    exact = find(falling("-x**4", law, pde, 0.12))
    z = torch.tensor([0.999], dtype=torch.float64)
    assert float(exact(0.12, z)) == pytest.approx(0.999 / math.sqrt(1 - 8 * 0.12 * 0.999**2), rel=1e-6)
    (line,) = refusal(check_problem, falling("-x**4", law, pde, 0.14))
    assert re.match(
        r"potential=-x\*\*4 falls so fast that .* is beyond 1e\+120 at t=0\.125\d, too far .*: lower t_end", line
    )


def test_diffusion_reaches_further_than_the_law_and_what_attracts_may_hold():
    law = Gaussian(0.0, 0.1)  # at rest in the well of x^2/2 - x^4/100, whose rims are at 5
    check_problem(falling("x**2/2 - x**4/100", law, LinearTransport(), 100.0))
    check_problem(falling("x**2/2 - x**4/100", law, FokkerPlanck(0.01), 1.0))
    assert "falls so fast" in refusal(check_problem, falling("x**2/2 - x**4/100", law, FokkerPlanck(1.0), 1.0))[0]
    check_problem(falling("-x**4", pde=AggregationDiffusion(), interaction=Attraction(1e4)))


EXTREME = [Gaussian(0.0, 1e-200), Gaussian(0.0, 1e200), Gaussian(1e20, 1.0), Uniform(1e15, 1e15 + 1)]
EXTREME += [Barenblatt(2.0, 1e-300)]


@pytest.mark.parametrize(
    ("law", "dtype"), [*((law, torch.float64) for law in EXTREME), (Gaussian(1e7, 1.0), torch.float32)]
)
def test_laws_beyond_the_numbers_are_refused(law: Base, dtype: torch.dtype):
    (line,) = refusal(check_problem, problem(law), dtype)
    assert "law is too narrow, too wide or too far from 0 for float" in line


def test_tails_too_heavy_for_any_quadrature_are_refused():
    (line,) = refusal(check_problem, problem(Student(2.1)))
    assert line.startswith("law has tails so heavy that 0.03 of its variance lies where no quadrature node is")
    check_problem(problem(Student(2.5)))


def test_a_density_too_infinite_for_any_quadrature_is_refused():
    (line,) = refusal(check_problem, problem(Gamma(0.2, 2.0)))
    assert line.startswith("law has 6e-05 of its mass where no quadrature node is, at an infinite density")
    check_problem(problem(Gamma(0.4, 2.0)))


def test_a_start_that_is_not_finite_is_refused():
    law = Gaussian(0.0, 1e9)
    p = FokkerPlanck().problem(law, Expressed("x**5"), Zero(), 0.1)
    (line,) = refusal(check_start, Projection(p, Spline(8, base=law).to(torch.float32), Gauss(), Auto()))
    assert re.match(r"this flow cannot start: at t=0 energy_potential is .*; choose", line)
    law = Gaussian()
    check_start(Projection(problem(law, Quartic()), Spline(8, base=law), Gauss(), Auto()))


class Spring(Pairwise):
    """W = r^2/2 with any force."""

    def __init__(self, stiffness: float) -> None:
        self.factor = stiffness

    def kernel(self, r):
        return r**2 / 2

    def force(self, r):
        return self.factor * r


def test_a_force_of_ones_own_is_the_derivative_of_its_kernel():
    wrong, right = (AggregationDiffusion().problem(Gaussian(), Quadratic(), Spring(k), 0.1) for k in (2.5, 1.0))
    (line,) = refusal(check_problem, wrong)
    assert "its force is -25 at r=-10, where its kernel has the slope -10: expected the derivative of kernel" in line
    check_problem(right)


class Valued(Potential):
    """A potential whose values are what `function` makes of places."""

    def __init__(self, function) -> None:
        self.function = function

    def value_at(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x.numpy() ** 2, "of 5 places is ndarray: expected a tensor of shape (5,)"),
        (lambda x: 1.0, "of 5 places is float: expected a tensor of shape (5,)"),
        (lambda x: (x * x).sum(), "of 5 places is a tensor of shape (): expected a tensor of shape (5,)"),
        (lambda x: x + torch.ones(3), "fails at a tensor of 5 places: RuntimeError: The size of tensor a (5)"),
    ],
)
def test_a_potential_of_ones_own_has_a_value_at_each_place(function, said: str):
    (line,) = refusal(check_problem, problem(Gaussian(), Valued(function)))
    assert said in line


def test_a_potential_without_a_slope_at_a_wall_is_refused():
    law, walls = Uniform(0.0, 1.0), Interval(0.0, 1.0)
    steep, mild = (replace(problem(law, Expressed(v)), domain=walls) for v in ("2*sqrt(x)", "2*sqrt(x + 1e-6)"))
    (line,) = refusal(check_problem, steep)
    assert line.startswith("potential=2*sqrt(x) has no finite slope at the wall x=0, where a map has an end: smooth it")
    check_problem(mild)


def test_a_diffusion_that_is_zero_in_float32_is_refused():
    p = PorousMedium(4.5, 7e-51).problem(Gaussian(0.0, 1e-9), NoPotential(), Zero(), 0.1)
    (line,) = refusal(check_problem, p, torch.float32)
    assert line.startswith("the diffusion has the coefficient 7e-51, which float32 does not hold: choose units")
    check_problem(p)
