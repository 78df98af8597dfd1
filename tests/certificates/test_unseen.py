"""Needles and ripples of V between the quadrature nodes: no bound lies below the error that they cause."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from bounded_runs import posed
from scipy import interpolate
from scipy.integrate import solve_ivp
from torch import Tensor

from wgf.api import solve
from wgf.assemble import assemble
from wgf.certificates.own_bound import COARSE, Bound, OwnBound
from wgf.certificates.rich import Both, certified
from wgf.certificates.unseen import ENERGY, HIDDEN, _at_points, _Cells, _interpolation, account, unseen
from wgf.integrators.auto import Auto as AutoIntegrator
from wgf.integrators.implicit import Rodas4
from wgf.integrators.saved_states import SavedStates
from wgf.integrators.time_loop import run
from wgf.networks.spline import Spline
from wgf.problem.equations import PDE, FokkerPlanck, KellerSegel, LinearTransport
from wgf.problem.laws import Gaussian, Histogram
from wgf.problem.potential import Expressed, Potential, Quadratic, Quartic, Sextic
from wgf.problem.quadrature import Gauss
from wgf.problem.tabulated import Tabulated
from wgf.projection.solvers import Auto as AutoSolver
from wgf.settings.formulas.enclosure import has_jumps

TRANSPORT, DIFFUSION = LinearTransport(), FokkerPlanck()
# height, width and place of a needle; the particles stay in it, since V is flat
NEEDLES = [(2e-6, 1e-3, 0.31), (2e-6, 1e-3, -0.7), (5e-9, 1e-4, 0.5), (1e-7, 1e-3, 0.55), (-2e-6, 1e-3, 0.31)]


class Told(Both):
    """A run with its bound, and what V hides added to that."""

    def __init__(self, pde: PDE, v: str | Potential, t_end=0.2, law=None, saves: int = 2, width: int = 12) -> None:
        problem = posed(pde, law, Expressed(v) if isinstance(v, str) else v, t_end=t_end)
        network = Spline(width=width, base=problem.law)
        parts = Gauss(), AutoSolver(), AutoIntegrator(), "cpu", "float64"
        self.projection, self.method = assemble(problem, lambda base: network, *parts)
        super().__init__(SavedStates(self.projection.map), OwnBound(self.projection))
        stops = [t_end * (k + 1) / saves for k in range(saves)]
        self.end = run(self.projection, self.method, network.theta.detach().clone(), stops, self)
        assert self.end.status.name == "completed"
        self.before = self.recorder.at(t_end)
        self.missed = unseen(self.projection, self.states)
        account(self.recorder, self.states, self.missed)
        self.after: Bound = self.recorder.at(t_end)

    def hidden(self) -> tuple[np.ndarray, np.ndarray]:
        return self.recorder._hidden


def needle(height: float, width: float, place: float) -> str:
    return f"{height}*exp(-((x - ({place}))/{width})**2)"


@torch.no_grad()
def true_error(v: Potential, told: Told, width: float, place: float) -> float:
    """W2 error of a transport of particles, whose quadrature resolves a needle; by the method of Runge."""
    map, theta = told.states[-1]
    t, ends = told.states.times[-1], map.base.panels()
    fine = place + width * torch.linspace(-8, 8, 801, dtype=torch.float64)
    mesh = torch.cat([torch.linspace(ends[0], ends[-1], 401, dtype=torch.float64), fine, map.knots(theta).double()])
    nodes = Gauss(4).nodes(map.base, mesh)
    x, dt = nodes.z.clone(), t / 200
    for _ in range(200):
        a = v.derivative(x)
        b = v.derivative(x - dt / 2 * a)
        c = v.derivative(x - dt / 2 * b)
        x = x - dt / 6 * (a + 2 * b + 2 * c + v.derivative(x - dt * c))
    return float((nodes.w @ (map.evaluate(theta, nodes.z)[0] - x) ** 2).sqrt())


@pytest.mark.parametrize("shape", NEEDLES)
def test_a_bound_counts_a_needle_that_no_node_sees(shape):
    """Before, it was 1e-16."""
    text = f"0.005*x**2 + {needle(*shape)}"
    told = Told(TRANSPORT, text)
    error = true_error(Expressed(text), told, *shape[1:])
    assert told.missed < ENERGY
    assert told.before.value < 0.1 * error < error <= told.after.value < 20 * error


@pytest.mark.parametrize("form", ["tanh({u})", "erf({u})", "sin({u})*exp(-{u}**2/4)", "exp(-{u}**4)"])
def test_other_forms_of_needles(form):
    width, place = 2e-4, -0.52
    text = "0.001*x**2 + 1e-8*" + form.format(u=f"((x + 0.52)/{width})")
    told = Told(TRANSPORT, text)
    error = true_error(Expressed(text), told, width, place)
    assert told.before.value < 0.1 * error < error <= told.after.value < 3 * error


@pytest.mark.parametrize("shape", NEEDLES)
def test_what_a_needle_hides_is_the_norm_of_its_force(shape):
    times, norms = Told(TRANSPORT, f"0.005*x**2 + {needle(*shape)}").hidden()
    height, width, place = shape
    y = np.linspace(-8, 8, 4001)
    force = -2 * height / width * y * np.exp(-(y**2))
    density = np.exp(-((place + width * y) ** 2) / 2) / math.sqrt(2 * math.pi)
    assert times[0] == 0
    assert norms[0] == pytest.approx(math.sqrt(width * np.trapezoid(force**2 * density, y)), rel=1e-3)


def test_a_needle_that_few_nodes_see_takes_no_bound():
    """It seemed to be a coarse quadrature."""
    shape = (1e-7, 1e-3, 0.32)
    text = f"x**2/2 + {needle(*shape)}"
    told = Told(TRANSPORT, text)
    assert told.before.value is None
    assert told.before.unknown == COARSE
    assert true_error(Expressed(text), told, *shape[1:]) <= told.after.value < 1e-5


def test_a_richer_run_counts_it_too():
    shape = (2e-6, 1e-3, 0.31)
    text = f"0.005*x**2 + {needle(*shape)}"
    told = Told(TRANSPORT, text, width=8)
    found = certified(told.projection, told.method, told.states, 0.2, rich=True)
    error = true_error(Expressed(text), told, *shape[1:])
    assert found.rich is not None
    assert found.bound >= error
    assert found.rich > 0.9 * error  # the richer run does not feel the needle, either


def test_a_needle_that_diffusion_smoothes():
    """The law begins as the Gibbs law of x^2/2, and ends near that of V, at a distance of h w or so."""
    height, width, place = shape = (2e-6, 1e-3, 0.31)
    told = Told(DIFFUSION, f"x**2/2 + {needle(*shape)}")
    x = np.unique([*np.linspace(-7, 7, 2801), *place + width * np.linspace(-6, 6, 2001)])
    law = np.exp(-(x**2) / 2)
    shift = law * np.exp(-(((x - place) / width) ** 2)) * height
    moved = np.append(0, np.cumsum(np.diff(x) * (shift[1:] + shift[:-1]) / 2))
    cdf = np.append(0, np.cumsum(np.diff(x) * (law[1:] + law[:-1]) / 2))
    gap = (moved - moved[-1] * cdf / cdf[-1]) / law
    error = math.sqrt(np.trapezoid(gap**2 * law, x) / cdf[-1])
    assert told.before.value < 1e-4 * error
    assert error < told.after.value < 1e-5


def test_a_narrow_law_passes_a_needle_between_two_saved_times():
    """It moves from 0 to 4 in forty of its widths; the ends do not know of the needle at 2."""
    told = Told(TRANSPORT, f"-4*x + {needle(1e-6, 1e-3, 2.0)}", t_end=1.0, law=Gaussian(std=0.1), saves=1)
    times, norms = told.hidden()
    assert times.tolist() == pytest.approx(np.linspace(0, 1, len(times)))
    assert norms[0] == norms[-1] == 0 < norms[len(norms) // 2]
    assert told.after.value > 1.5 * told.before.value


def test_ripples_of_no_effect_keep_the_bound():
    for text in ("x**2/2 + 1e-9*sin(1e4*x)", "0.5*(x**2 + 2e-9*sin(1e4*x))", "x**2/2 + 1e-13*sin(1e6*x)"):
        told = Told(DIFFUSION, text)
        assert told.before.value < told.after.value < 1e-5
        assert told.hidden()[1].max() < 5 * float(text.split("*sin")[0].split()[-1]) * float(text.split("(")[-1][:3])


@pytest.mark.parametrize("amplitude", [1e-6, 1e-5])
def test_ripples_of_an_effect_take_it(amplitude):
    told = Told(DIFFUSION, f"x**2/2 + {amplitude}*sin(1e4*x)", t_end=0.01)
    assert told.after.value is None or told.after.value > 0.5 * told.before.value + 0.01 * amplitude * 1e4


BUILT_IN = Quadratic(1.5, 0.3), Quartic(1.0), Sextic()
POLYNOMIALS = "x**2/2", "x**4/4 - x**2/2", "(x - 1)**4/4 - (x - 1)**2/2", "x**6/6"
SMOOTH = (
    "x**2/2 + 0.3*exp(-x**2)", "cos(x)", "log(1 + x**2)", "sqrt(1 + x**2)", "x**4/4 - x**2 + 0.3*cos(2*x)", "cosh(x)",
    "x*atan(x)", "2**x", "tanh(x) + x**2", "x**2/2 + 0.1*sin(7*x)", "1/(1 + x**2) + x**2", "exp(-x) + exp(2*x)",
    "erf(x) + x**2", "abs(x)**3", "x**2/2 + abs(x - 0.3)", "abs(x) + abs(x - 1) + x**4",
)  # fmt: skip


@pytest.mark.parametrize("v", [*BUILT_IN, *POLYNOMIALS, *SMOOTH], ids=str)
def test_a_smooth_potential_hides_nothing(v):
    told = Told(DIFFUSION, v)
    assert told.before.value <= told.after.value <= 1.005 * told.before.value
    assert v in SMOOTH or not told.hidden()[1].any()


def test_a_kink_in_a_cell_that_all_maps_share():
    """Sums over pairs of nodes do not cut cells: such a kink is known to be there, and does not count."""
    told = Told(KellerSegel(0.5), "x**2/2 + abs(x - 0.3)")
    assert told.before.value == pytest.approx(told.after.value, rel=1e-6)
    other = Told(KellerSegel(0.5), f"x**2/2 + abs(x - 0.3) + {needle(1e-5, 1e-3, 0.71)}")
    assert other.after.value > other.before.value


def test_a_needle_of_a_table():
    """Points beside each other at 0.31, in a table that is coarse elsewhere."""
    width, place = 1e-3, 0.31
    x = np.unique([*np.linspace(-8, 8, 65), *place + width * np.linspace(-6, 6, 49)])
    v = Tabulated(x, 0.005 * x**2 + 2e-6 * np.exp(-(((x - place) / width) ** 2)))
    told = Told(TRANSPORT, v)
    error = true_error(v, told, width, place)
    assert told.before.value < 1e-4 * error < error <= told.after.value < 2 * error
    smooth = Told(TRANSPORT, Tabulated(x, 0.005 * x**2))
    assert smooth.before.value <= smooth.after.value < 1.1 * smooth.before.value


def test_cells_are_cut_at_the_points_of_a_table():
    points = np.array([-1.0, 0.0, 0.1, 0.2, 1.0, 5.0])
    low, high = np.array([-3.0, -2.0, -1.0, -0.5, 0.05, 0.15, 0.5, 4.0, 6.0]), np.zeros(9)
    high[:] = [-2.0, -1.0, 0.0, 0.05, 0.15, 0.5, 4.0, 6.0, 7.0]
    rows = np.zeros((9, 2))
    found = _at_points(_Cells(rows, rows, rows, np.zeros(9, dtype=int), low, high), points)
    cells = [
        (k, np.r_[a, points[(a < points) & (points < b)], b]) for k, (a, b) in enumerate(zip(low, high, strict=True))
    ]
    right = [(k, *ends) for k, each in cells if len(each) > 2 for ends in pairwise(each)]
    assert list(zip(found.cell, found.low, found.high, strict=True)) == right
    assert not found.coarse.any()
    assert not found.rest.any()
    nothing = _at_points(_Cells(rows, rows, rows, np.zeros(9, dtype=int), low, high), np.array([50.0, 60.0, 70.0]))
    assert len(nothing.cell) == 0


class Own(Potential):
    """A needle of one's own, which nobody can look into."""

    convexity = -10.0

    def value_at(self, x: Tensor) -> Tensor:
        return 0.005 * x**2 + 2e-6 * torch.exp(-(((x - 0.31) / 1e-3) ** 2))


def test_potentials_without_an_enclosure():
    assert Told(TRANSPORT, Own()).hidden()[1].max() == 0
    v = Expressed("x**2/2 + max(x, 0)")
    v.convexity = 1.0
    assert has_jumps(v.expression)
    assert Told(TRANSPORT, v).hidden()[1].max() == 0


def test_no_bound_where_that_has_no_bound(monkeypatch):
    told = Told(TRANSPORT, "x**2/2 + exp(-x**2)")
    assert told.after.value is not None
    monkeypatch.setattr("wgf.certificates.unseen.Roughness.__call__", lambda self, low, *_: np.full_like(low, np.inf))
    account(told.recorder, told.states, told.missed)
    assert told.recorder.at(0.2) == Bound(None, None, HIDDEN)


@pytest.mark.parametrize(("pde", "v", "t_end"), [(TRANSPORT, Quadratic(2.0), 0.5), (DIFFUSION, Quartic(), 2.0)])
def test_a_constant_residual_enters_a_bound_with_its_weight(pde, v, t_end):
    told, much = Told(pde, v, t_end), 1e3
    weight = told.recorder.weight(t_end)
    assert pde is DIFFUSION or weight == pytest.approx((1 - math.exp(-2 * t_end)) / 2)
    told.recorder.hide(np.array([0.0, t_end]), np.array([much, much]), np.zeros(0))
    assert told.recorder.at(t_end).value == pytest.approx(much * weight, rel=2e-2)


@pytest.mark.parametrize("text", ["x", "sin(x)", "tanh(x)"])
def test_a_potential_energy_of_zero_is_resolved(text):
    """It is 0 by symmetry, and so is rounding relative to |V|."""
    told = Told(TRANSPORT, text)
    assert told.missed < 1e-3 * ENERGY
    assert told.after.unknown is None


@pytest.mark.parametrize("place", [3.9, 4.682, 6.1, 8.536])
def test_a_step_of_v_that_a_narrow_law_crosses_within_a_time_step_counts(place):
    """No residual is evaluated while the law is at the step of V."""
    law, text = Gaussian(10.0, 1e-3), f"x**2/2 + 1e-5*erf((x-{place})/0.003)"
    known = {"law": law, "t_end": 1.0, "reference_solution": "none", "integrator": Rodas4(1e-4, 1e-6)}
    flow, z = solve(LinearTransport(), potential=text, **known), np.array([9.999, 10.0, 10.001])

    def rate(t, x):
        return -x - 2e-5 / math.sqrt(math.pi) / 0.003 * np.exp(-(((x - place) / 0.003) ** 2))

    exact = solve_ivp(rate, (0, 1), z, rtol=1e-12, atol=1e-13, max_step=1e-4).y[:, -1]
    error = np.abs(flow.map(1.0, z) - exact).min()
    assert error > 5e-7
    assert error <= flow.certificate().bound <= 500 * error


@pytest.mark.parametrize("text", ["x**2/2 + 0.3*cos(3*x)", "log(1 + x**2)", "x**2/2 + 0.3*abs(x - 0.3)"])
def test_a_law_crosses_nothing_hidden_in_a_smooth_potential(text, monkeypatch):
    known = {"law": Gaussian(0.8, 0.4), "t_end": 1.0, "reference_solution": "none", "potential": text}
    flow = solve(FokkerPlanck(), network=Spline(32, base=known["law"]), **known)
    found = flow.certificate()
    monkeypatch.setattr("wgf.certificates.unseen._crossed", lambda v, places, *_: np.zeros(len(places)))
    without = flow.certificate()
    assert without.own <= found.own <= 1.002 * without.own


@pytest.mark.parametrize("bend", [1e-3, 0.5, 1.5])
def test_the_error_of_interpolation_in_a_cell(bend):
    """Nodes of a map that bends interpolate worse than Gauss nodes."""
    s, _ = np.polynomial.legendre.leggauss(12)
    x, dense = 2 + np.sinh(bend * s) / np.sinh(bend), np.linspace(1.0, 3.0, 4001)
    known = 1 + np.abs([interpolate.lagrange(x - 2, row)(dense - 2) for row in np.eye(12)]).sum(0).max()
    found = _interpolation(_Cells(*[x[None]] * 3, np.zeros(1, dtype=int), np.array([1.0]), np.array([3.0])))
    assert found[0] == pytest.approx(known, rel=0.02)


def test_units_of_length_change_no_share_of_the_energies():
    """The entropy holds the logarithm of the unit: a bound was refused in one unit only."""
    shares = []
    for unit in (1.0, 2.0**-30, 2.0**9):
        law = Histogram([unit * edge for edge in (-1.96, -1.6, -1.44, -0.974, -0.222, 0.924)], [8, 4, 9, 1, 2])
        flow = solve(
            FokkerPlanck(0.167 * unit**2), law=law, potential=Quadratic(-0.0404, -0.886 * unit),
            t_end=0.0156, saves=1, network=Spline(6, 1, base=Gaussian(law.mean, law.std)), quadrature=Gauss(2),
        )  # fmt: skip
        shares.append(unseen(flow.projection, flow.saved))
    assert shares[0] > 1e-6
    assert shares == pytest.approx([shares[0]] * 3, rel=0.02)  # the mass at two nodes in a cell is not 1
