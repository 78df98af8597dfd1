"""Numbers of a finished run: optional ones, and the smallest slope between the nodes."""

import math
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from short_runs import quick_run

import wgf
from wgf.networks.spline import Spline
from wgf.problem import laws
from wgf.problem.equations import AggregationDiffusion, FokkerPlanck, PorousMedium
from wgf.problem.interaction import Zero
from wgf.problem.kernels import PowerLaw
from wgf.problem.potential import Expressed, Quadratic, Quartic, Sextic
from wgf.problem.potential import Zero as NoPotential
from wgf.problem.quadrature import Gauss
from wgf.reference_solutions.equilibrium import equilibrium
from wgf.reference_solutions.exact import find
from wgf.run.metrics import Metrics


def test_an_optional_number_that_fails_costs_no_result(tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch):
    for name in ("Metrics.to_both", "best_w2"):
        monkeypatch.setattr(f"wgf.run.metrics.{name}", Mock(side_effect=IndexError("index 0 is out of bounds")))
    found = quick_run(tmp_path, "t_end=0.01")
    assert (found["status"], found["w2_best"], found["w2_to_equilibrium"]) == ("completed", None, None)
    assert 0 < found["w1_error"] < 1e-3
    assert (tmp_path / "solution.npz").exists()
    assert "no w2_to_equilibrium: IndexError: index 0 is out of bounds" in caplog.text


@pytest.mark.parametrize("known", [True, False])
def test_distances_measured_together_are_those_measured_alone(known: bool):
    """The flow from N(0, 1) with D = 1 in the potential x^2: N(0, (1 + exp(-4 t))/2) at t, N(0, 1/2) at the end."""
    law, t = laws.Gaussian(), 0.3
    problem = FokkerPlanck().problem(law, Quadratic(2.0), Zero(), t)
    map = Spline(width=8, degree=2, base=law)
    theta, end = map.theta.detach(), equilibrium(problem)
    assert end is not None
    metrics = Metrics(problem, map, find(problem) if known else None)
    error, rest = metrics.to_both(t, theta, end)
    assert rest == pytest.approx(1 - 0.5**0.5, rel=1e-6)
    assert rest == pytest.approx(metrics.distance(end, math.inf, theta).w2, rel=1e-12)
    if known:
        alone = metrics.error(t, theta)
        assert alone is not None
        assert error is not None
        assert error.w2 == pytest.approx(1 - ((1 + math.exp(-4 * t)) / 2) ** 0.5, rel=1e-6)
        assert (error.w1, error.w2) == pytest.approx((alone.w1, alone.w2), rel=1e-12)
    else:
        assert error is None


def test_the_steps_and_breakpoints_in_use(tmp_path: Path):
    """Steps of 0.04 are shortened to meet t = 0.05; a start with jumps needs more breakpoints than the width."""
    words = ["t_end=0.1", "saves=2", "law=uniform", "base=gaussian", "network.width=8"]
    fixed = quick_run(tmp_path / "fixed", *words, "integrator=jko", "integrator.dt=0.04")
    assert (fixed["steps"], fixed["mean_step"]) == (4, 0.025)
    assert fixed["breakpoints"] == fixed["parameters"] + 1 - 3 > 8  # degree 3
    assert quick_run(tmp_path / "adaptive", *words, "integrator.dt=0.04")["mean_step"] is None


def test_the_smallest_slope_between_the_nodes():
    """A cubic map whose slope 2e-4 + 9 (z - a)^2 in a cell is ten times larger at all nodes."""
    law, place = laws.Gaussian(), 0.3123
    map = Spline(width=9, degree=3, bound=4.0, base=law)
    z = torch.linspace(0.0, 1.0, 4001, dtype=torch.float64)[:-1]
    grid = torch.linspace(-4, 4, 2000, dtype=torch.float64)
    wanted = 2e-4 * grid + 3 * (grid - place) ** 3
    design = map.jacobian(map.theta.detach(), grid)
    theta = torch.linalg.lstsq(design, wanted[:, None]).solution[:, 0]
    problem = FokkerPlanck().problem(law, Quadratic(), Zero(), 1.0)
    metrics = Metrics(problem, map, None)
    assert float(map.evaluate(theta, metrics.nodes.z)[1].min()) > 2e-3
    assert float(map.evaluate(theta, z)[1].min()) == pytest.approx(2e-4, rel=1e-2)
    assert metrics.least_slope(theta) == pytest.approx(2e-4, rel=1e-6)


def test_the_rounding_of_energies_counts():
    """float32 knows V = (x - 30)^6/6 to 4e-7 or so."""
    flow = wgf.solve(
        wgf.LinearTransport(), potential=Sextic(30.0), t_end=1e-9, dtype="float32", saves=1, reference_solution="none"
    )
    rough, map, theta = flow.saved.terms[0], flow.projection.map, flow.projection.initial
    found = Metrics(flow.problem, map, None)
    energy = float(found._energies(theta.double(), Gauss().nodes(map.base, map.knots(theta).double())))
    without, error = (found.energy_error(Gauss(), theta, *terms) for terms in ((), (rough,)))
    assert without < 1e-12 * energy
    assert abs(float(rough) - energy) > 1e-9 * energy
    assert error == pytest.approx(abs(float(rough) - energy), rel=1e-3)


def test_energies_that_converge_slowly_know_their_error():
    """rho^1.5 in tails, where halves of the cells find a third of what they miss."""
    law = laws.Gaussian(0.0518, 0.121)
    flow = wgf.solve(
        wgf.PorousMedium(1.5, 0.0707), law=law, potential=Quartic(1.41), t_end=1.97, saves=1, quadrature=Gauss(9),
        network=Spline(4, 2, 4.95, knots="quantile", base=law), reference_solution="none",
    )  # fmt: skip
    found, theta = Metrics(flow.problem, flow.projection.map, None), flow.saved.theta[-1]
    coarse, fine = (found._energies(theta, found._cut(Gauss(9), theta, parts)) for parts in (1, 256))
    true = float((coarse - fine).abs().max())
    assert true > 1e-11
    assert true <= found.energy_error(Gauss(9), theta) <= 2 * true


@pytest.mark.parametrize(("df", "resolved"), [(3.08, False), (12.0, True)])
def test_an_infinite_energy_is_not_resolved(df: float, resolved: bool):
    """int x^4 p of Student's law is infinite for df <= 4; no node lies where it comes from."""
    law = laws.Student(df)
    problem = FokkerPlanck().problem(law, Quartic(0.0), Zero(), 1.0)
    map = Spline(width=8, degree=2, base=law)
    error = Metrics(problem, map, None).energy_error(Gauss(), map.theta.detach())
    assert (error < 1e-4) == resolved


def test_the_energies_of_heavy_tails_may_be_resolved():
    """All but 1e-17 of the mass lies within 1e14 standard deviations, of which cells in the middle are a tiny part."""
    law = laws.Student(2.7)
    problem = FokkerPlanck().problem(law, Expressed("sqrt(1 + x**2)"), Zero(), 1.0)
    map = Spline(width=16, degree=3, base=law)
    assert Metrics(problem, map, None).energy_error(Gauss(), map.theta.detach()) < 1e-4


@pytest.mark.parametrize(("a", "resolved"), [(0.673, False), (0.9, True), (2.5, True)])
def test_an_infinite_density_may_have_an_infinite_energy(a: float, resolved: bool):
    """int p^4.5 of p ~ y^(a - 1) is infinite for 4.5 (a - 1) <= -1: it lies in cells as short as rounding."""
    law = laws.Beta(a, 1.87, -0.997, -0.186)
    problem = PorousMedium(4.5).problem(law, NoPotential(), Zero(), 1.0)
    map = Spline(width=8, degree=1, base=law)
    found, theta = Metrics(problem, map, None), map.theta.detach()
    energy = float(found._energies(theta, Gauss().nodes(law, map.knots(theta))).sum())
    assert (found.energy_error(Gauss(), theta) < 1e-3 * energy) == resolved


DF = 4.82
SECOND, FOURTH = DF / (DF - 2), 3 * DF**2 / ((DF - 2) * (DF - 4))  # moments of Student's law


@pytest.mark.parametrize(
    ("v", "w", "energy"),
    [
        (Expressed("x**4/4"), Zero(), FOURTH / 4),
        # of X - Y the second moment is 2 E X^2, and the fourth one 2 E X^4 + 6 (E X^2)^2
        (NoPotential(), PowerLaw(4.0, 2.0), (2 * FOURTH + 6 * SECOND**2) / 8 - SECOND / 2),
    ],
)
def test_an_energy_that_lies_in_the_tails_is_not_resolved(v, w, energy):
    """Nodes see less: int u^(1 - 4/df) d(log u) converges slowly."""
    law = laws.Student(DF)
    problem = AggregationDiffusion(diffusion=0.0).problem(law, v, w, 1.0)
    map = Spline(width=8, degree=3, base=law)
    found, theta = Metrics(problem, map, None), map.theta.detach()
    lacking = energy - float(found._energies(theta, Gauss().nodes(law, map.knots(theta))).sum())
    assert lacking > 1e-4
    assert found.energy_error(Gauss(), theta) == pytest.approx(lacking, rel=0.02)


def test_an_energy_that_is_no_number_on_finer_cells_is_not_resolved():
    """The map folds between the nodes of two points per cell, where those on halved cells see it."""
    base = laws.Gaussian()
    map = Spline(8, 3, 3.0, base=base)
    problem = FokkerPlanck().problem(base, Quadratic(), Zero(), 1.0)
    found, seen = Metrics(problem, map, None), 0
    mesh = torch.cat([torch.tensor(base.panels()), map.points]).unique()
    for bump in torch.linspace(1.0, 1.6, 61):
        theta = map.theta.detach().clone()
        theta[4] += bump
        knots = map.knots(theta)
        coarse = found._energies(theta, Gauss(2).nodes(base, knots))
        fine = found._energies(theta, Gauss(2).nodes(base, torch.cat([knots, 0.5 * (mesh[1:] + mesh[:-1])])))
        if bool(coarse.isfinite().all()) and not bool(fine.isfinite().all()):
            seen += 1
            assert found.energy_error(Gauss(2), theta) == math.inf
    assert seen > 0
