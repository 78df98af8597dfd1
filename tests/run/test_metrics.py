"""Numbers of a finished run: optional ones, and the smallest slope between the nodes."""

import math
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from short_runs import quick_run

from wgf.networks.spline import Spline
from wgf.problem import laws
from wgf.problem.equations import FokkerPlanck
from wgf.problem.interaction import Zero
from wgf.problem.potential import Quadratic
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
